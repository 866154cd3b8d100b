//! What a session tells about itself.

use super::super::Family;
use super::super::message::Notification;
use super::super::message::update::Fault;
use super::ending::Down;
use super::opening::Negotiated;
use crate::time::Instant;

/// The state of a session, RFC 4271 section 8.2.2: that of the connection that is furthest.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum State {
    /// Stopped: no connection is made or taken.
    Idle,
    /// A connection is being made.
    Connect,
    /// Waiting, for the peer or for the next attempt.
    Active,
    /// Our OPEN is out.
    OpenSent,
    /// The OPEN of the peer is fine.
    OpenConfirm,
    /// Routes may be sent.
    Established,
}

impl State {
    /// The RFC's word, which is also a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Idle => "Idle",
            Self::Connect => "Connect",
            Self::Active => "Active",
            Self::OpenSent => "OpenSent",
            Self::OpenConfirm => "OpenConfirm",
            Self::Established => "Established",
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.label())
    }
}

/// Something that happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// The state is another.
    State {
        /// Before.
        from: State,
        /// Now.
        to: State,
    },
    /// Both ends agree.
    Established(Box<Negotiated>),
    /// A session that was established is no more.
    Down(Down),
    /// An attempt at a session came to nothing.
    Failed(Down),
    /// All routes of a family were handed out.
    EndOfRibSent(Family),
    /// The peer has sent all routes of a family.
    EndOfRibReceived(Family),
    /// An UPDATE had something wrong with it; only the first of those that came together, with the
    /// message, so that it can be looked into (RFC 7606 section 6).
    Malformed {
        /// What is wrong, and what was done.
        fault: Fault,
        /// The body of the message.
        body: Vec<u8>,
    },
    /// We have left: [`super::Input::Leave`] is done.
    Left,
}

/// What was counted since the session was made. Messages are counted when they are handed out and
/// when they were read.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Of each type, sent.
    pub sent: Messages,
    /// Of each type, received.
    pub received: Messages,
    /// Routes that the peer announced; they are counted and dropped.
    pub routes_announced: u64,
    /// Routes that the peer withdrew.
    pub routes_withdrawn: u64,
    /// UPDATEs with something wrong in them.
    pub malformed: u64,
    /// Sessions that were established.
    pub established: u64,
    /// Connections that were refused: there was no need for them.
    pub refused: u64,
}

/// Messages by type.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Messages {
    /// OPEN.
    pub opens: u64,
    /// UPDATE.
    pub updates: u64,
    /// NOTIFICATION.
    pub notifications: u64,
    /// KEEPALIVE.
    pub keepalives: u64,
    /// ROUTE-REFRESH.
    pub refreshes: u64,
}

impl Messages {
    /// All of them.
    pub fn total(&self) -> u64 {
        let Self { opens, updates, notifications, keepalives, refreshes } = self;
        opens + updates + notifications + keepalives + refreshes
    }
}

/// How a session is.
#[derive(Clone, Debug)]
pub struct Status<'a> {
    /// Its state.
    pub state: State,
    /// Since when it is established.
    pub since: Option<Instant>,
    /// What both ends agreed on, from OpenConfirm on.
    pub negotiated: Option<&'a Negotiated>,
    /// Why the last one, or the last attempt, ended.
    pub last_down: Option<&'a Down>,
    /// The last NOTIFICATION that we sent.
    pub last_sent: Option<&'a Notification>,
    /// The last NOTIFICATION that the peer sent.
    pub last_received: Option<&'a Notification>,
    /// What was counted.
    pub counters: Counters,
    /// Routes that the peer knows.
    pub announced: usize,
    /// Routes that it has yet to be told of.
    pub pending: usize,
}
