//! Why something is missing, for each node or for all nodes alike.

use std::collections::BTreeMap;
use std::net::IpAddr;

use planner::names::{NodeName, ServiceName};
use planner::plan::Plan;
use planner::reason::{Protocol, Refusal, Silence};
use serde::Serialize;

use super::node_plan::key;
use super::outcome::Outcome;

/// A "no", and how to mend it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Why {
    /// Stays the same across versions.
    pub(super) reason: &'static str,
    /// For people.
    pub(super) message: String,
    /// What to do.
    pub(super) help: String,
}

impl Why {
    pub(super) fn refused(refusal: &Refusal) -> Self {
        let (reason, message) = (refusal.label(), refusal.to_string());
        Self { reason, message, help: refusal.help() }
    }

    fn silent(silence: &Silence) -> Self {
        let (reason, message) = (silence.label(), silence.to_string());
        Self { reason, message, help: silence.help() }
    }
}

/// A way in which an address is not announced.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Missing {
    /// `l2` or `bgp`; `None` if it is not announced because the Service does not have it.
    pub(super) protocol: Option<&'static str>,
    /// The router that is not told; `None` on the LAN, and for all routers alike.
    pub(super) peer: Option<String>,
    /// Nodes for which this is the reason; empty if it has nothing to do with nodes.
    pub(super) nodes: Vec<String>,
    #[serde(flatten)]
    pub(super) why: Why,
}

/// Why nodes do not announce an address of a Service. Nodes with the same reason are together.
pub(super) fn missing(
    outcome: &Outcome,
    plans: &BTreeMap<&NodeName, Plan>,
    service: &ServiceName,
    address: IpAddr,
) -> Vec<Missing> {
    let facts = outcome.facts.services.get(service);
    if !facts.is_some_and(|service| service.addresses.contains(&address)) {
        let refusals = [&outcome.assignments.lost, &outcome.assignments.refusals];
        let refusals = refusals.into_iter().filter_map(|all| all.get(service));
        let missing = |refusal| Missing {
            protocol: None,
            peer: None,
            nodes: Vec::new(),
            why: Why::refused(refusal),
        };
        return refusals.map(missing).take(1).collect();
    }
    silences(plans, service, address)
}

/// As [`missing`], for an address that the Service has.
pub(super) fn silences(
    plans: &BTreeMap<&NodeName, Plan>,
    service: &ServiceName,
    address: IpAddr,
) -> Vec<Missing> {
    let mut nodes: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for (node, plan) in plans {
        let here = plan
            .silences
            .iter()
            .filter(|left| left.service == *service && left.address == Some(address));
        for left in here {
            let reason = (lan_first(left.protocol), &left.peer, own(&left.silence));
            nodes.entry(reason).or_default().push(node.to_string());
        }
    }
    let missing = nodes.into_iter().map(|(((_, protocol), peer, silence), nodes)| Missing {
        protocol: Some(key(protocol)),
        peer: peer.as_ref().map(ToString::to_string),
        nodes,
        why: Why::silent(silence),
    });
    missing.collect()
}

/// Orders the LAN before routers.
fn lan_first(protocol: Protocol) -> (bool, Protocol) {
    (protocol != Protocol::Lan, protocol)
}

/// The reason that a node has itself, without that the others have one as well.
fn own(silence: &Silence) -> &Silence {
    if let Silence::NoCandidate { here } = silence { here } else { silence }
}
