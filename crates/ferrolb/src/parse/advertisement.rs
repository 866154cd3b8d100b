//! What advertisements of both kinds have in common: which pools, nodes and Services they are for.

use std::collections::BTreeSet;

use planner::facts::bgp::BgpAdvertisement;
use planner::facts::{L2Advertisement, Pool};
use planner::names::PoolName;
use planner::selector::{Labels, Selector};

use super::{Findings, Parsed, selector};
use crate::source::object::Objects;

/// What an advertisement is for. An empty list selects everything.
#[derive(Clone, Copy)]
pub(super) struct Choice<'a> {
    pools: &'a BTreeSet<PoolName>,
    pool_selectors: &'a [Selector],
    node_selectors: &'a [Selector],
    service_selectors: &'a [Selector],
}

impl<'a> Choice<'a> {
    pub(super) fn of_l2(advertisement: &'a L2Advertisement) -> Self {
        Self {
            pools: &advertisement.pools,
            pool_selectors: &advertisement.pool_selectors,
            node_selectors: &advertisement.node_selectors,
            service_selectors: &advertisement.service_selectors,
        }
    }

    pub(super) fn of_bgp(advertisement: &'a BgpAdvertisement) -> Self {
        Self {
            pools: &advertisement.pools,
            pool_selectors: &advertisement.pool_selectors,
            node_selectors: &advertisement.node_selectors,
            service_selectors: &advertisement.service_selectors,
        }
    }

    /// Whether the advertisement is for the addresses of a pool.
    pub(super) fn has_pool(self, name: &PoolName, pool: &Pool) -> bool {
        let is_any = self.pools.is_empty() && self.pool_selectors.is_empty();
        let is_selected = self.pool_selectors.iter().any(|s| s.matches(&pool.labels));
        is_any || is_selected || self.pools.contains(name)
    }

    /// Warns of names and selectors that nothing has.
    pub(super) fn warn(self, objects: &Objects, parsed: &Parsed, findings: &mut Findings) {
        // Also pools that were refused: their own problem says enough.
        let pools: Vec<_> = objects.pools.iter().map(|pool| &pool.metadata).collect();
        let names: BTreeSet<_> = pools.iter().filter_map(|pool| pool.name.as_deref()).collect();
        for name in self.pools.iter().filter(|name| !names.contains(name.0.as_str())) {
            let message = format!("there is no IPAddressPool `{name}`");
            findings.warning("spec.ipAddressPools", message, "check the name");
        }
        let labels: Vec<Labels> =
            pools.iter().map(|pool| pool.labels.clone().unwrap_or_default().into()).collect();
        let field = "spec.ipAddressPoolSelectors";
        selector::warn_of_no_match(self.pool_selectors, field, "IPAddressPool", &labels, findings);
        let labels: Vec<_> = parsed.facts.nodes.values().map(|node| node.labels.clone()).collect();
        let field = "spec.nodeSelectors";
        selector::warn_of_no_match(self.node_selectors, field, "Node", &labels, findings);
        let services = parsed.facts.services.values();
        let labels: Vec<_> = services.map(|service| service.labels.clone()).collect();
        let field = "spec.serviceSelectors";
        selector::warn_of_no_match(self.service_selectors, field, "Service", &labels, findings);
    }
}
