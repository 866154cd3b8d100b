//! Drives [`Ownership`] on a thread of its own: heartbeats must not wait for anything else.

mod gate;
mod last_resort;
mod outcome;
pub mod status;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use proto::l2::{Heard, Mac};
use proto::mesh::Station;
use proto::mesh::ownership::{Candidacy, Input, Link, Output, Ownership, Settings};
use proto::mesh::seal::{Key, MAX_SEALED, Seal};
use proto::time::{Instant, earliest};
use tokio::sync::oneshot;

use super::held::Held;
use super::l2;
use crate::metrics;
use crate::net::clock::{Clock, wall_micros};
use crate::net::inbox::{Inbox, wait};
use crate::net::thread::become_punctual;
use crate::net::udp::MeshSocket;
use crate::told::Told;

use gate::Gate;
use last_resort::LastResort;
use outcome::Outcome;
use status::Status;

/// Datagrams read before time is looked at again.
const DATAGRAMS_AT_ONCE: usize = 256;

/// How often binding a socket is tried again.
const BIND_RETRY: Duration = Duration::from_secs(1);

/// How often it is said that a foreign host uses an address, while it does.
pub const SAY_AGAIN: Duration = Duration::from_secs(60);

/// Conflicts that are said in this time. A host that takes up all addresses is one problem.
const CONFLICTS: usize = 256;

/// What the thread is told.
#[derive(Debug, Default)]
pub struct Orders {
    /// The keys of the mesh, the newest first; `None` when they did not change.
    pub keys: Option<Vec<Key>>,
    /// Who there is; `None` when it did not change.
    pub stations: Option<Stations>,
    /// What is different about addresses. The first that is not `None` is about all of them.
    pub candidacies: Option<Candidacies>,
    /// What would be different about addresses if this node forwarded; `None` where it would be
    /// nothing.
    pub last_resort: Candidacies,
    /// Where this node is on the LAN; `None` when it did not change.
    pub links: Option<Vec<Link>>,
    /// Hosts that should answer on the LAN; `None` when they did not change.
    pub witnesses: Option<BTreeSet<IpAddr>>,
    /// Who held what by the cluster's records; counts at the start.
    pub remembered: Option<BTreeMap<IpAddr, Station>>,
    /// What was heard on the LAN.
    pub heard: HashSet<Heard>,
    /// Who wants to know what is known.
    pub asking: Vec<oneshot::Sender<Status>>,
    /// How to end, if it is to end.
    pub ending: Option<Ending>,
}

/// How a speaker ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ending {
    /// It will come back: the others keep its addresses for it.
    Restart,
    /// It will not: the others take over at once.
    HandOver,
}

/// What is to be known about addresses; `None` for those that no node answers for any more.
pub type Candidacies = BTreeMap<IpAddr, Option<Candidacy>>;

/// Who there is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Stations {
    /// Addresses at which this node's speaker is heard. None: there is nobody to hear it.
    pub own_addresses: Vec<IpAddr>,
    /// The other speakers, and their addresses.
    pub peers: BTreeMap<Station, Vec<IpAddr>>,
}

struct Mesh {
    clock: Clock,
    port: u16,
    ownership: Ownership,
    gate: Gate,
    wanted: Option<Stations>,
    /// What the engine was not told yet.
    candidacies: Option<Candidacies>,
    last_resort: LastResort,
    /// Every peer can be heard.
    can_hear: bool,
    /// The engine knows its peers and a first set of candidacies.
    has_begun: bool,
    sockets: Vec<MeshSocket>,
    bind_at: Option<Instant>,
    told: Told,
    l2: Arc<Inbox<l2::Orders>>,
    held: Option<Arc<Held>>,
    /// Peers that are heard.
    heard: BTreeSet<Station>,
    /// Addresses that are answered for in the name of others.
    standing_in: BTreeSet<IpAddr>,
    /// When it was said last that a foreign host uses an address.
    conflicts: BTreeMap<(IpAddr, Mac), Instant>,
    metrics: Option<metrics::Speaker>,
}

/// How well heartbeats can be trusted to be on time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Punctuality {
    /// They go before all other work of the node.
    RealTime,
    /// They may wait for others when the node is busy.
    BestEffort,
}

