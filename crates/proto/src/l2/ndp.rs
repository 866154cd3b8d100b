//! Neighbor solicitations and advertisements for IPv6 over Ethernet, on the wire. RFC 4861.

use std::fmt;
use std::net::Ipv6Addr;

use smoltcp::wire::{
    ETHERNET_HEADER_LEN, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr,
    Icmpv6Message, Icmpv6Packet, IpProtocol, Ipv6Packet, Ipv6Repr, NdiscNeighborFlags, NdiscRepr,
    RawHardwareAddress,
};

use super::Mac;
use crate::wire::Reader;

/// Bytes of a frame that we send, all but [`probe`]'s: headers, target, one option.
pub const FRAME_LEN: usize = PROBE_LEN + 8;

/// Bytes of [`probe`], which has no option.
pub const PROBE_LEN: usize = ETHERNET_HEADER_LEN + 40 + 24;

/// No router has passed the packet on: with less than this in its header it comes from elsewhere
/// (RFC 4861 section 11.2).
const HOP_LIMIT: u8 = 255;

/// A neighbor solicitation or advertisement, and the headers around it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ndp {
    /// Where the frame was sent to.
    pub frame_to: Mac,
    /// Which station sent the frame.
    pub frame_from: Mac,
    /// The sender's address; `::` if it has none yet (RFC 4862 section 5.4.2).
    pub source: Ipv6Addr,
    /// Where the packet was sent to.
    pub destination: Ipv6Addr,
    /// The address asked for, or told of. Never multicast.
    pub target: Ipv6Addr,
    /// What the packet is for.
    pub message: Message,
}

/// What a packet is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Message {
    /// To ask who has the target. RFC 4861 section 4.3.
    Solicitation {
        /// The sender's Ethernet address, if it says so.
        source_mac: Option<Mac>,
    },
    /// To tell who has the target. RFC 4861 section 4.4.
    Advertisement {
        /// What else it says.
        flags: Flags,
        /// The target's Ethernet address, if it says so.
        target_mac: Option<Mac>,
    },
}

/// The flags R, S and O of an advertisement.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Flags {
    /// R: the sender is a router.
    pub is_router: bool,
    /// S: somebody asked.
    pub is_solicited: bool,
    /// O: what the receiver believed before is to be overwritten.
    pub is_override: bool,
}

/// Why bytes are not a neighbor solicitation or advertisement that counts, RFC 4861 section 7.1.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Malformed {
    /// The frame ends before its fields do.
    Truncated,
    /// The frame carries something else, or an extension header is in between.
    NotNdp,
    /// A router has passed the packet on, so the sender is not on this LAN.
    HopLimit,
    /// The checksum does not match.
    Checksum,
    /// The code is not 0.
    Code,
    /// The target is a group.
    Target,
    /// The sender is a group, or has no address and says more than RFC 4861 lets it then.
    Source,
    /// An advertisement to a group claims that it was asked for.
    Solicited,
    /// An option has no length, is longer than the packet, or has no place for an Ethernet address.
    Option,
}

impl Malformed {
    /// Every cause there is.
    pub const ALL: [Self; 9] = [
        Self::Truncated,
        Self::NotNdp,
        Self::HopLimit,
        Self::Checksum,
        Self::Code,
        Self::Target,
        Self::Source,
        Self::Solicited,
        Self::Option,
    ];
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the IPv6 packet ends before its fields do",
            Self::NotNdp => "the packet is no neighbor solicitation or advertisement",
            Self::HopLimit => "the hop limit is not 255: the packet comes from another network",
            Self::Checksum => "the checksum of ICMPv6 is wrong",
            Self::Code => "the code of ICMPv6 is not 0",
            Self::Target => "the target is a multicast address",
            Self::Source => "the packet's source may not send such a packet",
            Self::Solicited => "an advertisement to a group claims that it was asked for",
            Self::Option => "an option has a wrong length",
        })
    }
}

impl std::error::Error for Malformed {}

