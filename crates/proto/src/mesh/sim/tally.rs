//! What was seen of one address: who held it, who answered, for how long nobody or two did.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::mesh::ownership::Why;
use crate::time::Instant;

/// What was seen of one address.
#[derive(Clone, Debug, Default)]
pub(in crate::mesh) struct Tally {
    /// Who holds it, and who stands in for a holder.
    pub(super) hands: BTreeSet<usize>,
    pub(super) stand_ins: BTreeSet<usize>,
    empty_since: Option<Instant>,
    doubled_since: Option<Instant>,
    was_held: bool,
    /// The longest time without an answer, after the first.
    pub(super) unanswered: Duration,
    /// The longest time in two hands.
    pub(super) doubled: Duration,
    /// The longest time in two hands while the mesh was whole.
    pub(super) doubled_when_whole: Duration,
    /// Claims, the first one included.
    pub(super) claims: Vec<(usize, u64, Why)>,
    /// Claims of others than the last holder.
    pub(super) moves: usize,
    pub(super) last: Option<usize>,
}

impl Tally {
    /// Takes the time up to now into account.
    pub(super) fn close(&mut self, now: Instant, is_whole: bool) {
        if let Some(since) = self.empty_since.filter(|_| self.was_held) {
            self.unanswered = self.unanswered.max(now - since);
        }
        if let Some(since) = self.doubled_since {
            self.doubled = self.doubled.max(now - since);
            if is_whole {
                self.doubled_when_whole = self.doubled_when_whole.max(now - since);
            }
        }
    }

    /// Ends the periods of measurement, because the weather changes.
    pub(super) fn mark(&mut self, now: Instant, is_whole: bool) {
        self.close(now, is_whole);
        self.doubled_since = self.doubled_since.map(|_| now);
    }

    pub(super) fn change(&mut self, now: Instant, is_whole: bool, change: impl FnOnce(&mut Self)) {
        self.close(now, is_whole);
        change(self);
        let is_answered = !self.hands.is_empty() || !self.stand_ins.is_empty();
        self.was_held |= is_answered;
        self.empty_since = if is_answered { None } else { self.empty_since.or(Some(now)) };
        let is_doubled = self.hands.len() > 1;
        self.doubled_since = if is_doubled { self.doubled_since.or(Some(now)) } else { None };
    }

    /// Starts measuring anew.
    pub(super) fn forget(&mut self, now: Instant) {
        let last = self.hands.first().copied();
        let (hands, stand_ins) = (self.hands.clone(), self.stand_ins.clone());
        *self = Self { hands, stand_ins, was_held: true, last, ..Self::default() };
        self.change(now, true, |_| ());
    }
}
