//! The echo function of one session, RFC 5880 sections 6.4, 6.8.5, 6.8.8 and 6.8.9.

use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;

use crate::bfd::dice::{Dice, Share};
use crate::bfd::echo::Echo;
use crate::bfd::ignored::Ignored;
use crate::time::Instant;

/// Echo packets on their way, if there are to be any.
#[derive(Debug)]
pub(super) struct Echoes {
    discriminator: NonZeroU32,
    secret: u32,
    /// Of the last one sent.
    sequence: u32,
    /// Of the last one that came back.
    returned: u32,
    /// `None` while none are sent.
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    interval: Duration,
    multiplier: NonZeroU8,
    sent: Option<(Instant, Share)>,
    /// When the last one came back, or this interval began.
    proved_at: Instant,
}

impl Echoes {
    pub(super) fn new(discriminator: NonZeroU32, secret: u32) -> Self {
        Self { discriminator, secret, sequence: 0, returned: 0, running: None }
    }

    /// They are to be sent this often, and so many in a row may be lost.
    pub(super) fn wish(&mut self, now: Instant, interval: Option<Duration>, multiplier: NonZeroU8) {
        let Some(interval) = interval else {
            self.running = None;
            return;
        };
        let running = self.running.get_or_insert(Running {
            interval,
            multiplier,
            sent: None,
            proved_at: now,
        });
        if running.interval != interval {
            // What came back in time before may be too late in the new terms.
            running.proved_at = now;
        }
        (running.interval, running.multiplier) = (interval, multiplier);
    }

    /// The next one, if it is due.
    pub(super) fn send(&mut self, now: Instant, dice: &mut Dice) -> Option<Vec<u8>> {
        if self.send_at()? > now {
            return None;
        }
        let running = self.running.as_mut()?;
        running.sent = Some((now, dice.jitter(running.multiplier)));
        self.sequence = self.sequence.wrapping_add(1);
        let (discriminator, secret, sequence) = (self.discriminator, self.secret, self.sequence);
        Some(Echo { discriminator, secret, sequence }.encode().to_vec())
    }

    /// One has come back.
    pub(super) fn returned(&mut self, now: Instant, echo: Echo) -> Result<(), Ignored> {
        let under_way = self.sequence.wrapping_sub(self.returned);
        let is_awaited = (1..=under_way).contains(&echo.sequence.wrapping_sub(self.returned));
        match &mut self.running {
            Some(running) if echo.secret == self.secret && is_awaited => {
                self.returned = echo.sequence;
                running.proved_at = now;
                Ok(())
            }
            Some(_) | None => Err(Ignored::Echo),
        }
    }

    /// When the next one is due; the first at once.
    pub(super) fn send_at(&self) -> Option<Instant> {
        let running = self.running.as_ref()?;
        let due = |(at, share): (Instant, Share)| at + share.of(running.interval);
        Some(running.sent.map_or(Instant::START, due))
    }

    /// When the path is given up.
    pub(super) fn lost_at(&self) -> Option<Instant> {
        let running = self.running.as_ref()?;
        Some(running.proved_at + running.interval * u32::from(running.multiplier.get()))
    }
}
