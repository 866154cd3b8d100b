//! What one node announces, on the LAN and to routers.
//!
//! Both at once if there are advertisements of both kinds for a Service. The LAN has one holder
//! for an address, to whom the others leave it; to routers every node speaks for itself.

#[cfg(test)]
mod build;
mod conflicts;
mod lan;
mod planner;
mod routes;
mod selection;
mod standing;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use lan::Lan;
use routes::Speaker;

use crate::facts::{Endpoint, Facts, Service};
use crate::names::{NodeName, PoolName, ServiceName};
use crate::plan::{Left, Plan};
use crate::range::Range;
use crate::reason::{Protocol, Silence};

pub use conflicts::{Clash, Conflict, conflicts};
pub use planner::Planner;
pub use selection::Selection;
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
    Rules::new(facts, node).plan(facts)
}

/// What all Services have in common, as one node sees it. Worth keeping from one Service to the
/// next, until anything but a Service or its endpoints changes.
struct Rules {
    lan: Option<Lan>,
    speaker: Option<Speaker>,
}

impl Rules {
    fn new(facts: &Facts, node: &NodeName) -> Self {
        let is_bgp_used = !facts.peers.is_empty() || !facts.bgp_advertisements.is_empty();
        let is_lan_used = !is_bgp_used || !facts.l2_advertisements.is_empty();
        Self {
            lan: is_lan_used.then(|| Lan::new(facts, node)),
            speaker: is_bgp_used.then(|| Speaker::new(facts, node)),
        }
    }

    fn plan(&mut self, facts: &Facts) -> Plan {
        let mut plan = Plan::default();
        if let Some(lan) = &mut self.lan {
            lan.plan(facts, &mut plan);
        }
        if let Some(speaker) = &self.speaker {
            speaker.plan(facts, &mut plan);
        }
        plan
    }
}

/// One Service to decide about.
#[derive(Clone, Copy)]
struct Case<'a> {
    name: &'a ServiceName,
    service: &'a Service,
    endpoints: &'a [Endpoint],
}

impl<'a> Case<'a> {
    fn new(facts: &'a Facts, name: &'a ServiceName, service: &'a Service) -> Self {
        let endpoints = facts.endpoints.get(name).map_or(&[][..], Vec::as_slice);
        Self { name, service, endpoints }
    }

    fn all(facts: &'a Facts) -> impl Iterator<Item = Self> {
        facts.services.iter().map(|(name, service)| Self::new(facts, name, service))
    }

    fn addresses(self) -> BTreeSet<IpAddr> {
        distinct(&self.service.addresses)
    }

    fn left(self, address: Option<IpAddr>, protocol: Protocol, silence: Silence) -> Left {
        Left { service: self.name.clone(), address, protocol, peer: None, silence }
    }
}

/// An address that stands twice in the status is one address.
fn distinct(addresses: &[IpAddr]) -> BTreeSet<IpAddr> {
    addresses.iter().copied().collect()
}

/// Which pool an address is in, without asking each.
struct Pools {
    /// The ranges of all pools by their first address; no two overlap.
    ranges: BTreeMap<IpAddr, (Range, PoolName)>,
}

impl Pools {
    fn new(facts: &Facts) -> Self {
        let ranges = facts.pools.iter().flat_map(|(name, pool)| {
            pool.ranges.iter().map(move |&range| (range.first(), (range, name.clone())))
        });
        Self { ranges: ranges.collect() }
    }

    /// The one pool that all `addresses` are in, even if it would not give them any more.
    fn of(&self, addresses: &[IpAddr]) -> Option<&PoolName> {
        let mut pools = addresses.iter().map(|address| self.of_one(*address));
        let first = pools.next()??;
        pools.all(|pool| pool == Some(first)).then_some(first)
    }

    fn of_one(&self, address: IpAddr) -> Option<&PoolName> {
        let (_, (range, name)) = self.ranges.range(..=address).next_back()?;
        range.contains(address).then_some(name)
    }
}

/// Why a node can announce nothing at all, whatever advertisements say.
fn unfitness(facts: &Facts, name: &NodeName) -> Option<Silence> {
    let Some(node) = facts.nodes.get(name) else { return Some(Silence::NodeUnknown) };
    if !runs_speaker(facts, name) {
        Some(Silence::NoSpeaker)
    } else if node.is_network_unavailable {
        Some(Silence::NodeNetworkUnavailable)
    } else {
        None
    }
}

/// Whether the exclude label of a node counts.
fn is_excluded(facts: &Facts, name: &NodeName) -> bool {
    !facts.ignore_exclude_label && facts.nodes.get(name).is_some_and(|node| node.is_excluded)
}

fn runs_speaker(facts: &Facts, node: &NodeName) -> bool {
    facts.speakers.as_ref().is_none_or(|speakers| speakers.contains(node))
}
