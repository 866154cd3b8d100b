//! The engine: which addresses this node answers for.
//!
//! Feed it with [`Ownership::handle`], drain [`Ownership::poll`] until `None`, sleep until
//! [`Ownership::deadline`].
//!
//! With *n* addresses and *p* peers, an event costs `O(p)` plus `O(log n)` for each address that it
//! touches: those a datagram names, those whose candidacy is changed, those whose time has come, and
//! when a peer falls silent, is heard again, starts or leaves, its claims and the addresses without
//! a settled holder. Nothing walks all addresses but a new set of candidacies and the end of the
//! start.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::Station;
use super::address::{Address, Situation, Step};
use super::book::Book;
use super::message::{Changes, Claim, Malformed, Message, State};
use super::peer::{Arrival, Peer};
use crate::time::{Instant, earliest};

/// How long a start waits for peers that are not heard.
pub const START_LIMIT: Duration = Duration::from_millis(1500);

/// How long a speaker that leaves waits for others to take over.
pub const LEAVE_LIMIT: Duration = Duration::from_secs(1);

/// What the facts say about an address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Candidacy {
    /// Who may hold the address, the first choice first. Empty: nobody, and it goes quiet at once.
    pub order: Vec<Station>,
    /// Whether this node could answer for it. If not, it claims nothing and releases what it holds.
    pub is_fit: bool,
}

/// What happens to a speaker.
#[derive(Clone, Debug)]
pub enum Input {
    /// All addresses that are to be announced, whenever they may have changed. Before the first
    /// set and the first [`Input::Peers`], nothing is claimed.
    Candidacies(BTreeMap<IpAddr, Candidacy>),
    /// What [`Input::Candidacies`] would say differently, by address; `None` where it would no
    /// longer name one. It does not stand for a first set.
    CandidacyEdits(BTreeMap<IpAddr, Option<Candidacy>>),
    /// A UDP payload came in, from an address of the station `from`.
    Datagram {
        /// Whose address it came from.
        from: Station,
        /// The payload.
        bytes: Vec<u8>,
    },
    /// The speaker is about to stop: others shall take over. There is no way back.
    Leave,
    /// All other speakers, whenever they may have changed. This one may be among them.
    Peers(BTreeSet<Station>),
    /// [`Ownership::deadline`] has come. Harmless when it has not.
    Timeout,
}

/// What a speaker wants done, or says that it did.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Announce the address again: an older claim was heard, and its maker may have announced it.
    Announce(IpAddr),
    /// This node answers for the address from now on; announce it.
    Claimed {
        /// The address.
        address: IpAddr,
        /// Epoch of the claim.
        epoch: u64,
        /// Why it could be claimed.
        why: Why,
    },
    /// The address is not to be announced any more; this node stopped answering.
    Dropped {
        /// The address.
        address: IpAddr,
        /// Epoch of the claim.
        epoch: u64,
    },
    /// The address was released, nobody took it, and this node may hold it again.
    Kept {
        /// The address.
        address: IpAddr,
        /// Epoch of the claim, the same as before.
        epoch: u64,
    },
    /// The peer is heard, for the first time or again.
    PeerHeard(Station),
    /// Nothing was heard from the peer for three of its intervals.
    PeerSilent(Station),
    /// Somebody else shall hold the address; this node answers until it hears that claim.
    Released {
        /// The address.
        address: IpAddr,
        /// Epoch of the claim.
        epoch: u64,
    },
    /// Send this datagram to the peer.
    Send {
        /// The peer.
        to: Station,
        /// The payload.
        bytes: Vec<u8>,
    },
    /// A newer claim was heard; this node stopped answering.
    Yielded {
        /// The address.
        address: IpAddr,
        /// Who claims it.
        to: Station,
        /// Epoch of the newer claim.
        epoch: u64,
    },
}

