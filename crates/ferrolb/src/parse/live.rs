//! What objects mean while they change one at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use planner::facts::Change;
use planner::names::ServiceName;

use super::Problem;
use crate::api::IPAddressPool;
use crate::source::kube::{Kind, Seen};
use crate::source::object::{Object, Objects};

/// What objects mean while they change one at a time.
#[derive(Debug, Default)]
pub struct Live {
    pools: BTreeMap<String, Arc<IPAddressPool>>,
    services: BTreeMap<ServiceName, Option<Arc<core::Service>>>,
    synced: BTreeSet<Kind>,
    is_changed: bool,
}

impl Live {
    /// Of Services of this class.
    pub fn new(_class: &str) -> Self {
        Self::default()
    }

    /// Takes in what was seen.
    pub fn take(&mut self, seen: &Seen) {
        match seen {
            Seen::Put(Object::IPAddressPool(pool)) => {
                self.is_changed = true;
                self.pools.insert(pool.metadata.name.clone().unwrap_or_default(), pool.clone());
            }
            Seen::Gone(name) => {
                self.is_changed = true;
                self.pools.remove(&name.name);
            }
            Seen::Service(name, service) => {
                self.services.insert(name.clone(), service.clone());
            }
            Seen::Synced(kind) => _ = self.synced.insert(*kind),
            Seen::Put(_) | Seen::Unavailable(_, _) => (),
        }
    }

    /// Whether every kind has been seen once.
    pub fn is_synced(&self) -> bool {
        self.synced.len() == 2
    }

    /// What is wrong.
    pub fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }

    /// What has changed since the last call.
    pub fn changes(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        if self.is_changed {
            self.is_changed = false;
            let pools = self.pools.values().cloned().collect();
            let parsed = super::facts(&Objects { pools, ..Objects::default() });
            for name in self.pools.keys() {
                let name = name.as_str().into();
                let pool = parsed.facts.pools.get(&name).cloned().map(Box::new);
                changes.push(Change::Pool(name, pool));
            }
        }
        for (name, service) in std::mem::take(&mut self.services) {
            let services = service.into_iter().collect();
            let mut parsed = super::facts(&Objects { services, ..Objects::default() });
            let fact = parsed.facts.services.remove(&name).map(Box::new);
            changes.push(Change::Service(name, fact));
        }
        changes
    }
}
