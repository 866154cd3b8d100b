//! What a peer knows of my claims, and when it is spoken to.

use std::collections::VecDeque;
use std::time::Duration;

use crate::mesh::Station;
use crate::mesh::book::Book;
use crate::mesh::message::{Changes, MAX_INTERVAL, Message, Position, Wish};
use crate::mesh::ownership::Settings;
use crate::time::{Instant, earliest};

/// Datagrams of changes under way to one peer: what a socket's default buffer has room for. Some
/// thousand claims are told at once, before the next in line loses patience.
const WINDOW: usize = 64;

/// In tenths of the close interval: after this time what was not acknowledged is sent again, and
/// what cannot be acknowledged is repeated.
const RETRY: u32 = 4;

/// That many times; from then on after the longer time.
const QUICK_RETRIES: u32 = 3;
const LATER_RETRY: u32 = 20;

/// A silent peer is told of a change as often as that if it is spoken to that often: only when few
/// are silent.
const OFTEN: u32 = 50;

/// How long an acknowledgement may wait for more of the same burst.
const ACK_DELAY: Duration = Duration::from_millis(5);

/// What is sent besides the changes.
pub(in crate::mesh) struct Occasion<'a> {
    pub(in crate::mesh) now: Instant,
    pub(in crate::mesh) book: &'a Book,
    pub(in crate::mesh) me: &'a Station,
    pub(in crate::mesh) settings: &'a Settings,
    /// How often the peer is to be spoken to from now on.
    pub(in crate::mesh) interval: Duration,
    /// How often it is wished to be heard.
    pub(in crate::mesh) wish: Wish,
    /// From 0 to 255: how much sooner than the interval says the next heartbeat comes. Speakers
    /// that were started together would otherwise all speak at the same moments for good.
    pub(in crate::mesh) jitter: u8,
    pub(in crate::mesh) is_silent: bool,
}

pub(super) struct Outbox {
    /// What the peer acknowledged of my claims.
    pub(super) acked: Position,
    /// Up to where changes were sent, while some are under way.
    sent: Option<Position>,
    /// The versions to which the datagrams under way lead.
    under_way: VecDeque<u64>,
    retries: u32,
    retry_at: Option<Instant>,
    ack_at: Option<Instant>,
    send_at: Instant,
    /// The version that was told last while it was silent.
    offered: u64,
    /// What it was told last, and how often it is yet to be told soon.
    interval: Duration,
    wish: Wish,
    repeats: u32,
}

impl Outbox {
    /// The peer is spoken to at once.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            acked: Position::default(),
            sent: None,
            under_way: VecDeque::new(),
            retries: 0,
            retry_at: None,
            ack_at: None,
            send_at: now,
            offered: 0,
            interval: MAX_INTERVAL,
            wish: Wish { interval: MAX_INTERVAL, rank: u8::MAX },
            repeats: 0,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        earliest([Some(self.send_at), self.retry_at, self.ack_at])
    }

    /// The peer is heard again, or for the first time.
    pub(super) fn greet(&mut self, now: Instant) {
        self.send_at = now;
        self.stop_sending();
    }

    pub(super) fn fall_silent(&mut self) {
        self.ack_at = None;
        self.repeats = 0;
        self.stop_sending();
    }

    /// Changes came in; `is_last` says that no more are expected.
    pub(super) fn owe_ack(&mut self, now: Instant, is_last: bool) {
        let ack_at = if is_last { now } else { now + ACK_DELAY };
        self.ack_at = earliest([self.ack_at, Some(ack_at)]);
    }

    /// Takes in what the peer knows of my claims.
    pub(super) fn acknowledge(&mut self, ack: Position) {
        if Some(ack) == self.sent {
            self.stop_sending();
        } else if ack != self.acked {
            self.retries = 0;
            while self.under_way.pop_front_if(|version| *version <= ack.version).is_some() {}
        }
        self.acked = ack;
    }

    fn stop_sending(&mut self) {
        self.sent = None;
        self.under_way.clear();
        self.retries = 0;
        self.retry_at = None;
    }

    /// What the peer must know soon and does not acknowledge: a wish, and a slower interval, which
    /// it would otherwise take for silence.
    fn note_terms(&mut self, occasion: &Occasion<'_>) {
        let is_sooner = occasion.interval < self.interval;
        let is_other = occasion.interval != self.interval || occasion.wish != self.wish;
        (self.interval, self.wish) = (occasion.interval, occasion.wish);
        if is_other && !occasion.is_silent {
            self.repeats = QUICK_RETRIES + 1;
        }
        if is_sooner || is_other && !occasion.is_silent {
            self.send_at = occasion.now;
        }
    }

    /// The datagrams to send now, each with the changes that it carries.
    pub(super) fn due(&mut self, occasion: &Occasion<'_>) -> Vec<Option<Changes>> {
        let Occasion { now, book, .. } = *occasion;
        self.note_terms(occasion);
        let room = Message::room(occasion.me, book.links());
        let acked = book.resume(self.acked);
        let is_behind = acked.version < book.version();
        let is_time = self.send_at <= now || self.ack_at.is_some_and(|at| at <= now);
        let mut datagrams = Vec::new();
        if !is_behind {
            self.stop_sending();
        } else if !occasion.is_silent {
            datagrams = self.fill_window(occasion, acked, room);
        } else if is_time || self.offered < book.version() {
            // It may hear without being heard. One datagram each time is what that is worth.
            let is_paid_for = occasion.interval <= occasion.settings.tenths(OFTEN);
            if self.offered < book.version() && is_paid_for {
                self.repeats = QUICK_RETRIES + 1;
            }
            self.offered = book.version();
            datagrams.push(Some(book.changes(acked, room).0));
        }
        if datagrams.is_empty() && is_time {
            datagrams.push(None);
        }
        if !datagrams.is_empty() {
            self.plan_next(occasion);
        }
        datagrams
    }

    fn plan_next(&mut self, occasion: &Occasion<'_>) {
        let whole = occasion.interval;
        let mut pause = whole - whole * u32::from(occasion.jitter) / 1700;
        self.repeats = self.repeats.saturating_sub(1);
        if self.repeats > 0 {
            pause = pause.min(occasion.settings.tenths(RETRY));
        }
        self.send_at = occasion.now + pause;
        self.ack_at = None;
    }

    fn fill_window(
        &mut self,
        occasion: &Occasion<'_>,
        acked: Position,
        room: usize,
    ) -> Vec<Option<Changes>> {
        let Occasion { now, book, .. } = *occasion;
        let is_retry = self.retry_at.is_some_and(|at| at <= now);
        if is_retry {
            self.sent = None;
            self.under_way.clear();
            self.retries += 1;
        }
        let mut sent = match self.sent {
            Some(sent) if book.resume(sent) == sent && sent.version >= acked.version => sent,
            Some(_) | None => acked,
        };
        let mut datagrams = Vec::new();
        while self.under_way.len() < WINDOW && sent.version < book.version() {
            let (changes, next) = book.changes(sent, room);
            datagrams.push(Some(changes));
            sent = next;
            self.under_way.push_back(next.version);
        }
        if !datagrams.is_empty() {
            self.sent = Some(sent);
            if !is_retry {
                self.retries = 0;
            }
            let is_quick = self.retries < QUICK_RETRIES;
            let pause = if is_quick { RETRY } else { LATER_RETRY };
            self.retry_at = Some(now + occasion.settings.tenths(pause));
        }
        datagrams
    }
}