/// Who is told what is held.
#[derive(Debug)]
pub struct Listeners {
    /// Answers for it.
    pub l2: Arc<Inbox<l2::Orders>>,
    /// Tells others of it.
    pub held: Option<Arc<Held>>,
    /// Counts what is heard.
    pub metrics: Option<metrics::Speaker>,
}

/// Starts the thread of the speaker named `me`, and says how punctual it is. It tells its listeners
/// what to answer for, and ends when it is told to leave and has handed over.
///
/// # Errors
///
/// When no thread can be started.
pub fn start(
    clock: Clock,
    me: Station,
    port: u16,
    orders: Arc<Inbox<Orders>>,
    listeners: Listeners,
) -> io::Result<(JoinHandle<()>, Punctuality)> {
    let (tell, told) = mpsc::sync_channel(1);
    let thread = thread::Builder::new().name(String::from("mesh")).spawn(move || {
        let punctuality = punctuality();
        // Who asked is gone only with the process.
        let _ = tell.send(punctuality);
        run(Mesh::new(clock, me, port, settings(punctuality), listeners), &orders);
    })?;
    let punctuality = told.recv().map_err(io::Error::other)?;
    Ok((thread, punctuality))
}

/// Makes this thread as punctual as the system lets it be.
fn punctuality() -> Punctuality {
    match become_punctual() {
        Ok(()) => Punctuality::RealTime,
        Err(error) => {
            tracing::warn!(
                %error,
                "heartbeats may be late while this node is busy: real-time scheduling needs \
                 CAP_SYS_NICE, and a cgroup that allows it"
            );
            Punctuality::BestEffort
        }
    }
}

/// How closely a thread that is so punctual can watch.
fn settings(punctuality: Punctuality) -> Settings {
    match punctuality {
        Punctuality::RealTime => Settings::DEFAULT,
        Punctuality::BestEffort => Settings::WIDE,
    }
}

fn run(mut mesh: Mesh, orders: &Inbox<Orders>) {
    while !mesh.ownership.has_left() {
        mesh.flush();
        let deadline =
            earliest([mesh.ownership.deadline(), mesh.bind_at, mesh.last_resort.deadline()]);
        let mut sources = vec![orders.as_fd()];
        sources.extend(mesh.sockets.iter().map(AsFd::as_fd));
        if let Err(error) = wait(&sources, mesh.clock.until(deadline)) {
            tracing::error!(%error, "waiting for heartbeats failed; all addresses are let go");
            break;
        }
        mesh.obey(orders.take());
        mesh.receive();
        mesh.fall_back();
        mesh.ownership.handle(mesh.clock.now(), Input::Timeout);
    }
    mesh.flush();
    mesh.l2.update(|l2| l2.stop = true);
}

impl Mesh {
    fn new(clock: Clock, me: Station, port: u16, settings: Settings, listeners: Listeners) -> Self {
        let born = wall_micros();
        let Listeners { l2, held, metrics } = listeners;
        Self {
            clock,
            port,
            ownership: Ownership::new(me.clone(), born, settings),
            gate: Gate::new(Seal::new(me, born), metrics.clone()),
            wanted: None,
            candidacies: None,
            last_resort: LastResort::default(),
            can_hear: false,
            has_begun: false,
            sockets: Vec::new(),
            bind_at: None,
            told: Told::default(),
            l2,
            held,
            heard: BTreeSet::new(),
            standing_in: BTreeSet::new(),
            conflicts: BTreeMap::new(),
            metrics,
        }
    }

