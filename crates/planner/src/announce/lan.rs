//! Which addresses one node may hold on the LAN.
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
use std::rc::Rc;

use super::{Pools, distinct, unfitness};
use crate::facts::{Endpoint, Facts, Family, L2Advertisement, Node, Pool, Service, TrafficPolicy};
use crate::names::{AdvertisementName, NodeName, PoolName, ServiceName};
use crate::owner::{self, Candidate};
use crate::plan::{Candidacy, Interfaces, Left, Plan};
use crate::reason::{Protocol, Silence};

/// Adds to `plan` what `node` does on the LAN.
pub(super) fn plan(facts: &Facts, node: &NodeName, plan: &mut Plan) {
    let advertisements = Advertisement::all(facts);
    let mut cluster = Cluster::new(facts, node, &advertisements);
    let mut keep_silent = |service: &ServiceName, address, silence| {
        plan.silences.push(Left {
            service: service.clone(),
            address,
            protocol: Protocol::Lan,
            peer: None,
            silence,
        });
    };
    let mut offers: BTreeMap<IpAddr, Vec<Offer<'_>>> = BTreeMap::new();
    for (name, service) in &facts.services {
        let offered = cluster.offer(name, service);
        if service.addresses.is_empty() {
            keep_silent(name, None, Silence::NoAddress);
        }
        for address in distinct(&service.addresses) {
            match (Family::of(address), &offered) {
                (Family::V6, _) => {
                    keep_silent(name, Some(address), Silence::FamilyNotAnnounced);
                }
                (Family::V4, Ok(offer)) => {
                    offers.entry(address).or_default().push(offer.clone());
                }
                (Family::V4, Err(silence)) => {
                    keep_silent(name, Some(address), silence.clone());
                }
            }
        }
    }
    for (address, offers) in offers {
        let together = Together::new(offers);
        for (service, silence) in together.silences(node) {
            keep_silent(service, Some(address), silence);
        }
        if let Some(candidacy) = together.candidacy(node) {
            plan.candidacies.insert(address, candidacy);
        }
    }
}

/// Nodes, each with the weight of all preferences for it.
type Scores<'a> = BTreeMap<&'a NodeName, i64>;

/// The cluster as one node sees it, with what all Services have in common.
struct Cluster<'a> {
    facts: &'a Facts,
    node: &'a NodeName,
    pools: Pools<'a>,
    /// Nodes that can announce anything.
    fit: BTreeSet<&'a NodeName>,
    advertisements: &'a [Advertisement<'a>],
    /// Fit nodes that some advertisements select together: most Services have the same ones, and
    /// with many nodes this is the larger part of the work.
    selected: BTreeMap<Vec<&'a AdvertisementName>, Rc<Scores<'a>>>,
}

/// An advertisement, and the nodes that it selects.
struct Advertisement<'a> {
    name: &'a AdvertisementName,
    spec: &'a L2Advertisement,
    nodes: Scores<'a>,
}

/// One Service, and which nodes could announce it if it did not share its addresses.
#[derive(Clone)]
struct Offer<'a> {
    name: &'a ServiceName,
    /// Its addresses are ordered by the first of them.
    first: IpAddr,
    advertisements: Rc<[&'a Advertisement<'a>]>,
    candidates: Rc<Scores<'a>>,
    /// Why this node is not one of them.
    here: Option<Silence>,
}

