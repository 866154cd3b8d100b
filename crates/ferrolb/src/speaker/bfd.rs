//! Drives [`Sessions`] on a thread of its own: whether a router is there must not wait for anything
//! else.

mod sockets;
mod wanted;

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use proto::bfd::packet::State;
use proto::bfd::sessions::{Input, Output};
use proto::bfd::{Config, Counters, Path, Sessions, Why};
use proto::time::{Instant, earliest};

use crate::metrics;
use crate::net::clock::Clock;
use crate::net::inbox::{Inbox, wait};
use crate::net::thread::become_punctual;

use sockets::Sockets;

pub use wanted::wanted;

/// How long routers are told of the end at most, when the speaker ends.
const LEAVING: Duration = Duration::from_millis(1_500);

/// What the thread is told.
#[derive(Debug, Default)]
pub struct Orders {
    /// All sessions that there are to be; `None` when they did not change.
    pub sessions: Option<BTreeMap<Path, Config>>,
    /// End the thread, once routers are told that there are no sessions any more. Sessions of BGP have
    /// ended before: a router may take it for a failure else.
    pub end: bool,
}

/// What happened to sessions since the last look, by path.
pub type Events = BTreeMap<Path, Event>;

/// What happened to one session.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Event {
    /// Whether it is up.
    pub is_up: bool,
    /// What broke the path, if it was broken since the last look: also if it is up again.
    pub failure: Option<Why>,
}

/// Who is told what happens.
#[derive(Debug, Default)]
pub struct Listeners {
    /// Ends BGP sessions.
    pub events: Option<Arc<Inbox<Events>>>,
    /// Counts packets.
    pub metrics: Option<metrics::Speaker>,
}

struct Bfd {
    clock: Clock,
    sessions: Sessions,
    sockets: Sockets,
    listeners: Listeners,
    /// What was shown of each session.
    shown: BTreeMap<Path, (State, Counters)>,
    /// When the thread ends, whatever is left to do.
    ends_at: Option<Instant>,
}

/// Starts the thread. It ends when it is told to.
///
/// # Errors
///
/// When no thread can be started.
pub fn start(
    clock: Clock,
    orders: Arc<Inbox<Orders>>,
    listeners: Listeners,
) -> io::Result<JoinHandle<()>> {
    // Discriminators that others can guess are worth less.
    let seed = RandomState::new().hash_one(0);
    let bfd = Bfd {
        clock,
        sessions: Sessions::new(seed),
        sockets: Sockets::new(seed),
        listeners,
        shown: BTreeMap::new(),
        ends_at: None,
    };
    thread::Builder::new().name(String::from("bfd")).spawn(move || {
        if let Err(error) = become_punctual() {
            tracing::debug!(%error, "BFD packets may be late while this node is busy");
        }
        run(bfd, &orders);
    })
}

fn run(mut bfd: Bfd, orders: &Inbox<Orders>) {
    while !bfd.has_ended() {
        bfd.flush();
        let deadlines = [bfd.sessions.deadline(), bfd.sockets.deadline(), bfd.ends_at];
        let mut sources = vec![orders.as_fd()];
        sources.extend(bfd.sockets.sources());
        if let Err(error) = wait(&sources, bfd.clock.until(earliest(deadlines))) {
            tracing::error!(%error, "waiting for BFD packets failed; routers are not watched");
            return;
        }
        bfd.obey(orders.take());
        let Bfd { clock, sessions, sockets, .. } = &mut bfd;
        sockets.receive(|input| sessions.handle(clock.now(), input));
        bfd.sessions.handle(bfd.clock.now(), Input::Timeout);
    }
    bfd.flush();
}

impl Bfd {
    fn obey(&mut self, orders: Orders) {
        let now = self.clock.now();
        if let Some(sessions) = orders.sessions.filter(|_| self.ends_at.is_none()) {
            self.sockets.want(now, sessions.keys());
            self.sessions.handle(now, Input::Wanted(sessions));
        }
        if orders.end {
            self.sessions.handle(now, Input::Wanted(BTreeMap::new()));
            self.ends_at = Some(now + LEAVING);
        }
        self.sockets.open(now);
    }

    fn has_ended(&self) -> bool {
        self.ends_at.is_some_and(|at| at <= self.clock.now() || self.sessions.is_empty())
    }

