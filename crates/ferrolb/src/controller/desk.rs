//! Which Service gets which address, and what has to be written for that.
//!
//! Values go in, decisions come out; nothing here waits. Three things are kept apart: what a
//! Service *shows* on the API server, what it is *wanted* to show, and what is *under way* there.
//! Where these differ the Service has an [`Intent`], and counts as holding what is wanted for it
//! from the moment of the decision on, so that nothing is given twice.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::mem;
use std::net::IpAddr;

use k8s_openapi::api::core::v1 as core;
use planner::assign::{Assignment, Choice, Pools};
use planner::converge::{self, Convergence, Decision, News};
use planner::facts::{Change, Facts, Service};
use planner::ledger::{Claim, Ledger};
use planner::names::{PoolName, ServiceName};
use planner::reason::Refusal;
use planner::usage::{self, Usage};

use super::shelf::{Freshness, Shelf};
use crate::k8s::service_status::{self, Shown};

/// Where decisions about addresses are made.
#[derive(Debug, Default)]
pub(super) struct Desk {
    facts: Facts,
    ledger: Ledger,
    shelf: Shelf,
    intents: BTreeMap<ServiceName, Intent>,
    /// Writes without an answer, and the addresses that they give.
    under_way: BTreeMap<ServiceName, Vec<IpAddr>>,
    leaving: Leaving,
    /// Services that have less than they would like.
    waiting: BTreeSet<ServiceName>,
    /// What each of these was told last, so that it is not told again.
    told: BTreeMap<ServiceName, u64>,
    agenda: Agenda,
    charge: Charge,
    orphans: Orphans,
}

/// What a Service should show and does not.
#[derive(Clone, Debug)]
struct Intent {
    /// What it showed when that was decided: if others change it, that is decided anew.
    base: Vec<IpAddr>,
    wanted: Option<Assignment>,
}

/// Addresses that Services show, or soon will, and are not wanted to: nobody else may show them
/// before that is mended.
#[derive(Debug, Default)]
struct Leaving {
    by_address: BTreeMap<IpAddr, BTreeSet<ServiceName>>,
    by_service: BTreeMap<ServiceName, Vec<IpAddr>>,
}

/// What has to be decided.
#[derive(Debug, Default)]
struct Agenda {
    everything: bool,
    services: BTreeSet<ServiceName>,
}

/// Whether decisions are made here.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Charge {
    #[default]
    Follows,
    Leads,
}

/// What becomes of addresses while there is no pool at all.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Orphans {
    /// Services keep them.
    #[default]
    Leave,
    /// They are taken away: there is no pool because none is wanted.
    Clear,
}

impl Desk {
    /// Takes note of a Service as the API server has it. An older state than is known, which is to
    /// be ignored, is [`Freshness::Stale`].
    pub(super) fn see(&mut self, name: &ServiceName, service: Option<&core::Service>) -> Freshness {
        if self.shelf.put(name, service) == Freshness::Stale {
            return Freshness::Stale;
        }
        let shown = self.shelf.shown(name);
        if self.intents.get(name).is_some_and(|intent| *shown != *intent.base) {
            self.forget_intent(name);
        }
        self.leave(name);
        self.agenda.services.insert(name.clone());
        Freshness::New
    }

    /// Whether somebody else has changed the addresses that a Service showed.
    pub(super) fn is_undone(&self, name: &ServiceName, service: &core::Service) -> bool {
        let shown = self.shelf.shown(name);
        let is_ours = self.under_way.contains_key(name);
        !shown.is_empty() && !is_ours && Shown::of(service).addresses != shown
    }

    /// Takes the answer to a write: the Service as it is now, or nothing if the write has failed.
    /// Says whether the Service is news.
    pub(super) fn written(
        &mut self,
        name: &ServiceName,
        service: Option<&core::Service>,
    ) -> Freshness {
        self.under_way.remove(name);
        match service {
            // It may be gone, or be another one by now.
            Some(service) if self.shelf.is_same(name, service) => self.see(name, Some(service)),
            Some(_) | None => {
                self.leave(name);
                Freshness::Stale
            }
        }
    }

