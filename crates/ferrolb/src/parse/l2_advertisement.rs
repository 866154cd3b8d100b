//! L2Advertisements: which pools which nodes announce on the LAN.

mod announcements;
mod holding;
mod interfaces;
mod planned_moves;

use std::ops::RangeInclusive;
use std::sync::Arc;

use planner::facts::L2Advertisement;
use planner::facts::lan::Settings;
use planner::names::{AdvertisementName, PoolName};

use super::advertisement::warn_of_no_match;
use super::{Findings, Parsed, selector};
use crate::api;
use crate::source::object::{ObjectName, Objects};

/// What a preference for a node may weigh.
const WEIGHTS: RangeInclusive<i32> = 1..=100;

pub(super) fn read(objects: &Objects, parsed: &mut Parsed) {
    let mut advertisements: Vec<_> = objects.l2_advertisements.iter().collect();
    advertisements.sort_by_key(|object| ObjectName::of("L2Advertisement", &object.metadata));
    for advertisement in advertisements {
        let object = ObjectName::of("L2Advertisement", &advertisement.metadata);
        let name = AdvertisementName(object.name.clone());
        let mut findings = Findings::about(object);
        let fact = fact(&advertisement.spec, &mut findings);
        if parsed.facts.l2_advertisements.contains_key(&name) {
            findings.same_name("L2Advertisement");
        }
        warn_of_no_match(fact.selection(), objects, parsed, &mut findings);
        if let Some(fact) = findings.conclude(fact, parsed) {
            parsed.facts.l2_advertisements.insert(name, fact);
        }
    }
}

fn fact(spec: &api::L2AdvertisementSpec, findings: &mut Findings) -> L2Advertisement {
    findings.refuse_duplicates("spec.ipAddressPools", &spec.ip_address_pools);
    let mut preferred_nodes = Vec::new();
    for (index, preferred) in spec.preferred_node_selectors.iter().enumerate() {
        let field = format!("spec.preferredNodeSelectors[{index}]");
        if !WEIGHTS.contains(&preferred.weight) {
            findings.out_of_bounds(&format!("{field}.weight"), preferred.weight, &WEIGHTS);
        }
        let field = format!("{field}.preference");
        if let Some(selector) = selector::read(&preferred.preference, &field, findings) {
            preferred_nodes.push((preferred.weight, selector));
        }
    }
    let announcing = announcements::read(spec, findings);
    let interfaces = interfaces::read(spec, findings);
    let policy = holding::policy(spec, findings);
    let moves = planned_moves::read(&spec.planned_moves);
    let mut list = |field, list| selector::read_list(list, field, findings);
    L2Advertisement {
        pools: spec.ip_address_pools.iter().cloned().map(PoolName).collect(),
        pool_selectors: list("spec.ipAddressPoolSelectors", &spec.ip_address_pool_selectors),
        node_selectors: list("spec.nodeSelectors", &spec.node_selectors),
        service_selectors: list("spec.serviceSelectors", &spec.service_selectors),
        preferred_nodes,
        interfaces,
        settings: Arc::new(Settings { announcing, policy, ..moves }),
    }
}
