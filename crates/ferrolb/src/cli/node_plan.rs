//! What one node does, as `plan` prints it for programs and for people.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use planner::assign::Assignment;
use planner::facts::bgp::Community;
use planner::names::{NodeName, PeerName, ServiceName};
use planner::plan::{self, Candidacy, Left, Plan};
use planner::reason::{Protocol, Refusal};
use serde::Serialize;

use super::outcome::Outcome;
use super::table::table;

/// What one node does, as `plan -o json` prints it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct NodePlan {
    pub(super) node: String,
    l2: Vec<Announced>,
    bgp: Vec<Peer>,
    silent: Vec<Silent>,
    assignments: Vec<Assigned>,
    refusals: Vec<Refused>,
    #[serde(skip)]
    standby: Vec<Standby>,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
struct Announced {
    service: String,
    address: String,
    /// `None` is all of them.
    interfaces: Option<BTreeSet<String>>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Standby {
    service: String,
    address: String,
    before: Vec<String>,
}

/// All that one router is told.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Peer {
    pub(super) peer: String,
    pub(super) routes: Vec<Route>,
}

/// What a router is told of one prefix.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Route {
    pub(super) prefix: String,
    /// `None` is the speaker itself.
    next_hop: Option<String>,
    local_pref: Option<u32>,
    communities: Vec<String>,
    large_communities: Vec<String>,
    ext_communities: Vec<String>,
    as_path_prepend: u8,
    med: Option<u32>,
    services: Vec<String>,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
struct Silent {
    service: String,
    address: Option<String>,
    protocol: &'static str,
    peer: Option<String>,
    reason: &'static str,
    #[serde(skip)]
    message: String,
}

/// A Service that has been given addresses.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Assigned {
    pub(super) service: String,
    pub(super) addresses: Vec<String>,
    pub(super) pool: String,
}

/// A Service that has no address.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Refused {
    service: String,
    reason: &'static str,
    message: String,
}

impl NodePlan {
    pub(super) fn of(outcome: &Outcome, node: &NodeName, plan: &Plan) -> Self {
        let mut l2 = Vec::new();
        let mut standby = Vec::new();
        for (address, candidacy) in &plan.candidacies {
            match candidacy.order.iter().position(|candidate| candidate == node) {
                Some(0) => l2.extend(announced(*address, candidacy)),
                Some(place) => standby.extend(candidacy.services.iter().map(|service| Standby {
                    service: service.to_string(),
                    address: address.to_string(),
                    before: texts(&candidacy.order[..place]),
                })),
                None => (),
            }
        }
        Self {
            node: node.to_string(),
            l2,
            bgp: plan.peers.iter().map(|(name, routes)| Peer::of(name, routes)).collect(),
            silent: plan.silences.iter().map(Silent::of).collect(),
            assignments: outcome.assigned(),
            refusals: outcome.refused(),
            standby,
        }
    }

    /// The plan as a table for people.
    pub fn table(&self) -> String {
        let mut rows = Vec::new();
        for row in &self.l2 {
            let interfaces = match &row.interfaces {
                None => "on all interfaces".to_owned(),
                Some(names) => format!("on {}", texts(names).join(", ")),
            };
            let does = "announces".to_owned();
            rows.push([does, row.address.clone(), row.service.clone(), interfaces]);
        }
        for row in &self.standby {
            let after = format!("after {}", row.before.join(", "));
            rows.push(["stands by".to_owned(), row.address.clone(), row.service.clone(), after]);
        }
        rows.extend(self.bgp.iter().flat_map(Peer::rows));
        for row in &self.silent {
            let address = row.address.clone().unwrap_or_else(|| "-".to_owned());
            rows.push([row.does(), address, row.service.clone(), row.message.clone()]);
        }
        match rows.is_empty() {
            true => "nothing to do\n".to_owned(),
            false => table(["DOES", "ADDRESS", "SERVICE", "DETAIL"], rows),
        }
    }
}

