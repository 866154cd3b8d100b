//! Every "no", by name: the log, the Event, the metric label and `explain` share these.
//!
//! Each has a sentence ([`std::fmt::Display`]), a label that stays the same across versions, and
//! help that says how to mend it. Where MetalLB has a word for a reason, the label is that word.

mod help;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use crate::facts::lan::Departure;
use crate::facts::{Family, Need, Port};
use crate::names::{AdvertisementName, NodeName, PoolName, ServiceName};

/// Why a Service gets no address, or cannot keep the one that it has.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// The address is in no pool.
    InNoPool {
        /// The address that it asked for or had.
        address: IpAddr,
    },
    /// The addresses are in more than one pool.
    InTwoPools {
        /// The addresses that it asked for or had.
        addresses: Vec<IpAddr>,
    },
    /// The address is in a pool which leaves it out.
    Avoided {
        /// The address that it asked for or had.
        address: IpAddr,
        /// The pool.
        pool: PoolName,
    },
    /// There is no pool at all.
    NoPools,
    /// None of the pools that it may come from can serve it.
    NoPoolFits {
        /// Each pool with its reason, in the order in which they were tried.
        pools: Vec<(PoolName, Obstacle)>,
    },
    /// The pool of the addresses is not for this Service.
    NotForService {
        /// The pool.
        pool: PoolName,
        /// Why.
        obstacle: Obstacle,
    },
    /// The addresses are in another pool than the one that it asks for.
    OtherPool {
        /// The addresses that it asked for or had.
        addresses: Vec<IpAddr>,
        /// The pool that they are in.
        pool: PoolName,
        /// The pool that it asks for.
        requested: PoolName,
    },
    /// The addresses are not those that it asks for.
    OtherAddresses {
        /// The addresses that it had.
        addresses: Vec<IpAddr>,
    },
    /// The address is reserved for another Service.
    Reserved {
        /// The address that it asked for or had.
        address: IpAddr,
        /// The pool that reserves it.
        pool: PoolName,
        /// The Service that it is reserved for.
        owner: ServiceName,
    },
    /// Another Service is in the way.
    Taken {
        /// The address that it asked for or had.
        address: IpAddr,
        /// Who is in the way, and why they cannot share.
        conflict: Conflict,
    },
    /// The pool that it asks for does not exist.
    UnknownPool {
        /// The pool.
        pool: PoolName,
    },
    /// The addresses are not of the families that it needs.
    WrongFamilies {
        /// The addresses that it asked for or had.
        addresses: Vec<IpAddr>,
        /// What it needs.
        needed: Need,
    },
}

/// Why one pool cannot serve a Service.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Obstacle {
    /// `autoAssign` is off, and the Service does not ask for the pool.
    AutoAssignOff,
    /// It is being drained.
    Draining,
    /// Too few addresses of this family are free, or shared such that the Service may share them.
    Exhausted {
        /// The family.
        family: Family,
        /// How many the Service needs.
        needed: usize,
        /// How many of these it could have.
        found: usize,
        /// Addresses that Services have.
        used: u128,
        /// Addresses that nobody has, but that are reserved.
        reserved: u128,
        /// Addresses that the pool has.
        total: u128,
    },
    /// Its `serviceSelectors` do not match the labels of the Service.
    LabelsNotSelected,
    /// Its `serviceAllocation` leaves out the namespace of the Service.
    NamespaceNotSelected,
    /// It has no address of this family.
    NoSuchFamily {
        /// The family.
        family: Family,
    },
    /// The namespace of the Service has as many addresses of it as it may have.
    QuotaReached {
        /// The namespace.
        namespace: String,
        /// How many addresses of the pool its Services have.
        used: u128,
        /// How many they may have.
        quota: u64,
    },
}

