//! What is known about one peer: whether it is heard, what it claims, what it knows of my claims.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::Station;
use super::book::Book;
use super::message::{Changes, Message, Position};
use super::ownership::{Ignored, START_LIMIT};
use crate::time::{Instant, earliest};

/// How often a peer that is heard is spoken to.
const INTERVAL: Duration = Duration::from_millis(100);

/// How often a silent peer is spoken to.
const INTERVAL_TO_SILENT: Duration = Duration::from_millis(250);

/// Declared intervals without a word after which a peer is silent.
const MISSED: u32 = 3;

/// Claims that are remembered of one peer. There are fewer addresses in any cluster; a peer that
/// claims more is out of its mind, and the rest is ignored.
pub(super) const MAX_CLAIMS: usize = 32_768;

/// Datagrams of changes under way to one peer.
const WINDOW: usize = 16;

/// After this time what was not acknowledged is sent again.
const RETRY: Duration = Duration::from_millis(20);

/// That many times; from then on with each heartbeat.
const QUICK_RETRIES: u32 = 3;

/// How long an acknowledgement may wait for more of the same burst.
const ACK_DELAY: Duration = Duration::from_millis(5);

/// Where a datagram stands among those heard before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Arrival {
    /// Later than all of them.
    New,
    /// Of a life that ended.
    PastLife,
    /// Earlier than one heard before, with changes that are still wanted.
    Overtaken,
    /// Not later than one heard before.
    Repeated,
}

/// One peer.
pub(super) struct Peer {
    /// When it becomes silent; `None` while it is.
    silent_at: Option<Instant>,
    number: u64,
    /// What of its claims is known.
    known: Position,
    /// What it said there is to know.
    version: u64,
    is_starting: bool,
    is_leaving: bool,
    /// Addresses of its active claims, each with the set in which it was last named.
    claims: BTreeMap<IpAddr, u64>,
    set: u64,
    /// A new set was begun, and `claims` may have addresses that it does not name. They stand
    /// until then even if the peer does not finish its start.
    sweep_by: Option<Instant>,

    /// What it acknowledged of my claims.
    acked: Position,
    /// Up to where changes were sent, while some are under way.
    sent: Option<Position>,
    under_way: usize,
    retries: u32,
    retry_at: Option<Instant>,
    ack_at: Option<Instant>,
    send_at: Instant,
    /// The version that was told last while it was silent.
    offered: u64,
}

