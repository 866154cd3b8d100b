//! Datagrams of BFD: sockets that know how far a packet has come.

use std::ffi::CString;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;

use nix::cmsg_space;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
};
use proto::bfd::{CONTROL_PORT, Hops, MULTIHOP_PORT, Path, SOURCE_PORTS, TTL};
use socket2::{Domain, Protocol, Socket, Type};

use super::addresses::ip;

/// DSCP class selector 6, network control (RFC 2474 section 4.2.2.2).
const CS6: u32 = 48 << 2;

/// The highest priority in this host's own queues that needs no capability, `socket(7)`.
const PRIORITY: u32 = 6;

/// How many ports are tried for a session. On a host where they are all taken little else works.
const TRIES: u16 = 64;

/// What one socket hears.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Place {
    /// Packets over IPv6, or over IPv4.
    pub is_ipv6: bool,
    /// Which of the two ports.
    pub hops: Hops,
    /// On this interface or in this VRF alone.
    pub device: Option<Arc<str>>,
}

impl Place {
    /// Where packets of a session come in.
    pub fn of(path: &Path) -> Self {
        let Path { peer, device, hops, .. } = path;
        Self { is_ipv6: peer.is_ipv6(), hops: *hops, device: device.clone() }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        match self.hops {
            Hops::Single => CONTROL_PORT,
            Hops::Multi => MULTIHOP_PORT,
        }
    }
}

/// Receives Control packets.
#[derive(Debug)]
pub struct Listener {
    socket: UdpSocket,
    place: Place,
}

/// A datagram, and how it came.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// Its sender.
    pub from: IpAddr,
    /// The address that it was sent to.
    pub to: Option<IpAddr>,
    /// The index of the interface that it came in by; 0 if the kernel does not say.
    pub interface: u32,
    /// The TTL or hop limit that it came with; 0 if the kernel does not say.
    pub ttl: u8,
    /// As it came.
    pub bytes: &'a [u8],
}

