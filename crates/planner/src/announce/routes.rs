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
use super::planner::{Holders, Region};
use super::selection::matches_any;
use super::{Case, Pools, is_excluded, runs_speaker, unfitness};
use crate::facts::bgp::{BgpAdvertisement, Peer, PeerAddress, RemoteAsn};
use crate::facts::{Facts, Family, Pool, Service, TrafficPolicy};
use crate::names::{AdvertisementName, NodeName, PeerName, PoolName};
use crate::plan::{Left, Plan, Routes};
use crate::reason::{Protocol, Silence};
use crate::selector::Labels;

/// What decides for all routers alike, and the sessions.
pub(super) struct Speaker {
    node: NodeName,
    pools: Pools,
    /// Why the node can announce nothing at all.
    unfit: Option<Silence>,
    /// The advertisements of each pool.
    advertisements: BTreeMap<PoolName, Vec<Advertisement>>,
    /// Ordered by peer.
    sessions: Vec<Session>,
}

/// An advertisement as the node sees it.
#[derive(Clone)]
struct Advertisement {
    name: AdvertisementName,
    spec: BgpAdvertisement,
    /// Whether it selects the node.
    is_for_node: bool,
}

/// What the node tells routers of one Service.
#[derive(Default)]
struct Told<'a> {
    routes: Vec<Telling<'a>>,
    silences: Vec<Left>,
}

/// One advertisement of one address to one peer.
struct Telling<'a> {
    session: &'a Session,
    prefix: IpNet,
    spec: &'a BgpAdvertisement,
}

impl Speaker {
    pub(super) fn new(facts: &Facts, node: &NodeName) -> Self {
        let labels = labels(facts, node);
        let specs = facts.bgp_advertisements.iter();
        let all: Vec<_> = specs
            .map(|(name, spec)| {
                let is_for_node = spec.selection().node(&labels);
                Advertisement { name: name.clone(), spec: spec.clone(), is_for_node }
            })
            .collect();
        let of_pool = |name, pool| {
            let selecting = all.iter().filter(|ad| ad.spec.selection().pool(name, pool));
            selecting.cloned().collect()
        };
        let pools = facts.pools.iter();
        let sessions = sessions(facts, node);
        Self {
            node: node.clone(),
            pools: Pools::new(facts),
            unfit: unfitness(facts, node)
                .or_else(|| is_excluded(facts, node).then_some(Silence::NodeExcluded))
                .or_else(|| sessions.is_empty().then_some(Silence::NoPeer)),
            advertisements: pools.map(|(name, pool)| (name.clone(), of_pool(name, pool))).collect(),
            sessions,
        }
    }

    /// Adds to `plan` what the node tells routers.
    pub(super) fn plan(&self, facts: &Facts, plan: &mut Plan) {
        self.greet(plan);
        for case in Case::all(facts) {
            let told = self.tell(facts, case);
            plan.silences.extend(told.silences);
            told.routes.iter().for_each(|telling| telling.add(case, plan));
        }
    }

    /// Adds to `plan` that part of it which a Service has to do with.
    pub(super) fn part(&self, facts: &Facts, holders: &Holders, region: &Region, plan: &mut Plan) {
        self.greet(plan);
        if let Some(case) = region.case(facts) {
            plan.silences.extend(self.tell(facts, case).silences);
        }
        for prefix in &region.prefixes {
            for case in holders.cases(facts, prefix.network()..=prefix.broadcast()) {
                let told = self.tell(facts, case);
                let inside = told.routes.iter().filter(|telling| telling.prefix == *prefix);
                inside.for_each(|telling| telling.add(case, plan));
            }
        }
    }

    /// The prefixes of all routes that a Service is in.
    pub(super) fn prefixes(&self, facts: &Facts, case: Case<'_>) -> BTreeSet<IpNet> {
        self.tell(facts, case).routes.iter().map(|telling| telling.prefix).collect()
    }

    fn greet(&self, plan: &mut Plan) {
        let peers = self.sessions.iter().map(|session| session.peer.clone());
        plan.peers.extend(peers.map(|peer| (peer, Routes::new())));
    }

