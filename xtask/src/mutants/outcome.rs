//! What became of a mutation: noticed, or what is wrong with it or with the test.

use std::fmt;

/// How a mutated program fared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// The test failed, as it must.
    Caught,
    /// The test passed.
    Survived,
    /// There is no such test.
    NoSuchTest,
    /// The changed line is no valid Rust there.
    DoesNotCompile,
    /// The test did not end in time.
    Hung,
    /// The tests ended without a count.
    Crashed,
}

impl Outcome {
    /// Judges what the test harness printed when it ran one test by its full name.
    pub(super) fn of(said: &str) -> Self {
        let Some(counts) = said.lines().rev().find_map(|line| line.strip_prefix("test result: "))
        else {
            return Self::Crashed;
        };
        match (count(counts, "passed"), count(counts, "failed")) {
            (Some(_), Some(1..)) => Self::Caught,
            (Some(0), Some(0)) => Self::NoSuchTest,
            (Some(_), Some(0)) => Self::Survived,
            (None, _) | (_, None) => Self::Crashed,
        }
    }

    /// What to do about it; `None` if all is well.
    pub(super) fn mend(self) -> Option<&'static str> {
        match self {
            Self::Caught => None,
            Self::Survived => {
                Some("the test no longer shows what it says: strengthen it, or name another one")
            }
            Self::NoSuchTest => Some("put the full name of a test in its `test:`"),
            Self::DoesNotCompile => Some("choose a `put:` that compiles"),
            Self::Hung => Some("choose a `put:` with which the test ends"),
            Self::Crashed => Some("choose a `put:` with which the test fails without a crash"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Caught => "noticed",
            Self::Survived => "survived: the test passes with the line changed",
            Self::NoSuchTest => "there is no such test",
            Self::DoesNotCompile => "the changed line does not compile",
            Self::Hung => "the test did not end in time",
            Self::Crashed => "the tests died without a result",
        })
    }
}

/// The number before a word in `FAILED. 0 passed; 1 failed; ...`.
fn count(counts: &str, word: &str) -> Option<u64> {
    let before = counts.split(word).next().filter(|before| before.len() < counts.len())?;
    before.split_whitespace().next_back()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_follows_from_what_the_harness_says() {
        let rest = "0 ignored; 0 measured; 105 filtered out; finished in 0.00s";
        let rows = [
            ("FAILED. 0 passed; 1 failed; ", Outcome::Caught),
            ("ok. 1 passed; 0 failed; ", Outcome::Survived),
            ("ok. 0 passed; 0 failed; ", Outcome::NoSuchTest),
            ("ok. ", Outcome::Crashed),
        ];
        for (counts, want) in rows {
            let said = format!("\nrunning 1 test\ntest result: {counts}{rest}\n\n");
            assert_eq!(Outcome::of(&said), want, "{counts}");
        }
        assert_eq!(Outcome::of("running 1 test\n"), Outcome::Crashed);
    }

    #[test]
    fn only_a_mutation_that_was_noticed_needs_no_mending() {
        let bad = [
            Outcome::Survived,
            Outcome::NoSuchTest,
            Outcome::DoesNotCompile,
            Outcome::Hung,
            Outcome::Crashed,
        ];
        assert!(bad.iter().all(|outcome| outcome.mend().is_some()));
        assert_eq!(Outcome::Caught.mend(), None);
    }
}
