//! Who holds an address on the LAN: speakers hear one another and agree without votes.
//!
//! Every speaker sends every other one a small numbered heartbeat over UDP. It says what the sender
//! claims, as differences, and what it knows of the receiver's claims. A claim is an epoch and a
//! station; the higher epoch wins, and whoever hears a newer claim yields. Nothing from outside
//! decides between two claims, so the agreement holds while the Kubernetes API is away.
//!
//! The rules, where each is, and the test that shows it. All times are multiples of the close
//! interval (50 ms by default); figures are for that.
//!
//! | Rule | Where | Test |
//! | --- | --- | --- |
//! | 1. Heartbeats: numbered, with claims as differences, repeated until they are known | `message`, `book`, `peer/outbox` | `ownership::tests::what_changes_is_told_at_once_and_until_it_is_acknowledged` |
//! | 1. Authentic | [`seal`] | `seal::tests` |
//! | 2. The first three heirs watch a holder closely, as closely as its address asks | `ownership/speaking`, `peer` | `sim::rules::a_holder_is_watched_closely_by_its_first_three_heirs_only`, `only_an_address_that_asks_for_10_ms_is_watched_so_closely` |
//! | 3. The higher epoch wins, then the lower sha256; who hears a newer claim yields | `address`, `address/rules` | `ownership::tests::of_equal_epochs_the_lower_hash_wins` |
//! | 3. Epochs known by hearsay count for nothing | `address` | `ownership::tests::an_epoch_known_by_hearsay_..` |
//! | 3. Who yields names the winner | `address`, `ownership/hearing` | `ownership::tests::a_yield_that_names_the_winner_leaves_no_vacancy` |
//! | 4. Vacant: silent and unanswered, released, or there without the claim | `address/rules` | `ownership::tests::a_released_address_is_left_for_200_ms_..` |
//! | 5. Patience: one interval for each live candidate ahead | `address/rules` | `ownership::tests::patience_counts_the_live_candidates_ahead` |
//! | 6. Two questions tell a dead node from a dead speaker from a broken mesh | `peer/doubt`, `ownership/lan` | `sim::rules::a_holder_that_only_the_lan_hears_keeps_its_address` |
//! | 7. Only who hears the LAN claims; a holder that does not releases | `ownership/lan`, `address/rules` | `sim::rules::a_deaf_node_does_not_claim`, `a_holder_is_not_deaf_on_a_side_without_the_gateway` |
//! | 7. A carrier that is lost hands over at once; one that returns listens first | `ownership/lan` | `sim::scenarios::a_holder_whose_carrier_is_back_listens_before_it_announces` |
//! | 8. Three heirs stand in for a holder whose speaker is away | `address/line`, `address/rules` | `sim::rules::the_first_three_heirs_stand_in_..`, `a_stand_in_ends_when_..` |
//! | 9. Release is make before break; leaving and restarting | `ownership/phases`, `address/rules` | `sim::scenarios::a_speaker_that_leaves_is_answered_for_without_a_gap` |
//! | 10. A live claim is respected; who lost an address needs new facts | `address/rules` | `ownership::tests::who_lost_an_address_takes_it_back_only_with_new_facts` |
//! | 11. A start listens to all peers, for a second at most, and asks the LAN | `ownership/phases`, `ownership/lan` | `sim::scenarios::a_peer_that_is_not_heard_is_waited_for_for_a_second` |
//! | 11. A clock that was set back makes a speaker its own past for one round trip | `ownership/hearing` | `sim::scenarios::a_speaker_whose_clock_was_set_back_is_heard_after_one_round_trip` |
//! | 12. Two holders that only the LAN joins: the hash decides; hosts that are no speakers | `address/rules`, `ownership/lan` | `sim::rules::two_holders_that_only_the_lan_joins_become_one`, `a_foreign_host_is_told_of_..` |
//! | Fencing by a majority | `address/rules` | `sim::rules::a_fenced_address_is_held_where_the_majority_is` |
//! | All of them together | `sim/reference`: stories with figures; `sim/weather`: random faults; `sim/scale`: many nodes | |
//!
//! What the rules leave open: four that stand in line for an address and die at once are noticed at
//! the slow interval, after about three seconds. A node that is alone on its side of a partition
//! claims once a host there asks. A node that answers but does not forward is not noticed here.
//!
//! [`message`] is the wire format, [`ownership`] the engine. Inside, `peer` is what is known about
//! one peer, `book` my own claims and who knows them, `address` the rules for one address.
//!
//! The simulation runs the real engines on a virtual clock. In a debug build it takes seconds; the
//! whole of it is `cargo test --release -p proto mesh::sim -- --nocapture`, which prints its figures.

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
