//! What advertisements of both kinds select by.

use std::collections::BTreeSet;

use crate::facts::bgp::BgpAdvertisement;
use crate::facts::{L2Advertisement, Pool, Service};
use crate::names::PoolName;
use crate::selector::{Labels, Selector};

/// The selectors of an advertisement. An empty list selects everything.
#[derive(Clone, Copy)]
pub struct Selection<'a> {
    /// Pools by name.
    pub pools: &'a BTreeSet<PoolName>,
    /// Pools by label; these and those by name add up.
    pub pool_selectors: &'a [Selector],
    /// Nodes by label.
    pub node_selectors: &'a [Selector],
    /// Services by label.
    pub service_selectors: &'a [Selector],
}

impl Selection<'_> {
    /// By name or by label; all pools only if neither is given.
    pub fn pool(&self, name: &PoolName, pool: &Pool) -> bool {
        let selects_all = self.pools.is_empty() && self.pool_selectors.is_empty();
        let mut selectors = self.pool_selectors.iter();
        selects_all
            || self.pools.contains(name)
            || selectors.any(|selector| selector.matches(&pool.labels))
    }

    /// Any of the selectors may match.
    pub fn node(&self, labels: &Labels) -> bool {
        matches_any(self.node_selectors, labels)
    }

    /// Any of the selectors may match.
    pub fn service(&self, service: &Service) -> bool {
        matches_any(self.service_selectors, &service.labels)
    }
}

/// Whether any selector matches; an empty list matches everything.
pub(super) fn matches_any(selectors: &[Selector], labels: &Labels) -> bool {
    selectors.is_empty() || selectors.iter().any(|selector| selector.matches(labels))
}

impl L2Advertisement {
    /// What it is for.
    pub fn selection(&self) -> Selection<'_> {
        Selection {
            pools: &self.pools,
            pool_selectors: &self.pool_selectors,
            node_selectors: &self.node_selectors,
            service_selectors: &self.service_selectors,
        }
    }
}

impl BgpAdvertisement {
    /// What it is for.
    pub fn selection(&self) -> Selection<'_> {
        Selection {
            pools: &self.pools,
            pool_selectors: &self.pool_selectors,
            node_selectors: &self.node_selectors,
            service_selectors: &self.service_selectors,
        }
    }
}
