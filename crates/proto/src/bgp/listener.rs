//! A router that learns, for tests: it reads what we send with code of its own.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::wire::Reader;

/// What a router knows of one route.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Heard {
    pub(super) next_hop: Option<IpAddr>,
    pub(super) local_pref: Option<u32>,
    pub(super) communities: Vec<u32>,
}

/// The routes that a router has, and how often it was told of any.
#[derive(Clone, Debug, Default)]
pub(super) struct Listener {
    pub(super) routes: BTreeMap<IpNet, Heard>,
    pub(super) updates: usize,
    pub(super) ends: Vec<u16>,
}

impl Listener {
    /// Takes in whole messages.
    pub(super) fn hear(&mut self, mut bytes: &[u8]) {
        while let Some(header) = bytes.first_chunk::<19>() {
            let length = usize::from(u16::from_be_bytes([header[16], header[17]]));
            let (message, rest) = bytes.split_at(length);
            if header[18] == 2 {
                self.update(&message[19..]);
            }
            bytes = rest;
        }
        assert!(bytes.is_empty(), "half a message");
    }

    fn update(&mut self, body: &[u8]) {
        self.updates += 1;
        let mut reader = Reader(body);
        let length = reader.u16().unwrap();
        let withdrawn = reader.sub(length.into()).unwrap();
        let length = reader.u16().unwrap();
        let mut attributes = reader.sub(length.into()).unwrap();
        if body == [0; 4] {
            self.ends.push(1);
        }
        prefixes(1, withdrawn).for_each(|prefix| drop(self.routes.remove(&prefix)));
        let mut heard = Heard::default();
        let mut reached = Vec::new();
        while !attributes.is_empty() {
            let [flags, code] = attributes.array().unwrap();
            let length = match flags & 0x10 {
                0 => attributes.u8().unwrap().into(),
                _ => attributes.u16().unwrap(),
            };
            let mut value = attributes.sub(length.into()).unwrap();
            match code {
                3 => heard.next_hop = Some(Ipv4Addr::from(value.array::<4>().unwrap()).into()),
                5 => heard.local_pref = Some(u32::from_be_bytes(value.array().unwrap())),
                8 => {
                    while !value.is_empty() {
                        heard.communities.push(u32::from_be_bytes(value.array().unwrap()));
                    }
                }
                14 => {
                    let (afi, _, length) =
                        (value.u16().unwrap(), value.u8().unwrap(), value.u8().unwrap());
                    let mut next_hop = value.sub(length.into()).unwrap();
                    heard.next_hop = Some(Ipv6Addr::from(next_hop.array::<16>().unwrap()).into());
                    value.u8().unwrap();
                    reached.extend(prefixes(afi, value));
                }
                15 => {
                    let (afi, _) = (value.u16().unwrap(), value.u8().unwrap());
                    if value.is_empty() {
                        self.ends.push(afi);
                    }
                    prefixes(afi, value).for_each(|prefix| drop(self.routes.remove(&prefix)));
                }
                _ => (),
            }
        }
        reached.extend(prefixes(1, reader));
        self.routes.extend(reached.into_iter().map(|prefix| (prefix, heard.clone())));
    }
}

fn prefixes(afi: u16, mut reader: Reader<'_>) -> impl Iterator<Item = IpNet> {
    std::iter::from_fn(move || {
        let length = reader.u8().ok()?;
        let bytes = reader.sub(usize::from(length).div_ceil(8)).unwrap();
        let mut octets = [0; 16];
        octets[..bytes.0.len()].copy_from_slice(bytes.0);
        let address = match afi {
            1 => Ipv4Addr::from(*octets.first_chunk::<4>().unwrap()).into(),
            _ => IpAddr::from(octets),
        };
        Some(IpNet::new(address, length).unwrap())
    })
}
