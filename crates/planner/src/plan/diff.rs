//! What is different between two plans of a node.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Candidacy, Left, Plan, Route, Routes};
use crate::names::PeerName;

/// What turns one plan into another, and nothing more.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PlanDiff {
    /// Who may answer for which address on the LAN.
    pub candidacies: Edits<IpAddr, Candidacy>,
    /// Routers that the node now has a session with. What they are told is in the routes.
    pub peers_added: BTreeSet<PeerName>,
    /// Routers that the node no longer has a session with. Nothing more is said of their routes.
    pub peers_removed: BTreeSet<PeerName>,
    /// What each router is told; only those for which something is different.
    pub routes: BTreeMap<PeerName, Edits<IpNet, Route>>,
    /// Silences that are new, or have a new reason.
    pub silences_added: BTreeSet<Left>,
    /// Silences that are over, or had another reason.
    pub silences_removed: BTreeSet<Left>,
}

/// What turns one map into another.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Edits<K, V> {
    /// Entries that were not there.
    pub added: BTreeMap<K, V>,
    /// Entries that were there with another value.
    pub changed: BTreeMap<K, V>,
    /// Entries that are no longer there.
    pub removed: BTreeSet<K>,
}

impl PlanDiff {
    /// What turns `before` into `after`.
    pub fn between(before: &Plan, after: &Plan) -> Self {
        let nothing = Routes::new();
        let routes = after.peers.iter().filter_map(|(peer, routes)| {
            let edits = Edits::between(before.peers.get(peer).unwrap_or(&nothing), routes);
            (!edits.is_empty()).then(|| (peer.clone(), edits))
        });
        let missing = |from: &Plan, peer: &PeerName| !from.peers.contains_key(peer);
        let peers = |of: &Plan, but: &Plan| {
            of.peers.keys().filter(|peer| missing(but, peer)).cloned().collect()
        };
        Self {
            candidacies: Edits::between(&before.candidacies, &after.candidacies),
            peers_added: peers(after, before),
            peers_removed: peers(before, after),
            routes: routes.collect(),
            silences_added: after.silences.difference(&before.silences).cloned().collect(),
            silences_removed: before.silences.difference(&after.silences).cloned().collect(),
        }
    }

    /// Whether the plans are equal.
    pub fn is_empty(&self) -> bool {
        let Self {
            candidacies,
            peers_added,
            peers_removed,
            routes,
            silences_added,
            silences_removed,
        } = self;
        candidacies.is_empty()
            && peers_added.is_empty()
            && peers_removed.is_empty()
            && routes.is_empty()
            && silences_added.is_empty()
            && silences_removed.is_empty()
    }
}

impl Plan {
    /// Turns the plan that `diff` begins with into the one that it ends with.
    pub fn apply(&mut self, diff: PlanDiff) {
        diff.candidacies.apply(&mut self.candidacies);
        for peer in &diff.peers_removed {
            self.peers.remove(peer);
        }
        self.peers.extend(diff.peers_added.into_iter().map(|peer| (peer, Routes::new())));
        for (peer, edits) in diff.routes {
            if let Some(routes) = self.peers.get_mut(&peer) {
                edits.apply(routes);
            }
        }
        for left in &diff.silences_removed {
            self.silences.remove(left);
        }
        self.silences.extend(diff.silences_added);
    }
}

impl<K, V> Default for Edits<K, V> {
    fn default() -> Self {
        Self { added: BTreeMap::new(), changed: BTreeMap::new(), removed: BTreeSet::new() }
    }
}

impl<K: Clone + Ord, V: Clone + PartialEq> Edits<K, V> {
    fn between(before: &BTreeMap<K, V>, after: &BTreeMap<K, V>) -> Self {
        let mut edits = Self::default();
        for (key, value) in after {
            match before.get(key) {
                None => edits.added.insert(key.clone(), value.clone()),
                Some(old) if old != value => edits.changed.insert(key.clone(), value.clone()),
                Some(_) => None,
            };
        }
        let gone = before.keys().filter(|key| !after.contains_key(key));
        edits.removed.extend(gone.cloned());
        edits
    }

    fn apply(self, map: &mut BTreeMap<K, V>) {
        for key in &self.removed {
            map.remove(key);
        }
        map.extend(self.added);
        map.extend(self.changed);
    }

    /// Whether the maps are equal.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }
}
