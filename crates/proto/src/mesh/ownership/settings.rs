//! What is decided for the whole mesh, and what for one address.

use std::sync::Arc;
use std::time::Duration;

use crate::mesh::Station;
use crate::mesh::message::MAX_INTERVAL;

/// How fast the whole mesh is.
///
/// All times of the rules are multiples of the close interval, so this is the one place to trade
/// packets for speed. Speakers with different settings understand one another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Settings {
    /// How often the holder of an address is heard by those next in line, in whole milliseconds.
    /// Less than what the host's scheduler can keep to makes speakers doubt one another in vain.
    pub close_interval: Duration,
    /// Declared intervals without a word after which a peer is silent.
    pub multiplier: u32,
    /// The shortest interval that this host's scheduler can keep to, whatever an address or a peer
    /// asks for.
    pub least_interval: Duration,
}

impl Settings {
    /// Three times 50 ms, and 10 ms where an address asks for it: for threads that run with
    /// real-time priority. A dead holder is replaced in 100 to 160 ms.
    pub const DEFAULT: Self = Self {
        close_interval: Duration::from_millis(50),
        multiplier: 3,
        least_interval: Duration::from_millis(10),
    };
    /// Three times 100 ms and never less, for threads that must wait for others.
    pub const WIDE: Self = Self {
        close_interval: Duration::from_millis(100),
        multiplier: 3,
        least_interval: Duration::from_millis(100),
    };

    /// The settings for an address that asks to be watched like this.
    pub(in crate::mesh) fn watching(self, watch: Option<CloseWatch>) -> Self {
        let Some(CloseWatch { interval, multiplier }) = watch else { return self };
        let close_interval = interval.clamp(self.least_interval, MAX_INTERVAL);
        Self { close_interval, multiplier: multiplier.max(1), ..self }
    }

    /// How closely these settings watch.
    pub(in crate::mesh) fn close_watch(&self) -> CloseWatch {
        CloseWatch { interval: self.close_interval, multiplier: self.multiplier }
    }

    /// So many tenths of the close interval.
    pub(in crate::mesh) fn tenths(&self, count: u32) -> Duration {
        self.close_interval.saturating_mul(count) / 10
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A node that may hold an address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Candidate {
    /// Its speaker.
    pub station: Station,
    /// How much it is preferred. A strictly higher score takes an address from a live holder.
    pub score: i64,
}

/// What the facts say about an address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Candidacy {
    /// Who may hold the address, the first choice first. Empty: nobody, and it goes quiet at once.
    pub order: Arc<[Candidate]>,
    /// Whether this node could answer for it. If not, it claims nothing and releases what it holds.
    pub is_fit: bool,
    /// How it is held.
    pub policy: Policy,
}

impl Candidacy {
    pub(in crate::mesh) fn candidate(&self, station: &Station) -> Option<&Candidate> {
        self.order.iter().find(|candidate| candidate.station == *station)
    }

    pub(in crate::mesh) fn is_candidate(&self, station: &Station) -> bool {
        self.candidate(station).is_some()
    }
}

/// How an address is held.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Policy {
    /// A live holder keeps the address although a candidate with the same score comes earlier.
    pub is_sticky: bool,
    /// How long others answer for a node whose speaker is away before one of them takes over. A
    /// restart cannot be told from the end of a speaker, so this is what an uninstallation costs.
    pub stand_in_time: Duration,
    /// Who may claim when the cluster is in parts.
    pub fencing: Fencing,
    /// What is done about a host that is no speaker and uses the address.
    pub on_conflict: OnConflict,
    /// How closely its holder is watched; `None`: as in the whole mesh.
    pub close_watch: Option<CloseWatch>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            is_sticky: true,
            stand_in_time: Duration::from_secs(30),
            fencing: Fencing::None,
            on_conflict: OnConflict::Defend,
            close_watch: None,
        }
    }
}

/// How closely the holder of an address is watched by those who come after it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct CloseWatch {
    /// How often it is heard, in whole milliseconds. Nobody speaks more often than its
    /// [`Settings::least_interval`].
    pub interval: Duration,
    /// Intervals without a word after which it is silent.
    pub multiplier: u32,
}

/// Who may hold an address when the cluster is in parts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fencing {
    /// One node in each part: clients everywhere are served.
    None,
    /// Only nodes that hear more than half of all speakers. There is never a second holder for
    /// longer than silence takes to notice, but a part without a majority is not served, and half a
    /// cluster that dies takes the address with it. A holder wishes to hear every peer at the close
    /// interval, so each fenced holder costs every other speaker 20 packets a second at 50 ms.
    Quorum,
}

/// What is done about a host that is no speaker and uses an address of ours (RFC 5227 section 2.4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OnConflict {
    /// The holder announces the address again, once in ten seconds at most.
    Defend,
    /// The holder lets go, and nobody claims while the host was heard in the last minute.
    Yield,
}
