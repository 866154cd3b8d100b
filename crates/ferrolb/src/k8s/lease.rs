//! Who of several controllers is in charge: the holder of a `coordination.k8s.io` Lease.
//!
//! Safety rests on one clock at a time. The holder counts from the moment at which it *sent* its
//! last renewal and stops being in charge `MARGIN` before the others could think that it is gone;
//! these count from the moment at which they *read* that renewal. Clocks of two hosts are never
//! compared.

pub mod requests;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use proto::time::{Instant, earliest};

/// How long a lease is good for after its last renewal.
pub const DURATION: Duration = Duration::from_secs(5);

/// How much earlier than that its holder stops to be in charge: time for what it has sent to arrive.
const MARGIN: Duration = Duration::from_millis(1500);

/// From one renewal to the next.
const RENEW: Duration = Duration::from_secs(1);

/// From one look at a lease that another has to the next; up to a fifth more by chance.
const LOOK: Duration = Duration::from_millis(500);

/// From a request that failed to the next.
const RETRY: Duration = Duration::from_millis(500);

/// From one try to the next where leases are not allowed at all.
const RETRY_FORBIDDEN: Duration = Duration::from_secs(60);

/// What happens to an elector.
#[derive(Clone, Debug)]
pub enum Input {
    /// A deadline has come, or nothing has happened.
    Timeout,
    /// The answer to [`Output::Read`]: the lease, if there is one.
    Read(Result<Option<Lease>, Failure>),
    /// The answer to [`Output::Write`]: the lease as it is now.
    Written(Result<Lease, Failure>),
    /// This process ends: another may take over at once.
    Leave,
}

/// What is to be done for an elector. There is never more than one request without an answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Read the lease.
    Read,
    /// Write the lease.
    Write(Write),
}

/// A lease to write.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Write {
    /// Who has it from then on; nobody if empty.
    pub holder: String,
    /// The version that it must have now; `None` if it must not exist.
    pub version: Option<String>,
    /// How often it has changed hands.
    pub transitions: i32,
    /// When its holder got it, in microseconds since 1970; `None` if that is now.
    pub acquired: Option<u64>,
}

/// A lease as the API server has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lease {
    /// Who has it; nobody if empty.
    pub holder: String,
    /// Its version.
    pub version: String,
    /// How long it is good for.
    pub duration: Duration,
    /// How often it has changed hands.
    pub transitions: i32,
    /// When its holder got it, in microseconds since 1970.
    pub acquired: Option<u64>,
}

/// Why a request for a lease has failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Failure {
    /// Another was quicker.
    Conflict,
    /// Its role does not allow this process to use leases.
    Forbidden,
    /// No answer, or one that says nothing about the lease. The write may have been carried out.
    Unknown,
}

/// Whether this process is in charge.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Charge {
    /// It is not.
    Off,
    /// It is until then, unless it renews before.
    Until(Instant),
    /// It is, because leases are not allowed: whoever does so runs one controller.
    Alone,
}

impl Charge {
    /// Whether it is in charge at `now`.
    pub fn holds(self, now: Instant) -> bool {
        match self {
            Self::Off => false,
            Self::Until(end) => now < end,
            Self::Alone => true,
        }
    }
}

/// What is known of the lease.
#[derive(Clone, Debug)]
enum Seen {
    /// It has to be read.
    Nothing,
    /// There is none.
    Absent,
    /// It is like this, and was first seen so at this moment.
    There(Lease, Instant),
}

/// One of several processes, of which one is to be in charge.
#[derive(Clone, Debug)]
pub struct Elector {
    identity: String,
    chance: u64,
    seen: Seen,
    charge: Charge,
    /// When the request that has no answer yet was sent.
    sent: Option<Instant>,
    next: Instant,
    /// Another was quicker at the last write.
    was_outrun: bool,
    is_leaving: bool,
    outputs: VecDeque<Output>,
}

impl Elector {
    /// An elector that no other has the identity of. `chance` is any number.
    pub fn new(identity: impl Into<String>, now: Instant, chance: u64) -> Self {
        Self {
            identity: identity.into(),
            chance,
            seen: Seen::Nothing,
            charge: Charge::Off,
            sent: None,
            next: now,
            was_outrun: false,
            is_leaving: false,
            outputs: VecDeque::new(),
        }
    }

