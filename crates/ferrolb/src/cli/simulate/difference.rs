//! What two states of a cluster differ in.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use planner::facts::{Facts, Family};
use planner::names::{NodeName, PeerName, ServiceName};
use planner::owner::Candidate;
use planner::plan::{Candidacy, Plan, Route, Routes};
use serde::Serialize;

use crate::cli::node_plan::texts;
use crate::cli::outcome::Outcome;
use crate::cli::why::{self, Missing};

/// What changes, as `simulate -o json` prints it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Difference {
    /// Services whose addresses change.
    pub(super) addresses: Vec<Addresses>,
    /// Addresses on the LAN, those that stay as well.
    pub(super) l2: Vec<OnLan>,
    /// Routes that change, by node and peer.
    pub(super) bgp: Vec<Told>,
    /// What was announced, and is not any more.
    pub(super) unannounced: Vec<Unannounced>,
}

/// What happens to something that some node does.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Effect {
    /// It was not there before.
    New,
    /// It is another now.
    Changes,
    /// It is the same; the order of those who would be next may change.
    Stays,
    /// It is gone.
    Lost,
}

impl Effect {
    fn of<T: Eq>(before: Option<&T>, after: Option<&T>) -> Self {
        match (before, after) {
            (None, Some(_)) => Self::New,
            (Some(_), None) => Self::Lost,
            (before, after) if before == after => Self::Stays,
            (_, _) => Self::Changes,
        }
    }
}

/// The addresses of one Service.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Addresses {
    pub(super) service: String,
    pub(super) before: Vec<String>,
    pub(super) after: Vec<String>,
    pub(super) effect: Effect,
    /// Why it does not keep them or gets none.
    pub(super) message: Option<String>,
}

/// One address on the LAN.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct OnLan {
    pub(super) address: String,
    pub(super) services: Vec<String>,
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
    pub(super) effect: Effect,
    pub(super) order_before: Vec<String>,
    pub(super) order_after: Vec<String>,
}

/// What one node tells one router otherwise than before.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Told {
    pub(super) node: String,
    pub(super) peer: String,
    pub(super) withdrawn: Vec<String>,
    pub(super) added: Vec<String>,
    /// The same prefixes with other attributes.
    pub(super) changed: Vec<String>,
}

/// An address of a Service that nobody announces any more, to anyone.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Unannounced {
    pub(super) service: String,
    pub(super) address: String,
    pub(super) reasons: Vec<Missing>,
}

/// A cluster, and what each of its nodes does.
struct Side<'a> {
    outcome: &'a Outcome,
    plans: BTreeMap<&'a NodeName, Plan>,
}

impl Difference {
    pub(super) fn between(before: &Outcome, after: &Outcome) -> Self {
        let [before, after] =
            [before, after].map(|outcome| Side { outcome, plans: outcome.plans() });
        Self {
            addresses: addresses(before.outcome, after.outcome),
            l2: lan(&before, &after),
            bgp: routers(&before, &after),
            unannounced: unannounced(&before, &after),
        }
    }
}

fn addresses(before: &Outcome, after: &Outcome) -> Vec<Addresses> {
    let names: BTreeSet<_> =
        before.facts.services.keys().chain(after.facts.services.keys()).collect();
    let of = |outcome: &Outcome, name| {
        let service = outcome.facts.services.get(name);
        service.map(|service| service.addresses.clone()).unwrap_or_default()
    };
    let mut all = Vec::new();
    for name in names {
        let (old, new) = (of(before, name), of(after, name));
        let is = |addresses: &[IpAddr]| (!addresses.is_empty()).then(|| addresses.to_vec());
        let effect = Effect::of(is(&old).as_ref(), is(&new).as_ref());
        if effect == Effect::Stays {
            continue;
        }
        let refusals = [&after.assignments.lost, &after.assignments.refusals];
        let refusal = refusals.into_iter().find_map(|all| all.get(name));
        all.push(Addresses {
            service: name.to_string(),
            before: texts(old),
            after: texts(new),
            effect,
            message: refusal.map(ToString::to_string),
        });
    }
    all
}

impl Side<'_> {
    /// All nodes have the same order for an address.
    fn candidacies(&self) -> BTreeMap<IpAddr, &Candidacy> {
        let plan = self.plans.values().next();
        let candidacies = plan.into_iter().flat_map(|plan| &plan.candidacies);
        candidacies.map(|(address, candidacy)| (*address, candidacy)).collect()
    }

    fn routes(&self) -> BTreeMap<(&NodeName, &PeerName), &Routes> {
        let plans = self.plans.iter();
        let peers = plans.flat_map(|(node, plan)| plan.peers.iter().map(move |peer| (*node, peer)));
        peers.map(|(node, (peer, routes))| ((node, peer), routes)).collect()
    }

    /// Addresses of each Service and family that anybody announces to anyone.
    fn announced(&self) -> BTreeMap<(&ServiceName, Family), BTreeSet<IpAddr>> {
        let facts = &self.outcome.facts;
        let mut all: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        let mut add = |service, address| {
            all.entry((service, Family::of(address))).or_default().insert(address);
        };
        for plan in self.plans.values() {
            for (address, candidacy) in &plan.candidacies {
                candidacy.services.iter().for_each(|service| add(service, *address));
            }
            for (prefix, route) in plan.peers.values().flatten() {
                let services =
                    route.services.iter().flat_map(|name| announced(facts, name, *prefix));
                services.for_each(|(service, address)| add(service, address));
            }
        }
        all
    }
}