/// Reads an Ethernet frame without VLAN tag. What follows the packet is padding.
///
/// # Errors
///
/// If RFC 4861 section 7.1 has it discarded, or it is something else.
pub fn decode(frame: &[u8]) -> Result<Ndp, Malformed> {
    let frame = EthernetFrame::new_checked(frame).map_err(|_| Malformed::Truncated)?;
    if frame.ethertype() != EthernetProtocol::Ipv6 {
        return Err(Malformed::NotNdp);
    }
    let packet = Ipv6Packet::new_checked(frame.payload()).map_err(|_| Malformed::Truncated)?;
    if packet.version() != 6 || packet.next_header() != IpProtocol::Icmpv6 {
        return Err(Malformed::NotNdp);
    }
    let (source, destination) = (packet.src_addr(), packet.dst_addr());
    let payload = packet.payload();
    let is_solicitation = match payload.first().copied().map(Icmpv6Message::from) {
        Some(Icmpv6Message::NeighborSolicit) => true,
        Some(Icmpv6Message::NeighborAdvert) => false,
        Some(_) => return Err(Malformed::NotNdp),
        None => return Err(Malformed::Truncated),
    };
    if packet.hop_limit() != HOP_LIMIT {
        return Err(Malformed::HopLimit);
    }
    let icmp = Icmpv6Packet::new_checked(payload).map_err(|_| Malformed::Truncated)?;
    if !icmp.verify_checksum(&source, &destination) {
        return Err(Malformed::Checksum);
    }
    if icmp.msg_code() != 0 {
        return Err(Malformed::Code);
    }
    let target = icmp.target_addr();
    if target.is_multicast() {
        return Err(Malformed::Target);
    }
    let message = if is_solicitation {
        solicited(source, destination, icmp.payload())?
    } else {
        advertised(source, destination, icmp.neighbor_flags(), icmp.payload())?
    };
    let (frame_to, frame_from) = (Mac(frame.dst_addr().0), Mac(frame.src_addr().0));
    Ok(Ndp { frame_to, frame_from, source, destination, target, message })
}

/// RFC 4861 section 7.1.1.
fn solicited(source: Ipv6Addr, to: Ipv6Addr, options: &[u8]) -> Result<Message, Malformed> {
    let source_mac = link_layer_address(options, SOURCE_LINK_LAYER_ADDRESS)?;
    let is_for_few = solicited_node(to) == to;
    if source.is_multicast() || source.is_unspecified() && (!is_for_few || source_mac.is_some()) {
        return Err(Malformed::Source);
    }
    Ok(Message::Solicitation { source_mac })
}

/// RFC 4861 section 7.1.2.
fn advertised(
    source: Ipv6Addr,
    to: Ipv6Addr,
    flags: NdiscNeighborFlags,
    options: &[u8],
) -> Result<Message, Malformed> {
    let target_mac = link_layer_address(options, TARGET_LINK_LAYER_ADDRESS)?;
    let flags = Flags {
        is_router: flags.contains(NdiscNeighborFlags::ROUTER),
        is_solicited: flags.contains(NdiscNeighborFlags::SOLICITED),
        is_override: flags.contains(NdiscNeighborFlags::OVERRIDE),
    };
    if source.is_multicast() || source.is_unspecified() {
        return Err(Malformed::Source);
    }
    if flags.is_solicited && to.is_multicast() {
        return Err(Malformed::Solicited);
    }
    Ok(Message::Advertisement { flags, target_mac })
}

const SOURCE_LINK_LAYER_ADDRESS: u8 = 1;
const TARGET_LINK_LAYER_ADDRESS: u8 = 2;

/// The first option of this kind; others are passed over (RFC 4861 section 9).
fn link_layer_address(options: &[u8], wanted: u8) -> Result<Option<Mac>, Malformed> {
    let mut options = Reader(options);
    let mut found = None;
    while !options.is_empty() {
        let kind = options.u8().map_err(|_| Malformed::Option)?;
        let length = options.u8().map_err(|_| Malformed::Option)?;
        // In units of eight bytes, the two that were just read among them.
        let rest = (usize::from(length) * 8).checked_sub(2).ok_or(Malformed::Option)?;
        let mut value = options.sub(rest).map_err(|_| Malformed::Option)?;
        if kind == wanted && found.is_none() {
            let mac = value.array().map_err(|_| Malformed::Option)?;
            if !value.is_empty() {
                return Err(Malformed::Option);
            }
            found = Some(Mac(mac));
        }
    }
    Ok(found)
}

