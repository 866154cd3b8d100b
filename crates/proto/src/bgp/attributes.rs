//! What a route of ours says, and how that is written for a peer.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::message::attribute::{AsWidth, EXTENDED_LENGTH, OPTIONAL, TRANSITIVE, code};
use super::message::open::AS_TRANS;
use super::{Community, ExtendedCommunity, Family, LargeCommunity, Relation};

/// LOCAL_PREF of a route that has none of its own, in what RFC 4271 leaves to the speaker.
///
/// All routers that are known take 100, and so does MetalLB with FRR.
pub const DEFAULT_LOCAL_PREF: u32 = 100;

/// The most ASes that one segment of a path holds.
const SEGMENT: usize = 255;

/// What a route says besides its prefix. Routes that say the same share one message.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Attributes {
    /// Where packets go.
    pub next_hop: NextHop,
    /// LOCAL_PREF; `None` is [`DEFAULT_LOCAL_PREF`]. Said inside our own AS only.
    pub local_pref: Option<u32>,
    /// MULTI_EXIT_DISC; `None` says none.
    pub med: Option<u32>,
    /// How often our AS is in the path beyond the one time that it has to be. Said to other ASes
    /// only: within our own a path with our AS in it is a loop.
    pub prepend: u8,
    /// RFC 1997.
    pub communities: BTreeSet<Community>,
    /// RFC 4360.
    pub extended_communities: BTreeSet<ExtendedCommunity>,
    /// RFC 8092.
    pub large_communities: BTreeSet<LargeCommunity>,
}

/// Where packets of a route go.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum NextHop {
    /// To this node, at its address on the session.
    #[default]
    Own,
    /// To somebody else.
    At(IpAddr),
}

/// The addresses of this node as a peer reaches them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct NextHops {
    /// For IPv4.
    pub ipv4: Option<Ipv4Addr>,
    /// For IPv6; a global one, if there is one.
    pub ipv6: Option<Ipv6Addr>,
    /// The link-local one, only where the peer is on the same link (RFC 2545 section 3).
    pub link_local: Option<Ipv6Addr>,
}

/// What of a session decides how a route is written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Export {
    /// Within our AS or to another.
    pub relation: Relation,
    /// Our AS on this session.
    pub local_as: u32,
    /// How wide AS numbers are.
    pub as_width: AsWidth,
    /// Octets of the longest message.
    pub max_message: usize,
    /// What the session carries.
    pub families: BTreeSet<Family>,
    /// Our own addresses.
    pub next_hops: NextHops,
    /// Whether IPv4 routes may, and on this session should, have IPv6 next hops (RFC 8950).
    pub ipv4_over_ipv6: Ipv4OverIpv6,
}

/// Which next hop an IPv4 route of ours has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ipv4OverIpv6 {
    /// The peer has not said that it understands IPv6 next hops.
    Never,
    /// An IPv6 one only where there is no other: the session itself is over IPv4.
    Possible,
    /// An IPv6 one: the session itself is over IPv6.
    Preferred,
}

/// Why a route is not told to a peer.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Refusal {
    /// The session does not carry its family.
    Family,
    /// There is no address of its family to send packets to that the peer understands.
    NextHop,
    /// With all that it says it is longer than a message may be.
    TooLong,
}

impl Refusal {
    /// The value of a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Family => "family_not_negotiated",
            Self::NextHop => "no_next_hop",
            Self::TooLong => "too_long",
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Family => "the session does not carry its address family",
            Self::NextHop => "the node has no address for it that the peer understands",
            Self::TooLong => "its attributes do not fit in a message",
        })
    }
}

/// A next hop as it is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Written {
    /// NEXT_HOP, with IPv4 routes at the end of the message.
    Ipv4(Ipv4Addr),
    /// MP_REACH_NLRI, with the routes in it.
    Ipv6(Ipv6Addr, Option<Ipv6Addr>),
}

impl Export {
    /// The next hop of a route.
    pub(super) fn next_hop(&self, family: Family, of: NextHop) -> Result<Written, Refusal> {
        if !self.families.contains(&family) {
            return Err(Refusal::Family);
        }
        let own = self.next_hops;
        // An address of the link alone is a next hop too: unnumbered links have no other.
        let own_ipv6 = own.ipv6.or(own.link_local);
        let link_local = own.link_local.filter(|_| own.ipv6.is_some());
        let ipv6 = match of {
            NextHop::Own => own_ipv6.map(|address| Written::Ipv6(address, link_local)),
            NextHop::At(IpAddr::V6(address)) => Some(Written::Ipv6(address, None)),
            NextHop::At(IpAddr::V4(_)) => None,
        };
        let ipv4 = match of {
            NextHop::Own => own.ipv4.map(Written::Ipv4),
            NextHop::At(IpAddr::V4(address)) => Some(Written::Ipv4(address)),
            NextHop::At(IpAddr::V6(_)) => None,
        };
        match (family, self.ipv4_over_ipv6) {
            (Family::Ipv6, _) => ipv6,
            (Family::Ipv4, Ipv4OverIpv6::Never) => ipv4,
            (Family::Ipv4, Ipv4OverIpv6::Possible) => ipv4.or(ipv6),
            (Family::Ipv4, Ipv4OverIpv6::Preferred) => ipv6.or(ipv4),
        }
        .ok_or(Refusal::NextHop)
    }
}

