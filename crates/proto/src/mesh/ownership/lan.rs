//! What is asked and heard on the LAN: evidence that I am not deaf, what became of peers, and who
//! else uses an address (rules 6, 7, 11 and 12).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::{Heard, OnConflict, Output, Ownership, Phase, Settings};
use crate::l2::Mac;
use crate::mesh::Station;
use crate::mesh::address::Address;
use crate::mesh::peer::{Fate, Peer};
use crate::time::{Instant, earliest};

/// In tenths of the close interval: how long an answer shows that I hear the LAN.
const EVIDENCE: u32 = 30;

/// A holder that hears nothing for so long asks.
const UNEASY: u32 = 12;

/// A holder that hears nothing for so long is deaf.
const DEAF: u32 = 42;

/// Between two rounds of questions.
const PAUSE: u32 = 8;

/// Between two questions of a start for the same addresses.
const START_PAUSE: u32 = 40;

/// How long an answer to those keeps an address from being claimed.
const IN_USE: u32 = 200;

/// How often a holder announces while peers that may want to hold its addresses cannot be heard.
const REPEAT: u32 = 200;

/// How long that goes on for one peer: a mesh that is broken for longer is an outage, and whoever
/// could not be told in that time is not there.
const REPEAT_LIMIT: Duration = Duration::from_secs(300);

/// Addresses asked for, or announced, at once.
const AT_ONCE: usize = 64;

/// Witnesses, and peers, that are asked at once whether they hear me.
const ASKED_AT_ONCE: usize = 3;

/// Addresses of one holder that are asked for at once: if it answers for one, its speaker lives.
const HELD_ASKED: usize = 2;

/// Where the addresses begin.
const LOWEST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

/// Ethernet addresses of peers that are remembered.
const MAX_MACS: usize = 16_384;

/// How much rarer a node declares itself deaf that was wrong about it: nobody may be there.
const MAX_DOUBT: u32 = 256;

/// How long a holder whose carrier is back listens for peers that are not heard, before it announces.
const RETURN: u32 = 200;

/// What this node hears of the LAN.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Hearing {
    Whole,
    /// Nothing, although somebody was asked.
    Deaf,
    /// Nothing: there is no interface with carrier any more.
    Cut,
    /// There is one again since the first moment. Until the second at most the peers are listened
    /// to, who may have taken over what is held here.
    Returning(Instant, Instant),
}

/// The LAN as this node hears it.
pub(super) struct Lan {
    /// When anything was heard, from the LAN or the mesh.
    last_any: Instant,
    /// Since when something is held here. Who holds nothing asks nobody.
    holds_since: Instant,
    answered_at: Option<Instant>,
    asked_at: Option<Instant>,
    hearing: Hearing,
    /// How much longer than usual to wait before being deaf.
    doubt: u32,
    pub(super) witnesses: BTreeSet<IpAddr>,
    macs: BTreeMap<Mac, Station>,
    repeat_at: Option<Instant>,
    start_at: Option<Instant>,
    /// Where the last round ended.
    cursor: Option<IpAddr>,
}

impl Lan {
    pub(super) fn new() -> Self {
        Self {
            last_any: Instant::START,
            holds_since: Instant::START,
            answered_at: None,
            asked_at: None,
            hearing: Hearing::Whole,
            doubt: 1,
            witnesses: BTreeSet::new(),
            macs: BTreeMap::new(),
            repeat_at: None,
            start_at: None,
            cursor: None,
        }
    }

    /// Whether nothing is heard, as peers are to know.
    pub(super) fn is_deaf(&self) -> bool {
        matches!(self.hearing, Hearing::Deaf | Hearing::Cut)
    }

    /// Whether that is so, or was until a moment ago.
    pub(super) fn is_unsure(&self) -> bool {
        self.hearing != Hearing::Whole
    }

    pub(super) fn has_evidence(&self, now: Instant, settings: &Settings) -> bool {
        self.answered_at.is_some_and(|at| now < at + settings.tenths(EVIDENCE))
    }

