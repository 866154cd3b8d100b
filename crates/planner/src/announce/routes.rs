//! Which routes one node gives to which routers.
//!
//! The rules are MetalLB's for BGP. Nodes do not agree on anything: each announces every Service
//! that a BGPAdvertisement for pool, Service and node lets it announce and that it can serve, to
//! the peers of the advertisement that it has a session with. It can serve a Service that has a
//! healthy endpoint with an address: any, or one on the node itself if the Service forwards only
//! there.
//!
//! Addresses that an advertisement aggregates to the same prefix are one route, and it stays as
//! long as one Service needs it. Its communities are those of all its Services and advertisements.
//! Its local preference is the highest of them, so that it does not depend on who came first;
//! for a single Service they cannot differ, as then it is not announced at all.
//!
//! The local preference is for peers in our own AS only (RFC 4271 section 5.1.5), so that routes
//! to other peers have none here. MetalLB hands it to all sessions, which leave it out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::conflicts::disagree;
use super::selection::matches_any;
use super::{Pools, distinct, runs_speaker, unfitness};
use crate::facts::bgp::{BgpAdvertisement, Peer, PeerAddress, RemoteAsn};
use crate::facts::{Facts, Family, Pool, Service, TrafficPolicy};
use crate::names::{AdvertisementName, NodeName, PeerName, PoolName, ServiceName};
use crate::plan::{Left, Plan, Routes};
use crate::reason::{Protocol, Silence};
use crate::selector::Labels;

/// Adds to `plan` what `node` tells routers.
pub(super) fn plan(facts: &Facts, node: &NodeName, plan: &mut Plan) {
    let mut sessions = sessions(facts, node);
    let speaker = Speaker::new(facts, node, !sessions.is_empty());
    let mut keep_silent = |service: &ServiceName, address, peer: Option<&PeerName>, silence| {
        plan.silences.push(Left {
            service: service.clone(),
            address,
            protocol: Protocol::Bgp,
            peer: peer.cloned(),
            silence,
        });
    };
    for (name, service) in &facts.services {
        let offered = speaker.offer(name, service);
        if service.addresses.is_empty() {
            keep_silent(name, None, None, Silence::NoAddress);
        }
        for address in distinct(&service.addresses) {
            match &offered {
                Ok(advertisements) => {
                    for session in &mut sessions {
                        if let Err(silence) = session.announce(name, address, advertisements) {
                            keep_silent(name, Some(address), Some(session.peer), silence);
                        }
                    }
                }
                Err(silence) => keep_silent(name, Some(address), None, silence.clone()),
            }
        }
    }
    plan.peers.extend(sessions.into_iter().map(|session| (session.peer.clone(), session.routes)));
}

/// What decides for all routers alike.
struct Speaker<'a> {
    facts: &'a Facts,
    node: &'a NodeName,
    pools: Pools<'a>,
    /// Why the node can announce nothing at all.
    unfit: Option<Silence>,
    /// The advertisements of each pool.
    advertisements: BTreeMap<&'a PoolName, Vec<Advertisement<'a>>>,
}

/// An advertisement as the node sees it.
#[derive(Clone, Copy)]
struct Advertisement<'a> {
    name: &'a AdvertisementName,
    spec: &'a BgpAdvertisement,
    /// Whether it selects the node.
    is_for_node: bool,
}

impl<'a> Speaker<'a> {
    fn new(facts: &'a Facts, node: &'a NodeName, has_sessions: bool) -> Self {
        let labels = labels(facts, node);
        let specs = facts.bgp_advertisements.iter();
        let all: Vec<_> = specs
            .map(|(name, spec)| {
                let is_for_node = spec.selection().node(&labels);
                Advertisement { name, spec, is_for_node }
            })
            .collect();
        let of_pool = |name, pool| {
            let selecting = all.iter().filter(|ad| ad.spec.selection().pool(name, pool));
            selecting.copied().collect()
        };
        let pools = facts.pools.iter();
        Self {
            facts,
            node,
            pools: Pools::new(facts),
            unfit: unfitness(facts, node).or_else(|| (!has_sessions).then_some(Silence::NoPeer)),
            advertisements: pools.map(|(name, pool)| (name, of_pool(name, pool))).collect(),
        }
    }

