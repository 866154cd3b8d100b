//! Drives one [`Responder`](proto::l2::Responder) an interface, on a thread of their own.
//!
//! What comes in is desired state: which addresses this node answers for and in whose name (from the
//! mesh), where (from the plan), and which interfaces there are (from netlink). From these the thread
//! derives what each interface answers for; there is no second path for "stop answering". What is
//! heard goes to the mesh.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use planner::facts::lan::Announcing;
use planner::interfaces::Interfaces;
use proto::l2::virtual_mac::virtual_mac;
use proto::l2::{Arrival, Heard, Input, Mac, Output};
use proto::time::{Instant, earliest};

use super::held::Holding;
use super::mesh;
use super::virtual_mac::VirtualMacs;
use crate::metrics::{self, Layer2};
use crate::net::clock::Clock;
use crate::net::filter::Filter;
use crate::net::inbox::{Inbox, wait};
use crate::net::interfaces::Interface;
use crate::net::thread::become_punctual;

mod port;
mod voice;

use port::Port;
use voice::Part;

/// What the mesh was not told yet of what was heard. More than that is of no use to it: what counts
/// is said again.
const HEARD_WAITING: usize = 1_024;

/// How often the mesh is told that hosts ask for what is held. One question in this time shows that
/// the LAN is heard; there may be 100,000 a second.
const QUESTIONS_TOLD: Duration = Duration::from_millis(20);

/// What the thread is told. What is `None` or not named did not change.
#[derive(Debug, Default)]
pub struct Orders {
    /// Whether this node answers for an address in its own name.
    pub held: BTreeMap<IpAddr, Holding>,
    /// Whether another node is about to take over an address that this node answers for.
    pub released: BTreeMap<IpAddr, bool>,
    /// In the name of which station it answers for an address that it does not hold; `None` for not
    /// any more.
    pub standing_in: BTreeMap<IpAddr, Option<Mac>>,
    /// Whether questions for an address are to be reported that is not answered for.
    pub followed: BTreeMap<IpAddr, bool>,
    /// Where an address may be answered for; `None` for nowhere.
    pub scopes: BTreeMap<IpAddr, Option<Scope>>,
    /// The interfaces there are.
    pub interfaces: Option<Vec<Interface>>,
    /// Which frames are to be received.
    pub filter: Option<Filter>,
    /// Addresses to announce again.
    pub announce: BTreeSet<IpAddr>,
    /// Addresses to defend against others that announce them.
    pub defend: BTreeSet<IpAddr>,
    /// Stations to ask for an address.
    pub ask: BTreeSet<(IpAddr, Mac)>,
    /// Stop answering and end.
    pub stop: bool,
}

/// Where and how an address is answered for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Scope {
    /// On which interfaces.
    pub interfaces: Interfaces,
    /// How the LAN is told and asked about it.
    pub announcing: Announcing,
}

/// Who is told what happens.
#[derive(Debug)]
pub struct Listeners {
    /// Decides who holds what.
    pub mesh: Arc<Inbox<mesh::Orders>>,
    /// Counts.
    pub metrics: Option<metrics::Speaker>,
    /// Makes interfaces for addresses with an Ethernet address of their own.
    pub virtual_macs: VirtualMacs,
}

/// All interfaces of this node.
struct Ports {
    clock: Clock,
    ports: BTreeMap<u32, Port>,
    held: BTreeMap<IpAddr, Holding>,
    released: BTreeSet<IpAddr>,
    /// Which station was asked last for an address with an Ethernet address of its own.
    asked: BTreeMap<IpAddr, Mac>,
    standing_in: BTreeMap<IpAddr, Mac>,
    followed: BTreeSet<IpAddr>,
    scopes: BTreeMap<IpAddr, Scope>,
    interfaces: Vec<Interface>,
    filter: Filter,
    listeners: Listeners,
    /// When the mesh was told last that hosts ask.
    questions_told: Option<Instant>,
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
    let ports = Ports {
        clock,
        ports: BTreeMap::new(),
        held: BTreeMap::new(),
        released: BTreeSet::new(),
        asked: BTreeMap::new(),
        standing_in: BTreeMap::new(),
        followed: BTreeSet::new(),
        scopes: BTreeMap::new(),
        interfaces: Vec::new(),
        filter: Filter::default(),
        listeners,
        questions_told: None,
    };
    thread::Builder::new().name(String::from("l2")).spawn(move || {
        // Other nodes take one that does not answer for dead, as soon as one that is not heard.
        // That it cannot be had is told of the thread that hears.
        let _ = become_punctual();
        run(ports, &orders);
    })
}

