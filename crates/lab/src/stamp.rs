//! Receiving with the kernel's time stamp.
//!
//! A thread that reads a packet late must not make the packet late, so arrival is the moment at
//! which the kernel took it.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd as _};
use std::time::{Duration, Instant, SystemTime};

use nix::errno::Errno;
use nix::sys::socket::sockopt::{ReceiveTimeout, ReceiveTimestampns};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrLike, recvmsg, setsockopt};
use nix::sys::time::{TimeSpec, TimeVal};

use crate::worker::LOOK;

/// One packet's length, sender and arrival.
pub(crate) struct Received<A> {
    pub(crate) length: usize,
    pub(crate) from: Option<A>,
    pub(crate) at: Instant,
}

/// Prepares a socket for [`receive`].
pub(crate) fn prepare(socket: &impl AsFd) -> io::Result<()> {
    setsockopt(socket, ReceiveTimestampns, &true)?;
    let micros = i64::try_from(LOOK.as_micros()).map_err(io::Error::other)?;
    setsockopt(socket, ReceiveTimeout, &TimeVal::new(0, micros))?;
    Ok(())
}

/// Takes one packet into `buffer`; `None` when there was none for [`LOOK`].
pub(crate) fn receive<A: SockaddrLike>(
    socket: &impl AsFd,
    buffer: &mut [u8],
) -> io::Result<Option<Received<A>>> {
    let mut control = nix::cmsg_space!(TimeSpec);
    let mut slices = [IoSliceMut::new(buffer)];
    let fd = socket.as_fd().as_raw_fd();
    let message = match recvmsg::<A>(fd, &mut slices, Some(&mut control), MsgFlags::empty()) {
        Ok(message) => message,
        Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let stamp = message.cmsgs()?.find_map(|control| {
        let ControlMessageOwned::ScmTimestampns(stamp) = control else { return None };
        Some(Duration::from(stamp))
    });
    Ok(Some(Received { length: message.bytes, from: message.address, at: instant(stamp) }))
}

/// The kernel stamps with the wall clock; a packet is at most milliseconds old, so the difference
/// to now is the same on both clocks. Without a stamp, now is the latest that it can be.
fn instant(stamp: Option<Duration>) -> Instant {
    let now = Instant::now();
    stamp
        .and_then(|stamp| SystemTime::UNIX_EPOCH.checked_add(stamp))
        .and_then(|stamp| stamp.elapsed().ok())
        .and_then(|age| now.checked_sub(age))
        .unwrap_or(now)
}
