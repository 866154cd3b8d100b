//! The order of candidates for an address on the LAN.
//!
//! MetalLB's, so that the first candidate is the node which a MetalLB speaker would choose. Which
//! of the candidates holds the address is decided among the speakers.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use sha2::{Digest, Sha256};

use crate::names::NodeName;

/// A node that may announce an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Candidate<'a> {
    /// The node.
    pub node: &'a NodeName,
    /// The weights of all preferences for it, added up.
    pub score: i64,
}

/// Nodes that may announce an address, each with the weights of all preferences for it, added up.
pub type Scores = BTreeMap<NodeName, i64>;

/// Candidates for an address, the preferred one first.
///
/// It is put in order when somebody looks at it, and then stays so: with many nodes that is nearly
/// all the work of a plan, and most of a plan is the same as before. Copies share the result.
#[derive(Clone)]
pub struct Order(Arc<Unsorted>);

struct Unsorted {
    scores: Arc<Scores>,
    address: IpAddr,
    sorted: OnceLock<Vec<NodeName>>,
}

impl Order {
    /// The order of these nodes by [`order`].
    pub fn new(scores: Arc<Scores>, address: IpAddr) -> Self {
        Self(Arc::new(Unsorted { scores, address, sorted: OnceLock::new() }))
    }

    /// The candidates in order, each with its score.
    pub fn candidates(&self) -> impl Iterator<Item = Candidate<'_>> {
        self.iter().map(move |node| Candidate { node, score: self.score(node) })
    }

    /// The weights of all preferences for a candidate, added up.
    pub fn score(&self, node: &NodeName) -> i64 {
        self.0.scores.get(node).copied().unwrap_or_default()
    }

    /// The candidates in order, without keeping it here: for one who keeps it in another form.
    pub fn sorted(&self) -> Vec<NodeName> {
        self.0.sorted.get().cloned().unwrap_or_else(|| self.0.sort())
    }

    /// Whether a node is among the candidates, wherever it stands.
    pub fn contains(&self, node: &NodeName) -> bool {
        self.0.scores.contains_key(node)
    }
}

impl Deref for Order {
    type Target = [NodeName];

    fn deref(&self) -> &[NodeName] {
        self.0.sorted.get_or_init(|| self.0.sort())
    }
}

impl Unsorted {
    fn sort(&self) -> Vec<NodeName> {
        let candidate = |(node, score): (_, &_)| Candidate { node, score: *score };
        order(self.scores.iter().map(candidate), self.address)
    }
}

impl Eq for Order {}

impl PartialEq for Order {
    /// Equal if put in order by the same values. None is put in order for that.
    fn eq(&self, other: &Self) -> bool {
        let (ours, theirs) = (&*self.0, &*other.0);
        let are_same = Arc::ptr_eq(&ours.scores, &theirs.scores);
        ours.address == theirs.address && (are_same || ours.scores == theirs.scores)
    }
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Orders candidates: the highest score first, and among equals the smallest sha256 of
/// `node#address`.
///
/// `address` is the first address of a Service, for all its addresses. Every node computes the same
/// order from the same candidates, and taking one away leaves the order of the others as it is.
pub fn order<'a>(
    candidates: impl IntoIterator<Item = Candidate<'a>>,
    address: IpAddr,
) -> Vec<NodeName> {
    let address = address.to_string();
    let mut candidates: Vec<_> = candidates.into_iter().collect();
    candidates.sort_by_cached_key(|candidate| {
        (Reverse(candidate.score), weight(candidate.node, &address), candidate.node)
    });
    candidates.into_iter().map(|candidate| candidate.node.clone()).collect()
}

/// Compared byte by byte. Part of the contract: speakers of two versions must agree.
pub(crate) fn weight(NodeName(node): &NodeName, address: &str) -> [u8; 32] {
    Sha256::new().chain_update(node).chain_update("#").chain_update(address).finalize().into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::build::address;

    /// The order of `nodes`, each `name` or `name=score`, as words.
    fn ordered(nodes: &str, at: IpAddr) -> String {
        let nodes: Vec<_> = nodes
            .split_whitespace()
            .map(|word| word.split_once('=').unwrap_or((word, "0")))
            .map(|(name, score)| (NodeName::from(name), score.parse().unwrap()))
            .collect();
        let candidates = nodes.iter().map(|(node, score)| Candidate { node, score: *score });
        let order = order(candidates, at);
        order.iter().map(|node| node.0.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_order_is_metallbs() {
        // From MetalLB's own tests. Changing a line means that speakers of two versions disagree.
        let rows = [
            ("10.0.0.1", "node-a node-b node-c", "node-b node-a node-c"),
            ("10.0.0.2", "node-a node-b node-c", "node-b node-c node-a"),
            ("10.20.30.1", "iris1 iris2", "iris2 iris1"),
            ("10.20.30.2", "iris1 iris2", "iris1 iris2"),
            ("10.20.30.1", "node-a node-b", "node-b node-a"),
            (
                "10.20.30.1",
                "edge-a=100 edge-b worker-a worker-b",
                "edge-a edge-b worker-a worker-b",
            ),
        ];
        for (at, nodes, want) in rows {
            assert_eq!(ordered(nodes, address(at)), want, "{nodes} for {at}");
        }
    }

    #[test]
    fn addresses_are_hashed_in_canonical_text() {
        for text in ["2001:db8::1", "fc00::102:304", "::1", "1:0:2::3"] {
            assert_eq!(address(text).to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn removing_a_candidate_moves_only_its_own_addresses(
            at: [u8; 4],
            nodes in prop::collection::btree_set("[a-z]{1,4}", 2..8),
            gone: prop::sample::Index,
        ) {
            let at = IpAddr::from(at);
            let words = |nodes: &BTreeSet<String>| {
                nodes.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
            };
            let before = ordered(&words(&nodes), at);
            let gone = gone.get(&nodes.iter().collect::<Vec<_>>()).to_string();
            let rest = nodes.iter().filter(|node| **node != gone).cloned().collect();
            let kept: Vec<_> = before.split(' ').filter(|node| *node != gone).collect();
            prop_assert_eq!(ordered(&words(&rest), at), kept.join(" "));
        }

        #[test]
        fn the_order_does_not_depend_on_who_is_named_first(
            at: [u8; 4],
            nodes in prop::collection::btree_map("[a-z]{1,4}", 0i64..3, 1..8),
        ) {
            let words: Vec<_> =
                nodes.iter().map(|(node, score)| format!("{node}={score}")).collect();
            let reversed: Vec<_> = words.iter().rev().cloned().collect();
            let at = IpAddr::from(at);
            prop_assert_eq!(ordered(&words.join(" "), at), ordered(&reversed.join(" "), at));
        }
    }
}
