//! When to connect again.

use std::time::Duration;

/// The first pause. A router that was only restarted is back within it, or soon after.
const FIRST: Duration = Duration::from_millis(500);

/// How long a session must have stood for the next pause to be the first again.
///
/// An OPEN alone proves nothing: a peer that answers it and then closes would be dialled without a
/// pause for ever.
pub(super) const STABLE: Duration = Duration::from_secs(10);

/// Pauses that double, up to a limit.
#[derive(Debug)]
pub(super) struct Retry {
    failures: u32,
}

impl Retry {
    pub(super) fn new() -> Self {
        Self { failures: 0 }
    }

    /// A session ended that had stood for this long.
    pub(super) fn ended_after(&mut self, stood: Duration) {
        if stood >= STABLE {
            self.failures = 0;
        }
    }

    /// The next pause, before jitter.
    pub(super) fn pause(&mut self, limit: Duration) -> Duration {
        let pause = FIRST.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        pause.min(limit)
    }
}

/// A small repeatable random source: simulations must replay exactly.
#[derive(Debug)]
pub(super) struct Jitter(u64);

impl Jitter {
    pub(super) fn new(seed: u64) -> Self {
        // Zero is the one state that xorshift never leaves.
        Self(seed.max(1))
    }

    /// 75 to 100 percent of `interval`, RFC 4271 section 10.
    pub(super) fn shorten(&mut self, interval: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let percent = 75 + u32::try_from(self.0 % 26).unwrap_or_default();
        interval.saturating_mul(percent) / 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_until_a_session_has_stood() {
        let limit = Duration::from_secs(5);
        let mut retry = Retry::new();
        let pauses: Vec<_> = (0..6).map(|_| retry.pause(limit).as_millis()).collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 5000, 5000]);
        retry.ended_after(STABLE - Duration::from_millis(1));
        assert_eq!(retry.pause(limit), limit);
        retry.ended_after(STABLE);
        assert_eq!(retry.pause(limit), FIRST);
    }

    #[test]
    fn jitter_takes_away_up_to_a_quarter() {
        let second = Duration::from_secs(1);
        for seed in [0, 1, u64::MAX] {
            let mut jitter = Jitter::new(seed);
            let all: Vec<_> = (0..1000).map(|_| jitter.shorten(second).as_millis()).collect();
            assert_eq!(all.iter().min(), Some(&750), "seed {seed}");
            assert_eq!(all.iter().max(), Some(&1000), "seed {seed}");
        }
    }
}
