//! What is known about one peer: whether it is heard, what it claims, what became of it.

mod doubt;
mod outbox;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::message::{Changes, Flags, Link, MAX_INTERVAL, Message, Position, Wish};
use super::ownership::{CloseWatch, Ignored, Settings};
use crate::time::{Instant, earliest};
pub use doubt::Fate;
use doubt::{Doubt, Signs};
use outbox::Outbox;

pub(super) use outbox::Occasion;

/// Claims that are remembered of one peer. There are fewer addresses in any cluster; a peer that
/// claims more is out of its mind, and the rest is ignored.
pub(super) const MAX_CLAIMS: usize = 32_768;

/// Places in line for an address at which a node takes an interest in its holder. Those further
/// back move up when the ones ahead of them fall silent.
pub(super) const INTERESTED: usize = 6;

/// Of these, the first who watch the holder closely.
pub(super) const CLOSE: usize = 3;

/// A word is missed after so many tenths of the interval that was declared.
const LATE: u32 = 12;

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

/// How much a peer is spoken to.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Class {
    /// It is silent.
    Silent,
    /// It watches me closely, and comes so many places behind me.
    Close(usize),
    /// We are both among the first candidates of an address.
    Related,
    /// None of these.
    Other,
}

/// One peer.
pub(super) struct Peer {
    /// When it was heard last.
    last: Option<Instant>,
    is_silent: bool,
    /// What it declared.
    interval: Duration,
    pub(super) flags: Flags,
    /// How it wishes to be spoken to.
    pub(super) wish: Wish,
    number: u64,
    /// What of its claims is known.
    known: Position,
    /// What it said there is to know.
    version: u64,
    /// Addresses that it claims or stands in for, each with the set in which it was last named.
    claims: BTreeMap<IpAddr, u64>,
    /// Addresses that it holds only by the word of others.
    unconfirmed: BTreeSet<IpAddr>,
    set: u64,
    /// A new set was begun, and `claims` may have addresses that it does not name.
    has_stale_claims: bool,
    pub(super) links: Vec<Link>,
    doubt: Doubt,
    /// What became of it, and what the addresses that it holds were told of that.
    pub(super) fate: Fate,
    told_fate: Fate,
    /// Addresses that it holds as far as I know.
    pub(super) holdings: BTreeSet<IpAddr>,
    /// Of these, how many I am interested in, by my place in line.
    pub(super) interests: [usize; INTERESTED],
    /// How closely it is to be watched for those addresses, each with how many ask for that.
    watches: BTreeMap<CloseWatch, usize>,
    /// How it is counted among those that are spoken to.
    pub(super) class: Class,
    pub(super) is_related: bool,
    /// It is to be spoken to closely until then, whatever it wishes, and how often.
    pub(super) close_until: Option<Instant>,
    pub(super) close_interval: Duration,
    outbox: Outbox,
    /// When to look at it again, as the engine's agenda has it.
    pub(super) due: Option<Instant>,
}