/// Why an address could be claimed.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Why {
    /// Its last holder is heard and claims it no more.
    HolderGone,
    /// Its live holder is no candidate.
    HolderNoCandidate,
    /// Its holder released it.
    HolderReleased,
    /// Its holder fell silent.
    HolderSilent,
    /// Nobody was ever heard to hold it.
    NeverHeld,
}

impl Why {
    /// The value of a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::HolderGone => "holder_gone",
            Self::HolderNoCandidate => "holder_no_candidate",
            Self::HolderReleased => "holder_released",
            Self::HolderSilent => "holder_silent",
            Self::NeverHeld => "never_held",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HolderGone => "its last holder claims it no more",
            Self::HolderNoCandidate => "its holder is no candidate",
            Self::HolderReleased => "its holder released it",
            Self::HolderSilent => "its holder fell silent",
            Self::NeverHeld => "nobody was heard to hold it",
        })
    }
}

/// Why a datagram, or a part of it, was ignored.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Ignored {
    /// Changes that follow others which were not heard; they will be sent again.
    Gap,
    /// It is not a valid message.
    Malformed(Malformed),
    /// It names another station than the one whose address it came from.
    Misnamed,
    /// It is from a life of its sender that ended.
    PastLife,
    /// It was heard before, or a later one was and it has nothing to add.
    Repeated,
    /// A claim beyond those that are remembered of one peer.
    TooManyClaims,
    /// Its sender is no peer.
    UnknownStation,
}

impl Ignored {
    /// The value of a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::Malformed(cause) => cause.label(),
            Self::Misnamed => "misnamed",
            Self::PastLife => "past_life",
            Self::Repeated => "repeated",
            Self::TooManyClaims => "too_many_claims",
            Self::UnknownStation => "unknown_station",
        }
    }
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gap => f.write_str("changes before these were not heard yet"),
            Self::Malformed(cause) => write!(f, "it is no valid message: {cause}"),
            Self::Misnamed => f.write_str("it names another station than its address belongs to"),
            Self::PastLife => f.write_str("it is from a life of its sender that ended"),
            Self::Repeated => f.write_str("it was heard before, or a later one was"),
            Self::TooManyClaims => f.write_str("its sender claims more than is remembered"),
            Self::UnknownStation => f.write_str("its sender is no peer"),
        }
    }
}

/// What is known about a peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PeerStatus {
    /// It is heard.
    pub is_heard: bool,
    /// It does not know enough yet to claim anything.
    pub is_starting: bool,
    /// It is about to stop.
    pub is_leaving: bool,
    /// It is heard and all its claims are known.
    pub is_synced: bool,
}

/// What this node believes at one moment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Snapshot {
    /// Who holds each address, with the epoch of the claim. Without a live holder, it is left out.
    pub holders: BTreeMap<IpAddr, (Station, u64)>,
    /// The other speakers.
    pub peers: BTreeMap<Station, PeerStatus>,
}

/// The agreement of one speaker with all others about the addresses on the LAN.
pub struct Ownership {
    me: Station,
    number: u64,
    phase: Phase,
    peers: BTreeMap<Station, Peer>,
    addresses: BTreeMap<IpAddr, Address>,
    answering: BTreeSet<IpAddr>,
    book: Book,
    /// When to look at which address again.
    agenda: BTreeSet<(Instant, IpAddr)>,
    /// Addresses that a change of any peer may make claimable.
    unsettled: BTreeSet<IpAddr>,
    ignored: BTreeMap<Ignored, u64>,
    outputs: VecDeque<Output>,
}

/// Where a speaker is in its life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// Peers or candidacies are not known yet.
    Waiting {
        has_peers: bool,
        has_candidacies: bool,
    },
    /// Listening to the peers, until then at most.
    Starting(Instant),
    Running,
    /// Hoping for others to take over, until then at most.
    Leaving(Instant),
    Left,
}

