//! The bytes of one connection that TCP has not taken yet, and connections on their way out.

use std::io;

use proto::time::Instant;

use crate::net::tcp::{Read, Stream};

/// A connection, and what waits to be sent on it. The session hands out no more than is bounded by
/// its window, so this does not grow without end.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) stream: Stream,
    outbox: Vec<u8>,
    /// How much of the outbox TCP has taken.
    taken: usize,
}

/// A connection that was closed, until its last words are out.
#[derive(Debug)]
pub(super) struct Closing {
    wire: Wire,
    until: Instant,
    has_ended: bool,
}

impl Wire {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, outbox: Vec::new(), taken: 0 }
    }

    /// Adds what is to be sent.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.outbox.extend_from_slice(bytes);
    }

    /// Whether something waits to be sent.
    pub(super) fn is_waiting(&self) -> bool {
        self.taken < self.outbox.len()
    }

    /// Sends as much as TCP takes, and says how much that was.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub(super) fn push(&mut self) -> io::Result<usize> {
        let before = self.taken;
        while let Some(rest) = self.outbox.get(self.taken..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest)? {
                0 => break,
                count => self.taken += count,
            }
        }
        let pushed = self.taken - before;
        if !self.is_waiting() {
            self.outbox.clear();
            self.taken = 0;
        }
        Ok(pushed)
    }
}

impl Closing {
    pub(super) fn new(wire: Wire, until: Instant) -> Self {
        Self { wire, until, has_ended: false }
    }

    pub(super) fn until(&self) -> Instant {
        self.until
    }

    pub(super) fn stream(&self) -> &Stream {
        &self.wire.stream
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.wire.is_waiting()
    }

    /// Goes on with the end, and says whether it is over: the other end has closed too, or had
    /// long enough.
    pub(super) fn is_over(&mut self, now: Instant, buffer: &mut [u8]) -> bool {
        if now >= self.until || self.wire.push().is_err() {
            return true;
        }
        if !self.wire.is_waiting() && !self.has_ended {
            self.wire.stream.end();
            self.has_ended = true;
        }
        // What still comes is read, or the kernel would reset the connection.
        loop {
            match self.wire.stream.read(buffer) {
                Ok(Read::Bytes(_)) => (),
                Ok(Read::Nothing) => return false,
                Ok(Read::End) => return self.has_ended,
                Err(_) => return true,
            }
        }
    }
}
