//! ARP or NDP frames of one interface: an `AF_PACKET` socket with a filter in the kernel.
//!
//! There is one for each of the two protocols and not one for all: such a one would see every packet
//! that the node forwards, and filtering is cheap but not free.
#![expect(
    unsafe_code,
    reason = "socket2 leaves the link-layer address (sockaddr_ll) to its caller"
)]

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use libc::sock_filter;
use proto::l2::Mac;
use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, SockFilter, Socket, Type};

use super::filter::{Filter, Subject};

/// The longest frame we read. ARP fits into the shortest Ethernet frame; NDP of hosts with options
/// of tomorrow into this.
pub const MAX_FRAME: usize = 512;

/// Receives what a filter lets through on one interface, and sends whole Ethernet frames from it.
#[derive(Debug)]
pub struct PacketSocket {
    socket: Socket,
}

impl PacketSocket {
    /// Opens a socket on the interface with this index. Never blocks.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` without CAP_NET_RAW; else what the kernel says about the interface.
    pub fn open(interface: u32, subject: Subject, filter: &Filter) -> io::Result<Self> {
        // Protocol 0 receives nothing until `bind` names one, so that no frame slips in before the
        // filter is there.
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
        socket.set_nonblocking(true)?;
        ignore_outgoing(&socket)?;
        let new = Self { socket };
        new.filter(subject, filter)?;
        let protocol = match subject {
            Subject::Arp => libc::ETH_P_ARP,
            Subject::Ndp => libc::ETH_P_IPV6,
        };
        new.socket.bind(&link_address(interface, protocol, None)?)?;
        Ok(new)
    }

    /// Lets through what another filter says. No frame sees neither of them.
    ///
    /// # Errors
    ///
    /// When the kernel has no memory for it; the former filter stays.
    pub fn filter(&self, subject: Subject, filter: &Filter) -> io::Result<()> {
        attach(&self.socket, filter.program(subject))
    }

    /// The next frame, if one has come. A frame longer than `buffer` is cut.
    ///
    /// # Errors
    ///
    /// `NetworkDown` once after the interface went down; anything else means it is gone.
    pub fn receive<'a>(&self, buffer: &'a mut [u8; MAX_FRAME]) -> io::Result<Option<&'a [u8]>> {
        match (&self.socket).read(buffer) {
            Ok(length) => Ok(Some(&buffer[..length])),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends one frame, complete with its Ethernet header.
    ///
    /// # Errors
    ///
    /// What the kernel says; the frame is then lost.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        (&self.socket).write(frame).map(drop)
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether this process may open packet sockets at all.
///
/// # Errors
///
/// `PermissionDenied` without CAP_NET_RAW.
pub fn probe() -> io::Result<()> {
    Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0))).map(drop)
}

/// Makes the kernel hand over what a program lets through, and nothing else.
pub(super) fn attach(
    socket: &Socket,
    program: impl IntoIterator<Item = sock_filter>,
) -> io::Result<()> {
    let program = program.into_iter();
    let program: Vec<_> = program.map(|it| SockFilter::new(it.code, it.jt, it.jf, it.k)).collect();
    socket.attach_filter(&program)
}

/// The frames that this host sends itself are no business of ours.
pub(super) fn ignore_outgoing(socket: &Socket) -> io::Result<()> {
    let on: libc::c_int = 1;
    let size = libc::socklen_t::try_from(size_of_val(&on)).unwrap_or_default();
    // SAFETY: the option takes a `c_int`, which lives until the call returns.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_IGNORE_OUTGOING,
            (&raw const on).cast(),
            size,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Where frames of one interface are bound, or where one is sent, `packet(7)`.
pub(super) fn link_address(
    interface: u32,
    protocol: libc::c_int,
    station: Option<Mac>,
) -> io::Result<SockAddr> {
    let out_of_range = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let index = i32::try_from(interface).map_err(out_of_range)?;
    let family = u16::try_from(libc::AF_PACKET).map_err(out_of_range)?;
    let protocol = u16::try_from(protocol).map_err(out_of_range)?.to_be();
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).map_err(out_of_range)?;
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: `SockAddrStorage` is as large and as aligned as every socket address, and zero bytes
    // are a value of each field of `sockaddr_ll`. `length` is its size.
    unsafe {
        let address = storage.view_as::<libc::sockaddr_ll>();
        address.sll_family = family;
        address.sll_protocol = protocol;
        address.sll_ifindex = index;
        if let Some(Mac(octets)) = station {
            address.sll_halen = 6;
            address.sll_addr[..6].copy_from_slice(&octets);
        }
        Ok(SockAddr::new(storage, length))
    }
}
