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
//!
//! Beyond MetalLB, a candidate that is about to go away, drained say, stops being one as long as
//! there is another. The advertisement says which departures count.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::planner::{Holders, Region};
use super::{Case, Pools, is_excluded, unfitness};
use crate::facts::lan::Departure;
use crate::facts::{Endpoint, Facts, L2Advertisement, Node, Service, TrafficPolicy};
use crate::interfaces::Interfaces;
use crate::names::{AdvertisementName, NodeName};
use crate::owner::{Order, Scores};
use crate::plan::{Candidacy, Left, Plan};
use crate::reason::{Protocol, Silence};

/// How many selections are kept. There is one for each set of advertisements that select the same
/// Services, which is few unless somebody makes up labels to have many.
const SELECTIONS: usize = 256;

/// The LAN as one node sees it, with what all Services have in common.
pub(super) struct Lan {
    node: NodeName,
    pools: Pools,
    /// Why the node can announce nothing at all.
    unfit: Option<Silence>,
    /// Nodes that can announce anything.
    fit: BTreeSet<NodeName>,
    /// Nodes with a label that excludes them, unless an advertisement ignores it.
    excluded: BTreeSet<NodeName>,
    /// Nodes that are about to go away.
    departing: BTreeMap<NodeName, BTreeSet<Departure>>,
    advertisements: Vec<Advertisement>,
    /// By the places of the advertisements: most Services have the same ones, and with many nodes
    /// this is the larger part of the work.
    selections: BTreeMap<Vec<usize>, Arc<Selection>>,
}

/// An advertisement, and the nodes that it selects.
#[derive(Clone)]
struct Advertisement {
    name: AdvertisementName,
    spec: L2Advertisement,
    nodes: Arc<Scores>,
}

/// Some advertisements, and the fit nodes that any of them selects.
struct Selection {
    advertisements: Vec<Advertisement>,
    nodes: Arc<Scores>,
}

/// One Service, and which nodes could announce it if it did not share its addresses.
#[derive(Clone)]
struct Offer<'a> {
    case: Case<'a>,
    /// Its addresses are ordered by the first of them.
    first: IpAddr,
    selection: Arc<Selection>,
    candidates: Arc<Scores>,
    /// Why this node is not one of them.
    here: Option<Silence>,
}

impl Lan {
    pub(super) fn new(facts: &Facts, node: &NodeName) -> Self {
        let is_fit = |node: &&NodeName| unfitness(facts, node).is_none();
        let is_excluded = |node: &&NodeName| is_excluded(facts, node);
        let departing = facts.nodes.iter().filter(|(_, node)| !node.departures.is_empty());
        Self {
            node: node.clone(),
            pools: Pools::new(facts),
            unfit: unfitness(facts, node),
            fit: facts.nodes.keys().filter(is_fit).cloned().collect(),
            excluded: facts.nodes.keys().filter(is_excluded).cloned().collect(),
            departing: departing
                .map(|(name, node)| (name.clone(), node.departures.clone()))
                .collect(),
            advertisements: Advertisement::all(facts),
            selections: BTreeMap::new(),
        }
    }

    /// Adds to `plan` what the node does on the LAN.
    pub(super) fn plan(&mut self, facts: &Facts, plan: &mut Plan) {
        let mut offers: BTreeMap<IpAddr, Vec<Offer<'_>>> = BTreeMap::new();
        let mut rivals = BTreeMap::new();
        for case in Case::all(facts) {
            if let Some(node) = facts.rivals.get(case.name) {
                rivals.extend(case.addresses().into_iter().map(|address| (address, node)));
            }
            let Some(offer) = self.decide(facts, case, &mut plan.silences) else { continue };
            for address in case.addresses() {
                offers.entry(address).or_default().push(offer.clone());
            }
        }
        for (address, offers) in offers {
            let rival = rivals.get(&address).copied();
            self.settle(address, Together::new(offers, rival), plan);
        }
    }