impl Peer {
    /// A peer that was never heard; it is spoken to at once.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            silent_at: None,
            number: 0,
            known: Position::default(),
            version: 0,
            is_starting: false,
            is_leaving: false,
            claims: BTreeMap::new(),
            set: 0,
            sweep_by: None,
            acked: Position::default(),
            sent: None,
            under_way: 0,
            retries: 0,
            retry_at: None,
            ack_at: None,
            send_at: now,
            offered: 0,
        }
    }

    pub(super) fn is_silent(&self) -> bool {
        self.silent_at.is_none()
    }

    pub(super) fn is_starting(&self) -> bool {
        self.is_starting
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.is_leaving
    }

    /// Whether all it claims is known.
    pub(super) fn is_synced(&self) -> bool {
        !self.is_silent() && self.known.version >= self.version
    }

    /// Whether it could take an address over.
    pub(super) fn is_able(&self) -> bool {
        !self.is_silent() && !self.is_leaving
    }

    /// Where it stands, as it is told.
    pub(super) fn known(&self) -> Position {
        self.known
    }

    pub(super) fn acked(&self) -> Position {
        self.acked
    }

    /// How often it is spoken to.
    pub(super) fn interval(&self) -> Duration {
        if self.is_silent() { INTERVAL_TO_SILENT } else { INTERVAL }
    }

    /// Whether some of its claims may be those of an earlier life.
    pub(super) fn has_stale_claims(&self) -> bool {
        self.sweep_by.is_some()
    }

    pub(super) fn claims(&self) -> impl Iterator<Item = IpAddr> {
        self.claims.keys().copied()
    }

    /// The next moment at which something is to be done about it.
    pub(super) fn deadline(&self) -> Option<Instant> {
        // Without all its claims there is nothing to sweep, and they come as datagrams.
        let sweep_by = self.sweep_by.filter(|_| self.is_synced());
        earliest([Some(self.send_at), self.silent_at, self.retry_at, self.ack_at, sweep_by])
    }

    pub(super) fn arrival(&self, message: &Message) -> Arrival {
        if message.incarnation < self.known.incarnation {
            Arrival::PastLife
        } else if message.incarnation > self.known.incarnation || message.number > self.number {
            Arrival::New
        } else if message.changes.as_ref().is_some_and(|changes| self.is_next(changes)) {
            Arrival::Overtaken
        } else {
            Arrival::Repeated
        }
    }

    /// Takes in the head of a message that is [`Arrival::New`]. Says whether it changes the rank of
    /// anybody: the peer was silent, or one of its flags is another.
    pub(super) fn hear(&mut self, now: Instant, message: &Message) -> bool {
        if message.incarnation > self.known.incarnation {
            self.known = Position { incarnation: message.incarnation, base: 0, version: 0 };
            self.begin_set(now);
        }
        self.number = message.number;
        self.version = message.version;
        let flags = (message.is_starting, message.is_leaving);
        let is_news = self.is_silent() || flags != (self.is_starting, self.is_leaving);
        (self.is_starting, self.is_leaving) = flags;
        if self.is_silent() {
            self.send_at = now;
            self.stop_sending();
        }
        self.silent_at = Some(now + message.interval * MISSED);
        is_news
    }

    /// Declares the peer silent if its time has come, and says whether it did.
    pub(super) fn is_silent_now(&mut self, now: Instant) -> bool {
        let is_due = self.silent_at.is_some_and(|at| at <= now);
        if is_due {
            self.silent_at = None;
            self.ack_at = None;
            self.stop_sending();
        }
        is_due
    }

    fn begin_set(&mut self, now: Instant) {
        self.set += 1;
        self.sweep_by = Some(now + START_LIMIT);
    }

    /// Whether changes go on from what is known. That alone keeps their order: nothing that changed
    /// later than they say can have been applied before them.
    fn is_next(&self, changes: &Changes) -> bool {
        let Changes { base, after, upto, .. } = *changes;
        base == self.known.base && after <= self.known.version && self.known.version < upto
    }

    /// Whether changes are to be applied; if so, they count as known from now on.
    pub(super) fn follow(&mut self, now: Instant, changes: &Changes) -> Result<(), Ignored> {
        if changes.after == 0 && changes.base != self.known.base {
            self.begin_set(now);
            self.known = Position { base: changes.base, version: 0, ..self.known };
        }
        let is_next = self.is_next(changes);
        if is_next {
            self.known.version = changes.upto;
        }
        let ack_at = if self.is_synced() { now } else { now + ACK_DELAY };
        self.ack_at = earliest([self.ack_at, Some(ack_at)]);
        match is_next {
            true => Ok(()),
            false if changes.after > self.known.version => Err(Ignored::Gap),
            false => Err(Ignored::Repeated),
        }
    }

    /// Notes an active claim; says whether there was room for it.
    pub(super) fn note_claim(&mut self, address: IpAddr) -> bool {
        if self.claims.len() >= MAX_CLAIMS && !self.claims.contains_key(&address) {
            return false;
        }
        self.claims.insert(address, self.set);
        true
    }

    pub(super) fn remove_claim(&mut self, address: IpAddr) {
        self.claims.remove(&address);
    }

    /// Takes out the claims that a complete new set did not name. A speaker that is starting has
    /// not decided yet, so its old claims stand until it has, or ought to have.
    pub(super) fn sweep(&mut self, now: Instant) -> Vec<IpAddr> {
        let Some(by) = self.sweep_by else { return Vec::new() };
        if !self.is_synced() || self.is_starting && by > now {
            return Vec::new();
        }
        self.sweep_by = None;
        let set = self.set;
        self.claims.extract_if(.., |_, named| *named != set).map(|(address, _)| address).collect()
    }

    /// Takes in what the peer knows of my claims.
    pub(super) fn acknowledge(&mut self, ack: Position) {
        if Some(ack) == self.sent {
            self.stop_sending();
        } else if ack != self.acked {
            self.retries = 0;
        }
        self.acked = ack;
    }

    fn stop_sending(&mut self) {
        self.sent = None;
        self.under_way = 0;
        self.retries = 0;
        self.retry_at = None;
    }

    /// The datagrams to send now, each with the changes that it carries.
    pub(super) fn due(&mut self, now: Instant, book: &Book, me: &Station) -> Vec<Option<Changes>> {
        let room = Message::room(me);
        let acked = book.resume(self.acked);
        let is_behind = acked.version < book.version();
        let is_time = self.send_at <= now || self.ack_at.is_some_and(|at| at <= now);
        let mut datagrams = Vec::new();
        if !is_behind {
            self.stop_sending();
        } else if !self.is_silent() {
            datagrams = self.fill_window(now, book, acked, room);
        } else if is_time || self.offered < book.version() {
            // It may hear without being heard. One datagram each time is what that is worth.
            self.offered = book.version();
            datagrams.push(Some(book.changes(acked, room).0));
        }
        if datagrams.is_empty() && is_time {
            datagrams.push(None);
        }
        if !datagrams.is_empty() {
            self.send_at = now + self.interval();
            self.ack_at = None;
        }
        datagrams
    }

    fn fill_window(
        &mut self,
        now: Instant,
        book: &Book,
        acked: Position,
        room: usize,
    ) -> Vec<Option<Changes>> {
        let is_retry = self.retry_at.is_some_and(|at| at <= now);
        if is_retry {
            self.sent = None;
            self.under_way = 0;
            self.retries += 1;
        }
        let mut sent = match self.sent {
            Some(sent) if book.resume(sent) == sent && sent.version >= acked.version => sent,
            Some(_) | None => acked,
        };
        let mut datagrams = Vec::new();
        while self.under_way < WINDOW && sent.version < book.version() {
            let (changes, next) = book.changes(sent, room);
            datagrams.push(Some(changes));
            sent = next;
            self.under_way += 1;
        }
        if !datagrams.is_empty() {
            self.sent = Some(sent);
            if !is_retry {
                self.retries = 0;
            }
            let pause = if self.retries < QUICK_RETRIES { RETRY } else { INTERVAL };
            self.retry_at = Some(now + pause);
        }
        datagrams
    }
}
