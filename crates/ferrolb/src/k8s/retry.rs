//! Trying again what failed, and when.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

use futures_util::future::BoxFuture;
use proto::time::Instant;
use tokio::time;

use super::client::WRITE_TIMEOUT;
use crate::net::clock::Clock;
use crate::told::Told;

/// The pause after the first failure, and the longest one.
const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(60);

/// The longest pause after somebody else was quicker.
const LONGEST_OUTRUN: Duration = Duration::from_secs(1);

/// Pauses between attempts, for each object its own: they double, each is shortened by up to half
/// by chance, so that what failed together is not tried again together.
#[derive(Clone, Debug)]
pub struct Backoff<K> {
    pauses: BTreeMap<K, Pause>,
}

#[derive(Clone, Copy, Debug)]
struct Pause {
    failures: u32,
    until: Instant,
}

impl<K> Default for Backoff<K> {
    fn default() -> Self {
        Self { pauses: BTreeMap::new() }
    }
}

impl<K: Clone + Ord> Backoff<K> {
    /// Counts a failure: `key` waits from `now` on. `chance` is any number. A failure long after
    /// the pause of the last one is the first again.
    pub fn failed(&mut self, key: &K, now: Instant, chance: u64) {
        self.pause(key, now, chance, LONGEST);
    }

    /// As [`Self::failed`], because somebody else was quicker: that may go on, and ends by luck.
    pub fn outrun(&mut self, key: &K, now: Instant, chance: u64) {
        self.pause(key, now, chance, LONGEST_OUTRUN);
    }

    fn pause(&mut self, key: &K, now: Instant, chance: u64, longest: Duration) {
        let pause = self.pauses.entry(key.clone()).or_insert(Pause { failures: 0, until: now });
        if now > pause.until + LONGEST {
            pause.failures = 0;
        }
        let longest = FIRST.saturating_mul(1 << pause.failures.min(16)).min(longest);
        pause.failures = pause.failures.saturating_add(1);
        pause.until = now + (longest - shortened(longest, chance));
    }

    /// Forgets the failures of `key`.
    pub fn succeeded(&mut self, key: &K) {
        self.pauses.remove(key);
    }

    /// Whether `key` has to wait.
    pub fn is_waiting(&self, key: &K, now: Instant) -> bool {
        self.pauses.get(key).is_some_and(|pause| pause.until > now)
    }

    /// When the next of those that wait at `now` need not any more.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        self.pauses.values().map(|pause| pause.until).filter(|until| *until > now).min()
    }
}

/// Tries until it is done, each time for at most [`WRITE_TIMEOUT`]. What keeps it from being done is
/// handed to `say`, each cause once until there is another one.
pub async fn keep_trying<S, T>(
    mut state: S,
    attempt: impl for<'a> Fn(&'a mut S) -> BoxFuture<'a, anyhow::Result<T>>,
    say: impl Fn(&str),
) -> T {
    let clock = Clock::start();
    let (mut backoff, mut told) = (Backoff::default(), Told::default());
    loop {
        let cause = match time::timeout(WRITE_TIMEOUT, attempt(&mut state)).await {
            Ok(Ok(done)) => return done,
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => String::from("no answer in time"),
        };
        for cause in told.news([cause]) {
            say(&cause);
        }
        backoff.failed(&(), clock.now(), chance());
        let pause = clock.until(backoff.deadline(clock.now())).unwrap_or(Duration::ZERO);
        time::sleep(pause).await;
    }
}

/// A number that nobody can foresee.
pub fn chance() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Up to half of `pause`, by `chance`.
fn shortened(pause: Duration, chance: u64) -> Duration {
    let part = u32::try_from(chance % 1024).unwrap_or(0);
    pause / 2 / 1024 * part
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use anyhow::anyhow;

    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_end_with_a_success() {
        let (mut backoff, mut now) = (Backoff::default(), Instant::START);
        let mut pauses = Vec::new();
        for _ in 0..14 {
            backoff.failed(&"web", now, 0);
            assert!(backoff.is_waiting(&"web", now));
            assert!(!backoff.is_waiting(&"other", now), "each object has its own");
            let until = backoff.deadline(now).unwrap();
            pauses.push((until - now).as_millis());
            now = until;
            assert!(!backoff.is_waiting(&"web", now));
        }
        assert_eq!(pauses[..4], [50, 100, 200, 400]);
        assert_eq!(pauses[12..], [60_000, 60_000]);
        backoff.succeeded(&"web");
        backoff.failed(&"web", now, 0);
        assert_eq!(backoff.deadline(now), Some(now + FIRST));
    }

    #[tokio::test]
    async fn it_is_tried_until_it_is_done_and_each_cause_is_said_once() {
        let answers = ["away", "away", "forbidden", "away"].into_iter();
        let said = RefCell::new(Vec::new());
        let done = keep_trying(
            answers,
            |answers| {
                let answer = answers.next().map_or(Ok("done"), |cause| Err(anyhow!(cause)));
                Box::pin(async { answer })
            },
            |cause| said.borrow_mut().push(cause.to_owned()),
        );
        assert_eq!(done.await, "done");
        assert_eq!(*said.borrow(), ["away", "forbidden", "away"]);
    }

    #[test]
    fn who_is_outrun_does_not_wait_for_long() {
        let (mut backoff, mut now) = (Backoff::default(), Instant::START);
        for _ in 0..10 {
            backoff.outrun(&"web", now, 0);
            now = backoff.deadline(now).unwrap();
        }
        backoff.outrun(&"web", now, 0);
        assert_eq!(backoff.deadline(now), Some(now + LONGEST_OUTRUN));
    }

    #[test]
    fn failures_of_long_ago_do_not_count() {
        let (mut backoff, mut now) = (Backoff::default(), Instant::START);
        for _ in 0..3 {
            backoff.failed(&"web", now, 0);
            now = backoff.deadline(now).unwrap();
        }
        now = now + LONGEST * 2;
        backoff.failed(&"web", now, 0);
        assert_eq!(backoff.deadline(now), Some(now + FIRST));
    }

    #[test]
    fn chance_shortens_a_pause_by_less_than_half() {
        for chance in [0, 1, 512, 1023, 1024, u64::MAX] {
            let pause = LONGEST - shortened(LONGEST, chance);
            assert!(pause > LONGEST / 2 && pause <= LONGEST, "{chance}: {pause:?}");
        }
    }
}
