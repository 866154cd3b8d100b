//! The one place where the program asks what time it is.

use std::time::{self, Duration, SystemTime};

use proto::time::Instant;

/// Real time, in the terms of the protocol engines. Copies agree with one another.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: time::Instant,
}

impl Clock {
    /// A clock that stands at [`Instant::START`].
    pub fn start() -> Self {
        Self { started: time::Instant::now() }
    }

    /// The current moment.
    pub fn now(self) -> Instant {
        Instant::START + self.started.elapsed()
    }

    /// Time left until `deadline`; zero when it has passed, `None` when there is none.
    pub fn until(self, deadline: Option<Instant>) -> Option<Duration> {
        deadline.map(|deadline| deadline - self.now())
    }
}

/// Microseconds since 1970: rises from one start of the process to the next.
pub fn wall_micros() -> u64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX)
}

/// The time of day, which certificates are about.
pub fn wall() -> SystemTime {
    SystemTime::now()
}
