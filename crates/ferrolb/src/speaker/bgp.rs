//! Drives one [`Session`](proto::bgp::Session) a router, on a thread of their own.
//!
//! What comes in is desired state: which sessions there are, and what each router is to know. The
//! engines find the fewest messages that turn what was sent into that. Nothing here waits for one
//! router: what TCP does not take stays in the session's tables, and the next router has its turn.

mod doors;
mod peer;
mod sessions;
mod settings;
mod wanted;
mod wire;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ipnet::IpNet;
use planner::names::PeerName;
use proto::bgp::Attributes;
use proto::bgp::session::Leave;
use proto::time::{Instant, earliest};

use super::{Ending, bfd};
use crate::net::clock::{Clock, wall_micros};
use crate::net::inbox::{Inbox, wait_for};

use doors::Doors;
use peer::Peer;

pub use sessions::{Report, Sessions};
pub use settings::Settings;
pub use wanted::Wanted;

/// Octets that are read at once, and the longest message.
const BUFFER: usize = 65_536;

/// Between asking for others and the withdrawal, when the speaker ends.
const BEFORE_WITHDRAWAL: Duration = Duration::from_secs(2);

/// Between the withdrawal and the end of the session.
const BEFORE_CLOSE: Duration = Duration::from_secs(1);

/// How long leaving takes at most; a speaker is killed some seconds after it is asked to end.
const LEAVING: Duration = Duration::from_secs(5);

/// What the thread is told. What is not named did not change.
#[derive(Debug, Default)]
pub struct Orders {
    peers: BTreeMap<PeerName, News>,
    /// All routes are known by now.
    is_synced: bool,
    /// End all sessions, then end.
    ending: Option<Ending>,
}

/// What is new about one router.
#[derive(Debug, Default)]
struct News {
    session: Wish,
    routes: Routes,
}

/// Whether there is to be a session.
#[derive(Debug, Default)]
enum Wish {
    /// As before.
    #[default]
    Unchanged,
    /// There is, with these settings.
    Session(Box<Settings>),
    /// There is none. One that may come later begins from nothing.
    NoSession,
}

impl Wish {
    fn is_unchanged(&self) -> bool {
        matches!(self, Self::Unchanged)
    }
}

/// What is new about the routes of a router.
#[derive(Debug)]
enum Routes {
    /// These are all.
    All(proto::bgp::Routes),
    /// These are different; `None` for one that is gone.
    Edits(BTreeMap<IpNet, Option<Arc<Attributes>>>),
}

impl Default for Routes {
    fn default() -> Self {
        Self::Edits(BTreeMap::new())
    }
}

impl Orders {
    /// Asks for the end of all sessions and of the thread.
    pub fn end(&mut self, ending: Ending) {
        self.ending = Some(ending);
    }

    fn wish(&mut self, peer: PeerName, settings: Option<Settings>) {
        let news = self.peers.entry(peer).or_default();
        match settings {
            Some(settings) => news.session = Wish::Session(Box::new(settings)),
            None => {
                let routes = Routes::All(proto::bgp::Routes::new());
                *news = News { session: Wish::NoSession, routes };
            }
        }
    }

    fn route(&mut self, peer: PeerName, routes: Routes) {
        let news = self.peers.entry(peer).or_default();
        match (&mut news.routes, routes) {
            (before, all @ Routes::All(_)) => *before = all,
            (Routes::Edits(before), Routes::Edits(edits)) => before.extend(edits),
            (Routes::All(all), Routes::Edits(edits)) => {
                for (prefix, attributes) in edits {
                    match attributes {
                        Some(attributes) => _ = all.insert(prefix, attributes),
                        None => _ = all.remove(&prefix),
                    }
                }
            }
        }
    }
}

/// All routers of this node.
struct Routers {
    clock: Clock,
    peers: BTreeMap<PeerName, Peer>,
    /// Sessions that were ended, until their last words are out.
    departing: Vec<Peer>,
    doors: Doors,
    sessions: Arc<Sessions>,
    is_synced: bool,
    leaving: Option<Instant>,
    seed: u64,
    buffer: Vec<u8>,
}

/// Starts the thread. It ends when it is told to, and all sessions have ended. `paths` is what
/// becomes of the ways to routers.
///
/// # Errors
///
/// When no thread can be started.
pub fn start(
    clock: Clock,
    orders: Arc<Inbox<Orders>>,
    paths: Arc<Inbox<bfd::Events>>,
    sessions: Arc<Sessions>,
) -> io::Result<JoinHandle<()>> {
    let routers = Routers {
        clock,
        peers: BTreeMap::new(),
        departing: Vec::new(),
        doors: Doors::default(),
        sessions,
        is_synced: false,
        leaving: None,
        seed: wall_micros(),
        buffer: vec![0; BUFFER],
    };
    thread::Builder::new().name(String::from("bgp")).spawn(move || run(routers, &orders, &paths))
}

