//! ARP for IPv4 over Ethernet, on the wire. RFC 826.

use std::fmt;
use std::net::Ipv4Addr;

use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, ETHERNET_HEADER_LEN, EthernetAddress, EthernetFrame,
    EthernetProtocol, EthernetRepr,
};

use super::Mac;

/// Bytes of a frame that we send.
///
/// Ethernet's minimum of 60 is reached by padding, which IEEE 802.3 gives to the MAC layer: Linux
/// sends its own ARP with 42 bytes too, and the driver or the network card pads it.
pub const FRAME_LEN: usize = ETHERNET_HEADER_LEN + PACKET_LEN;

const PACKET_LEN: usize = 28;

/// An ARP packet and the Ethernet header around it.
///
/// The target hardware address is not among the fields: RFC 826 gives it no meaning in a request,
/// and who receives a reply knows it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Arp {
    /// Where the frame was sent to.
    pub frame_to: Mac,
    /// Which station sent the frame.
    pub frame_from: Mac,
    /// What the packet is for.
    pub operation: Operation,
    /// The hardware address of the sender, where it wants its reply.
    pub sender_mac: Mac,
    /// The sender's address; 0.0.0.0 in a probe (RFC 5227 section 2.1.1).
    pub sender: Ipv4Addr,
    /// The address asked for, or the receiver of a reply.
    pub target: Ipv4Addr,
}

impl Arp {
    /// Whether the sender tells the LAN about its own address instead of asking for another's.
    pub fn is_announcement(&self) -> bool {
        self.sender == self.target
    }
}

/// What an ARP packet is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Operation {
    /// To ask who has an address, or to announce one.
    Request,
    /// To tell who has an address.
    Reply,
    /// Anything else; never an error.
    Other(u16),
}

/// Why bytes are not an ARP packet for IPv4 over Ethernet.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Malformed {
    /// The frame ends before its fields do.
    Truncated,
    /// The frame carries another protocol, or has a VLAN tag.
    NotArp,
    /// The packet resolves other addresses than IPv4's to Ethernet's.
    NotIpv4OverEthernet,
}

impl Malformed {
    /// Every cause there is.
    pub const ALL: [Self; 3] = [Self::Truncated, Self::NotArp, Self::NotIpv4OverEthernet];
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the frame ends before its fields do",
            Self::NotArp => "the frame carries another protocol than ARP",
            Self::NotIpv4OverEthernet => "the packet is not for IPv4 over Ethernet",
        })
    }
}

impl std::error::Error for Malformed {}

/// Reads an Ethernet frame without VLAN tag. What follows the packet is padding.
///
/// # Errors
///
/// If it is not an ARP packet for IPv4 over Ethernet.
pub fn decode(frame: &[u8]) -> Result<Arp, Malformed> {
    let frame = EthernetFrame::new_checked(frame).map_err(|_| Malformed::Truncated)?;
    if frame.ethertype() != EthernetProtocol::Arp {
        return Err(Malformed::NotArp);
    }
    let packet = ArpPacket::new_checked(frame.payload()).map_err(|_| Malformed::Truncated)?;
    let Ok(ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr,
        source_protocol_addr,
        target_protocol_addr,
        ..
    }) = ArpRepr::parse(&packet)
    else {
        return Err(Malformed::NotIpv4OverEthernet);
    };
    Ok(Arp {
        frame_to: Mac(frame.dst_addr().0),
        frame_from: Mac(frame.src_addr().0),
        operation: match operation {
            ArpOperation::Request => Operation::Request,
            ArpOperation::Reply => Operation::Reply,
            ArpOperation::Unknown(code) => Operation::Other(code),
        },
        sender_mac: Mac(source_hardware_addr.0),
        sender: source_protocol_addr,
        target: target_protocol_addr,
    })
}

/// Tells the sender of `request`, and nobody else, that its target is at `mac`; the station that
/// sends it is `from`.
pub fn reply(from: Mac, mac: Mac, request: &Arp) -> [u8; FRAME_LEN] {
    encode(
        request.sender_mac,
        ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Reply,
            source_hardware_addr: EthernetAddress(mac.0),
            source_protocol_addr: request.target,
            target_hardware_addr: EthernetAddress(request.sender_mac.0),
            target_protocol_addr: request.sender,
        },
        from,
    )
}

