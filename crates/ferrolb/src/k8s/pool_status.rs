//! The status of pools: how much of each is in use.
//!
//! All pools together are written once in `PAUSE`, so that many new Services cost no more than
//! one. What others write into a status is put right again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use planner::names::PoolName;
use planner::usage::{Usage, int64};
use proto::time::Instant;

use crate::api::{IPAddressPool, IPAddressPoolStatus};

/// From one write to the next.
const PAUSE: Duration = Duration::from_secs(1);

/// Which pools have to be written.
#[derive(Debug, Default)]
pub struct PoolStatuses {
    pools: BTreeMap<PoolName, Pool>,
    /// The one that was written last: the next after it comes next.
    last: Option<PoolName>,
    /// Before this nothing is written.
    pause: Option<Instant>,
    is_writing: bool,
}

#[derive(Debug, Default)]
struct Pool {
    /// As the API server has it.
    object: Option<Arc<IPAddressPool>>,
    /// `None` for one that is not in use: nothing is known about it.
    wanted: Option<IPAddressPoolStatus>,
}

impl Pool {
    fn is_right(&self) -> bool {
        let (Some(object), Some(wanted)) = (&self.object, &self.wanted) else { return true };
        object.status.as_ref() == Some(wanted)
    }
}

impl PoolStatuses {
    /// Takes note of a pool as the API server has it, or that it is gone.
    pub fn see(&mut self, name: PoolName, object: Option<Arc<IPAddressPool>>) {
        match object {
            Some(object) => self.pools.entry(name).or_default().object = Some(object),
            None => _ = self.pools.remove(&name),
        }
    }

    /// Says what all statuses should be.
    pub fn want(&mut self, usages: &BTreeMap<PoolName, Usage>) {
        for (name, pool) in &mut self.pools {
            pool.wanted = usages.get(name).map(status);
        }
    }

    /// A pool to write now: the answer goes to [`Self::written`].
    pub fn next(&mut self, now: Instant) -> Option<IPAddressPool> {
        if self.is_writing || self.pause.is_some_and(|pause| now < pause) {
            return None;
        }
        let wrong = || self.pools.iter().filter(|(_, pool)| !pool.is_right());
        let is_later = |(name, _): &(&PoolName, _)| self.last.as_ref().is_none_or(|l| *name > l);
        let (name, pool) = wrong().find(is_later).or_else(|| wrong().next())?;
        let mut object = IPAddressPool::clone(pool.object.as_ref()?);
        object.status = pool.wanted.clone();
        self.last = Some(name.clone());
        self.is_writing = true;
        self.pause = Some(now + PAUSE);
        Some(object)
    }

    /// Takes the answer to a write: the pool as it is now, or nothing if it has failed. Then the
    /// watch shows what is there, and it is tried again.
    pub fn written(&mut self, object: Option<IPAddressPool>) {
        self.is_writing = false;
        let Some(object) = object else { return };
        let name = PoolName(object.metadata.name.clone().unwrap_or_default());
        if let Some(pool) = self.pools.get_mut(&name) {
            pool.object = Some(Arc::new(object));
        }
    }

    /// When to ask for the next one.
    pub fn deadline(&self) -> Option<Instant> {
        let is_due = !self.is_writing && self.pools.values().any(|pool| !pool.is_right());
        self.pause.filter(|_| is_due)
    }
}

fn status(usage: &Usage) -> IPAddressPoolStatus {
    IPAddressPoolStatus {
        assigned_ipv4: int64(usage.v4.used),
        assigned_ipv6: int64(usage.v6.used),
        available_ipv4: int64(usage.v4.available),
        available_ipv6: int64(usage.v6.available),
    }
}

#[cfg(test)]
mod tests {
    use planner::usage::Count;

    use super::*;

    fn usage(used: u128) -> Usage {
        let count = Count { capacity: 8, used, reserved: 0, available: 8 - used };
        Usage { v4: count, v6: Count::default() }
    }

    fn used(pool: &IPAddressPool) -> (&str, i64) {
        let status = pool.status.as_ref().unwrap();
        (pool.metadata.name.as_deref().unwrap(), status.assigned_ipv4)
    }

    #[test]
    fn one_a_second_in_turn_and_only_what_changed() {
        let mut statuses = PoolStatuses::default();
        for name in ["a", "b"] {
            let pool = IPAddressPool::new(name, crate::api::IPAddressPoolSpec::default());
            statuses.see(name.into(), Some(Arc::new(pool)));
        }
        let want = |a, b| BTreeMap::from([("a".into(), usage(a)), ("b".into(), usage(b))]);
        let mut now = Instant::START;
        statuses.want(&want(1, 0));
        let first = statuses.next(now).unwrap();
        assert_eq!(used(&first), ("a", 1));
        assert!(statuses.next(now + PAUSE).is_none(), "one at a time");
        statuses.written(Some(first));
        statuses.want(&want(2, 1));
        assert!(statuses.next(now).is_none(), "one a second");
        assert_eq!(statuses.deadline(), Some(now + PAUSE));

        now = now + PAUSE;
        let second = statuses.next(now).unwrap();
        assert_eq!(used(&second), ("b", 1), "in turn");
        statuses.written(None);
        let third = statuses.next(now + PAUSE).unwrap();
        assert_eq!(used(&third), ("a", 2));
        statuses.written(Some(third));
        let again = statuses.next(now + PAUSE * 2).unwrap();
        assert_eq!(used(&again), ("b", 1), "what failed is tried again");
        statuses.written(Some(again.clone()));
        assert_eq!(statuses.deadline(), None);

        let edited = IPAddressPool { status: None, ..again };
        statuses.see("b".into(), Some(Arc::new(edited)));
        let mended = statuses.next(now + PAUSE * 3).unwrap();
        assert_eq!(used(&mended), ("b", 1), "edited by hand");
        statuses.written(None);
        statuses.see("b".into(), None);
        assert!(statuses.next(now + PAUSE * 4).is_none(), "it is gone");
    }
}
