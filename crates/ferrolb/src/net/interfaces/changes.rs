//! A bell that the kernel rings when a link or an address of an interface changes.
//!
//! What changed is not read: the table of interfaces is read as a whole after it. So nothing is lost
//! when changes come faster than they are taken, and what waits is bounded by the socket's buffer.
#![expect(unsafe_code, reason = "tokio wants to be promised that a socket stays the same file")]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};
use tokio::io::unix::AsyncFd;

/// The multicast groups of `rtnetlink(7)` that are listened to.
const GROUPS: libc::c_int = libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR;

/// Messages that are taken away before others get their turn.
const AT_ONCE: usize = 1024;

/// A socket in the groups of changes.
#[derive(Debug)]
pub(super) struct Changes(AsyncFd<OwnedFd>);

/// What the kernel said.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum News {
    /// Something changed.
    Changed,
    /// So much changed that the kernel did not tell all of it (`ENOBUFS`).
    Overrun,
}

impl Changes {
    /// Hears of every change from now on.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub(super) fn open() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let protocol = SockProtocol::NetlinkRoute;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, GROUPS.cast_unsigned()))?;
        // SAFETY: an `OwnedFd` has one file from first to last.
        let socket = unsafe { AsyncFd::register(socket) }?;
        Ok(Self(socket))
    }

    /// Waits for a change. Nothing is lost if it is not waited for to the end.
    ///
    /// # Errors
    ///
    /// What the kernel says of the socket.
    pub(super) async fn next(&self) -> io::Result<News> {
        loop {
            let mut ready = self.0.readable().await?;
            match ready.try_io(|socket| take(socket.get_ref())) {
                Ok(taken) => return taken,
                Err(_) => continue,
            }
        }
    }

    /// Takes away what has come in meanwhile.
    ///
    /// # Errors
    ///
    /// What the kernel says of the socket.
    pub(super) fn clear(&self) -> io::Result<News> {
        let mut news = News::Changed;
        for _ in 0..AT_ONCE {
            match take(self.0.get_ref()) {
                Ok(News::Changed) => (),
                Ok(News::Overrun) => news = News::Overrun,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(news)
    }
}

/// Takes one message. Its end is cut off, since it is not looked at.
fn take(socket: &OwnedFd) -> io::Result<News> {
    match recv(socket.as_raw_fd(), &mut [0; 16], MsgFlags::empty()) {
        Ok(_) => Ok(News::Changed),
        Err(Errno::ENOBUFS) => Ok(News::Overrun),
        Err(errno) => Err(errno.into()),
    }
}
