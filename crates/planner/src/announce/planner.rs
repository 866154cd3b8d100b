//! The plan of one node, kept up to date change by change.
//!
//! A change of a Service, of its endpoints or of its rival decides that Service again, and those
//! that share an address or an aggregated prefix with it, by the same rules as [`super::plan`]. The
//! labels of namespaces and the addresses of nodes are in no plan, so their changes cost nothing.
//! Anything else can be about every Service, and makes the whole plan anew: pools, advertisements,
//! peers, speakers, and what a node's labels and conditions say.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;

use super::{Case, Rules};
use crate::facts::lan::Departure;
use crate::facts::{Change, Facts, Node};
use crate::names::{NodeName, ServiceName};
use crate::plan::{Plan, PlanDiff};

/// What a node announces, and all that it is decided from.
pub struct Planner {
    node: NodeName,
    facts: Facts,
    rules: Rules,
    holders: Holders,
    plan: Plan,
}

impl Planner {
    /// The plan of `node`, made from all facts.
    pub fn new(node: NodeName, facts: Facts) -> Self {
        let mut rules = Rules::new(&facts, &node);
        let plan = rules.plan(&facts);
        Self { holders: Holders::of(&facts), node, facts, rules, plan }
    }

    /// The plan, equal to [`super::plan`] for [`Self::facts`].
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The facts with all changes so far.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Changes facts, and says how that changes the plan: diffs that follow each other.
    ///
    /// Changes that each make the whole plan anew make it only once.
    pub fn apply_all(&mut self, changes: Vec<Change>) -> Vec<PlanDiff> {
        let is_large = |change: &&Change| self.is_about_all(change) && !change.is_in(&self.facts);
        if changes.iter().filter(is_large).count() < 2 {
            return changes.into_iter().map(|change| self.apply(change)).collect();
        }
        for change in changes {
            self.facts.apply(change);
        }
        self.holders = Holders::of(&self.facts);
        vec![self.plan_again()]
    }

    /// Whether a change can be about every Service.
    fn is_about_all(&self, change: &Change) -> bool {
        match change {
            Change::Service(..)
            | Change::Endpoints(..)
            | Change::Namespace(..)
            | Change::Rival(..) => false,
            Change::Node(name, node) => {
                !decides_alike(&self.facts, self.facts.nodes.get(name), node.as_ref())
            }
            Change::Pool(..)
            | Change::L2Advertisement(..)
            | Change::BgpAdvertisement(..)
            | Change::Peer(..)
            | Change::Speakers(_)
            | Change::IgnoreExcludeLabel(_) => true,
        }
    }

    /// Changes one fact, and says how that changes the plan.
    pub fn apply(&mut self, change: Change) -> PlanDiff {
        if change.is_in(&self.facts) {
            return PlanDiff::default();
        }
        if let Change::Service(name, _) | Change::Endpoints(name, _) | Change::Rival(name, _) =
            &change
        {
            let region = self.region(name, &change);
            return self.decide_again(&region, change);
        }
        let is_about_all = self.is_about_all(&change);
        self.facts.apply(change);
        if is_about_all { self.plan_again() } else { PlanDiff::default() }
    }

    /// All places that a Service is in, before or after a change.
    fn region(&self, name: &ServiceName, change: &Change) -> Region {
        let mut region =
            Region { service: name.clone(), addresses: BTreeSet::new(), prefixes: BTreeSet::new() };
        let before = region.case(&self.facts);
        let after = match change {
            Change::Service(_, service) => {
                service.as_deref().map(|service| Case::new(&self.facts, name, service))
            }
            Change::Endpoints(_, endpoints) => before
                .map(|case| Case { endpoints: endpoints.as_deref().unwrap_or_default(), ..case }),
            Change::Node(..)
            | Change::Namespace(..)
            | Change::Pool(..)
            | Change::L2Advertisement(..)
            | Change::BgpAdvertisement(..)
            | Change::Peer(..)
            | Change::Speakers(_)
            | Change::IgnoreExcludeLabel(_)
            | Change::Rival(..) => None,
        };
        let (mut addresses, mut prefixes) = (BTreeSet::new(), BTreeSet::new());
        for case in before.into_iter().chain(after) {
            addresses.extend(case.addresses());
            if let Some(speaker) = &self.rules.speaker {
                prefixes.extend(speaker.prefixes(&self.facts, case));
            }
        }
        region.addresses = addresses;
        region.prefixes = prefixes;
        region
    }

