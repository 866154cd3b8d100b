//! The session with one peer: the state machine of RFC 4271 section 8, with both connections that
//! there may be of it.
//!
//! Feed it with [`Session::handle`], drain [`Session::poll`] until `None`, sleep until
//! [`Session::deadline`]. Bytes that have come in are to be handed in before [`Input::Timeout`]:
//! they are what keeps the hold timer from ending a session whose driver was late.
//!
//! The RFC gives each connection a machine of its own. Here a session has up to three connections,
//! each with its phase, and one plan for dialling; the state of the session is that of the
//! connection that is furthest. Where the RFC goes to Idle after an error and leaves the pause to
//! "peer oscillation damping", the pause is that of `retry`, and the state is Active: a
//! peer that connects in the meantime is welcome.

mod config;
mod connection;
mod ending;
mod opening;
mod report;
mod retry;
mod stream;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::adj_rib_out::{AdjRibOut, Routes, Sent, Stance};
use super::attributes::Attributes;
use super::message::{Error, Notification, keepalive};
use crate::time::{Instant, earliest};
use connection::{Connection, Phase};
use retry::{Jitter, Retry};

pub use config::{Config, Forwarding, Multiprotocol, Openings, RemoteAs, Restart};
pub use connection::{Connected, ConnectionId, End};
pub use ending::{Down, Leave, Stop};
pub use opening::Negotiated;
pub use report::{Counters, Event, Messages, State, Status};

/// Octets that may be handed out and not taken by TCP before more routes are written.
///
/// As much as one extended message: a session that is behind has its routes in the tables, where
/// they can still change, and not in buffers.
const WINDOW: usize = 65_536;

/// How long an OPEN is waited for, RFC 4271 section 8.2.2: "a large value".
const OPEN_HOLD: Duration = Duration::from_secs(240);

/// The longest that one attempt to connect may take; the kernel's own limit is minutes.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);

/// What happens to a session.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// There is to be a session.
    Start,
    /// There is to be none.
    Stop(Stop),
    /// There is to be none, after others have taken over; ends with [`Event::Left`].
    Leave(Leave),
    /// The session is to be ended and made anew, with words for the other operator.
    Reset(String),
    /// The settings are others. What the peer was not told of changes without a reset.
    Configure(Box<Config>),
    /// A connection has come about: the one asked for, or one of the peer.
    Connected(Connected),
    /// The connection that was asked for could not be made.
    ConnectFailed,
    /// A connection was closed by the peer, or broke.
    Closed(ConnectionId),
    /// Bytes of the peer.
    Bytes {
        /// On which connection.
        id: ConnectionId,
        /// As they came.
        bytes: &'a [u8],
    },
    /// TCP has taken bytes of [`Output::Write`].
    Written {
        /// On which connection.
        id: ConnectionId,
        /// How many.
        count: usize,
    },
    /// These are all the routes that the peer should know.
    Routes(&'a Routes),
    /// This is what the peer should know of one route; `None` is nothing.
    Route {
        /// The prefix.
        prefix: IpNet,
        /// What it says.
        attributes: Option<Arc<Attributes>>,
    },
    /// All routes are known by now; before, there may be some that were not heard of yet.
    Synced,
    /// BFD says that the path to the peer is down (RFC 5882 section 4.3, RFC 9384).
    PathDown,
    /// [`Session::deadline`] has come. Harmless when it has not.
    Timeout,
}

/// What a session wants done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Connect to the peer; answered by [`Input::Connected`] or [`Input::ConnectFailed`].
    Connect,
    /// Give the attempt to connect up; it is not answered.
    Abandon,
    /// Send these bytes, and say how many of them TCP has taken.
    Write {
        /// On which connection.
        id: ConnectionId,
        /// Whole messages.
        bytes: Vec<u8>,
    },
    /// Close a connection once what was written is sent, or at once if TCP takes nothing.
    Close(ConnectionId),
    /// Something happened.
    Event(Event),
}

/// The session with one peer.
#[derive(Debug)]
pub struct Session {
    config: Config,
    jitter: Jitter,
    retry: Retry,
    is_running: bool,
    dial: Dial,
    leaving: Option<Leaving>,
    /// At most one that we dialled, one established, and one more of the peer.
    connections: Vec<Connection>,
    rib: AdjRibOut,
    state: State,
    outputs: VecDeque<Output>,
    counters: Counters,
    last_down: Option<Down>,
    last_sent: Option<Notification>,
    last_received: Option<Notification>,
    /// A malformed UPDATE was told of since the last input.
    has_told_malformed: bool,
}

