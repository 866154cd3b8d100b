//! What one node announces, on the LAN and to routers.
//!
//! Both at once if there are advertisements of both kinds for a Service. The LAN has one holder
//! for an address, to whom the others leave it; to routers every node speaks for itself.

#[cfg(test)]
mod build;
mod conflicts;
mod lan;
mod routes;
mod selection;
mod standing;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::facts::{Facts, Pool};
use crate::names::{NodeName, PoolName};
use crate::plan::Plan;
use crate::range::Range;
use crate::reason::Silence;

pub use conflicts::{Clash, Conflict, conflicts};
pub use standing::{Standing, standings};

/// What `node` announces.
///
/// On the LAN, each address of each Service is in the candidacies with this node among the
/// candidates, or in the silences with the reason why not. It is in both if only other nodes are
/// candidates: then this one may still hold it from before, or stand in for one of them.
///
/// For each router that the node has a session with, each address is in a route or in the silences.
/// A reason that is the same for all routers names none.
///
/// Nothing is said of a protocol that is not in use. BGP is in use if there is a BGPPeer or a
/// BGPAdvertisement; the LAN if there is an L2Advertisement, or if BGP is not.
pub fn plan(facts: &Facts, node: &NodeName) -> Plan {
    let mut plan = Plan::default();
    let is_bgp_used = !facts.peers.is_empty() || !facts.bgp_advertisements.is_empty();
    if !is_bgp_used || !facts.l2_advertisements.is_empty() {
        lan::plan(facts, node, &mut plan);
    }
    if is_bgp_used {
        routes::plan(facts, node, &mut plan);
    }
    plan.silences.sort_by(|one, other| one.place().cmp(&other.place()));
    plan
}

/// An address that stands twice in the status is one address.
fn distinct(addresses: &[IpAddr]) -> BTreeSet<IpAddr> {
    addresses.iter().copied().collect()
}

/// Which pool an address is in, without asking each.
struct Pools<'a> {
    /// The ranges of all pools by their first address; no two overlap.
    ranges: BTreeMap<IpAddr, (Range, &'a PoolName, &'a Pool)>,
}

impl<'a> Pools<'a> {
    fn new(facts: &'a Facts) -> Self {
        let ranges = facts.pools.iter().flat_map(|(name, pool)| {
            pool.ranges.iter().map(move |&range| (range.first(), (range, name, pool)))
        });
        Self { ranges: ranges.collect() }
    }

    /// The one pool that all `addresses` are in, even if it would not give them any more.
    fn of(&self, addresses: &[IpAddr]) -> Option<(&'a PoolName, &'a Pool)> {
        let mut pools = addresses.iter().map(|address| self.of_one(*address));
        let first = pools.next()??;
        pools.all(|pool| pool.is_some_and(|(name, _)| name == first.0)).then_some(first)
    }

    fn of_one(&self, address: IpAddr) -> Option<(&'a PoolName, &'a Pool)> {
        let (_, (range, name, pool)) = self.ranges.range(..=address).next_back()?;
        range.contains(address).then_some((*name, *pool))
    }
}

/// Why a node can announce nothing at all.
fn unfitness(facts: &Facts, name: &NodeName) -> Option<Silence> {
    let Some(node) = facts.nodes.get(name) else { return Some(Silence::NodeUnknown) };
    if !runs_speaker(facts, name) {
        Some(Silence::NoSpeaker)
    } else if node.is_network_unavailable {
        Some(Silence::NodeNetworkUnavailable)
    } else if node.is_excluded && !facts.ignore_exclude_label {
        Some(Silence::NodeExcluded)
    } else {
        None
    }
}

fn runs_speaker(facts: &Facts, node: &NodeName) -> bool {
    facts.speakers.as_ref().is_none_or(|speakers| speakers.contains(node))
}