    fn decide_again(&mut self, region: &Region, change: Change) -> PlanDiff {
        let before = self.part(region);
        if let Some(case) = region.case(&self.facts) {
            self.holders.remove(case);
        }
        self.facts.apply(change);
        if let Some(case) = region.case(&self.facts) {
            self.holders.insert(case);
        }
        let after = self.part(region);
        let diff = PlanDiff::between(&before, &after);
        self.plan.apply(diff.clone());
        diff
    }

    fn part(&mut self, region: &Region) -> Plan {
        let mut plan = Plan::default();
        if let Some(lan) = &mut self.rules.lan {
            lan.part(&self.facts, &self.holders, region, &mut plan);
        }
        if let Some(speaker) = &self.rules.speaker {
            speaker.part(&self.facts, &self.holders, region, &mut plan);
        }
        plan
    }

    fn plan_again(&mut self) -> PlanDiff {
        self.rules = Rules::new(&self.facts, &self.node);
        let plan = self.rules.plan(&self.facts);
        let diff = PlanDiff::between(&self.plan, &plan);
        self.plan = plan;
        diff
    }
}

/// Whether a node has changed in nothing that a plan is made from. Of its departures only those
/// count which move an address: a node that is not ready for a moment costs nothing.
fn decides_alike(facts: &Facts, before: Option<&Node>, after: Option<&Node>) -> bool {
    let (Some(before), Some(after)) = (before, after) else { return false };
    let Node { labels, internal_ips: _, is_network_unavailable, is_excluded, departures } = before;
    let moves = |departure: &Departure| {
        let mut all = facts.l2_advertisements.values();
        all.any(|ad| ad.settings.moves_away.contains(departure))
    };
    *labels == after.labels
        && *is_network_unavailable == after.is_network_unavailable
        && *is_excluded == after.is_excluded
        && !departures.symmetric_difference(&after.departures).any(moves)
}

/// That part of a plan which one Service has to do with.
pub(super) struct Region {
    service: ServiceName,
    /// Where it is on the LAN, before or after.
    pub(super) addresses: BTreeSet<IpAddr>,
    /// Which routes it is in, before or after.
    pub(super) prefixes: BTreeSet<IpNet>,
}

impl Region {
    /// The Service, if there is one.
    pub(super) fn case<'a>(&'a self, facts: &'a Facts) -> Option<Case<'a>> {
        let service = facts.services.get(&self.service)?;
        Some(Case::new(facts, &self.service, service))
    }
}

/// Which Services are at which addresses.
pub(super) struct Holders(BTreeSet<(IpAddr, ServiceName)>);

impl Holders {
    fn of(facts: &Facts) -> Self {
        let mut holders = Self(BTreeSet::new());
        Case::all(facts).for_each(|case| holders.insert(case));
        holders
    }

    fn insert(&mut self, case: Case<'_>) {
        self.0.extend(case.addresses().into_iter().map(|address| (address, case.name.clone())));
    }

    fn remove(&mut self, case: Case<'_>) {
        for address in case.addresses() {
            self.0.remove(&(address, case.name.clone()));
        }
    }

    /// The Services with an address in a range, each as often as it has some there.
    pub(super) fn cases<'a>(
        &'a self,
        facts: &'a Facts,
        addresses: RangeInclusive<IpAddr>,
    ) -> impl Iterator<Item = Case<'a>> {
        let first = (*addresses.start(), ServiceName::new("", ""));
        let inside = self.0.range(first..).take_while(move |(at, _)| at <= addresses.end());
        inside.filter_map(|(_, name)| Some(Case::new(facts, name, facts.services.get(name)?)))
    }
}

#[cfg(test)]
mod tests;
