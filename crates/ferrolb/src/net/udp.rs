//! Datagrams between speakers.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use socket2::{Domain, Protocol, Socket, Type};

/// A UDP socket bound to one address of this node. Never blocks.
#[derive(Debug)]
pub struct MeshSocket {
    socket: UdpSocket,
    local: SocketAddr,
}

/// Room for a burst of claims from every speaker of a large cluster at once.
const RECEIVE_BUFFER: usize = 4 << 20;

/// DSCP class selector 6, network control (RFC 2474 section 4.2.2.2): heartbeats must get through
/// when the network is busy.
const CS6: u32 = 48 << 2;

/// The highest priority in this host's own queues that needs no capability, `socket(7)`.
const PRIORITY: u32 = 6;

impl MeshSocket {
    /// Binds `address`, so that what is sent has it as its source: peers know us by it.
    ///
    /// # Errors
    ///
    /// `AddrNotAvailable` when no interface has the address, `AddrInUse` when another process has
    /// the port, or whatever else the kernel says.
    pub fn bind(address: IpAddr, port: u16) -> io::Result<Self> {
        let local = SocketAddr::new(address, port);
        let socket = Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        // All are wishes: a kernel that refuses them still delivers.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        let _ = match address {
            IpAddr::V4(_) => socket.set_tos_v4(CS6),
            IpAddr::V6(_) => {
                socket.set_only_v6(true)?;
                socket.set_tclass_v6(CS6)
            }
        };
        // IP_TOS has set another one.
        let _ = socket.set_priority(PRIORITY);
        socket.bind(&local.into())?;
        Ok(Self { socket: socket.into(), local })
    }

    /// The address it is bound to.
    pub fn local(&self) -> IpAddr {
        self.local.ip()
    }

    /// The next datagram, if one has come, and where it came from.
    ///
    /// # Errors
    ///
    /// What the kernel says; an ICMP error for an earlier datagram is one such.
    pub fn receive<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Option<(IpAddr, &'a [u8])>> {
        match self.socket.recv_from(buffer) {
            Ok((length, from)) => Ok(Some((from.ip(), &buffer[..length]))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends one datagram to the same port at `to`.
    ///
    /// # Errors
    ///
    /// What the kernel says; the datagram is then lost.
    pub fn send(&self, to: IpAddr, datagram: &[u8]) -> io::Result<()> {
        let to = SocketAddr::new(to, self.local.port());
        self.socket.send_to(datagram, to).map(drop)
    }
}

impl AsFd for MeshSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;

    use super::*;

    /// A port that nobody has at this moment.
    fn free_port(address: IpAddr) -> u16 {
        UdpSocket::bind((address, 0)).unwrap().local_addr().unwrap().port()
    }

    #[test]
    fn datagrams_of_both_families_are_marked_as_network_control() {
        for address in ["127.0.0.1", "::1"].map(|text| text.parse::<IpAddr>().unwrap()) {
            let socket = MeshSocket::bind(address, free_port(address)).unwrap();
            let options = SockRef::from(&socket.socket);
            let mark = match address {
                IpAddr::V4(_) => options.tos_v4(),
                IpAddr::V6(_) => options.tclass_v6(),
            };
            assert_eq!((mark.unwrap(), options.priority().unwrap()), (CS6, PRIORITY), "{address}");

            socket.send(address, b"heartbeat").unwrap();
            let mut buffer = [0; 16];
            let received = socket.receive(&mut buffer).unwrap();
            assert_eq!(received, Some((address, b"heartbeat".as_slice())));
            assert_eq!(socket.receive(&mut buffer).unwrap(), None, "it does not block");
        }
    }
}
