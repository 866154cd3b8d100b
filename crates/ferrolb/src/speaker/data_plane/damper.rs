//! What to make of answers that may change all the time.

use std::fmt;
use std::time::Duration;

use proto::time::Instant;

use super::{Answer, Check};

/// Bad answers in a row until the node is unfit: one could come from a kube-proxy that has just
/// started.
const BAD_IN_A_ROW: u32 = 2;

/// For how long kube-proxy must say nothing until the node is unfit. While it restarts, as in every
/// upgrade, its rules are still in the kernel, so moving addresses would only break connections.
const SILENT_FOR: Duration = Duration::from_secs(10);

/// For how long all answers must be good until the node is fit again: longer than it takes to notice
/// that they are not, so that addresses do not follow a kube-proxy that comes and goes.
const GOOD_FOR: Duration = Duration::from_secs(5);

/// Whether a node forwards, as far as is known.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Verdict {
    /// It does.
    Healthy,
    /// kube-proxy has answered before, and does no more.
    Silent,
    /// kube-proxy says that it does not.
    Unhealthy,
    /// Nobody was ever there to ask, or is to be asked. It is taken to forward.
    Unseen,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 4] = [Self::Healthy, Self::Silent, Self::Unhealthy, Self::Unseen];

    /// Whether the node may hold addresses.
    pub fn is_fit(self) -> bool {
        match self {
            Self::Healthy | Self::Unseen => true,
            Self::Silent | Self::Unhealthy => false,
        }
    }

    /// The value of a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Silent => "silent",
            Self::Unhealthy => "unhealthy",
            Self::Unseen => "unseen",
        }
    }

    /// The reason of a condition.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Healthy => "Healthy",
            Self::Silent => "KubeProxySilent",
            Self::Unhealthy => "KubeProxyUnhealthy",
            Self::Unseen => "NotChecked",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Healthy => "kube-proxy says that the node forwards",
            Self::Silent => {
                "kube-proxy has not answered for 10 s, so other nodes are to have the addresses; \
                 look at its log, or see `--kube-proxy-healthz` if it is to answer elsewhere"
            }
            Self::Unhealthy => {
                "kube-proxy says that the node does not forward, so other nodes are to have the \
                 addresses; look at its log"
            }
            Self::Unseen => "no kube-proxy was seen, so the node is taken to forward",
        })
    }
}

/// Turns answers into a verdict that does not flap.
#[derive(Debug)]
pub(super) struct Damper {
    verdict: Verdict,
    /// Whether silence counts.
    is_expected: bool,
    bad: u32,
    silent_since: Option<Instant>,
    good_since: Option<Instant>,
}

impl Damper {
    pub(super) fn new(check: Check) -> Self {
        Self {
            verdict: Verdict::Unseen,
            is_expected: check == Check::KubeProxy,
            bad: 0,
            silent_since: None,
            good_since: None,
        }
    }

    /// Takes in an answer and says what is thought from now on.
    pub(super) fn hear(&mut self, now: Instant, answer: Answer) -> Verdict {
        self.is_expected |= answer != Answer::Silent;
        self.bad = if answer == Answer::Unhealthy { self.bad + 1 } else { 0 };
        let since = |since: &mut Option<Instant>, is_so: bool| {
            *since = is_so.then(|| since.unwrap_or(now));
            since.map(|since| now - since)
        };
        let silent_for = since(&mut self.silent_since, answer == Answer::Silent);
        let good_for = since(&mut self.good_since, answer == Answer::Healthy);
        if self.bad >= BAD_IN_A_ROW {
            self.verdict = Verdict::Unhealthy;
        } else if self.is_expected && silent_for.is_some_and(|time| time >= SILENT_FOR) {
            self.verdict = Verdict::Silent;
        } else if let Some(time) = good_for
            && (self.verdict.is_fit() || time >= GOOD_FOR)
        {
            self.verdict = Verdict::Healthy;
        }
        self.verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Verdicts after one answer a second: `+` healthy, `-` unhealthy, `.` silent.
    fn verdicts(check: Check, answers: &str) -> String {
        let mut damper = Damper::new(check);
        let mut now = Instant::START;
        let mut hear = |answer| {
            now = now + Duration::from_secs(1);
            let answer = match answer {
                '+' => Answer::Healthy,
                '-' => Answer::Unhealthy,
                _ => Answer::Silent,
            };
            match damper.hear(now, answer) {
                Verdict::Healthy => 'h',
                Verdict::Silent => 's',
                Verdict::Unhealthy => 'u',
                Verdict::Unseen => '?',
            }
        };
        answers.chars().map(&mut hear).collect()
    }

    #[test]
    fn a_verdict_follows_answers_that_last() {
        let rows = [
            ("never seen", Check::Auto, "............", "????????????"),
            ("must be there", Check::KubeProxy, "............", "??????????ss"),
            ("well", Check::Auto, "..+++", "??hhh"),
            ("one bad answer", Check::Auto, "+-+-+", "hhhhh"),
            ("bad", Check::Auto, "+--+", "hhuu"),
            ("bad from the start", Check::Auto, "--", "?u"),
            ("good again", Check::Auto, "--++++++", "?uuuuuuh"),
            ("flaps", Check::Auto, "--+++-++++-+++++", "?uuuuuuuuuuuuuuu"),
            ("restarts", Check::Auto, "+.........+", "hhhhhhhhhhh"),
            ("gone", Check::Auto, "+...........", "hhhhhhhhhhhs"),
            ("gone after it was bad", Check::Auto, "--...........", "?uuuuuuuuuuus"),
            ("comes back", Check::Auto, "+...........++++++", "hhhhhhhhhhhssssssh"),
        ];
        for (case, check, answers, want) in rows {
            assert_eq!(verdicts(check, answers), want, "{case}");
        }
    }
}
