//! The engine: which addresses this node answers for.
//!
//! Feed it with [`Ownership::handle`], drain [`Ownership::poll`] until `None`, sleep until
//! [`Ownership::deadline`].
//!
//! With *n* addresses, an event costs `O(log n)` for each address that it touches: those a datagram
//! names, those whose candidacy is changed, those whose time has come, and when something becomes
//! of a peer, what it holds and the addresses without a settled holder. A change of claims costs
//! one datagram for each peer. All addresses are walked for a new set of candidacies, at the end of
//! the start, and once in a close interval at most when peers become able to take over or cease to
//! be, since that moves everybody in line.

mod api;
mod hearing;
mod lan;
mod phases;
mod settings;
mod snapshot;
mod speaking;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use super::Station;
use super::address::{Address, Ring, Situation, Step};
use super::book::Book;
use super::message::State;
use super::peer::Peer;
use crate::time::{Instant, earliest};
use lan::Lan;
use phases::Phase;
use speaking::Traffic;

pub use super::address::{Dropping, Releasing};
pub use super::message::Link;
pub use super::peer::Fate;
pub use crate::l2::Heard;
pub use api::{Ignored, Input, Output, Why};
pub use phases::LEAVE_LIMIT;
pub use settings::{Candidacy, Candidate, CloseWatch, Fencing, OnConflict, Policy, Settings};
pub use snapshot::{AddressStatus, Move, PeerStatus, Snapshot};

/// Peers that are taken in before anybody says who they are. There are fewer nodes in any cluster.
const MAX_UNKNOWN_PEERS: usize = 4096;

/// Unsettled addresses that are looked at with every change of a peer, and in tenths of the close
/// interval how soon they are when there are more.
const AT_ONCE: usize = 256;
const SOON: u32 = 2;

/// The agreement of one speaker with all others about the addresses on the LAN.
pub struct Ownership {
    me: Station,
    settings: Settings,
    now: Instant,
    phase: Phase,
    peers: BTreeMap<Station, Peer>,
    ring: Ring,
    addresses: BTreeMap<IpAddr, Address>,
    /// What the cluster remembers of who held what, until the end of the start.
    remembered: BTreeMap<IpAddr, Station>,
    answering: BTreeSet<IpAddr>,
    /// Addresses that only a majority may have, and that I hold or would claim.
    fenced: BTreeSet<IpAddr>,
    book: Book,
    lan: Lan,
    traffic: Traffic,
    /// How many peers are silent.
    silent: usize,
    /// When to look at which address again.
    agenda: BTreeSet<(Instant, IpAddr)>,
    /// When to look at which peer again.
    peer_agenda: BTreeSet<(Instant, Station)>,
    /// Peers to look at before this event is done with.
    touched: BTreeSet<Station>,
    /// Peers that may have to be spoken to after that.
    listeners: BTreeSet<Station>,
    /// Addresses that a change of any peer may make claimable.
    unsettled: BTreeSet<IpAddr>,
    unsettled_at: Option<Instant>,
    /// Addresses that would be claimed if the LAN answered.
    seekers: BTreeSet<IpAddr>,
    /// When everybody's place in line is to be found out anew.
    line_up_at: Option<Instant>,
    ignored: BTreeMap<Ignored, u64>,
    outputs: VecDeque<Output>,
}

