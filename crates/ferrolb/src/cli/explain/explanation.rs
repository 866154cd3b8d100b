//! What there is to say about one Service.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use planner::announce::{self, Standing};
use planner::assign::{self, Choice, Pools};
use planner::facts::Service;
use planner::names::{NodeName, ServiceName};
use planner::plan::Plan;
use serde::Serialize;

use crate::cli::node_plan::{Route, texts};
use crate::cli::outcome::Outcome;
use crate::cli::why::{self, Missing, Why};

/// What there is to say about one Service, as `explain -o json` prints it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Explanation {
    pub(super) service: String,
    pub(super) assignment: Assignment,
    /// Each address on the LAN and to routers.
    pub(super) addresses: Vec<Address>,
}

/// Which addresses it has, and why.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Assignment {
    pub(super) addresses: Vec<String>,
    pub(super) pool: Option<String>,
    pub(super) because: Because,
    #[serde(skip)]
    pub(super) choice: Choice,
    /// Pools that come before the one that it has been given addresses of.
    pub(super) passed_over: Vec<PassedOver>,
    /// What it had and could not keep.
    pub(super) lost: Option<Lost>,
    /// Why it has no address.
    pub(super) refusal: Option<Why>,
}

/// Why a Service has just these addresses.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Because {
    /// They are in its status, and it may keep them.
    InStatus,
    /// One is in its status; the one of the other family is new.
    Extended,
    /// It asks for them.
    AddressRequested,
    /// It asks for the pool.
    PoolRequested,
    /// The pool is the first that will do.
    FirstPool,
    /// It has none.
    Refused,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct PassedOver {
    pub(super) pool: String,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Lost {
    pub(super) addresses: Vec<String>,
    #[serde(flatten)]
    pub(super) why: Why,
}

/// One address.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Address {
    pub(super) address: String,
    /// Other Services at the address.
    pub(super) shared_with: Vec<String>,
    /// `None` if no node may answer for it on the LAN.
    pub(super) l2: Option<OnLan>,
    /// What each router is told by each node.
    pub(super) bgp: Vec<Told>,
    /// What is missing, with the reason.
    pub(super) silent: Vec<Missing>,
}

/// Who answers for an address on the LAN.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct OnLan {
    /// The first of the order.
    pub(super) owner: String,
    /// On which interfaces the owner answers; `None` is all of them.
    pub(super) interfaces: Option<BTreeSet<String>>,
    /// Another node that holds it keeps it.
    pub(super) is_sticky: bool,
    /// The L2Advertisement that says how it is held; `None` if there is only one.
    pub(super) settings_from: Option<String>,
    pub(super) order: Vec<Place>,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Place {
    pub(super) node: String,
    pub(super) score: i64,
    pub(super) hash: String,
}

/// A route that some nodes give to one router.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Told {
    pub(super) peer: String,
    pub(super) nodes: Vec<String>,
    pub(super) route: Route,
}

impl Explanation {
    pub(super) fn of(outcome: &Outcome, name: &ServiceName, node: Option<&NodeName>) -> Self {
        let all = outcome.plans();
        let mut plans = all.clone();
        plans.retain(|other, _| node.is_none_or(|node| node == *other));
        let service = outcome.facts.services.get(name);
        let addresses = service.map_or(&[][..], |service| &service.addresses);
        let address = |address: &IpAddr| Address {
            address: address.to_string(),
            shared_with: shared_with(outcome, name, *address),
            l2: on_lan(outcome, &all, name, *address),
            bgp: told(&plans, name, *address),
            silent: why::silences(&plans, name, *address),
        };
        Self {
            service: name.to_string(),
            assignment: Assignment::of(outcome, name),
            addresses: addresses.iter().map(address).collect(),
        }
    }
}

