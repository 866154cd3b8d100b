//! What the engine of the mesh decides, for those who carry it out and for the log.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use proto::l2::Mac;
use proto::mesh::ownership::{Output, Why};

use crate::metrics;
use crate::speaker::held::Holding;
use crate::speaker::l2;

/// What is to be done on the LAN.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) held: BTreeMap<IpAddr, Holding>,
    released: BTreeMap<IpAddr, bool>,
    pub(super) standing_in: BTreeMap<IpAddr, Option<Mac>>,
    announce: BTreeSet<IpAddr>,
    defend: BTreeSet<IpAddr>,
    ask: BTreeSet<(IpAddr, Mac)>,
    /// Foreign hosts that use an address of this node.
    pub(super) conflicts: BTreeMap<IpAddr, Mac>,
}

impl Outcome {
    /// Whether there is nothing to do on the LAN.
    pub(super) fn is_empty(&self) -> bool {
        let Self { held, released, standing_in, announce, defend, ask, conflicts: _ } = self;
        held.is_empty()
            && released.is_empty()
            && standing_in.is_empty()
            && announce.is_empty()
            && defend.is_empty()
            && ask.is_empty()
    }

    /// Takes in what one output means for the LAN. The last word about an address counts.
    pub(super) fn note(&mut self, output: &Output) {
        match output {
            Output::Announce(address) => _ = self.announce.insert(*address),
            Output::Ask { address, mac } => _ = self.ask.insert((*address, *mac)),
            Output::Claimed { address, why, .. } => {
                let is_first = *why == Why::NeverHeld;
                let holding = if is_first { Holding::First } else { Holding::Inherited };
                self.held.insert(*address, holding);
                self.released.insert(*address, false);
            }
            Output::Conflict { address, mac } => _ = self.conflicts.insert(*address, *mac),
            Output::Defend(address) => _ = self.defend.insert(*address),
            Output::Dropped { address, .. } | Output::Yielded { address, .. } => {
                self.held.insert(*address, Holding::Lost);
                self.released.insert(*address, false);
            }
            Output::Resumed { address, .. } => {
                self.held.insert(*address, Holding::Resumed);
                self.released.insert(*address, false);
            }
            Output::StandIn { address, mac, .. } => {
                self.standing_in.insert(*address, Some(*mac));
            }
            Output::StoodIn(address) => _ = self.standing_in.insert(*address, None),
            // It is answered for until another claims it.
            Output::Released { address, .. } => _ = self.released.insert(*address, true),
            Output::Kept { address, .. } => _ = self.released.insert(*address, false),
            Output::PeerHeard(_) | Output::PeerSilent(_) | Output::Send { .. } => (),
        }
    }

    /// Hands it to the thread that speaks ARP and NDP.
    pub(super) fn give(mut self, orders: &mut l2::Orders) {
        orders.held.append(&mut self.held);
        orders.released.append(&mut self.released);
        orders.standing_in.append(&mut self.standing_in);
        orders.announce.append(&mut self.announce);
        orders.defend.append(&mut self.defend);
        orders.ask.append(&mut self.ask);
    }
}

/// Logs what the engine says that it did.
pub(super) fn tell(output: &Output) {
    match output {
        Output::Claimed { address, epoch, why, .. } => {
            tracing::info!(%address, epoch, "claimed: {why}");
        }
        Output::Released { address, epoch, why } => {
            tracing::info!(%address, epoch, "released: {why}; answering until another takes over");
        }
        Output::Kept { address, epoch } => tracing::info!(%address, epoch, "kept after all"),
        Output::Yielded { address, to, epoch } => {
            tracing::info!(%address, %to, epoch, "yielded");
        }
        Output::Dropped { address, epoch, why } => {
            tracing::info!(%address, epoch, "dropped: {why}");
        }
        Output::Resumed { address, epoch } => tracing::info!(%address, epoch, "held as before"),
        Output::StandIn { address, holder, mac } => {
            tracing::info!(%address, %holder, %mac, "standing in: its speaker is away");
        }
        Output::StoodIn(address) => tracing::info!(%address, "standing in no more"),
        Output::PeerHeard(peer) => tracing::info!(%peer, "heard"),
        Output::PeerSilent(peer) => tracing::warn!(%peer, "silent"),
        Output::Announce(address) => {
            tracing::warn!(%address, "another node held it too and yields; announcing again");
        }
        Output::Ask { address, mac } => tracing::trace!(%address, %mac, "asking"),
        Output::Conflict { .. } | Output::Defend(_) | Output::Send { .. } => (),
    }
}

/// Counts it.
pub(super) fn count(output: &Output, mesh: &metrics::Mesh) {
    match output {
        Output::Claimed { why, unheard_for, .. } => mesh.claimed(*why, *unheard_for),
        Output::Conflict { .. } => mesh.conflict(),
        Output::Dropped { why, .. } => mesh.dropped(*why),
        Output::Released { why, .. } => mesh.released(*why),
        Output::Resumed { .. } => mesh.resumed(),
        Output::Yielded { .. } => mesh.yielded(),
        Output::Announce(_)
        | Output::Ask { .. }
        | Output::Defend(_)
        | Output::Kept { .. }
        | Output::PeerHeard(_)
        | Output::PeerSilent(_)
        | Output::Send { .. }
        | Output::StandIn { .. }
        | Output::StoodIn(_) => (),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_about_an_address_counts() {
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let mac = Mac([2, 0, 0, 0, 0, 1]);
        let holder = proto::mesh::Station::new("a").unwrap();
        let mut outcome = Outcome::default();
        assert!(outcome.is_empty());
        let why = Why::HolderSilent;
        for output in [
            Output::StandIn { address, mac, holder },
            Output::StoodIn(address),
            Output::Claimed { address, epoch: 2, why, unheard_for: None },
        ] {
            outcome.note(&output);
        }
        let mut orders = l2::Orders::default();
        outcome.give(&mut orders);
        assert_eq!(orders.held, [(address, Holding::Inherited)].into());
        assert_eq!(orders.standing_in, [(address, None)].into());
    }
}
