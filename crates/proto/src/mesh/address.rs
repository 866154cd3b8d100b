//! What is known about one address, and who comes after its holder.
//!
//! `rules` decides from this what to do; `line` is who stands in line for it.

mod line;
mod rules;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::ownership::{Candidacy, CloseWatch, Fencing, Move, Settings, Why};
use super::peer::{Fate, INTERESTED, Peer};
use super::{Station, preference_hash};
use crate::time::Instant;
pub(super) use line::Ring;
pub(super) use rules::Step;
pub use rules::{Dropping, Releasing};

/// How long the word of a holder that yielded stands for the claim of the winner.
const PROMISE_LIMIT: Duration = Duration::from_secs(1);

/// Between two announcements of the same address against others (RFC 5227 section 2.4).
const ANNOUNCE_LIMIT: Duration = Duration::from_secs(10);

/// How long an address is left to a host that is no speaker, after that was heard last.
const CONFLICT_LIMIT: Duration = Duration::from_secs(60);

/// In tenths of the close interval: what was heard in this time was heard a moment ago.
const LATELY: u32 = 30;

/// Moves of an address that are remembered for whoever asks why.
const MOVES: usize = 4;

/// Peers that are remembered to stand in for the holder: more than there should be.
const STAND_INS: usize = 6;

/// My own claim.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mine {
    pub(super) epoch: u64,
    pub(super) is_released: bool,
}

/// That a station holds the address.
#[derive(Clone, Debug)]
pub(super) struct Claimed {
    pub(super) station: Station,
    pub(super) epoch: u64,
    /// The life in which the station said so itself; `None` if only others did, or the LAN.
    life: Option<u64>,
    released_at: Option<Instant>,
}

/// The word of a holder that yielded: the winner was not heard yet.
#[derive(Clone, Debug)]
struct Promise {
    to: Station,
    epoch: u64,
    until: Instant,
}

/// Who holds it besides the one who looks, and where that one stands in line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Outlook {
    pub(super) holder: Station,
    pub(super) epoch: u64,
    pub(super) place: Option<usize>,
    /// How closely the holder is to be watched for this address.
    pub(super) watch: CloseWatch,
}

/// All that is known about one address.
#[derive(Default)]
pub(super) struct Address {
    candidacy: Option<Candidacy>,
    /// My place among the candidates: found once, since there may be a thousand.
    my_place: Option<usize>,
    mine: Option<Mine>,
    claims: Vec<Claimed>,
    promise: Option<Box<Promise>>,
    /// Peers that answer with the Ethernet address of the holder.
    stand_ins: Vec<Station>,
    /// For whom I do so.
    standing_in: Option<Station>,
    /// The highest epoch that a claimant, or I, claimed it with. Never hearsay: who counted the
    /// epochs that others report would take the real, newer claim for an older one.
    heard: u64,
    /// I lost it to a newer claim, and my facts are still those that I lost it with.
    is_lost: bool,
    /// The cluster remembers that I held it in an earlier life, and nobody claims it.
    is_remembered: bool,
    vacant_since: Option<Instant>,
    /// The LAN does not answer, since then; or did not until a moment ago.
    sought_since: Option<Instant>,
    wary_until: Option<Instant>,
    misplaced_since: Option<Instant>,
    announced_at: Option<Instant>,
    /// When a host asked for it.
    asked_at: Option<Instant>,
    /// A peer that the mesh does not hear announces it too, since then.
    rival: Option<(Station, Instant)>,
    /// Somebody on the LAN answers for it, as of then.
    foreign_until: Option<Instant>,
    /// The outlook as the peers are counted by.
    pub(super) outlook: Option<Outlook>,
    pub(super) moves: Vec<Move>,
    /// When to look at it again, as the engine's agenda has it.
    pub(super) due: Option<Instant>,
}

