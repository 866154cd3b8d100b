//! When a Service is written, and when it is looked at first.
//!
//! A write that somebody else was quicker than is not repeated with what the watch has shown: who
//! writes all the time is always ahead of that. The Service is read instead, decided anew, and
//! written at once, which leaves nearly no time for others. Only after some such races that were
//! lost one after the other come pauses, so that two who never tire do not keep the API server busy,
//! and what is ours is patched in, if the role allows that.

use std::collections::BTreeMap;
use std::time::Duration;

use planner::names::ServiceName;
use proto::time::Instant;

use crate::k8s::retry::Backoff;

/// How many races may be lost before there are pauses. Somebody else has to be quicker each time,
/// within the few milliseconds between a look and a write.
const AT_ONCE: u32 = 4;

/// A race so long ago does not count any more.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// The Services whose writes have failed.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    backoff: Backoff<ServiceName>,
    races: BTreeMap<ServiceName, Race>,
}

/// Races lost one after the other.
#[derive(Debug)]
struct Race {
    lost: u32,
    last: Instant,
    sight: Sight,
}

/// What is known of a Service that somebody else has written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Sight {
    Old,
    Looking,
    Fresh,
}

/// How the status of a Service is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    /// As a whole, if nobody else has written since it was read: what MetalLB's roles allow.
    Replace,
    /// What is ours of it, whatever others write. Where that is not allowed, as a whole.
    Patch,
}

/// What is to be done for a Service that does not show what it should.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// Write it.
    Write,
    /// Read it: it is written after that if it still has to be.
    Look,
    /// Nothing now.
    Wait,
}

impl Attempts {
    /// What is to be done for `name`.
    pub(super) fn step(&self, name: &ServiceName, now: Instant) -> Step {
        if self.backoff.is_waiting(name, now) {
            return Step::Wait;
        }
        match self.races.get(name).map(|race| race.sight) {
            None | Some(Sight::Fresh) => Step::Write,
            Some(Sight::Old) => Step::Look,
            Some(Sight::Looking) => Step::Wait,
        }
    }

    /// Somebody else was quicker than a write. `chance` is any number.
    pub(super) fn lost(&mut self, name: &ServiceName, now: Instant, chance: u64) {
        let race = Race { lost: 0, last: now, sight: Sight::Old };
        let race = self.races.entry(name.clone()).or_insert(race);
        if now > race.last + FORGOTTEN {
            race.lost = 0;
        }
        *race = Race { lost: race.lost.saturating_add(1), last: now, sight: Sight::Old };
        if race.lost > AT_ONCE {
            self.backoff.outrun(name, now, chance);
        }
    }

    /// How `name` is written: by a patch once so many races were lost that there are pauses. With
    /// somebody who is always quicker than a look and a write together, only that comes to an end.
    pub(super) fn way(&self, name: &ServiceName) -> Way {
        match self.races.get(name) {
            Some(race) if race.lost > AT_ONCE => Way::Patch,
            Some(_) | None => Way::Replace,
        }
    }

    /// A request has failed for another reason. `chance` is any number.
    pub(super) fn failed(&mut self, name: &ServiceName, now: Instant, chance: u64) {
        self.set_sight(name, Sight::Old);
        self.backoff.failed(name, now, chance);
    }

    /// A look at it is under way.
    pub(super) fn looking(&mut self, name: &ServiceName) {
        self.set_sight(name, Sight::Looking);
    }

    /// It is known as it was a moment ago.
    pub(super) fn looked(&mut self, name: &ServiceName) {
        self.set_sight(name, Sight::Fresh);
    }

    /// It is written, or gone.
    pub(super) fn ended(&mut self, name: &ServiceName) {
        self.races.remove(name);
        self.backoff.succeeded(name);
    }