    /// A speaker begins to listen.
    pub(super) fn begin(&mut self, now: Instant) {
        self.last_any = now;
        self.start_at = Some(now);
    }

    /// The first address is held here.
    pub(super) fn hold(&mut self, now: Instant) {
        self.holds_since = now;
    }

    fn deaf_at(&self, settings: &Settings) -> Instant {
        self.last_any.max(self.holds_since) + settings.tenths(DEAF) * self.doubt
    }
}

impl Ownership {
    /// Whether I can ask anybody anything.
    pub(super) fn can_ask(&self) -> bool {
        !self.book.links().is_empty()
    }

    /// Whether there is anybody who ought to answer.
    fn has_targets(&self) -> bool {
        !self.lan.witnesses.is_empty() || self.peers.values().any(|peer| !peer.links.is_empty())
    }

    /// Whether there is anybody who ought to answer although one peer is dead. Of two speakers
    /// without a gateway the one that is left has nobody to ask.
    fn has_other_targets(&self) -> bool {
        let with_links = self.peers.values().filter(|peer| !peer.links.is_empty());
        !self.lan.witnesses.is_empty() || with_links.take(2).count() == 2
    }

    /// Whether the LAN answered a moment ago, or cannot be asked.
    pub(super) fn has_evidence(&self) -> bool {
        let is_heard = self.lan.has_evidence(self.now, &self.settings);
        !self.can_ask() || is_heard || !self.has_other_targets()
    }

    pub(super) fn lan_deadline(&self) -> Option<Instant> {
        if let Hearing::Returning(_, until) = self.lan.hearing {
            return Some(until);
        }
        if !self.can_ask() {
            return None;
        }
        let settings = &self.settings;
        let next = self.lan.asked_at.map(|at| at + settings.tenths(PAUSE));
        let uneasy = self.lan.last_any + settings.tenths(UNEASY);
        let is_holder = !self.answering.is_empty();
        if !is_holder && self.lan.hearing == Hearing::Deaf {
            return Some(self.now);
        }
        let ask = is_holder.then(|| next.map_or(uneasy, |next| next.max(uneasy)));
        let deaf = Some(self.lan.deaf_at(settings)).filter(|_| is_holder && !self.lan.is_unsure());
        let seek = (!self.seekers.is_empty()).then_some(next).flatten();
        let is_starting = matches!(self.phase, Phase::Starting { .. });
        let start = self.lan.start_at.filter(|_| is_starting);
        let repeat = self.lan.repeat_at.filter(|_| is_holder && self.silent > 0);
        earliest([ask, deaf, seek, start, repeat])
    }

    /// Something was heard, from wherever.
    pub(super) fn note_hearing(&mut self) {
        self.lan.last_any = self.now;
        if self.lan.hearing == Hearing::Deaf {
            self.lan.hearing = Hearing::Whole;
            self.lan.doubt = (self.lan.doubt * 2).min(MAX_DOUBT);
            self.hearing_changed();
        }
    }

    fn hearing_changed(&mut self) {
        self.line_up_soon();
        self.change_course();
    }

    /// The interfaces with carrier may be others. A holder that loses the last one hands over at
    /// once; when one is back it listens first.
    pub(super) fn carrier_changed(&mut self, could_ask: bool) {
        self.lan.hearing = match (could_ask, self.can_ask()) {
            (true, false) => Hearing::Cut,
            (false, true) if self.lan.hearing == Hearing::Cut => {
                let until = self.now + self.settings.tenths(RETURN);
                Hearing::Returning(self.now, until)
            }
            (true, true) | (false, _) => return,
        };
        self.lan.last_any = self.now;
        self.hearing_changed();
    }

    /// Ends to listen when every peer that may hold something was heard. Then hosts are told what
    /// is still held: switches may have forgotten where it is.
    fn end_return(&mut self) {
        let Hearing::Returning(since, until) = self.lan.hearing else { return };
        let is_heard = |peer: &Peer| peer.is_synced() && peer.last() > Some(since);
        if until > self.now && !self.peers.values().all(is_heard) {
            return;
        }
        self.lan.hearing = Hearing::Whole;
        self.hearing_changed();
        let held = self.answering.iter().copied().map(Output::Announce);
        self.outputs.extend(held);
    }

