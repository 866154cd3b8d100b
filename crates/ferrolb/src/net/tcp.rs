//! TCP connections with routers: addresses, keys, hops and marks that sessions of BGP need.
//!
//! Nothing here blocks: a connection is asked for and comes about later, and what TCP does not take
//! is left with the caller.
#![expect(unsafe_code, reason = "neither std nor socket2 sets keys of TCP MD5 and the least TTL")]

use std::ffi::c_int;
use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// The longest key of TCP MD5, `TCP_MD5SIG_MAXKEYLEN` of `linux/tcp.h`.
const MAX_KEY: usize = 80;

/// Connections that the kernel makes and we did not take yet.
const BACKLOG: c_int = 64;

/// How packets of a connection are sent, and which are taken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Options {
    /// The address of ours; `None` leaves it to the kernel.
    pub source: Option<IpAddr>,
    /// The device that the connection is bound to, such as that of a VRF.
    pub device: Option<String>,
    /// How far away the other end may be.
    pub reach: Reach,
    /// The differentiated services code point (RFC 2474).
    pub dscp: u8,
    /// The key of TCP MD5 (RFC 2385).
    pub key: Option<Key>,
}

/// How far away the other end of a connection may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reach {
    /// On the same link: packets go no further.
    Link,
    /// At most so many hops; packets from further away are dropped (GTSM, RFC 5082).
    Secured(u8),
    /// Anywhere.
    Any,
}

impl Reach {
    /// The TTL of what is sent, and the least of what is taken; 0 takes all.
    fn ttls(self) -> (u8, u8) {
        match self {
            Self::Link => (1, 0),
            Self::Secured(hops) => (u8::MAX, u8::MAX - hops.saturating_sub(1)),
            Self::Any => (u8::MAX, 0),
        }
    }
}

/// A key of TCP MD5, which does not print.
#[derive(Clone, Eq, PartialEq)]
pub struct Key(pub String);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

/// A connection, made or in the making.
#[derive(Debug)]
pub struct Stream {
    socket: Socket,
}

/// How far the making of a connection is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Progress {
    /// It may still come about.
    Pending,
    /// It is there.
    Made,
}

/// What a read found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Read {
    /// So many bytes.
    Bytes(usize),
    /// Nothing for now.
    Nothing,
    /// The other end sends no more.
    End,
}

impl Stream {
    /// Asks for a connection to `to`; [`Stream::progress`] tells what became of it.
    ///
    /// # Errors
    ///
    /// An option that the kernel refuses, named in the text; or that there can be no connection.
    pub fn connect(to: SocketAddr, options: &Options) -> io::Result<Self> {
        let socket = open(to.ip())?;
        let what = |what: &str| format!("{what} of the connection");
        bind_device(&socket, options).map_err(|error| told(error, &what("the device")))?;
        if let Some(source) = options.source {
            let address = SockAddr::from(SocketAddr::new(source, 0));
            let source = format!("the source address {source}");
            socket.bind(&address).map_err(|error| told(error, &source))?;
        }
        let stream = Self { socket };
        stream.adapt(to.ip(), options)?;
        match stream.socket.connect(&to.into()) {
            Ok(()) => Ok(stream),
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(stream),
            Err(error) => Err(error),
        }
    }

    /// What became of a connection that was asked for.
    ///
    /// # Errors
    ///
    /// Why it could not be made.
    pub fn progress(&self) -> io::Result<Progress> {
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        match self.socket.peer_addr() {
            Ok(_) => Ok(Progress::Made),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(Progress::Pending),
            Err(error) => Err(error),
        }
    }

    /// Makes a connection to `peer`, which may stand already, go on with other options. Source and
    /// device stay as they are.
    ///
    /// # Errors
    ///
    /// An option that the kernel refuses, named in the text.
    pub fn adapt(&self, peer: IpAddr, options: &Options) -> io::Result<()> {
        set_hops(&self.socket, peer, options.reach).map_err(|error| told(error, "the TTL"))?;
        set_key(&self.socket, peer, options.key.as_ref())?;
        // A wish: the kernel that refuses it still delivers.
        let _ = mark(&self.socket, peer, options.dscp);
        Ok(())
    }

    /// Our own address.
    ///
    /// # Errors
    ///
    /// What the kernel says; the connection is none then.
    pub fn local(&self) -> io::Result<SocketAddr> {
        address(&self.socket.local_addr()?)
    }

    /// The address of the other end.
    ///
    /// # Errors
    ///
    /// What the kernel says; the connection is none then.
    pub fn peer(&self) -> io::Result<SocketAddr> {
        address(&self.socket.peer_addr()?)
    }