/// Asks the stations `to`, one or all, whether they have `target`, for one that has `sender` and is
/// at `from`. Without an address, 0.0.0.0, it is a probe (RFC 5227 section 2.1.1).
pub fn question(from: Mac, sender: Ipv4Addr, to: Mac, target: Ipv4Addr) -> [u8; FRAME_LEN] {
    encode(
        to,
        ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Request,
            source_hardware_addr: EthernetAddress(from.0),
            source_protocol_addr: sender,
            target_hardware_addr: EthernetAddress([0; 6]),
            target_protocol_addr: target,
        },
        from,
    )
}

/// Tells the LAN that `address` is at `mac`, in the form of RFC 5227 section 2.3.
///
/// Linux takes over this form at once, whatever it believed before.
pub fn announcement_request(mac: Mac, address: Ipv4Addr) -> [u8; FRAME_LEN] {
    announcement(ArpOperation::Request, mac, address)
}

/// Tells the LAN that `address` is at `mac`, for stations that learn from replies only.
pub fn announcement_reply(mac: Mac, address: Ipv4Addr) -> [u8; FRAME_LEN] {
    announcement(ArpOperation::Reply, mac, address)
}

fn announcement(operation: ArpOperation, mac: Mac, address: Ipv4Addr) -> [u8; FRAME_LEN] {
    encode(
        Mac::BROADCAST,
        ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr: EthernetAddress(mac.0),
            source_protocol_addr: address,
            target_hardware_addr: EthernetAddress::BROADCAST,
            target_protocol_addr: address,
        },
        mac,
    )
}

fn encode(to: Mac, packet: ArpRepr, from: Mac) -> [u8; FRAME_LEN] {
    let mut bytes = [0; FRAME_LEN];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
    let header = EthernetRepr {
        src_addr: EthernetAddress(from.0),
        dst_addr: EthernetAddress(to.0),
        ethertype: EthernetProtocol::Arp,
    };
    header.emit(&mut frame);
    packet.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
    bytes
}