    fn obey(&mut self, orders: Orders) {
        let now = self.clock.now();
        if let Some(keys) = orders.keys {
            self.gate.use_keys(now, keys);
        }
        if let Some(remembered) = orders.remembered {
            self.ownership.handle(now, Input::Remembered(remembered));
        }
        self.last_resort.take(now, orders.last_resort);
        if let Some(edits) = orders.candidacies {
            self.candidacies.get_or_insert_default().extend(edits);
        }
        if let Some(wanted) = orders.stations {
            let is_moved =
                self.wanted.as_ref().map(|old| &old.own_addresses) != Some(&wanted.own_addresses);
            self.gate.use_peers(&wanted.peers);
            self.heard.retain(|peer| wanted.peers.contains_key(peer));
            self.count_heard();
            self.wanted = Some(wanted);
            if is_moved {
                self.sockets.clear();
            }
            self.bind(now);
        } else if self.bind_at.is_some_and(|at| at <= now) {
            self.bind(now);
        } else if self.can_hear {
            self.pass_on(now);
        }
        if let Some(links) = orders.links {
            self.ownership.handle(now, Input::Own(links));
        }
        if let Some(witnesses) = orders.witnesses {
            self.ownership.handle(now, Input::Witnesses(witnesses));
        }
        for heard in orders.heard {
            self.ownership.handle(now, Input::Heard(heard));
        }
        if !orders.asking.is_empty() {
            let status = Status::of(&self.ownership.snapshot(), now);
            // Who asked may be gone.
            orders.asking.into_iter().for_each(|asker| _ = asker.send(status.clone()));
        }
        match orders.ending {
            Some(Ending::Restart) => self.ownership.handle(now, Input::Restart),
            Some(Ending::HandOver) => self.ownership.handle(now, Input::Leave),
            None => (),
        }
    }

    /// Opens what is not open yet, and lets the engine know its peers once they can be heard: a
    /// speaker that hears nobody must not think that it is alone.
    fn bind(&mut self, now: Instant) {
        let Some(wanted) = &self.wanted else { return };
        self.bind_at = None;
        let mut failures = Vec::new();
        for address in wanted.own_addresses.iter().filter(|_| !wanted.peers.is_empty()) {
            if self.sockets.iter().any(|socket| socket.local() == *address) {
                continue;
            }
            match MeshSocket::bind(*address, self.port) {
                Ok(socket) => self.sockets.push(socket),
                Err(error) => failures.push(explain_bind(*address, self.port, &error)),
            }
        }
        let can_hear = wanted.peers.values().all(|addresses| {
            let is_family = |s: &MeshSocket, at: &IpAddr| s.local().is_ipv4() == at.is_ipv4();
            addresses.is_empty()
                || self.sockets.iter().any(|s| addresses.iter().any(|at| is_family(s, at)))
        });
        if wanted.own_addresses.is_empty() && !wanted.peers.is_empty() {
            failures.push(String::from(
                "the Node of this host has no `InternalIP` in `status.addresses`: add one",
            ));
        }
        if !failures.is_empty() {
            self.bind_at = Some(now + BIND_RETRY);
        }
        let consequence = if can_hear { "" } else { "; no address is claimed until that works" };
        for failure in self.told.news(failures) {
            tracing::error!("cannot hear the other speakers: {failure}{consequence}");
        }
        self.can_hear = can_hear;
        if can_hear {
            let peers = wanted.peers.clone();
            self.ownership.handle(now, Input::Peers(peers));
            self.pass_on(now);
        }
    }

    /// Tells the engine what is new about addresses.
    fn pass_on(&mut self, now: Instant) {
        let Some(edits) = self.candidacies.take() else { return };
        let input = if self.has_begun {
            Input::CandidacyEdits(edits)
        } else {
            let all = edits.into_iter().filter_map(|(at, candidacy)| Some((at, candidacy?)));
            Input::Candidacies(all.collect())
        };
        self.has_begun = true;
        self.ownership.handle(now, input);
    }

    /// Holds what nobody else does, although it should not.
    fn fall_back(&mut self) {
        let holders = || self.ownership.snapshot().holders;
        if let Some(edits) = self.last_resort.look(self.clock.now(), holders) {
            let addresses: Vec<_> = edits.keys().collect();
            tracing::debug!(?addresses, "the last resort, or not any more");
            self.ownership.handle(self.clock.now(), Input::CandidacyEdits(edits));
        }
    }