impl Ownership {
    /// A speaker that knows nothing yet.
    ///
    /// `incarnation` must be higher than in any earlier life of the station; the microseconds of
    /// the wall clock will do.
    pub fn new(me: Station, incarnation: u64, settings: Settings) -> Self {
        Self {
            traffic: Traffic::new(incarnation),
            me,
            settings,
            now: Instant::START,
            phase: Phase::NEW,
            peers: BTreeMap::new(),
            ring: Ring::default(),
            addresses: BTreeMap::new(),
            remembered: BTreeMap::new(),
            answering: BTreeSet::new(),
            fenced: BTreeSet::new(),
            book: Book::new(incarnation),
            lan: Lan::new(),
            silent: 0,
            agenda: BTreeSet::new(),
            peer_agenda: BTreeSet::new(),
            touched: BTreeSet::new(),
            listeners: BTreeSet::new(),
            unsettled: BTreeSet::new(),
            unsettled_at: None,
            seekers: BTreeSet::new(),
            line_up_at: None,
            ignored: BTreeMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes in one event. Call with times that never go back.
    pub fn handle(&mut self, now: Instant, input: Input) {
        self.now = now;
        match input {
            Input::Candidacies(candidacies) => self.set_candidacies(candidacies),
            Input::CandidacyEdits(edits) => {
                for (at, candidacy) in edits {
                    self.set_candidacy(at, candidacy);
                }
            }
            Input::Datagram { from, bytes } => match self.admit(&from, &bytes) {
                Ok(message) => self.receive(message),
                Err(cause) => self.count(cause),
            },
            Input::Heard(heard) => self.hear_lan(heard),
            Input::Leave => self.leave(),
            Input::Own(links) => self.set_links(links),
            Input::Peers(stations) => self.set_peers(stations),
            Input::Remembered(remembered) => self.remembered = remembered,
            Input::Restart => self.restart(),
            Input::Timeout => (),
            Input::Witnesses(witnesses) => self.lan.witnesses = witnesses,
        }
        self.work();
        self.speak();
    }

    /// Does what is due, until nothing is.
    fn work(&mut self) {
        self.listen();
        loop {
            while let Some((due, station)) = self.peer_agenda.first() {
                if *due > self.now {
                    break;
                }
                let station = station.clone();
                self.unschedule(&station);
                self.touched.insert(station);
            }
            while let Some(station) = self.touched.pop_first() {
                self.attend(&station);
                self.listeners.insert(station);
            }
            self.finish_phase();
            self.follow_agenda();
            self.line_up_if_due();
            if self.touched.is_empty() {
                break;
            }
        }
        self.finish_leave();
    }

    /// The next thing to do, if any.
    #[must_use]
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Ownership::handle`] with [`Input::Timeout`] at the latest.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let agenda = self.agenda.first().map(|(at, _)| *at);
        let peers = self.peer_agenda.first().map(|(at, _)| *at);
        let phase = self.phase_deadline();
        let next = earliest([
            agenda,
            peers,
            phase,
            self.line_up_at,
            self.unsettled_at,
            self.lan_deadline(),
        ]);
        // What is asked for in the past is asked for at once, but never without end.
        next.map(|at| at.max(self.now + std::time::Duration::from_micros(1)))
    }

    /// The addresses that this node answers for: those it holds, and those it released that nobody
    /// took yet.
    pub fn answering(&self) -> &BTreeSet<IpAddr> {
        &self.answering
    }

    /// Where a peer is on the LAN, as far as it told or was found out.
    pub fn links(&self, station: &Station) -> &[Link] {
        self.peers.get(station).map_or(&[], |peer| &peer.links)
    }

    /// How many datagrams, or parts of them, were ignored, by cause.
    pub fn ignored(&self) -> &BTreeMap<Ignored, u64> {
        &self.ignored
    }

    fn count(&mut self, cause: Ignored) {
        *self.ignored.entry(cause).or_default() += 1;
    }

    // Facts.

    fn set_candidacy(&mut self, at: IpAddr, candidacy: Option<Candidacy>) {
        let is_known = self.addresses.contains_key(&at);
        if !is_known && candidacy.is_none() {
            return;
        }
        let address = self.addresses.entry(at).or_default();
        if address.candidacy() != candidacy.as_ref() {
            address.set_candidacy(candidacy, &self.me);
            self.traffic.relations_changed();
            self.line_up_soon();
            self.reconsider(at);
        }
    }

    fn set_candidacies(&mut self, mut candidacies: BTreeMap<IpAddr, Candidacy>) {
        self.facts_came();
        let known: Vec<_> = self.addresses.keys().copied().collect();
        for at in known {
            let candidacy = candidacies.remove(&at);
            self.set_candidacy(at, candidacy);
            // What was gone on with before this is judged by it now.
            self.reconsider(at);
        }
        for (at, candidacy) in candidacies {
            self.set_candidacy(at, Some(candidacy));
        }
    }

    // Deciding.

    /// What the rules for one address look at besides that.
    fn situation(&self, address: &Address) -> Situation<'_> {
        let watch = address.candidacy().and_then(|facts| facts.policy.close_watch);
        Situation {
            now: self.now,
            me: &self.me,
            peers: &self.peers,
            ring: &self.ring,
            settings: self.settings.watching(watch),
            has_facts: self.phase.has_facts(),
            is_started: self.phase == Phase::Running,
            is_leaving: self.phase.is_leaving(),
            is_deaf: self.lan.is_unsure(),
            has_evidence: self.has_evidence(),
            has_quorum: 2 * (self.peers.len() - self.silent + 1) > self.peers.len() + 1,
        }
    }

    /// Looks again at all that a peer has to do with.
    fn reconsider_peer(&mut self, station: &Station) {
        let Some(peer) = self.peers.get(station) else { return };
        let all: BTreeSet<_> = peer.claims().chain(peer.holdings.iter().copied()).collect();
        for at in all {
            self.reconsider(at);
        }
        self.reconsider_unsettled();
    }

    /// A change of any peer may make these claimable. When there are many, as in a start, they are
    /// looked at together a little later.
    fn reconsider_unsettled(&mut self) {
        if self.unsettled.len() > AT_ONCE {
            let soon = self.now + self.settings.tenths(SOON);
            self.unsettled_at.get_or_insert(soon);
            return;
        }
        self.reconsider_all_unsettled();
    }

    fn reconsider_all_unsettled(&mut self) {
        self.unsettled_at = None;
        for at in self.unsettled.clone() {
            self.reconsider(at);
        }
        for at in self.fenced.clone() {
            self.reconsider(at);
        }
    }

    fn follow_agenda(&mut self) {
        if self.unsettled_at.is_some_and(|at| at <= self.now) {
            self.reconsider_all_unsettled();
        }
        while let Some((_, at)) = self.agenda.first().copied().filter(|(due, _)| *due <= self.now) {
            self.reconsider(at);
        }
    }

    /// Applies the rules to one address until nothing is left to do about it now.
    fn reconsider(&mut self, at: IpAddr) {
        // Taken out, so that the rules can look at everything else.
        let Some(mut address) = self.addresses.remove(&at) else { return };
        if let Some(due) = address.due.take() {
            self.agenda.remove(&(due, at));
        }
        let (due, is_settled, is_seeking) = loop {
            let step = address.step(at, &self.situation(&address));
            match step {
                Step::Wait(due) => break (due, true, false),
                Step::Watch(due) => break (due, false, false),
                Step::Seek => break (None, false, true),
                Step::Claim { .. }
                | Step::Defend
                | Step::Drop { .. }
                | Step::Keep { .. }
                | Step::Release { .. }
                | Step::StandIn { .. }
                | Step::StandDown { .. }
                | Step::Yield { .. }
                | Step::YieldUnheard { .. } => self.take(at, &mut address, step),
            }
        };
        address.due = due;
        self.agenda.extend(due.map(|due| (due, at)));
        set_member(&mut self.unsettled, at, !is_settled);
        let held_nothing = self.answering.is_empty();
        set_member(&mut self.answering, at, address.mine().is_some());
        if held_nothing && !self.answering.is_empty() {
            self.lan.hold(self.now);
        }
        set_member(&mut self.fenced, at, address.is_fenced());
        let is_new_seeker = is_seeking && self.seekers.insert(at);
        if !is_seeking {
            self.seekers.remove(&at);
        }
        self.update_outlook(at, &mut address);
        if !address.is_unknown() {
            self.addresses.insert(at, address);
        }
        if is_new_seeker {
            self.ask_for_evidence();
        }
    }

    /// Takes a step: tells the driver and the peers.
    fn take(&mut self, at: IpAddr, address: &mut Address, step: Step) {
        let stood_in = address.standing_in().is_some();
        let last = address.outlook.as_ref().and_then(|outlook| self.peers.get(&outlook.holder));
        let unheard_for = last.and_then(Peer::last).map(|last| self.now - last);
        address.done(&step);
        if stood_in && address.standing_in().is_none() {
            self.outputs.push_back(Output::StoodIn(at));
        }
        let (output, epoch, state) = match step {
            Step::Claim { epoch, why } => {
                address.note_move(self.now, &self.me, epoch, Some(why));
                (Output::Claimed { address: at, epoch, why, unheard_for }, epoch, State::Held)
            }
            Step::Keep { epoch } => (Output::Kept { address: at, epoch }, epoch, State::Held),
            Step::Release { epoch, why } => {
                (Output::Released { address: at, epoch, why }, epoch, State::Released)
            }
            Step::Drop { epoch, why } => {
                (Output::Dropped { address: at, epoch, why }, epoch, State::Dropped)
            }
            Step::Yield { to, epoch } => {
                let state = State::Yielded { to: to.clone() };
                (Output::Yielded { address: at, to, epoch }, epoch, state)
            }
            Step::YieldUnheard { to, epoch } => {
                if let Some(peer) = self.peers.get_mut(&to) {
                    peer.note_hearsay(at);
                    peer.speaker_answered(self.now, &peer.settings(self.settings));
                }
                self.touch(&to);
                let state = State::Yielded { to: to.clone() };
                (Output::Yielded { address: at, to, epoch }, epoch, state)
            }
            Step::StandIn { holder, epoch } => {
                let mac = self.peers.get(&holder).and_then(mac_of);
                let Some(mac) = mac else { return };
                let state = State::StandingIn { holder: holder.clone() };
                (Output::StandIn { address: at, mac, holder }, epoch, state)
            }
            Step::StandDown { epoch } => {
                self.book.set(at, epoch, State::Dropped);
                return;
            }
            Step::Defend => {
                if address.may_announce(self.now) {
                    self.outputs.push_back(Output::Announce(at));
                }
                return;
            }
            Step::Wait(_) | Step::Watch(_) | Step::Seek => return,
        };
        self.book.set(at, epoch, state);
        self.outputs.push_back(output);
        if address.mine().is_some_and(|mine| !mine.is_released) {
            self.speak_closely_to_heirs(at, address);
        }
    }
}

/// The Ethernet address by which hosts know what a peer holds.
fn mac_of(peer: &Peer) -> Option<crate::l2::Mac> {
    peer.links.iter().map(|link| link.mac).find(|mac| !mac.is_group())
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
