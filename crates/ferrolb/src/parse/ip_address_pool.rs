//! IPAddressPools: ranges, and which Services they are for.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use planner::facts::{Allocation, Pool, Reservations};
use planner::names::{PoolName, ServiceName};
use planner::range::Range;
use planner::selector::Labels;

use super::{Findings, Parsed, selector};
use crate::api::{self, IPAddressPool};
use crate::source::object::ObjectName;

/// As in the schema.
const MAX_RESERVATIONS: usize = 1024;

pub(super) fn read(pools: &[Arc<IPAddressPool>], parsed: &mut Parsed) {
    let mut taken: BTreeMap<PoolName, ObjectName> = BTreeMap::new();
    for pool in super::oldest_first("IPAddressPool", pools) {
        let object = ObjectName::of("IPAddressPool", &pool.metadata);
        let name = PoolName(object.name.clone());
        let mut findings = Findings::about(object.clone());
        let ranges = ranges(&name, &pool.spec.addresses, &mut findings);
        refuse_overlaps(&ranges, &taken, parsed, &mut findings);
        if let Some(other) = taken.get(&name) {
            findings.problem(
                "metadata.name",
                format!("{other} has the same name"),
                "rename one of them",
            );
        }
        let fact = Pool {
            labels: pool.metadata.labels.clone().unwrap_or_default().into(),
            ranges: ranges.into_iter().map(|(_, range)| range).collect(),
            auto_assign: pool.spec.auto_assign,
            avoid_buggy_ips: pool.spec.avoid_buggy_ips,
            allocation: pool.spec.service_allocation.as_ref().map(|allocation| {
                read_allocation(allocation, &parsed.facts.namespaces, &mut findings)
            }),
            is_draining: pool.spec.drain,
            namespace_quota: pool.spec.quota.as_ref().map(|quota| read_quota(quota, &mut findings)),
            reservations: Reservations::default(),
        };
        let reservations = read_reservations(&pool.spec.reservations, &fact, &mut findings);
        let fact = Pool { reservations: reservations.into_iter().collect(), ..fact };
        if let Some(fact) = findings.conclude(fact, parsed) {
            parsed.facts.pools.insert(name.clone(), fact);
            taken.insert(name, object);
        }
    }
}

/// The ranges that can be read, each with its index.
fn ranges(pool: &PoolName, addresses: &[String], findings: &mut Findings) -> Vec<(usize, Range)> {
    if addresses.is_empty() {
        findings.problem(
            "spec.addresses",
            "a pool needs at least one range",
            "write one, such as `192.0.2.0/24` or `192.0.2.10-192.0.2.20`",
        );
    }
    let mut ranges: Vec<(usize, Range)> = Vec::new();
    for (index, text) in addresses.iter().enumerate() {
        let field = format!("spec.addresses[{index}]");
        match Range::parse(text) {
            Ok(range) => {
                if let Some((earlier, _)) = ranges.iter().find(|(_, other)| range.overlaps(*other))
                {
                    let message = format!(
                        "CIDR \"{text}\" in pool \"{pool}\" overlaps with already defined CIDR \
                         \"{}\"",
                        addresses[*earlier]
                    );
                    let help = "take the addresses out of one of the two entries";
                    findings.problem(field, message, help);
                }
                ranges.push((index, range));
            }
            Err(error) => findings.problem(field, error.to_string(), error.help()),
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
            let ours = &findings.object.name;
            let message = format!(
                "CIDR \"{range}\" in pool \"{ours}\" overlaps with already defined CIDR \
                 \"{other}\" of {object}"
            );
            let help =
                "of the two the later one is left out; take the addresses out of one of them";
            findings.problem(format!("spec.addresses[{index}]"), message, help);
        }
    }
}

fn read_quota(quota: &api::Quota, findings: &mut Findings) -> u64 {
    let number = quota.per_namespace;
    u64::try_from(number).unwrap_or_else(|_| {
        let message = format!("{number} is less than 0");
        findings.problem("spec.quota.perNamespace", message, "write a number from 0");
        0
    })
}

/// Each reserved address of `pool` with its Service.
fn read_reservations(
    reservations: &[api::Reservation],
    pool: &Pool,
    findings: &mut Findings,
) -> BTreeMap<IpAddr, ServiceName> {
    if reservations.len() > MAX_RESERVATIONS {
        let message = format!("{} are more than {MAX_RESERVATIONS}", reservations.len());
        findings.problem("spec.reservations", message, "spread them over several pools");
    }
    let mut read = BTreeMap::new();
    for (index, reservation) in reservations.iter().enumerate() {
        let field = format!("spec.reservations[{index}]");
        let service = service_name(&reservation.service);
        if service.is_none() {
            let message = format!("`{}` is not `namespace/name`", reservation.service);
            let help = "write a namespace, a slash and the name of the Service";
            findings.problem(format!("{field}.service"), message, help);
        }
        match reserved_address(&reservation.address, pool, &read) {
            Ok(address) => read.extend(service.map(|service| (address, service))),
            Err(message) => {
                let help = "write an address of the pool that is not reserved yet";
                findings.problem(format!("{field}.address"), message, help);
            }
        }
    }
    read
}

fn service_name(text: &str) -> Option<ServiceName> {
    let (namespace, name) = text.split_once('/')?;
    let is_good = !namespace.is_empty() && !name.is_empty() && !name.contains('/');
    is_good.then(|| ServiceName::new(namespace, name))
}

/// The address, or what is wrong with it.
fn reserved_address(
    text: &str,
    pool: &Pool,
    earlier: &BTreeMap<IpAddr, ServiceName>,
) -> Result<IpAddr, String> {
    let not_an_address = |_| format!("`{text}` is not an IP address");
    let address = text.trim().parse::<IpAddr>().map_err(not_an_address)?.to_canonical();
    if pool.is_avoided(address) {
        Err(format!("`{address}` ends in 0 or 255, which the pool avoids"))
    } else if !pool.contains(address) {
        Err(format!("`{address}` is not in the pool"))
    } else if earlier.contains_key(&address) {
        Err(format!("`{address}` is there twice"))
    } else {
        Ok(address)
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
