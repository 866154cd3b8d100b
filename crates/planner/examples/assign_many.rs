//! How long it takes to give addresses to many Services from empty, and to find that a pool is full.
#![expect(clippy::disallowed_types, reason = "an example that measures has to look at the clock")]

use std::collections::BTreeMap;
use std::time::Instant;

use planner::assign::{Choice, assign_all};
use planner::facts::{Facts, Families, Family, Pool, Port, Protocol, Service, TrafficPolicy};
use planner::names::{PoolName, ServiceName};
use planner::range::{Range, RangeError};

fn main() -> Result<(), RangeError> {
    let rows = [
        ("a /16", "10.0.0.0/16", 0),
        ("a /16 with 1,000 reservations", "10.0.0.0/16", 1_000),
        ("5,000 addresses", "10.0.0.1-10.0.19.136", 0),
    ];
    for count in [100, 1_000, 10_000] {
        for (name, range, reserved) in rows {
            for choice in [Choice::FirstFree, Choice::Hashed] {
                let facts = facts(count, Range::parse(range)?, reserved);
                let start = Instant::now();
                let all = assign_all(&facts, choice);
                let (given, took) = (all.given.len(), start.elapsed());
                println!("{count} Services, {name}, {choice:?}: {given} given in {took:?}");
            }
        }
    }
    Ok(())
}

fn facts(count: usize, range: Range, reservations: u128) -> Facts {
    let port = Port { protocol: Protocol::Tcp, number: 80 };
    let service = Service {
        labels: BTreeMap::new(),
        addresses: Vec::new(),
        requested_addresses: Vec::new(),
        requested_pool: None,
        sharing_key: None,
        families: Families::Single(Family::V4),
        address_count: 1,
        traffic_policy: TrafficPolicy::Cluster,
        ports: [port].into(),
        pod_selector: BTreeMap::new(),
    };
    let name = |index| ServiceName::new(format!("n{}", index % 10), format!("s{index}"));
    let reserved = |index: u128| Some((range.nth(index)?, name(usize::try_from(index).ok()?)));
    let pool = Pool {
        labels: BTreeMap::new(),
        ranges: vec![range],
        auto_assign: true,
        avoid_buggy_ips: true,
        allocation: None,
        is_draining: false,
        namespace_quota: Some(100_000),
        reservations: (0..reservations).filter_map(reserved).collect(),
    };
    Facts {
        services: (0..count).map(|index| (name(index), service.clone())).collect(),
        pools: [(PoolName::from("p"), pool)].into(),
        ..Facts::default()
    }
}
