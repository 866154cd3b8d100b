//! What a probe found out.

use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};

use crate::probe::{PATIENCE, Tally};

/// One packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) sent: Instant,
    pub(crate) answered: Option<Instant>,
}

impl Sample {
    fn is_in_time(&self) -> bool {
        self.answered.is_some_and(|at| at.saturating_duration_since(self.sent) <= PATIENCE)
    }
}

/// A run of lost packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Outage {
    /// When the first lost packet was sent, from the start of the probe.
    #[serde(rename = "start_ms", serialize_with = "millis")]
    pub start: Duration,
    /// From there until the first answered packet was sent; without one, until the end.
    #[serde(rename = "length_ms", serialize_with = "millis")]
    pub length: Duration,
    /// How many packets were lost.
    pub lost: u64,
    /// Whether an answered packet ended it. If not, it may have been longer.
    pub ended: bool,
}

/// What a probe found out. Durations are milliseconds when serialized.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Packets sent.
    pub sent: u64,
    /// Packets without an answer in time.
    pub lost: u64,
    /// Lost packets whose answer did come, after [`PATIENCE`].
    pub late: u64,
    /// Second answers to one packet.
    pub duplicates: u64,
    /// Packets that came from another address than the target, or were none of ours.
    pub strangers: u64,
    /// Lost packets that the client's own kernel refused to send.
    pub refused: u64,
    /// Packets that were due and not sent, because this machine was busy.
    pub skipped: u64,
    /// The longest time between two packets sent: what happened inside it went unseen.
    #[serde(rename = "longest_pause_ms", serialize_with = "millis")]
    pub longest_pause: Duration,
    /// The length of the longest of the outages; zero without one. With no packet sent at all, the
    /// whole time of the probe.
    #[serde(rename = "longest_outage_ms", serialize_with = "millis")]
    pub longest_outage: Duration,
    /// The longest time without an answer, from the start to the end. It includes what the
    /// outages leave out: packets that waited somewhere and were answered all the same.
    #[serde(rename = "longest_silence_ms", serialize_with = "millis")]
    pub longest_silence: Duration,
    /// How long the slowest answer in time took.
    #[serde(rename = "slowest_answer_ms", serialize_with = "millis")]
    pub slowest_answer: Duration,
    /// Every run of lost packets, in order.
    pub outages: Vec<Outage>,
}

impl Report {
    /// Looks at the packets sent from `started` to `until`.
    pub(crate) fn of(tally: &Tally, started: Instant, until: Instant) -> Self {
        let count = tally.samples.partition_point(|sample| sample.sent <= until);
        let samples = &tally.samples[..count];
        let outages = outages(samples, started, until);
        let lost = outages.iter().map(|outage| outage.lost).sum();
        let longest = outages.iter().map(|outage| outage.length).max().unwrap_or_default();
        let nothing_sent = samples.is_empty();
        let answers = samples.iter().filter_map(|sample| sample.answered);
        let late = samples.iter().filter(|s| s.answered.is_some() && !s.is_in_time()).count();
        let in_time = samples.iter().filter(|sample| sample.is_in_time());
        let took = in_time.filter_map(|sample| sample.answered.map(|at| at - sample.sent));
        Self {
            sent: samples.len() as u64,
            lost,
            late: late as u64,
            duplicates: tally.duplicates,
            strangers: tally.strangers,
            refused: tally.refused,
            skipped: tally.skipped,
            longest_pause: longest_gap(samples.iter().map(|s| s.sent), started, until),
            longest_outage: if nothing_sent { until - started } else { longest },
            longest_silence: longest_gap(answers, started, until),
            slowest_answer: took.max().unwrap_or_default(),
            outages,
        }
    }
}

fn outages(samples: &[Sample], started: Instant, until: Instant) -> Vec<Outage> {
    let mut outages = Vec::new();
    let mut rest = samples;
    while let Some(first) = rest.iter().position(|sample| !sample.is_in_time()) {
        let run = &rest[first..];
        let lost = run.iter().position(Sample::is_in_time).unwrap_or(run.len());
        let next = run.get(lost);
        let start = run[0].sent;
        outages.push(Outage {
            start: start - started,
            length: next.map_or(until, |next| next.sent) - start,
            lost: lost as u64,
            ended: next.is_some(),
        });
        rest = &run[lost..];
    }
    outages
}

/// The longest time without an event; answers may overtake one another.
fn longest_gap(
    events: impl Iterator<Item = Instant>,
    started: Instant,
    until: Instant,
) -> Duration {
    let mut events: Vec<_> = events.collect();
    events.sort_unstable();
    let mut last = started;
    let mut longest = Duration::ZERO;
    for event in events {
        longest = longest.max(event.saturating_duration_since(last));
        last = event;
    }
    longest.max(until.saturating_duration_since(last))
}

fn millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// One packet a millisecond: `.` answered at once, `x` lost, `l` answered too late, `w` waited
    /// and came in time, ` ` not sent.
    fn report(story: &str) -> Report {
        let started = Instant::now();
        let mut tally = Tally::default();
        let mut sent = started;
        for packet in story.chars() {
            sent += MS;
            let after = match packet {
                '.' => Some(Duration::ZERO),
                'w' => Some(100 * MS),
                'l' => Some(PATIENCE + MS),
                'x' => None,
                _ => continue,
            };
            tally.samples.push(Sample { sent, answered: after.map(|after| sent + after) });
        }
        Report::of(&tally, started, sent + MS)
    }

    #[test]
    fn an_outage_lasts_from_the_first_lost_to_the_first_answered() {
        let rows = [
            ("all is well", "....", vec![]),
            ("one packet", "..x..", vec![(3, 1, 1, true)]),
            ("two outages", ".xx.xxx.", vec![(2, 2, 2, true), (5, 3, 3, true)]),
            ("a late answer is none", ".l.", vec![(2, 1, 1, true)]),
            ("from the start", "xx.", vec![(1, 2, 2, true)]),
            ("without end, to the end", "..xx", vec![(3, 2, 2, false)]),
            ("never an answer", "xxxx", vec![(1, 4, 4, false)]),
            ("skipped packets are not lost, but do not end it", ".x   x.", vec![(2, 5, 2, true)]),
        ];
        for (name, story, want) in rows {
            let want = want.into_iter().map(|(start, length, lost, ended)| Outage {
                start: start * MS,
                length: length * MS,
                lost,
                ended,
            });
            assert_eq!(report(story).outages, want.collect::<Vec<_>>(), "{name}");
        }
    }

    #[test]
    fn what_was_not_measured_counts_as_the_worst() {
        let nothing = report("    ");
        assert_eq!((nothing.sent, nothing.longest_outage), (0, 5 * MS), "nothing was sent");
        assert_eq!(report(".    .").longest_pause, 5 * MS, "a pause is seen");
        assert_eq!(report("xxxx").longest_silence, 5 * MS, "no answer ever");
        let waited = report(".w");
        assert_eq!((waited.lost, waited.longest_silence), (0, 101 * MS), "a packet waited");
    }

    #[test]
    fn a_report_is_written_in_milliseconds() {
        let written = serde_json::to_value(report(".xx.")).unwrap();
        assert_eq!(written["longest_outage_ms"], 2.0);
        assert_eq!(written["outages"][0]["start_ms"], 2.0);
    }
}
