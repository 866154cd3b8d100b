//! BGPAdvertisements that cannot be followed, whatever Services there are.
//!
//! The rules are MetalLB's, and so are the beginnings of the sentences, which scripts look for.
//! Where it stops at the first conflict, all are found here: one sentence for each advertisement,
//! pool and rule.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use ipnet::{IpSubnets, Ipv4Subnets, Ipv6Subnets};

use crate::facts::bgp::BgpAdvertisement;
use crate::facts::{Facts, Family, Pool};
use crate::names::{AdvertisementName, NodeName, PeerName, PoolName};
use crate::range::Range;

/// A BGPAdvertisement that cannot be followed for a pool that it selects.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Conflict {
    /// The advertisement.
    pub advertisement: AdvertisementName,
    /// The pool.
    pub pool: PoolName,
    /// Why.
    pub clash: Clash,
}

/// Why a BGPAdvertisement cannot be followed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Clash {
    /// Routes would be for more addresses than the pool has: the aggregation length is less than
    /// the length of the widest prefix in a range.
    Aggregation {
        /// The family that it is about.
        family: Family,
        /// The aggregation length of the advertisement.
        length: u8,
        /// The least that would do.
        needed: u8,
        /// The range of the pool.
        range: Range,
    },
    /// The pool has IPv6 addresses, and a router that hears of them is watched with BFD echo
    /// packets, which do not exist for IPv6.
    Echo {
        /// The first such router.
        peer: PeerName,
    },
    /// Another advertisement gives the same routes another local preference.
    LocalPref {
        /// The local preference of this one.
        ours: Option<u32>,
        /// The first such advertisement.
        other: AdvertisementName,
        /// Its local preference.
        theirs: Option<u32>,
    },
}

impl Clash {
    /// The reason as a metric label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Aggregation { .. } => "invalidAggregationLength",
            Self::Echo { .. } => "bfdEchoWithIPv6",
            Self::LocalPref { .. } => "conflictingAdvertisements",
        }
    }
}

/// All conflicts of BGPAdvertisements with pools and among each other.
///
/// Ordered by pool and advertisement. Of two advertisements with different local preferences the
/// later by name is the one in conflict. Those that select Services are left out there: whether
/// they meet depends on the Service, so [`super::plan`] looks for each.
pub fn conflicts(facts: &Facts) -> Vec<Conflict> {
    let nodes = selected_nodes(facts);
    let mut conflicts = Vec::new();
    for (name, pool) in &facts.pools {
        let mut earlier: Vec<(&AdvertisementName, &BgpAdvertisement)> = Vec::new();
        let of_pool = facts.bgp_advertisements.iter();
        let of_pool = of_pool.filter(|(_, spec)| spec.selection().pool(name, pool));
        for (advertisement, spec) in of_pool {
            let meet = |other| !nodes[other].is_disjoint(&nodes[advertisement]);
            let local_pref = earlier.iter().find(|(other, theirs)| {
                let is_for_all = |spec: &BgpAdvertisement| spec.service_selectors.is_empty();
                is_for_all(spec)
                    && is_for_all(theirs)
                    && disagree(spec, theirs, pool)
                    && meet(other)
            });
            let local_pref = local_pref.map(|(other, theirs)| Clash::LocalPref {
                ours: spec.local_pref,
                other: (*other).clone(),
                theirs: theirs.local_pref,
            });
            let clashes = [aggregation(spec, pool), local_pref, echo(spec, pool, facts)];
            conflicts.extend(clashes.into_iter().flatten().map(|clash| Conflict {
                advertisement: advertisement.clone(),
                pool: name.clone(),
                clash,
            }));
            earlier.push((advertisement, spec));
        }
    }
    conflicts
}

fn selected_nodes(facts: &Facts) -> BTreeMap<&AdvertisementName, BTreeSet<&NodeName>> {
    let nodes_of = |spec: &BgpAdvertisement| {
        let nodes = facts.nodes.iter();
        let nodes = nodes.filter(|(_, node)| spec.selection().node(&node.labels));
        nodes.map(|(name, _)| name).collect()
    };
    facts.bgp_advertisements.iter().map(|(name, spec)| (name, nodes_of(spec))).collect()
}