impl Listener {
    /// Opens a socket that never blocks.
    ///
    /// # Errors
    ///
    /// `AddrInUse` when another process has the port, or whatever else the kernel says.
    pub fn bind(place: Place) -> io::Result<Self> {
        let (domain, any) = match place.is_ipv6 {
            true => (Domain::IPV6, IpAddr::from(Ipv6Addr::UNSPECIFIED)),
            false => (Domain::IPV4, IpAddr::from(Ipv4Addr::UNSPECIFIED)),
        };
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        socket.bind_device(place.device.as_ref().map(|device| device.as_bytes()))?;
        if place.is_ipv6 {
            socket.set_only_v6(true)?;
            setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)?;
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        } else {
            setsockopt(&socket, sockopt::Ipv4RecvTtl, &true)?;
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        }
        socket.bind(&SocketAddr::new(any, place.port()).into())?;
        Ok(Self { socket: socket.into(), place })
    }

    /// What it hears.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The next datagram, if one has come. One longer than `buffer` is cut.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn receive<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Option<Received<'a>>> {
        let mut control = cmsg_space!(libc::c_int, libc::in6_pktinfo);
        let mut slices = [IoSliceMut::new(buffer)];
        let flags = MsgFlags::empty();
        let fd = self.socket.as_raw_fd();
        let message = match recvmsg::<SockaddrStorage>(fd, &mut slices, Some(&mut control), flags) {
            Ok(message) => message,
            Err(nix::errno::Errno::EAGAIN) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let from = message.address.as_ref().and_then(ip);
        let from = from.ok_or_else(|| io::Error::other("a datagram without a sender"))?;
        let length = message.bytes;
        let (mut to, mut interface, mut ttl) = (None, 0, 0);
        for part in message.cmsgs()? {
            // A family has its own two of these; there are no others that we asked for.
            if let ControlMessageOwned::Ipv4Ttl(value) | ControlMessageOwned::Ipv6HopLimit(value) =
                part
            {
                ttl = u8::try_from(value).unwrap_or_default();
            } else if let ControlMessageOwned::Ipv4PacketInfo(info) = part {
                to = Some(IpAddr::from(info.ipi_addr.s_addr.to_ne_bytes()));
                interface = u32::try_from(info.ipi_ifindex).unwrap_or_default();
            } else if let ControlMessageOwned::Ipv6PacketInfo(info) = part {
                to = Some(IpAddr::from(info.ipi6_addr.s6_addr));
                interface = info.ipi6_ifindex;
            }
        }
        Ok(Some(Received { from, to, interface, ttl, bytes: &buffer[..length] }))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Sends the Control packets of one session, always from the same port.
#[derive(Debug)]
pub struct Sender {
    socket: UdpSocket,
    to: SocketAddr,
}

impl Sender {
    /// Opens a socket. `dice` is where the search for a port begins.
    ///
    /// # Errors
    ///
    /// `AddrNotAvailable` when no interface has our address, `AddrInUse` when no port is free, or
    /// whatever else the kernel says.
    pub fn open(path: &Path, dice: u16) -> io::Result<Self> {
        let to = destination(path)?;
        let any: IpAddr = match path.peer {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = Socket::new(Domain::for_address(to), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        socket.bind_device(path.device.as_ref().map(|device| device.as_bytes()))?;
        if to.is_ipv6() {
            socket.set_only_v6(true)?;
            socket.set_unicast_hops_v6(TTL.into())?;
            // These and the next are wishes: a kernel that refuses them still delivers.
            let _ = socket.set_tclass_v6(CS6);
        } else {
            socket.set_ttl_v4(TTL.into())?;
            let _ = socket.set_tos_v4(CS6);
        }
        let _ = socket.set_priority(PRIORITY);
        let count = SOURCE_PORTS.end() - SOURCE_PORTS.start();
        for port in (0..TRIES).map(|n| SOURCE_PORTS.start() + dice.wrapping_add(n) % count) {
            match socket.bind(&SocketAddr::new(path.local.unwrap_or(any), port).into()) {
                Ok(()) => return Ok(Self { socket: socket.into(), to }),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => (),
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    /// Sends one packet.
    ///
    /// # Errors
    ///
    /// What the kernel says; the packet is then lost.
    pub fn send(&self, packet: &[u8]) -> io::Result<()> {
        self.socket.send_to(packet, self.to).map(drop)
    }
}

/// Where the packets of a session go.
fn destination(path: &Path) -> io::Result<SocketAddr> {
    let port = Place::of(path).port();
    Ok(match (path.peer, &path.device) {
        (IpAddr::V6(peer), Some(device)) if peer.is_unicast_link_local() => {
            let interface = if_nametoindex(CString::new(device.as_bytes())?.as_c_str())?;
            SocketAddrV6::new(peer, port, 0, interface).into()
        }
        (peer, _) => SocketAddr::new(peer, port),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::inbox::wait;

    #[test]
    fn a_packet_tells_how_far_it_came_and_from_which_port() {
        for address in ["127.0.0.1", "::1"].map(|text| text.parse::<IpAddr>().unwrap()) {
            let hops = Hops::Multi;
            let path = Path { peer: address, local: Some(address), device: None, hops };
            // One who has the port too makes this test impossible, and tells nothing of ours.
            let Ok(listener) = Listener::bind(Place::of(&path)) else { continue };
            let sender = Sender::open(&path, 5).unwrap();
            sender.send(b"packet").unwrap();
            wait(&[listener.as_fd()], None).unwrap();
            let mut buffer = [0; 16];
            let got = listener.receive(&mut buffer).unwrap().unwrap();
            assert_eq!((got.from, got.to, got.ttl), (address, Some(address), 255));
            assert_eq!((got.bytes, got.interface), (b"packet".as_slice(), 1));
            assert!(listener.receive(&mut buffer).unwrap().is_none(), "it does not block");
            let port = sender.socket.local_addr().unwrap().port();
            assert!(SOURCE_PORTS.contains(&port), "{port}");
        }
    }
}
