//! The cluster as plain values: all that decisions are made from.
//!
//! `ferrolb::parse` makes these from objects and is the only code that does. Whatever is here has
//! been checked: a range ends after it starts, a selector compiles, a name is not empty, an address
//! is not an IPv4-mapped IPv6 address. A Service of another type than LoadBalancer never becomes a
//! fact.

pub mod bgp;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use crate::names::{AdvertisementName, NodeName, PeerName, PoolName, ServiceName};
use crate::range::Range;
use crate::selector::{Labels, Selector};

/// Everything known about the cluster at one moment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Facts {
    /// Services of type LoadBalancer.
    pub services: BTreeMap<ServiceName, Service>,
    /// Endpoints of Services, from all their EndpointSlices.
    pub endpoints: BTreeMap<ServiceName, Vec<Endpoint>>,
    /// All nodes, with or without a speaker.
    pub nodes: BTreeMap<NodeName, Node>,
    /// Labels of namespaces. A namespace without an entry has only its name as a label.
    pub namespaces: BTreeMap<String, Labels>,
    /// Pools of addresses.
    pub pools: BTreeMap<PoolName, Pool>,
    /// What is announced on the LAN, and from where.
    pub l2_advertisements: BTreeMap<AdvertisementName, L2Advertisement>,
    /// What is announced to routers, and from where.
    pub bgp_advertisements: BTreeMap<AdvertisementName, bgp::BgpAdvertisement>,
    /// Routers that nodes have sessions with.
    pub peers: BTreeMap<PeerName, bgp::Peer>,
    /// Nodes that run a speaker; `None` means all of them.
    pub speakers: Option<BTreeSet<NodeName>>,
    /// Nodes with the exclude label are candidates all the same (`--ignore-exclude-lb`).
    pub ignore_exclude_label: bool,
}

/// A Service of type LoadBalancer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Service {
    /// Labels, for selectors of pools and advertisements.
    pub labels: Labels,
    /// Addresses it has been given, in the order of its status.
    pub addresses: Vec<IpAddr>,
    /// Addresses it asks for; empty leaves the choice to us.
    pub requested_addresses: Vec<IpAddr>,
    /// The pool it asks for.
    pub requested_pool: Option<PoolName>,
    /// Services with the same key may share an address; `None` and an empty key never share.
    ///
    /// An empty key still counts as the annotation `allow-shared-ip`, with which an L2Advertisement
    /// that selects Services never announces a Service.
    pub sharing_key: Option<String>,
    /// Which families it needs.
    pub families: Families,
    /// Which nodes may forward for it.
    pub traffic_policy: TrafficPolicy,
    /// What it listens on.
    pub ports: BTreeSet<Port>,
    /// Labels of its pods: two Services with `TrafficPolicy::Local` share an address only if these
    /// are the same.
    pub pod_selector: Labels,
}

/// Which address families a Service needs, `spec.ipFamilies` and `spec.ipFamilyPolicy`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Families {
    /// One address, of this family.
    Single(Family),
    /// One of each if a pool has both; else one, of this family if possible.
    ///
    /// Only for a Service that has a cluster IP of each family; one that has a single cluster IP is
    /// [`Self::Single`], whatever its policy.
    PreferDual(Family),
    /// One of each or nothing.
    RequireDual,
}

impl Families {
    /// Whether a Service that needs these may have exactly `addresses`.
    pub fn allow(self, addresses: &[IpAddr]) -> bool {
        let families: Vec<_> = addresses.iter().map(|address| Family::of(*address)).collect();
        match (self, families.as_slice()) {
            (Self::Single(needed), [family]) => needed == *family,
            (Self::PreferDual(_), [_]) => true,
            (Self::PreferDual(_) | Self::RequireDual, [one, other]) => one != other,
            (Self::Single(_) | Self::PreferDual(_) | Self::RequireDual, _) => false,
        }
    }
}