    fn tell(&self, facts: &Facts, case: Case<'_>) -> Told<'_> {
        let mut told = Told::default();
        let offered = self.offer(facts, case);
        if case.service.addresses.is_empty() {
            told.silences.push(case.left(None, Protocol::Bgp, Silence::NoAddress));
        }
        for address in case.addresses() {
            let left = |silence| case.left(Some(address), Protocol::Bgp, silence);
            match &offered {
                Ok(advertisements) => {
                    for session in &self.sessions {
                        match session.announce(address, advertisements) {
                            Ok(tellings) => told.routes.extend(tellings),
                            Err(silence) => told
                                .silences
                                .push(Left { peer: Some(session.peer.clone()), ..left(silence) }),
                        }
                    }
                }
                Err(silence) => told.silences.push(left(silence.clone())),
            }
        }
        told
    }

    /// The advertisements by which the node announces a Service; at least one.
    ///
    /// # Errors
    ///
    /// Says why it announces the Service to nobody.
    fn offer(&self, facts: &Facts, case: Case<'_>) -> Result<Vec<&Advertisement>, Silence> {
        let addresses = &case.service.addresses;
        if addresses.is_empty() {
            return Err(Silence::NoAddress);
        }
        let name = self.pools.of(addresses).ok_or(Silence::InNoPool)?;
        let pool = facts.pools.get(name).ok_or(Silence::InNoPool)?;
        let advertisements = self.advertisements(case.service, name)?;
        without_conflict(&advertisements, pool)?;
        match &self.unfit {
            Some(silence) => Err(silence.clone()),
            None => self.serve(case).map(|()| advertisements),
        }
    }

    /// Those for pool, Service and node.
    fn advertisements(
        &self,
        service: &Service,
        pool: &PoolName,
    ) -> Result<Vec<&Advertisement>, Silence> {
        let kind = Protocol::Bgp;
        let of_pool = self.advertisements.get(pool).map_or(&[][..], Vec::as_slice);
        if of_pool.is_empty() {
            return Err(Silence::NoAdvertisement { kind, pool: pool.clone() });
        }
        let of_service = of_pool.iter().filter(|ad| ad.spec.selection().service(service));
        let of_service: Vec<_> = of_service.collect();
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
    fn serve(&self, case: Case<'_>) -> Result<(), Silence> {
        let endpoints = case.endpoints.iter();
        let mut serving = endpoints.filter(|endpoint| endpoint.is_healthy && endpoint.has_address);
        match case.service.traffic_policy {
            TrafficPolicy::Cluster => serving.next().map(|_| ()).ok_or(Silence::NoHealthyEndpoint),
            TrafficPolicy::Local => serving
                .find(|endpoint| endpoint.node.as_ref() == Some(&self.node))
                .map(|_| ())
                .ok_or(Silence::NoHealthyLocalEndpoint),
        }
    }
}

impl Telling<'_> {
    /// Adds one address of a Service to the routes.
    fn add(&self, case: Case<'_>, plan: &mut Plan) {
        let Some(routes) = plan.peers.get_mut(&self.session.peer) else { return };
        let route = routes.entry(self.prefix).or_default();
        if self.session.is_internal {
            route.local_pref = route.local_pref.max(self.spec.local_pref);
        }
        route.communities.extend(&self.spec.communities);
        if !route.services.contains(case.name) {
            route.services.insert(case.name.clone());
        }
    }
}

/// A node that is unknown has no labels.
fn labels(facts: &Facts, node: &NodeName) -> Labels {
    facts.nodes.get(node).map(|node| node.labels.clone()).unwrap_or_default()
}

fn names(advertisements: &[&Advertisement]) -> BTreeSet<AdvertisementName> {
    advertisements.iter().map(|ad| ad.name.clone()).collect()
}

/// All advertisements of one Service and node, with Service selectors or without, must agree.
fn without_conflict(advertisements: &[&Advertisement], pool: &Pool) -> Result<(), Silence> {
    for (index, one) in advertisements.iter().enumerate() {
        let mut later = advertisements[index + 1..].iter();
        if let Some(other) = later.find(|other| disagree(&one.spec, &other.spec, pool)) {
            let (one, other) = (one.name.clone(), other.name.clone());
            return Err(Silence::ConflictingAdvertisements { one, other });
        }
    }
    Ok(())
}

/// The session with one peer.
struct Session {
    peer: PeerName,
    /// Whether the router is in our AS.
    is_internal: bool,
    /// Families of the routes that go over it.
    families: Vec<Family>,
}

/// The sessions of a node, ordered by peer. A node without a speaker has none.
fn sessions(facts: &Facts, node: &NodeName) -> Vec<Session> {
    let labels = labels(facts, node);
    let has_session =
        |peer: &Peer| runs_speaker(facts, node) && matches_any(&peer.node_selectors, &labels);
    let peers = facts.peers.iter().filter(|(_, spec)| has_session(spec));
    let carried = |spec: &Peer| {
        let families = [Family::V4, Family::V6].into_iter();
        families.filter(|family| spec.carries(*family)).collect()
    };
    peers
        .map(|(peer, spec)| Session {
            peer: peer.clone(),
            is_internal: spec.is_internal(),
            families: carried(spec),
        })
        .collect()
}

impl Session {
    /// How the peer is told of one address.
    fn announce<'a>(
        &'a self,
        address: IpAddr,
        advertisements: &[&'a Advertisement],
    ) -> Result<Vec<Telling<'a>>, Silence> {
        let family = Family::of(address);
        if !self.families.contains(&family) {
            return Err(Silence::FamilyNotCarried { family });
        }
        let ours = advertisements.iter().filter(|ad| ad.spec.is_for(&self.peer));
        let tellings: Vec<_> = ours
            .map(|ad| Telling {
                session: self,
                prefix: prefix(address, ad.spec.aggregation(family)),
                spec: &ad.spec,
            })
            .collect();
        match tellings.is_empty() {
            true => Err(Silence::PeerNotSelected { advertisements: names(advertisements) }),
            false => Ok(tellings),
        }
    }
}

/// The prefix of `length` that `address` is in. No prefix is longer than the address.
fn prefix(address: IpAddr, length: u8) -> IpNet {
    IpNet::new(address, length).map_or_else(|_| address.into(), |net| net.trunc())
}

impl Peer {
    /// Whether the session shows the AS that the router is in.
    pub fn is_internal(&self) -> bool {
        match self.remote_asn {
            RemoteAsn::Number(number) => number == self.local_asn.unwrap_or(self.my_asn),
            RemoteAsn::Internal => true,
            RemoteAsn::External => false,
        }
    }

    /// Whether routes of a family go over the session.
    pub fn carries(&self, family: Family) -> bool {
        match self.at {
            PeerAddress::Ip(address) => Family::of(address) == family || self.is_dual_stack,
            // Such a link has only IPv6 addresses, which are next hops of both (RFC 8950).
            PeerAddress::Interface(_) => true,
        }
    }
}

#[cfg(test)]
pub(super) mod properties;
#[cfg(test)]
mod tests;
