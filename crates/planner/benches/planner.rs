//! The figures of decisions, as samples for `cargo xtask bench planner`.
//!
//! Each line is a JSON object: what was measured, how much work it was, and all samples, in
//! milliseconds or megabytes.
//! Arguments are the sizes, each `SERVICES/NODES`; `--runs N` is how often each is sampled.
//!
//! Memory is what the allocator handed out and did not get back, so it has no noise: the difference
//! that making the facts makes, not counting what the allocator needs for itself.

#![expect(clippy::disallowed_types, reason = "what is measured here is real time")]

use std::alloc::System;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use planner::announce::{Planner, plan};
use planner::assign::{Choice, assign_all};
use planner::facts::{
    Change, Endpoint, Facts, Families, Family, L2Advertisement, Node, Pool, Port, Protocol,
    Reservations, Service, TrafficPolicy,
};
use planner::names::{NodeName, ServiceName};
use planner::range::Range;
use planner::selector::Labels;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Changes of one Service that are measured in each run.
const CHANGES: u32 = 200;

/// Endpoints of each Service.
const ENDPOINTS: u32 = 3;

/// How large a cluster is.
#[derive(Clone, Copy)]
struct Size {
    services: u32,
    nodes: u32,
}

fn main() {
    let (runs, sizes) = arguments();
    for size in sizes {
        let region = Region::new(ALLOCATOR);
        let facts = facts(size);
        let change = region.change();
        let bytes = change.bytes_allocated - change.bytes_deallocated;
        print("facts", size, &[megabytes(bytes)]);
        measure(runs, size, facts);
    }
}

/// `--runs N` and the sizes; cargo adds `--bench`.
fn arguments() -> (u32, Vec<Size>) {
    let (mut runs, mut sizes) = (1, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--runs" {
            runs = number(&arguments.next().unwrap_or_default());
        } else if let Some((services, nodes)) = argument.split_once('/') {
            sizes.push(Size { services: number(services), nodes: number(nodes) });
        }
    }
    (runs, sizes)
}

fn number(text: &str) -> u32 {
    text.parse().unwrap_or_else(|error| panic!("`{text}` is not a number: {error}"))
}

fn measure(runs: u32, size: Size, mut facts: Facts) {
    let node = node_name(0);
    let (mut assigned, mut planned, mut replanned) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        let start = Instant::now();
        let assignments = black_box(assign_all(&facts, Choice::FirstFree));
        assigned.push(milliseconds(start.elapsed()));
        assert_eq!(assignments.given.len(), facts.services.len(), "everyone has an address");
    }
    for (name, assignment) in assign_all(&facts, Choice::FirstFree).given {
        if let Some(service) = facts.services.get_mut(&name) {
            service.addresses = assignment.addresses;
        }
    }
    for _ in 0..runs {
        let start = Instant::now();
        black_box(plan(&facts, &node));
        planned.push(milliseconds(start.elapsed()));
    }
    let mut planner = Planner::new(node, facts);
    for run in 0..runs {
        replanned.extend((0..CHANGES).map(|index| {
            let change = change(planner.facts(), size, run * CHANGES + index);
            milliseconds(replan(&mut planner, change))
        }));
    }
    print("assign all", size, &assigned);
    print("plan all", size, &planned);
    print("change one", size, &replanned);
}

/// How long a change takes until whoever follows the plan has the new order of candidates.
fn replan(planner: &mut Planner, change: Change) -> Duration {
    let start = Instant::now();
    let diff = planner.apply(change);
    let changed = diff.candidacies.added.values().chain(diff.candidacies.changed.values());
    black_box(changed.map(|candidacy| candidacy.order.len()).sum::<usize>());
    let elapsed = start.elapsed();
    assert!(!diff.is_empty(), "every change is one");
    elapsed
}