    /// Adds to `plan` that part of it which a Service has to do with.
    pub(super) fn part(
        &mut self,
        facts: &Facts,
        holders: &Holders,
        region: &Region,
        plan: &mut Plan,
    ) {
        if let Some(case) = region.case(facts) {
            self.decide(facts, case, &mut plan.silences);
        }
        for address in region.addresses.iter().copied() {
            let cases: Vec<_> = holders.cases(facts, address..=address).collect();
            let rival = cases.iter().rev().find_map(|case| facts.rivals.get(case.name));
            let offers = cases.into_iter().filter_map(|case| self.offer(facts, case).ok());
            let together = Together::new(offers.collect(), rival);
            self.settle(address, together, plan);
        }
    }

    /// Which nodes could announce a Service, and the silences that have nothing to do with others
    /// at its addresses.
    fn decide<'a>(
        &mut self,
        facts: &Facts,
        case: Case<'a>,
        silences: &mut BTreeSet<Left>,
    ) -> Option<Offer<'a>> {
        let offered = self.offer(facts, case);
        let mut keep_silent = |address, silence| {
            silences.insert(case.left(address, Protocol::Lan, silence));
        };
        if case.service.addresses.is_empty() {
            keep_silent(None, Silence::NoAddress);
        }
        if let Err(silence) = &offered {
            for address in case.addresses() {
                keep_silent(Some(address), silence.clone());
            }
        }
        offered.ok()
    }

    /// Adds to `plan` who may answer for an address, given the Services there by name.
    fn settle(&self, address: IpAddr, mut together: Together<'_>, plan: &mut Plan) {
        together.spare(&self.departing);
        for (case, silence) in together.silences(&self.node) {
            plan.silences.insert(case.left(Some(address), Protocol::Lan, silence));
        }
        if let Some(candidacy) = together.candidacy(&self.node) {
            plan.candidacies.insert(address, candidacy);
        }
    }

    /// Which nodes could announce a Service.
    ///
    /// # Errors
    ///
    /// Says why none can, whatever the node.
    fn offer<'a>(&mut self, facts: &Facts, case: Case<'a>) -> Result<Offer<'a>, Silence> {
        let Case { service, endpoints, .. } = case;
        let first = *service.addresses.first().ok_or(Silence::NoAddress)?;
        if self.pools.of(&service.addresses).is_none() {
            return Err(Silence::InNoPool);
        }
        if !endpoints.iter().any(|endpoint| endpoint.is_healthy) {
            return Err(Silence::NoHealthyEndpoint);
        }
        let selection = self.selection(facts, service)?;
        let healthy = endpoints.iter().filter(|endpoint| endpoint.is_healthy);
        let local = healthy.filter_map(|endpoint: &Endpoint| endpoint.node.as_ref());
        let candidates = match service.traffic_policy {
            TrafficPolicy::Cluster => Arc::clone(&selection.nodes),
            TrafficPolicy::Local => {
                let nodes = local.clone().filter_map(|node| selection.nodes.get_key_value(node));
                Arc::new(nodes.map(|(node, score)| (node.clone(), *score)).collect())
            }
        };
        let has_endpoint = match service.traffic_policy {
            TrafficPolicy::Cluster => true,
            TrafficPolicy::Local => local.into_iter().any(|node| *node == self.node),
        };
        let here = self.unfit.clone().or_else(|| {
            if selection.heeds_exclude_label() && self.excluded.contains(&self.node) {
                return Some(Silence::NodeExcluded);
            }
            let is_selected = selection.advertisements.iter().any(|ad| ad.selects(&self.node));
            match (is_selected, has_endpoint) {
                (true, true) => None,
                (true, false) => Some(Silence::NoHealthyLocalEndpoint),
                (false, _) => Some(selection.unselected()),
            }
        });
        Ok(Offer { case, first, selection, candidates, here })
    }

    /// The advertisements for a Service; at least one.
    fn selection(&mut self, facts: &Facts, service: &Service) -> Result<Arc<Selection>, Silence> {
        let places = self.advertisements(facts, service)?;
        if let Some(selection) = self.selections.get(&places) {
            return Ok(Arc::clone(selection));
        }
        if self.selections.len() >= SELECTIONS {
            self.selections.clear();
        }
        let advertisements = places.iter().map(|place| self.advertisements[*place].clone());
        let selection =
            Arc::new(Selection::new(advertisements.collect(), &self.fit, &self.excluded));
        self.selections.insert(places, Arc::clone(&selection));
        Ok(selection)
    }

    /// The places of the advertisements for a Service; at least one.
    fn advertisements(&self, facts: &Facts, service: &Service) -> Result<Vec<usize>, Silence> {
        let name = self.pools.of(&service.addresses).ok_or(Silence::InNoPool)?;
        let pool = facts.pools.get(name).ok_or(Silence::InNoPool)?;
        let all = self.advertisements.iter().enumerate();
        let of_pool: Vec<_> = all.filter(|(_, ad)| ad.spec.selection().pool(name, pool)).collect();
        if of_pool.is_empty() {
            return Err(Silence::NoAdvertisement { kind: Protocol::Lan, pool: name.clone() });
        }
        let is_for_service = |ad: &Advertisement| ad.spec.selection().service(service);
        let of_service: Vec<_> = of_pool.into_iter().filter(|(_, ad)| is_for_service(ad)).collect();
        if of_service.is_empty() {
            return Err(Silence::ServiceNotSelected { kind: Protocol::Lan, pool: name.clone() });
        }
        // The Services of one address could be selected by different advertisements, and so by
        // different nodes. MetalLB avoids this by not announcing them, shared or not.
        let selective = of_service.iter().find(|(_, ad)| !ad.spec.service_selectors.is_empty());
        match selective.filter(|_| service.sharing_key.is_some()) {
            Some((_, ad)) => {
                Err(Silence::SharingWithServiceSelectors { advertisement: ad.name.clone() })
            }
            None => Ok(of_service.into_iter().map(|(place, _)| place).collect()),
        }
    }
}