    fn receive(&mut self) {
        let mut buffer = [0; MAX_SEALED];
        for socket in &self.sockets {
            for _ in 0..DATAGRAMS_AT_ONCE {
                match socket.receive(&mut buffer) {
                    Ok(Some((from, bytes))) => {
                        let now = self.clock.now();
                        if let Some((from, bytes)) = self.gate.open(now, from, bytes) {
                            self.ownership.handle(now, Input::Datagram { from, bytes });
                        }
                    }
                    Ok(None) => break,
                    // An ICMP error for a heartbeat to a speaker that is not there.
                    Err(error) => tracing::trace!(%error, "receiving heartbeats"),
                }
            }
        }
    }

    fn flush(&mut self) {
        let mut outcome = Outcome::default();
        while let Some(output) = self.ownership.poll() {
            outcome::tell(&output);
            if let Some(metrics) = &self.metrics {
                outcome::count(&output, metrics.mesh());
            }
            self.take(output, &mut outcome);
        }
        self.tell_conflicts(&outcome);
        self.count_standing_in(&outcome);
        if let Some(listener) = &self.held
            && !outcome.held.is_empty()
        {
            listener.tell(&outcome.held);
        }
        if !outcome.is_empty() {
            self.l2.update(|orders| outcome.give(orders));
        }
    }

    /// Does what the engine wants done, or notes it for those who do it.
    fn take(&mut self, output: Output, outcome: &mut Outcome) {
        outcome.note(&output);
        if let Output::Send { to, bytes } = output {
            self.send(&to, &bytes);
        } else if let Output::PeerHeard(peer) = output {
            self.heard.insert(peer);
            self.count_heard();
        } else if let Output::PeerSilent(peer) = output {
            self.heard.remove(&peer);
            self.count_heard();
        }
    }

    /// Says of each conflict once in a while that it is there: the host may speak all the time.
    fn tell_conflicts(&mut self, outcome: &Outcome) {
        if outcome.conflicts.is_empty() {
            return;
        }
        let now = self.clock.now();
        self.conflicts.retain(|_, said| now - *said < SAY_AGAIN);
        for (address, mac) in &outcome.conflicts {
            if self.conflicts.contains_key(&(*address, *mac)) || self.conflicts.len() >= CONFLICTS {
                continue;
            }
            self.conflicts.insert((*address, *mac), now);
            tracing::warn!(%address, %mac, "a host that is no node uses an address of this node");
            if let Some(held) = &self.held {
                held.tell_conflict(*address, *mac);
            }
        }
    }

    fn count_standing_in(&mut self, outcome: &Outcome) {
        for (address, mac) in &outcome.standing_in {
            match mac {
                Some(_) => _ = self.standing_in.insert(*address),
                None => _ = self.standing_in.remove(address),
            }
        }
        if let Some(metrics) = &self.metrics
            && !outcome.standing_in.is_empty()
        {
            metrics.mesh().standing_in(self.standing_in.len());
        }
    }

    fn count_heard(&self) {
        if let Some(metrics) = &self.metrics {
            metrics.mesh().peers_heard(self.heard.len());
        }
        self.gate.count_keys();
    }

    /// Sends to every address of a peer that one of our sockets can reach. A datagram that could
    /// not be sent is a lost datagram.
    fn send(&mut self, to: &Station, bytes: &[u8]) {
        let sealed = self.gate.seal(self.clock.now(), to, bytes);
        let addresses = self.wanted.as_ref().and_then(|wanted| wanted.peers.get(to));
        for address in addresses.into_iter().flatten() {
            let mut sockets = self.sockets.iter();
            if let Some(socket) = sockets.find(|s| s.local().is_ipv4() == address.is_ipv4())
                && let Err(error) = socket.send(*address, &sealed)
            {
                tracing::trace!(%to, %address, %error, "sending a heartbeat");
            }
        }
    }
}

/// What to do about an address that cannot be bound.
fn explain_bind(address: IpAddr, port: u16, error: &io::Error) -> String {
    let mend = if error.kind() == io::ErrorKind::AddrNotAvailable {
        String::from(
            "this host has no such address; check `--node-name` and the InternalIP of its Node",
        )
    } else if error.kind() == io::ErrorKind::AddrInUse {
        String::from(
            "another process has the port, perhaps a MetalLB speaker; stop it, or give every \
             speaker another `--mesh-port`",
        )
    } else {
        error.to_string()
    };
    format!("binding {address} port {port}: {mend}")
}