    /// Asks what is due.
    pub(super) fn listen(&mut self) {
        self.end_return();
        if !self.can_ask() {
            return;
        }
        let now = self.now;
        if !self.answering.is_empty() && self.has_targets() {
            if self.lan.last_any + self.settings.tenths(UNEASY) <= now {
                self.ask_for_evidence();
            }
            if !self.lan.is_unsure() && self.lan.deaf_at(&self.settings) <= now {
                self.lan.hearing = Hearing::Deaf;
                self.hearing_changed();
            }
        }
        if self.answering.is_empty() && self.lan.hearing == Hearing::Deaf {
            // Only a holder asks, so it would be deaf for good. Who claims needs an answer first.
            self.lan.hearing = Hearing::Whole;
            self.hearing_changed();
        }
        if !self.seekers.is_empty() {
            self.ask_for_evidence();
        }
        self.ask_as_starter();
        self.repeat_announcements();
    }

    /// Asks hosts that should answer: those that were heard last, because fixed ones may be on
    /// another side of a partition.
    pub(super) fn ask_for_evidence(&mut self) {
        let pause = self.settings.tenths(PAUSE);
        if !self.can_ask() || self.lan.asked_at.is_some_and(|at| self.now < at + pause) {
            return;
        }
        self.lan.asked_at = Some(self.now);
        let witnesses = self.lan.witnesses.iter().take(ASKED_AT_ONCE);
        let mut asks: Vec<_> = witnesses.map(|at| (*at, Mac::BROADCAST)).collect();
        let mut peers: Vec<_> = self.peers.values().filter(|peer| !peer.links.is_empty()).collect();
        peers.sort_by_key(|peer| std::cmp::Reverse(peer.last()));
        asks.extend(peers.iter().take(ASKED_AT_ONCE).flat_map(|peer| own_addresses(peer)));
        self.ask_all(asks);
    }

    fn ask_all(&mut self, asks: impl IntoIterator<Item = (IpAddr, Mac)>) {
        let asks = asks.into_iter().map(|(address, mac)| Output::Ask { address, mac });
        self.outputs.extend(asks);
    }

    /// The two questions to the host of a holder that is missed.
    pub(super) fn ask_peer(&mut self, station: &Station) {
        let Some(peer) = self.peers.get(station) else { return };
        let mut asks = own_addresses(peer);
        let macs = peer.links.iter().map(|link| link.mac).filter(|mac| *mac != Mac::BROADCAST);
        let after = self.lan.cursor.unwrap_or(LOWEST);
        let held = peer.holdings.range(after..).chain(peer.holdings.range(..after));
        let held: Vec<_> = held.take(HELD_ASKED + 1).copied().collect();
        for at in held.iter().take(HELD_ASKED) {
            asks.extend(macs.clone().map(|mac| (*at, mac)));
        }
        // One after the other, since the holder may announce some of them elsewhere.
        self.lan.cursor = held.last().copied();
        self.ask_all(asks);
        self.ask_for_evidence();
    }

    /// Asks for the addresses that nobody is heard to hold.
    fn ask_as_starter(&mut self) {
        let is_due = self.lan.start_at.is_some_and(|at| at <= self.now);
        if !matches!(self.phase, Phase::Starting { .. }) || !is_due {
            return;
        }
        self.lan.start_at = Some(self.now + self.settings.tenths(START_PAUSE));
        let unclaimed = self.addresses.iter().filter(|(_, it)| it.is_unclaimed() && it.am_near());
        let asks: Vec<_> = unclaimed.take(AT_ONCE).map(|(at, _)| (*at, Mac::BROADCAST)).collect();
        self.ask_all(asks);
        self.ask_for_evidence();
    }