/// What the rules look at besides the address.
pub(super) struct Situation<'a> {
    pub(super) now: Instant,
    pub(super) me: &'a Station,
    pub(super) peers: &'a BTreeMap<Station, Peer>,
    pub(super) ring: &'a Ring,
    /// As this address has them.
    pub(super) settings: Settings,
    /// All candidacies are known.
    pub(super) has_facts: bool,
    /// I know enough to claim.
    pub(super) is_started: bool,
    pub(super) is_leaving: bool,
    /// I hear nothing from the LAN.
    pub(super) is_deaf: bool,
    /// The LAN answered me a moment ago.
    pub(super) has_evidence: bool,
    /// I hear more than half of all speakers.
    pub(super) has_quorum: bool,
}

impl Situation<'_> {
    /// Whether a station could take an address over now.
    fn is_ready(&self, station: &Station) -> bool {
        match self.peers.get(station) {
            Some(peer) => peer.is_ready(),
            None => station == self.me && self.is_started && !self.is_leaving && !self.is_deaf,
        }
    }

    /// Whether more than half of all speakers were heard a moment ago.
    fn hears_majority(&self) -> bool {
        let after = self.settings.tenths(LATELY);
        let is_fresh = |peer: &&Peer| peer.last().is_some_and(|last| self.now - last <= after);
        let heard = self.peers.values().filter(is_fresh).count();
        2 * (heard + 1) > self.peers.len() + 1
    }

    fn fate(&self, station: &Station) -> Fate {
        self.peers.get(station).map_or(Fate::Dead, |peer| peer.fate)
    }
}

/// Whether the first claim wins against the second: the higher epoch, then the lower hash.
fn is_newer(address: IpAddr, a: (u64, &Station), b: (u64, &Station)) -> bool {
    a.0 > b.0 || a.0 == b.0 && a.1 != b.1 && is_first(address, a.1, b.1)
}

/// Whether the first station comes before the second where nothing else decides.
fn is_first(address: IpAddr, a: &Station, b: &Station) -> bool {
    preference_hash(a.as_str(), address) < preference_hash(b.as_str(), address)
}

impl Address {
    pub(super) fn mine(&self) -> Option<Mine> {
        self.mine
    }

    pub(super) fn candidacy(&self) -> Option<&Candidacy> {
        self.candidacy.as_ref()
    }

    /// For whom I stand in.
    pub(super) fn standing_in(&self) -> Option<&Station> {
        self.standing_in.as_ref()
    }

    pub(super) fn stand_ins(&self) -> &[Station] {
        &self.stand_ins
    }

    /// Whether it can be forgotten.
    pub(super) fn is_unknown(&self) -> bool {
        self.candidacy.is_none()
            && self.mine.is_none()
            && self.claims.is_empty()
            && self.stand_ins.is_empty()
            && self.standing_in.is_none()
    }

    /// Whether I am among the first candidates, of whom one will have it.
    pub(super) fn am_near(&self) -> bool {
        self.my_place.is_some_and(|place| place < INTERESTED)
    }

    /// Whether nothing is known of anybody who holds it.
    pub(super) fn is_unclaimed(&self) -> bool {
        self.mine.is_none() && self.claims.is_empty()
    }

    /// Whether only a majority may have it, and I hold it or would claim it.
    pub(super) fn is_fenced(&self) -> bool {
        let fencing = self.candidacy.as_ref().map(|candidacy| candidacy.policy.fencing);
        let is_at_hand = self.mine.is_some() || self.vacant_since.is_some();
        is_at_hand && fencing == Some(Fencing::Quorum)
    }

    /// Takes the facts about it.
    pub(super) fn set_candidacy(&mut self, candidacy: Option<Candidacy>, me: &Station) {
        let place = |facts: &Candidacy| facts.order.iter().position(|it| it.station == *me);
        self.my_place = candidacy.as_ref().and_then(place);
        self.candidacy = candidacy;
        self.is_lost = false;
        self.misplaced_since = None;
    }