impl Attributes {
    /// The same for a node that leaves: RFC 8326 section 4.
    ///
    /// Within an AS the lowest LOCAL_PREF says it too, to routers that do not know the community.
    pub fn draining(&self) -> Self {
        let mut draining = self.clone();
        draining.communities.insert(Community::GRACEFUL_SHUTDOWN);
        draining.local_pref = Some(0);
        draining
    }

    /// Appends every attribute but MP_REACH_NLRI, in the order of their type codes.
    pub(super) fn encode(&self, export: &Export, next_hop: Written, out: &mut Vec<u8>) {
        const WELL_KNOWN: u8 = TRANSITIVE;
        const OPTIONAL_TRANSITIVE: u8 = OPTIONAL | TRANSITIVE;
        append(out, WELL_KNOWN, code::ORIGIN, &[0]);
        let path = self.path(export);
        append(out, WELL_KNOWN, code::AS_PATH, &path_octets(&path, export.as_width));
        if let Written::Ipv4(address) = next_hop {
            append(out, WELL_KNOWN, code::NEXT_HOP, &address.octets());
        }
        if let Some(med) = self.med {
            append(out, OPTIONAL, code::MULTI_EXIT_DISC, &med.to_be_bytes());
        }
        if export.relation == Relation::Internal {
            let preference = self.local_pref.unwrap_or(DEFAULT_LOCAL_PREF);
            append(out, WELL_KNOWN, code::LOCAL_PREF, &preference.to_be_bytes());
        }
        let standard: Vec<u8> =
            self.communities.iter().flat_map(|one| one.0.to_be_bytes()).collect();
        append_some(out, OPTIONAL_TRANSITIVE, code::COMMUNITIES, &standard);
        let extended: Vec<u8> = self.extended_communities.iter().flat_map(|one| one.0).collect();
        append_some(out, OPTIONAL_TRANSITIVE, code::EXTENDED_COMMUNITIES, &extended);
        // RFC 6793 section 4.2.2: where AS_PATH cannot say it.
        let is_cut = path.iter().any(|asn| u16::try_from(*asn).is_err());
        if export.as_width == AsWidth::Two && is_cut {
            let octets = path_octets(&path, AsWidth::Four);
            append(out, OPTIONAL_TRANSITIVE, code::AS4_PATH, &octets);
        }
        let large: Vec<u8> = self.large_communities.iter().flat_map(|one| one.octets()).collect();
        append_some(out, OPTIONAL_TRANSITIVE, code::LARGE_COMMUNITIES, &large);
    }

    fn path(&self, export: &Export) -> Vec<u32> {
        match export.relation {
            Relation::Internal => Vec::new(),
            Relation::External => vec![export.local_as; 1 + usize::from(self.prepend)],
        }
    }
}

/// The value of AS_PATH or AS4_PATH: sequences of at most 255 ASes.
fn path_octets(path: &[u32], width: AsWidth) -> Vec<u8> {
    const SEQUENCE: u8 = 2;
    let mut out = Vec::new();
    for segment in path.chunks(SEGMENT) {
        out.extend([SEQUENCE, u8::try_from(segment.len()).unwrap_or(u8::MAX)]);
        for asn in segment {
            match width {
                AsWidth::Four => out.extend(asn.to_be_bytes()),
                AsWidth::Two => out.extend(u16::try_from(*asn).unwrap_or(AS_TRANS).to_be_bytes()),
            }
        }
    }
    out
}

fn append_some(out: &mut Vec<u8>, flags: u8, code: u8, value: &[u8]) {
    if !value.is_empty() {
        append(out, flags, code, value);
    }
}

/// Appends an attribute, with two octets for its length if one is too few.
fn append(out: &mut Vec<u8>, flags: u8, code: u8, value: &[u8]) {
    match u8::try_from(value.len()) {
        Ok(length) => out.extend([flags, code, length]),
        Err(_) => {
            out.extend([flags | EXTENDED_LENGTH, code]);
            // Longer ones are refused with the message that they would be in.
            out.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests;