/// Whether two advertisements of a pool may give one route to one peer, if they meet on a node, but
/// with different local preferences.
///
/// Different aggregation lengths make different routes; they must be different for each family that
/// the pool has.
pub(super) fn disagree(one: &BgpAdvertisement, other: &BgpAdvertisement, pool: &Pool) -> bool {
    let makes_same_routes = |family| {
        pool.ranges_of(family).next().is_some()
            && one.aggregation(family) == other.aggregation(family)
    };
    let have_same_peers =
        one.peers.is_empty() || other.peers.is_empty() || !one.peers.is_disjoint(&other.peers);
    one.local_pref != other.local_pref
        && have_same_peers
        && [Family::V4, Family::V6].into_iter().any(makes_same_routes)
}

fn aggregation(spec: &BgpAdvertisement, pool: &Pool) -> Option<Clash> {
    pool.ranges.iter().find_map(|&range| {
        let (family, needed) = (range.family(), widest_prefix(range));
        let length = spec.aggregation(family);
        (length < needed).then_some(Clash::Aggregation { family, length, needed, range })
    })
}

fn echo(spec: &BgpAdvertisement, pool: &Pool, facts: &Facts) -> Option<Clash> {
    pool.ranges_of(Family::V6).next()?;
    let mut peers = facts.peers.iter();
    let (peer, _) = peers.find(|(name, peer)| {
        let echoes = peer.bfd.as_ref().is_some_and(|profile| profile.echo_interval.is_some());
        echoes && spec.is_for(name)
    })?;
    Some(Clash::Echo { peer: peer.clone() })
}

/// The length of the widest of the prefixes that together make up a range.
fn widest_prefix(range: Range) -> u8 {
    let prefixes: IpSubnets = match (range.first(), range.last()) {
        (IpAddr::V4(first), IpAddr::V4(last)) => Ipv4Subnets::new(first, last, 0).into(),
        (IpAddr::V6(first), IpAddr::V6(last)) => Ipv6Subnets::new(first, last, 0).into(),
        // A range is of one family.
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return 0,
    };
    prefixes.map(|prefix| prefix.prefix_len()).min().unwrap_or(0)
}

impl BgpAdvertisement {
    /// The prefix length of routes for addresses of a family.
    pub(super) fn aggregation(&self, family: Family) -> u8 {
        match family {
            Family::V4 => self.aggregation_v4,
            Family::V6 => self.aggregation_v6,
        }
    }

    /// Whether routes go to a peer.
    pub(super) fn is_for(&self, peer: &PeerName) -> bool {
        self.peers.is_empty() || self.peers.contains(peer)
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { advertisement, pool, clash } = self;
        write!(f, "BGPAdvertisement `{advertisement}` for pool `{pool}`: {clash}")
    }
}

impl fmt::Display for Clash {
    /// What follows the names of advertisement and pool.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aggregation { family, length, needed, range } => {
                let field = match family {
                    Family::V4 => "aggregationLength",
                    Family::V6 => "aggregationLengthV6",
                };
                write!(
                    f,
                    "invalid aggregation length {length}: prefix {needed} in this pool is more \
                     specific than the aggregation length for addresses {range}; \
                     set `{field}` to {needed} or more"
                )
            }
            Self::Echo { peer } => write!(
                f,
                "the pool has IPv6 addresses, and peer `{peer}` has BFD echo, which there is only \
                 for IPv4; name other peers, or switch `echoMode` off"
            ),
            Self::LocalPref { ours, other, theirs } => write!(
                f,
                "invalid local preference {}: BGPAdvertisement `{other}` gives the same routes {}; \
                 make them equal, or separate nodes, peers or aggregation lengths",
                Preference(*ours),
                Preference(*theirs),
            ),
        }
    }
}

/// A local preference in a sentence.
struct Preference(Option<u32>);

impl fmt::Display for Preference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("(none)"),
        }
    }
}

#[cfg(test)]
mod tests;
