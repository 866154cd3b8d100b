//! Which addresses one node announces.
//!
//! The rules are MetalLB's for layer 2. A node is a candidate for the addresses of a Service if
//! it runs a speaker, its network is available, it is not excluded by label, an L2Advertisement
//! for pool and Service selects it, and an endpoint is healthy: any, or one on the node itself if
//! the Service forwards only there. Whether a node is a candidate depends on the facts alone, so
//! all nodes compute the same candidates; only interfaces and silences are of the node that asks.
//!
//! A shared address has one holder for all its Services, so its candidates must be able to serve
//! each of them. A Service that no node can serve does not count: the others stay reachable.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::facts::{Endpoint, Facts, Family, L2Advertisement, Node, Pool, Service, TrafficPolicy};
use crate::names::{AdvertisementName, NodeName, PoolName, ServiceName};
use crate::owner::{self, Candidate};
use crate::plan::{Candidacy, Interfaces, Left, Plan};
use crate::reason::Silence;
use crate::selector::{Labels, Selector};

/// What `node` announces.
///
/// Each address of each Service is in the candidacies with this node among the candidates, or in
/// the silences with the reason why not. It is in both if only other nodes are candidates: then
/// this one may still hold it from before, or stand in for one of them.
pub fn plan(facts: &Facts, node: &NodeName) -> Plan {
    let cluster = Cluster::new(facts, node);
    let mut plan = Plan::default();
    let mut offers: BTreeMap<IpAddr, Vec<Offer<'_>>> = BTreeMap::new();
    for (name, service) in &facts.services {
        let offered = cluster.offer(name, service);
        if service.addresses.is_empty() {
            plan.keep_silent(name, None, Silence::NoAddress);
        }
        // An address that stands twice in the status is one address.
        for address in service.addresses.iter().copied().collect::<BTreeSet<_>>() {
            match (Family::of(address), &offered) {
                (Family::V6, _) => {
                    plan.keep_silent(name, Some(address), Silence::FamilyNotAnnounced);
                }
                (Family::V4, Ok(offer)) => {
                    offers.entry(address).or_default().push(offer.clone());
                }
                (Family::V4, Err(silence)) => {
                    plan.keep_silent(name, Some(address), silence.clone());
                }
            }
        }
    }
    for (address, offers) in offers {
        let together = Together::new(offers);
        for (service, silence) in together.silences(node) {
            plan.keep_silent(service, Some(address), silence);
        }
        if let Some(candidacy) = together.candidacy(node) {
            plan.candidacies.insert(address, candidacy);
        }
    }
    plan.silences.sort_by(|a, b| (&a.service, a.address).cmp(&(&b.service, b.address)));
    plan
}

/// The cluster as one node sees it, with what all Services have in common.
struct Cluster<'a> {
    facts: &'a Facts,
    node: &'a NodeName,
    /// Nodes that can announce anything.
    fit: BTreeSet<&'a NodeName>,
    advertisements: Vec<Advertisement<'a>>,
}

/// An advertisement, and what it says about each node.
struct Advertisement<'a> {
    name: &'a AdvertisementName,
    spec: &'a L2Advertisement,
    /// Nodes that it selects, each with the weight of its preferences for it.
    scores: BTreeMap<&'a NodeName, i64>,
}

/// One Service, and which nodes could announce it if it did not share its addresses.
#[derive(Clone)]
struct Offer<'a> {
    name: &'a ServiceName,
    /// Its addresses are ordered by the first of them.
    first: IpAddr,
    advertisements: Vec<&'a Advertisement<'a>>,
    candidates: BTreeSet<&'a NodeName>,
    /// Why this node is not one of them.
    here: Option<Silence>,
}

impl<'a> Cluster<'a> {
    fn new(facts: &'a Facts, node: &'a NodeName) -> Self {
        let is_fit = |node: &&NodeName| unfitness(facts, node).is_none();
        let fit = facts.nodes.keys().filter(is_fit).collect();
        let advertisements = facts
            .l2_advertisements
            .iter()
            .map(|(name, spec)| Advertisement { name, spec, scores: scores(facts, spec) })
            .collect();
        Self { facts, node, fit, advertisements }
    }

