//! UDP datagrams of others: recorded at the switch, and sent by somebody who is not their sender.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket,
};

use crate::stamp;
use crate::topology::{Host, Lan};

/// Longer than any frame on the network.
const FRAME: usize = 2048;

/// Ethernet type IPv4, and the first octet of a packet without options.
const IPV4: [u8; 3] = [0x08, 0x00, 0x45];

/// The protocol number of UDP.
const UDP: u8 = 17;

/// A datagram over IPv4.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Datagram {
    /// Who sent it.
    pub source: SocketAddrV4,
    /// To whom.
    pub destination: SocketAddrV4,
    /// What it says.
    pub payload: Vec<u8>,
}

/// Waits until `count` different datagrams from `source` to `port` have passed the switch.
pub fn record(
    lan: &Lan,
    source: Ipv4Addr,
    port: u16,
    count: usize,
    limit: Duration,
) -> Result<Vec<Datagram>> {
    let opened = lan.switch.run(|| {
        let flags = SockFlag::SOCK_CLOEXEC;
        socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)
    });
    let socket = opened.context("opening a packet socket at the switch")?;
    stamp::prepare(&socket).context("setting how long to wait for a frame")?;
    let until = Instant::now() + limit;
    let mut seen = BTreeSet::new();
    let mut buffer = [0; FRAME];
    while seen.len() < count {
        let found = seen.len();
        ensure!(Instant::now() < until, "{found} datagrams from {source} within {limit:?}");
        let Some(frame) = stamp::receive::<LinkAddr>(&socket, &mut buffer)? else { continue };
        let datagram = decode(&buffer[..frame.length]);
        let is_wanted =
            |one: &Datagram| *one.source.ip() == source && one.destination.port() == port;
        seen.extend(datagram.filter(is_wanted));
    }
    Ok(seen.into_iter().collect())
}

impl Datagram {
    /// Sends it from `host`, under the name of its sender.
    pub fn send_from(&self, host: &Host) -> Result<()> {
        let (packet, to) = (self.packet()?, SockaddrIn::from(self.destination));
        let sent = host.netns.run(move || {
            let flags = SockFlag::SOCK_CLOEXEC;
            let socket = socket(AddressFamily::Inet, SockType::Raw, flags, SockProtocol::Raw)?;
            sendto(socket.as_raw_fd(), &packet, &to, MsgFlags::empty())
        });
        sent.with_context(|| format!("sending from {} as {}", host.name, self.source)).map(drop)
    }

    /// Its bytes from the IPv4 header on. The kernel fills in that header's checksum; UDP goes
    /// without, which is allowed.
    fn packet(&self) -> Result<Vec<u8>> {
        let udp =
            u16::try_from(8 + self.payload.len()).context("a datagram of less than 64 KiB")?;
        let total = udp.checked_add(20).context("a datagram of less than 64 KiB")?;
        let mut packet = vec![0x45, 0];
        packet.extend(total.to_be_bytes());
        packet.extend([0, 0, 0, 0, 64, UDP, 0, 0]);
        packet.extend(self.source.ip().octets());
        packet.extend(self.destination.ip().octets());
        packet.extend(self.source.port().to_be_bytes());
        packet.extend(self.destination.port().to_be_bytes());
        packet.extend(udp.to_be_bytes());
        packet.extend([0, 0]);
        packet.extend(&self.payload);
        Ok(packet)
    }
}

/// `None` for what is not UDP over IPv4 over Ethernet.
fn decode(frame: &[u8]) -> Option<Datagram> {
    let packet = frame.get(12..)?.strip_prefix(&IPV4)?;
    let (header, rest) = packet.split_first_chunk::<19>()?;
    let address = |at: usize| {
        let octets = header.get(at..at + 4)?;
        Some(Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?))
    };
    let (ports, rest) = rest.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::from(u16::from_be_bytes([length[0], length[1]])).checked_sub(8)?;
    if header[8] != UDP {
        return None;
    }
    let port = |at: usize| u16::from_be_bytes([ports[at], ports[at + 1]]);
    Some(Datagram {
        source: SocketAddrV4::new(address(11)?, port(0)),
        destination: SocketAddrV4::new(address(15)?, port(2)),
        payload: rest.get(..length)?.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_what_was_recorded() {
        let datagram = Datagram {
            source: SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 11), 7946),
            destination: SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 12), 7947),
            payload: b"hello".to_vec(),
        };
        let packet = datagram.packet().unwrap();
        let frame = [[0; 12].as_slice(), &[0x08, 0x00], &packet, &[0; 20]].concat();
        assert_eq!(decode(&frame), Some(datagram), "also with padding behind it");
        let mut other = frame.clone();
        other[12 + 2 + 9] = 6;
        assert_eq!(decode(&other), None, "TCP");
        assert_eq!(decode(&frame[..12 + 2 + 20 + 10]), None, "cut");
    }
}
