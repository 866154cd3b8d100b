//! The cluster as plain values: all that decisions are made from.
//!
//! `ferrolb::parse` makes these from objects and is the only code that does. Whatever is here has
//! been checked: a range ends after it starts, a selector compiles, a name is not empty, an address
//! is not an IPv4-mapped IPv6 address. A Service of another type than LoadBalancer never becomes a
//! fact.

pub mod bgp;
mod change;
pub mod lan;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use crate::names::{AdvertisementName, NodeName, PeerName, PoolName, ServiceName};
use crate::range::{Range, bits};
use crate::selector::{Labels, Selector};

pub use change::Change;
pub use lan::L2Advertisement;

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
    /// Services that a MetalLB which still runs announces on the LAN, and from which node. None of
    /// ours announces their addresses.
    pub rivals: BTreeMap<ServiceName, NodeName>,
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
    /// How many addresses of each family it needs, from 1 to [`MAX_ADDRESS_COUNT`].
    pub address_count: u8,
    /// Which nodes may forward for it.
    pub traffic_policy: TrafficPolicy,
    /// What it listens on.
    pub ports: BTreeSet<Port>,
    /// Labels of its pods: two Services with `TrafficPolicy::Local` share an address only if these
    /// are the same.
    pub pod_selector: Labels,
    /// When it was created, in seconds since 1970: of two Services with the same address the later
    /// one gives it up. `None`, which nobody has created yet, is later than any.
    pub created: Option<i64>,
}

/// The most addresses of one family that a Service can have, so that no status grows without end.
pub const MAX_ADDRESS_COUNT: u8 = 16;

impl Service {
    /// What its addresses have to be.
    pub fn need(&self) -> Need {
        Need { families: self.families, count: self.address_count }
    }

    /// The addresses that it has, each once and of each family no more than it needs: the first.
    pub fn wanted_addresses(&self) -> Vec<IpAddr> {
        let mut wanted: Vec<IpAddr> = Vec::new();
        for &address in &self.addresses {
            let is_surplus = count_of(&wanted, Family::of(address)) >= self.address_count.into();
            if !is_surplus && !wanted.contains(&address) {
                wanted.push(address);
            }
        }
        wanted
    }
}

/// Which addresses a Service needs: so many of each of these families.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Need {
    /// Which families.
    pub families: Families,
    /// How many addresses of each.
    pub count: u8,
}

impl Need {
    /// Whether `addresses` are all that is needed, none of them twice.
    ///
    /// One family is not enough where dual stack is preferred, as in MetalLB: who asks for
    /// addresses has to ask for all of them.
    pub fn is_met_by(self, addresses: &[IpAddr]) -> bool {
        let count = usize::from(self.count);
        let is_repeated = |index: usize| addresses[..index].contains(&addresses[index]);
        if (0..addresses.len()).any(is_repeated) {
            return false;
        }
        let found = |family| count_of(addresses, family);
        match self.families {
            Families::Single(family) => found(family) == count && found(family.other()) == 0,
            Families::PreferDual(_) | Families::RequireDual => {
                found(Family::V4) == count && found(Family::V6) == count
            }
        }
    }

    /// How many addresses of `family` it would like besides `addresses`.
    pub fn lacks(self, family: Family, addresses: &[IpAddr]) -> usize {
        let is_needed = match self.families {
            Families::Single(needed) => needed == family,
            Families::PreferDual(_) | Families::RequireDual => true,
        };
        let count = if is_needed { self.count.into() } else { 0 };
        usize::saturating_sub(count, count_of(addresses, family))
    }
}

impl fmt::Display for Need {
    /// What is needed, after "needs".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { families, count } = self;
        match families {
            Families::Single(family) if *count == 1 => write!(f, "one {family} address"),
            Families::Single(family) => write!(f, "{count} {family} addresses"),
            Families::PreferDual(_) | Families::RequireDual if *count == 1 => {
                f.write_str("an IPv4 and an IPv6 address")
            }
            Families::PreferDual(_) | Families::RequireDual => {
                write!(f, "{count} IPv4 and {count} IPv6 addresses")
            }
        }
    }
}