impl Ownership {
    /// A speaker that knows nothing yet.
    ///
    /// `incarnation` must be higher than in any earlier life of the station; the microseconds of
    /// the wall clock will do.
    pub fn new(me: Station, incarnation: u64) -> Self {
        Self {
            me,
            number: 0,
            phase: Phase::Waiting { has_peers: false, has_candidacies: false },
            peers: BTreeMap::new(),
            addresses: BTreeMap::new(),
            answering: BTreeSet::new(),
            book: Book::new(incarnation),
            agenda: BTreeSet::new(),
            unsettled: BTreeSet::new(),
            ignored: BTreeMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes in one event. Call with times that never go back.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Candidacies(candidacies) => self.set_candidacies(now, candidacies),
            Input::CandidacyEdits(edits) => {
                for (at, candidacy) in edits {
                    self.set_candidacy(now, at, candidacy);
                }
            }
            Input::Datagram { from, bytes } => match self.admit(&from, &bytes) {
                Ok(message) => self.receive(now, message),
                Err(cause) => self.count(cause),
            },
            Input::Leave => self.leave(now),
            Input::Peers(stations) => self.set_peers(now, stations),
            Input::Timeout => (),
        }
        self.watch_peers(now);
        self.finish_start(now);
        self.follow_agenda(now);
        self.finish_leave(now);
        self.speak(now);
    }