impl Peer {
    /// A peer that was never heard; it is spoken to at once.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            last: None,
            is_silent: true,
            interval: MAX_INTERVAL,
            flags: Flags::default(),
            wish: Wish { interval: MAX_INTERVAL, rank: u8::MAX },
            number: 0,
            known: Position::default(),
            version: 0,
            claims: BTreeMap::new(),
            unconfirmed: BTreeSet::new(),
            set: 0,
            has_stale_claims: false,
            links: Vec::new(),
            doubt: Doubt::default(),
            fate: Fate::Dead,
            told_fate: Fate::Dead,
            holdings: BTreeSet::new(),
            interests: [0; INTERESTED],
            watches: BTreeMap::new(),
            class: Class::Silent,
            is_related: false,
            close_until: None,
            close_interval: MAX_INTERVAL,
            outbox: Outbox::new(now),
            due: None,
        }
    }

    pub(super) fn is_silent(&self) -> bool {
        self.is_silent
    }

    /// When it was heard last.
    pub(super) fn last(&self) -> Option<Instant> {
        self.last
    }

    /// The interval that it declared.
    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    /// Whether all it claims is known.
    pub(super) fn is_synced(&self) -> bool {
        !self.is_silent && self.known.version >= self.version
    }

    /// Whether it could take an address over as soon as it knows enough.
    pub(super) fn is_able(&self) -> bool {
        let Flags { is_leaving, is_restarting, is_deaf, .. } = self.flags;
        !self.is_silent && !is_leaving && !is_restarting && !is_deaf
    }

    /// Whether it could take an address over now.
    pub(super) fn is_ready(&self) -> bool {
        self.is_able() && !self.flags.is_starting
    }

    /// Where it stands, as it is told.
    pub(super) fn known(&self) -> Position {
        self.known
    }

    /// Which life of it is heard.
    pub(super) fn life(&self) -> u64 {
        self.known.incarnation
    }

    pub(super) fn acked(&self) -> Position {
        self.outbox.acked
    }

    pub(super) fn claims(&self) -> impl Iterator<Item = IpAddr> {
        self.claims.keys().copied()
    }

    /// My place in line behind it, for the address where that matters most.
    pub(super) fn place(&self) -> Option<usize> {
        self.interests.iter().position(|count| *count > 0)
    }

    /// Counts an address that it holds, or no longer, by my place in line and how closely it is to
    /// be watched for that.
    pub(super) fn count_interest(&mut self, place: usize, watch: CloseWatch, is_added: bool) {
        let count = |count: usize| if is_added { count + 1 } else { count.saturating_sub(1) };
        if let Some(interest) = self.interests.get_mut(place) {
            *interest = count(*interest);
        }
        if place < CLOSE {
            let watches = self.watches.entry(watch).or_default();
            *watches = count(*watches);
            if *watches == 0 {
                self.watches.remove(&watch);
            }
        }
    }

    /// The settings by which it would be watched: those of the address that asks for the most.
    pub(super) fn wanted(&self, settings: Settings) -> Settings {
        settings.watching(self.watches.keys().next().copied())
    }

    /// The settings by which it is watched: as far as the peer itself can keep to them.
    pub(super) fn settings(&self, settings: Settings) -> Settings {
        let watching = self.wanted(settings);
        let declared = self.interval.min(settings.close_interval);
        Settings { close_interval: watching.close_interval.max(declared), ..watching }
    }

    /// The next moment at which something is to be done about it.
    pub(super) fn deadline(&self, now: Instant, settings: &Settings) -> Option<Instant> {
        let silent_at = (!self.is_silent).then(|| self.silent_at(settings)).flatten();
        let late_at = self.late_at().filter(|at| *at > now && !self.holdings.is_empty());
        let close_until = self.close_until.filter(|at| *at > now);
        let doubt = match self.holdings.is_empty() {
            true => None,
            false => self.doubt.deadline(now, settings),
        };
        earliest([self.outbox.deadline(), silent_at, late_at, close_until, doubt])
    }

    fn silent_at(&self, settings: &Settings) -> Option<Instant> {
        self.last.map(|last| last + self.interval.saturating_mul(settings.multiplier))
    }

    fn late_at(&self) -> Option<Instant> {
        self.last.map(|last| last + self.interval * LATE / 10)
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
            self.begin_set();
        }
        self.number = message.number;
        self.version = message.version;
        self.wish = message.wish;
        let is_news = self.is_silent || message.flags != self.flags;
        self.flags = message.flags;
        if self.is_silent {
            self.is_silent = false;
            self.outbox.greet(now);
        }
        self.last = Some(now);
        self.interval = message.interval;
        is_news
    }

    /// Declares the peer silent if its time has come, and says whether it did.
    pub(super) fn is_silent_now(&mut self, now: Instant, settings: &Settings) -> bool {
        let is_due = !self.is_silent && self.silent_at(settings).is_some_and(|at| at <= now);
        if is_due {
            self.is_silent = true;
            self.outbox.fall_silent();
        }
        is_due
    }

    // What became of it.

    fn signs(&self) -> Signs {
        Signs {
            is_silent: self.is_silent,
            is_restarting: self.flags.is_restarting,
            is_starting: self.flags.is_starting,
            can_be_asked: self.links.iter().any(|link| !link.addresses.is_empty()),
        }
    }

    /// Says whether what became of it is another than this said before.
    pub(super) fn has_new_fate(&mut self, now: Instant, settings: &Settings) -> bool {
        self.find_fate(now, settings);
        std::mem::replace(&mut self.told_fate, self.fate) != self.fate
    }

    fn find_fate(&mut self, now: Instant, settings: &Settings) {
        let signs = self.signs();
        if !signs.is_silent && !signs.is_restarting && !signs.is_starting {
            self.doubt.away_since = None;
        } else if self.doubt.away_since.is_none() {
            let since = if signs.is_silent { self.last.unwrap_or(now) } else { now };
            self.doubt.away_since = Some(since);
        }
        let fate = self.doubt.fate(now, signs, settings);
        // Nobody asks any more about a dead one, since it holds nothing.
        let is_still_dead = fate == Fate::Unknown && self.fate == Fate::Dead && signs.is_silent;
        self.fate = if is_still_dead { Fate::Dead } else { fate };
    }

    /// Since when its speaker is away.
    pub(super) fn away_since(&self) -> Option<Instant> {
        self.doubt.away_since
    }

    /// Whether its host is to be asked now. Only holders in whom I am interested are.
    pub(super) fn is_to_be_asked(&mut self, now: Instant, settings: &Settings) -> bool {
        let signs = self.signs();
        let is_missed = self.late_at().is_some_and(|at| at <= now)
            || signs.is_silent
            || signs.is_restarting
            || signs.is_starting;
        let is_wanted = is_missed && signs.can_be_asked && self.place().is_some();
        self.doubt.is_due(now, is_wanted, settings)
    }

    pub(super) fn host_answered(&mut self, now: Instant, settings: &Settings) {
        self.doubt.host_answered(now);
        self.find_fate(now, settings);
    }

    pub(super) fn speaker_answered(&mut self, now: Instant, settings: &Settings) {
        self.doubt.speaker_answered(now);
        self.find_fate(now, settings);
    }

    pub(super) fn is_host_heard(&self, now: Instant, within: Duration) -> bool {
        self.doubt.is_host_heard(now, within)
    }

    // Its claims.

    fn begin_set(&mut self) {
        self.set += 1;
        self.has_stale_claims = true;
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
            self.begin_set();
            self.known = Position { base: changes.base, version: 0, ..self.known };
        }
        let is_next = self.is_next(changes);
        if is_next {
            self.known.version = changes.upto;
        }
        self.outbox.owe_ack(now, self.is_synced());
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
        self.unconfirmed.remove(&address);
        true
    }

    /// Notes that others say it holds an address; says whether that is news. Its own word counts
    /// for more, as long as it stands.
    pub(super) fn note_hearsay(&mut self, address: IpAddr) -> bool {
        let is_news = !self.claims.contains_key(&address) && self.unconfirmed.len() < MAX_CLAIMS;
        is_news && self.unconfirmed.insert(address)
    }

    pub(super) fn remove_claim(&mut self, address: IpAddr) {
        self.claims.remove(&address);
        self.unconfirmed.remove(&address);
    }

    /// Whether `sweep` would find something to do.
    pub(super) fn is_to_be_swept(&self) -> bool {
        let Flags { is_starting, is_restarting, .. } = self.flags;
        let is_unclear = self.has_stale_claims || !self.unconfirmed.is_empty();
        is_unclear && self.is_synced() && !is_starting && !is_restarting
    }

    /// Takes out the claims that a complete new set did not name, and those that only others spoke
    /// of. A speaker that is starting has not decided yet, so its old claims stand until it has.
    pub(super) fn sweep(&mut self) -> Vec<IpAddr> {
        if !self.is_to_be_swept() {
            return Vec::new();
        }
        self.has_stale_claims = false;
        let set = self.set;
        let old = self.claims.extract_if(.., |_, named| *named != set).map(|(at, _)| at);
        let mut gone: Vec<_> = old.collect();
        gone.extend(std::mem::take(&mut self.unconfirmed));
        gone
    }

    // Speaking to it.

    /// It is to be spoken to soon, whatever comes of what it said.
    pub(super) fn answer_soon(&mut self, now: Instant) {
        self.outbox.owe_ack(now, false);
    }

    /// Takes in what the peer knows of my claims.
    pub(super) fn acknowledge(&mut self, ack: Position) {
        self.outbox.acknowledge(ack);
    }

    /// The datagrams to send now, each with the changes that it carries.
    pub(super) fn due(&mut self, occasion: &Occasion<'_>) -> Vec<Option<Changes>> {
        self.outbox.due(occasion)
    }
}
