//! L2Advertisements: which pools which nodes announce on the LAN.

use std::collections::BTreeSet;

use planner::facts::L2Advertisement;
use planner::names::{AdvertisementName, PoolName};
use planner::selector::Labels;

use super::{Findings, Parsed, selector};
use crate::api;
use crate::source::object::{ObjectName, Objects};

pub(super) fn read(objects: &Objects, parsed: &mut Parsed) {
    let mut advertisements: Vec<_> = objects.l2_advertisements.iter().collect();
    advertisements.sort_by_key(|object| ObjectName::of("L2Advertisement", &object.metadata));
    for advertisement in advertisements {
        let object = ObjectName::of("L2Advertisement", &advertisement.metadata);
        let name = AdvertisementName(object.name.clone());
        let mut findings = Findings::about(object);
        let fact = fact(&advertisement.spec, &mut findings);
        if parsed.facts.l2_advertisements.contains_key(&name) {
            let message = "an L2Advertisement in another namespace has the same name";
            findings.problem("metadata.name", message);
        }
        warn(&fact, objects, parsed, &mut findings);
        if let Some(fact) = findings.conclude(fact, parsed) {
            parsed.facts.l2_advertisements.insert(name, fact);
        }
    }
    warn_of_pools_not_announced(objects, parsed);
}

fn fact(spec: &api::L2AdvertisementSpec, findings: &mut Findings) -> L2Advertisement {
    findings.refuse_duplicates("spec.ipAddressPools", &spec.ip_address_pools);
    let mut preferred_nodes = Vec::new();
    for (index, preferred) in spec.preferred_node_selectors.iter().enumerate() {
        let field = format!("spec.preferredNodeSelectors[{index}]");
        if !(1..=100).contains(&preferred.weight) {
            let message = format!("{} is not from 1 to 100", preferred.weight);
            findings.problem(format!("{field}.weight"), message);
        }
        let field = format!("{field}.preference");
        if let Some(selector) = selector::read(&preferred.preference, &field, findings) {
            preferred_nodes.push((preferred.weight, selector));
        }
    }
    let mut list = |field, list| selector::read_list(list, field, findings);
    L2Advertisement {
        pools: spec.ip_address_pools.iter().cloned().map(PoolName).collect(),
        pool_selectors: list("spec.ipAddressPoolSelectors", &spec.ip_address_pool_selectors),
        node_selectors: list("spec.nodeSelectors", &spec.node_selectors),
        service_selectors: list("spec.serviceSelectors", &spec.service_selectors),
        preferred_nodes,
        interfaces: spec.interfaces.iter().cloned().collect(),
    }
}

fn warn(fact: &L2Advertisement, objects: &Objects, parsed: &Parsed, findings: &mut Findings) {
    // Also pools that were refused: their own problem says enough.
    let pools: Vec<_> = objects.pools.iter().map(|pool| &pool.metadata).collect();
    let names: BTreeSet<_> = pools.iter().filter_map(|pool| pool.name.as_deref()).collect();
    for name in fact.pools.iter().filter(|name| !names.contains(name.0.as_str())) {
        let message = format!("there is no IPAddressPool `{name}`");
        findings.warning("spec.ipAddressPools", message, "check the name");
    }
    let pool_labels: Vec<Labels> =
        pools.iter().map(|pool| pool.labels.clone().unwrap_or_default()).collect();
    let nodes: Vec<_> = parsed.facts.nodes.values().map(|node| node.labels.clone()).collect();
    let selectors = &fact.pool_selectors;
    let field = "spec.ipAddressPoolSelectors";
    selector::warn_of_no_match(selectors, field, "IPAddressPool", &pool_labels, findings);
    let selectors = &fact.node_selectors;
    selector::warn_of_no_match(selectors, "spec.nodeSelectors", "Node", &nodes, findings);
}

fn warn_of_pools_not_announced(objects: &Objects, parsed: &mut Parsed) {
    for object in &objects.pools {
        let mut findings = Findings::about(ObjectName::of("IPAddressPool", &object.metadata));
        let name = PoolName(object.metadata.name.clone().unwrap_or_default());
        let Some(pool) = parsed.facts.pools.get(&name) else { continue };
        let is_announced = parsed.facts.l2_advertisements.values().any(|advertisement| {
            let is_any = advertisement.pools.is_empty() && advertisement.pool_selectors.is_empty();
            let is_selected = advertisement.pool_selectors.iter().any(|s| s.matches(&pool.labels));
            is_any || is_selected || advertisement.pools.contains(&name)
        });
        if !is_announced {
            let message = "no L2Advertisement selects the pool, so its addresses are not announced";
            findings.warning("", message, "add an L2Advertisement that names it");
        }
        findings.conclude((), parsed);
    }
}