impl Selection {
    /// Of at least one advertisement, the one whose name comes first at the front.
    fn new(
        advertisements: Vec<Advertisement>,
        fit: &BTreeSet<NodeName>,
        excluded: &BTreeSet<NodeName>,
    ) -> Self {
        let mut selection = Self { advertisements, nodes: Arc::default() };
        let heeds = selection.heeds_exclude_label();
        let mut nodes = Scores::new();
        for (node, score) in selection.advertisements.iter().flat_map(|ad| &*ad.nodes) {
            if fit.contains(node) && !(heeds && excluded.contains(node)) {
                *nodes.entry(node.clone()).or_default() += score;
            }
        }
        selection.nodes = Arc::new(nodes);
        selection
    }

    /// Whether nodes with the exclude label are left out.
    fn heeds_exclude_label(&self) -> bool {
        self.advertisements.first().is_none_or(|ad| !ad.spec.settings.ignores_exclude_label)
    }

    /// Why a node that none of them selects does not announce.
    fn unselected(&self) -> Silence {
        let advertisements = self.advertisements.iter().map(|ad| ad.name.clone()).collect();
        Silence::NodeNotSelected { kind: Protocol::Lan, advertisements }
    }
}

impl Advertisement {
    fn all(facts: &Facts) -> Vec<Self> {
        let score = |spec: &L2Advertisement, node: &Node| {
            let preferred = spec.preferred_nodes.iter();
            let matching = preferred.filter(|(_, selector)| selector.matches(&node.labels));
            matching.map(|(weight, _)| i64::from(*weight)).sum()
        };
        let all = facts.l2_advertisements.iter();
        all.map(|(name, spec)| {
            let is_selected = |node: &Node| spec.selection().node(&node.labels);
            let nodes = facts.nodes.iter().filter(|(_, node)| is_selected(node));
            let nodes = nodes.map(|(name, node)| (name.clone(), score(spec, node))).collect();
            Self { name: name.clone(), spec: spec.clone(), nodes: Arc::new(nodes) }
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
    /// From where a MetalLB that still runs announces the address: all of them are left to it.
    rival: Option<&'a NodeName>,
    /// With the scores that they have for the first Service.
    candidates: Arc<Scores>,
    /// Nodes that could serve all the same, but are about to go away.
    departing: BTreeMap<NodeName, Departure>,
}

impl<'a> Together<'a> {
    /// Takes Services in the order of their names, and leaves out each that would leave no
    /// candidate: some are served rather than none.
    fn new(offers: Vec<Offer<'a>>, rival: Option<&'a NodeName>) -> Self {
        let (mut served, mut left_out) = (Vec::<Offer<'a>>::new(), Vec::new());
        let mut candidates = Arc::default();
        for offer in offers {
            let remaining = match (rival, served.is_empty()) {
                (Some(_), _) => Arc::default(),
                (None, true) => Arc::clone(&offer.candidates),
                (None, false) => common(&candidates, &offer.candidates),
            };
            if remaining.is_empty() {
                left_out.push(offer);
            } else {
                candidates = remaining;
                served.push(offer);
            }
        }
        Self { served, left_out, rival, candidates, departing: BTreeMap::new() }
    }

    /// Takes nodes that are about to go away from the candidates, unless all of them are: then any
    /// of them is better than none.
    fn spare(&mut self, departing: &BTreeMap<NodeName, BTreeSet<Departure>>) {
        if departing.is_empty() {
            return;
        }
        let Some(Advertisement { spec, .. }) = self.governing() else { return };
        let moves_away = &spec.settings.moves_away;
        let departure = |node: &NodeName| departing.get(node)?.intersection(moves_away).next();
        let is_departing = |node: &NodeName| Some((node.clone(), *departure(node)?));
        let departing: BTreeMap<_, _> = self.candidates.keys().filter_map(is_departing).collect();
        if !departing.is_empty() && departing.len() < self.candidates.len() {
            let staying = self.candidates.iter().filter(|(node, _)| !departing.contains_key(*node));
            self.candidates = Arc::new(staying.map(|(node, at)| (node.clone(), *at)).collect());
            self.departing = departing;
        }
    }

    fn advertisements(&self) -> impl Iterator<Item = &Advertisement> {
        self.served.iter().flat_map(|offer| offer.selection.advertisements.iter())
    }

    /// The advertisement whose settings count: every node must choose the same.
    fn governing(&self) -> Option<&Advertisement> {
        self.advertisements().min_by(|one, other| one.name.cmp(&other.name))
    }

    fn candidacy(&self, node: &NodeName) -> Option<Candidacy> {
        let first = self.served.first()?.first;
        let governing = self.governing()?;
        Some(Candidacy {
            services: self.served.iter().map(|offer| offer.case.name.clone()).collect(),
            order: Order::new(Arc::clone(&self.candidates), first),
            interfaces: interfaces(self.advertisements(), node),
            settings: Arc::clone(&governing.spec.settings),
            settings_from: governing.name.clone(),
        })
    }

    /// Each Service that `node` does not serve, with the reason.
    fn silences(&self, node: &NodeName) -> Vec<(Case<'a>, Silence)> {
        if let Some(rival) = self.rival {
            let silence = || Silence::RivalAnnounces { node: rival.clone() };
            return self.left_out.iter().map(|offer| (offer.case, silence())).collect();
        }
        let unserved = self.served.iter().find(|offer| !offer.candidates.contains_key(node));
        let beside =
            unserved.map(|offer| Silence::SharerNotServed { sharer: offer.case.name.clone() });
        let departing = self.departing.get(node);
        let departing = departing.map(|departure| Silence::NodeDeparting { why: *departure });
        let elsewhere = beside.or(departing);
        let silence = |offer: &Offer<'a>| {
            let here = offer.here.clone().or_else(|| elsewhere.clone())?;
            match offer.candidates.is_empty() {
                true => Some(Silence::NoCandidate { here: Box::new(here) }),
                false => Some(here),
            }
        };
        let all = self.served.iter().chain(&self.left_out);
        all.filter_map(|offer| Some((offer.case, silence(offer)?))).collect()
    }
}

/// The nodes of both, with the scores of the first.
fn common(one: &Arc<Scores>, other: &Arc<Scores>) -> Arc<Scores> {
    if Arc::ptr_eq(one, other) {
        return Arc::clone(one);
    }
    let nodes = one.iter().filter(|(node, _)| other.contains_key(*node));
    Arc::new(nodes.map(|(node, score)| (node.clone(), *score)).collect())
}

/// Those of the advertisements that select `node`. If none does, the node may still hold the
/// address until another one has claimed it, and answers where it may have answered before.
fn interfaces<'a>(
    advertisements: impl Iterator<Item = &'a Advertisement>,
    node: &NodeName,
) -> Interfaces {
    let (ours, others): (Vec<_>, Vec<_>) = advertisements.partition(|ad| ad.selects(node));
    let relevant = if ours.is_empty() { others } else { ours };
    Interfaces::new(relevant.iter().map(|ad| &ad.spec.interfaces))
}

#[cfg(test)]
pub(super) mod tests;
