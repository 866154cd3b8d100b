//! One TCP connection to the peer: what has come in of it, what is on its way out, its timers.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::Family;
use super::super::attributes::NextHops;
use super::super::message::open::Open;
use super::super::message::update::Reading;
use super::super::message::{Error, Kind};
use super::opening::Negotiated;
use crate::time::{Instant, earliest};

/// Names a connection; chosen by the driver, and never used again for another of the session.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ConnectionId(pub u64);

/// Which end made a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// We did.
    Dialled,
    /// The peer did.
    Accepted,
}

/// A connection that has come about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Connected {
    /// What it is called.
    pub id: ConnectionId,
    /// Who made it.
    pub end: End,
    /// The family of its addresses.
    pub over: Family,
    /// Our addresses, as the peer reaches them.
    pub next_hops: NextHops,
}

/// How far a connection is.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    /// Our OPEN waits for that of the peer.
    Delayed { until: Instant },
    /// Our OPEN is out.
    OpenSent { ours: Open },
    /// The OPEN of the peer is fine.
    OpenConfirm(Box<Negotiated>),
    /// So is ours.
    Established(Box<Established>),
}

/// What there is once a session is established.
#[derive(Clone, Debug)]
pub(super) struct Established {
    pub(super) negotiated: Negotiated,
    pub(super) since: Instant,
    pub(super) reading: Reading,
    /// Families that the peer has sent the End-of-RIB of.
    pub(super) ends: BTreeSet<Family>,
}

/// One TCP connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) made: Connected,
    pub(super) phase: Phase,
    /// The beginning of a message; less than one of the longest.
    pub(super) inbox: Vec<u8>,
    /// Octets handed out that TCP has not taken yet.
    pub(super) unsent: usize,
    /// Since when TCP has taken nothing of them.
    pub(super) blocked_since: Option<Instant>,
    pub(super) hold_at: Option<Instant>,
    pub(super) keepalive_at: Option<Instant>,
}

/// The least time that a peer may take nothing of what we send, RFC 9687 section 6.
const SEND_HOLD: Duration = Duration::from_secs(8 * 60);

impl Connection {
    pub(super) fn new(made: Connected, phase: Phase) -> Self {
        Self {
            made,
            phase,
            inbox: Vec::new(),
            unsent: 0,
            blocked_since: None,
            hold_at: None,
            keepalive_at: None,
        }
    }

    /// The agreement, from OpenConfirm on.
    pub(super) fn negotiated(&self) -> Option<&Negotiated> {
        match &self.phase {
            Phase::Delayed { .. } | Phase::OpenSent { .. } => None,
            Phase::OpenConfirm(negotiated) => Some(negotiated),
            Phase::Established(established) => Some(&established.negotiated),
        }
    }

    pub(super) fn established(&self) -> Option<&Established> {
        match &self.phase {
            Phase::Established(established) => Some(established),
            Phase::Delayed { .. } | Phase::OpenSent { .. } | Phase::OpenConfirm(_) => None,
        }
    }

    /// Whether the peer has not said who it is.
    pub(super) fn is_before_open(&self) -> bool {
        self.negotiated().is_none()
    }

    /// Takes it that `count` octets were handed out.
    pub(super) fn wrote(&mut self, now: Instant, count: usize) {
        self.unsent += count;
        self.blocked_since.get_or_insert(now);
    }

    /// Takes it that TCP took `count` octets.
    pub(super) fn sent(&mut self, now: Instant, count: usize) {
        self.unsent = self.unsent.saturating_sub(count);
        self.blocked_since = (self.unsent > 0).then_some(now);
    }

    /// Starts the hold timer anew: the peer gave a sign of life.
    pub(super) fn hear(&mut self, now: Instant) {
        if let Some(negotiated) = self.negotiated() {
            self.hold_at = negotiated.hold_time.map(|time| now + time);
        }
    }

    /// When the peer has taken nothing for too long; never without a hold time (RFC 9687).
    pub(super) fn send_hold_at(&self) -> Option<Instant> {
        let hold_time = self.established()?.negotiated.hold_time?;
        Some(self.blocked_since? + SEND_HOLD.max(hold_time * 2))
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let delayed = match &self.phase {
            Phase::Delayed { until } => Some(*until),
            Phase::OpenSent { .. } | Phase::OpenConfirm(_) | Phase::Established(_) => None,
        };
        earliest([delayed, self.hold_at, self.keepalive_at, self.send_hold_at()])
    }

    /// What is wrong with a message of this type now, RFC 4271 section 6.6.
    pub(super) fn objection(&self, kind: Kind) -> Option<Error> {
        match (&self.phase, kind) {
            (_, Kind::Notification)
            | (Phase::Delayed { .. } | Phase::OpenSent { .. }, Kind::Open)
            | (Phase::OpenConfirm(_), Kind::Keepalive)
            | (Phase::Established(_), Kind::Keepalive | Kind::Update | Kind::RouteRefresh) => None,
            (Phase::Delayed { .. }, _) => Some(Error::Unexpected),
            (Phase::OpenSent { .. }, _) => Some(Error::UnexpectedInOpenSent),
            (Phase::OpenConfirm(_), _) => Some(Error::UnexpectedInOpenConfirm),
            (Phase::Established(_), Kind::Open) => Some(Error::UnexpectedInEstablished),
        }
    }
}

/// Which of two connections to the same peer is kept, RFC 4271 section 6.8 and RFC 6286
/// section 2.3: that made by the end with the higher identifier; if they are equal, with the
/// higher AS number.
pub(super) fn survivor(negotiated: &Negotiated) -> End {
    let rank = |open: &Open| (u32::from(open.identifier), open.asn);
    if rank(&negotiated.ours) > rank(&negotiated.peer) { End::Dialled } else { End::Accepted }
}
