//! One interface on which we answer: its engine, its sockets, its multicast groups.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd};

use super::voice::Place;
use planner::interfaces::Interfaces;
use proto::l2::{Ignored, Input, Mac, Output, Responder};
use proto::time::Instant;

use crate::net::clock::Clock;
use crate::net::filter::{Filter, Subject};
use crate::net::groups::Groups;
use crate::net::interfaces::Interface;
use crate::net::packet_socket::{MAX_FRAME, PacketSocket};

/// Frames read from one interface before the others get their turn.
const FRAMES_AT_ONCE: usize = 64;

/// An interface that is open.
pub(super) struct Port {
    interface: Interface,
    responder: Responder,
    /// While there are addresses to announce. Each also sends what the other receives.
    arp: Option<PacketSocket>,
    ndp: Option<PacketSocket>,
    groups: Groups,
    /// Groups that could not be joined, to be tried again when the interface changes.
    missed: BTreeSet<Ipv6Addr>,
    /// What was counted before.
    ignored: BTreeMap<Ignored, u64>,
}

impl Port {
    /// Opens an interface that has the address `mac`.
    ///
    /// # Errors
    ///
    /// What the kernel says about the interface.
    pub(super) fn open(
        now: Instant,
        interface: &Interface,
        mac: Mac,
        filter: &Filter,
    ) -> io::Result<Self> {
        let mut responder = Responder::new(mac);
        responder.handle(now, own(interface));
        let ignored = responder.ignored().clone();
        let mut port = Self {
            interface: interface.clone(),
            responder,
            arp: None,
            ndp: None,
            groups: Groups::new(interface.index),
            missed: BTreeSet::new(),
            ignored,
        };
        port.use_filter(filter)?;
        Ok(port)
    }

    pub(super) fn name(&self) -> &str {
        &self.interface.name
    }

    /// Whether it was made for one address alone.
    pub(super) fn is_virtual(&self) -> bool {
        self.interface.is_virtual_mac()
    }

    /// What it is to an address that is announced here, or elsewhere.
    pub(super) fn place(&self, is_here: bool) -> Place {
        match self.interface.mac {
            Some(mac) if self.is_virtual() => Place::Virtual(mac),
            _ if is_here => Place::Announced,
            _ => Place::Elsewhere,
        }
    }

    /// Whether it is one of these interfaces, as far as `address` is concerned.
    pub(super) fn is_in(&self, interfaces: &Interfaces, address: IpAddr) -> bool {
        let Interface { name, addresses, .. } = &self.interface;
        !self.is_virtual() && interfaces.select(name, addresses, address)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.responder.deadline()
    }

    pub(super) fn sources(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [&self.arp, &self.ndp].into_iter().flatten().map(AsFd::as_fd)
    }

    pub(super) fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.responder.handle(now, input);
    }

    pub(super) fn poll(&mut self) -> Option<Output> {
        self.responder.poll()
    }

    /// Takes in what is different about the interface.
    pub(super) fn update(&mut self, now: Instant, interface: &Interface, mac: Mac) {
        self.responder.handle(now, Input::Mac(mac));
        if interface.addresses != self.interface.addresses {
            self.responder.handle(now, own(interface));
        }
        if interface.is_running && !self.interface.is_running {
            self.responder.handle(now, Input::LinkUp);
        }
        self.interface = interface.clone();
        std::mem::take(&mut self.missed).into_iter().for_each(|group| self.join(group));
    }

    /// Receives what a filter lets through.
    pub(super) fn filter(&mut self, filter: &Filter) {
        if let Err(error) = self.use_filter(filter) {
            let interface = self.name();
            tracing::warn!(interface, %error, "cannot change which frames are received");
        }
    }

    fn use_filter(&mut self, filter: &Filter) -> io::Result<()> {
        let index = self.interface.index;
        for (subject, socket) in [(Subject::Arp, &mut self.arp), (Subject::Ndp, &mut self.ndp)] {
            match socket {
                _ if !filter.concerns_any() => *socket = None,
                Some(socket) => socket.filter(subject, filter)?,
                None => *socket = Some(PacketSocket::open(index, subject, filter)?),
            }
        }
        Ok(())
    }

    /// Reads what has come in.
    pub(super) fn receive(&mut self, clock: Clock) {
        let mut buffer = [0; MAX_FRAME];
        for socket in [&self.arp, &self.ndp].into_iter().flatten() {
            for _ in 0..FRAMES_AT_ONCE {
                match socket.receive(&mut buffer) {
                    Ok(Some(frame)) => self.responder.handle(clock.now(), Input::Frame(frame)),
                    Ok(None) => break,
                    // The interface went down or is gone: netlink tells which.
                    Err(error) => {
                        tracing::debug!(interface = self.interface.name, %error, "receiving");
                        break;
                    }
                }
            }
        }
    }

    /// Sends a frame. One that could not be sent is a lost frame: announcements are repeated and
    /// clients ask again.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub(super) fn send(&self, frame: &[u8]) -> io::Result<()> {
        let Some(socket) = self.arp.as_ref().or(self.ndp.as_ref()) else { return Ok(()) };
        let sent = socket.send(frame);
        if let Err(error) = &sent {
            tracing::debug!(interface = self.interface.name, %error, "sending");
        }
        sent
    }

    /// Joins a multicast group. Without it a switch that looks at memberships keeps questions from
    /// us; without such a switch nothing is lost, if the network card is not strict.
    pub(super) fn join(&mut self, group: Ipv6Addr) {
        if let Err(error) = self.groups.join(group) {
            if self.missed.is_empty() {
                let interface = self.name();
                tracing::warn!(interface, %group, %error, "cannot join a multicast group");
            }
            self.missed.insert(group);
        }
    }

    pub(super) fn leave(&mut self, group: Ipv6Addr) {
        self.missed.remove(&group);
        self.groups.leave(group);
    }

    /// How many frames were ignored since the last call, by cause.
    pub(super) fn newly_ignored(&mut self) -> impl Iterator<Item = (Ignored, u64)> {
        let now = self.responder.ignored();
        let since = |(cause, count): (&Ignored, &u64)| {
            let before = self.ignored.get(cause).copied().unwrap_or_default();
            (*count > before).then(|| (*cause, *count - before))
        };
        let new: Vec<_> = now.iter().filter_map(since).collect();
        if !new.is_empty() {
            self.ignored.clone_from(now);
        }
        new.into_iter()
    }
}

fn own(interface: &Interface) -> Input<'static> {
    Input::Own(interface.addresses.iter().map(|network| network.addr()).collect())
}
