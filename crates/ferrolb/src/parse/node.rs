//! Nodes: labels, addresses, whether they take part, and whether they are about to go.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use planner::facts::Node;
use planner::facts::lan::Departure;
use planner::names::NodeName;
use planner::selector::Labels;

use super::{Findings, Parsed};
use crate::source::object::ObjectName;

/// The label by which a node opts out of announcing; its value does not matter.
pub(super) const EXCLUDE_LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// The annotation by which somebody says that a node is being emptied.
pub(crate) const DRAIN_ANNOTATION: &str = "metallb.io/drain";

/// Taints by which autoscalers say that they are about to remove a node. Other taints, even with
/// the effect `NoExecute`, are also used to keep nodes for some pods, and then for good.
const REMOVAL_TAINTS: [&str; 3] =
    ["ToBeDeletedByClusterAutoscaler", "karpenter.sh/disrupted", "karpenter.sh/disruption"];

/// The taint by which an administrator says that a node is off.
const OUT_OF_SERVICE_TAINT: &str = "node.kubernetes.io/out-of-service";

/// What the kubelet writes into the condition `Ready` when the machine shuts down.
const SHUTTING_DOWN: &str = "node is shutting down";

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
    let is_network_unavailable =
        condition(node, "NetworkUnavailable").is_some_and(|condition| condition.status == "True");
    let is_excluded = labels.get(EXCLUDE_LABEL).is_some();
    let departures = departures(node);
    Node { labels, internal_ips, is_network_unavailable, is_excluded, departures }
}

/// Why the node is expected to stop serving.
fn departures(node: &core::Node) -> BTreeSet<Departure> {
    let spec = node.spec.as_ref();
    let taints = spec.and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let has_taint = |key: &str| taints.iter().any(|taint| taint.key == key);
    let annotations = node.metadata.annotations.as_ref();
    let drain = annotations.and_then(|annotations| annotations.get(DRAIN_ANNOTATION));
    let ready = condition(node, "Ready").filter(|ready| ready.status != "True");
    let is_said =
        |text: &Option<String>| text.as_ref().is_some_and(|text| text.contains(SHUTTING_DOWN));
    let found = [
        (Departure::Cordoned, spec.is_some_and(|spec| spec.unschedulable == Some(true))),
        (
            Departure::Draining,
            drain.is_some_and(|value| value != "false")
                || REMOVAL_TAINTS.iter().any(|key| has_taint(key)),
        ),
        (Departure::NotReady, ready.is_some()),
        (Departure::OutOfService, has_taint(OUT_OF_SERVICE_TAINT)),
        (Departure::ShuttingDown, ready.is_some_and(|ready| is_said(&ready.message))),
    ];
    found.into_iter().filter(|(_, holds)| *holds).map(|(departure, _)| departure).collect()
}

fn condition<'a>(node: &'a core::Node, kind: &str) -> Option<&'a core::NodeCondition> {
    let conditions = node.status.as_ref()?.conditions.as_deref()?;
    conditions.iter().find(|condition| condition.type_ == kind)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_node_says_in_many_ways_that_it_will_go() {
        let taint = |key: &str| json!({"spec": {"taints": [{"key": key, "effect": "NoExecute"}]}});
        let annotated =
            |value: &str| json!({"metadata": {"annotations": {"metallb.io/drain": value}}});
        let ready = |status: &str, message: &str| {
            let ready = json!({"type": "Ready", "status": status, "message": message});
            json!({"status": {"conditions": [ready]}})
        };
        let down = "container runtime is down, node is shutting down";
        let rows: [(&str, Value, &[Departure]); 11] = [
            ("nothing", json!({}), &[]),
            ("cordoned", json!({"spec": {"unschedulable": true}}), &[Departure::Cordoned]),
            ("the annotation", annotated(""), &[Departure::Draining]),
            ("the annotation, off", annotated("false"), &[]),
            (
                "the cluster autoscaler",
                taint("ToBeDeletedByClusterAutoscaler"),
                &[Departure::Draining],
            ),
            ("Karpenter", taint("karpenter.sh/disrupted"), &[Departure::Draining]),
            ("a node for some pods only", taint("dedicated"), &[]),
            (
                "out of service",
                taint("node.kubernetes.io/out-of-service"),
                &[Departure::OutOfService],
            ),
            ("ready", ready("True", ""), &[]),
            ("nobody knows", ready("Unknown", ""), &[Departure::NotReady]),
            (
                "shutting down",
                ready("False", down),
                &[Departure::NotReady, Departure::ShuttingDown],
            ),
        ];
        for (name, node, want) in rows {
            let node: core::Node = serde_json::from_value(node).unwrap();
            let found: Vec<_> = departures(&node).into_iter().collect();
            assert_eq!(found, want, "{name}");
        }
    }
}