    /// Two holders that the mesh keeps apart notice one another only by what they announce.
    fn repeat_announcements(&mut self) {
        if self.silent == 0 || self.answering.is_empty() || self.lan.is_unsure() {
            self.lan.repeat_at = None;
            return;
        }
        let pause = self.settings.tenths(REPEAT);
        if *self.lan.repeat_at.get_or_insert(self.now + pause) > self.now {
            return;
        }
        self.lan.repeat_at = Some(self.now + pause);
        let now = self.now;
        let is_missed = |peer: &&Peer| {
            peer.is_silent() && peer.last().is_some_and(|last| now - last < REPEAT_LIMIT)
        };
        let missed: Vec<_> = self.peers.values().filter(is_missed).collect();
        let is_there = |peer: &&Peer| peer.is_host_heard(now, pause * 2);
        let are_there = missed.iter().any(is_there);
        let asks: Vec<_> =
            missed.iter().take(ASKED_AT_ONCE).flat_map(|peer| own_addresses(peer)).collect();
        self.ask_all(asks);
        if are_there {
            let held = self.answering.iter().take(AT_ONCE).copied();
            self.outputs.extend(held.map(Output::Announce));
        }
    }

    /// Takes in what was heard on the LAN.
    pub(super) fn hear_lan(&mut self, heard: Heard) {
        self.note_hearing();
        match heard {
            Heard::Answer { address, mac } => self.hear_answer(address, mac),
            Heard::Question { address, .. } => {
                if let Some(known) = self.addresses.get_mut(&address) {
                    known.note_question(self.now);
                    self.reconsider(address);
                }
            }
            Heard::Announcement { address, mac } => self.hear_announcement(address, mac),
        }
    }

    fn hear_answer(&mut self, address: IpAddr, mac: Mac) {
        self.lan.answered_at = Some(self.now);
        self.lan.doubt = 1;
        for at in std::mem::take(&mut self.seekers) {
            self.reconsider(at);
        }
        let now = self.now;
        let of_host = |peer: &Peer| {
            let is_it = |at: &IpAddr| *at == address;
            peer.links.iter().any(|link| {
                (link.mac == mac || link.mac == Mac::BROADCAST) && link.addresses.iter().any(is_it)
            })
        };
        let named = self.lan.macs.get(&mac).cloned();
        let station = named.or_else(|| {
            let host = self.peers.iter().find(|(_, peer)| of_host(peer));
            host.map(|(station, _)| station.clone())
        });
        let is_ours = self.addresses.contains_key(&address);
        match station {
            Some(station) => {
                let Some(peer) = self.peers.get_mut(&station) else { return };
                if of_host(peer) {
                    peer.host_answered(now, &peer.settings(self.settings));
                    self.learn_mac(&station, address, mac);
                } else if is_ours {
                    peer.speaker_answered(now, &peer.settings(self.settings));
                    self.hear_of_unclaimed(address, &station);
                }
                self.touch(&station);
            }
            None if is_ours => self.hear_of_use(address, mac),
            None => (),
        }
    }

    /// A host that never told where it is on the LAN has answered.
    fn learn_mac(&mut self, station: &Station, address: IpAddr, mac: Mac) {
        let Some(peer) = self.peers.get_mut(station) else { return };
        let unknown = peer.links.iter_mut().find(|link| link.mac == Mac::BROADCAST);
        if let Some(link) = unknown.filter(|link| link.addresses.contains(&address)) {
            link.mac = mac;
            self.note_macs(station);
        }
    }

    /// Remembers whose Ethernet addresses a peer's are.
    pub(super) fn note_macs(&mut self, station: &Station) {
        let Some(peer) = self.peers.get(station) else { return };
        for link in peer.links.iter().filter(|link| !link.mac.is_group()) {
            if self.lan.macs.len() < MAX_MACS {
                self.lan.macs.insert(link.mac, station.clone());
            }
        }
    }

    pub(super) fn forget_macs(&mut self, station: &Station) {
        self.lan.macs.retain(|_, owner| owner != station);
    }

