//! How desired state reaches a thread, and how that thread waits.
//!
//! A thread that must be on time (heartbeats, ARP) does not run on the async runtime. It sleeps in
//! [`wait`] until one of its sockets is readable, its inbox was written to, or its deadline comes.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;

/// A slot of desired state for one reader.
///
/// Writers change what lies in it, the reader takes all of it. It is bounded by what it holds: an
/// update that was not read yet is overwritten, never queued.
#[derive(Debug)]
pub struct Inbox<T> {
    slot: Mutex<T>,
    bell: EventFd,
}

impl<T: Default> Inbox<T> {
    /// An inbox that holds the default.
    ///
    /// # Errors
    ///
    /// When the process may not open another file.
    pub fn new() -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let bell = EventFd::from_value_and_flags(0, flags)?;
        Ok(Self { slot: Mutex::default(), bell })
    }

    /// Changes what lies in the inbox and wakes its reader.
    pub fn update(&self, change: impl FnOnce(&mut T)) {
        change(&mut self.slot.lock().unwrap_or_else(PoisonError::into_inner));
        // Full means that 2^64 wake-ups wait to be read: the reader will wake.
        let _ = self.bell.write(1);
    }

    /// Takes what lies in the inbox and leaves the default.
    pub fn take(&self) -> T {
        // Empty means that nobody wrote: then the default is taken.
        let _ = self.bell.read();
        std::mem::take(&mut self.slot.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T> AsFd for Inbox<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

/// Sleeps until one of `sources` is readable or `timeout` has passed (`None`: for ever).
///
/// # Errors
///
/// What the operating system says; being interrupted by a signal is not an error.
pub fn wait(sources: &[BorrowedFd<'_>], timeout: Option<Duration>) -> io::Result<()> {
    wait_for(sources, &[], timeout)
}

/// Sleeps until one of `sources` is readable, one of `sinks` is writable or `timeout` has passed.
///
/// # Errors
///
/// As for [`wait`].
pub fn wait_for(
    sources: &[BorrowedFd<'_>],
    sinks: &[BorrowedFd<'_>],
    timeout: Option<Duration>,
) -> io::Result<()> {
    let sources = sources.iter().map(|source| PollFd::new(*source, PollFlags::POLLIN));
    let sinks = sinks.iter().map(|sink| PollFd::new(*sink, PollFlags::POLLOUT));
    let mut polled: Vec<_> = sources.chain(sinks).collect();
    match ppoll(&mut polled, timeout.map(TimeSpec::from_duration), None) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reader_wakes_and_finds_the_sum_of_all_updates() {
        let inbox = Inbox::<Vec<u8>>::new().unwrap();
        inbox.update(|items| items.push(1));
        inbox.update(|items| items.push(2));
        wait(&[inbox.as_fd()], None).unwrap();
        assert_eq!(inbox.take(), [1, 2]);
        assert!(inbox.take().is_empty(), "taken once");
    }

    #[test]
    fn a_deadline_ends_the_wait() {
        let inbox = Inbox::<Vec<u8>>::new().unwrap();
        wait(&[inbox.as_fd()], Some(Duration::from_millis(1))).unwrap();
        assert!(inbox.take().is_empty(), "nothing came");
    }
}