    /// When the next pause ends.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        self.backoff.deadline(now)
    }

    fn set_sight(&mut self, name: &ServiceName, sight: Sight) {
        if let Some(race) = self.races.get_mut(name) {
            race.sight = sight;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What happens to the request that was last started.
    #[derive(Clone, Copy, Debug)]
    enum Outcome {
        Lost,
        Failed,
        Looked,
    }

    fn name() -> ServiceName {
        ServiceName::new("shop", "web")
    }

    fn after(outcomes: &[Outcome]) -> (Attempts, Instant) {
        let (mut attempts, now) = (Attempts::default(), Instant::START);
        for outcome in outcomes {
            match outcome {
                Outcome::Lost => attempts.lost(&name(), now, 0),
                Outcome::Failed => attempts.failed(&name(), now, 0),
                Outcome::Looked => attempts.looked(&name()),
            }
        }
        (attempts, now)
    }

    #[test]
    fn who_loses_a_race_looks_and_writes_at_once() {
        use Outcome::{Failed, Looked, Lost};
        let ms = Duration::from_millis;
        // (what happened, pause, and then)
        let rows: [(&str, &[Outcome], u64, Step); 9] = [
            ("nothing", &[], 0, Step::Write),
            ("a race is lost", &[Lost], 0, Step::Look),
            ("and looked after", &[Lost, Looked], 0, Step::Write),
            ("the fourth", &[Lost, Lost, Lost, Lost], 0, Step::Look),
            ("the fifth", &[Lost, Lost, Lost, Lost, Lost], 50, Step::Look),
            ("the sixth", &[Lost, Lost, Lost, Lost, Lost, Lost], 100, Step::Look),
            ("a failure", &[Failed], 50, Step::Write),
            ("the look fails", &[Lost, Failed], 50, Step::Look),
            ("a race, then a failure", &[Lost, Looked, Failed], 50, Step::Look),
        ];
        for (row, outcomes, pause, step) in rows {
            let (attempts, now) = after(outcomes);
            let until = attempts.deadline(now).unwrap_or(now);
            assert_eq!(until, now + ms(pause), "{row}");
            if pause > 0 {
                assert_eq!(attempts.step(&name(), now), Step::Wait, "{row}");
            }
            assert_eq!(attempts.step(&name(), until), step, "{row}");
        }
    }

    #[test]
    fn who_loses_every_race_patches_from_then_on() {
        for (lost, way) in [(0, Way::Replace), (4, Way::Replace), (5, Way::Patch), (9, Way::Patch)]
        {
            let (mut attempts, _) = after(&vec![Outcome::Lost; lost]);
            assert_eq!(attempts.way(&name()), way, "{lost} lost");
            attempts.ended(&name());
            assert_eq!(attempts.way(&name()), Way::Replace, "{lost} lost, then written");
        }
    }

    #[test]
    fn one_look_is_under_way_at_a_time() {
        let (mut attempts, now) = after(&[Outcome::Lost]);
        attempts.looking(&name());
        assert_eq!(attempts.step(&name(), now), Step::Wait);
        attempts.looked(&name());
        assert_eq!(attempts.step(&name(), now), Step::Write);
    }

    #[test]
    fn races_count_until_one_is_won_or_long_ago() {
        let (mut attempts, now) = after(&[Outcome::Lost; 5]);
        attempts.ended(&name());
        attempts.lost(&name(), now, 0);
        assert_eq!(attempts.step(&name(), now), Step::Look, "won");
        let (mut attempts, now) = after(&[Outcome::Lost; 5]);
        let later = now + FORGOTTEN * 2;
        attempts.lost(&name(), later, 0);
        assert_eq!(attempts.step(&name(), later), Step::Look, "long ago");
    }

    #[test]
    fn a_race_that_is_never_won_costs_few_requests() {
        let (mut attempts, mut now) = (Attempts::default(), Instant::START);
        let end = now + Duration::from_secs(10);
        let mut writes = 0;
        while now < end {
            match attempts.step(&name(), now) {
                Step::Write => {
                    writes += 1;
                    attempts.lost(&name(), now, 0);
                }
                Step::Look => attempts.looked(&name()),
                Step::Wait => now = attempts.deadline(now).unwrap(),
            }
        }
        assert!(writes < 20, "{writes} in 10 s");
    }
}
