//! Drives one [`Responder`] an interface, on a thread of their own.
//!
//! What comes in is desired state: which addresses this node answers for (from the mesh), where
//! (from the plan), and which interfaces there are (from netlink). From these the thread derives
//! the claims of each interface; there is no second path for "stop answering".

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use planner::plan::Interfaces;
use proto::l2::burst::FRAMES_PER_ROUND;
use proto::l2::{Input, Mac, Output, Responder};
use proto::time::earliest;

use crate::metrics::{self, Layer2};
use crate::net::clock::Clock;
use crate::net::inbox::{Inbox, wait};
use crate::net::interfaces::Interface;
use crate::net::packet_socket::{MAX_FRAME, PacketSocket};

/// Frames read from one interface before the others get their turn.
const FRAMES_AT_ONCE: usize = 64;

/// What the thread is told. What is `None` or not named did not change.
#[derive(Debug, Default)]
pub struct Orders {
    /// Whether this node answers for an address.
    pub held: BTreeMap<IpAddr, bool>,
    /// Where an address may be answered for; `None` for nowhere.
    pub scopes: BTreeMap<IpAddr, Option<Interfaces>>,
    /// The interfaces there are.
    pub interfaces: Option<Vec<Interface>>,
    /// Addresses to announce again.
    pub announce: BTreeSet<IpAddr>,
    /// Stop answering and end.
    pub stop: bool,
}

/// One interface on which we answer.
struct Port {
    interface: Interface,
    mac: Mac,
    socket: PacketSocket,
    responder: Responder,
}

/// All interfaces of this node.
struct Ports {
    clock: Clock,
    ports: BTreeMap<u32, Port>,
    held: BTreeSet<IpAddr>,
    scopes: BTreeMap<IpAddr, Interfaces>,
    interfaces: Vec<Interface>,
    metrics: Option<metrics::Speaker>,
}

/// Starts the thread. It ends when it is told to. What it sees is counted in `metrics`.
///
/// # Errors
///
/// When no thread can be started.
pub fn start(
    clock: Clock,
    orders: Arc<Inbox<Orders>>,
    metrics: Option<metrics::Speaker>,
) -> io::Result<JoinHandle<()>> {
    let ports = Ports {
        clock,
        ports: BTreeMap::new(),
        held: BTreeSet::new(),
        scopes: BTreeMap::new(),
        interfaces: Vec::new(),
        metrics,
    };
    thread::Builder::new().name(String::from("l2")).spawn(move || run(ports, &orders))
}

fn run(mut ports: Ports, orders: &Inbox<Orders>) {
    loop {
        ports.flush();
        let deadline = earliest(ports.ports.values().map(|port| port.responder.deadline()));
        let mut sources = vec![orders.as_fd()];
        sources.extend(ports.ports.values().map(|port| port.socket.as_fd()));
        if let Err(error) = wait(&sources, ports.clock.until(deadline)) {
            tracing::error!(%error, "waiting for ARP requests failed; no address is answered");
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
        let touched: BTreeSet<_> =
            orders.held.keys().chain(orders.scopes.keys()).copied().collect();
        for (address, is_held) in orders.held {
            if is_held {
                self.held.insert(address);
            } else {
                self.held.remove(&address);
            }
        }
        for (address, scope) in orders.scopes {
            match scope {
                Some(scope) => _ = self.scopes.insert(address, scope),
                None => _ = self.scopes.remove(&address),
            }
        }
        let is_wide = orders.interfaces.is_some();
        if let Some(interfaces) = orders.interfaces {
            self.interfaces = interfaces;
            self.reopen();
        }
        let now = self.clock.now();
        for port in self.ports.values_mut() {
            let name = &port.interface.name;
            let is_claimed = |address: &IpAddr| {
                self.held.contains(address) && is_here(self.scopes.get(address), name)
            };
            if is_wide {
                let claims = self.held.iter().copied().filter(is_claimed).collect();
                port.responder.handle(now, Input::Claims(claims));
            } else {
                for address in &touched {
                    let input = if is_claimed(address) { Input::Claim } else { Input::Release };
                    port.responder.handle(now, input(*address));
                }
            }
            for address in &orders.announce {
                port.responder.handle(now, Input::Announce(*address));
            }
        }
    }

    /// Closes the ports of interfaces that are gone, and opens those of new ones.
    fn reopen(&mut self) {
        let now = self.clock.now();
        let wanted: BTreeMap<u32, (&Interface, Mac)> = self
            .interfaces
            .iter()
            .filter(|interface| interface.can_arp)
            .filter_map(|interface| Some((interface.index, (interface, interface.mac?))))
            .collect();
        self.ports.retain(|index, _| wanted.contains_key(index));
        for (index, (interface, mac)) in wanted {
            let Some(port) = self.ports.get_mut(&index) else {
                match PacketSocket::open(index) {
                    Ok(socket) => {
                        let interface = interface.clone();
                        let responder = Responder::new(mac);
                        self.ports.insert(index, Port { interface, mac, socket, responder });
                    }
                    // The next change of the interface tries again.
                    Err(error) => {
                        tracing::warn!(interface = interface.name, %error, "cannot answer ARP here");
                    }
                }
                continue;
            };
            if port.mac != mac {
                port.mac = mac;
                port.responder.handle(now, Input::Mac(mac));
            }
            if interface.is_running && !port.interface.is_running {
                port.responder.handle(now, Input::LinkUp);
            }
            port.interface = interface.clone();
        }
    }

    /// Reads what has come in and lets time pass.
    fn receive(&mut self) {
        let mut buffer = [0; MAX_FRAME];
        for port in self.ports.values_mut() {
            for _ in 0..FRAMES_AT_ONCE {
                match port.socket.receive(&mut buffer) {
                    Ok(Some(frame)) => {
                        port.responder.handle(self.clock.now(), Input::Frame(frame));
                    }
                    Ok(None) => break,
                    // The interface went down or is gone: netlink tells which.
                    Err(error) => {
                        tracing::debug!(interface = port.interface.name, %error, "receiving ARP");
                        break;
                    }
                }
            }
            port.responder.handle(self.clock.now(), Input::Timeout);
        }
    }

    fn flush(&mut self) {
        let mut counts: BTreeMap<IpAddr, Counts> = BTreeMap::new();
        for port in self.ports.values_mut() {
            let interface = &port.interface.name;
            while let Some(output) = port.responder.poll() {
                match output {
                    Output::Send(frame) => {
                        // A frame that could not be sent is a lost frame: announcements are
                        // repeated and clients ask again.
                        if let Err(error) = port.socket.send(&frame) {
                            tracing::debug!(interface, %error, "sending ARP");
                        }
                    }
                    Output::Answered { address, to } => {
                        counts.entry(address).or_default().answered += 1;
                        tracing::debug!(interface, %address, %to, "answered");
                    }
                    Output::Announced { address } => {
                        counts.entry(address).or_default().announced += FRAMES_PER_ROUND;
                        tracing::debug!(interface, %address, "announced");
                    }
                }
            }
        }
        if let Some(metrics) = &self.metrics {
            for (address, Counts { answered, announced }) in counts {
                metrics.layer2(address, Layer2::RequestReceived, answered);
                metrics.layer2(address, Layer2::ResponseSent, answered);
                metrics.layer2(address, Layer2::GratuitousSent, announced);
            }
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

/// Whether an address with this scope is answered for on the interface.
fn is_here(scope: Option<&Interfaces>, interface: &str) -> bool {
    match scope {
        Some(Interfaces::All) => true,
        Some(Interfaces::Named(names)) => names.contains(interface),
        None => false,
    }
}
