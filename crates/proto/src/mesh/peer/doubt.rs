//! What became of a holder that is not heard: two questions to its host tell (rule 6).
//!
//! One is for the host's own address, the other for an address that it holds. If the second is
//! answered its speaker lives and only the mesh is broken. If only the first is answered, the
//! speaker is gone and the node lives. If neither is, for two intervals, the node is dead.

use std::time::Duration;

use crate::mesh::ownership::Settings;
use crate::time::{Instant, earliest};

/// What is believed of a peer that holds something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// It is heard, and says itself what it holds.
    Present,
    /// It is away, and its host was not asked for long enough.
    Unknown,
    /// Its speaker answers on the LAN: only the mesh is broken.
    Unheard,
    /// Its host answers, its speaker does not.
    SpeakerGone,
    /// Nothing answers.
    Dead,
}

impl Fate {
    /// The value of a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Unknown => "unknown",
            Self::Unheard => "unheard",
            Self::SpeakerGone => "speaker_gone",
            Self::Dead => "dead",
        }
    }
}

/// What else is known of the peer.
#[derive(Clone, Copy)]
pub(super) struct Signs {
    pub(super) is_silent: bool,
    /// It says that it restarts.
    pub(super) is_restarting: bool,
    /// It says that it is starting.
    pub(super) is_starting: bool,
    /// It told where it is on the LAN.
    pub(super) can_be_asked: bool,
}

/// Questions to the host of one peer.
#[derive(Default)]
pub(super) struct Doubt {
    /// Since when its speaker is away.
    pub(super) away_since: Option<Instant>,
    asked_since: Option<Instant>,
    ask_at: Option<Instant>,
    host_at: Option<Instant>,
    speaker_at: Option<Instant>,
}

/// Answers count for this many tenths of the close interval: three questions.
const FRESH: u32 = 26;

/// Between two questions.
const PAUSE: u32 = 8;

/// Between two questions when there was no answer for [`PATIENT_FOR`].
const LONG_PAUSE: u32 = 50;
const PATIENT_FOR: u32 = 400;

/// Without an answer for so long, nobody is there.
const UNANSWERED: u32 = 20;

/// How long a speaker may be starting when its host cannot be asked.
const START: u32 = 300;

impl Doubt {
    pub(super) fn fate(&self, now: Instant, signs: Signs, settings: &Settings) -> Fate {
        let within = |since: Option<Instant>, tenths: u32| {
            since.is_some_and(|since| now < since + settings.tenths(tenths))
        };
        if !signs.is_silent && !signs.is_restarting && !signs.is_starting {
            return Fate::Present;
        }
        if !signs.can_be_asked {
            let is_awaited = !signs.is_silent && within(self.away_since, START);
            return if is_awaited { Fate::Unknown } else { Fate::Dead };
        }
        // One that restarts still answers, and is about to stop.
        if !signs.is_restarting && within(self.speaker_at, FRESH) {
            return Fate::Unheard;
        }
        if within(self.host_at, FRESH) {
            return Fate::SpeakerGone;
        }
        let is_unanswered = self.asked_since.is_some() && !within(self.asked_since, UNANSWERED);
        let may_be_dead = signs.is_silent || signs.is_restarting;
        if is_unanswered && may_be_dead { Fate::Dead } else { Fate::Unknown }
    }

    /// The next moment at which the fate may change by itself, or a question is due.
    pub(super) fn deadline(&self, now: Instant, settings: &Settings) -> Option<Instant> {
        let after = |since: Option<Instant>, tenths: u32| {
            since.map(|since| since + settings.tenths(tenths)).filter(|at| *at > now)
        };
        earliest([
            self.ask_at,
            after(self.asked_since, UNANSWERED),
            after(self.host_at, FRESH),
            after(self.speaker_at, FRESH),
            after(self.away_since, START),
        ])
    }

    /// Whether questions are to be asked now. Called whenever that may have changed.
    pub(super) fn is_due(&mut self, now: Instant, is_wanted: bool, settings: &Settings) -> bool {
        if !is_wanted {
            (self.asked_since, self.ask_at) = (None, None);
            return false;
        }
        let since = *self.asked_since.get_or_insert(now);
        if self.ask_at.is_some_and(|at| at > now) {
            return false;
        }
        let heard = self.host_at.max(self.speaker_at).unwrap_or(since);
        let is_hopeless = now - heard.max(since) > settings.tenths(PATIENT_FOR);
        self.ask_at = Some(now + settings.tenths(if is_hopeless { LONG_PAUSE } else { PAUSE }));
        true
    }

    pub(super) fn host_answered(&mut self, now: Instant) {
        self.host_at = Some(now);
    }

    pub(super) fn speaker_answered(&mut self, now: Instant) {
        self.speaker_at = Some(now);
    }

    /// Whether the host answered in this time.
    pub(super) fn is_host_heard(&self, now: Instant, within: Duration) -> bool {
        let at = self.host_at.max(self.speaker_at);
        at.is_some_and(|at| now - at <= within)
    }
}
