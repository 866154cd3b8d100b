//! The life of a speaker: start, work, restart or end (rules 9 and 11).

use std::time::Duration;

use super::{Ownership, Peer, Station};
use crate::mesh::message::Flags;
use crate::time::Instant;

/// How long a speaker that leaves waits for others to take over.
pub const LEAVE_LIMIT: Duration = Duration::from_secs(1);

/// In tenths of the close interval: how long a start listens at least, if there is anybody.
const START_LEAST: u32 = 40;

/// How long it waits for peers that are not heard.
const START_MOST: u32 = 200;

/// How long a speaker that restarts goes on answering, so that others can stand in.
const RESTART: u32 = 16;

/// Where a speaker is in its life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    /// Peers or candidacies are not known yet. The peers are listened to as soon as they are.
    Waiting {
        peers_since: Option<Instant>,
        has_facts: bool,
    },
    /// Listening to the peers, since then.
    Starting(Instant),
    Running,
    /// Answering for a little longer, until then.
    Restarting {
        until: Instant,
        has_facts: bool,
    },
    /// Hoping for others to take over, until then at most.
    Leaving {
        until: Instant,
        has_facts: bool,
    },
    Left {
        was_restarting: bool,
    },
}

impl Phase {
    pub(super) const NEW: Self = Self::Waiting { peers_since: None, has_facts: false };

    /// Whether the candidacies are known: only then is an address without one gone.
    pub(super) fn has_facts(self) -> bool {
        match self {
            Self::Waiting { has_facts, .. }
            | Self::Restarting { has_facts, .. }
            | Self::Leaving { has_facts, .. } => has_facts,
            Self::Starting(_) | Self::Running => true,
            Self::Left { .. } => false,
        }
    }

    pub(super) fn is_leaving(self) -> bool {
        matches!(self, Self::Leaving { .. } | Self::Left { was_restarting: false })
    }

    pub(super) fn is_listening_for_peers(self) -> bool {
        matches!(self, Self::Waiting { peers_since: None, .. })
    }
}

impl Ownership {
    /// Whether a speaker that leaves or restarts may stop: all is taken over, nobody is there who
    /// could, or the time for that is over.
    pub fn has_left(&self) -> bool {
        matches!(self.phase, Phase::Left { .. })
    }

    pub(super) fn flags(&self) -> Flags {
        let (mut flags, phase) = (Flags::default(), self.phase);
        flags.is_starting = matches!(phase, Phase::Waiting { .. } | Phase::Starting(_));
        flags.is_restarting =
            matches!(phase, Phase::Restarting { .. } | Phase::Left { was_restarting: true });
        flags.is_leaving = phase.is_leaving();
        flags.is_deaf = self.lan.is_deaf();
        flags
    }

    pub(super) fn phase_deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Starting(since) => {
                let least = since + self.settings.tenths(START_LEAST);
                let most = since + self.settings.tenths(START_MOST);
                Some(if self.now < least { least } else { most })
            }
            Phase::Restarting { until, .. } | Phase::Leaving { until, .. } => Some(until),
            Phase::Waiting { .. } | Phase::Running | Phase::Left { .. } => None,
        }
    }

    // What is not known yet is never taken for empty: the start needs both sets.

    pub(super) fn peers_came(&mut self) {
        if let Phase::Waiting { peers_since: None, has_facts } = self.phase {
            self.lan.begin(self.now);
            self.phase = match has_facts {
                true => Phase::Starting(self.now),
                false => Phase::Waiting { peers_since: Some(self.now), has_facts },
            };
        }
    }

    pub(super) fn facts_came(&mut self) {
        if let Phase::Waiting { peers_since, .. } = self.phase {
            self.phase = match peers_since {
                Some(since) => Phase::Starting(since),
                None => Phase::Waiting { peers_since, has_facts: true },
            };
        }
    }

    pub(super) fn finish_phase(&mut self) {
        match self.phase {
            Phase::Starting(since) => self.finish_start(since),
            Phase::Restarting { until, .. } if until <= self.now || self.answering.is_empty() => {
                self.phase = Phase::Left { was_restarting: true };
            }
            Phase::Waiting { .. }
            | Phase::Restarting { .. }
            | Phase::Running
            | Phase::Leaving { .. }
            | Phase::Left { .. } => (),
        }
    }

    fn finish_start(&mut self, since: Instant) {
        let is_alone = self.peers.is_empty() && !self.can_ask();
        let has_listened = since + self.settings.tenths(START_LEAST) <= self.now;
        let is_late = since + self.settings.tenths(START_MOST) <= self.now;
        let all_are_heard = has_listened && self.peers.values().all(Peer::is_synced);
        if !is_alone && !all_are_heard && !is_late {
            return;
        }
        self.phase = Phase::Running;
        self.book.touch();
        for (at, station) in std::mem::take(&mut self.remembered) {
            self.remember(at, &station);
        }
        self.line_up();
        let all: Vec<_> = self.addresses.keys().copied().collect();
        for at in all {
            self.reconsider(at);
        }
    }

    /// The cluster's records count for what nobody claims, if they name a candidate.
    fn remember(&mut self, at: std::net::IpAddr, station: &Station) {
        let Some(address) = self.addresses.get_mut(&at) else { return };
        let is_candidate = address.candidacy().is_some_and(|facts| facts.is_candidate(station));
        if !address.is_unclaimed() || !is_candidate {
            return;
        }
        if *station == self.me {
            address.remember();
        } else {
            self.hear_of_claim(at, station, 0);
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.change_course();
    }

    /// What I may hold, or stand in for, is another from now on: all are told, and all that may be
    /// concerned is looked at again.
    pub(super) fn change_course(&mut self) {
        self.book.touch();
        for at in self.answering.clone() {
            self.reconsider(at);
        }
        let standing_in = |address: &crate::mesh::address::Address| address.standing_in().is_some();
        let active: Vec<_> =
            self.addresses.iter().filter(|(_, it)| standing_in(it)).map(|(at, _)| *at).collect();
        for at in active {
            self.reconsider(at);
        }
        self.reconsider_unsettled();
    }

    pub(super) fn restart(&mut self) {
        match self.phase {
            Phase::Restarting { .. } | Phase::Leaving { .. } | Phase::Left { .. } => (),
            Phase::Waiting { .. } | Phase::Starting(_) | Phase::Running => {
                let until = self.now + self.settings.tenths(RESTART);
                let has_facts = self.phase.has_facts();
                self.enter(Phase::Restarting { until, has_facts });
            }
        }
    }

    pub(super) fn leave(&mut self) {
        match self.phase {
            Phase::Leaving { .. } | Phase::Left { .. } => (),
            Phase::Waiting { .. }
            | Phase::Starting(_)
            | Phase::Running
            | Phase::Restarting { .. } => {
                let until = self.now + LEAVE_LIMIT;
                let has_facts = self.phase.has_facts();
                self.enter(Phase::Leaving { until, has_facts });
            }
        }
    }

    pub(super) fn finish_leave(&mut self) {
        let Phase::Leaving { until, .. } = self.phase else { return };
        let can_be_taken = |at: &std::net::IpAddr| {
            self.addresses.get(at).is_some_and(|address| address.has_heir(&self.peers))
        };
        if until <= self.now || !self.answering.iter().any(can_be_taken) {
            self.phase = Phase::Left { was_restarting: false };
        }
    }
}