/// In turn: a Service loses its endpoints, gets them back, and moves twice.
fn change(facts: &Facts, size: Size, turn: u32) -> Change {
    let index = (turn / 4 * 7919) % size.services;
    let name = service_name(index);
    match turn % 4 {
        0 => Change::Endpoints(name, None),
        1 => Change::Endpoints(name, Some(endpoints(index, size))),
        2 => {
            let mut service = facts.services[&name].clone();
            service.addresses = vec![spare(index)];
            Change::Service(name, Some(Box::new(service)))
        }
        _ => {
            let mut service = facts.services[&name].clone();
            service.addresses = vec![spare(index + 1)];
            Change::Service(name, Some(Box::new(service)))
        }
    }
}

/// An address at the end of the pool that no Service has.
fn spare(index: u32) -> IpAddr {
    Ipv4Addr::from_bits(u32::from(Ipv4Addr::new(10, 0, 128, 0)) + index).into()
}

/// A cluster as it is with usual objects: every Service has labels and a selector, every node the
/// labels that Kubernetes and a cloud give it.
fn facts(size: Size) -> Facts {
    let mut facts = Facts::default();
    for index in 0..size.services {
        facts.services.insert(service_name(index), service(index));
        facts.endpoints.insert(service_name(index), endpoints(index, size));
    }
    for index in 0..size.nodes {
        facts.nodes.insert(node_name(index), node(index));
    }
    let pool = Pool {
        labels: Labels::new(),
        ranges: Range::parse("10.0.0.0/16").into_iter().collect(),
        auto_assign: true,
        avoid_buggy_ips: false,
        allocation: None,
        is_draining: false,
        namespace_quota: None,
        reservations: Reservations::default(),
    };
    facts.pools.insert("main".into(), pool);
    facts.l2_advertisements.insert("everything".into(), L2Advertisement::default());
    facts
}

fn service(index: u32) -> Service {
    let app = format!("application-{index}");
    Service {
        labels: labels([("app.kubernetes.io/name", &app), ("app.kubernetes.io/instance", &app)]),
        addresses: Vec::new(),
        requested_addresses: Vec::new(),
        requested_pool: None,
        sharing_key: None,
        families: Families::Single(Family::V4),
        address_count: 1,
        traffic_policy: TrafficPolicy::Cluster,
        ports: [80, 443].map(|number| Port { protocol: Protocol::Tcp, number }).into(),
        pod_selector: labels([("app.kubernetes.io/name", &app)]),
        created: None,
    }
}

fn endpoints(index: u32, size: Size) -> Vec<Endpoint> {
    let on = |replica: u32| node_name((index * ENDPOINTS + replica) % size.nodes);
    let endpoint = |node| Endpoint { node: Some(node), is_healthy: true, has_address: true };
    (0..ENDPOINTS).map(|replica| endpoint(on(replica))).collect()
}

fn node(index: u32) -> Node {
    let name = node_name(index).0;
    let labels = labels([
        ("beta.kubernetes.io/arch", "amd64"),
        ("beta.kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", "amd64"),
        ("kubernetes.io/hostname", &name),
        ("kubernetes.io/os", "linux"),
        ("node.kubernetes.io/instance-type", "bare-metal"),
        ("topology.kubernetes.io/region", "home"),
        ("topology.kubernetes.io/zone", "rack-1"),
    ]);
    let at = Ipv4Addr::from_bits(u32::from(Ipv4Addr::new(172, 16, 0, 0)) + index);
    Node { labels, internal_ips: vec![at.into()], ..Node::default() }
}

fn labels<const N: usize>(pairs: [(&str, &str); N]) -> Labels {
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

fn service_name(index: u32) -> ServiceName {
    ServiceName::new(format!("namespace-{}", index % 100), format!("application-{index}"))
}

fn node_name(index: u32) -> NodeName {
    NodeName(format!("worker-{index}.example.com"))
}

fn print(name: &str, size: Size, samples: &[f64]) {
    let Size { services, nodes } = size;
    println!(r#"{{"name":"{name}","services":{services},"nodes":{nodes},"samples":{samples:?}}}"#);
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53 bytes")]
fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}