/// Why two Services cannot share an address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Conflict {
    /// They forward to different sets of nodes: one of them only to nodes with its own pods.
    OtherBackends {
        /// The Service that has the address.
        holder: ServiceName,
    },
    /// Both have a sharing key, but not the same.
    OtherSharingKey {
        /// The Service that has the address.
        holder: ServiceName,
    },
    /// Both listen on the same port.
    PortTaken {
        /// The first such port.
        port: Port,
        /// The Service that has the address.
        holder: ServiceName,
    },
    /// One of them has no sharing key.
    Unshared {
        /// The Service that has the address.
        holder: ServiceName,
    },
}

/// How addresses are announced.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Protocol {
    /// To routers.
    Bgp,
    /// To the hosts on the network of a node, by ARP.
    Lan,
}

impl Protocol {
    /// The kind of the objects that say what is announced.
    fn advertisement(self) -> &'static str {
        match self {
            Self::Bgp => "BGPAdvertisement",
            Self::Lan => "L2Advertisement",
        }
    }
}

/// Why a node does not announce an address of a Service, on the LAN or to routers.
///
/// That another node comes first on the LAN is no such reason: who of the candidates announces is
/// decided among the speakers.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Silence {
    /// Two advertisements for Service and node give the same routes different local preferences.
    ConflictingAdvertisements {
        /// The first by name.
        one: AdvertisementName,
        /// The first that it is in conflict with.
        other: AdvertisementName,
    },
    /// The session with the router does not carry routes of the family.
    FamilyNotCarried {
        /// The family.
        family: Family,
    },
    /// The addresses of the Service are not all in one pool.
    InNoPool,
    /// The Service has no address.
    NoAddress,
    /// No advertisement selects the pool.
    NoAdvertisement {
        /// Advertisements of which kind.
        kind: Protocol,
        /// The pool.
        pool: PoolName,
    },
    /// No node can announce the address.
    NoCandidate {
        /// Why this node cannot.
        here: Box<Self>,
    },
    /// The node is about to go away, and others could serve.
    NodeDeparting {
        /// Why.
        why: Departure,
    },
    /// The node carries the label that excludes it from load balancers.
    NodeExcluded,
    /// The network of the node is unavailable.
    NodeNetworkUnavailable,
    /// No advertisement for the Service selects the node.
    NodeNotSelected {
        /// Advertisements of which kind.
        kind: Protocol,
        /// The advertisements for the Service.
        advertisements: BTreeSet<AdvertisementName>,
    },
    /// There is no such node.
    NodeUnknown,
    /// No endpoint is healthy.
    NoHealthyEndpoint,
    /// No endpoint on the node is healthy, and the Service forwards only to these.
    NoHealthyLocalEndpoint,
    /// The node has no session with any router.
    NoPeer,
    /// The node runs no speaker.
    NoSpeaker,
    /// No advertisement for Service and node is for the router.
    PeerNotSelected {
        /// The advertisements for Service and node.
        advertisements: BTreeSet<AdvertisementName>,
    },
    /// A MetalLB that still runs announces the address.
    RivalAnnounces {
        /// From this node.
        node: NodeName,
    },
    /// Advertisements select the pool, but not the Service.
    ServiceNotSelected {
        /// Advertisements of which kind.
        kind: Protocol,
        /// The pool.
        pool: PoolName,
    },
    /// The address is shared with a Service that the node cannot serve.
    SharerNotServed {
        /// The other Service.
        sharer: ServiceName,
    },
    /// The Service may share its address, but the advertisement selects Services.
    SharingWithServiceSelectors {
        /// The first such advertisement.
        advertisement: AdvertisementName,
    },
}

impl Refusal {
    /// The reason as a metric label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::InNoPool { .. } => "ipNotAllowed",
            Self::InTwoPools { .. } => "ipsInDifferentPools",
            Self::Avoided { .. } => "ipAvoided",
            Self::NoPools => "noPools",
            Self::NoPoolFits { pools } => no_pool_fits_label(pools),
            Self::NotForService { obstacle, .. } => obstacle.label(),
            Self::OtherPool { .. } => "differentPoolRequested",
            Self::OtherAddresses { .. } => "differentIPRequested",
            Self::Reserved { .. } => "reservedForOther",
            Self::Taken { conflict, .. } => conflict.label(),
            Self::UnknownPool { .. } => "unknownPool",
            Self::WrongFamilies { .. } => "ipFamilyMismatch",
        }
    }
}

