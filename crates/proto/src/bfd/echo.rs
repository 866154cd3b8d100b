//! Our echo packets. What is in them is a matter of their sender alone: the peer only forwards them
//! (RFC 5880 section 5).

use std::net::Ipv4Addr;
use std::num::NonZeroU32;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpProtocol, Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr};

use super::{ECHO_PORT, TTL};
use crate::wire::{Reader, Truncated};

/// Octets of an echo packet.
pub const LENGTH: usize = 12;

/// An echo packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Echo {
    /// Names our session.
    pub discriminator: NonZeroU32,
    /// Known to nobody but this session: others are not to answer for the peer.
    pub secret: u32,
    /// Counts the packets.
    pub sequence: u32,
}

impl Echo {
    /// Reads one UDP payload; `None` is none of ours.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let mut word = || -> Result<u32, Truncated> { reader.array().map(u32::from_be_bytes) };
        let discriminator = NonZeroU32::new(word().ok()?)?;
        let echo = Self { discriminator, secret: word().ok()?, sequence: word().ok()? };
        reader.is_empty().then_some(echo)
    }

    /// The octets of this packet.
    pub fn encode(self) -> [u8; LENGTH] {
        let mut out = [0; LENGTH];
        let words = [self.discriminator.get(), self.secret, self.sequence];
        for (place, word) in out.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        out
    }
}

/// The IPv4 packet from `own` to itself that a neighbor sends back (RFC 5881 section 4).
pub fn ipv4_packet(own: Ipv4Addr, payload: &[u8]) -> Vec<u8> {
    let udp = UdpRepr { src_port: ECHO_PORT, dst_port: ECHO_PORT };
    let length = udp.header_len() + payload.len();
    let ip = Ipv4Repr {
        src_addr: own,
        dst_addr: own,
        next_header: IpProtocol::Udp,
        payload_len: length,
        hop_limit: TTL,
    };
    let mut bytes = vec![0; ip.buffer_len() + length];
    let checksums = ChecksumCapabilities::default();
    let mut packet = Ipv4Packet::new_unchecked(&mut bytes);
    ip.emit(&mut packet, &checksums);
    let mut datagram = UdpPacket::new_unchecked(packet.payload_mut());
    let (from, to) = (own.into(), own.into());
    let fill = |room: &mut [u8]| room.copy_from_slice(payload);
    udp.emit(&mut datagram, &from, &to, payload.len(), fill, &checksums);
    bytes
}

/// Where an IPv4 packet says to come from, and its UDP payload; `None` is no whole datagram to the
/// port of echo packets.
pub fn from_ipv4(bytes: &[u8]) -> Option<(Ipv4Addr, &[u8])> {
    let packet = Ipv4Packet::new_checked(bytes).ok()?;
    let is_whole = !packet.more_frags() && packet.frag_offset() == 0;
    if packet.version() != 4 || !is_whole || packet.next_header() != IpProtocol::Udp {
        return None;
    }
    let datagram = UdpPacket::new_checked(packet.payload()).ok()?;
    (datagram.dst_port() == ECHO_PORT).then(|| (packet.src_addr(), datagram.payload()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_packet_goes_from_a_host_to_itself() {
        let own = Ipv4Addr::new(192, 0, 2, 11);
        let bytes = ipv4_packet(own, b"abcd");
        assert_eq!(bytes[..10], [0x45, 0, 0, 32, 0, 0, 0x40, 0, 255, 17], "whole, TTL 255, UDP");
        assert_eq!(bytes[12..20], [192, 0, 2, 11, 192, 0, 2, 11]);
        assert_eq!(bytes[20..26], [0x0e, 0xc9, 0x0e, 0xc9, 0, 12]);
        assert_eq!(from_ipv4(&bytes), Some((own, b"abcd".as_slice())));
        for (name, at, octet) in [
            ("IPv6", 0, 0x65),
            ("a fragment", 7, 1),
            ("not the last fragment", 6, 0x20),
            ("TCP", 9, 6),
            ("another port", 23, 0xc8),
            ("longer than it is", 25, 13),
        ] {
            let mut other = bytes.clone();
            other[at] = octet;
            assert_eq!(from_ipv4(&other), None, "{name}");
        }
        assert_eq!(from_ipv4(&bytes[..31]), None, "cut");
    }

    #[test]
    fn what_is_written_is_read_again_and_nothing_else() {
        let echo = Echo { discriminator: NonZeroU32::MIN, secret: 2, sequence: 0x0003_0000 };
        let bytes = echo.encode();
        assert_eq!(bytes, [0, 0, 0, 1, 0, 0, 0, 2, 0, 3, 0, 0]);
        assert_eq!(Echo::decode(&bytes), Some(echo));
        assert_eq!(Echo::decode(&bytes[..11]), None);
        assert_eq!(Echo::decode(&[0; LENGTH]), None);
        assert_eq!(Echo::decode(&[1; LENGTH + 1]), None);
    }
}