/// Items as they print.
pub(super) fn texts<T: ToString>(items: impl IntoIterator<Item = T>) -> Vec<String> {
    items.into_iter().map(|item| item.to_string()).collect()
}

fn announced(address: IpAddr, candidacy: &Candidacy) -> Vec<Announced> {
    let interfaces = candidacy.interfaces.texts();
    let announced = |service: &ServiceName| Announced {
        service: service.to_string(),
        address: address.to_string(),
        interfaces: interfaces.clone(),
    };
    candidacy.services.iter().map(announced).collect()
}

/// The protocol as programs know it.
pub(super) fn key(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Bgp => "bgp",
        Protocol::Lan => "l2",
    }
}

impl Peer {
    fn of(name: &PeerName, routes: &plan::Routes) -> Self {
        let routes = routes.iter().map(|(prefix, route)| Route::of(*prefix, route)).collect();
        Self { peer: name.to_string(), routes }
    }

    fn rows(&self) -> Vec<[String; 4]> {
        let does = || format!("tells {}", self.peer);
        if self.routes.is_empty() {
            let nothing = || "-".to_owned();
            return vec![[does(), nothing(), nothing(), "no route".to_owned()]];
        }
        let row = |route: &Route| {
            [does(), route.prefix.clone(), route.services.join(", "), route.attributes()]
        };
        self.routes.iter().map(row).collect()
    }
}

impl Route {
    pub(super) fn of(prefix: IpNet, route: &plan::Route) -> Self {
        let mut all = Self {
            prefix: prefix.to_string(),
            next_hop: route.next_hop.map(|address| address.to_string()),
            local_pref: route.local_pref,
            communities: Vec::new(),
            large_communities: Vec::new(),
            ext_communities: Vec::new(),
            as_path_prepend: 0,
            med: None,
            services: texts(&route.services),
        };
        for community in &route.communities {
            match community {
                Community::Standard(_) => all.communities.push(community.to_string()),
                Community::Large(a, b, c) => all.large_communities.push(format!("{a}:{b}:{c}")),
                Community::Extended(octets) => {
                    all.ext_communities.push(format!("{:016x}", u64::from_be_bytes(*octets)));
                }
            }
        }
        all
    }

    /// Whatever is not as usual, in words.
    pub(super) fn attributes(&self) -> String {
        let lists = [
            ("communities", &self.communities),
            ("large communities", &self.large_communities),
            ("extended communities", &self.ext_communities),
        ];
        let lists = lists.into_iter().filter(|(_, list)| !list.is_empty());
        let next_hop = self.next_hop.as_ref().map(|address| format!("via {address}"));
        let local_pref = self.local_pref.map(|value| format!("local preference {value}"));
        let named = lists.map(|(name, list)| format!("{name} {}", list.join(" ")));
        next_hop.into_iter().chain(local_pref).chain(named).collect::<Vec<_>>().join(", ")
    }
}

impl Silent {
    fn of(left: &Left) -> Self {
        Self {
            service: left.service.to_string(),
            address: left.address.map(|address| address.to_string()),
            protocol: key(left.protocol),
            peer: left.peer.as_ref().map(ToString::to_string),
            reason: left.silence.label(),
            message: left.silence.to_string(),
        }
    }

    fn does(&self) -> String {
        match (&self.peer, self.protocol) {
            (Some(peer), _) => format!("tells {peer} nothing"),
            (None, "bgp") => "tells no peer".to_owned(),
            (None, _) => "is silent".to_owned(),
        }
    }
}

impl Assigned {
    pub(super) fn of(name: &ServiceName, given: &Assignment) -> Self {
        Self {
            service: name.to_string(),
            addresses: texts(&given.addresses),
            pool: given.pool.to_string(),
        }
    }
}

impl Refused {
    pub(super) fn of(name: &ServiceName, refusal: &Refusal) -> Self {
        Self { service: name.to_string(), reason: refusal.label(), message: refusal.to_string() }
    }
}