/// How many of `addresses` are of `family`.
fn count_of(addresses: &[IpAddr], family: Family) -> usize {
    addresses.iter().filter(|address| Family::of(**address) == family).count()
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
    /// Whether a Service that needs these may have `addresses`, however many of each there are.
    pub fn allow(self, addresses: &[IpAddr]) -> bool {
        let has = |family| addresses.iter().any(|address| Family::of(*address) == family);
        match self {
            Self::Single(family) => has(family) && !has(family.other()),
            Self::PreferDual(_) => !addresses.is_empty(),
            Self::RequireDual => has(Family::V4) && has(Family::V6),
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
    /// Why it is expected to stop serving, although it still does.
    pub departures: BTreeSet<lan::Departure>,
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
    /// Gives nothing new; who has an address keeps it.
    pub is_draining: bool,
    /// How many of its addresses the Services of one namespace may have together.
    pub namespace_quota: Option<u64>,
    /// Addresses that only one Service may have, whether it exists or not.
    pub reservations: Reservations,
}

/// Addresses that only one Service each may have.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Reservations {
    owners: BTreeMap<IpAddr, ServiceName>,
    // The two below follow from `owners`, which would otherwise be walked once for each Service.
    by_service: BTreeMap<ServiceName, BTreeSet<IpAddr>>,
    /// For each address the last one of those that follow it without a gap.
    run_ends: BTreeMap<IpAddr, IpAddr>,
}

impl Reservations {
    /// The Service that `address` is reserved for.
    pub fn owner(&self, address: IpAddr) -> Option<&ServiceName> {
        self.owners.get(&address)
    }

    /// The addresses that are reserved for `service`, the lowest first.
    pub fn of(&self, service: &ServiceName) -> impl Iterator<Item = IpAddr> {
        self.by_service.get(service).into_iter().flatten().copied()
    }

    /// The last of the reserved addresses that follow `address`, if that is one, without a gap.
    pub fn run_end(&self, address: IpAddr) -> Option<IpAddr> {
        self.run_ends.get(&address).copied()
    }

    /// All reserved addresses.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.owners.keys().copied()
    }
}

impl FromIterator<(IpAddr, ServiceName)> for Reservations {
    /// Of two for the same address, the later one counts.
    fn from_iter<T: IntoIterator<Item = (IpAddr, ServiceName)>>(reserved: T) -> Self {
        let owners: BTreeMap<_, _> = reserved.into_iter().collect();
        let mut by_service: BTreeMap<ServiceName, BTreeSet<IpAddr>> = BTreeMap::new();
        for (address, owner) in &owners {
            by_service.entry(owner.clone()).or_default().insert(*address);
        }
        let mut run_ends: BTreeMap<IpAddr, IpAddr> = BTreeMap::new();
        for &address in owners.keys().rev() {
            let follows = |next: &IpAddr| {
                Family::of(*next) == Family::of(address) && bits(*next) - bits(address) == 1
            };
            let next = run_ends.first_key_value().filter(|(next, _)| follows(next));
            let end = next.map_or(address, |(_, end)| *end);
            run_ends.insert(address, end);
        }
        Self { owners, by_service, run_ends }
    }
}

impl Pool {
    /// Whether the pool has `address` to give.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.ranges.iter().any(|range| range.contains(address)) && !self.is_avoided(address)
    }

    /// Whether it may give `address`, one of its own, to `service`.
    pub fn offers(&self, address: IpAddr, service: &ServiceName) -> bool {
        let is_for_it = self.reservations.owner(address).is_none_or(|owner| owner == service);
        is_for_it && !self.is_avoided(address)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::{address, service};

    #[test]
    fn reserved_addresses_without_a_gap_are_one_run() {
        let at = ["192.0.2.1", "192.0.2.2", "192.0.2.4", "255.255.255.255", "::", "::1"];
        let reserved = at.map(|text| (address(text), service("a").name));
        let reservations: Reservations = reserved.into_iter().collect();
        let rows = [
            ("the first of two", "192.0.2.1", Some("192.0.2.2")),
            ("the last of two", "192.0.2.2", Some("192.0.2.2")),
            ("alone", "192.0.2.4", Some("192.0.2.4")),
            ("families are apart", "255.255.255.255", Some("255.255.255.255")),
            ("IPv6", "::", Some("::1")),
            ("not reserved", "192.0.2.3", None),
        ];
        for (name, at, want) in rows {
            assert_eq!(reservations.run_end(address(at)), want.map(address), "{name}");
        }
    }
}