    /// Which nodes could announce a Service.
    ///
    /// # Errors
    ///
    /// Says why none can, whatever the node.
    fn offer(&'a self, name: &'a ServiceName, service: &'a Service) -> Result<Offer<'a>, Silence> {
        let first = *service.addresses.first().ok_or(Silence::NoAddress)?;
        let pool = self.pool(&service.addresses).ok_or(Silence::InNoPool)?;
        let healthy = self.healthy(name);
        if healthy.is_empty() {
            return Err(Silence::NoHealthyEndpoint);
        }
        let advertisements = self.advertisements(service, pool)?;
        let local: BTreeSet<_> = healthy.iter().filter_map(|end| end.node.as_ref()).collect();
        let has_endpoint = |node: &NodeName| match service.traffic_policy {
            TrafficPolicy::Cluster => true,
            TrafficPolicy::Local => local.contains(node),
        };
        let selected = |node: &NodeName| advertisements.iter().any(|ad| ad.selects(node));
        let here = unfitness(self.facts, self.node)
            .or_else(|| {
                let names = || advertisements.iter().map(|ad| ad.name.clone()).collect();
                let not_selected = || Silence::NodeNotSelected { advertisements: names() };
                (!selected(self.node)).then(not_selected)
            })
            .or_else(|| (!has_endpoint(self.node)).then_some(Silence::NoHealthyLocalEndpoint));
        let is_candidate = |node: &&NodeName| selected(node) && has_endpoint(node);
        let candidates = self.fit.iter().copied().filter(is_candidate).collect();
        Ok(Offer { name, first, advertisements, candidates, here })
    }

    /// The one pool that all `addresses` are in, even if it would not give them any more.
    fn pool(&self, addresses: &[IpAddr]) -> Option<(&'a PoolName, &'a Pool)> {
        let has = |pool: &Pool, address| pool.ranges.iter().any(|range| range.contains(address));
        let mut pools = self.facts.pools.iter();
        pools.find(|(_, pool)| addresses.iter().all(|address| has(pool, *address)))
    }

    fn healthy(&self, name: &ServiceName) -> Vec<&'a Endpoint> {
        let endpoints = self.facts.endpoints.get(name).into_iter().flatten();
        endpoints.filter(|endpoint| endpoint.is_healthy).collect()
    }

    /// Advertisements for a Service with addresses of `pool`; at least one.
    fn advertisements(
        &'a self,
        service: &Service,
        (name, pool): (&PoolName, &Pool),
    ) -> Result<Vec<&'a Advertisement<'a>>, Silence> {
        let all = self.advertisements.iter();
        let of_pool: Vec<_> = all.filter(|ad| ad.spec.selects_pool(name, pool)).collect();
        if of_pool.is_empty() {
            return Err(Silence::NoAdvertisement { pool: name.clone() });
        }
        let is_for_service = |ad: &&Advertisement<'_>| ad.spec.selects_service(service);
        let of_service: Vec<_> = of_pool.into_iter().filter(is_for_service).collect();
        if of_service.is_empty() {
            return Err(Silence::ServiceNotSelected { pool: name.clone() });
        }
        // The Services of one address could be selected by different advertisements, and so by
        // different nodes. MetalLB avoids this by not announcing them, shared or not.
        let selective = of_service.iter().find(|ad| !ad.spec.service_selectors.is_empty());
        match selective.filter(|_| service.sharing_key.is_some()) {
            Some(ad) => {
                Err(Silence::SharingWithServiceSelectors { advertisement: ad.name.clone() })
            }
            None => Ok(of_service),
        }
    }
}

/// Why a node can announce nothing at all.
fn unfitness(facts: &Facts, name: &NodeName) -> Option<Silence> {
    let Some(node) = facts.nodes.get(name) else { return Some(Silence::NodeUnknown) };
    if facts.speakers.as_ref().is_some_and(|speakers| !speakers.contains(name)) {
        Some(Silence::NoSpeaker)
    } else if node.is_network_unavailable {
        Some(Silence::NodeNetworkUnavailable)
    } else if node.is_excluded && !facts.ignore_exclude_label {
        Some(Silence::NodeExcluded)
    } else {
        None
    }
}

/// The nodes that an advertisement selects, each with the weight of its preferences for it.
fn scores<'a>(facts: &'a Facts, spec: &L2Advertisement) -> BTreeMap<&'a NodeName, i64> {
    let selected =
        facts.nodes.iter().filter(|(_, node)| matches_any(&spec.node_selectors, &node.labels));
    let score = |node: &Node| {
        let preferred = spec.preferred_nodes.iter();
        let matching = preferred.filter(|(_, selector)| selector.matches(&node.labels));
        matching.map(|(weight, _)| i64::from(*weight)).sum()
    };
    selected.map(|(name, node)| (name, score(node))).collect()
}

