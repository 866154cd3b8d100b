//! What users write: manifests, and annotations of Services.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ferrolb::parse::{self, Parsed};
use ferrolb::source::files;
use ferrolb::source::object::Objects;
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use planner::announce::plan;
use planner::assign::{Choice, assign_all};
use planner::facts::Facts;

/// A file of manifests is read and planned, or what is wrong with it is said.
pub(crate) fn yaml(bytes: &[u8]) {
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().expect("a temporary file");
    std::fs::write(file.path(), bytes).expect("a temporary file can be written");
    let reading = files::read(file.path());
    for problem in reading.problems.iter().chain(&reading.warnings) {
        assert!(!problem.to_string().is_empty());
    }
    let parsed = parse::facts(&reading.objects);
    assert_eq!(parsed, parse::facts(&backwards(&reading.objects)), "the order means nothing");
    decide(parsed);
}

/// Lines are `name=value`: annotations, or with `ip=` and `source=` fields of the Service.
pub(crate) fn annotations(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut annotations = BTreeMap::new();
    let mut spec = ServiceSpec {
        type_: Some("LoadBalancer".into()),
        cluster_ip: Some("10.96.0.1".into()),
        ports: Some(vec![ServicePort { port: 80, ..ServicePort::default() }]),
        ..ServiceSpec::default()
    };
    for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
        match name {
            "ip" => spec.load_balancer_ip = Some(value.to_owned()),
            "families" => {
                spec.ip_families = Some(value.split(',').map(str::to_owned).collect());
            }
            "policy" => spec.ip_family_policy = Some(value.to_owned()),
            _ => drop(annotations.insert(name.to_owned(), value.to_owned())),
        }
    }
    let metadata = ObjectMeta {
        name: Some("web".into()),
        namespace: Some("shop".into()),
        annotations: Some(annotations),
        ..ObjectMeta::default()
    };
    let service = Service { metadata, spec: Some(spec), ..Service::default() };
    let objects = Objects { services: vec![Arc::new(service)], ..Objects::default() };
    let parsed = parse::facts(&objects);
    let is_there = !parsed.facts.services.is_empty();
    assert!(is_there || !parsed.problems.is_empty(), "who is left out is told");
    decide(parsed);
}

/// Gives addresses and plans, as a node does; all that is said is a sentence.
fn decide(parsed: Parsed) {
    let Parsed { mut facts, problems, warnings } = parsed;
    assert!(problems.iter().chain(&warnings).all(|problem| !problem.to_string().is_empty()));
    let all = assign_all(&facts, Choice::FirstFree);
    assert!(all.refusals.values().all(|refusal| !refusal.to_string().is_empty()));
    for (name, service) in &mut facts.services {
        service.addresses = all.given.get(name).map_or_else(Vec::new, |of| of.addresses.clone());
    }
    let again = assign_all(&facts, Choice::FirstFree);
    assert_eq!(all.given, again.given, "a restart changes nothing");
    assert!(again.lost.is_empty(), "what was given may be kept");
    agree(&facts);
}

/// Every node computes the same order of candidates.
fn agree(facts: &Facts) {
    let mut orders: Vec<BTreeMap<IpAddr, _>> = facts
        .nodes
        .keys()
        .map(|node| {
            let candidacies = plan(facts, node).candidacies;
            candidacies.into_iter().map(|(at, candidacy)| (at, candidacy.order)).collect()
        })
        .collect();
    orders.dedup();
    assert!(orders.len() <= 1, "the nodes disagree: {orders:?}");
}

fn backwards(objects: &Objects) -> Objects {
    let mut objects = objects.clone();
    objects.services.reverse();
    objects.endpoint_slices.reverse();
    objects.nodes.reverse();
    objects.namespaces.reverse();
    objects.pools.reverse();
    objects.l2_advertisements.reverse();
    objects
}