    /// Takes in one event.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Timeout => (),
            Input::Leave => self.is_leaving = true,
            Input::Read(answer) => {
                self.sent = None;
                self.read(now, answer);
            }
            Input::Written(answer) => {
                let sent = self.sent.take().unwrap_or(now);
                self.written(now, sent, answer);
            }
        }
        if !self.charge.holds(now) || self.is_leaving {
            self.charge = Charge::Off;
        }
        if self.sent.is_none() && (now >= self.next || self.is_leaving) {
            self.act(now);
        }
    }

    /// What is to be done; `None` until something happens.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Self::handle`] with [`Input::Timeout`] at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        let end = match self.charge {
            Charge::Until(end) => Some(end),
            Charge::Off | Charge::Alone => None,
        };
        let next = (self.sent.is_none() && !self.has_left()).then_some(self.next);
        earliest([end, next])
    }

    /// Whether this process is in charge.
    pub fn charge(&self) -> Charge {
        self.charge
    }

    /// Who has the lease, as far as is known; empty if nobody.
    pub fn holder(&self) -> &str {
        match &self.seen {
            Seen::There(lease, _) => &lease.holder,
            Seen::Nothing | Seen::Absent => "",
        }
    }

    /// Whether it has given back what it had, and wants nothing any more.
    pub fn has_left(&self) -> bool {
        let is_ours = self.holder() == self.identity;
        self.is_leaving && self.sent.is_none() && self.outputs.is_empty() && !is_ours
    }

    fn read(&mut self, now: Instant, answer: Result<Option<Lease>, Failure>) {
        match answer {
            Ok(lease) => {
                if self.charge == Charge::Alone {
                    self.charge = Charge::Off;
                }
                self.see(now, lease);
                self.next = self.next_look(now);
            }
            Err(failure) => self.fail(now, failure),
        }
    }

    fn written(&mut self, now: Instant, sent: Instant, answer: Result<Lease, Failure>) {
        match answer {
            Ok(lease) => {
                let is_ours = lease.holder == self.identity;
                self.was_outrun = false;
                self.see(now, Some(lease));
                if is_ours {
                    self.charge = Charge::Until(sent + (DURATION - MARGIN));
                    self.next = sent + RENEW;
                }
            }
            Err(failure) => self.fail(now, failure),
        }
    }

    fn see(&mut self, now: Instant, lease: Option<Lease>) {
        let is_ours = lease.as_ref().is_some_and(|lease| lease.holder == self.identity);
        if !is_ours {
            self.charge = Charge::Off;
        }
        self.seen = match (lease, &self.seen) {
            (None, _) => Seen::Absent,
            (Some(lease), Seen::There(known, since)) if *known == lease => {
                Seen::There(lease, *since)
            }
            (Some(lease), _) => Seen::There(lease, now),
        };
    }

    fn fail(&mut self, now: Instant, failure: Failure) {
        self.next = match failure {
            Failure::Conflict => {
                // It has to be read again, and be waited for anew if it is not ours.
                self.seen = Seen::Nothing;
                match mem::replace(&mut self.was_outrun, true) {
                    false => now,
                    // It may go on so.
                    true => now + RETRY + self.jitter(RETRY),
                }
            }
            Failure::Unknown => now + RETRY + self.jitter(RETRY),
            Failure::Forbidden => {
                self.charge = Charge::Alone;
                self.seen = Seen::Nothing;
                now + RETRY_FORBIDDEN
            }
        };
        if self.is_leaving {
            // Whoever comes next waits until it expires, if it is ours at all.
            self.seen = Seen::Nothing;
        }
    }

    /// When to look again at a lease that another has; now if it may become ours.
    fn next_look(&mut self, now: Instant) -> Instant {
        let look = now + LOOK + self.jitter(LOOK);
        match &self.seen {
            Seen::Nothing | Seen::Absent => now,
            Seen::There(lease, _) if self.may_take(lease) => now,
            Seen::There(lease, since) => look.min(*since + lease.duration),
        }
    }

    /// Whether a lease is ours, or nobody's.
    fn may_take(&self, lease: &Lease) -> bool {
        lease.holder.is_empty() || lease.holder == self.identity
    }

    fn act(&mut self, now: Instant) {
        let output = match &self.seen {
            Seen::There(lease, _) if self.is_leaving => match lease.holder == self.identity {
                true => self.write(String::new(), lease),
                false => return,
            },
            Seen::Nothing | Seen::Absent if self.is_leaving => return,
            Seen::Nothing => Output::Read,
            Seen::Absent => Output::Write(Write {
                holder: self.identity.clone(),
                version: None,
                transitions: 0,
                acquired: None,
            }),
            Seen::There(lease, since) if self.may_take(lease) || now >= *since + lease.duration => {
                self.write(self.identity.clone(), lease)
            }
            Seen::There(_, _) => Output::Read,
        };
        self.sent = Some(now);
        self.outputs.push_back(output);
    }

    fn write(&self, holder: String, lease: &Lease) -> Output {
        let is_new = lease.holder != holder;
        Output::Write(Write {
            holder,
            version: Some(lease.version.clone()),
            transitions: lease.transitions.saturating_add(i32::from(is_new)),
            acquired: lease.acquired.filter(|_| !is_new),
        })
    }

    /// Up to a fifth of `pause`.
    fn jitter(&mut self, pause: Duration) -> Duration {
        // Knuth's MMIX generator: nobody gains anything from foreseeing it.
        self.chance = self
            .chance
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let part = u32::try_from(self.chance >> 54).unwrap_or(0);
        pause / 5 / 1024 * part
    }
}