    /// A peer answers for an address that nobody is heard to claim.
    fn hear_of_unclaimed(&mut self, at: IpAddr, station: &Station) {
        let is_unclaimed = self.addresses.get(&at).is_some_and(Address::is_unclaimed);
        let is_away = |peer: &Peer| peer.is_silent() || peer.flags.is_starting;
        if is_unclaimed && self.peers.get(station).is_some_and(is_away) {
            self.hear_of_claim(at, station, 0);
        }
    }

    /// Somebody unknown answers for an address that nobody is heard to claim.
    fn hear_of_use(&mut self, at: IpAddr, mac: Mac) {
        let is_mine = self.book.links().iter().any(|link| link.mac == mac);
        let until = self.now + self.settings.tenths(IN_USE);
        if let Some(address) = self.addresses.get_mut(&at)
            && address.is_unclaimed()
            && !is_mine
        {
            address.note_foreign(until);
            self.reconsider(at);
        }
    }

    fn hear_announcement(&mut self, at: IpAddr, mac: Mac) {
        let is_mine = self.book.links().iter().any(|link| link.mac == mac);
        let Some(address) = self.addresses.get_mut(&at).filter(|_| !is_mine) else { return };
        let now = self.now;
        let Some(station) = self.lan.macs.get(&mac).cloned() else {
            self.hear_foreign(at, mac);
            return;
        };
        let Some(peer) = self.peers.get_mut(&station).filter(|peer| peer.is_silent()) else {
            return;
        };
        if address.mine().is_some() {
            address.note_rival(now, &station);
            self.reconsider(at);
            return;
        }
        let holder = address.outlook.as_ref().map(|outlook| outlook.holder.clone());
        peer.speaker_answered(now, &peer.settings(self.settings));
        self.touch(&station);
        let is_live = |holder: &Station| {
            let fate = self.peers.get(holder).map(|peer| peer.fate);
            matches!(fate, Some(Fate::Present | Fate::Unheard | Fate::SpeakerGone))
        };
        if holder.is_none_or(|holder| !is_live(&holder)) {
            let epoch = self.addresses.get(&at).map_or(0, |address| address.highest());
            self.hear_of_claim(at, &station, epoch);
        }
    }

    /// Others say, or the LAN shows, that a peer holds an address.
    pub(super) fn hear_of_claim(&mut self, at: IpAddr, station: &Station, epoch: u64) {
        let Some(peer) = self.peers.get_mut(station) else { return };
        if peer.note_hearsay(at)
            && let Some(address) = self.addresses.get_mut(&at)
        {
            address.hear_of_claim(station, epoch);
            self.touch(station);
            self.reconsider(at);
        }
    }

    /// A host that is no speaker uses an address.
    fn hear_foreign(&mut self, at: IpAddr, mac: Mac) {
        // A peer that is heard but told nothing of its interfaces may be the one.
        let is_unclear = |peer: &Peer| !peer.is_silent() && peer.links.is_empty();
        if self.peers.values().any(is_unclear) {
            return;
        }
        let until = self.now + Address::conflict_limit();
        let Some(address) = self.addresses.get_mut(&at) else { return };
        let policy = address.candidacy().map(|facts| facts.policy.on_conflict);
        let is_held = address.mine().is_some();
        if is_held {
            self.outputs.push_back(Output::Conflict { address: at, mac });
        }
        match policy {
            Some(OnConflict::Yield) => {
                address.note_foreign(until);
                self.reconsider(at);
            }
            Some(OnConflict::Defend) if is_held && address.may_announce(self.now) => {
                self.outputs.push_back(Output::Defend(at));
            }
            Some(OnConflict::Defend) | None => (),
        }
    }
}

/// One address of each of a peer's interfaces that its own kernel answers for, and whom to ask.
fn own_addresses(peer: &Peer) -> Vec<(IpAddr, Mac)> {
    let first = |link: &crate::mesh::message::Link| Some((*link.addresses.first()?, link.mac));
    peer.links.iter().filter_map(first).collect()
}
