//! EndpointSlices: where the pods of a Service run and whether they are healthy.

use std::collections::BTreeSet;

use k8s_openapi::api::discovery::v1 as discovery;
use planner::facts::Endpoint;
use planner::names::{NodeName, ServiceName};

use super::{Findings, Parsed};
use crate::source::object::{ObjectName, Objects};

/// The label that names the Service of a slice.
pub(crate) const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// Reads the slices of Services that are facts by now; others are nobody's concern.
pub(super) fn read(objects: &Objects, parsed: &mut Parsed) {
    let service = |namespace: &Option<String>, name: &Option<String>| {
        ServiceName::new(
            namespace.as_deref().unwrap_or_default(),
            name.as_deref().unwrap_or_default(),
        )
    };
    let existing: BTreeSet<_> = objects
        .services
        .iter()
        .map(|object| service(&object.metadata.namespace, &object.metadata.name))
        .collect();
    for slice in &objects.endpoint_slices {
        let metadata = &slice.metadata;
        let mut findings = Findings::about(ObjectName::of("EndpointSlice", metadata));
        let label = metadata.labels.as_ref().and_then(|labels| labels.get(SERVICE_LABEL));
        let name = service(&metadata.namespace, &label.cloned());
        if label.is_none() {
            let message = format!("without the label `{SERVICE_LABEL}` it belongs to no Service");
            findings.warning("metadata.labels", message, "add the label with the Service's name");
        } else if !existing.contains(&name) {
            let message = format!("there is no Service {name}");
            let field = format!("metadata.labels[{SERVICE_LABEL}]");
            findings.warning(field, message, "check name and namespace");
        }
        let endpoints = slice.endpoints.iter().flatten().map(endpoint);
        if parsed.facts.services.contains_key(&name) {
            parsed.facts.endpoints.entry(name).or_default().extend(endpoints);
        }
        findings.conclude((), parsed);
    }
    // In an order that does not depend on which slice was read first.
    parsed.facts.endpoints.values_mut().for_each(|endpoints| endpoints.sort());
    warn_of_services_without_slices(parsed);
}

/// What counts of one endpoint.
pub(crate) fn endpoint(endpoint: &discovery::Endpoint) -> Endpoint {
    let conditions = endpoint.conditions.as_ref();
    let is_ready = conditions.and_then(|conditions| conditions.ready).unwrap_or(true);
    // Not ready but serving is a pod that terminates and still answers.
    let is_serving = conditions.and_then(|conditions| conditions.serving).unwrap_or(false);
    Endpoint {
        node: endpoint.node_name.clone().map(NodeName),
        is_healthy: is_ready || is_serving,
        has_address: !endpoint.addresses.is_empty(),
    }
}

fn warn_of_services_without_slices(parsed: &mut Parsed) {
    let endpoints = &parsed.facts.endpoints;
    let lonely = parsed.facts.services.keys().filter(|name| !endpoints.contains_key(name));
    let names: Vec<_> = lonely.cloned().collect();
    for name in names {
        let ServiceName { namespace, name } = name;
        let (namespace, name) = (Some(namespace.to_string()), name.to_string());
        let object = ObjectName { kind: "Service", namespace, name };
        let mut findings = Findings::about(object);
        let help = format!("add an EndpointSlice with the label `{SERVICE_LABEL}`");
        findings.warning("", "no EndpointSlice belongs to it, so nothing is announced", &help);
        findings.conclude((), parsed);
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::discovery::v1::EndpointConditions;

    use super::*;

    #[test]
    fn health_is_ready_or_still_serving() {
        let rows = [
            ("nothing is said", None, None, true),
            ("ready", Some(true), None, true),
            ("ready but not serving", Some(true), Some(false), true),
            ("only serving is said", None, Some(true), true),
            ("only not serving is said", None, Some(false), true),
            ("not ready", Some(false), None, false),
            ("neither", Some(false), Some(false), false),
            ("terminating and serving", Some(false), Some(true), true),
        ];
        for (row, ready, serving, healthy) in rows {
            let conditions = Some(EndpointConditions { ready, serving, terminating: None });
            let slice = discovery::Endpoint { conditions, ..Default::default() };
            assert_eq!(endpoint(&slice).is_healthy, healthy, "{row}");
        }
    }
}
