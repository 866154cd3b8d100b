//! What advertisements of both kinds have in common: which pools, nodes and Services they are for.

use std::collections::BTreeSet;

use planner::announce::Selection;
use planner::selector::Labels;

use super::{Findings, Parsed, selector};
use crate::source::object::Objects;

/// Warns of names and selectors that nothing has.
pub(super) fn warn_of_no_match(
    selection: Selection<'_>,
    objects: &Objects,
    parsed: &Parsed,
    findings: &mut Findings,
) {
    // Also pools that were refused: their own problem says enough.
    let pools: Vec<_> = objects.pools.iter().map(|pool| &pool.metadata).collect();
    let names: BTreeSet<_> = pools.iter().filter_map(|pool| pool.name.as_deref()).collect();
    for name in selection.pools.iter().filter(|name| !names.contains(name.0.as_str())) {
        let message = format!("there is no IPAddressPool `{name}`");
        findings.warning("spec.ipAddressPools", message, "check the name");
    }
    let labels: Vec<Labels> =
        pools.iter().map(|pool| pool.labels.clone().unwrap_or_default().into()).collect();
    let field = "spec.ipAddressPoolSelectors";
    selector::warn_of_no_match(selection.pool_selectors, field, "IPAddressPool", &labels, findings);
    let labels: Vec<_> = parsed.facts.nodes.values().map(|node| node.labels.clone()).collect();
    let field = "spec.nodeSelectors";
    selector::warn_of_no_match(selection.node_selectors, field, "Node", &labels, findings);
    let services = parsed.facts.services.values();
    let labels: Vec<_> = services.map(|service| service.labels.clone()).collect();
    let field = "spec.serviceSelectors";
    selector::warn_of_no_match(selection.service_selectors, field, "Service", &labels, findings);
}