    /// Takes in what objects mean.
    pub(super) fn change(&mut self, change: Change) {
        match change {
            Change::Service(name, fact) => {
                let intent = self.intents.get(&name);
                let fact = fact.map(|mut fact| {
                    if let Some(intent) = intent.filter(|intent| intent.base == fact.addresses) {
                        fact.addresses = intent.addresses().to_vec();
                    }
                    fact
                });
                self.agenda.services.insert(name.clone());
                self.facts.apply(Change::Service(name, fact));
            }
            Change::Pool(_, _) if !change.is_in(&self.facts) => {
                self.agenda.everything = true;
                self.facts.apply(change);
            }
            Change::Namespace(_, _) if !change.is_in(&self.facts) => {
                self.agenda.everything |= self.are_namespaces_selected();
                self.facts.apply(change);
            }
            Change::Pool(_, _)
            | Change::Namespace(_, _)
            | Change::Endpoints(_, _)
            | Change::Node(_, _)
            | Change::L2Advertisement(_, _)
            | Change::BgpAdvertisement(_, _)
            | Change::Peer(_, _)
            | Change::Speakers(_)
            | Change::IgnoreExcludeLabel(_)
            | Change::Rival(_, _) => (),
        }
    }

    /// Says what becomes of addresses while there is no pool.
    pub(super) fn without_pools(&mut self, orphans: Orphans) {
        self.agenda.everything |= orphans == Orphans::Clear && self.orphans == Orphans::Leave;
        self.orphans = orphans;
    }

    /// Starts to decide, from what Services show.
    pub(super) fn lead(&mut self) {
        self.charge = Charge::Leads;
        self.agenda.everything = true;
        self.told.clear();
    }

    /// Stops to decide: another does.
    pub(super) fn follow(&mut self) {
        self.charge = Charge::Follows;
        for name in self.intents.keys().cloned().collect::<Vec<_>>() {
            self.forget_intent(&name);
        }
        self.leaving = Leaving::default();
        self.waiting.clear();
        self.ledger = Ledger::default();
        self.agenda = Agenda::default();
    }

    /// Decides whatever has changed, and returns what is to be told about it.
    pub(super) fn decide(&mut self) -> Vec<(ServiceName, News)> {
        let Agenda { everything, services } = mem::take(&mut self.agenda);
        let mut news = Vec::new();
        match (self.charge, everything || self.is_doubled(&services)) {
            (Charge::Follows, _) => (),
            (Charge::Leads, true) => self.decide_all(&mut news),
            (Charge::Leads, false) => self.decide_some(services, &mut news),
        }
        news
    }

    /// Services that may be written now, in the order of their names.
    pub(super) fn ready(&self) -> impl Iterator<Item = &ServiceName> {
        let is_free = |name: &&ServiceName| !self.under_way.contains_key(*name);
        let may_go =
            |(name, intent): &(&ServiceName, &Intent)| self.next_step(name, intent).is_some();
        self.intents.iter().filter(may_go).map(|(name, _)| name).filter(is_free)
    }

    /// Whether a Service does not show what it should.
    pub(super) fn is_wrong(&self, name: &ServiceName) -> bool {
        self.intents.contains_key(name)
    }

    /// Whether there is something to decide.
    pub(super) fn is_due(&self) -> bool {
        self.agenda.everything || !self.agenda.services.is_empty()
    }

    /// The Service to write, one of [`Self::ready`], which is under way from now on.
    pub(super) fn begin(&mut self, name: &ServiceName) -> Option<core::Service> {
        let wanted = self.next_step(name, self.intents.get(name)?)?;
        let mut service = self.shelf.whole(name)?;
        service_status::fill(&mut service, wanted.as_ref());
        self.under_way.insert(name.clone(), addresses(wanted.as_ref()).to_vec());
        Some(service)
    }

    /// What the Service should show next. `None` if it has to wait until another one has given up
    /// what this one is to get.
    fn next_step(&self, name: &ServiceName, intent: &Intent) -> Option<Option<Assignment>> {
        let Some(wanted) = &intent.wanted else { return Some(None) };
        let is_held_back = |address: &IpAddr| self.leaving.is_held_by_other(*address, name);
        if !wanted.addresses.iter().any(is_held_back) {
            return Some(Some(wanted.clone()));
        }
        // Two that swap would wait for each other for ever: each first gives up what it has.
        let shown = self.shelf.shown(name);
        let is_kept = |address: &IpAddr| wanted.addresses.contains(address);
        let kept: Vec<_> = shown.iter().copied().filter(is_kept).collect();
        let gives_up = kept.len() < shown.len();
        let pool = wanted.pool.clone();
        gives_up.then(|| (!kept.is_empty()).then_some(Assignment { addresses: kept, pool }))
    }

