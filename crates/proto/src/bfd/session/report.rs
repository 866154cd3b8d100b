//! What a session says of itself.

use std::fmt;

use super::{Remote, Session};
use crate::bfd::packet::{Diagnostic, Interval, Packet, State};
use crate::time::Instant;

/// What led to a change of state.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// The peer was heard.
    Heard,
    /// Nothing was heard for a whole detection time.
    DetectionTimeExpired,
    /// Echo packets did not come back.
    EchoFailed,
    /// The peer says that it is down, for this reason.
    NeighborDown(Diagnostic),
    /// The peer's operator has switched the session off: of the path that says nothing (RFC 5882
    /// section 3.2).
    NeighborAdminDown,
    /// Ours has switched it on or off.
    Administrative,
}

impl Why {
    /// Whether the path is broken, as far as one can tell.
    pub fn is_failure(self) -> bool {
        match self {
            Self::DetectionTimeExpired | Self::EchoFailed | Self::NeighborDown(_) => true,
            Self::Heard | Self::NeighborAdminDown | Self::Administrative => false,
        }
    }

    /// What the peer is told in the new state.
    pub(super) fn diagnostic(self, to: State) -> Diagnostic {
        match self {
            Self::Heard => Diagnostic::NONE,
            Self::DetectionTimeExpired => Diagnostic::DETECTION_TIME_EXPIRED,
            Self::EchoFailed => Diagnostic::ECHO_FAILED,
            Self::NeighborDown(_) | Self::NeighborAdminDown => Diagnostic::NEIGHBOR_SIGNALED_DOWN,
            Self::Administrative if to == State::AdminDown => Diagnostic::ADMINISTRATIVELY_DOWN,
            Self::Administrative => Diagnostic::NONE,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Heard => "the peer was heard",
            Self::DetectionTimeExpired => "nothing was heard for the detection time",
            Self::EchoFailed => "echo packets did not come back",
            Self::NeighborDown(diagnostic) => {
                return write!(f, "the peer says that it is down: {diagnostic}");
            }
            Self::NeighborAdminDown => "the peer's operator has switched the session off",
            Self::Administrative => "it was switched on or off here",
        })
    }
}

/// What a session has done since it began.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Control packets sent.
    pub control_sent: u64,
    /// Control packets received and believed.
    pub control_received: u64,
    /// Echo packets sent.
    pub echo_sent: u64,
    /// Echo packets that came back.
    pub echo_received: u64,
    /// Packets for this session that were dropped.
    pub ignored: u64,
    /// How often it came up.
    pub ups: u64,
    /// How often it was up, and went down.
    pub downs: u64,
}

/// How a session is.
#[derive(Clone, Copy, Debug)]
pub struct Status<'a> {
    /// Its state.
    pub state: State,
    /// Since when.
    pub since: Instant,
    /// What the peer said last; `None` while it is not heard.
    pub peer: Option<&'a Packet>,
    /// How often we send; zero if the peer wants nothing.
    pub transmit: Interval,
    /// How long the peer may be silent; zero while it is not heard.
    pub detection_time: Interval,
    /// How often echo packets are sent; `None` if they are not.
    pub echo: Option<Interval>,
    /// When it went down last, and why.
    pub last_down: Option<(Instant, Why)>,
    /// What it has done.
    pub counters: Counters,
}

impl Session {
    /// How the session is.
    pub fn status(&self) -> Status<'_> {
        Status {
            state: self.state,
            since: self.since,
            peer: self.remote.as_ref().map(|Remote { packet, .. }| packet),
            transmit: self.transmit_interval().unwrap_or_default().into(),
            detection_time: self.detection_time().unwrap_or_default().into(),
            echo: self.echo_interval().map(Interval::from),
            last_down: self.last_down,
            counters: self.counters,
        }
    }
}