impl<'a> Cluster<'a> {
    fn new(facts: &'a Facts, node: &'a NodeName, advertisements: &'a [Advertisement<'a>]) -> Self {
        let is_fit = |node: &&NodeName| unfitness(facts, node).is_none();
        let fit = facts.nodes.keys().filter(is_fit).collect();
        Self {
            facts,
            node,
            pools: Pools::new(facts),
            fit,
            advertisements,
            selected: BTreeMap::new(),
        }
    }

    /// Which nodes could announce a Service.
    ///
    /// # Errors
    ///
    /// Says why none can, whatever the node.
    fn offer(&mut self, name: &'a ServiceName, service: &'a Service) -> Result<Offer<'a>, Silence> {
        let first = *service.addresses.first().ok_or(Silence::NoAddress)?;
        let pool = self.pools.of(&service.addresses).ok_or(Silence::InNoPool)?;
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
        let here = unfitness(self.facts, self.node)
            .or_else(|| {
                let is_selected = advertisements.iter().any(|ad| ad.selects(self.node));
                let names = || advertisements.iter().map(|ad| ad.name.clone()).collect();
                (!is_selected).then(|| Silence::NodeNotSelected {
                    kind: Protocol::Lan,
                    advertisements: names(),
                })
            })
            .or_else(|| (!has_endpoint(self.node)).then_some(Silence::NoHealthyLocalEndpoint));
        let selected = self.selected(&advertisements);
        let candidates = match service.traffic_policy {
            TrafficPolicy::Cluster => selected,
            TrafficPolicy::Local => {
                let nodes = selected.iter().filter(|(node, _)| has_endpoint(node));
                Rc::new(nodes.map(|(node, score)| (*node, *score)).collect())
            }
        };
        Ok(Offer { name, first, advertisements: advertisements.into(), candidates, here })
    }

    /// The fit nodes that any of these advertisements selects.
    fn selected(&mut self, advertisements: &[&'a Advertisement<'a>]) -> Rc<Scores<'a>> {
        let names = advertisements.iter().map(|ad| ad.name).collect();
        let by_any = || {
            let mut scores = Scores::new();
            for (node, score) in advertisements.iter().flat_map(|ad| &ad.nodes) {
                if self.fit.contains(node) {
                    *scores.entry(*node).or_default() += score;
                }
            }
            Rc::new(scores)
        };
        Rc::clone(self.selected.entry(names).or_insert_with(by_any))
    }

    fn healthy(&self, name: &ServiceName) -> Vec<&'a Endpoint> {
        let endpoints = self.facts.endpoints.get(name).into_iter().flatten();
        endpoints.filter(|endpoint| endpoint.is_healthy).collect()
    }

    /// Advertisements for a Service with addresses of `pool`; at least one.
    fn advertisements(
        &self,
        service: &Service,
        (name, pool): (&PoolName, &Pool),
    ) -> Result<Vec<&'a Advertisement<'a>>, Silence> {
        let all = self.advertisements.iter();
        let of_pool: Vec<_> = all.filter(|ad| ad.spec.selection().pool(name, pool)).collect();
        if of_pool.is_empty() {
            return Err(Silence::NoAdvertisement { kind: Protocol::Lan, pool: name.clone() });
        }
        let is_for_service = |ad: &&Advertisement<'_>| ad.spec.selection().service(service);
        let of_service: Vec<_> = of_pool.into_iter().filter(is_for_service).collect();
        if of_service.is_empty() {
            return Err(Silence::ServiceNotSelected { kind: Protocol::Lan, pool: name.clone() });
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

impl<'a> Advertisement<'a> {
    fn all(facts: &'a Facts) -> Vec<Self> {
        let score = |spec: &L2Advertisement, node: &Node| {
            let preferred = spec.preferred_nodes.iter();
            let matching = preferred.filter(|(_, selector)| selector.matches(&node.labels));
            matching.map(|(weight, _)| i64::from(*weight)).sum()
        };
        let all = facts.l2_advertisements.iter();
        all.map(|(name, spec)| {
            let is_selected = |node: &Node| spec.selection().node(&node.labels);
            let nodes = facts.nodes.iter().filter(|(_, node)| is_selected(node));
            let nodes = nodes.map(|(name, node)| (name, score(spec, node))).collect();
            Self { name, spec, nodes }
        })
        .collect()
    }

    fn selects(&self, node: &NodeName) -> bool {
        self.nodes.contains_key(node)
    }
}

/// The Services of one address.
struct Together<'a> {
    /// Those that the candidates can serve; none if there are no candidates.
    served: Vec<Offer<'a>>,
    /// Those that no node can serve, or none that can serve the others.
    left_out: Vec<Offer<'a>>,
    /// With the scores that they have for the first Service.
    candidates: Rc<Scores<'a>>,
}

impl<'a> Together<'a> {
    /// Takes Services in the order of their names, and leaves out each that would leave no
    /// candidate: some are served rather than none.
    fn new(offers: Vec<Offer<'a>>) -> Self {
        let (mut served, mut left_out) = (Vec::<Offer<'a>>::new(), Vec::new());
        let mut candidates = Rc::default();
        for offer in offers {
            let remaining = match served.is_empty() {
                true => Rc::clone(&offer.candidates),
                false => Rc::new(common(&candidates, &offer.candidates)),
            };
            if remaining.is_empty() {
                left_out.push(offer);
            } else {
                candidates = remaining;
                served.push(offer);
            }
        }
        Self { served, left_out, candidates }
    }

    fn candidacy(&self, node: &NodeName) -> Option<Candidacy> {
        let first = self.served.first()?.first;
        let candidates = self.candidates.iter();
        let candidates = candidates.map(|(node, score)| Candidate { node, score: *score });
        let advertisements = self.served.iter().flat_map(|offer| offer.advertisements.iter());
        Some(Candidacy {
            services: self.served.iter().map(|offer| offer.name.clone()).collect(),
            order: owner::order(candidates, first),
            interfaces: interfaces(advertisements.copied(), node),
        })
    }

    /// Each Service that `node` does not serve, with the reason.
    fn silences(&self, node: &NodeName) -> Vec<(&'a ServiceName, Silence)> {
        let unserved = self.served.iter().find(|offer| !offer.candidates.contains_key(node));
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

/// The nodes of both, with the scores of the first.
fn common<'a>(one: &Scores<'a>, other: &Scores<'a>) -> Scores<'a> {
    let nodes = one.iter().filter(|(node, _)| other.contains_key(*node));
    nodes.map(|(node, score)| (*node, *score)).collect()
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

#[cfg(test)]
mod tests;