    fn flush(&mut self) {
        let mut events = Events::new();
        while let Some(output) = self.sessions.poll() {
            match output {
                Output::Send { path, bytes } => self.sockets.send(&path, &bytes),
                Output::Echo { path, bytes } => self.sockets.send_echo(&path, &bytes),
                Output::Changed { path, from, to, why } => {
                    tell(&path, from, to, why);
                    note(&mut events, path, to, (from == State::Up).then_some(why));
                }
                Output::Ignored { from, cause } => {
                    tracing::debug!(peer = %from, "BFD packet dropped: {cause}");
                    if let Some(metrics) = &self.listeners.metrics {
                        metrics.bfd_ignored(cause);
                    }
                }
                Output::Ended(path) => {
                    tracing::info!(peer = %path, "BFD session ended");
                    self.sockets.forget(&path);
                    self.shown.remove(&path);
                    if let Some(metrics) = &self.listeners.metrics {
                        metrics.bfd_gone(&path);
                    }
                }
            }
        }
        self.show();
        if let Some(inbox) = self.listeners.events.as_ref().filter(|_| !events.is_empty()) {
            inbox.update(|all| merge(all, events));
        }
    }

    /// Brings the series up to date.
    fn show(&mut self) {
        let Some(metrics) = &self.listeners.metrics else { return };
        for (path, status) in self.sessions.status() {
            let now = (status.state, status.counters);
            match self.shown.get_mut(path) {
                Some(before) if *before == now => (),
                Some(before) => {
                    metrics.bfd(path, status.state, before.1, status.counters);
                    *before = now;
                }
                None => {
                    metrics.bfd(path, status.state, Counters::default(), status.counters);
                    self.shown.insert(path.clone(), now);
                }
            }
        }
    }
}

/// Takes a change in. `left` is what ended a session that was up.
fn note(events: &mut Events, path: Path, to: State, left: Option<Why>) {
    if to != State::Up && left.is_none() {
        return;
    }
    let event = events.entry(path).or_default();
    event.is_up = to == State::Up;
    event.failure = left.filter(|why| why.is_failure()).or(event.failure);
}

/// Adds what is new to what was not looked at yet.
fn merge(all: &mut Events, news: Events) {
    for (path, event) in news {
        let before = all.entry(path).or_default();
        *before = Event { failure: event.failure.or(before.failure), ..event };
    }
}

fn tell(path: &Path, from: State, to: State, why: Why) {
    match (from, to) {
        (_, State::Up) => tracing::info!(peer = %path, "BFD session up"),
        (State::Up, _) if why.is_failure() => {
            tracing::warn!(peer = %path, state = %to, "BFD session down: {why}");
        }
        (State::Up, _) => tracing::info!(peer = %path, state = %to, "BFD session down: {why}"),
        (_, _) => tracing::debug!(peer = %path, %from, %to, "BFD session: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use proto::bfd::Hops;

    use super::*;

    #[test]
    fn a_failure_is_told_though_the_session_is_up_again() {
        let path = Path {
            peer: "192.0.2.1".parse().unwrap(),
            local: None,
            device: None,
            hops: Hops::Single,
        };
        let expired = Why::DetectionTimeExpired;
        let up = Event { is_up: true, failure: None };
        type Change = (State, Option<Why>);
        let rows: [(&str, &[Change], Option<Event>); 6] = [
            ("it begins", &[(State::Init, None)], None),
            ("up", &[(State::Init, None), (State::Up, None)], Some(up)),
            (
                "lost",
                &[(State::Down, Some(expired))],
                Some(Event { is_up: false, failure: Some(expired) }),
            ),
            (
                "lost and back",
                &[(State::Down, Some(expired)), (State::Init, None), (State::Up, None)],
                Some(Event { is_up: true, failure: Some(expired) }),
            ),
            (
                "switched off over there",
                &[(State::Down, Some(Why::NeighborAdminDown))],
                Some(Event::default()),
            ),
            (
                "lost, back, switched off",
                &[
                    (State::Down, Some(expired)),
                    (State::Up, None),
                    (State::AdminDown, Some(Why::Administrative)),
                ],
                Some(Event { is_up: false, failure: Some(expired) }),
            ),
        ];
        for (name, changes, want) in rows {
            let (mut at_once, mut one_by_one) = (Events::new(), Events::new());
            for (to, left) in changes {
                note(&mut at_once, path.clone(), *to, *left);
                let mut news = Events::new();
                note(&mut news, path.clone(), *to, *left);
                merge(&mut one_by_one, news);
            }
            assert_eq!(at_once.get(&path).copied(), want, "{name}");
            assert_eq!(one_by_one, at_once, "{name}, in several steps");
        }
    }
}
