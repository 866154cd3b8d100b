//! Why the candidates for an address are in their order.

use super::Pools;
use crate::facts::{Facts, Service};
use crate::names::NodeName;
use crate::owner;
use crate::plan::Candidacy;

/// What puts one candidate in its place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Standing {
    /// The node.
    pub node: NodeName,
    /// The weights of all preferences for it, added up; the highest comes first.
    pub score: i64,
    /// The sha256 of `node#address`; among equal scores the smallest comes first.
    pub hash: [u8; 32],
}

/// The candidates of a [`Candidacy`] of these facts, in its order.
pub fn standings(facts: &Facts, candidacy: &Candidacy) -> Vec<Standing> {
    let services = candidacy.services.iter();
    let Some(service) = services.filter_map(|name| facts.services.get(name)).next() else {
        return Vec::new();
    };
    let Some(first) = service.addresses.first() else { return Vec::new() };
    let address = first.to_string();
    let pools = Pools::new(facts);
    let standing = |node: &NodeName| Standing {
        node: node.clone(),
        score: score(facts, &pools, service, node),
        hash: owner::weight(node, &address),
    };
    candidacy.order.iter().map(standing).collect()
}

/// How much the L2Advertisements for a Service prefer a node.
fn score(facts: &Facts, pools: &Pools, service: &Service, node: &NodeName) -> i64 {
    let Some(node) = facts.nodes.get(node) else { return 0 };
    let Some(name) = pools.of(&service.addresses) else { return 0 };
    let Some(pool) = facts.pools.get(name) else { return 0 };
    let all = facts.l2_advertisements.values().filter(|ad| {
        let selection = ad.selection();
        selection.pool(name, pool) && selection.service(service) && selection.node(&node.labels)
    });
    let preferred = all.flat_map(|ad| &ad.preferred_nodes);
    let matching = preferred.filter(|(_, selector)| selector.matches(&node.labels));
    matching.map(|(weight, _)| i64::from(*weight)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::announce::plan;
    use crate::build::{facts, on, pool, selector, service};
    use crate::facts::L2Advertisement;

    #[test]
    fn score_and_hash_give_the_order_of_the_plan() {
        let preferring = |node: &str, weight| L2Advertisement {
            preferred_nodes: vec![(weight, selector([("name", node)]))],
            ..L2Advertisement::default()
        };
        let only_a = L2Advertisement { node_selectors: on(["a"]), ..preferring("a", 30) };
        let web = service("web").has(["192.0.2.10"]);
        let cluster = facts([web], [("main", pool(["192.0.2.0/24"]))])
            .node("a", [])
            .node("b", [])
            .node("c", [])
            .node("d", [])
            .healthy("web", ["a"])
            .advertised("first", preferring("c", 20))
            .advertised("second", only_a)
            .advertised("third", preferring("c", 15));
        let plan = plan(&cluster, &"a".into());
        let candidacy = plan.candidacies.values().next().unwrap();
        let mut standings = standings(&cluster, candidacy);
        let scores: Vec<_> = standings.iter().map(|one| (one.node.0.as_str(), one.score)).collect();
        assert_eq!(scores[..2], [("c", 35), ("a", 30)]);
        standings.sort_by_key(|one| (-one.score, one.hash));
        let sorted: Vec<_> = standings.into_iter().map(|one| one.node).collect();
        assert_eq!(sorted, candidacy.order[..]);
    }
}
