//! One router: its session, and the connections that there are of it.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use planner::facts::bgp::PeerAddress;
use planner::names::PeerName;
use proto::bfd::Path;
use proto::bgp::session::{
    Connected, ConnectionId, Down, End, Event, Input, Leave, Openings, Output, Session, State, Stop,
};
use proto::bgp::{Family, NextHops};
use proto::time::{Instant, earliest};

use super::Routes;
use super::sessions::Report;
use super::settings::Settings;
use super::wire::{Closing, Wire};
use crate::net::addresses::Addresses;
use crate::net::tcp::{Key, Options, Progress, Read, Stream};
use crate::speaker::Ending;

/// How long the last words of a connection may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Connections that are on their way out; of more than that the oldest is dropped.
const MAX_CLOSING: usize = 4;

/// How often a connection is read before others have their turn.
const READS_AT_ONCE: usize = 4;

/// How often TCP is handed something before others have their turn: a router that reads as fast as
/// we write would else have all of it.
const WRITES_AT_ONCE: usize = 8;

/// The session with one router.
pub(super) struct Peer {
    name: PeerName,
    settings: Settings,
    session: Session,
    /// All routes are known by now.
    is_synced: bool,
    dialling: Option<Stream>,
    wires: BTreeMap<ConnectionId, Wire>,
    closing: Vec<Closing>,
    ids: u64,
    /// Why the last connection could not be made.
    failure: Option<String>,
    /// Something happened since the last report.
    is_touched: bool,
}

impl Peer {
    pub(super) fn new(now: Instant, name: PeerName, settings: Settings, seed: u64) -> Self {
        let session = Session::new(settings.config.clone(), seed);
        let mut peer = Self {
            name,
            settings,
            session,
            is_synced: false,
            dialling: None,
            wires: BTreeMap::new(),
            closing: Vec::new(),
            ids: 0,
            failure: None,
            is_touched: true,
        };
        peer.handle(now, Input::Start);
        peer
    }

    pub(super) fn name(&self) -> &PeerName {
        &self.name
    }

    /// Takes other settings, without a reset where that is possible.
    pub(super) fn configure(&mut self, now: Instant, settings: Settings) {
        let old = std::mem::replace(&mut self.settings, settings);
        let address = self.target().map(|target| target.ip());
        if old.is_same_connection(&self.settings) {
            if old.transport != self.settings.transport
                && let Some(address) = address
            {
                let made = self.wires.values().map(|wire| &wire.stream);
                for stream in made.chain(&self.dialling) {
                    // The next connection says what is wrong with them.
                    let _ = stream.adapt(address, &self.settings.transport);
                }
            }
        } else {
            self.handle(
                now,
                Input::Reset(String::from("the way to this peer was configured anew")),
            );
        }
        self.handle(now, Input::Configure(Box::new(self.settings.config.clone())));
    }

    /// Takes what is new about routes.
    pub(super) fn want(&mut self, now: Instant, routes: Routes) {
        match routes {
            Routes::All(all) => self.handle(now, Input::Routes(&all)),
            Routes::Edits(edits) => {
                for (prefix, attributes) in edits {
                    self.session.handle(now, Input::Route { prefix, attributes });
                }
                self.carry_out(now);
            }
        }
    }

    /// All routes are known by now. The session learns it when it is established: until then it
    /// says that this speaker has restarted (RFC 4724).
    pub(super) fn complete(&mut self, now: Instant) {
        self.is_synced = true;
        if self.session.status().state == State::Established {
            self.handle(now, Input::Synced);
        }
    }

    /// Ends the session as a node does that goes away for a moment, or for good. A router that would
    /// not keep the routes in the meantime is left for good.
    pub(super) fn leave(&mut self, now: Instant, ending: Ending, leave: Leave) {
        let negotiated = self.session.status().negotiated;
        let is_patient = negotiated.is_some_and(|agreed| agreed.keeps_our_routes());
        match ending {
            Ending::Restart if is_patient => self.handle(now, Input::Stop(Stop::Restart)),
            Ending::Restart | Ending::HandOver => self.handle(now, Input::Leave(leave)),
        }
    }

    /// Whether BFD watches the way to this router as `path`.
    pub(super) fn is_over_path(&self, path: &Path) -> bool {
        let Options { source, device, .. } = &self.settings.transport;
        let is_there = self.settings.at == PeerAddress::Ip(path.peer);
        is_there && *source == path.local && device.as_deref() == path.device.as_deref()
    }

    /// Ends the session: the router cannot be reached any more.
    pub(super) fn lose_path(&mut self, now: Instant) {
        self.handle(now, Input::PathDown);
    }

    /// Ends the session: there is to be none.
    pub(super) fn end(&mut self, now: Instant) {
        self.handle(now, Input::Stop(Stop::Deconfigured));
    }

    /// Whether nothing is left of a session that was ended.
    pub(super) fn is_over(&self) -> bool {
        let is_idle = self.session.status().state == State::Idle;
        is_idle && self.wires.is_empty() && self.closing.is_empty()
    }

