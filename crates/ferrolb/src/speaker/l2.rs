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
use proto::l2::{Input, Mac, Output, Responder};

use proto::time::earliest;

use crate::net::clock::Clock;
use crate::net::inbox::{Inbox, wait};
use crate::net::interfaces::Interface;
use crate::net::packet_socket::{MAX_FRAME, PacketSocket};

/// Frames read from one interface before the others get their turn.
const FRAMES_AT_ONCE: usize = 64;

/// What the thread is told. Fields that are `None` or empty did not change.
#[derive(Debug, Default)]
pub struct Orders {
    /// Addresses this node answers for.
    pub answering: Option<BTreeSet<IpAddr>>,
    /// Where each address may be answered for.
    pub scopes: Option<BTreeMap<IpAddr, Interfaces>>,
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
    answering: BTreeSet<IpAddr>,
    scopes: BTreeMap<IpAddr, Interfaces>,
    interfaces: Vec<Interface>,
}

/// Starts the thread. It ends when it is told to.
///
/// # Errors
///
/// When no thread can be started.
pub fn start(clock: Clock, orders: Arc<Inbox<Orders>>) -> io::Result<JoinHandle<()>> {
    let ports = Ports {
        clock,
        ports: BTreeMap::new(),
        answering: BTreeSet::new(),
        scopes: BTreeMap::new(),
        interfaces: Vec::new(),
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
        let is_changed =
            orders.answering.is_some() || orders.scopes.is_some() || orders.interfaces.is_some();
        if let Some(answering) = orders.answering {
            self.answering = answering;
        }
        if let Some(scopes) = orders.scopes {
            self.scopes = scopes;
        }
        if let Some(interfaces) = orders.interfaces {
            self.interfaces = interfaces;
            self.reopen();
        }
        let now = self.clock.now();
        for port in self.ports.values_mut() {
            if is_changed {
                let claims = claims(&self.answering, &self.scopes, &port.interface.name);
                port.responder.handle(now, Input::Claims(claims));
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
                        tracing::debug!(interface, %address, %to, "answered");
                    }
                    Output::Announced { address } => {
                        tracing::debug!(interface, %address, "announced");
                    }
                }
            }
        }
    }
}

/// The addresses to answer for on one interface.
fn claims(
    answering: &BTreeSet<IpAddr>,
    scopes: &BTreeMap<IpAddr, Interfaces>,
    interface: &str,
) -> BTreeSet<IpAddr> {
    let is_here = |address: &&IpAddr| match scopes.get(address) {
        Some(Interfaces::All) => true,
        Some(Interfaces::Named(names)) => names.contains(interface),
        None => false,
    };
    answering.iter().filter(is_here).copied().collect()
}