    /// Takes in an active claim from the claimant itself, in the life that it has now.
    pub(super) fn hear_claim(&mut self, now: Instant, from: &Station, life: u64, mine: Mine) {
        self.hear_from(from);
        let Mine { epoch, is_released } = mine;
        self.heard = self.heard.max(epoch);
        let before = self.claim_of(from).and_then(|claimed| claimed.released_at);
        let released_at = is_released.then(|| before.unwrap_or(now));
        self.stand_ins.retain(|station| station != from);
        self.put(Claimed { station: from.clone(), epoch, life: Some(life), released_at });
    }

    /// Takes in that, by the word of others or by what is seen on the LAN, a station holds it. What
    /// it says itself counts for more.
    pub(super) fn hear_of_claim(&mut self, station: &Station, epoch: u64) {
        if self.claim_of(station).is_some_and(|claimed| claimed.life.is_some()) {
            return;
        }
        self.put(Claimed { station: station.clone(), epoch, life: None, released_at: None });
    }

    fn put(&mut self, claimed: Claimed) {
        self.rival.take_if(|(rival, _)| *rival == claimed.station);
        match self.claims.iter_mut().find(|old| old.station == claimed.station) {
            Some(old) => *old = claimed,
            // There is one as a rule, and a speaker may know ten thousand addresses.
            None => {
                self.claims.reserve_exact(1);
                self.claims.push(claimed);
            }
        }
    }

    /// Takes in that `from` claims it no more, nor stands in for anybody.
    pub(super) fn hear_end(&mut self, from: &Station) {
        self.hear_from(from);
        self.claims.retain(|claimed| claimed.station != *from);
        self.stand_ins.retain(|station| station != from);
    }

    /// Takes in that `from` stands in for the holder.
    pub(super) fn hear_stand_in(&mut self, from: &Station) {
        self.hear_end(from);
        if self.stand_ins.len() < STAND_INS {
            self.stand_ins.push(from.clone());
        }
    }

    /// The winner's own word, whatever it is, replaces what was said about it.
    fn hear_from(&mut self, from: &Station) {
        self.promise.take_if(|promise| promise.to == *from);
    }

    /// Takes in that a holder yielded to `to`, which may not have been heard yet.
    pub(super) fn hear_promise(&mut self, now: Instant, at: IpAddr, to: Station, epoch: u64) {
        let is_news = |old: &Promise| is_newer(at, (epoch, &to), (old.epoch, &old.to));
        if self.promise.as_deref().is_none_or(is_news) {
            self.promise = Some(Box::new(Promise { to, epoch, until: now + PROMISE_LIMIT }));
        }
    }

    /// Takes in that the cluster remembers me as the last holder.
    pub(super) fn remember(&mut self) {
        self.is_remembered = self.is_unclaimed();
    }

    /// The highest epoch that anybody is known to claim it with.
    pub(super) fn highest(&self) -> u64 {
        self.claims.iter().map(|claimed| claimed.epoch).max().unwrap_or(0)
    }

    pub(super) fn claim_of(&self, station: &Station) -> Option<&Claimed> {
        self.claims.iter().find(|claimed| claimed.station == *station)
    }

    /// Whether a station may go on with the claim that others keep for it: nobody, and not I
    /// either, claimed it since.
    pub(super) fn may_resume(&self, epoch: u64) -> bool {
        let is_later = |claimed: &Claimed| claimed.epoch >= epoch;
        let is_known = self.candidacy.as_ref().is_some_and(|facts| !facts.order.is_empty());
        is_known && self.mine.is_none() && self.heard <= epoch && !self.claims.iter().any(is_later)
    }

    /// The same before the candidacies are known.
    pub(super) fn may_resume_unseen(&self, epoch: u64) -> bool {
        let is_later = |claimed: &Claimed| claimed.epoch >= epoch;
        self.mine.is_none() && self.heard <= epoch && !self.claims.iter().any(is_later)
    }

