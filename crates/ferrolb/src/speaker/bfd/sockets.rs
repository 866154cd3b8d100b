//! The sockets of all sessions: which are open, and what goes through them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use proto::bfd::packet::MAX_PACKET;
use proto::bfd::sessions::{Arrived, Input};
use proto::bfd::{Path, echo};
use proto::time::Instant;

use crate::net::bfd::{Listener, Place, Sender};
use crate::net::echo::{EchoSocket, MAX_ECHO};
use crate::told::Told;

/// Packets of one socket read before time is looked at again.
const PACKETS_AT_ONCE: usize = 256;

/// How often opening a socket is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The sockets of all sessions.
pub(super) struct Sockets {
    wanted: BTreeSet<Path>,
    listeners: Vec<Listener>,
    senders: BTreeMap<Path, Sender>,
    /// By interface.
    echoes: BTreeMap<u32, EchoSocket>,
    /// How neighbors are reached that echo packets may go to.
    ways: BTreeMap<IpAddr, Way>,
    retry_at: Option<Instant>,
    told: Told,
    /// Where the search for the next port begins.
    dice: u16,
}

/// Where the last packet of a neighbor came in.
#[derive(Clone, Copy)]
struct Way {
    interface: u32,
    own: Ipv4Addr,
}

impl Sockets {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            wanted: BTreeSet::new(),
            listeners: Vec::new(),
            senders: BTreeMap::new(),
            echoes: BTreeMap::new(),
            ways: BTreeMap::new(),
            retry_at: None,
            told: Told::default(),
            dice: u16::try_from(seed >> 48).unwrap_or_default(),
        }
    }

    /// There are to be sessions on these paths; those of others stay until they are forgotten.
    pub(super) fn want<'a>(&mut self, now: Instant, paths: impl Iterator<Item = &'a Path>) {
        self.wanted.extend(paths.cloned());
        self.retry_at = Some(now);
    }

    /// There is no session on this path any more.
    pub(super) fn forget(&mut self, path: &Path) {
        self.wanted.remove(path);
        self.senders.remove(path);
        let places: BTreeSet<_> = self.wanted.iter().map(Place::of).collect();
        self.listeners.retain(|listener| places.contains(listener.place()));
        if !self.wanted.iter().any(|other| other.peer == path.peer) {
            self.ways.remove(&path.peer);
        }
        let used: BTreeSet<_> = self.ways.values().map(|way| way.interface).collect();
        self.echoes.retain(|interface, _| used.contains(interface));
    }

    /// Opens what is to be heard and is not open yet, if it is time.
    pub(super) fn open(&mut self, now: Instant) {
        if self.retry_at.is_none_or(|at| at > now) {
            return;
        }
        self.retry_at = None;
        let mut failures = Vec::new();
        let places: BTreeSet<_> = self.wanted.iter().map(Place::of).collect();
        for place in places {
            if self.listeners.iter().any(|listener| *listener.place() == place) {
                continue;
            }
            match Listener::bind(place.clone()) {
                Ok(listener) => self.listeners.push(listener),
                Err(error) => failures.push(explain(&place, &error)),
            }
        }
        if !failures.is_empty() {
            self.retry_at = Some(now + RETRY);
        }
        for failure in self.told.news(failures) {
            tracing::error!("routers cannot be watched with BFD: {failure}");
        }
    }

    /// When to open what could not be opened.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.retry_at
    }

    /// What packets come from.
    pub(super) fn sources(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let listeners = self.listeners.iter().map(AsFd::as_fd);
        listeners.chain(self.echoes.values().map(AsFd::as_fd))
    }

    /// Reads all that has come.
    pub(super) fn receive(&mut self, mut take: impl FnMut(Input<'_>)) {
        let mut buffer = [0; MAX_PACKET + 1];
        for listener in &self.listeners {
            for _ in 0..PACKETS_AT_ONCE {
                let received = match listener.receive(&mut buffer) {
                    Ok(Some(received)) => received,
                    Ok(None) => break,
                    Err(error) => {
                        tracing::trace!(%error, "receiving BFD packets");
                        break;
                    }
                };
                let is_wanted = self.senders.keys().any(|path| path.peer == received.from);
                if let Some(IpAddr::V4(own)) = received.to.filter(|_| is_wanted) {
                    self.ways.insert(received.from, Way { interface: received.interface, own });
                }
                let Place { hops, device, .. } = listener.place();
                take(Input::Control(Arrived {
                    from: received.from,
                    to: received.to,
                    device: device.as_ref(),
                    hops: *hops,
                    ttl: received.ttl,
                    bytes: received.bytes,
                }));
            }
        }
        self.receive_echoes(take);
    }

    fn receive_echoes(&mut self, mut take: impl FnMut(Input<'_>)) {
        let mut buffer = [0; MAX_ECHO];
        self.echoes.retain(|interface, socket| {
            for _ in 0..PACKETS_AT_ONCE {
                match socket.receive(&mut buffer) {
                    Ok(Some(packet)) => {
                        if let Some((from, bytes)) = echo::from_ipv4(packet) {
                            take(Input::Echo { from: from.into(), bytes });
                        }
                    }
                    Ok(None) => break,
                    Err(error) => {
                        tracing::debug!(interface, %error, "receiving BFD echo packets");
                        // Opened anew with the next packet to be sent.
                        return false;
                    }
                }
            }
            true
        });
    }

    /// Sends a Control packet. One that could not be sent is a lost packet.
    pub(super) fn send(&mut self, path: &Path, packet: &[u8]) {
        let sent = self.sender(path).and_then(|sender| sender.send(packet));
        if let Err(error) = sent {
            tracing::debug!(peer = %path, %error, "sending a BFD packet");
        }
    }

    fn sender(&mut self, path: &Path) -> io::Result<&Sender> {
        if !self.senders.contains_key(path) {
            self.dice = self.dice.wrapping_add(1);
            let sender = Sender::open(path, self.dice)?;
            self.senders.insert(path.clone(), sender);
        }
        self.senders.get(path).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Sends an echo packet to ourselves by way of the peer.
    pub(super) fn send_echo(&mut self, path: &Path, packet: &[u8]) {
        let IpAddr::V4(neighbor) = path.peer else { return };
        let Some(Way { interface, own }) = self.ways.get(&path.peer).copied() else { return };
        let sent = self
            .echo_socket(interface)
            .and_then(|socket| socket.send(neighbor, &echo::ipv4_packet(own, packet)));
        if let Err(error) = sent {
            tracing::debug!(peer = %path, %error, "sending a BFD echo packet");
        }
    }

    fn echo_socket(&mut self, interface: u32) -> io::Result<&EchoSocket> {
        match self.echoes.entry(interface) {
            Entry::Occupied(found) => Ok(found.into_mut()),
            Entry::Vacant(place) => Ok(place.insert(EchoSocket::open(interface)?)),
        }
    }
}

/// What to do about a socket that cannot be opened.
fn explain(place: &Place, error: &io::Error) -> String {
    let port = place.port();
    if error.kind() == io::ErrorKind::AddrInUse {
        return format!(
            "another process has UDP port {port}, perhaps FRR's bfdd or BIRD; stop it, or remove \
             `bfdProfile` from the BGPPeers"
        );
    }
    match &place.device {
        Some(device) => format!("binding UDP port {port} on `{device}`: {error}"),
        None => format!("binding UDP port {port}: {error}"),
    }
}