    /// Whether the router may connect to us, from this address and in this VRF.
    pub(super) fn expects(&self, from: IpAddr, device: Option<&str>) -> bool {
        self.device() == device
            && self.takes_connections()
            && self.target().is_some_and(|to| to.ip() == from)
    }

    /// Whether the router may connect to us at all.
    pub(super) fn takes_connections(&self) -> bool {
        self.settings.config.openings != Openings::Active
    }

    /// Takes a connection that the router has made.
    pub(super) fn accept(&mut self, now: Instant, stream: Stream) {
        let Some(target) = self.target() else { return };
        match stream.adapt(target.ip(), &self.settings.transport) {
            Ok(()) => self.connected(now, stream, End::Accepted),
            Err(error) => self.fail(&error),
        }
    }

    /// The device that connections are bound to.
    pub(super) fn device(&self) -> Option<&str> {
        self.settings.transport.device.as_deref()
    }

    /// What connections are signed with.
    pub(super) fn key(&self) -> Option<&Key> {
        self.settings.transport.key.as_ref()
    }

    /// Where the router is; `None` as long as that is not known.
    pub(super) fn target(&self) -> Option<SocketAddr> {
        match &self.settings.at {
            PeerAddress::Ip(address) => Some(SocketAddr::new(*address, self.settings.port)),
            PeerAddress::Interface(_) => None,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let closing = self.closing.iter().map(|closing| Some(closing.until()));
        earliest(closing.chain([self.session.deadline()]))
    }

    /// What is to be readable for us to go on.
    pub(super) fn sources(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let wires = self.wires.values().map(|wire| wire.stream.as_fd());
        wires.chain(self.closing.iter().map(|closing| closing.stream().as_fd()))
    }

    /// What is to be writable for us to go on.
    pub(super) fn sinks(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let waiting = self.wires.values().filter(|wire| wire.is_waiting());
        let closing = self.closing.iter().filter(|closing| closing.is_waiting());
        let closing = closing.map(|closing| closing.stream().as_fd());
        let dialling = self.dialling.iter().map(AsFd::as_fd);
        waiting.map(|wire| wire.stream.as_fd()).chain(closing).chain(dialling)
    }

    /// Does what has become possible: reads, sends, and lets time pass.
    pub(super) fn go_on(&mut self, now: Instant, buffer: &mut [u8]) {
        self.look_after_dialling(now);
        for id in self.wires.keys().copied().collect::<Vec<_>>() {
            self.read(now, id, buffer);
        }
        if self.session.deadline().is_some_and(|deadline| deadline <= now) {
            self.handle(now, Input::Timeout);
        } else if self.wires.values().any(Wire::is_waiting) {
            self.carry_out(now);
        }
        self.closing.retain_mut(|closing| !closing.is_over(now, buffer));
    }

    /// How the session is, if that was not reported yet.
    pub(super) fn news(&mut self) -> Option<Report> {
        std::mem::take(&mut self.is_touched)
            .then(|| Report::of(&self.settings, &self.session.status(), self.failure.as_deref()))
    }

    fn look_after_dialling(&mut self, now: Instant) {
        let Some(stream) = &self.dialling else { return };
        match stream.progress() {
            Ok(Progress::Pending) => (),
            Ok(Progress::Made) => {
                if let Some(stream) = self.dialling.take() {
                    self.connected(now, stream, End::Dialled);
                }
            }
            Err(error) => {
                self.dialling = None;
                self.fail(&error);
                self.handle(now, Input::ConnectFailed);
            }
        }
    }

    fn read(&mut self, now: Instant, id: ConnectionId, buffer: &mut [u8]) {
        for _ in 0..READS_AT_ONCE {
            let Some(wire) = self.wires.get(&id) else { return };
            match wire.stream.read(buffer) {
                Ok(Read::Bytes(length)) => {
                    let bytes = buffer.get(..length).unwrap_or_default();
                    self.handle(now, Input::Bytes { id, bytes });
                }
                Ok(Read::Nothing) => return,
                Ok(Read::End) => return self.lose(now, id),
                Err(error) => {
                    self.fail(&error);
                    return self.lose(now, id);
                }
            }
        }
    }

    fn lose(&mut self, now: Instant, id: ConnectionId) {
        self.wires.remove(&id);
        self.handle(now, Input::Closed(id));
    }

    fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.session.handle(now, input);
        self.carry_out(now);
    }

    /// Does what the session wants until it wants nothing more, TCP takes nothing more, or others
    /// should have their turn.
    fn carry_out(&mut self, now: Instant) {
        self.is_touched = true;
        self.act_all(now);
        for _ in 0..WRITES_AT_ONCE {
            if !self.push(now) {
                return;
            }
            // What this adds to be sent, when its turn is over, is sent in the next one.
            self.act_all(now);
        }
    }

    fn act_all(&mut self, now: Instant) {
        while let Some(output) = self.session.poll() {
            self.act(now, output);
        }
    }