    /// Goes on with my claim.
    pub(super) fn resume(&mut self, epoch: u64) {
        self.heard = self.heard.max(epoch);
        self.mine = Some(Mine { epoch, is_released: false });
        self.is_remembered = false;
        self.standing_in = None;
    }

    /// Whether `from` holds it with an older claim than mine.
    pub(super) fn is_contested_by(&self, at: IpAddr, me: &Station, from: &Station) -> bool {
        let (Some(mine), Some(claimed)) = (self.mine, self.claim_of(from)) else { return false };
        let are_held = claimed.released_at.is_none() && !mine.is_released;
        are_held && is_newer(at, (mine.epoch, me), (claimed.epoch, from))
    }

    /// Whether it may be announced against somebody else; if so, it counts as announced.
    pub(super) fn may_announce(&mut self, now: Instant) -> bool {
        let is_limited = self.announced_at.is_some_and(|last| now - last < ANNOUNCE_LIMIT);
        let may = self.mine.is_some() && !is_limited;
        if may {
            self.announced_at = Some(now);
        }
        may
    }

    // What is seen on the LAN.

    /// A host asked for it.
    pub(super) fn note_question(&mut self, now: Instant) {
        self.asked_at = Some(now);
    }

    /// A peer that the mesh does not hear announces it.
    pub(super) fn note_rival(&mut self, now: Instant, station: &Station) {
        if self.rival.as_ref().is_none_or(|(rival, _)| rival != station) {
            self.rival = Some((station.clone(), now));
        }
    }

    /// A host that is no speaker uses it. It is left to that host for a while if it is not held or
    /// the policy says so.
    pub(super) fn note_foreign(&mut self, until: Instant) {
        self.foreign_until = self.foreign_until.max(Some(until));
    }

    /// How long it is left to a host that is no speaker.
    pub(super) fn conflict_limit() -> Duration {
        CONFLICT_LIMIT
    }

    // Who holds it.

    /// The newest claim. If who made it is dead, the newest of somebody who is heard: the others
    /// were outdone by it.
    pub(super) fn holder(&self, at: IpAddr, situation: &Situation<'_>) -> Option<&Claimed> {
        let newest = self.claims.iter().reduce(|best, next| {
            let is_newer = is_newer(at, (next.epoch, &next.station), (best.epoch, &best.station));
            if is_newer { next } else { best }
        })?;
        match situation.fate(&newest.station) {
            Fate::Dead => self.newest_live(at, situation.peers).or(Some(newest)),
            Fate::Present | Fate::Unknown | Fate::Unheard | Fate::SpeakerGone => Some(newest),
        }
    }

    /// The newest claim of a peer that is heard.
    pub(super) fn newest_live(
        &self,
        at: IpAddr,
        peers: &BTreeMap<Station, Peer>,
    ) -> Option<&Claimed> {
        let is_live = |claimed: &&Claimed| {
            let peer = peers.get(&claimed.station);
            peer.is_some_and(|peer| !peer.is_silent()) && claimed.life.is_some()
        };
        self.claims.iter().filter(is_live).reduce(|best, next| {
            let is_newer = is_newer(at, (next.epoch, &next.station), (best.epoch, &best.station));
            if is_newer { next } else { best }
        })
    }

    /// Remembers that it moved.
    pub(super) fn note_move(&mut self, now: Instant, to: &Station, epoch: u64, why: Option<Why>) {
        if self.moves.len() == MOVES {
            self.moves.remove(0);
        }
        self.moves.reserve_exact(1);
        self.moves.push(Move { at: now, to: to.clone(), epoch, why });
    }

    /// Whether somebody else could take it over now.
    pub(super) fn has_heir(&self, peers: &BTreeMap<Station, Peer>) -> bool {
        let mut order = self.candidacy.iter().flat_map(|candidacy| candidacy.order.iter());
        order.any(|candidate| peers.get(&candidate.station).is_some_and(Peer::is_able))
    }
}
