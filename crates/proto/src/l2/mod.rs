//! Layer 2: answering ARP and NDP for addresses that no interface owns.
//!
//! | Standard | Covered | Left out |
//! | --- | --- | --- |
//! | RFC 826 | IPv4 over Ethernet: requests are answered | learning from packets (there is no cache), other hardware and protocols, 802.1Q tags (one interface, one responder) |
//! | RFC 5227 | probes are sent before or beside a first claim (section 2.1), with fixed intervals; they are answered (section 2.1.1); announcements (section 2.3), six instead of two; a defence at most once in 10 s (section 2.4) | random waits before probes; whether to defend or to yield is decided elsewhere |
//! | RFC 1122 section 2.3.2.1 | unicast polls of a host that checks its cache are answered | the cache itself, and the queue of packets that wait for it (section 2.3.2.2) |
//! | RFC 5944 section 4.6 | gratuitous ARP in both forms, as request and as reply | our own address in the target hardware field of the reply form: MetalLB sends broadcast there, and so do we |
//! | RFC 4861 | solicitations and advertisements are checked (section 7.1) and answered (section 7.2.4), advertised unasked (section 7.2.6) with the source in section 4.4; several times more than three | the cache, routers and prefixes, redirects; the random delay that section 7.2.7 has for anycast |
//! | RFC 4862 section 5.4 | duplicate address detection of others is answered; ours asks three times | what follows from a duplicate: it is reported |
//! | RFC 2464 section 7, RFC 4291 section 2.7.1 | the groups in which addresses are asked for | joining them, which is the driver's |
//!
//! What differs from MetalLB: its speaker also answers the announcements of other stations for an
//! address that it claims. Nobody asked, so we do not: we report them. It overlooks solicitations
//! without an Ethernet address in them, so duplicates are not detected, and does not override what
//! hosts believed before.
//!
//! | File | What is in it |
//! | --- | --- |
//! | [`arp`], [`ndp`] | wire forms |
//! | [`responder`] | the engine for one interface: whom to answer, and what is done about its inputs |
//! | [`burst`] | when an address is announced, and how many announcements a second there may be |
//! | [`ignored`] | why a frame leads to nothing |
//! | [`virtual_mac`] | an Ethernet address that moves with the address |
//! | `packet`, `asked`, `groups` | parts of the engine: frames of both protocols, our own questions, multicast groups |
//! | `sim` | a LAN of hosts with ARP caches and of responders, in simulated time |
//!
//! Sockets are the driver's. It hands in each frame that the interface receives and sends the
//! frames it is given as they are.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

pub mod arp;
mod asked;
pub mod burst;
mod groups;
pub mod ignored;
pub mod ndp;
mod packet;
pub mod responder;
#[cfg(test)]
mod sim;
pub mod virtual_mac;

pub use burst::{DuplicateProbe, Schedule};
pub use ignored::Ignored;
pub use responder::{Arrival, Input, Output, Responder};

/// How a node answers for an address.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Voice {
    /// With the interface's own Ethernet address.
    Own,
    /// With that of a node whose speaker is away. Frames still come from our own: a switch would
    /// otherwise learn that the other node is here. Nothing is announced.
    StandingInFor(Mac),
}

/// What others say on the LAN.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Heard {
    /// An answer to a question of ours.
    Answer {
        /// The address that was asked for.
        address: IpAddr,
        /// The station that has it.
        mac: Mac,
    },
    /// Somebody asks for an address that is followed and not answered for here. A question for one
    /// that is answered for is an [`Output::Answered`].
    Question {
        /// The address.
        address: IpAddr,
        /// The station that asks.
        from: Mac,
    },
    /// Somebody says to have an address that is answered for or followed here.
    Announcement {
        /// The address.
        address: IpAddr,
        /// The station that has it.
        mac: Mac,
    },
}

/// An Ethernet address.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// All stations of the LAN.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether this names several stations: multicast or broadcast.
    pub fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A text is not an Ethernet address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NotAMac(String);

impl fmt::Display for NotAMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text) = self;
        write!(
            f,
            "`{text}` is not an Ethernet address: write six two-digit hexadecimal numbers with \
             colons between, such as `02:00:00:00:00:01`"
        )
    }
}

impl std::error::Error for NotAMac {}

impl FromStr for Mac {
    type Err = NotAMac;

    fn from_str(text: &str) -> Result<Self, NotAMac> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            *byte = parts.next().and_then(octet).ok_or_else(|| NotAMac(text.to_owned()))?;
        }
        if parts.next().is_some() {
            return Err(NotAMac(text.to_owned()));
        }
        Ok(Self(bytes))
    }
}

/// Reads exactly two hexadecimal digits; `from_str_radix` alone would take `+1` too.
fn octet(text: &str) -> Option<u8> {
    let is_octet = text.len() == 2 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_octet.then(|| u8::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ethernet_address_reads_as_it_prints() {
        let mac = Mac([0x02, 0x00, 0x5e, 0xab, 0x00, 0xff]);
        assert_eq!(mac.to_string(), "02:00:5e:ab:00:ff");
        assert_eq!("02:00:5e:ab:00:ff".parse(), Ok(mac));
        assert_eq!("02:00:5E:AB:00:FF".parse(), Ok(mac));
    }

    #[test]
    fn other_texts_are_not_ethernet_addresses() {
        let cases = [
            ("nothing", ""),
            ("five octets", "02:00:00:00:00"),
            ("seven octets", "02:00:00:00:00:01:02"),
            ("one digit", "02:00:00:00:00:1"),
            ("a sign", "02:00:00:00:00:+1"),
            ("no hexadecimal digit", "02:00:00:00:00:0g"),
            ("hyphens", "02-00-00-00-00-01"),
        ];
        for (name, text) in cases {
            assert_eq!(text.parse::<Mac>(), Err(NotAMac(text.to_owned())), "{name}");
        }
    }

    #[test]
    fn a_group_has_the_lowest_bit_of_its_first_octet_set() {
        assert!(Mac::BROADCAST.is_group());
        assert!(Mac([0x01, 0, 0x5e, 0, 0, 1]).is_group());
        assert!(!Mac([0x02, 0, 0, 0, 0, 1]).is_group());
    }
}
