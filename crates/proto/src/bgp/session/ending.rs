//! Why a session ends, and how we leave.

use std::fmt;
use std::time::Duration;

use super::super::message::{Error, Notification};

/// An end that we choose.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Stop {
    /// The node leaves, with words for the other operator (RFC 9003). Routes are not kept.
    Shutdown(String),
    /// The peer is no longer configured. Routes are not kept.
    Deconfigured,
    /// The speaker restarts and comes back: nothing is said, so that the peer keeps our routes if
    /// it can (RFC 4724).
    Restart,
}

impl Stop {
    /// What the peer is told.
    pub(super) fn notification(&self) -> Option<Notification> {
        match self {
            Self::Shutdown(text) => {
                Some(Notification::with_text(Error::AdministrativeShutdown, text))
            }
            Self::Deconfigured => Some(Error::PeerDeconfigured.into()),
            Self::Restart => None,
        }
    }
}

/// Leaving step by step, so that no packet is on a way that ends: others are asked to be preferred,
/// a pause, the routes are withdrawn, a pause, the session is shut down.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Leave {
    /// Words for the other operator.
    pub text: String,
    /// Between asking for others (RFC 8326) and the withdrawal.
    pub before_withdrawal: Duration,
    /// Between the withdrawal and the end of the session.
    pub before_close: Duration,
}

/// Why a session, or an attempt at one, has ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Down {
    /// We wanted it to end, and said nothing.
    Stopped,
    /// We ended it, and said why.
    Sent(Notification),
    /// The peer ended it, and said why.
    Received(Notification),
    /// No connection could be made.
    ConnectFailed,
    /// No connection was made in time.
    ConnectTimedOut,
    /// The connection was closed without a word, or broke.
    Closed,
    /// The peer restarted and made a new connection (RFC 4724 section 5).
    Replaced,
}

impl Down {
    /// The value of a metric's label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Sent(_) => "notification_sent",
            Self::Received(_) => "notification_received",
            Self::ConnectFailed => "connect_failed",
            Self::ConnectTimedOut => "connect_timed_out",
            Self::Closed => "connection_closed",
            Self::Replaced => "replaced",
        }
    }
}

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped here, for a restart"),
            Self::Sent(notification) => write!(f, "ended here: {notification}"),
            Self::Received(notification) => write!(f, "ended by the peer: {notification}"),
            Self::ConnectFailed => f.write_str("no connection to the peer could be made"),
            Self::ConnectTimedOut => f.write_str("the peer did not answer in time"),
            Self::Closed => f.write_str("the connection was closed without a reason"),
            Self::Replaced => f.write_str("the peer restarted and has connected again"),
        }
    }
}
