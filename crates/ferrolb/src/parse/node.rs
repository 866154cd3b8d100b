//! Nodes: labels, addresses, and whether they take part.

use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use planner::facts::Node;
use planner::names::NodeName;
use planner::selector::Labels;

use super::{Findings, Parsed};
use crate::source::object::ObjectName;

/// The label by which a node opts out of announcing; its value does not matter.
pub(super) const EXCLUDE_LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

pub(super) fn read(nodes: &[Arc<core::Node>], parsed: &mut Parsed) {
    for node in nodes {
        let mut findings = Findings::about(ObjectName::of("Node", &node.metadata));
        let fact = fact(node, &mut findings);
        if let Some(fact) = findings.conclude(fact, parsed) {
            let name = NodeName(node.metadata.name.clone().unwrap_or_default());
            parsed.facts.nodes.insert(name, fact);
        }
    }
}

fn fact(node: &core::Node, findings: &mut Findings) -> Node {
    let labels = Labels::from(node.metadata.labels.clone().unwrap_or_default());
    let status = node.status.as_ref();
    let addresses = status.and_then(|status| status.addresses.as_deref()).unwrap_or_default();
    let mut internal_ips = Vec::new();
    for (index, address) in addresses.iter().enumerate() {
        if address.type_ != "InternalIP" {
            continue;
        }
        match address.address.parse() {
            Ok(ip) => internal_ips.push(ip),
            Err(_) => findings.problem(
                format!("status.addresses[{index}].address"),
                format!("`{}` is not an IP address", address.address),
                "write an IPv4 or IPv6 address",
            ),
        }
    }
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let is_network_unavailable = conditions
        .iter()
        .any(|condition| condition.type_ == "NetworkUnavailable" && condition.status == "True");
    let is_excluded = labels.get(EXCLUDE_LABEL).is_some();
    Node { labels, internal_ips, is_network_unavailable, is_excluded }
}