/// The group in which the holder of `address` is asked for, RFC 4291 section 2.7.1.
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// The Ethernet address of a group, RFC 2464 section 7.
pub fn group_mac(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    Mac([0x33, 0x33, a, b, c, d])
}

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Tells the sender of `question` that its target is at `mac`, from the station `from`; a sender
/// without an address is told by telling all (RFC 4861 section 7.2.4).
pub fn answer(from: Mac, mac: Mac, question: &Ndp) -> Vec<u8> {
    let is_solicited = !question.source.is_unspecified();
    let flags = Flags { is_solicited, is_override: true, is_router: false };
    let (frame_to, destination) = match question.message {
        _ if !is_solicited => (group_mac(ALL_NODES), ALL_NODES),
        Message::Solicitation { source_mac } => {
            (source_mac.unwrap_or(question.frame_from), question.source)
        }
        Message::Advertisement { .. } => (question.frame_from, question.source),
    };
    let message = Message::Advertisement { flags, target_mac: Some(mac) };
    let (source, target) = (question.target, question.target);
    encode(&Ndp { frame_to, frame_from: from, source, destination, target, message })
}

/// Tells the LAN that `address` is at `mac`, RFC 4861 section 7.2.6.
pub fn announcement(mac: Mac, address: Ipv6Addr) -> Vec<u8> {
    let flags = Flags { is_override: true, ..Flags::default() };
    encode(&Ndp {
        frame_to: group_mac(ALL_NODES),
        frame_from: mac,
        source: address,
        destination: ALL_NODES,
        target: address,
        message: Message::Advertisement { flags, target_mac: Some(mac) },
    })
}

/// Asks the station `to` whether it has `target`, for one that has `source` and is at `from`.
pub fn question(from: Mac, source: Ipv6Addr, to: Mac, target: Ipv6Addr) -> Vec<u8> {
    let message = Message::Solicitation { source_mac: Some(from) };
    encode(&Ndp { frame_to: to, frame_from: from, source, destination: target, target, message })
}

/// Asks the stations `to`, one or all, whether anybody has `target`, for one that has no address:
/// duplicate address detection (RFC 4862 section 5.4.2).
pub fn probe(from: Mac, to: Mac, target: Ipv6Addr) -> Vec<u8> {
    let (source, destination) = (Ipv6Addr::UNSPECIFIED, solicited_node(target));
    let message = Message::Solicitation { source_mac: None };
    encode(&Ndp { frame_to: to, frame_from: from, source, destination, target, message })
}

/// Writes a frame such that [`decode`] reads `packet`.
pub fn encode(packet: &Ndp) -> Vec<u8> {
    let address = |mac: Option<Mac>| mac.map(|mac| RawHardwareAddress::from_bytes(&mac.0));
    let message = match packet.message {
        Message::Solicitation { source_mac } => {
            NdiscRepr::NeighborSolicit { target_addr: packet.target, lladdr: address(source_mac) }
        }
        Message::Advertisement { flags, target_mac } => NdiscRepr::NeighborAdvert {
            flags: bits(flags),
            target_addr: packet.target,
            lladdr: address(target_mac),
        },
    };
    let header = Ipv6Repr {
        src_addr: packet.source,
        dst_addr: packet.destination,
        next_header: IpProtocol::Icmpv6,
        payload_len: message.buffer_len(),
        hop_limit: HOP_LIMIT,
    };
    let length = ETHERNET_HEADER_LEN + header.buffer_len() + message.buffer_len();
    let mut bytes = vec![0; length];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
    let ethernet = EthernetRepr {
        src_addr: EthernetAddress(packet.frame_from.0),
        dst_addr: EthernetAddress(packet.frame_to.0),
        ethertype: EthernetProtocol::Ipv6,
    };
    ethernet.emit(&mut frame);
    let mut ip = Ipv6Packet::new_unchecked(frame.payload_mut());
    header.emit(&mut ip);
    let mut icmp = Icmpv6Packet::new_unchecked(ip.payload_mut());
    message.emit(&mut icmp);
    icmp.fill_checksum(&packet.source, &packet.destination);
    bytes
}

fn bits(flags: Flags) -> NdiscNeighborFlags {
    let mut bits = NdiscNeighborFlags::empty();
    bits.set(NdiscNeighborFlags::ROUTER, flags.is_router);
    bits.set(NdiscNeighborFlags::SOLICITED, flags.is_solicited);
    bits.set(NdiscNeighborFlags::OVERRIDE, flags.is_override);
    bits
}

#[cfg(test)]
mod tests;
