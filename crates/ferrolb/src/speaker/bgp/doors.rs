//! Where routers may connect to us: one listening socket for each family and VRF that a peer is
//! waited for in.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use proto::time::Instant;

use super::peer::Peer;
use crate::net::tcp::{Listener, Stream};
use crate::told::Told;

/// The port of BGP, RFC 4271 section 8.2.1.
const PORT: u16 = 179;

/// How often a socket that could not be opened is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Connections that are taken before others have their turn.
const ACCEPTS_AT_ONCE: usize = 64;

/// A family, as one of its addresses, and a VRF.
type Place = (bool, Option<String>);

/// All listening sockets.
#[derive(Debug, Default)]
pub(super) struct Doors {
    open: BTreeMap<Place, Listener>,
    retry_at: Option<Instant>,
    told: Told,
}

impl Doors {
    /// Opens what these peers need, closes the rest, and lets in those who have the right key.
    pub(super) fn fit<'a>(&mut self, now: Instant, peers: impl Iterator<Item = &'a Peer> + Clone) {
        let waited_for = peers.filter(|peer| peer.takes_connections());
        let wanted: BTreeMap<Place, IpAddr> = waited_for
            .clone()
            .filter_map(|peer| {
                let address = peer.target()?.ip();
                Some(((address.is_ipv4(), peer.device().map(str::to_owned)), address))
            })
            .collect();
        self.open.retain(|place, _| wanted.contains_key(place));
        self.retry_at = None;
        let mut failures = Vec::new();
        for (place, address) in wanted {
            if self.open.contains_key(&place) {
                continue;
            }
            match Listener::bind(address, PORT, place.1.as_deref()) {
                Ok(listener) => _ = self.open.insert(place, listener),
                Err(error) => failures.push(explain(&error)),
            }
        }
        if !failures.is_empty() {
            self.retry_at = Some(now + RETRY);
        }
        for peer in waited_for {
            let Some(target) = peer.target() else { continue };
            for listener in self.open.values() {
                if let Err(error) = listener.expect(target.ip(), peer.key()) {
                    failures.push(format!("{}: {error}", peer.name()));
                }
            }
        }
        for failure in self.told.news(failures) {
            tracing::error!("routers cannot connect: {failure}");
        }
    }

    /// Whether sockets that could not be opened are to be tried again.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.retry_at.is_some_and(|at| at <= now)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.retry_at
    }

    pub(super) fn sources(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.open.values().map(AsFd::as_fd)
    }

    /// Who has connected: from where, in which VRF.
    pub(super) fn visitors(&self) -> Vec<(SocketAddr, Option<String>, Stream)> {
        let mut visitors = Vec::new();
        for ((_, device), listener) in &self.open {
            for _ in 0..ACCEPTS_AT_ONCE {
                match listener.accept() {
                    Ok(Some((from, stream))) => visitors.push((from, device.clone(), stream)),
                    Ok(None) => break,
                    // It has gone again before we looked.
                    Err(error) => tracing::debug!(%error, "a router has connected and is gone"),
                }
            }
        }
        visitors
    }
}

fn explain(error: &io::Error) -> String {
    let mend = if error.kind() == io::ErrorKind::PermissionDenied {
        String::from(
            "it takes the capability NET_BIND_SERVICE, which this process lacks; add it to the \
             container, or set `passive: false` for the BGPPeer",
        )
    } else if error.kind() == io::ErrorKind::AddrInUse {
        String::from(
            "another process of this host has the port, such as a router daemon; stop it, or set \
             `passive: false` for the BGPPeer",
        )
    } else {
        error.to_string()
    };
    format!("listening on TCP port {PORT}: {mend}")
}
