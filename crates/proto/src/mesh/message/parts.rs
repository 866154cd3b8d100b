//! The parts of a heartbeat: claims as differences, and where the sender is on the LAN.

use std::net::IpAddr;

use super::Malformed;
use crate::l2::Mac;
use crate::mesh::Station;
use crate::wire::{Reader, Truncated, sized};

/// How far somebody has followed another speaker's claims.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Position {
    /// The life of the speaker that claims.
    pub incarnation: u64,
    /// Which whole set the reader started from, as [`Changes::base`] named it.
    pub base: u64,
    /// All that changed up to here is known.
    pub version: u64,
}

/// The claims of the sender that last changed after one version, up to another.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Changes {
    /// Names the whole set that this continues.
    pub base: u64,
    /// Only a reader who knows at least this much may apply the changes. Zero: a whole set starts.
    pub after: u64,
    /// What the reader then knows.
    pub upto: u64,
    /// The claims, in the order in which they changed.
    pub claims: Vec<Claim>,
}

/// What a speaker says about one address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Claim {
    /// The address.
    pub address: IpAddr,
    /// The epoch of the sender's claim; of the winner's if the sender yielded, of the absent
    /// holder's if it stands in.
    pub epoch: u64,
    /// What became of the claim.
    pub state: State,
}

/// What became of a claim.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum State {
    /// The sender holds the address.
    Held,
    /// The sender still answers, and somebody else should take over.
    Released,
    /// The sender heard a newer claim and stopped.
    Yielded {
        /// Whose claim that was.
        to: Station,
    },
    /// The sender answers no more, for another reason.
    Dropped,
    /// The sender claims nothing: it answers with the Ethernet address of the holder, whose speaker
    /// is away.
    StandingIn {
        /// Who holds the address.
        holder: Station,
    },
}

/// An interface of a speaker on which it announces.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Link {
    /// Its Ethernet address.
    pub mac: Mac,
    /// Addresses that its kernel answers for there: on-link ones and link-local ones.
    pub addresses: Vec<IpAddr>,
}

impl Position {
    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { incarnation: u64(reader)?, base: u64(reader)?, version: u64(reader)? })
    }
}

impl Changes {
    pub(super) fn decode(reader: &mut Reader<'_>, version: u64) -> Result<Self, Malformed> {
        let [base, after, upto] = [u64(reader)?, u64(reader)?, u64(reader)?];
        if after > upto || upto > version {
            return Err(Malformed::Versions);
        }
        // The count is a promise: what is missing is noticed, and nothing is reserved for it.
        let count = reader.u16()?;
        let claims = (0..count).map(|_| Claim::decode(reader)).collect::<Result<_, _>>()?;
        Ok(Self { base, after, upto, claims })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        for field in [self.base, self.after, self.upto] {
            out.extend(field.to_be_bytes());
        }
        let count = u16::try_from(self.claims.len()).unwrap_or(u16::MAX);
        out.extend(count.to_be_bytes());
        for claim in self.claims.iter().take(count.into()) {
            claim.encode(out);
        }
    }
}

impl Claim {
    /// Bytes that the claim takes up in a message.
    pub fn encoded_len(&self) -> usize {
        let name = match &self.state {
            State::Yielded { to: station } | State::StandingIn { holder: station } => {
                1 + station.as_str().len()
            }
            State::Held | State::Released | State::Dropped => 0,
        };
        address_len(self.address) + 8 + 1 + name
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let address = address(reader)?;
        let epoch = u64(reader)?;
        let state = match reader.u8()? {
            0 => State::Held,
            1 => State::Released,
            2 => State::Yielded { to: station(reader)? },
            3 => State::Dropped,
            4 => State::StandingIn { holder: station(reader)? },
            _ => return Err(Malformed::State),
        };
        Ok(Self { address, epoch, state })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        encode_address(self.address, out);
        out.extend(self.epoch.to_be_bytes());
        let (state, name) = match &self.state {
            State::Held => (0, None),
            State::Released => (1, None),
            State::Yielded { to } => (2, Some(to)),
            State::Dropped => (3, None),
            State::StandingIn { holder } => (4, Some(holder)),
        };
        out.push(state);
        if let Some(name) = name {
            sized(out, |out| out.extend(name.as_str().bytes()));
        }
    }
}

/// Bytes that links take up in a message.
pub(super) fn links_len(links: &[Link]) -> usize {
    let addresses = |link: &Link| link.addresses.iter().map(|at| address_len(*at)).sum::<usize>();
    1 + links.iter().map(|link| 7 + addresses(link)).sum::<usize>()
}

pub(super) fn links(reader: &mut Reader<'_>) -> Result<Vec<Link>, Malformed> {
    let count = reader.u8()?;
    (0..count)
        .map(|_| {
            let mac = Mac(reader.array()?);
            let count = reader.u8()?;
            let addresses = (0..count).map(|_| address(reader)).collect::<Result<_, _>>()?;
            Ok(Link { mac, addresses })
        })
        .collect()
}

pub(super) fn encode_links(links: &[Link], out: &mut Vec<u8>) {
    let count = |len: usize| u8::try_from(len).unwrap_or(u8::MAX);
    out.push(count(links.len()));
    for link in links.iter().take(u8::MAX.into()) {
        out.extend(link.mac.0);
        out.push(count(link.addresses.len()));
        for at in link.addresses.iter().take(u8::MAX.into()) {
            encode_address(*at, out);
        }
    }
}

fn address_len(address: IpAddr) -> usize {
    match address {
        IpAddr::V4(_) => 1 + 4,
        IpAddr::V6(_) => 1 + 16,
    }
}

fn address(reader: &mut Reader<'_>) -> Result<IpAddr, Malformed> {
    Ok(match reader.u8()? {
        4 => IpAddr::from(reader.array::<4>()?),
        6 => IpAddr::from(reader.array::<16>()?),
        _ => return Err(Malformed::Family),
    })
}

fn encode_address(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(v4) => {
            out.push(4);
            out.extend(v4.octets());
        }
        IpAddr::V6(v6) => {
            out.push(6);
            out.extend(v6.octets());
        }
    }
}

pub(super) fn u64(reader: &mut Reader<'_>) -> Result<u64, Truncated> {
    reader.array().map(u64::from_be_bytes)
}

pub(super) fn station(reader: &mut Reader<'_>) -> Result<Station, Malformed> {
    let len = reader.u8()?;
    let Reader(bytes) = reader.sub(len.into())?;
    let name = str::from_utf8(bytes).map_err(|_| Malformed::Name)?;
    Station::new(name).map_err(|_| Malformed::Name)
}