fn run(mut ports: Ports, orders: &Inbox<Orders>) {
    loop {
        ports.flush();
        let deadline = earliest(ports.ports.values().map(Port::deadline));
        let mut sources = vec![orders.as_fd()];
        sources.extend(ports.ports.values().flat_map(Port::sources));
        if let Err(error) = wait(&sources, ports.clock.until(deadline)) {
            tracing::error!(%error, "waiting for ARP and NDP failed; no address is answered");
            return;
        }
        let orders = orders.take();
        let is_over = orders.stop;
        ports.obey(orders);
        if is_over {
            return;
        }
        ports.receive();
    }
}

impl Ports {
    fn obey(&mut self, orders: Orders) {
        let mut touched: BTreeSet<_> = orders.held.keys().copied().collect();
        touched.extend(orders.released.keys());
        touched.extend(orders.standing_in.keys());
        touched.extend(orders.followed.keys());
        touched.extend(orders.scopes.keys());
        self.held.extend(orders.held);
        self.held.retain(|_, holding| *holding != Holding::Lost);
        merge(&mut self.standing_in, orders.standing_in);
        merge(&mut self.scopes, orders.scopes);
        self.asked.retain(|address, _| self.scopes.contains_key(address));
        mark(&mut self.released, orders.released);
        mark(&mut self.followed, orders.followed);
        if let Some(filter) = orders.filter {
            self.filter = filter;
            self.ports.values_mut().for_each(|port| port.filter(&self.filter));
        }
        if let Some(interfaces) = orders.interfaces {
            self.interfaces = interfaces;
            self.reopen();
            touched.extend(self.held.keys());
            touched.extend(self.standing_in.keys());
            touched.extend(&self.followed);
        }
        self.want(&touched);
        if !touched.is_empty() {
            let held = self.held.keys().filter_map(|at| Some((*at, self.scopes.get(at)?)));
            self.listeners.virtual_macs.want(voice::parents(held, &self.interfaces));
        }
        self.act(&orders.announce, |address| Input::Announce { address: *address });
        self.act(&orders.defend, |address| Input::Defend { address: *address });
        self.ask(&orders.ask);
    }

    /// Makes every interface do what is wanted of these addresses.
    fn want(&mut self, addresses: &BTreeSet<IpAddr>) {
        let now = self.clock.now();
        for port in self.ports.values_mut() {
            for address in addresses.iter().copied() {
                let scope = self.scopes.get(&address);
                let Announcing { schedule, probe, has_virtual_mac } =
                    scope.map(|scope| scope.announcing).unwrap_or_default();
                let is_here = scope.is_some_and(|scope| port.is_in(&scope.interfaces, address));
                let part = match self.held.get(&address) {
                    Some(_) if self.released.contains(&address) => Part::Leaving,
                    Some(_) => Part::Holding,
                    None => {
                        self.standing_in.get(&address).map_or(Part::None, |mac| Part::For(*mac))
                    }
                };
                let voice = voice::of(address, part, has_virtual_mac, port.place(is_here));
                let arrival = match self.held.get(&address) {
                    Some(Holding::First) => Arrival::First(probe),
                    Some(Holding::Inherited | Holding::Lost) | None => Arrival::TakenOver,
                    Some(Holding::Resumed) => Arrival::Resumed,
                };
                port.handle(now, Input::Answer { address, voice, arrival, schedule });
                let is_followed = is_here && self.followed.contains(&address);
                port.handle(now, Input::Follow { address, is_followed });
            }
        }
    }

    fn act<T>(&mut self, about: &BTreeSet<T>, input: impl Fn(&T) -> Input<'static>) {
        let now = self.clock.now();
        for port in self.ports.values_mut() {
            about.iter().for_each(|one| port.handle(now, input(one)));
        }
    }

    /// Asks by the node's own Ethernet addresses alone. Who has an address with one of its own answers
    /// there.
    fn ask(&mut self, stations: &BTreeSet<(IpAddr, Mac)>) {
        let now = self.clock.now();
        for (address, station) in stations.iter().copied() {
            let scope = self.scopes.get(&address);
            let has_own = scope.is_some_and(|scope| scope.announcing.has_virtual_mac);
            let mac = if has_own { virtual_mac(address) } else { station };
            if has_own {
                self.asked.insert(address, station);
            }
            for port in self.ports.values_mut().filter(|port| !port.is_virtual()) {
                port.handle(now, Input::Ask { address, mac });
            }
        }
    }