impl Assignment {
    fn of(outcome: &Outcome, name: &ServiceName) -> Self {
        let Outcome { facts, assignments, before, .. } = outcome;
        let given = assignments.given.get(name);
        let before = before.get(name).map_or(&[][..], Vec::as_slice);
        let lost = assignments.lost.get(name);
        let lost = lost.map(|why| Lost { addresses: texts(before), why: Why::refused(why) });
        let service = facts.services.get(name);
        let because = match (given, service) {
            (Some(given), Some(service)) => Because::of(before, &given.addresses, service),
            (None, _) | (_, None) => Because::Refused,
        };
        let passed_over = match (because, service) {
            (Because::FirstPool, Some(service)) => {
                assign::passed_over(name, service, Pools::of(facts), assignments)
            }
            (_, _) => Vec::new(),
        };
        let passed_over = passed_over.into_iter().map(|(pool, obstacle)| PassedOver {
            pool: pool.to_string(),
            reason: obstacle.label(),
            message: obstacle.to_string(),
        });
        Self {
            addresses: given.map(|given| texts(&given.addresses)).unwrap_or_default(),
            pool: given.map(|given| given.pool.to_string()),
            because,
            choice: outcome.choice,
            passed_over: passed_over.collect(),
            lost,
            refusal: assignments.refusals.get(name).map(Why::refused),
        }
    }
}

impl Because {
    fn of(before: &[IpAddr], now: &[IpAddr], service: &Service) -> Self {
        let is_kept = !before.is_empty() && before.iter().all(|address| now.contains(address));
        if is_kept && before.len() == now.len() {
            Self::InStatus
        } else if is_kept {
            Self::Extended
        } else if !service.requested_addresses.is_empty() {
            Self::AddressRequested
        } else if service.requested_pool.is_some() {
            Self::PoolRequested
        } else {
            Self::FirstPool
        }
    }
}

fn shared_with(outcome: &Outcome, name: &ServiceName, address: IpAddr) -> Vec<String> {
    let services = outcome.facts.services.iter();
    let others =
        services.filter(|(other, service)| *other != name && service.addresses.contains(&address));
    others.map(|(other, _)| other.to_string()).collect()
}

fn on_lan(
    outcome: &Outcome,
    plans: &BTreeMap<&NodeName, Plan>,
    name: &ServiceName,
    address: IpAddr,
) -> Option<OnLan> {
    let (_, plan) = plans.first_key_value()?;
    let candidacy = plan.candidacies.get(&address).filter(|all| all.services.contains(name))?;
    let owner = candidacy.order.first()?;
    // Interfaces are those of the node that is asked.
    let interfaces = plans.get(owner)?.candidacies.get(&address)?.interfaces.texts();
    let order = announce::standings(&outcome.facts, candidacy);
    let order = order.iter().map(Place::of).collect();
    let is_choice = outcome.facts.l2_advertisements.len() > 1;
    Some(OnLan {
        owner: owner.to_string(),
        interfaces,
        is_sticky: candidacy.settings.policy.is_sticky,
        settings_from: is_choice.then(|| candidacy.settings_from.to_string()),
        order,
    })
}

impl Place {
    fn of(standing: &Standing) -> Self {
        let hash = standing.hash.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { node: standing.node.to_string(), score: standing.score, hash }
    }
}

/// Routes for an address; nodes that give a router the same one are together.
fn told(plans: &BTreeMap<&NodeName, Plan>, name: &ServiceName, address: IpAddr) -> Vec<Told> {
    let mut all: Vec<Told> = Vec::new();
    for (node, plan) in plans {
        let routes = plan.peers.iter().flat_map(|(peer, routes)| {
            routes.iter().map(move |(prefix, route)| (peer.to_string(), *prefix, route))
        });
        let ours = routes.filter(|(_, prefix, route)| {
            prefix.contains(&address) && route.services.contains(name)
        });
        for (peer, prefix, route) in ours {
            let route = Route::of(prefix, route);
            match all.iter_mut().find(|told| told.peer == peer && told.route == route) {
                Some(told) => told.nodes.push(node.to_string()),
                None => all.push(Told { peer, nodes: vec![node.to_string()], route }),
            }
        }
    }
    all.sort_by(|one, other| (&one.peer, &one.nodes).cmp(&(&other.peer, &other.nodes)));
    all
}