/// What a host broadcasts to find out who has `target`; a probe if `sender` is 0.0.0.0.
#[cfg(test)]
pub(super) fn request(mac: Mac, sender: Ipv4Addr, target: Ipv4Addr) -> [u8; FRAME_LEN] {
    question(mac, sender, Mac::BROADCAST, target)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Mac = Mac([0x02, 0, 0, 0, 0, 0x01]);
    const HOST: Mac = Mac([0x02, 0, 0, 0, 0, 0x99]);
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);

    #[rustfmt::skip]
    const REQUEST: [u8; FRAME_LEN] = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, // to everybody
        0x02, 0, 0, 0, 0, 0x99,             // from the host
        0x08, 0x06,                         // ARP
        0x00, 0x01, 0x08, 0x00, 6, 4,       // Ethernet and IPv4, with the lengths of their addresses
        0x00, 0x01,                         // request
        0x02, 0, 0, 0, 0, 0x99,             // sender hardware address
        192, 0, 2, 99,                      // sender address
        0, 0, 0, 0, 0, 0,                   // target hardware address, not known
        192, 0, 2, 10,                      // target address
    ];

    #[rustfmt::skip]
    const REPLY: [u8; FRAME_LEN] = [
        0x02, 0, 0, 0, 0, 0x99,             // to the host alone
        0x02, 0, 0, 0, 0, 0x01,             // from this interface
        0x08, 0x06,                         // ARP
        0x00, 0x01, 0x08, 0x00, 6, 4,       // Ethernet and IPv4
        0x00, 0x02,                         // reply
        0x02, 0, 0, 0, 0, 0x01,             // the address asked for is at this interface
        192, 0, 2, 10,                      // the address asked for
        0x02, 0, 0, 0, 0, 0x99,             // the host's hardware address
        192, 0, 2, 99,                      // the host's address
    ];

    #[rustfmt::skip]
    const ANNOUNCEMENT_REQUEST: [u8; FRAME_LEN] = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, // to everybody
        0x02, 0, 0, 0, 0, 0x01,             // from this interface
        0x08, 0x06,                         // ARP
        0x00, 0x01, 0x08, 0x00, 6, 4,       // Ethernet and IPv4
        0x00, 0x01,                         // request
        0x02, 0, 0, 0, 0, 0x01,             // the address is at this interface
        192, 0, 2, 10,                      // the address
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, // target hardware address, as MetalLB has it
        192, 0, 2, 10,                      // the address again: this makes it an announcement
    ];

    fn changed<const N: usize>(at: usize, to: [u8; N]) -> Vec<u8> {
        let mut bytes = REQUEST.to_vec();
        bytes[at..at + N].copy_from_slice(&to);
        bytes
    }

    #[test]
    fn a_request_is_read() {
        let want = Arp {
            frame_to: Mac::BROADCAST,
            frame_from: HOST,
            operation: Operation::Request,
            sender_mac: HOST,
            sender: Ipv4Addr::new(192, 0, 2, 99),
            target: ADDRESS,
        };
        assert_eq!(decode(&REQUEST), Ok(want));
        let padded = [&REQUEST[..], &[0; 18]].concat();
        assert_eq!(decode(&padded), Ok(want), "padded to Ethernet's minimum");
        assert_eq!(request(HOST, want.sender, want.target), REQUEST);
    }

    #[test]
    fn a_reply_goes_to_the_one_who_asked() {
        assert_eq!(reply(HERE, HERE, &decode(&REQUEST).unwrap()), REPLY);
        assert_eq!(decode(&REPLY).unwrap().operation, Operation::Reply);
        assert!(!decode(&REPLY).unwrap().is_announcement());
    }

    #[test]
    fn a_reply_goes_to_the_sender_hardware_address_whoever_forwarded_the_frame() {
        let relayed = decode(&changed(6, [0x02, 0, 0, 0, 0, 0x77])).unwrap();
        assert_eq!(reply(HERE, HERE, &relayed), REPLY);
    }

    #[test]
    fn a_reply_for_another_station_is_sent_by_this_one() {
        let mut want = REPLY;
        want[22..28].copy_from_slice(&[0x02, 0, 0, 0, 0, 0x02]);
        let other = Mac([0x02, 0, 0, 0, 0, 0x02]);
        assert_eq!(reply(HERE, other, &decode(&REQUEST).unwrap()), want);
    }

    #[test]
    fn announcements_have_two_forms_that_differ_in_the_operation_only() {
        assert_eq!(announcement_request(HERE, ADDRESS), ANNOUNCEMENT_REQUEST);
        let mut want = ANNOUNCEMENT_REQUEST;
        want[21] = 2;
        assert_eq!(announcement_reply(HERE, ADDRESS), want);
        assert!(decode(&want).unwrap().is_announcement());
    }

    #[test]
    fn other_frames_are_refused_by_name() {
        use Malformed::{NotArp, NotIpv4OverEthernet, Truncated};
        let cases = [
            ("no bytes", vec![], Truncated),
            ("half a header", REQUEST[..13].to_vec(), Truncated),
            ("a header alone", REQUEST[..14].to_vec(), Truncated),
            ("one byte short", REQUEST[..41].to_vec(), Truncated),
            ("addresses longer than the frame", changed(18, [255, 255]), Truncated),
            ("IPv4", changed(12, [0x08, 0x00]), NotArp),
            ("a VLAN tag", changed(12, [0x81, 0x00]), NotArp),
            ("hardware is not Ethernet", changed(14, [0, 6]), NotIpv4OverEthernet),
            ("protocol is not IPv4", changed(16, [0x86, 0xdd]), NotIpv4OverEthernet),
            ("short hardware addresses", changed(18, [5]), NotIpv4OverEthernet),
            ("short protocol addresses", changed(19, [3]), NotIpv4OverEthernet),
        ];
        for (name, bytes, want) in cases {
            assert_eq!(decode(&bytes), Err(want), "{name}");
        }
    }

    #[test]
    fn an_unknown_operation_is_a_value() {
        let packet = decode(&changed(20, [0x01, 0x03])).unwrap();
        assert_eq!(packet.operation, Operation::Other(0x0103));
    }
}