/// Whether any selector matches; an empty list matches everything.
fn matches_any(selectors: &[Selector], labels: &Labels) -> bool {
    selectors.is_empty() || selectors.iter().any(|selector| selector.matches(labels))
}

impl L2Advertisement {
    fn selects_pool(&self, name: &PoolName, pool: &Pool) -> bool {
        let selects_all = self.pools.is_empty() && self.pool_selectors.is_empty();
        let mut selectors = self.pool_selectors.iter();
        selects_all
            || self.pools.contains(name)
            || selectors.any(|selector| selector.matches(&pool.labels))
    }

    fn selects_service(&self, service: &Service) -> bool {
        matches_any(&self.service_selectors, &service.labels)
    }
}

impl Advertisement<'_> {
    fn selects(&self, node: &NodeName) -> bool {
        self.scores.contains_key(node)
    }
}

/// The Services of one address.
struct Together<'a> {
    /// Those that the candidates can serve; none if there are no candidates.
    served: Vec<Offer<'a>>,
    /// Those that no node can serve, or none that can serve the others.
    left_out: Vec<Offer<'a>>,
    candidates: BTreeSet<&'a NodeName>,
}

impl<'a> Together<'a> {
    /// Takes Services in the order of their names, and leaves out each that would leave no
    /// candidate: some are served rather than none.
    fn new(offers: Vec<Offer<'a>>) -> Self {
        let (mut served, mut left_out) = (Vec::<Offer<'a>>::new(), Vec::new());
        let mut candidates = BTreeSet::new();
        for offer in offers {
            let common = match served.is_empty() {
                true => offer.candidates.clone(),
                false => candidates.intersection(&offer.candidates).copied().collect(),
            };
            if common.is_empty() {
                left_out.push(offer);
            } else {
                candidates = common;
                served.push(offer);
            }
        }
        Self { served, left_out, candidates }
    }

    fn candidacy(&self, node: &NodeName) -> Option<Candidacy> {
        let first = self.served.first()?.first;
        // By name, because an advertisement counts once for all Services.
        let advertisements: BTreeMap<_, _> = self
            .served
            .iter()
            .flat_map(|offer| &offer.advertisements)
            .map(|ad| (ad.name, *ad))
            .collect();
        let score =
            |node: &NodeName| advertisements.values().filter_map(|ad| ad.scores.get(node)).sum();
        let candidates = self.candidates.iter().map(|node| Candidate { node, score: score(node) });
        Some(Candidacy {
            services: self.served.iter().map(|offer| offer.name.clone()).collect(),
            order: owner::order(candidates, first),
            interfaces: interfaces(advertisements.into_values(), node),
        })
    }

    /// Each Service that `node` does not serve, with the reason.
    fn silences(&self, node: &NodeName) -> Vec<(&'a ServiceName, Silence)> {
        let unserved = self.served.iter().find(|offer| !offer.candidates.contains(node));
        let beside = unserved.map(|offer| Silence::SharerNotServed { sharer: offer.name.clone() });
        let silence = |offer: &Offer<'a>| {
            let here = offer.here.clone().or_else(|| beside.clone())?;
            match offer.candidates.is_empty() {
                true => Some(Silence::NoCandidate { here: Box::new(here) }),
                false => Some(here),
            }
        };
        let all = self.served.iter().chain(&self.left_out);
        all.filter_map(|offer| Some((offer.name, silence(offer)?))).collect()
    }
}

/// Those of the advertisements that select `node`. If none does, the node may still hold the
/// address until another one has claimed it, and answers where it may have answered before.
fn interfaces<'a>(
    advertisements: impl Iterator<Item = &'a Advertisement<'a>>,
    node: &NodeName,
) -> Interfaces {
    let (ours, others): (Vec<_>, Vec<_>) = advertisements.partition(|ad| ad.selects(node));
    let relevant = if ours.is_empty() { others } else { ours };
    match relevant.iter().any(|ad| ad.spec.interfaces.is_empty()) {
        true => Interfaces::All,
        false => {
            let named = relevant.iter().flat_map(|ad| &ad.spec.interfaces);
            Interfaces::Named(named.cloned().collect())
        }
    }
}

impl Plan {
    fn keep_silent(&mut self, service: &ServiceName, address: Option<IpAddr>, silence: Silence) {
        self.silences.push(Left { service: service.clone(), address, silence });
    }
}

#[cfg(test)]
mod tests;