    /// The advertisements by which the node announces a Service; at least one.
    ///
    /// # Errors
    ///
    /// Says why it announces the Service to nobody.
    fn offer(
        &self,
        name: &ServiceName,
        service: &Service,
    ) -> Result<Vec<Advertisement<'a>>, Silence> {
        if service.addresses.is_empty() {
            return Err(Silence::NoAddress);
        }
        let (pool_name, pool) = self.pools.of(&service.addresses).ok_or(Silence::InNoPool)?;
        let advertisements = self.advertisements(service, pool_name)?;
        without_conflict(&advertisements, pool)?;
        match &self.unfit {
            Some(silence) => Err(silence.clone()),
            None => self.serve(name, service).map(|()| advertisements),
        }
    }

    /// Those for pool, Service and node.
    fn advertisements(
        &self,
        service: &Service,
        pool: &PoolName,
    ) -> Result<Vec<Advertisement<'a>>, Silence> {
        let kind = Protocol::Bgp;
        let of_pool = self.advertisements.get(pool).map_or(&[][..], Vec::as_slice);
        if of_pool.is_empty() {
            return Err(Silence::NoAdvertisement { kind, pool: pool.clone() });
        }
        let of_service = of_pool.iter().filter(|ad| ad.spec.selection().service(service));
        let of_service: Vec<_> = of_service.copied().collect();
        if of_service.is_empty() {
            return Err(Silence::ServiceNotSelected { kind, pool: pool.clone() });
        }
        let of_node: Vec<_> = of_service.iter().filter(|ad| ad.is_for_node).copied().collect();
        match of_node.is_empty() {
            true => Err(Silence::NodeNotSelected { kind, advertisements: names(&of_service) }),
            false => Ok(of_node),
        }
    }

    /// Whether the node can serve a Service.
    fn serve(&self, name: &ServiceName, service: &Service) -> Result<(), Silence> {
        let endpoints = self.facts.endpoints.get(name).into_iter().flatten();
        let mut serving = endpoints.filter(|endpoint| endpoint.is_healthy && endpoint.has_address);
        match service.traffic_policy {
            TrafficPolicy::Cluster => serving.next().map(|_| ()).ok_or(Silence::NoHealthyEndpoint),
            TrafficPolicy::Local => serving
                .find(|endpoint| endpoint.node.as_ref() == Some(self.node))
                .map(|_| ())
                .ok_or(Silence::NoHealthyLocalEndpoint),
        }
    }
}

/// A node that is unknown has no labels.
fn labels(facts: &Facts, node: &NodeName) -> Labels {
    facts.nodes.get(node).map(|node| node.labels.clone()).unwrap_or_default()
}

fn names(advertisements: &[Advertisement<'_>]) -> BTreeSet<AdvertisementName> {
    advertisements.iter().map(|ad| ad.name.clone()).collect()
}

/// All advertisements of one Service and node, with Service selectors or without, must agree.
fn without_conflict(advertisements: &[Advertisement<'_>], pool: &Pool) -> Result<(), Silence> {
    for (index, one) in advertisements.iter().enumerate() {
        let mut later = advertisements[index + 1..].iter();
        if let Some(other) = later.find(|other| disagree(one.spec, other.spec, pool)) {
            let (one, other) = (one.name.clone(), other.name.clone());
            return Err(Silence::ConflictingAdvertisements { one, other });
        }
    }
    Ok(())
}

/// The session with one peer, and all that the node tells it.
struct Session<'a> {
    peer: &'a PeerName,
    spec: &'a Peer,
    routes: Routes,
}

/// The sessions of a node, ordered by peer. A node without a speaker has none.
fn sessions<'a>(facts: &'a Facts, node: &NodeName) -> Vec<Session<'a>> {
    let labels = labels(facts, node);
    let has_session =
        |peer: &Peer| runs_speaker(facts, node) && matches_any(&peer.node_selectors, &labels);
    let peers = facts.peers.iter().filter(|(_, spec)| has_session(spec));
    peers.map(|(peer, spec)| Session { peer, spec, routes: Routes::new() }).collect()
}

impl Session<'_> {
    /// Adds one address of a Service to the routes.
    fn announce(
        &mut self,
        service: &ServiceName,
        address: IpAddr,
        advertisements: &[Advertisement<'_>],
    ) -> Result<(), Silence> {
        let family = Family::of(address);
        if !self.spec.carries(family) {
            return Err(Silence::FamilyNotCarried { family });
        }
        let mut ours = advertisements.iter().filter(|ad| ad.spec.is_for(self.peer)).peekable();
        if ours.peek().is_none() {
            let advertisements = names(advertisements);
            return Err(Silence::PeerNotSelected { advertisements });
        }
        for Advertisement { spec, .. } in ours {
            let route = self.routes.entry(prefix(address, spec.aggregation(family))).or_default();
            if self.spec.is_internal() {
                route.local_pref = route.local_pref.max(spec.local_pref);
            }
            route.communities.extend(&spec.communities);
            if !route.services.contains(service) {
                route.services.insert(service.clone());
            }
        }
        Ok(())
    }
}

/// The prefix of `length` that `address` is in. No prefix is longer than the address.
fn prefix(address: IpAddr, length: u8) -> IpNet {
    IpNet::new(address, length).map_or_else(|_| address.into(), |net| net.trunc())
}

impl Peer {
    /// Whether the session shows the AS that the router is in.
    fn is_internal(&self) -> bool {
        match self.remote_asn {
            RemoteAsn::Number(number) => number == self.local_asn.unwrap_or(self.my_asn),
            RemoteAsn::Internal => true,
            RemoteAsn::External => false,
        }
    }

    /// Whether routes of a family go over the session.
    fn carries(&self, family: Family) -> bool {
        let is_multiprotocol = !self.is_multiprotocol_disabled;
        match self.at {
            PeerAddress::Ip(address) => {
                Family::of(address) == family || (self.is_dual_stack && is_multiprotocol)
            }
            // The addresses on such a link are IPv6 addresses.
            PeerAddress::Interface(_) => family == Family::V6 || is_multiprotocol,
        }
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
