//! Why a frame leads to nothing.

use std::fmt;

use super::{arp, ndp};

/// Why a frame is not answered and nothing is reported of it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Ignored {
    /// It is no ARP packet for IPv4 over Ethernet.
    Arp(arp::Malformed),
    /// It is IPv6, but no neighbor solicitation or advertisement that counts.
    Ndp(ndp::Malformed),
    /// This interface sent it, or it claims so.
    OwnFrame,
    /// It asks nothing, and tells of no address that is answered for or followed here.
    NotARequest,
    /// It was sent to another station, and is seen because the interface is promiscuous.
    NotForThisStation,
    /// It asks for an address that is neither answered for nor followed here.
    NotClaimed,
    /// It asks for an address that is not answered for before the LAN had time to object, or since
    /// it did.
    NotYetClaimed,
    /// It speaks of several stations as one, or the answer would have to go to several.
    SenderIsAGroup,
    /// The driver does not drain fast enough.
    Overrun,
}

impl Ignored {
    /// Every cause there is.
    pub fn all() -> impl Iterator<Item = Self> {
        let arp = arp::Malformed::ALL.into_iter().map(Self::Arp);
        let ndp = ndp::Malformed::ALL.into_iter().map(Self::Ndp);
        arp.chain(ndp).chain([
            Self::OwnFrame,
            Self::NotARequest,
            Self::NotForThisStation,
            Self::NotClaimed,
            Self::NotYetClaimed,
            Self::SenderIsAGroup,
            Self::Overrun,
        ])
    }

    /// The cause as the value of a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Arp(arp::Malformed::Truncated) => "truncated",
            Self::Arp(arp::Malformed::NotArp) => "not_arp",
            Self::Arp(arp::Malformed::NotIpv4OverEthernet) => "not_ipv4_over_ethernet",
            Self::Ndp(ndp::Malformed::Truncated) => "ndp_truncated",
            Self::Ndp(ndp::Malformed::NotNdp) => "not_ndp",
            Self::Ndp(ndp::Malformed::HopLimit) => "ndp_hop_limit",
            Self::Ndp(ndp::Malformed::Checksum) => "ndp_checksum",
            Self::Ndp(ndp::Malformed::Code) => "ndp_code",
            Self::Ndp(ndp::Malformed::Target) => "ndp_target",
            Self::Ndp(ndp::Malformed::Source) => "ndp_source",
            Self::Ndp(ndp::Malformed::Solicited) => "ndp_solicited",
            Self::Ndp(ndp::Malformed::Option) => "ndp_option",
            Self::OwnFrame => "own_frame",
            Self::NotARequest => "not_a_request",
            Self::NotForThisStation => "not_for_this_station",
            Self::NotClaimed => "not_claimed",
            Self::NotYetClaimed => "not_yet_claimed",
            Self::SenderIsAGroup => "sender_is_a_group",
            Self::Overrun => "overrun",
        }
    }
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Arp(cause) => return cause.fmt(f),
            Self::Ndp(cause) => return cause.fmt(f),
            Self::OwnFrame => "the frame comes from this interface itself",
            Self::NotARequest => "the packet asks nothing",
            Self::NotForThisStation => "the frame is for another station",
            Self::NotClaimed => "the address is not claimed on this interface",
            Self::NotYetClaimed => "another station has the address, or may still say so",
            Self::SenderIsAGroup => "the sender's hardware address is multicast or broadcast",
            Self::Overrun => "too many answers wait to be sent",
        })
    }
}
