//! One fact that is put in place of what was known, or taken away.

use std::collections::{BTreeMap, BTreeSet};

use super::bgp::{BgpAdvertisement, Peer};
use super::{Endpoint, Facts, L2Advertisement, Node, Pool, Service};
use crate::names::{AdvertisementName, NodeName, PeerName, PoolName, ServiceName};
use crate::selector::Labels;

/// One field or one entry of [`Facts`]; an entry that is `None` goes away.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    /// A Service.
    Service(ServiceName, Option<Box<Service>>),
    /// All endpoints of a Service.
    Endpoints(ServiceName, Option<Vec<Endpoint>>),
    /// A node.
    Node(NodeName, Option<Node>),
    /// The labels of a namespace.
    Namespace(String, Option<Labels>),
    /// A pool.
    Pool(PoolName, Option<Box<Pool>>),
    /// What is announced on the LAN.
    L2Advertisement(AdvertisementName, Option<Box<L2Advertisement>>),
    /// What is announced to routers.
    BgpAdvertisement(AdvertisementName, Option<Box<BgpAdvertisement>>),
    /// A router.
    Peer(PeerName, Option<Box<Peer>>),
    /// The nodes that run a speaker.
    Speakers(Option<BTreeSet<NodeName>>),
    /// Whether the exclude label counts for nothing.
    IgnoreExcludeLabel(bool),
    /// The node from which a MetalLB that still runs announces a Service.
    Rival(ServiceName, Option<NodeName>),
}

impl Change {
    /// Whether the facts say so already.
    pub fn is_in(&self, facts: &Facts) -> bool {
        match self {
            Self::Service(name, new) => facts.services.get(name) == new.as_deref(),
            Self::Endpoints(name, new) => facts.endpoints.get(name) == new.as_ref(),
            Self::Node(name, new) => facts.nodes.get(name) == new.as_ref(),
            Self::Namespace(name, new) => facts.namespaces.get(name) == new.as_ref(),
            Self::Pool(name, new) => facts.pools.get(name) == new.as_deref(),
            Self::L2Advertisement(name, new) => facts.l2_advertisements.get(name) == new.as_deref(),
            Self::BgpAdvertisement(name, new) => {
                facts.bgp_advertisements.get(name) == new.as_deref()
            }
            Self::Peer(name, new) => facts.peers.get(name) == new.as_deref(),
            Self::Speakers(new) => facts.speakers == *new,
            Self::IgnoreExcludeLabel(new) => facts.ignore_exclude_label == *new,
            Self::Rival(name, new) => facts.rivals.get(name) == new.as_ref(),
        }
    }
}

impl Facts {
    /// What makes these facts the `new` ones, and nothing more.
    pub fn changes_to(&self, new: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        differ(&self.pools, &new.pools, |name, value| {
            changes.push(Change::Pool(name.clone(), value.cloned().map(Box::new)));
        });
        differ(&self.l2_advertisements, &new.l2_advertisements, |name, value| {
            changes.push(Change::L2Advertisement(name.clone(), value.cloned().map(Box::new)));
        });
        differ(&self.bgp_advertisements, &new.bgp_advertisements, |name, value| {
            changes.push(Change::BgpAdvertisement(name.clone(), value.cloned().map(Box::new)));
        });
        differ(&self.peers, &new.peers, |name, value| {
            changes.push(Change::Peer(name.clone(), value.cloned().map(Box::new)));
        });
        differ(&self.nodes, &new.nodes, |name, value| {
            changes.push(Change::Node(name.clone(), value.cloned()));
        });
        differ(&self.namespaces, &new.namespaces, |name, value| {
            changes.push(Change::Namespace(name.clone(), value.cloned()));
        });
        if self.speakers != new.speakers {
            changes.push(Change::Speakers(new.speakers.clone()));
        }
        if self.ignore_exclude_label != new.ignore_exclude_label {
            changes.push(Change::IgnoreExcludeLabel(new.ignore_exclude_label));
        }
        differ(&self.rivals, &new.rivals, |name, value| {
            changes.push(Change::Rival(name.clone(), value.cloned()));
        });
        differ(&self.services, &new.services, |name, value| {
            changes.push(Change::Service(name.clone(), value.cloned().map(Box::new)));
        });
        differ(&self.endpoints, &new.endpoints, |name, value| {
            changes.push(Change::Endpoints(name.clone(), value.cloned()));
        });
        changes
    }

    /// Makes the facts say what `change` says.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Service(name, new) => put(&mut self.services, name, new.map(|new| *new)),
            Change::Endpoints(name, new) => put(&mut self.endpoints, name, new),
            Change::Node(name, new) => put(&mut self.nodes, name, new),
            Change::Namespace(name, new) => put(&mut self.namespaces, name, new),
            Change::Pool(name, new) => put(&mut self.pools, name, new.map(|new| *new)),
            Change::L2Advertisement(name, new) => {
                put(&mut self.l2_advertisements, name, new.map(|new| *new));
            }
            Change::BgpAdvertisement(name, new) => {
                put(&mut self.bgp_advertisements, name, new.map(|new| *new));
            }
            Change::Peer(name, new) => put(&mut self.peers, name, new.map(|new| *new)),
            Change::Speakers(new) => self.speakers = new,
            Change::IgnoreExcludeLabel(new) => self.ignore_exclude_label = new,
            Change::Rival(name, new) => put(&mut self.rivals, name, new),
        }
    }
}

/// Tells each entry that is in `after` and not so in `before`, and each that is gone.
fn differ<K: Ord, V: PartialEq>(
    before: &BTreeMap<K, V>,
    after: &BTreeMap<K, V>,
    mut tell: impl FnMut(&K, Option<&V>),
) {
    for (key, value) in after {
        if before.get(key) != Some(value) {
            tell(key, Some(value));
        }
    }
    for key in before.keys().filter(|key| !after.contains_key(key)) {
        tell(key, None);
    }
}

fn put<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}
