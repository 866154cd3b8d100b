//! What is announced to routers, and to which.

mod community;

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use proto::bfd::auth::Key;

use crate::names::{PeerName, PoolName};
use crate::selector::Selector;

/// A BGPAdvertisement. An empty list selects everything.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BgpAdvertisement {
    /// Pools by name.
    pub pools: BTreeSet<PoolName>,
    /// Pools by label; any of them may match.
    pub pool_selectors: Vec<Selector>,
    /// Nodes by label; any of them may match.
    pub node_selectors: Vec<Selector>,
    /// Services by label; any of them may match. Not empty only with the default aggregation.
    pub service_selectors: Vec<Selector>,
    /// Peers by name. A name that no peer has matches nothing.
    pub peers: BTreeSet<PeerName>,
    /// Prefix length of routes for IPv4 addresses, at most 32.
    pub aggregation_v4: u8,
    /// Prefix length of routes for IPv6 addresses, at most 128.
    pub aggregation_v6: u8,
    /// LOCAL_PREF for peers in our own AS (RFC 4271 section 5.1.5); `None` leaves the default.
    pub local_pref: Option<u32>,
    /// Communities of the routes.
    pub communities: BTreeSet<Community>,
}

impl Default for BgpAdvertisement {
    /// Everything to everyone, each address a route of its own.
    fn default() -> Self {
        Self {
            pools: BTreeSet::new(),
            pool_selectors: Vec::new(),
            node_selectors: Vec::new(),
            service_selectors: Vec::new(),
            peers: BTreeSet::new(),
            aggregation_v4: 32,
            aggregation_v6: 128,
            local_pref: None,
            communities: BTreeSet::new(),
        }
    }
}

/// A tag on a route, of any of the three kinds.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Community {
    /// RFC 1997: by convention an AS number and a number of its own, `65000:100`.
    Standard(u32),
    /// RFC 8092: an AS number and two numbers of its own, `large:65000:1:2`.
    Large(u32, u32, u32),
    /// RFC 4360: eight octets as they are on the wire.
    Extended([u8; 8]),
}

/// A BGPPeer: a router, or a group of them, that nodes have a session with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Peer {
    /// Which nodes have the session; empty means all.
    pub node_selectors: Vec<Selector>,
    /// Where the router is.
    pub at: PeerAddress,
    /// TCP port of the router.
    pub port: u16,
    /// Address of ours to speak from; `None` leaves it to the kernel.
    pub source: Option<IpAddr>,
    /// Our AS.
    pub my_asn: NonZeroU32,
    /// The AS that this session shows in place of ours.
    pub local_asn: Option<NonZeroU32>,
    /// The router's AS.
    pub remote_asn: RemoteAsn,
    /// Our BGP identifier; `None` takes one from the node's addresses.
    pub router_id: Option<Ipv4Addr>,
    /// RFC 4271 section 4.2; zero switches it off. `None` leaves the default.
    pub hold_time: Option<Duration>,
    /// RFC 4271 section 4.4. `None` leaves the default, a third of the hold time.
    pub keepalive_time: Option<Duration>,
    /// How long to wait before connecting again. `None` leaves the default.
    pub connect_time: Option<Duration>,
    /// The router may be more than one hop away.
    pub is_multihop: bool,
    /// How many hops the router is away at most (RFC 5082); `None` does not look.
    pub ttl_security: Option<u8>,
    /// The router connects to us.
    pub is_passive: bool,
    /// The router keeps routes while the speaker restarts (RFC 4724).
    pub has_graceful_restart: bool,
    /// The session carries both families whatever its transport is.
    pub is_dual_stack: bool,
    /// The VRF of the node that the session is in.
    pub vrf: Option<String>,
    /// The key of TCP MD5 (RFC 2385).
    pub password: Option<Password>,
    /// How to watch the path to the router; `None` does not.
    pub bfd: Option<BfdProfile>,
}

impl Peer {
    /// A router of which no more is said: every node has an active session with it, on the port of
    /// BGP (RFC 4271), with defaults for all else.
    pub fn new(at: PeerAddress, my_asn: NonZeroU32, remote_asn: RemoteAsn) -> Self {
        Self {
            node_selectors: Vec::new(),
            at,
            port: 179,
            source: None,
            my_asn,
            local_asn: None,
            remote_asn,
            router_id: None,
            hold_time: None,
            keepalive_time: None,
            connect_time: None,
            is_multihop: false,
            ttl_security: None,
            is_passive: false,
            has_graceful_restart: false,
            is_dual_stack: false,
            vrf: None,
            password: None,
            bfd: None,
        }
    }
}

/// Where a router is.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum PeerAddress {
    /// At an address.
    Ip(IpAddr),
    /// At the other end of this interface, found by router advertisements.
    Interface(String),
}

/// Which AS a router may be in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RemoteAsn {
    /// In this one.
    Number(NonZeroU32),
    /// In ours, whichever it says.
    Internal,
    /// In any but ours.
    External,
}

/// A secret that does not print.
#[derive(Clone, Eq, PartialEq)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// A BFDProfile with its defaults filled in (RFC 5880).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BfdProfile {
    /// The fastest we can receive.
    pub receive_interval: Duration,
    /// The fastest we want to send.
    pub transmit_interval: Duration,
    /// Packets in a row that may be lost.
    pub detect_multiplier: u8,
    /// The interval of echo packets; `None` sends none.
    pub echo_interval: Option<Duration>,
    /// Wait for the router to speak first.
    pub is_passive: bool,
    /// The lowest TTL that is accepted over several hops.
    pub minimum_ttl: Option<u8>,
    /// What packets are authenticated with.
    pub key: Option<Key>,
}
