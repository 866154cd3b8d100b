//! BFD echo packets: from this host to itself, by way of a neighbor.
//!
//! The kernel would deliver them without sending them, and drop what comes in from its own address.
//! So they go out and come in by an `AF_PACKET` socket, below IP.
#![expect(unsafe_code, reason = "neither std nor nix asks the kernel for a neighbor's address")]

use std::ffi::CString;
use std::io::{self, Read};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use libc::sock_filter;
use nix::net::if_::if_indextoname;
use proto::bfd::ECHO_PORT;
use proto::l2::Mac;
use socket2::{Domain, Protocol, Socket, Type};

use super::packet_socket::{attach, ignore_outgoing, link_address};

/// The longest packet that is read: an echo packet with its headers is much shorter.
pub const MAX_ECHO: usize = 128;

/// Sends and receives echo packets on one interface.
#[derive(Debug)]
pub struct EchoSocket {
    socket: Socket,
    interface: u32,
    name: CString,
}

impl EchoSocket {
    /// Opens a socket on the interface with this index. Never blocks.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` without CAP_NET_RAW; else what the kernel says about the interface.
    pub fn open(interface: u32) -> io::Result<Self> {
        let name = if_indextoname(interface)?;
        // Protocol 0 receives nothing until `bind` names one, so that nothing slips in before the
        // filter is there.
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(0)))?;
        socket.set_nonblocking(true)?;
        ignore_outgoing(&socket)?;
        attach(&socket, program())?;
        socket.bind(&link_address(interface, libc::ETH_P_IP, None)?)?;
        Ok(Self { socket, interface, name })
    }

    /// The next IPv4 packet to the port of echo packets, if one has come.
    ///
    /// # Errors
    ///
    /// `NetworkDown` once after the interface went down; anything else means it is gone.
    pub fn receive<'a>(&self, buffer: &'a mut [u8; MAX_ECHO]) -> io::Result<Option<&'a [u8]>> {
        match (&self.socket).read(buffer) {
            Ok(length) => Ok(Some(&buffer[..length])),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Hands a whole IPv4 packet to a neighbor, whatever its destination is.
    ///
    /// # Errors
    ///
    /// `NotFound` while the kernel does not know the neighbor; else what it says. The packet is then
    /// lost.
    pub fn send(&self, neighbor: Ipv4Addr, packet: &[u8]) -> io::Result<()> {
        let mac = self.mac_of(neighbor)?;
        let to = link_address(self.interface, libc::ETH_P_IP, Some(mac))?;
        self.socket.send_to(packet, &to).map(drop)
    }

    /// The link-layer address of a neighbor, as the kernel knows it, `arp(7)`.
    fn mac_of(&self, neighbor: Ipv4Addr) -> io::Result<Mac> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
        // SAFETY: zero bytes are a value of each field.
        let mut request: libc::arpreq = unsafe { std::mem::zeroed() };
        request.arp_pa.sa_family = libc::AF_INET.try_into().map_err(io::Error::other)?;
        // The address of a `sockaddr_in` lies behind its port.
        for (place, octet) in request.arp_pa.sa_data[2..].iter_mut().zip(neighbor.octets()) {
            *place = libc::c_char::from_ne_bytes([octet]);
        }
        // The last place stays zero: it ends the name.
        let name = self.name.as_bytes().iter().take(request.arp_dev.len() - 1);
        for (place, octet) in request.arp_dev.iter_mut().zip(name) {
            *place = libc::c_char::from_ne_bytes([*octet]);
        }
        // SAFETY: the call reads and writes an `arpreq`, which lives until it returns.
        let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGARP, &raw mut request) };
        let is_known = request.arp_flags & libc::ATF_COM != 0;
        match result {
            0 if is_known => {
                let mut mac = [0; 6];
                for (place, octet) in mac.iter_mut().zip(request.arp_ha.sa_data) {
                    *place = u8::from_ne_bytes(octet.to_ne_bytes());
                }
                Ok(Mac(mac))
            }
            0 => Err(io::ErrorKind::NotFound.into()),
            _ => match io::Error::last_os_error() {
                error if error.raw_os_error() == Some(libc::ENXIO) => {
                    Err(io::ErrorKind::NotFound.into())
                }
                error => Err(error),
            },
        }
    }
}

impl AsFd for EchoSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Lets UDP to the port of echo packets through, but for fragments. Offsets are those in the IPv4
/// header, as the socket hands no Ethernet header over.
fn program() -> [sock_filter; 9] {
    const LOAD_BYTE: u16 = 0x30;
    const LOAD_HALF_WORD: u16 = 0x28;
    const LOAD_HALF_WORD_BEHIND: u16 = 0x48;
    const TAKE_HEADER_LENGTH: u16 = 0xb1;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const JUMP_IF_ANY_BIT: u16 = 0x45;
    const RETURN: u16 = 0x06;
    const UDP: u32 = 17;
    let step = |code, k| sock_filter { code, jt: 0, jf: 0, k };
    let unless = |code, k, jt, jf| sock_filter { code, jt, jf, k };
    [
        step(LOAD_BYTE, 9),
        unless(JUMP_IF_EQUAL, UDP, 0, 6),
        step(LOAD_HALF_WORD, 6),
        // More fragments, or not the first one.
        unless(JUMP_IF_ANY_BIT, 0x3fff, 4, 0),
        step(TAKE_HEADER_LENGTH, 0),
        step(LOAD_HALF_WORD_BEHIND, 2),
        unless(JUMP_IF_EQUAL, ECHO_PORT.into(), 0, 1),
        step(RETURN, u32::MAX),
        step(RETURN, 0),
    ]
}
