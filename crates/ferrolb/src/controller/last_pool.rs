//! Whether there is no pool because somebody wants none.
//!
//! Without any pool Services keep what they have: the only one may be about to be renamed, the
//! definition of the kind may be removed to be installed anew, or nothing was applied yet. One who
//! deletes all pools and leaves it at that wants the addresses back.

use std::collections::BTreeSet;
use std::time::Duration;

use planner::names::PoolName;
use proto::time::Instant;

/// After which time without a pool the addresses are taken away. Whoever replaces a pool by hand or
/// by a chart is done by then, and MetalLB's tests wait a minute.
const PATIENCE: Duration = Duration::from_secs(30);

/// The pools that there are, good ones or not.
#[derive(Debug, Default)]
pub(super) struct LastPool {
    pools: BTreeSet<PoolName>,
    /// When the last one was deleted.
    deleted: Option<Instant>,
}

impl LastPool {
    /// There is this pool.
    pub(super) fn see(&mut self, pool: PoolName) {
        self.pools.insert(pool);
        self.deleted = None;
    }

    /// A pool was deleted.
    pub(super) fn gone(&mut self, pool: &PoolName, now: Instant) {
        if self.pools.remove(pool) && self.pools.is_empty() {
            self.deleted = Some(now);
        }
    }

    /// Pools cannot be followed at the moment: that they are gone says nothing about what is wanted.
    pub(super) fn unknown(&mut self) {
        *self = Self::default();
    }

    /// Whether no pool is wanted.
    pub(super) fn is_given_up(&self, now: Instant) -> bool {
        self.deleted.is_some_and(|deleted| deleted + PATIENCE <= now)
    }

    /// When that may become so.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        self.deleted.map(|deleted| deleted + PATIENCE).filter(|deadline| *deadline > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy)]
    enum Event {
        Seen(&'static str),
        Gone(&'static str),
        Unknown,
    }

    #[test]
    fn pools_are_given_up_by_deleting_the_last_one_and_leaving_it_at_that() {
        use Event::{Gone, Seen, Unknown};
        let rows: [(&str, &[Event], bool); 8] = [
            ("none was seen", &[], false),
            ("one of two", &[Seen("a"), Seen("b"), Gone("a")], false),
            ("the last one", &[Seen("a"), Seen("b"), Gone("a"), Gone("b")], true),
            ("renamed", &[Seen("a"), Gone("a"), Seen("b")], false),
            ("its definition went with it", &[Seen("a"), Gone("a"), Unknown], false),
            ("it was found gone after that", &[Seen("a"), Unknown, Gone("a")], false),
            ("and then another", &[Seen("a"), Unknown, Seen("b"), Gone("a"), Gone("b")], true),
            ("one that was never seen", &[Gone("a")], false),
        ];
        for (name, events, want) in rows {
            let (mut last, now) = (LastPool::default(), Instant::START);
            for event in events {
                match event {
                    Seen(pool) => last.see((*pool).into()),
                    Gone(pool) => last.gone(&(*pool).into(), now),
                    Unknown => last.unknown(),
                }
            }
            assert!(!last.is_given_up(now), "{name}");
            assert_eq!(last.deadline(now), want.then_some(now + PATIENCE), "{name}");
            assert_eq!(last.is_given_up(now + PATIENCE), want, "{name}");
        }
    }
}
