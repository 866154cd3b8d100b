//! Who holds an address on the LAN: speakers hear one another and agree without votes.
//!
//! Every speaker sends every other one a small numbered heartbeat over UDP. It says what the sender
//! claims, as differences, and what it knows of the receiver's claims. A claim is an epoch and a
//! station; the higher epoch wins, and whoever hears a newer claim yields. Nothing from outside
//! decides between two claims, so the agreement holds while the Kubernetes API is away.
//!
//! What of the complete scheme this version has:
//!
//! | Rule | Covered | Not yet |
//! | --- | --- | --- |
//! | Heartbeats | numbered; changes at once, repeated until known | authentication |
//! | Silence | three intervals of 100 ms, then one each 250 ms | a closer watch on holders |
//! | Epochs | last heard + 1, ties by sha256, yield to the newer | |
//! | Vacancy | holder silent, released, or there without the claim | after a stand-in |
//! | Patience | 100 ms for each live candidate ahead | |
//! | Dead node or dead speaker | | asking the node itself by ARP and NDP |
//! | Stand-in | | answering with the MAC of a node whose speaker is away |
//! | Evidence before claiming | | a deaf node still claims |
//! | Release | make before break; at once if the address is gone | |
//! | Respect | a live claim, unless by no candidate for 200 ms | scores, switching it off |
//! | Start | all peers heard and known, or 1.5 s | asking the LAN, a remembered holder |
//! | Mesh cut, LAN whole | healed within 500 ms once the mesh is back | two holders until then |
//!
//! [`message`] is the wire format, [`ownership`] the engine. Inside, `peer` is what is known about
//! one peer, `book` my own claims and who knows them, `address` the rules for one address.

mod address;
mod book;
pub mod message;
pub mod ownership;
mod peer;
pub mod seal;
#[cfg(test)]
mod sim;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use sha2::{Digest, Sha256};

/// The name of a speaker, opaque here: not empty and of at most [`Station::MAX_LEN`] bytes.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Station(Arc<str>);

impl Station {
    /// The longest name in bytes: that of a DNS name, which is what nodes are called by.
    pub const MAX_LEN: usize = 253;

    /// A station of this name.
    ///
    /// # Errors
    ///
    /// If the name is empty or too long to be told to a peer.
    pub fn new(name: &str) -> Result<Self, NotAStation> {
        match name.len() {
            0 => Err(NotAStation::Empty),
            1..=Self::MAX_LEN => Ok(Self(name.into())),
            _ => Err(NotAStation::TooLong),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Station {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text names no station.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotAStation {
    /// It is empty.
    Empty,
    /// It has more than [`Station::MAX_LEN`] bytes.
    TooLong,
}

impl NotAStation {
    /// The value of a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Empty => "empty_name",
            Self::TooLong => "name_too_long",
        }
    }
}

impl fmt::Display for NotAStation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a station needs a name"),
            Self::TooLong => {
                write!(f, "a station's name may have {} bytes at most", Station::MAX_LEN)
            }
        }
    }
}

impl std::error::Error for NotAStation {}

/// MetalLB's order of nodes for an address: sha256 of `station#address`, the lowest first.
///
/// Part of the upgrade contract, also with MetalLB itself: two speakers that compute it differently
/// disagree about who comes first.
pub fn preference_hash(station: &str, address: IpAddr) -> [u8; 32] {
    Sha256::digest(format!("{station}#{address}")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_metallb() {
        let table: [(&str, &[&str], &[&str]); 4] = [
            ("10.0.0.1", &["node-a", "node-b", "node-c"], &["node-b", "node-a", "node-c"]),
            ("10.0.0.2", &["node-a", "node-b", "node-c"], &["node-b", "node-c", "node-a"]),
            ("10.20.30.1", &["iris1", "iris2"], &["iris2", "iris1"]),
            ("10.20.30.2", &["iris1", "iris2"], &["iris1", "iris2"]),
        ];
        for (address, nodes, want) in table {
            let address = address.parse().unwrap();
            let mut nodes = nodes.to_vec();
            nodes.sort_by_key(|node| preference_hash(node, address));
            assert_eq!(nodes, want, "{address}");
        }
    }

    #[test]
    fn a_station_has_a_name_that_fits_on_the_wire() {
        assert_eq!(Station::new(""), Err(NotAStation::Empty));
        assert_eq!(Station::new(&"x".repeat(254)), Err(NotAStation::TooLong));
        assert_eq!(Station::new(&"x".repeat(253)).unwrap().as_str().len(), 253);
    }
}