    /// The `metadata.uid` of a Service; empty if it is not known.
    pub(super) fn uid(&self, name: &ServiceName) -> &str {
        self.shelf.uid(name)
    }

    /// Whether `service` is the one that is known by this name, not one that was made anew.
    pub(super) fn is_same(&self, name: &ServiceName, service: &core::Service) -> bool {
        self.shelf.is_same(name, service)
    }

    /// Whether a Service is known in this version or a later one, or none is left of it.
    pub(super) fn knows(&self, name: &ServiceName, version: &str) -> bool {
        self.shelf.knows(name, version)
    }

    /// How much of each pool is in use.
    pub(super) fn usage(&self) -> BTreeMap<PoolName, Usage> {
        usage::usage(&self.facts, &self.ledger)
    }

    fn decide_all(&mut self, news: &mut Vec<(ServiceName, News)>) {
        let (all, ledger) = converge::all(&self.facts, Choice::FirstFree);
        self.ledger = ledger;
        for (name, convergence) in all {
            self.settle(&name, convergence, news);
        }
        let without_fact = |name: &&ServiceName| !self.facts.services.contains_key(*name);
        for name in self.shelf.names().filter(without_fact).cloned().collect::<Vec<_>>() {
            self.dismiss(&name);
        }
    }

    fn decide_some(
        &mut self,
        services: BTreeSet<ServiceName>,
        news: &mut Vec<(ServiceName, News)>,
    ) {
        let mut others_may_get_more = false;
        for name in self.in_order(services) {
            others_may_get_more |= self.decide_one(&name, news);
        }
        if others_may_get_more {
            for name in self.in_order(self.waiting.clone()) {
                self.decide_one(&name, news);
            }
        }
    }

    /// Says whether others may get more because of it.
    fn decide_one(&mut self, name: &ServiceName, news: &mut Vec<(ServiceName, News)>) -> bool {
        let before = self.claim(name);
        let fact = self.facts.services.get(name);
        let pools = Pools::of(&self.facts);
        let convergence = converge::one(name, fact, pools, &mut self.ledger, Choice::FirstFree);
        let after = self.claim(name);
        let may_share = after != before && after.is_some_and(|claim| claim.sharing_key().is_some());
        let has_freed = !convergence.freed.is_empty();
        match self.facts.services.contains_key(name) {
            true => self.settle(name, convergence, news),
            false => self.dismiss(name),
        }
        has_freed || may_share
    }

    /// Those that go, then those that have addresses, then those that ask for some, then the rest.
    fn in_order(&self, services: BTreeSet<ServiceName>) -> Vec<ServiceName> {
        let mut services: Vec<_> = services.into_iter().collect();
        let rank = |fact: Option<&Service>| {
            fact.map(|fact| (fact.addresses.is_empty(), fact.requested_addresses.is_empty()))
        };
        services.sort_by_key(|name| rank(self.facts.services.get(name)));
        services
    }

    /// Takes down what was decided for a Service of ours.
    fn settle(
        &mut self,
        name: &ServiceName,
        convergence: Convergence,
        all_news: &mut Vec<(ServiceName, News)>,
    ) {
        let Convergence { decision, mut news, .. } = convergence;
        match decision {
            Decision::Leave if self.orphans == Orphans::Clear => {
                let (service, refusal) = (name.clone(), Refusal::NoPools);
                news.push(News::Refused { service, refusal });
                self.want(name, None);
            }
            Decision::Keep(wanted) | Decision::Give(wanted) => self.want(name, Some(wanted)),
            Decision::Clear | Decision::Wait => self.want(name, None),
            Decision::Leave => self.forget_intent(name),
        }
        let lacks = |news: &&News| matches!(news, News::Refused { .. } | News::NotAdded { .. });
        match news.iter().find(lacks) {
            Some(lack) => {
                self.waiting.insert(name.clone());
                let lack = hash(&lack.to_string());
                let is_told = self.told.insert(name.clone(), lack) == Some(lack);
                let is_new = |news: &News| !(is_told && lacks(&news));
                let news = news.into_iter().filter(is_new);
                all_news.extend(news.map(|news| (name.clone(), news)));
            }
            None => {
                self.waiting.remove(name);
                self.told.remove(name);
                all_news.extend(news.into_iter().map(|news| (name.clone(), news)));
            }
        }
    }