    /// Takes what has come in.
    ///
    /// # Errors
    ///
    /// Why the connection is broken.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<Read> {
        match io::Read::read(&mut &self.socket, buffer) {
            Ok(0) => Ok(Read::End),
            Ok(length) => Ok(Read::Bytes(length)),
            Err(error) if is_for_later(&error) => Ok(Read::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Hands bytes to the kernel, and says how many of them it has taken.
    ///
    /// # Errors
    ///
    /// Why the connection is broken.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match io::Write::write(&mut &self.socket, bytes) {
            Ok(length) => Ok(length),
            Err(error) if is_for_later(&error) => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Says that no more is sent. Without it, what the other end has sent and we did not read would
    /// make the kernel reset the connection, and take our last words with it.
    pub fn end(&self) {
        // It is broken already: there is nothing to end.
        let _ = self.socket.shutdown(Shutdown::Write);
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Waits for routers that connect, in one address family.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    any: IpAddr,
}

impl Listener {
    /// Listens at every address of the family of `any`, in the VRF of `device` if there is one.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` for a port below 1024 without CAP_NET_BIND_SERVICE, `AddrInUse` when
    /// another process has the port.
    pub fn bind(any: IpAddr, port: u16, device: Option<&str>) -> io::Result<Self> {
        let any = match any {
            IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
        };
        let socket = open(any)?;
        socket.set_reuse_address(true)?;
        if any.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind_device(device.map(str::as_bytes))?;
        // For those who take nothing that was sent from further away (RFC 5082). What is sent after
        // the handshake has the TTL of the peer that has connected.
        set_hops(&socket, any, Reach::Any)?;
        socket.bind(&SocketAddr::new(any, port).into())?;
        socket.listen(BACKLOG)?;
        Ok(Self { socket, any })
    }

    /// Takes connections of `peer` only if they are signed with this key; `None` takes those that
    /// are not signed.
    ///
    /// # Errors
    ///
    /// The kernel cannot sign.
    pub fn expect(&self, peer: IpAddr, key: Option<&Key>) -> io::Result<()> {
        if peer.is_ipv4() == self.any.is_ipv4() { set_key(&self.socket, peer, key) } else { Ok(()) }
    }

    /// The next connection that a router has made, and where that is.
    ///
    /// # Errors
    ///
    /// What the kernel says; others may have come in behind.
    pub fn accept(&self) -> io::Result<Option<(SocketAddr, Stream)>> {
        match self.socket.accept() {
            Ok((socket, from)) => {
                socket.set_nonblocking(true)?;
                socket.set_tcp_nodelay(true)?;
                Ok(Some((address(&from)?, Stream { socket })))
            }
            Err(error) if is_for_later(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn open(address: IpAddr) -> io::Result<Socket> {
    let domain = if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // Messages are whole when they are written: waiting for more would only delay routes.
    socket.set_tcp_nodelay(true)?;
    Ok(socket)
}

fn bind_device(socket: &Socket, options: &Options) -> io::Result<()> {
    socket.bind_device(options.device.as_ref().map(String::as_bytes))
}

fn address(address: &SockAddr) -> io::Result<SocketAddr> {
    let unnamed = || io::Error::other("the kernel names no address of the connection");
    address.as_socket().ok_or_else(unnamed)
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// The same error, with what was tried.
fn told(error: io::Error, what: &str) -> io::Error {
    io::Error::new(error.kind(), format!("setting {what}: {error}"))
}

fn mark(socket: &Socket, peer: IpAddr, dscp: u8) -> io::Result<()> {
    let octet = u32::from(dscp) << 2;
    if peer.is_ipv4() { socket.set_tos_v4(octet) } else { socket.set_tclass_v6(octet) }
}

fn set_hops(socket: &Socket, peer: IpAddr, reach: Reach) -> io::Result<()> {
    let (ttl, least) = reach.ttls();
    if peer.is_ipv4() {
        socket.set_ttl_v4(ttl.into())?;
        set(socket, libc::IPPROTO_IP, libc::IP_MINTTL, &c_int::from(least))
    } else {
        socket.set_unicast_hops_v6(ttl.into())?;
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_MINHOPCOUNT, &c_int::from(least))
    }
}

/// `struct tcp_md5sig` of `linux/tcp.h`.
#[repr(C)]
struct Md5Signature {
    address: libc::sockaddr_storage,
    flags: u8,
    prefix_length: u8,
    key_length: u16,
    interface: c_int,
    key: [u8; MAX_KEY],
}

/// Signs what goes to `peer` with `key`, and takes nothing of it that is not; `None` ends that.
fn set_key(socket: &Socket, peer: IpAddr, key: Option<&Key>) -> io::Result<()> {
    let bytes = key.map_or(&[][..], |key| key.0.as_bytes());
    let mut padded = [0; MAX_KEY];
    let Some(place) = padded.get_mut(..bytes.len()) else {
        let text = format!("a key of TCP MD5 has at most {MAX_KEY} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    };
    place.copy_from_slice(bytes);
    let signature = Md5Signature {
        address: storage(peer),
        flags: 0,
        prefix_length: 0,
        // It is at most `MAX_KEY`.
        key_length: u16::try_from(bytes.len()).unwrap_or_default(),
        interface: 0,
        key: padded,
    };
    let result = set(socket, libc::IPPROTO_TCP, libc::TCP_MD5SIG, &signature);
    match result {
        // There was none to end: without a key the option says so, and may not be there at all.
        Err(_) if key.is_none() => Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => {
            let text = "this kernel has no TCP MD5 (CONFIG_TCP_MD5SIG)";
            Err(io::Error::new(io::ErrorKind::Unsupported, text))
        }
        result => result.map_err(|error| told(error, "the key of TCP MD5")),
    }
}

/// An address as the kernel has it.
fn storage(address: IpAddr) -> libc::sockaddr_storage {
    let address = SockAddr::from(SocketAddr::new(address, 0));
    // SAFETY: every bit pattern is a `sockaddr_storage`, which is as long as any address is.
    let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
    let length = usize::try_from(address.len()).unwrap_or_default();
    // SAFETY: both places are valid for `length` octets, and they are not the same.
    unsafe {
        let from = address.as_ptr().cast::<u8>();
        std::ptr::copy_nonoverlapping(from, (&raw mut storage).cast::<u8>(), length);
    }
    storage
}

/// `setsockopt`.
fn set<T>(socket: &Socket, level: c_int, name: c_int, value: &T) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<T>()).map_err(io::Error::other)?;
    let value = std::ptr::from_ref(value).cast();
    // SAFETY: `value` points to `length` octets that live until the call returns.
    match unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value, length) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests;