/// A pool that is full would do if it were larger, so that is the reason to act on; else the reason
/// that all pools have, if it is one.
fn no_pool_fits_label(pools: &[(PoolName, Obstacle)]) -> &'static str {
    let labels: BTreeSet<_> = pools.iter().map(|(_, obstacle)| obstacle.label()).collect();
    match (labels.contains(EXHAUSTED), labels.first()) {
        (true, _) => EXHAUSTED,
        (false, Some(label)) if labels.len() == 1 => label,
        (false, _) => "noPoolFits",
    }
}

/// The label of [`Obstacle::Exhausted`].
const EXHAUSTED: &str = "exhausted";

impl Obstacle {
    /// The reason as a metric label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::AutoAssignOff => "autoAssignOff",
            Self::Draining => "poolDraining",
            Self::Exhausted { .. } => EXHAUSTED,
            Self::LabelsNotSelected => "serviceNotSelected",
            Self::NamespaceNotSelected => "namespaceNotSelected",
            Self::NoSuchFamily { .. } => "noSuchFamily",
            Self::QuotaReached { .. } => "quotaReached",
        }
    }
}

impl Conflict {
    /// The reason as a metric label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::OtherBackends { .. } => "differentBackends",
            Self::OtherSharingKey { .. } => "differentSharingKey",
            Self::PortTaken { .. } => "portTaken",
            Self::Unshared { .. } => "notShared",
        }
    }
}

impl Silence {
    /// The reason as a metric label and as the `reason` of `plan -o json`.
    pub fn label(&self) -> &'static str {
        match self {
            Self::ConflictingAdvertisements { .. } => "conflictingAdvertisements",
            Self::FamilyNotCarried { .. } => "familyNotCarried",
            Self::InNoPool => "ipNotAllowed",
            Self::NoAddress => "noIPAllocated",
            Self::NoAdvertisement { .. } => "noMatchingAdvertisement",
            Self::NoCandidate { .. } => "noCandidate",
            Self::NodeDeparting { .. } => "nodeDeparting",
            Self::NodeExcluded => "nodeLabeledExcludeBalancers",
            Self::NodeNetworkUnavailable => "nodeNetworkUnavailable",
            Self::NodeNotSelected { .. } => "nodeNotSelected",
            Self::NodeUnknown => "nodeUnknown",
            Self::NoHealthyEndpoint => "noEndpoints",
            Self::NoHealthyLocalEndpoint => "noLocalEndpoints",
            Self::NoPeer => "noPeer",
            Self::NoSpeaker => "noSpeaker",
            Self::PeerNotSelected { .. } => "peerNotSelected",
            Self::RivalAnnounces { .. } => "announcedByMetalLB",
            Self::ServiceNotSelected { .. } => "serviceNotSelected",
            Self::SharerNotServed { .. } => "sharerNotServed",
            Self::SharingWithServiceSelectors { .. } => "sharedIPWithServiceSelector",
        }
    }
}

/// How many pools or advertisements a sentence names before it says how many more there are.
const NAMED_IN_A_SENTENCE: usize = 5;

/// Items joined by `separator`, the first few of them.
fn list<T: fmt::Display>(items: impl ExactSizeIterator<Item = T>, separator: &str) -> String {
    let more = items.len().saturating_sub(NAMED_IN_A_SENTENCE);
    let mut named: Vec<_> = items.take(NAMED_IN_A_SENTENCE).map(|item| item.to_string()).collect();
    if more > 0 {
        named.push(format!("and {more} more"));
    }
    named.join(separator)
}

pub(crate) fn quoted<T: fmt::Display>(items: impl ExactSizeIterator<Item = T>) -> String {
    list(items.map(|item| format!("`{item}`")), ", ")
}

