//! What is in the way of several kinds at once is told once.
//!
//! An API server that is away or starting is in the way of all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::Kind;

/// What is in the way now, and of which kinds. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Obstacles(Arc<Mutex<BTreeMap<String, BTreeSet<Kind>>>>);

impl Obstacles {
    /// Takes note that `cause` is in the way of `kind`. Says whether it is in the way of no other.
    pub(super) fn meet(&self, kind: Kind, cause: &str) -> bool {
        let mut causes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kinds = causes.entry(cause.to_owned()).or_default();
        let is_first = kinds.is_empty();
        kinds.insert(kind);
        is_first
    }

    /// Takes note that nothing is in the way of `kind`.
    pub(super) fn pass(&self, kind: Kind) {
        let mut causes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        causes.retain(|_, kinds| {
            kinds.remove(&kind);
            !kinds.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_cause_is_news_once_until_no_kind_meets_it() {
        let obstacles = Obstacles::default();
        assert!(obstacles.meet(Kind::Service, "away"));
        assert!(!obstacles.meet(Kind::Node, "away"));
        assert!(obstacles.meet(Kind::Node, "starting"), "another one");
        obstacles.pass(Kind::Service);
        assert!(!obstacles.meet(Kind::Service, "away"), "Nodes still meet it");
        obstacles.pass(Kind::Service);
        obstacles.pass(Kind::Node);
        assert!(obstacles.meet(Kind::Service, "away"));
    }
}
