//! IPAddressPools: ranges, and which Services they are for.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use planner::facts::{Allocation, Pool};
use planner::names::PoolName;
use planner::range::Range;
use planner::selector::Labels;

use super::{Findings, Parsed, selector};
use crate::api::{self, IPAddressPool};
use crate::source::object::ObjectName;

pub(super) fn read(pools: &[Arc<IPAddressPool>], parsed: &mut Parsed) {
    let mut pools: Vec<_> = pools.iter().collect();
    pools.sort_by_key(|pool| age(pool));
    let mut taken: BTreeMap<PoolName, ObjectName> = BTreeMap::new();
    for pool in pools {
        let object = ObjectName::of("IPAddressPool", &pool.metadata);
        let name = PoolName(object.name.clone());
        let mut findings = Findings::about(object.clone());
        let ranges = ranges(&pool.spec.addresses, &mut findings);
        refuse_overlaps(&ranges, &taken, parsed, &mut findings);
        if let Some(other) = taken.get(&name) {
            findings.problem("metadata.name", format!("{other} has the same name"));
        }
        let fact = Pool {
            labels: pool.metadata.labels.clone().unwrap_or_default(),
            ranges: ranges.into_iter().map(|(_, range)| range).collect(),
            auto_assign: pool.spec.auto_assign,
            avoid_buggy_ips: pool.spec.avoid_buggy_ips,
            allocation: pool.spec.service_allocation.as_ref().map(|allocation| {
                read_allocation(allocation, &parsed.facts.namespaces, &mut findings)
            }),
        };
        if let Some(fact) = findings.conclude(fact, parsed) {
            parsed.facts.pools.insert(name.clone(), fact);
            taken.insert(name, object);
        }
    }
}

/// Older first, so that an edit takes nothing away from what was there before. What the API server
/// has not seen yet is youngest.
fn age(pool: &IPAddressPool) -> (bool, Option<Time>, ObjectName) {
    let created = pool.metadata.creation_timestamp.clone();
    (created.is_none(), created, ObjectName::of("IPAddressPool", &pool.metadata))
}

/// The ranges that can be read, each with its index.
fn ranges(addresses: &[String], findings: &mut Findings) -> Vec<(usize, Range)> {
    if addresses.is_empty() {
        findings.problem("spec.addresses", "a pool needs at least one range");
    }
    let mut ranges: Vec<(usize, Range)> = Vec::new();
    for (index, text) in addresses.iter().enumerate() {
        let field = format!("spec.addresses[{index}]");
        match Range::parse(text) {
            Ok(range) => {
                if let Some((earlier, _)) = ranges.iter().find(|(_, other)| range.overlaps(*other))
                {
                    let message =
                        format!("`{text}` overlaps `{}`, an earlier entry", addresses[*earlier]);
                    findings.problem(field, message);
                }
                ranges.push((index, range));
            }
            Err(error) => findings.problem(field, error.to_string()),
        }
    }
    ranges
}

fn refuse_overlaps(
    ranges: &[(usize, Range)],
    taken: &BTreeMap<PoolName, ObjectName>,
    parsed: &Parsed,
    findings: &mut Findings,
) {
    for (index, range) in ranges {
        for (name, pool) in &parsed.facts.pools {
            let (Some(other), Some(object)) =
                (pool.ranges.iter().find(|other| range.overlaps(**other)), taken.get(name))
            else {
                continue;
            };
            let ours = &findings.object;
            let message = format!("`{range}` of {ours} overlaps `{other}` of {object}");
            let help =
                "of the two the later one is left out; take the addresses out of one of them";
            findings.problem_with_help(format!("spec.addresses[{index}]"), message, help);
        }
    }
}

fn read_allocation(
    allocation: &api::ServiceAllocation,
    namespaces: &BTreeMap<String, Labels>,
    findings: &mut Findings,
) -> Allocation {
    const FIELD: &str = "spec.serviceAllocation";
    findings.refuse_duplicates(&format!("{FIELD}.namespaces"), &allocation.namespaces);
    let field = format!("{FIELD}.namespaceSelectors");
    let namespace_selectors =
        selector::read_list(&allocation.namespace_selectors, &field, findings);
    let labels: Vec<_> = namespaces.values().cloned().collect();
    selector::warn_of_no_match(&namespace_selectors, &field, "Namespace", &labels, findings);
    let field = format!("{FIELD}.serviceSelectors");
    Allocation {
        priority: allocation.priority,
        namespaces: allocation.namespaces.iter().cloned().collect(),
        namespace_selectors,
        service_selectors: selector::read_list(&allocation.service_selectors, &field, findings),
    }
}
