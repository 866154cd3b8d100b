//! What has to change in facts so that they say what others say.

use std::collections::BTreeMap;

use planner::facts::{Change, Facts};

/// The changes from `before` to `after` in everything but Services, endpoints and speakers. What
/// goes away comes first, so that an address range can move from one pool to another.
pub(super) fn of_settings(before: &Facts, after: &Facts) -> Vec<Change> {
    let mut changes = Vec::new();
    between(&before.nodes, &after.nodes, Change::Node, &mut changes);
    between(&before.namespaces, &after.namespaces, Change::Namespace, &mut changes);
    let boxed = |name, new: Option<_>| Change::Pool(name, new.map(Box::new));
    between(&before.pools, &after.pools, boxed, &mut changes);
    let boxed = |name, new: Option<_>| Change::L2Advertisement(name, new.map(Box::new));
    between(&before.l2_advertisements, &after.l2_advertisements, boxed, &mut changes);
    let boxed = |name, new: Option<_>| Change::BgpAdvertisement(name, new.map(Box::new));
    between(&before.bgp_advertisements, &after.bgp_advertisements, boxed, &mut changes);
    let boxed = |name, new: Option<_>| Change::Peer(name, new.map(Box::new));
    between(&before.peers, &after.peers, boxed, &mut changes);
    changes
}

fn between<K: Clone + Ord, V: Clone + PartialEq>(
    before: &BTreeMap<K, V>,
    after: &BTreeMap<K, V>,
    change: impl Fn(K, Option<V>) -> Change,
    changes: &mut Vec<Change>,
) {
    let gone = before.keys().filter(|name| !after.contains_key(name));
    changes.extend(gone.map(|name| change(name.clone(), None)));
    let new = after.iter().filter(|(name, value)| before.get(name) != Some(value));
    changes.extend(new.map(|(name, value)| change(name.clone(), Some(value.clone()))));
}