    /// Takes down that a Service is none of ours, or not any more.
    fn dismiss(&mut self, name: &ServiceName) {
        self.waiting.remove(name);
        self.told.remove(name);
        match self.shelf.is_load_balancer(name) {
            // Whoever serves its class writes what it shows; or we know what it should be again
            // when a mistake in it is mended.
            true => self.forget_intent(name),
            false => self.want(name, None),
        }
    }

    fn want(&mut self, name: &ServiceName, wanted: Option<Assignment>) {
        if let Some(fact) = self.facts.services.get_mut(name) {
            fact.addresses = addresses(wanted.as_ref()).to_vec();
        }
        match self.shelf.shows(name, wanted.as_ref()) {
            true => _ = self.intents.remove(name),
            false => {
                let base = self.shelf.shown(name).to_vec();
                self.intents.insert(name.clone(), Intent { base, wanted });
            }
        }
        self.leave(name);
    }

    /// From now on the Service has what it shows.
    fn forget_intent(&mut self, name: &ServiceName) {
        if self.intents.remove(name).is_some()
            && let Some(fact) = self.facts.services.get_mut(name)
        {
            fact.addresses = self.shelf.shown(name).to_vec();
        }
        self.leave(name);
    }

    /// Takes down which addresses the Service has to give up.
    fn leave(&mut self, name: &ServiceName) {
        let shown = self.shelf.shown(name);
        let wanted = self.intents.get(name).map_or(shown, Intent::addresses);
        let under_way = self.under_way.get(name).into_iter().flatten();
        let leaving = shown.iter().chain(under_way).copied();
        let leaving = leaving.filter(|address| !wanted.contains(address)).collect();
        self.leaving.set(name, leaving);
    }

    /// Whether one of these shows an address that another has as well. The older one keeps it, and
    /// so everything is decided together.
    fn is_doubled(&self, services: &BTreeSet<ServiceName>) -> bool {
        services.iter().any(|name| {
            let Some(fact) = self.facts.services.get(name) else { return false };
            let booked = self.ledger.addresses(name);
            let mut new = fact.addresses.iter().filter(|address| !booked.contains(address));
            new.any(|address| self.ledger.check(*address, &Claim::new(name, fact)).is_err())
        })
    }

    fn are_namespaces_selected(&self) -> bool {
        let allocations = self.facts.pools.values().filter_map(|pool| pool.allocation.as_ref());
        allocations.into_iter().any(|allocation| !allocation.namespace_selectors.is_empty())
    }

    /// What the ledger has of a Service.
    fn claim(&self, name: &ServiceName) -> Option<Claim> {
        let address = self.ledger.addresses(name).first()?;
        self.ledger.holders(*address).find(|claim| claim.service() == name).cloned()
    }
}

impl Intent {
    fn addresses(&self) -> &[IpAddr] {
        addresses(self.wanted.as_ref())
    }
}

impl Leaving {
    fn set(&mut self, name: &ServiceName, addresses: Vec<IpAddr>) {
        for address in self.by_service.remove(name).unwrap_or_default() {
            if let Some(services) = self.by_address.get_mut(&address) {
                services.remove(name);
                if services.is_empty() {
                    self.by_address.remove(&address);
                }
            }
        }
        if addresses.is_empty() {
            return;
        }
        for address in &addresses {
            self.by_address.entry(*address).or_default().insert(name.clone());
        }
        self.by_service.insert(name.clone(), addresses);
    }

    fn is_held_by_other(&self, address: IpAddr, name: &ServiceName) -> bool {
        let services = self.by_address.get(&address);
        services.is_some_and(|services| services.iter().any(|other| other != name))
    }
}

fn addresses(wanted: Option<&Assignment>) -> &[IpAddr] {
    wanted.map_or(&[], |wanted| &wanted.addresses)
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