    /// The next thing to do, if any.
    #[must_use]
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Ownership::handle`] with [`Input::Timeout`] at the latest.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let phase = match self.phase {
            Phase::Starting(until) | Phase::Leaving(until) => Some(until),
            Phase::Waiting { .. } | Phase::Running | Phase::Left => None,
        };
        let agenda = self.agenda.first().map(|(at, _)| *at);
        earliest(self.peers.values().map(Peer::deadline).chain([phase, agenda]))
    }

    /// The addresses that this node answers for: those it holds, and those it released that nobody
    /// took yet.
    pub fn answering(&self) -> &BTreeSet<IpAddr> {
        &self.answering
    }

    /// Whether a speaker that leaves may stop: all is taken over, nobody is there who could, or a
    /// second has passed.
    pub fn has_left(&self) -> bool {
        self.phase == Phase::Left
    }

    /// How many datagrams, or parts of them, were ignored, by cause.
    pub fn ignored(&self) -> &BTreeMap<Ignored, u64> {
        &self.ignored
    }

    /// What this node believes now. Walks all addresses.
    pub fn snapshot(&self) -> Snapshot {
        let holder = |(at, address): (&IpAddr, &Address)| {
            let holder = match address.mine() {
                Some(mine) => Some((&self.me, mine.epoch)),
                None => address.live_holder(*at, &self.peers),
            };
            holder.map(|(station, epoch)| (*at, (station.clone(), epoch)))
        };
        let status = |(station, peer): (&Station, &Peer)| {
            let status = PeerStatus {
                is_heard: !peer.is_silent(),
                is_starting: peer.is_starting(),
                is_leaving: peer.is_leaving(),
                is_synced: peer.is_synced(),
            };
            (station.clone(), status)
        };
        Snapshot {
            holders: self.addresses.iter().filter_map(holder).collect(),
            peers: self.peers.iter().map(status).collect(),
        }
    }

    fn count(&mut self, cause: Ignored) {
        *self.ignored.entry(cause).or_default() += 1;
    }

    // Facts.

    fn set_peers(&mut self, now: Instant, mut stations: BTreeSet<Station>) {
        stations.remove(&self.me);
        let removed: Vec<_> =
            self.peers.extract_if(.., |name, _| !stations.contains(name)).collect();
        let is_smaller = !removed.is_empty();
        for (station, peer) in removed {
            for at in peer.claims() {
                if let Some(address) = self.addresses.get_mut(&at) {
                    address.hear_end(&station);
                }
                self.reconsider(now, at);
            }
        }
        if is_smaller {
            self.reconsider_unsettled(now);
        }
        for station in stations {
            self.peers.entry(station).or_insert_with(|| Peer::new(now));
        }
        if let Phase::Waiting { has_candidacies, .. } = self.phase {
            self.await_facts(now, true, has_candidacies);
        }
    }

    fn set_candidacy(&mut self, now: Instant, at: IpAddr, candidacy: Option<Candidacy>) {
        let is_known = self.addresses.contains_key(&at);
        if !is_known && candidacy.is_none() {
            return;
        }
        let address = self.addresses.entry(at).or_default();
        if address.candidacy() != candidacy.as_ref() {
            address.set_candidacy(candidacy);
            self.reconsider(now, at);
        }
    }

    fn set_candidacies(&mut self, now: Instant, mut candidacies: BTreeMap<IpAddr, Candidacy>) {
        let known: Vec<_> = self.addresses.keys().copied().collect();
        for at in known {
            let candidacy = candidacies.remove(&at);
            self.set_candidacy(now, at, candidacy);
        }
        for (at, candidacy) in candidacies {
            self.set_candidacy(now, at, Some(candidacy));
        }
        if let Phase::Waiting { has_peers, .. } = self.phase {
            self.await_facts(now, has_peers, true);
        }
    }

    // The phases of a life.

    /// What is not known yet is never taken for empty: the start begins with both sets.
    fn await_facts(&mut self, now: Instant, has_peers: bool, has_candidacies: bool) {
        self.phase = match has_peers && has_candidacies {
            true => Phase::Starting(now + START_LIMIT),
            false => Phase::Waiting { has_peers, has_candidacies },
        };
    }

    fn finish_start(&mut self, now: Instant) {
        let Phase::Starting(until) = self.phase else { return };
        if until > now && !self.peers.values().all(Peer::is_synced) {
            return;
        }
        self.phase = Phase::Running;
        self.book.touch();
        let all: Vec<_> = self.addresses.keys().copied().collect();
        for at in all {
            self.reconsider(now, at);
        }
    }

    fn leave(&mut self, now: Instant) {
        match self.phase {
            Phase::Leaving(_) | Phase::Left => return,
            Phase::Waiting { .. } | Phase::Starting(_) | Phase::Running => (),
        }
        self.phase = Phase::Leaving(now + LEAVE_LIMIT);
        self.book.touch();
        for at in self.answering.clone() {
            self.reconsider(now, at);
        }
        self.reconsider_unsettled(now);
    }

    fn finish_leave(&mut self, now: Instant) {
        let Phase::Leaving(until) = self.phase else { return };
        let can_be_taken = |at: &IpAddr| {
            self.addresses.get(at).is_some_and(|address| address.has_heir(&self.peers))
        };
        if until <= now || !self.answering.iter().any(can_be_taken) {
            self.phase = Phase::Left;
        }
    }

    // Hearing.

    fn admit(&self, from: &Station, bytes: &[u8]) -> Result<Message, Ignored> {
        let peer = self.peers.get(from).ok_or(Ignored::UnknownStation)?;
        let message = Message::decode(bytes).map_err(Ignored::Malformed)?;
        if message.from != *from {
            return Err(Ignored::Misnamed);
        }
        match peer.arrival(&message) {
            Arrival::New | Arrival::Overtaken => Ok(message),
            Arrival::PastLife => Err(Ignored::PastLife),
            Arrival::Repeated => Err(Ignored::Repeated),
        }
    }

    fn receive(&mut self, now: Instant, message: Message) {
        let from = message.from.clone();
        let is_news = self.hear(now, &message);
        let touched = match message.changes {
            Some(changes) => self.follow(now, &from, changes),
            None => Vec::new(),
        };
        for at in touched {
            self.defend(now, at, &from);
            self.reconsider(now, at);
        }
        if is_news {
            self.reconsider_peer(now, &from);
        }
    }

    /// Takes in all but the changes, unless a later datagram brought it. Says whether it changes
    /// what the peer can hold or take over.
    fn hear(&mut self, now: Instant, message: &Message) -> bool {
        let Some(peer) = self.peers.get_mut(&message.from) else { return false };
        if peer.arrival(message) != Arrival::New {
            return false;
        }
        if message.ack.incarnation > self.book.incarnation() {
            // The clock was set back between two lives, and the peer takes this one for the past.
            self.book.outlive(message.ack.incarnation);
        }
        let was_silent = peer.is_silent();
        let is_news = peer.hear(now, message);
        peer.acknowledge(message.ack);
        if was_silent {
            self.outputs.push_back(Output::PeerHeard(message.from.clone()));
            let claims = peer.claims().filter(|_| !peer.has_stale_claims());
            for at in claims.collect::<Vec<_>>() {
                self.defend(now, at, &message.from);
            }
        }
        is_news
    }

    /// Applies changes, and names the addresses they are about.
    fn follow(&mut self, now: Instant, from: &Station, changes: Changes) -> Vec<IpAddr> {
        let Some(peer) = self.peers.get_mut(from) else { return Vec::new() };
        if let Err(cause) = peer.follow(now, &changes) {
            self.count(cause);
            return Vec::new();
        }
        let touched = changes.claims.iter().map(|claim| claim.address).collect();
        for claim in changes.claims {
            self.learn(now, from, claim);
        }
        touched
    }

    fn learn(&mut self, now: Instant, from: &Station, claim: Claim) {
        let Some(peer) = self.peers.get_mut(from) else { return };
        let Claim { address: at, epoch, state } = claim;
        match state {
            State::Held | State::Released if peer.note_claim(at) => {
                let is_released = state == State::Released;
                self.addresses.entry(at).or_default().hear_claim(now, from, epoch, is_released);
            }
            State::Held | State::Released => self.count(Ignored::TooManyClaims),
            State::Yielded { to } => {
                peer.remove_claim(at);
                let Some(address) = self.addresses.get_mut(&at) else { return };
                // It claimed and yielded without being heard; hosts may still believe it.
                let is_late = to == self.me && !address.is_claimed_by(from);
                address.hear_end(from);
                address.hear_promise(now, at, to, epoch);
                if is_late && address.may_announce(now) {
                    self.outputs.push_back(Output::Announce(at));
                }
            }
            State::Dropped => {
                peer.remove_claim(at);
                if let Some(address) = self.addresses.get_mut(&at) {
                    address.hear_end(from);
                }
            }
        }
    }

    /// Ends the claims of an earlier life that the present one does not have.
    fn sweep(&mut self, now: Instant, from: &Station) {
        let Some(peer) = self.peers.get_mut(from) else { return };
        for at in peer.sweep(now) {
            if let Some(address) = self.addresses.get_mut(&at) {
                address.hear_end(from);
            }
            self.reconsider(now, at);
        }
    }

    /// Against an older claim: the sender learns of mine as of every change, the LAN by this.
    fn defend(&mut self, now: Instant, at: IpAddr, from: &Station) {
        let Some(address) = self.addresses.get_mut(&at) else { return };
        if address.is_contested_by(at, &self.me, from) && address.may_announce(now) {
            self.outputs.push_back(Output::Announce(at));
        }
    }

    fn watch_peers(&mut self, now: Instant) {
        let stale = self.peers.iter().filter(|(_, peer)| peer.has_stale_claims());
        for station in stale.map(|(station, _)| station.clone()).collect::<Vec<_>>() {
            self.sweep(now, &station);
        }
        let is_silent_now = |(station, peer): (&Station, &mut Peer)| {
            peer.is_silent_now(now).then(|| station.clone())
        };
        let silent: Vec<_> = self.peers.iter_mut().filter_map(is_silent_now).collect();
        self.outputs.extend(silent.iter().cloned().map(Output::PeerSilent));
        for station in silent {
            self.reconsider_peer(now, &station);
        }
    }

    // Deciding.

    fn reconsider_peer(&mut self, now: Instant, station: &Station) {
        let claims: Vec<_> =
            self.peers.get(station).iter().flat_map(|peer| peer.claims()).collect();
        for at in claims {
            self.reconsider(now, at);
        }
        self.reconsider_unsettled(now);
    }

    fn reconsider_unsettled(&mut self, now: Instant) {
        for at in self.unsettled.clone() {
            self.reconsider(now, at);
        }
    }

    fn follow_agenda(&mut self, now: Instant) {
        while let Some((_, at)) = self.agenda.first().copied().filter(|(due, _)| *due <= now) {
            self.reconsider(now, at);
        }
    }

    /// Applies the rules to one address until nothing is left to do about it now.
    fn reconsider(&mut self, now: Instant, at: IpAddr) {
        let Some(address) = self.addresses.get_mut(&at) else { return };
        let situation = Situation {
            now,
            me: &self.me,
            peers: &self.peers,
            is_started: matches!(self.phase, Phase::Running),
            is_leaving: matches!(self.phase, Phase::Leaving(_) | Phase::Left),
        };
        if let Some(due) = address.due.take() {
            self.agenda.remove(&(due, at));
        }
        let (due, is_settled) = loop {
            let step = address.step(at, &situation);
            address.done(&step);
            let (output, epoch, state) = match step {
                Step::Wait(due) => break (due, true),
                Step::Watch(due) => break (due, false),
                Step::Claim { epoch, why } => {
                    (Output::Claimed { address: at, epoch, why }, epoch, State::Held)
                }
                Step::Keep { epoch } => (Output::Kept { address: at, epoch }, epoch, State::Held),
                Step::Release { epoch } => {
                    (Output::Released { address: at, epoch }, epoch, State::Released)
                }
                Step::Drop { epoch } => {
                    (Output::Dropped { address: at, epoch }, epoch, State::Dropped)
                }
                Step::Yield { to, epoch } => {
                    let state = State::Yielded { to: to.clone() };
                    (Output::Yielded { address: at, to, epoch }, epoch, state)
                }
            };
            self.book.set(at, epoch, state);
            self.outputs.push_back(output);
        };
        address.due = due;
        self.agenda.extend(due.map(|due| (due, at)));
        set_member(&mut self.unsettled, at, !is_settled);
        set_member(&mut self.answering, at, address.mine().is_some());
        if address.is_unknown() {
            self.addresses.remove(&at);
        }
    }

    // Speaking.

    fn speak(&mut self, now: Instant) {
        let heard = self.peers.values().filter(|peer| !peer.is_silent());
        let known = heard.map(|peer| self.book.resume(peer.acked()).version).min();
        self.book.forget(known.unwrap_or_else(|| self.book.version()));

        let is_starting = matches!(self.phase, Phase::Waiting { .. } | Phase::Starting(_));
        let is_leaving = matches!(self.phase, Phase::Leaving(_) | Phase::Left);
        for (station, peer) in &mut self.peers {
            for changes in peer.due(now, &self.book, &self.me) {
                self.number += 1;
                let message = Message {
                    from: self.me.clone(),
                    incarnation: self.book.incarnation(),
                    number: self.number,
                    interval: peer.interval(),
                    is_starting,
                    is_leaving,
                    ack: peer.known(),
                    version: self.book.version(),
                    changes,
                };
                let bytes = message.encode();
                self.outputs.push_back(Output::Send { to: station.clone(), bytes });
            }
        }
    }
}

fn set_member(set: &mut BTreeSet<IpAddr>, at: IpAddr, is_member: bool) {
    if is_member {
        set.insert(at);
    } else {
        set.remove(&at);
    }
}

#[cfg(test)]
mod tests;
