//! What a BGPPeer and its node mean for a session.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use planner::facts::bgp::{Peer, PeerAddress, RemoteAsn};
use planner::facts::{self, Node};
use planner::names::NodeName;
use proto::bgp::Family;
use proto::bgp::session::{Config, Forwarding, Multiprotocol, Openings, RemoteAs, Restart};

use crate::net::tcp::{Key, Options, Reach};

/// Seconds of silence that end a session, if nothing else is said: RFC 4271 section 10.
const HOLD_TIME: u16 = 90;

/// The longest pause between two attempts to connect, if nothing else is said: MetalLB's.
const CONNECT_RETRY: Duration = Duration::from_secs(120);

/// Seconds that a router keeps our routes for while we restart; FRR's default.
const RESTART_TIME: u16 = 120;

/// Class selector 6, network control (RFC 2474 section 4.2.2.2).
const CS6: u8 = 48;

/// What a session with one router is made from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Where the router is.
    pub at: PeerAddress,
    /// Its TCP port.
    pub port: u16,
    /// How packets go between us.
    pub transport: Options,
    /// What is agreed on.
    pub config: Config,
    /// Addresses of the node, which are next hops where the session has none of a family.
    pub own_addresses: Vec<IpAddr>,
}

impl Settings {
    /// What `peer` means on the node named `name`, which is nothing more than its name if `node` is
    /// not known.
    pub(super) fn of(peer: &Peer, name: &NodeName, node: Option<&Node>) -> Self {
        let own_addresses = node.map(|node| node.internal_ips.clone()).unwrap_or_default();
        Self {
            at: peer.at.clone(),
            port: peer.port,
            transport: transport(peer),
            config: config(peer, name, &own_addresses),
            own_addresses,
        }
    }

    /// Whether a connection that was made with the `new` settings would be another one.
    pub(super) fn is_same_connection(&self, new: &Self) -> bool {
        let place =
            |of: &Self| (of.at.clone(), of.port, of.transport.source, of.transport.device.clone());
        place(self) == place(new)
    }

    /// The value of the label `peer` of MetalLB's metrics.
    pub fn label(&self) -> String {
        match &self.at {
            PeerAddress::Ip(IpAddr::V4(v4)) => format!("{v4}:{}", self.port),
            PeerAddress::Ip(IpAddr::V6(v6)) => format!("[{v6}]:{}", self.port),
            PeerAddress::Interface(interface) => format!("{interface}:{}", self.port),
        }
    }

    /// The name of the VRF; empty for none.
    pub fn vrf(&self) -> &str {
        self.transport.device.as_deref().unwrap_or_default()
    }
}

fn transport(peer: &Peer) -> Options {
    // RFC 4271 leaves it open; all routers send to eBGP peers with a TTL of 1 unless told otherwise.
    let reach = match peer.is_multihop || peer.is_internal() {
        true => Reach::Any,
        false => Reach::Link,
    };
    Options {
        source: peer.source,
        device: peer.vrf.clone(),
        reach,
        dscp: CS6,
        key: peer.password.as_ref().map(|password| Key(password.0.clone())),
    }
}

fn config(peer: &Peer, name: &NodeName, own_addresses: &[IpAddr]) -> Config {
    let families = [(facts::Family::V4, Family::Ipv4), (facts::Family::V6, Family::Ipv6)];
    let carried = families.into_iter().filter(|(family, _)| peer.carries(*family));
    let families: BTreeSet<_> = carried.map(|(_, family)| family).collect();
    let is_over_ipv6 = !matches!(peer.at, PeerAddress::Ip(IpAddr::V4(_)));
    let ipv6_next_hop = match is_over_ipv6 && families.contains(&Family::Ipv4) {
        true => [Family::Ipv4].into(),
        false => BTreeSet::new(),
    };
    let restart =
        Restart { restart_time: RESTART_TIME, forwarding: Forwarding::Kept, long_lived: None };
    Config {
        local_as: peer.local_asn.unwrap_or(peer.my_asn).get(),
        remote_as: match peer.remote_asn {
            RemoteAsn::Number(number) => RemoteAs::Number(number.get()),
            RemoteAsn::Internal => RemoteAs::Internal,
            RemoteAsn::External => RemoteAs::External,
        },
        identifier: peer.router_id.unwrap_or_else(|| identifier(name, own_addresses)),
        hold_time: peer.hold_time.map_or(HOLD_TIME, seconds),
        keepalive: peer.keepalive_time,
        connect_retry: peer.connect_time.unwrap_or(CONNECT_RETRY),
        openings: Openings::Active,
        delay_open: None,
        families,
        multiprotocol: Multiprotocol::Offered,
        ipv6_next_hop,
        graceful_restart: peer.has_graceful_restart.then_some(restart),
        host_name: Some(name.0.clone()),
    }
}

/// Facts have no hold time that does not fit.
fn seconds(time: Duration) -> u16 {
    u16::try_from(time.as_secs()).unwrap_or(u16::MAX)
}

/// The node's own BGP identifier: its first IPv4 address, else, as in MetalLB, what its name hashes
/// to. It must be the same on all sessions and after a restart.
fn identifier(name: &NodeName, own_addresses: &[IpAddr]) -> Ipv4Addr {
    let v4 = own_addresses.iter().find_map(|address| match address {
        IpAddr::V4(v4) => Some(*v4),
        IpAddr::V6(_) => None,
    });
    let hashed = || Ipv4Addr::from(crc32(name.0.as_bytes()).to_le_bytes());
    let identifier = v4.unwrap_or_else(hashed);
    // 0.0.0.0 is nobody's (RFC 6286).
    if identifier.is_unspecified() { Ipv4Addr::new(0, 0, 0, 1) } else { identifier }
}

/// The checksum of IEEE 802.3.
fn crc32(bytes: &[u8]) -> u32 {
    const REVERSED: u32 = 0xedb8_8320;
    let step = |crc: u32, _| (crc >> 1) ^ (REVERSED & (crc & 1).wrapping_neg());
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[cfg(test)]
mod tests;