    /// Closes the ports of interfaces that are gone, and opens those of new ones.
    fn reopen(&mut self) {
        let now = self.clock.now();
        let usable = |interface: &&Interface| interface.can_arp;
        let wanted: BTreeMap<u32, (&Interface, Mac)> = self
            .interfaces
            .iter()
            .filter(usable)
            .filter_map(|interface| Some((interface.index, (interface, interface.mac?))))
            .collect();
        self.ports.retain(|index, _| wanted.contains_key(index));
        for (index, (interface, mac)) in wanted {
            if let Some(port) = self.ports.get_mut(&index) {
                port.update(now, interface, mac);
                continue;
            }
            match Port::open(now, interface, mac, &self.filter) {
                Ok(port) => _ = self.ports.insert(index, port),
                // The next change of the interface tries again.
                Err(error) => {
                    tracing::warn!(interface = interface.name, %error, "cannot answer here");
                }
            }
        }
    }

    /// Reads what has come in and lets time pass.
    fn receive(&mut self) {
        for port in self.ports.values_mut() {
            port.receive(self.clock);
            port.handle(self.clock.now(), Input::Timeout);
        }
    }

    fn flush(&mut self) {
        let mut counts: BTreeMap<IpAddr, Counts> = BTreeMap::new();
        let mut heard = HashSet::new();
        let now = self.clock.now();
        let mut is_question_due =
            self.questions_told.is_none_or(|told| now - told >= QUESTIONS_TOLD);
        for port in self.ports.values_mut() {
            while let Some(output) = port.poll() {
                let interface = port.name();
                match output {
                    Output::Frame(frame) => {
                        if port.send(&frame).is_err()
                            && let Some(metrics) = &self.listeners.metrics
                        {
                            metrics.send_error(port.name());
                        }
                    }
                    Output::Answered { address, to } => {
                        counts.entry(address).or_default().answered += 1;
                        tracing::debug!(interface, %address, %to, "answered");
                        if std::mem::take(&mut is_question_due) {
                            heard.insert(Heard::Question { address, from: to });
                            self.questions_told = Some(now);
                        }
                    }
                    Output::Announced { address, frames } => {
                        counts.entry(address).or_default().announced += u64::from(frames);
                        tracing::debug!(interface, %address, "announced");
                    }
                    Output::Heard(what) => {
                        tell(interface, what);
                        heard.extend(voice::as_station(what, &self.asked));
                    }
                    Output::Join(group) => port.join(group),
                    Output::Leave(group) => port.leave(group),
                }
            }
            if let Some(metrics) = &self.listeners.metrics {
                port.newly_ignored().for_each(|(cause, frames)| metrics.ignored(cause, frames));
            }
        }
        self.count(counts);
        if !heard.is_empty() {
            self.listeners.mesh.update(|orders| {
                let room = HEARD_WAITING.saturating_sub(orders.heard.len());
                orders.heard.extend(heard.into_iter().take(room));
            });
        }
    }

    fn count(&self, counts: BTreeMap<IpAddr, Counts>) {
        let Some(metrics) = &self.listeners.metrics else { return };
        for (address, Counts { answered, announced }) in counts {
            metrics.layer2(address, Layer2::RequestReceived, answered);
            metrics.layer2(address, Layer2::ResponseSent, answered);
            metrics.layer2(address, Layer2::GratuitousSent, announced);
        }
    }
}

/// What was sent for an address.
#[derive(Default)]
struct Counts {
    /// Replies, each to one request.
    answered: u64,
    /// Frames that nobody asked for.
    announced: u64,
}

fn merge<V>(map: &mut BTreeMap<IpAddr, V>, edits: BTreeMap<IpAddr, Option<V>>) {
    for (address, value) in edits {
        match value {
            Some(value) => _ = map.insert(address, value),
            None => _ = map.remove(&address),
        }
    }
}

fn mark(set: &mut BTreeSet<IpAddr>, edits: BTreeMap<IpAddr, bool>) {
    for (address, is_in) in edits {
        match is_in {
            true => _ = set.insert(address),
            false => _ = set.remove(&address),
        }
    }
}

fn tell(interface: &str, heard: Heard) {
    match heard {
        Heard::Answer { address, mac } => {
            tracing::debug!(interface, %address, %mac, "has answered");
        }
        Heard::Question { address, from } => {
            tracing::debug!(interface, %address, %from, "is asking");
        }
        // When an address moves, the new holder says so. If it is no node, the mesh will tell.
        Heard::Announcement { address, mac } => {
            tracing::debug!(interface, %address, %mac, "another station says that it has it");
        }
    }
}
