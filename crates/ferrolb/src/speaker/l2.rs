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
use proto::l2::{Arrival, Heard, Input, Mac, Output, Voice};
use proto::time::{Instant, earliest};

use super::held::Holding;
use super::mesh;
use crate::metrics::{self, Layer2};
use crate::net::clock::Clock;
use crate::net::filter::Filter;
use crate::net::inbox::{Inbox, wait};
use crate::net::interfaces::Interface;
use crate::net::thread::become_punctual;

mod port;

use port::Port;

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
}

/// All interfaces of this node.
struct Ports {
    clock: Clock,
    ports: BTreeMap<u32, Port>,
    held: BTreeMap<IpAddr, Holding>,
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
        if orders.stop {
            return;
        }
        ports.obey(orders);
        ports.receive();
    }
}

impl Ports {
    fn obey(&mut self, orders: Orders) {
        let mut touched: BTreeSet<_> = orders.held.keys().copied().collect();
        touched.extend(orders.standing_in.keys());
        touched.extend(orders.followed.keys());
        touched.extend(orders.scopes.keys());
        self.held.extend(orders.held);
        self.held.retain(|_, holding| *holding != Holding::Lost);
        merge(&mut self.standing_in, orders.standing_in);
        merge(&mut self.scopes, orders.scopes);
        for (address, is_followed) in orders.followed {
            match is_followed {
                true => _ = self.followed.insert(address),
                false => _ = self.followed.remove(&address),
            }
        }
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
        self.act(&orders.announce, |address| Input::Announce { address: *address });
        self.act(&orders.defend, |address| Input::Defend { address: *address });
        self.act(&orders.ask, |(address, mac)| Input::Ask { address: *address, mac: *mac });
    }

    /// Makes every interface do what is wanted of these addresses.
    fn want(&mut self, addresses: &BTreeSet<IpAddr>) {
        let now = self.clock.now();
        for port in self.ports.values_mut() {
            for address in addresses.iter().copied() {
                let scope = self.scopes.get(&address);
                let is_here = scope.is_some_and(|scope| port.is_in(&scope.interfaces, address));
                let Announcing { schedule, probe } =
                    scope.map(|scope| scope.announcing).unwrap_or_default();
                let (voice, arrival) = match self.held.get(&address) {
                    Some(Holding::First) => (Some(Voice::Own), Arrival::First(probe)),
                    Some(Holding::Inherited | Holding::Lost) => {
                        (Some(Voice::Own), Arrival::TakenOver)
                    }
                    Some(Holding::Resumed) => (Some(Voice::Own), Arrival::Resumed),
                    None => {
                        let station = self.standing_in.get(&address);
                        (station.map(|mac| Voice::StandingInFor(*mac)), Arrival::TakenOver)
                    }
                };
                let voice = voice.filter(|_| is_here);
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
                        heard.insert(what);
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