/// What is planned about connecting.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Dial {
    /// Nothing.
    Off,
    /// The next attempt.
    Waiting { until: Instant },
    /// An attempt is being made.
    Dialling { until: Instant },
}

/// How far we are in leaving.
#[derive(Clone, Debug)]
enum Leaving {
    Draining { until: Instant, leave: Leave },
    Withdrawn { until: Instant, text: String },
}

/// How a connection ends.
enum Ending {
    /// With last words.
    Notify(Notification),
    /// Without any, for this reason.
    Silent(Down),
    /// By the peer or the network, for this reason: it is closed already.
    Lost(Down),
}

impl Session {
    /// A session that is stopped. `seed` is where the jitter of its timers comes from.
    pub fn new(config: Config, seed: u64) -> Self {
        Self {
            config,
            jitter: Jitter::new(seed),
            retry: Retry::new(),
            is_running: false,
            dial: Dial::Off,
            leaving: None,
            connections: Vec::new(),
            rib: AdjRibOut::default(),
            state: State::Idle,
            outputs: VecDeque::new(),
            counters: Counters::default(),
            last_down: None,
            last_sent: None,
            last_received: None,
            has_told_malformed: false,
        }
    }

    /// Takes in one event. Call with times that never go back.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.has_told_malformed = false;
        match input {
            Input::Start => self.start(now),
            Input::Stop(stop) => self.stop(now, &stop),
            Input::Leave(leave) => self.leave(now, leave),
            Input::Reset(text) => {
                let last_words = Notification::with_text(Error::AdministrativeReset, &text);
                self.begin_anew(now, &last_words);
            }
            Input::Configure(config) => self.configure(now, *config),
            Input::Connected(made) => self.connected(now, made),
            Input::ConnectFailed => self.connect_failed(now, Down::ConnectFailed),
            Input::Closed(id) => self.close(now, id, Ending::Lost(Down::Closed)),
            Input::Bytes { id, bytes } => self.receive(now, id, bytes),
            Input::Written { id, count } => {
                if let Some(connection) = self.find(id) {
                    connection.sent(now, count);
                }
            }
            Input::Routes(routes) => self.rib.want_all(routes),
            Input::Route { prefix, attributes } => self.rib.want(prefix, attributes.as_ref()),
            Input::Synced => self.rib.complete(),
            Input::PathDown => self.path_down(now),
            Input::Timeout => (),
        }
        self.expire(now);
        self.send_routes(now);
        self.tell_state();
    }

    /// The next thing to do, if any.
    #[must_use]
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Session::handle`] with [`Input::Timeout`] at the latest.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let dial = match self.dial {
            Dial::Off => None,
            Dial::Waiting { until } | Dial::Dialling { until } => Some(until),
        };
        let leaving = self.leaving.as_ref().map(|leaving| match leaving {
            Leaving::Draining { until, .. } | Leaving::Withdrawn { until, .. } => *until,
        });
        let connections = self.connections.iter().map(Connection::deadline);
        earliest([dial, leaving].into_iter().chain(connections))
    }

    /// How the session is.
    pub fn status(&self) -> Status<'_> {
        let established = self.connections.iter().find_map(Connection::established);
        Status {
            state: self.state,
            since: established.map(|established| established.since),
            negotiated: self.connections.iter().find_map(Connection::negotiated),
            last_down: self.last_down.as_ref(),
            last_sent: self.last_sent.as_ref(),
            last_received: self.last_received.as_ref(),
            counters: self.counters,
            announced: self.rib.announced(),
            pending: self.rib.pending(),
        }
    }

    /// What the peer was told, and what it was not.
    pub fn adj_rib_out(&self) -> &AdjRibOut {
        &self.rib
    }

    fn start(&mut self, now: Instant) {
        let is_news = !self.is_running;
        self.is_running = true;
        self.leaving = None;
        self.rib.set_stance(Stance::Serving);
        if is_news {
            self.retry = Retry::new();
            self.dial(now);
        }
    }

    /// Ends everything at once; a peer that keeps routes over a NOTIFICATION is told not to.
    fn stop(&mut self, now: Instant, stop: &Stop) {
        self.is_running = false;
        self.leaving = None;
        self.hang_up();
        for id in self.ids() {
            let ending = match stop.notification() {
                Some(last_words) => Ending::Notify(self.harden(id, last_words)),
                None => Ending::Silent(Down::Stopped),
            };
            self.close(now, id, ending);
        }
        self.rib.set_stance(Stance::Serving);
    }

    fn leave(&mut self, now: Instant, leave: Leave) {
        if self.leaving.is_some() {
            return;
        }
        self.hang_up();
        if self.connections.iter().any(|connection| connection.established().is_some()) {
            self.rib.set_stance(Stance::Draining);
            self.leaving = Some(Leaving::Draining { until: now + leave.before_withdrawal, leave });
        } else {
            self.left(now, leave.text);
        }
    }

    fn left(&mut self, now: Instant, text: String) {
        self.stop(now, &Stop::Shutdown(text));
        self.outputs.push_back(Output::Event(Event::Left));
    }

    fn configure(&mut self, now: Instant, config: Config) {
        let is_same_open = self.config.is_same_open(&config);
        let is_same = self.config == config;
        self.config = config;
        if is_same {
            return;
        }
        if !is_same_open {
            self.begin_anew(now, &Error::ConfigurationChange.into());
            return;
        }
        for connection in &mut self.connections {
            if let Phase::Established(established) = &mut connection.phase {
                let negotiated = &mut established.negotiated;
                negotiated.keepalive =
                    negotiated.hold_time.map(|time| opening::keepalive(&self.config, time));
                connection.keepalive_at = negotiated.keepalive.map(|_| now);
            }
        }
        self.hang_up();
        self.dial(now);
    }

    /// Ends every connection, and connects again without a pause.
    fn begin_anew(&mut self, now: Instant, last_words: &Notification) {
        for id in self.ids() {
            self.close(now, id, Ending::Notify(last_words.clone()));
        }
        self.hang_up();
        self.retry = Retry::new();
        self.dial(now);
    }

    /// The path is not there, and neither are our routes: they are not to be kept either.
    fn path_down(&mut self, now: Instant) {
        let mut established = self.connections.iter().filter(|one| one.established().is_some());
        if let Some(id) = established.next().map(|connection| connection.made.id) {
            let last_words = self.harden(id, Error::BfdDown.into());
            self.close(now, id, Ending::Notify(last_words));
        }
    }

    /// A NOTIFICATION after which routes are not kept, RFC 8538 section 4.
    fn harden(&mut self, id: ConnectionId, last_words: Notification) -> Notification {
        let negotiated = self.find(id).and_then(|connection| connection.negotiated());
        match negotiated.is_some_and(Negotiated::survives_notifications) {
            true => last_words.into_hard_reset(),
            false => last_words,
        }
    }

    /// Connects, if there is to be a connection and none that is about to be one.
    fn dial(&mut self, now: Instant) {
        let is_wanted = self.is_running && self.leaving.is_none();
        let is_made = |connection: &Connection| {
            connection.made.end == End::Dialled || !connection.is_before_open()
        };
        let is_needed = !self.connections.iter().any(is_made);
        self.dial = Dial::Off;
        if is_wanted && is_needed && self.config.openings != Openings::Passive {
            let limit = self.config.connect_retry.min(CONNECT_LIMIT);
            self.dial = Dial::Dialling { until: now + limit };
            self.outputs.push_back(Output::Connect);
        }
    }

    /// Gives any plan to connect up.
    fn hang_up(&mut self) {
        if let Dial::Dialling { .. } = std::mem::replace(&mut self.dial, Dial::Off) {
            self.outputs.push_back(Output::Abandon);
        }
    }

    fn connect_failed(&mut self, now: Instant, down: Down) {
        if let Dial::Dialling { .. } = self.dial {
            self.dial = Dial::Off;
            self.fail(down);
            self.plan(now);
        }
    }

    /// Plans the next attempt to connect, unless there is one or none is needed.
    fn plan(&mut self, now: Instant) {
        let is_wanted = self.is_running && self.leaving.is_none();
        if is_wanted && self.dial == Dial::Off && self.config.openings != Openings::Passive {
            let pause = self.retry.pause(self.config.connect_retry);
            self.dial = Dial::Waiting { until: now + self.jitter.shorten(pause) };
        }
    }

    fn fail(&mut self, down: Down) {
        self.last_down = Some(down.clone());
        self.outputs.push_back(Output::Event(Event::Failed(down)));
    }

    /// Does what is due. What fell due while the driver was late is done once.
    fn expire(&mut self, now: Instant) {
        match self.dial {
            Dial::Waiting { until } if until <= now => self.dial(now),
            Dial::Dialling { until } if until <= now => {
                self.outputs.push_back(Output::Abandon);
                self.connect_failed(now, Down::ConnectTimedOut);
            }
            Dial::Off | Dial::Waiting { .. } | Dial::Dialling { .. } => (),
        }
        for id in self.ids() {
            self.expire_connection(now, id);
        }
        match self.leaving.take() {
            Some(Leaving::Draining { until, leave }) if until <= now => {
                self.rib.set_stance(Stance::Withdrawn);
                let until = now + leave.before_close;
                self.leaving = Some(Leaving::Withdrawn { until, text: leave.text });
            }
            Some(Leaving::Withdrawn { until, text }) if until <= now => self.left(now, text),
            other => self.leaving = other,
        }
    }

    fn expire_connection(&mut self, now: Instant, id: ConnectionId) {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let Some(connection) = self.find(id) else { return };
        if is_due(connection.hold_at) {
            self.close(now, id, Ending::Notify(Error::HoldTimerExpired.into()));
        } else if is_due(connection.send_hold_at()) {
            self.close(now, id, Ending::Notify(Error::SendHoldTimerExpired.into()));
        } else if is_due(connection.keepalive_at) {
            self.counters.sent.keepalives += 1;
            self.write(now, id, keepalive());
        } else if let Phase::Delayed { until } = connection.phase
            && until <= now
        {
            self.send_open(now, id);
        }
    }

    /// Writes as many routes as there is room for.
    fn send_routes(&mut self, now: Instant) {
        let mut established = self.connections.iter().filter(|one| one.established().is_some());
        let Some(connection) = established.next() else { return };
        let (id, unsent) = (connection.made.id, connection.unsent);
        let mut bytes = Vec::new();
        while unsent + bytes.len() < WINDOW {
            match self.rib.next(&mut bytes) {
                Some(Sent::Announced(_) | Sent::Withdrawn(_)) => self.counters.sent.updates += 1,
                Some(Sent::EndOfRib(family)) => {
                    self.counters.sent.updates += 1;
                    self.outputs.push_back(Output::Event(Event::EndOfRibSent(family)));
                }
                Some(Sent::Refresh(..)) => self.counters.sent.refreshes += 1,
                None => break,
            }
        }
        if !bytes.is_empty() {
            self.write(now, id, bytes);
        }
    }

    /// Hands out bytes. Any message is a sign of life, so the next KEEPALIVE can wait.
    fn write(&mut self, now: Instant, id: ConnectionId, bytes: Vec<u8>) {
        let keepalive_at = self
            .find(id)
            .and_then(|connection| connection.negotiated()?.keepalive)
            .map(|interval| now + self.jitter.shorten(interval).max(Duration::from_secs(1)));
        let Some(connection) = self.find(id) else { return };
        connection.wrote(now, bytes.len());
        connection.keepalive_at = keepalive_at;
        self.outputs.push_back(Output::Write { id, bytes });
    }

    fn find(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections.iter_mut().find(|connection| connection.made.id == id)
    }

    fn ids(&self) -> Vec<ConnectionId> {
        self.connections.iter().map(|connection| connection.made.id).collect()
    }

    fn tell_state(&mut self) {
        let to = self.furthest();
        let from = std::mem::replace(&mut self.state, to);
        if from != to {
            self.outputs.push_back(Output::Event(Event::State { from, to }));
        }
    }

    fn furthest(&self) -> State {
        let alone = match self.dial {
            Dial::Dialling { .. } => State::Connect,
            Dial::Off | Dial::Waiting { .. } if self.is_running => State::Active,
            Dial::Off | Dial::Waiting { .. } => State::Idle,
        };
        let of_connection = |connection: &Connection| match (&connection.phase, connection.made.end)
        {
            (Phase::Delayed { .. }, End::Dialled) => State::Connect,
            (Phase::Delayed { .. }, End::Accepted) => State::Active,
            (Phase::OpenSent { .. }, _) => State::OpenSent,
            (Phase::OpenConfirm(_), _) => State::OpenConfirm,
            (Phase::Established(_), _) => State::Established,
        };
        self.connections.iter().map(of_connection).max().unwrap_or(alone)
    }
}

#[cfg(test)]
pub(super) mod tests;