fn run(mut routers: Routers, orders: &Inbox<Orders>, paths: &Inbox<bfd::Events>) {
    while !routers.have_left() {
        let deadline = routers.deadline();
        let all = || routers.peers.values().chain(&routers.departing);
        let mut sources = vec![orders.as_fd(), paths.as_fd()];
        sources.extend(all().flat_map(Peer::sources).chain(routers.doors.sources()));
        let sinks: Vec<_> = all().flat_map(Peer::sinks).collect();
        if let Err(error) = wait_for(&sources, &sinks, routers.clock.until(deadline)) {
            tracing::error!(%error, "waiting for routers failed; all sessions end");
            return;
        }
        routers.heed(paths.take());
        routers.obey(orders.take());
        routers.go_on();
        routers.report();
    }
}

impl Routers {
    fn obey(&mut self, orders: Orders) {
        let now = self.clock.now();
        let is_about_doors = orders.peers.values().any(|news| !news.session.is_unchanged());
        for (name, news) in orders.peers {
            self.change(now, name, news);
        }
        if is_about_doors || self.doors.is_due(now) {
            self.doors.fit(now, self.peers.values());
        }
        if orders.is_synced && !self.is_synced {
            self.is_synced = true;
            self.peers.values_mut().for_each(|peer| peer.complete(now));
        }
        if let Some(ending) = orders.ending
            && self.leaving.is_none()
        {
            self.leaving = Some(now + LEAVING);
            for peer in self.peers.values_mut() {
                peer.leave(now, ending, leave());
            }
        }
    }

    /// Ends the sessions with routers that BFD has lost (RFC 5882 section 4.2). Where it goes down
    /// because the router has switched it off, the session goes on (section 3.2).
    fn heed(&mut self, events: bfd::Events) {
        let now = self.clock.now();
        let broken = events.into_iter().filter(|(_, event)| event.failure.is_some());
        for (path, _) in broken {
            for peer in self.peers.values_mut().filter(|peer| peer.is_over_path(&path)) {
                peer.lose_path(now);
            }
        }
    }

    fn change(&mut self, now: Instant, name: PeerName, news: News) {
        match news.session {
            Wish::Unchanged => (),
            Wish::NoSession => {
                if let Some(mut peer) = self.peers.remove(&name) {
                    peer.end(now);
                    self.departing.push(peer);
                    self.sessions.tell([(name, None)]);
                }
                return;
            }
            Wish::Session(settings) => match self.peers.get_mut(&name) {
                Some(peer) => peer.configure(now, *settings),
                None if self.leaving.is_some() => return,
                None => {
                    self.seed = self.seed.wrapping_add(1);
                    let mut peer = Peer::new(now, name.clone(), *settings, self.seed);
                    if self.is_synced {
                        peer.complete(now);
                    }
                    self.peers.insert(name.clone(), peer);
                }
            },
        }
        if let Some(peer) = self.peers.get_mut(&name) {
            peer.want(now, news.routes);
        }
    }

    /// Lets every session read, send and let time pass.
    fn go_on(&mut self) {
        for (from, device, stream) in self.doors.visitors() {
            let mut peers = self.peers.values_mut();
            match peers.find(|peer| peer.expects(from.ip(), device.as_deref())) {
                Some(peer) => peer.accept(self.clock.now(), stream),
                None => tracing::debug!(%from, "no peer is expected from there"),
            }
        }
        for peer in self.peers.values_mut().chain(&mut self.departing) {
            peer.go_on(self.clock.now(), &mut self.buffer);
        }
        self.departing.retain(|peer| !peer.is_over());
    }

    fn report(&mut self) {
        let news = self.peers.values_mut().filter_map(|peer| {
            let report = peer.news()?;
            Some((peer.name().clone(), Some(report)))
        });
        self.sessions.tell(news.collect::<Vec<_>>());
    }

    fn deadline(&self) -> Option<Instant> {
        let all = self.peers.values().chain(&self.departing);
        earliest(all.map(Peer::deadline).chain([self.leaving, self.doors.deadline()]))
    }

    fn have_left(&self) -> bool {
        self.leaving.is_some_and(|until| {
            let mut all = self.peers.values().chain(&self.departing);
            until <= self.clock.now() || all.all(Peer::is_over)
        })
    }
}

fn leave() -> Leave {
    Leave {
        text: String::from("the speaker of this node ends"),
        before_withdrawal: BEFORE_WITHDRAWAL,
        before_close: BEFORE_CLOSE,
    }
}

#[cfg(test)]
mod tests;
