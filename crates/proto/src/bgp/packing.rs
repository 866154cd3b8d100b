//! UPDATE messages of ours, as full as they may be.
//!
//! Each carries one kind of routes, and MP_REACH_NLRI or MP_UNREACH_NLRI goes first (RFC 7606
//! section 5.1).

use std::net::Ipv6Addr;

use ipnet::IpNet;

use super::Family;
use super::attributes::{Attributes, Export, Refusal, Written};
use super::message::attribute::{EXTENDED_LENGTH, OPTIONAL, code};
use super::message::{HEADER_LEN, Kind, nlri, write};

/// The lengths of the withdrawn routes and of the attributes.
const LENGTHS: usize = 4;

/// Flags, type code and two octets of length.
const ATTRIBUTE_HEADER: usize = 4;

/// An announcement that still has no routes.
pub(super) struct Announcement {
    family: Family,
    next_hop: Written,
    /// All attributes but MP_REACH_NLRI.
    attributes: Vec<u8>,
    room: usize,
}

impl Announcement {
    /// An announcement of routes that say this.
    ///
    /// # Errors
    ///
    /// If no route can be said that way.
    pub(super) fn new(said: &Attributes, family: Family, export: &Export) -> Result<Self, Refusal> {
        let next_hop = export.next_hop(family, said.next_hop)?;
        let mut attributes = Vec::new();
        said.encode(export, next_hop, &mut attributes);
        let reach = match next_hop {
            Written::Ipv4(_) => 0,
            Written::Ipv6(global, link_local) => {
                ATTRIBUTE_HEADER + reach_head(family, global, link_local).len()
            }
        };
        let taken = HEADER_LEN + LENGTHS + reach + attributes.len();
        let room = export.max_message.checked_sub(taken).ok_or(Refusal::TooLong)?;
        // At least one route of any length has to fit.
        if room < nlri::MAX_LEN {
            return Err(Refusal::TooLong);
        }
        Ok(Self { family, next_hop, attributes, room })
    }

    /// Octets for routes.
    pub(super) fn room(&self) -> usize {
        self.room
    }

    /// Appends the message with these routes, which have room in it.
    pub(super) fn write(&self, prefixes: &[IpNet], out: &mut Vec<u8>) {
        write(Kind::Update, out, |out| {
            out.extend([0, 0]);
            match self.next_hop {
                Written::Ipv4(_) => {
                    long_sized(out, |out| out.extend_from_slice(&self.attributes));
                    prefixes.iter().for_each(|prefix| nlri::write(prefix, out));
                }
                Written::Ipv6(global, link_local) => long_sized(out, |out| {
                    out.extend([OPTIONAL | EXTENDED_LENGTH, code::MP_REACH_NLRI]);
                    long_sized(out, |out| {
                        out.extend(reach_head(self.family, global, link_local));
                        prefixes.iter().for_each(|prefix| nlri::write(prefix, out));
                    });
                    out.extend_from_slice(&self.attributes);
                }),
            }
        });
    }
}

/// What is in MP_REACH_NLRI before the routes: family, next hop, a reserved octet.
fn reach_head(family: Family, global: Ipv6Addr, link_local: Option<Ipv6Addr>) -> Vec<u8> {
    let [high, low] = family.afi().to_be_bytes();
    let mut out = vec![high, low, Family::UNICAST];
    crate::wire::sized(&mut out, |out| {
        out.extend(global.octets());
        out.extend(link_local.iter().flat_map(Ipv6Addr::octets));
    });
    out.push(0);
    out
}

/// A withdrawal that still has no routes.
pub(super) struct Withdrawal {
    family: Family,
    room: usize,
}

impl Withdrawal {
    pub(super) fn new(family: Family, export: &Export) -> Self {
        let head = match family {
            Family::Ipv4 => 0,
            Family::Ipv6 => ATTRIBUTE_HEADER + 3,
        };
        Self { family, room: export.max_message.saturating_sub(HEADER_LEN + LENGTHS + head) }
    }

    /// Octets for routes.
    pub(super) fn room(&self) -> usize {
        self.room
    }

    /// Appends the message with these routes, which have room in it.
    ///
    /// IPv4 routes are withdrawn in the message itself: they are the same routes, however they
    /// were announced (RFC 8950 section 4 changes the next hop, which a withdrawal has not).
    pub(super) fn write(&self, prefixes: &[IpNet], out: &mut Vec<u8>) {
        let routes =
            |out: &mut Vec<u8>| prefixes.iter().for_each(|prefix| nlri::write(prefix, out));
        write(Kind::Update, out, |out| match self.family {
            Family::Ipv4 => {
                long_sized(out, routes);
                out.extend([0, 0]);
            }
            Family::Ipv6 => {
                out.extend([0, 0]);
                unreach(self.family, out, routes);
            }
        });
    }
}

/// Appends the message that ends the first sending of a family, RFC 4724 section 2.
pub(super) fn end_of_rib(family: Family, out: &mut Vec<u8>) {
    write(Kind::Update, out, |out| {
        out.extend([0, 0]);
        match family {
            Family::Ipv4 => out.extend([0, 0]),
            Family::Ipv6 => unreach(family, out, |_| ()),
        }
    });
}

/// Appends the attributes of a message that has MP_UNREACH_NLRI only.
fn unreach(family: Family, out: &mut Vec<u8>, routes: impl FnOnce(&mut Vec<u8>)) {
    let [high, low] = family.afi().to_be_bytes();
    long_sized(out, |out| {
        out.extend([OPTIONAL | EXTENDED_LENGTH, code::MP_UNREACH_NLRI]);
        long_sized(out, |out| {
            out.extend([high, low, Family::UNICAST]);
            routes(out);
        });
    });
}

/// Appends what `body` appends, preceded by its length in two octets.
///
/// Nothing here is longer: a message is 65,535 octets at most, and what is in it was measured.
fn long_sized(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend([0, 0]);
    body(out);
    let length = u16::try_from(out.len() - at - 2).unwrap_or(u16::MAX);
    out[at..at + 2].copy_from_slice(&length.to_be_bytes());
}
