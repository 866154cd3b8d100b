//! What a frame says, whichever of the two protocols it is in.

use std::net::IpAddr;

use super::arp::{self, Arp, Operation};
use super::ndp::{self, Message, Ndp};
use super::{Ignored, Mac};

/// ARP or NDP.
#[derive(Clone, Copy, Debug)]
pub(super) enum Packet {
    Arp(Arp),
    Ndp(Ndp),
}

/// Where the type of an Ethernet frame is, and that of IPv6.
const ETHERTYPE_AT: std::ops::Range<usize> = 12..14;
const IPV6: [u8; 2] = [0x86, 0xdd];

impl Packet {
    pub(super) fn decode(frame: &[u8]) -> Result<Self, Ignored> {
        if frame.get(ETHERTYPE_AT) == Some(&IPV6) {
            ndp::decode(frame).map(Self::Ndp).map_err(Ignored::Ndp)
        } else {
            arp::decode(frame).map(Self::Arp).map_err(Ignored::Arp)
        }
    }

    /// Which station sent the frame.
    pub(super) fn from(&self) -> Mac {
        match self {
            Self::Arp(packet) => packet.frame_from,
            Self::Ndp(packet) => packet.frame_from,
        }
    }

    /// Whether it is for the station at `mac`, and for it only.
    pub(super) fn is_to(&self, mac: Mac) -> bool {
        match self {
            Self::Arp(packet) => packet.frame_to == mac,
            Self::Ndp(packet) => packet.frame_to == mac,
        }
    }

    /// Whether it is for many. ARP knows only all, NDP has groups.
    pub(super) fn is_to_many(&self) -> bool {
        match self {
            Self::Arp(packet) => packet.frame_to == Mac::BROADCAST,
            Self::Ndp(packet) => packet.frame_to.is_group(),
        }
    }

    /// The address asked for, and who asks.
    pub(super) fn question(&self) -> Option<(IpAddr, Mac)> {
        match self {
            Self::Arp(packet) => {
                let is_question =
                    packet.operation == Operation::Request && !packet.is_announcement();
                is_question.then(|| (packet.target.into(), packet.sender_mac))
            }
            Self::Ndp(packet) => match packet.message {
                Message::Solicitation { source_mac } => {
                    Some((packet.target.into(), source_mac.unwrap_or(packet.frame_from)))
                }
                Message::Advertisement { .. } => None,
            },
        }
    }

    /// Whether it asks because it would like to have the address (RFC 5227 section 2.1.1, RFC 4862
    /// section 5.4.2).
    pub(super) fn is_probe(&self) -> bool {
        match self {
            Self::Arp(packet) => packet.sender.is_unspecified(),
            Self::Ndp(packet) => packet.source.is_unspecified(),
        }
    }

    /// An address, and who has it by what the packet says. A question says so of its sender.
    pub(super) fn claim(&self) -> Option<(IpAddr, Mac)> {
        match self {
            Self::Arp(packet) => {
                (!packet.sender.is_unspecified()).then(|| (packet.sender.into(), packet.sender_mac))
            }
            Self::Ndp(packet) => match packet.message {
                Message::Solicitation { source_mac } => Some((packet.source.into(), source_mac?)),
                Message::Advertisement { target_mac, .. } => {
                    Some((packet.target.into(), target_mac.unwrap_or(packet.frame_from)))
                }
            },
        }
    }

    /// Whether it answers a question of the one that it was sent to.
    pub(super) fn is_answer(&self) -> bool {
        match self {
            Self::Arp(packet) => packet.operation == Operation::Reply,
            Self::Ndp(packet) => match packet.message {
                Message::Solicitation { .. } => false,
                Message::Advertisement { flags, .. } => flags.is_solicited,
            },
        }
    }

    /// The frame that tells the sender of this question that the address is at `mac`.
    pub(super) fn answer(&self, from: Mac, mac: Mac) -> Vec<u8> {
        match self {
            Self::Arp(packet) => arp::reply(from, mac, packet).to_vec(),
            Self::Ndp(packet) => ndp::answer(from, mac, packet),
        }
    }
}

/// The frames that tell the LAN that `address` is at `mac`, as many as
/// [`super::burst::announcement_frames`] says.
pub(super) fn announcement(mac: Mac, address: IpAddr) -> Vec<Vec<u8>> {
    match address {
        IpAddr::V4(address) => vec![
            arp::announcement_request(mac, address).to_vec(),
            arp::announcement_reply(mac, address).to_vec(),
        ],
        IpAddr::V6(address) => vec![ndp::announcement(mac, address)],
    }
}

/// The frame that asks the LAN whether anybody has `address`.
pub(super) fn probe(mac: Mac, address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(_) => question(mac, Mac::BROADCAST, address, &[]),
        IpAddr::V6(address) => {
            ndp::probe(mac, ndp::group_mac(ndp::solicited_node(address)), address)
        }
    }
}

/// The frame that asks the station `to` whether it has `address`, with the sender that is nearest
/// to it among `own`. With none it is a probe that only `to` receives: that is answered as well.
pub(super) fn question(mac: Mac, to: Mac, address: IpAddr, own: &[IpAddr]) -> Vec<u8> {
    match address {
        IpAddr::V4(target) => {
            let own = own.iter().filter_map(|own| match own {
                IpAddr::V4(own) => Some(*own),
                IpAddr::V6(_) => None,
            });
            let nearest = own.min_by_key(|own| own.to_bits() ^ target.to_bits());
            let sender = nearest.unwrap_or(std::net::Ipv4Addr::UNSPECIFIED);
            arp::question(mac, sender, to, target).to_vec()
        }
        IpAddr::V6(target) => {
            let own = own.iter().filter_map(|own| match own {
                IpAddr::V4(_) => None,
                IpAddr::V6(own) => Some(*own),
            });
            match own.min_by_key(|own| own.to_bits() ^ target.to_bits()) {
                Some(source) => ndp::question(mac, source, to, target),
                None => ndp::probe(mac, to, target),
            }
        }
    }
}