/// `is` or `are`.
fn be(addresses: &[IpAddr]) -> &'static str {
    if addresses.len() == 1 { "is" } else { "are" }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InNoPool { address } => write!(f, "`{address}` is in no pool"),
            Self::InTwoPools { addresses } => {
                let addresses = quoted(addresses.iter());
                write!(f, "{addresses} are in different pools, but must be in one")
            }
            Self::Avoided { address, pool } => {
                write!(f, "`{address}` ends in 0 or 255, which pool `{pool}` avoids")
            }
            Self::NoPools => f.write_str("there is no pool"),
            Self::NoPoolFits { pools } => {
                let reasons = pools.iter().map(|(pool, obstacle)| format!("`{pool}` {obstacle}"));
                write!(f, "no pool can serve it: {}", list(reasons, "; "))
            }
            Self::NotForService { pool, obstacle } => write!(f, "pool `{pool}` {obstacle}"),
            Self::OtherPool { addresses, pool, requested } => {
                let (named, be) = (quoted(addresses.iter()), be(addresses));
                write!(f, "{named} {be} in pool `{pool}`, but it asks for pool `{requested}`")
            }
            Self::OtherAddresses { addresses } => {
                let (named, be) = (quoted(addresses.iter()), be(addresses));
                write!(f, "{named} {be} not what it asks for")
            }
            Self::Reserved { address, pool, owner } => {
                write!(f, "`{address}` is reserved for `{owner}` in pool `{pool}`")
            }
            Self::Taken { address, conflict } => write!(f, "`{address}` {conflict}"),
            Self::UnknownPool { pool } => write!(f, "there is no pool `{pool}`"),
            Self::WrongFamilies { addresses, needed } => {
                write!(f, "it needs {needed}, not {}", quoted(addresses.iter()))
            }
        }
    }
}

impl fmt::Display for Obstacle {
    /// What follows the name of the pool.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AutoAssignOff => f.write_str("has `autoAssign` off and must be asked for"),
            Self::Draining => f.write_str("is being drained and gives nothing new"),
            Self::Exhausted { family, needed, found, used, reserved, total } => {
                match found {
                    0 => write!(f, "has no {family} address left, ")?,
                    1.. => write!(f, "has {found} of {needed} {family} addresses left, ")?,
                }
                write!(f, "{used} of {total} are in use")?;
                match reserved {
                    0 => Ok(()),
                    1.. => write!(f, " and {reserved} reserved"),
                }
            }
            Self::LabelsNotSelected => f.write_str("is not for Services with its labels"),
            Self::NamespaceNotSelected => f.write_str("is not for its namespace"),
            Self::NoSuchFamily { family } => write!(f, "has no {family} addresses"),
            Self::QuotaReached { namespace, used, quota } => write!(
                f,
                "lets a namespace have {quota} of its addresses, and `{namespace}` has {used} \
                 already"
            ),
        }
    }
}