/// The addresses of a Service in a prefix.
fn announced<'a>(
    facts: &Facts,
    name: &'a ServiceName,
    prefix: IpNet,
) -> Vec<(&'a ServiceName, IpAddr)> {
    let addresses = facts.services.get(name).map_or(&[][..], |service| &service.addresses);
    let covered = addresses.iter().filter(|address| prefix.contains(*address));
    covered.map(|address| (name, *address)).collect()
}

fn lan(before: &Side<'_>, after: &Side<'_>) -> Vec<OnLan> {
    let (old, new) = (before.candidacies(), after.candidacies());
    let addresses: BTreeSet<_> = old.keys().chain(new.keys()).copied().collect();
    let on_lan = |address| {
        let (was, is) = (old.get(&address).copied(), new.get(&address).copied());
        let order = |candidacy: Option<&Candidacy>| {
            candidacy.map(|candidacy| candidacy.order.to_vec()).unwrap_or_default()
        };
        let (order_before, order_after) = (order(was), order(is));
        let holder = order_before.first().cloned();
        let next = is.and_then(|is| next(holder.as_ref(), is));
        let services: BTreeSet<_> =
            was.into_iter().chain(is).flat_map(|candidacy| candidacy.services.iter()).collect();
        OnLan {
            address: address.to_string(),
            services: texts(services),
            effect: Effect::of(holder.as_ref(), next.as_ref()),
            before: holder.map(|node| node.to_string()),
            after: next.map(|node| node.to_string()),
            order_before: texts(order_before),
            order_after: texts(order_after),
        }
    };
    addresses.into_iter().map(on_lan).collect()
}

/// Who holds an address next. A holder that is still a candidate keeps it, unless another one is
/// preferred more. Coming earlier in the order is a reason to move only where the holder is told not
/// to keep it.
fn next(holder: Option<&NodeName>, candidacy: &Candidacy) -> Option<NodeName> {
    let first = candidacy.order.candidates().next()?;
    let still = candidacy.order.candidates().find(|one| holder == Some(one.node));
    let is_kept =
        |still: &Candidate<'_>| candidacy.settings.policy.is_sticky && still.score == first.score;
    Some(still.filter(is_kept).unwrap_or(first).node.clone())
}

fn routers(before: &Side<'_>, after: &Side<'_>) -> Vec<Told> {
    let (old, new) = (before.routes(), after.routes());
    let sessions: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let none = Routes::new();
    let told = |session: &(&NodeName, &PeerName)| {
        let [was, is] = [&old, &new].map(|all| all.get(session).copied().unwrap_or(&none));
        let missing = |one: &Routes, other: &Routes| {
            texts(one.keys().filter(|prefix| !other.contains_key(prefix)))
        };
        let is_other = |(prefix, route): &(&IpNet, &Route)| {
            was.get(*prefix).is_some_and(|old| !has_same_attributes(old, route))
        };
        Told {
            node: session.0.to_string(),
            peer: session.1.to_string(),
            withdrawn: missing(was, is),
            added: missing(is, was),
            changed: texts(is.iter().filter(is_other).map(|(prefix, _)| prefix)),
        }
    };
    let all = sessions.into_iter().map(told);
    all.filter(|told| [&told.withdrawn, &told.added, &told.changed].iter().any(|of| !of.is_empty()))
        .collect()
}

/// Which Services a route is for is not told to the router.
fn has_same_attributes(one: &Route, other: &Route) -> bool {
    Route { services: BTreeSet::new(), ..one.clone() }
        == Route { services: BTreeSet::new(), ..other.clone() }
}

/// A Service that has fewer announced addresses of a family than before is left without those that
/// are gone; one whose address is another now is not.
fn unannounced(before: &Side<'_>, after: &Side<'_>) -> Vec<Unannounced> {
    let now = after.announced();
    let mut all = Vec::new();
    for ((service, family), was) in before.announced() {
        let is = now.get(&(service, family));
        if is.map_or(0, BTreeSet::len) >= was.len() {
            continue;
        }
        let is_gone = |address: &&IpAddr| is.is_none_or(|is| !is.contains(*address));
        all.extend(was.iter().filter(is_gone).map(|address| Unannounced {
            service: service.to_string(),
            address: address.to_string(),
            reasons: why::missing(after.outcome, &after.plans, service, *address),
        }));
    }
    all
}