    /// Sends what waits, and says whether that was news to the session.
    fn push(&mut self, now: Instant) -> bool {
        let mut is_news = false;
        let mut broken = Vec::new();
        for (id, wire) in &mut self.wires {
            match wire.push() {
                Ok(0) => (),
                Ok(count) => {
                    is_news = true;
                    self.session.handle(now, Input::Written { id: *id, count });
                }
                Err(error) => broken.push((*id, error)),
            }
        }
        for (id, error) in broken {
            is_news = true;
            self.wires.remove(&id);
            self.fail(&error);
            self.session.handle(now, Input::Closed(id));
        }
        is_news
    }

    fn act(&mut self, now: Instant, output: Output) {
        match output {
            Output::Connect => self.connect(now),
            Output::Abandon => self.dialling = None,
            Output::Write { id, bytes } => {
                if let Some(wire) = self.wires.get_mut(&id) {
                    wire.add(&bytes);
                }
            }
            Output::Close(id) => {
                if let Some(wire) = self.wires.remove(&id) {
                    if self.closing.len() == MAX_CLOSING {
                        self.closing.remove(0);
                    }
                    self.closing.push(Closing::new(wire, now + LAST_WORDS));
                }
            }
            Output::Event(event) => self.hear(now, &event),
        }
    }

    fn connect(&mut self, now: Instant) {
        let asked = match self.target() {
            Some(target) => Stream::connect(target, &self.settings.transport),
            None => Err(io::Error::other(
                "routers at the other end of an interface are not looked for yet; give it a \
                 `peerAddress`",
            )),
        };
        match asked {
            Ok(stream) => self.dialling = Some(stream),
            Err(error) => {
                self.fail(&error);
                self.session.handle(now, Input::ConnectFailed);
            }
        }
    }

    fn connected(&mut self, now: Instant, stream: Stream, end: End) {
        let next_hops = match self.next_hops(&stream) {
            Ok(next_hops) => next_hops,
            Err(error) => return self.fail(&error),
        };
        self.ids += 1;
        let id = ConnectionId(self.ids);
        let over = match stream.peer().map(|peer| peer.is_ipv4()) {
            Ok(false) => Family::Ipv6,
            Ok(true) | Err(_) => Family::Ipv4,
        };
        self.wires.insert(id, Wire::new(stream));
        self.handle(now, Input::Connected(Connected { id, end, over, next_hops }));
    }

    /// Our addresses as the router reaches them: that of the connection, and of the other family
    /// one of the same interface, or else one of the node.
    fn next_hops(&self, stream: &Stream) -> io::Result<NextHops> {
        let (local, peer) = (stream.local()?.ip(), stream.peer()?.ip());
        let beside = Addresses::beside(local)?;
        let is_beside = beside.reach(peer);
        let own = self.settings.own_addresses.iter().copied();
        let mut next_hops = NextHops { ipv4: beside.ipv4(), ipv6: beside.ipv6(), link_local: None };
        for address in own {
            match address {
                IpAddr::V4(v4) => _ = next_hops.ipv4.get_or_insert(v4),
                IpAddr::V6(v6) => _ = next_hops.ipv6.get_or_insert(v6),
            }
        }
        match local {
            IpAddr::V4(v4) => next_hops.ipv4 = Some(v4),
            IpAddr::V6(v6) if v6.is_unicast_link_local() => next_hops.link_local = Some(v6),
            IpAddr::V6(v6) => next_hops.ipv6 = Some(v6),
        }
        if is_beside {
            next_hops.link_local = next_hops.link_local.or_else(|| beside.link_local());
        }
        Ok(next_hops)
    }

    fn fail(&mut self, error: &io::Error) {
        self.complain(format!("no connection: {error}"));
    }

    /// Says why there is no session, each reason once.
    fn complain(&mut self, failure: String) {
        if self.failure.as_ref() != Some(&failure) {
            tracing::warn!(peer = %self.name, at = self.settings.label(), "{failure}");
        }
        self.is_touched = true;
        self.failure = Some(failure);
    }

    fn hear(&mut self, now: Instant, event: &Event) {
        let peer = self.name.clone();
        match event {
            Event::State { from, to } => tracing::debug!(%peer, "from {from} to {to}"),
            Event::Established(agreed) => {
                self.failure = None;
                let families: Vec<_> = agreed.families.iter().map(ToString::to_string).collect();
                tracing::info!(
                    %peer,
                    at = self.settings.label(),
                    asn = agreed.peer.asn,
                    hold_time = agreed.hold_time.map_or(0, |time| time.as_secs()),
                    "session established for {}",
                    families.join(" and ")
                );
                if self.is_synced {
                    self.session.handle(now, Input::Synced);
                }
            }
            Event::Down(down) => tracing::warn!(%peer, "session lost: {down}"),
            // What the kernel said of it was told.
            Event::Failed(Down::ConnectFailed) => (),
            Event::Failed(down) => self.complain(format!("no session: {down}")),
            Event::EndOfRibSent(family) => tracing::debug!(%peer, %family, "all routes are sent"),
            Event::EndOfRibReceived(family) => tracing::debug!(%peer, %family, "it has told all"),
            Event::Malformed { fault, body } => {
                tracing::warn!(%peer, "an UPDATE has something wrong: {fault:?}, in {body:02x?}");
            }
            Event::Left => tracing::info!(%peer, "left"),
        }
    }
}