impl fmt::Display for Families {
    /// What is needed, after "needs".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Single(family) => write!(f, "one {family} address"),
            Self::PreferDual(_) | Self::RequireDual => f.write_str("an IPv4 and an IPv6 address"),
        }
    }
}

/// An address family.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// `spec.externalTrafficPolicy`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum TrafficPolicy {
    /// Every node forwards, to any endpoint.
    Cluster,
    /// A node forwards only to endpoints of its own.
    Local,
}

/// A port of a Service; two Services on one address may not have the same.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Port {
    /// Transport protocol.
    pub protocol: Protocol,
    /// Port number at the Service's address.
    pub number: u16,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.protocol, self.number)
    }
}

/// A transport protocol of a Service port.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        })
    }
}

/// One endpoint of a Service, reduced to what decisions need.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Endpoint {
    /// Where it runs; `None` when the slice does not say.
    pub node: Option<NodeName>,
    /// Ready, or terminating and still serving.
    pub is_healthy: bool,
    /// Whether it has an address; BGP announces only for endpoints that have.
    pub has_address: bool,
}

/// A node.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Node {
    /// Labels, for selectors of advertisements.
    pub labels: Labels,
    /// `InternalIP` addresses, at which its speaker hears the others.
    pub internal_ips: Vec<IpAddr>,
    /// The condition `NetworkUnavailable` is true.
    pub is_network_unavailable: bool,
    /// It has the label `node.kubernetes.io/exclude-from-external-load-balancers`.
    pub is_excluded: bool,
}

/// A pool of addresses: at least one range, none overlapping another.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pool {
    /// Labels, for `ipAddressPoolSelectors` of advertisements.
    pub labels: Labels,
    /// Ranges in the order written.
    pub ranges: Vec<Range>,
    /// Whether Services that do not name the pool get addresses from it.
    pub auto_assign: bool,
    /// Leaves out IPv4 addresses that end in 0 or 255.
    pub avoid_buggy_ips: bool,
    /// Which Services it is for; `None` means any.
    pub allocation: Option<Allocation>,
}

impl Pool {
    /// Whether the pool has `address` to give.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.ranges.iter().any(|range| range.contains(address)) && !self.is_avoided(address)
    }

    /// How many addresses of a family it has to give.
    pub fn capacity(&self, family: Family) -> u128 {
        self.ranges_of(family).fold(0, |sum, range| {
            let left_out = if self.avoid_buggy_ips { range.count_buggy() } else { 0 };
            sum.saturating_add(range.count() - left_out)
        })
    }

    /// Its ranges of a family, in the order written.
    pub fn ranges_of(&self, family: Family) -> impl Iterator<Item = Range> {
        self.ranges.iter().copied().filter(move |range| range.family() == family)
    }

    /// Whether `avoidBuggyIPs` leaves `address` out.
    pub fn is_avoided(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => self.avoid_buggy_ips && matches!(v4.octets()[3], 0 | 255),
            IpAddr::V6(_) => false,
        }
    }
}

/// `spec.serviceAllocation` of a pool.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Allocation {
    /// Lower is tried first; zero is tried last.
    pub priority: i64,
    /// Namespaces by name.
    pub namespaces: BTreeSet<String>,
    /// Namespaces by label; any of them may match.
    pub namespace_selectors: Vec<Selector>,
    /// Services by label; any of them may match.
    pub service_selectors: Vec<Selector>,
}

/// An L2Advertisement. An empty list selects everything.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct L2Advertisement {
    /// Pools by name.
    pub pools: BTreeSet<PoolName>,
    /// Pools by label; any of them may match.
    pub pool_selectors: Vec<Selector>,
    /// Nodes by label; any of them may match.
    pub node_selectors: Vec<Selector>,
    /// Services by label; any of them may match.
    pub service_selectors: Vec<Selector>,
    /// Nodes to prefer, each with its weight from 1 to 100.
    pub preferred_nodes: Vec<(i32, Selector)>,
    /// Interfaces by name.
    pub interfaces: BTreeSet<String>,
}