impl fmt::Display for Conflict {
    /// What follows the address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherBackends { holder } => write!(
                f,
                "is shared by `{holder}`, whose `externalTrafficPolicy` or pods are not the same"
            ),
            Self::OtherSharingKey { holder } => {
                write!(f, "is shared by `{holder}` under another key")
            }
            Self::PortTaken { port, holder } => {
                write!(f, "is shared by `{holder}`, which listens on {port} as well")
            }
            Self::Unshared { holder } => write!(f, "belongs to `{holder}` and is not shared"),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bgp => "bgp",
            Self::Lan => "lan",
        })
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConflictingAdvertisements { one, other } => write!(
                f,
                "BGPAdvertisements `{one}` and `{other}` give the same routes different local \
                 preferences"
            ),
            Self::FamilyNotCarried { family } => {
                write!(f, "the session does not carry {family} routes")
            }
            Self::InNoPool => f.write_str("its addresses are not all in one pool"),
            Self::NoAddress => f.write_str("it has no address"),
            Self::NoAdvertisement { kind, pool } => {
                write!(f, "no {} selects pool `{pool}`", kind.advertisement())
            }
            Self::NoCandidate { here } => write!(f, "no node can announce it; on this one, {here}"),
            Self::NodeDeparting { why } => {
                write!(f, "this node {why}, and another one can announce it")
            }
            Self::NodeExcluded => {
                f.write_str("this node has the label that excludes it from load balancers")
            }
            Self::NodeNetworkUnavailable => f.write_str("the network of this node is unavailable"),
            Self::NodeNotSelected { kind, advertisements } => {
                let (kind, names) = (kind.advertisement(), quoted(advertisements.iter()));
                write!(f, "no {kind} for it selects this node, only others: {names}")
            }
            Self::NodeUnknown => f.write_str("this node is unknown"),
            Self::NoHealthyEndpoint => f.write_str("no endpoint is healthy"),
            Self::NoHealthyLocalEndpoint => f.write_str("no endpoint on this node is healthy"),
            Self::NoPeer => f.write_str("this node has no session with any BGPPeer"),
            Self::NoSpeaker => f.write_str("this node runs no speaker"),
            Self::PeerNotSelected { advertisements } => {
                let names = quoted(advertisements.iter());
                write!(f, "the BGPAdvertisements for it are for other peers: {names}")
            }
            Self::RivalAnnounces { node } => {
                write!(f, "a MetalLB that still runs announces it from node `{node}`")
            }
            Self::ServiceNotSelected { kind, pool } => {
                write!(f, "the {}s of pool `{pool}` do not select it", kind.advertisement())
            }
            Self::SharerNotServed { sharer } => {
                write!(f, "it shares the address with `{sharer}`, which this node cannot serve")
            }
            Self::SharingWithServiceSelectors { advertisement } => write!(
                f,
                "it may share its address, and L2Advertisement `{advertisement}` selects Services"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::address;

    fn full() -> Obstacle {
        exhausted(1, 0, 0)
    }

    fn exhausted(needed: usize, found: usize, reserved: u128) -> Obstacle {
        Obstacle::Exhausted { family: Family::V4, needed, found, used: 2, reserved, total: 2 }
    }

    fn pools<const N: usize>(pools: [(&str, Obstacle); N]) -> Refusal {
        let pools = pools.map(|(name, obstacle)| (PoolName::from(name), obstacle)).into();
        Refusal::NoPoolFits { pools }
    }

    #[test]
    fn a_refusal_by_pools_gives_each_its_reason() {
        let refusal = pools([("a", full()), ("b", Obstacle::AutoAssignOff)]);
        assert_eq!(
            refusal.to_string(),
            "no pool can serve it: `a` has no IPv4 address left, 2 of 2 are in use; \
             `b` has `autoAssign` off and must be asked for"
        );
    }

    #[test]
    fn the_label_is_the_reason_to_act_on() {
        let no_v6 = || Obstacle::NoSuchFamily { family: Family::V6 };
        let rows = [
            ("one full pool counts", pools([("a", no_v6()), ("b", full())]), "exhausted"),
            ("all for the same reason", pools([("a", no_v6()), ("b", no_v6())]), "noSuchFamily"),
            (
                "for different reasons",
                pools([("a", no_v6()), ("b", Obstacle::AutoAssignOff)]),
                "noPoolFits",
            ),
        ];
        for (name, refusal, want) in rows {
            assert_eq!(refusal.label(), want, "{name}");
        }
    }

    #[test]
    fn a_sentence_has_an_end_however_many_pools_there_are() {
        let names = ["a", "b", "c", "d", "e", "f", "g"];
        let refusal = pools(names.map(|name| (name, Obstacle::NamespaceNotSelected)));
        let text = refusal.to_string();
        assert!(text.ends_with("`e` is not for its namespace; and 2 more"), "{text}");
    }

    #[test]
    fn sentences_agree_in_number() {
        let other = |addresses: &[&str]| {
            let addresses = addresses.iter().map(|text| address(text)).collect();
            Refusal::OtherAddresses { addresses }.to_string()
        };
        assert_eq!(other(&["192.0.2.1"]), "`192.0.2.1` is not what it asks for");
        let two = other(&["192.0.2.1", "fc00::1"]);
        assert_eq!(two, "`192.0.2.1`, `fc00::1` are not what it asks for");
    }
}
