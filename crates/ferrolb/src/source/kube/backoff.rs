//! How long to wait before a list or watch that failed is tried again.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

/// The first wait; shorter than a user notices.
const FIRST: Duration = Duration::from_millis(200);

/// The longest wait: how late it may be noticed that the API server is back.
const LONGEST: Duration = Duration::from_secs(8);

/// Waits that double, each with a random part so that nodes do not ask all at once.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    random: RandomState,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self { next: FIRST, random: RandomState::new() }
    }

    /// Things go well again.
    pub(super) fn reset(&mut self) {
        self.next = FIRST;
    }

    /// The next wait: from one to two times what the last one was doubled to.
    pub(super) fn next(&mut self) -> Duration {
        let wait = self.next;
        self.next = LONGEST.min(wait * 2);
        let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        self.random = RandomState::new();
        let random = self.random.build_hasher().finish();
        wait + Duration::from_millis(random % millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit_and_start_anew() {
        let mut backoff = Backoff::new();
        let waits: Vec<_> = (0..8).map(|_| backoff.next()).collect();
        for (index, wait) in waits.iter().enumerate() {
            let base = LONGEST.min(FIRST * (1 << index));
            assert!((base..base * 2).contains(wait), "{index}: {wait:?}");
        }
        backoff.reset();
        assert!(backoff.next() < FIRST * 2);
    }
}
