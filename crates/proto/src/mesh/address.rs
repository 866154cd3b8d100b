//! The rules for one address: who holds it as far as is heard, and what I do about that.
//!
//! [`Address::step`] is all of it: from the claims, the facts and the clock to one step.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::ownership::{Candidacy, Why};
use super::peer::Peer;
use super::{Station, preference_hash};
use crate::time::Instant;

/// How long each candidate waits for every live one ahead of it.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long the holder's own release is left to those who agree with it about the candidates.
const RELEASE_GRACE: Duration = Duration::from_millis(200);

/// How long a live holder must be no candidate before its claim is taken from it.
const PREEMPT_AFTER: Duration = Duration::from_millis(200);

/// How long the word of a holder that yielded stands for the claim of the winner.
const PROMISE_LIMIT: Duration = Duration::from_secs(1);

/// Between two announcements of the same address against older claims (RFC 5227 section 2.4).
const ANNOUNCE_LIMIT: Duration = Duration::from_secs(10);

/// My own claim.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mine {
    pub(super) epoch: u64,
    pub(super) is_released: bool,
}

/// A claim heard from the claimant itself.
#[derive(Clone, Copy, Debug)]
struct Heard {
    epoch: u64,
    released_at: Option<Instant>,
}

/// The word of a holder that yielded: the winner was not heard yet.
#[derive(Clone, Debug)]
struct Promise {
    to: Station,
    epoch: u64,
    until: Instant,
}

/// All that is known about one address.
#[derive(Default)]
pub(super) struct Address {
    candidacy: Option<Candidacy>,
    mine: Option<Mine>,
    claims: BTreeMap<Station, Heard>,
    promise: Option<Promise>,
    /// The highest epoch that a claimant, or I, claimed it with. Never hearsay: who counted the
    /// epochs that others report would take the real, newer claim for an older one.
    heard: u64,
    /// I lost it to a newer claim, and my facts are still those that I lost it with.
    is_lost: bool,
    vacant_since: Option<Instant>,
    misplaced_since: Option<Instant>,
    announced_at: Option<Instant>,
    /// When to look at it again, as the engine's agenda has it.
    pub(super) due: Option<Instant>,
}

/// What the rules look at besides the address.
pub(super) struct Situation<'a> {
    pub(super) now: Instant,
    pub(super) me: &'a Station,
    pub(super) peers: &'a BTreeMap<Station, Peer>,
    /// I know enough to claim.
    pub(super) is_started: bool,
    pub(super) is_leaving: bool,
}

/// What to do about an address.
#[derive(Debug)]
pub(super) enum Step {
    Claim {
        epoch: u64,
        why: Why,
    },
    Drop {
        epoch: u64,
    },
    Keep {
        epoch: u64,
    },
    Release {
        epoch: u64,
    },
    Yield {
        to: Station,
        epoch: u64,
    },
    /// Nothing until then, or until something is heard about the address.
    Wait(Option<Instant>),
    /// As `Wait`, but a change of any peer may matter too.
    Watch(Option<Instant>),
}

/// How an address looks to somebody who does not hold it.
#[derive(Debug, Eq, PartialEq)]
enum Standing {
    /// Somebody who may holds it.
    Held,
    /// Left alone until then.
    HeldUntil(Instant),
    /// Its live holder is no candidate.
    Misplaced,
    Vacant(Why),
}

/// Whether the first claim wins against the second: the higher epoch, then the lower hash.
fn is_newer(address: IpAddr, a: (u64, &Station), b: (u64, &Station)) -> bool {
    let hash = |station: &Station| preference_hash(station.as_str(), address);
    a.0 > b.0 || a.0 == b.0 && a.1 != b.1 && hash(a.1) < hash(b.1)
}

impl Address {
    pub(super) fn mine(&self) -> Option<Mine> {
        self.mine
    }

    pub(super) fn candidacy(&self) -> Option<&Candidacy> {
        self.candidacy.as_ref()
    }

    /// Whether it can be forgotten.
    pub(super) fn is_unknown(&self) -> bool {
        self.candidacy.is_none() && self.mine.is_none() && self.claims.is_empty()
    }

    /// Takes the facts about it.
    pub(super) fn set_candidacy(&mut self, candidacy: Option<Candidacy>) {
        self.candidacy = candidacy;
        self.is_lost = false;
        self.misplaced_since = None;
    }

    /// Takes in an active claim from the claimant itself.
    pub(super) fn hear_claim(&mut self, now: Instant, from: &Station, epoch: u64, released: bool) {
        self.hear_from(from);
        self.heard = self.heard.max(epoch);
        let before = self.claims.get(from).and_then(|heard| heard.released_at);
        let released_at = released.then(|| before.unwrap_or(now));
        self.claims.insert(from.clone(), Heard { epoch, released_at });
    }

    /// Takes in that `from` claims it no more.
    pub(super) fn hear_end(&mut self, from: &Station) {
        self.hear_from(from);
        self.claims.remove(from);
    }

    /// The winner's own word, whatever it is, replaces what was said about it.
    fn hear_from(&mut self, from: &Station) {
        self.promise.take_if(|promise| promise.to == *from);
    }

    /// Takes in that a holder yielded to `to`, which may not have been heard yet.
    pub(super) fn hear_promise(&mut self, now: Instant, at: IpAddr, to: Station, epoch: u64) {
        let is_news = |old: &Promise| is_newer(at, (epoch, &to), (old.epoch, &old.to));
        if self.promise.as_ref().is_none_or(is_news) {
            self.promise = Some(Promise { to, epoch, until: now + PROMISE_LIMIT });
        }
    }

    pub(super) fn is_claimed_by(&self, from: &Station) -> bool {
        self.claims.contains_key(from)
    }

    /// Whether `from` holds it with an older claim than mine.
    pub(super) fn is_contested_by(&self, at: IpAddr, me: &Station, from: &Station) -> bool {
        let (Some(mine), Some(heard)) = (self.mine, self.claims.get(from)) else { return false };
        let are_held = heard.released_at.is_none() && !mine.is_released;
        are_held && is_newer(at, (mine.epoch, me), (heard.epoch, from))
    }

    /// Whether it may be announced against another claim; if so, it counts as announced.
    pub(super) fn may_announce(&mut self, now: Instant) -> bool {
        let is_limited = self.announced_at.is_some_and(|last| now - last < ANNOUNCE_LIMIT);
        let may = self.mine.is_some() && !is_limited;
        if may {
            self.announced_at = Some(now);
        }
        may
    }

    /// The newest claim of a peer that is heard, and its epoch.
    pub(super) fn live_holder(
        &self,
        at: IpAddr,
        peers: &BTreeMap<Station, Peer>,
    ) -> Option<(&Station, u64)> {
        self.newest_live(at, peers).map(|(station, heard)| (station, heard.epoch))
    }

    fn newest_live(
        &self,
        at: IpAddr,
        peers: &BTreeMap<Station, Peer>,
    ) -> Option<(&Station, &Heard)> {
        let is_live = |station: &Station| peers.get(station).is_some_and(|peer| !peer.is_silent());
        self.claims.iter().filter(|(station, _)| is_live(station)).reduce(|best, next| {
            if is_newer(at, (next.1.epoch, next.0), (best.1.epoch, best.0)) { next } else { best }
        })
    }

    /// Decides. Called again after each step until it waits.
    pub(super) fn step(&mut self, at: IpAddr, situation: &Situation<'_>) -> Step {
        match self.mine {
            Some(mine) => self.step_as_holder(at, mine, situation),
            None => self.step_as_heir(at, situation),
        }
    }

    fn step_as_holder(&mut self, at: IpAddr, mine: Mine, situation: &Situation<'_>) -> Step {
        let epoch = mine.epoch;
        if let Some((to, heard)) = self.newest_live(at, situation.peers)
            && is_newer(at, (heard.epoch, to), (epoch, situation.me))
        {
            return Step::Yield { to: to.clone(), epoch: heard.epoch };
        }
        if self.candidacy.as_ref().is_none_or(|candidacy| candidacy.order.is_empty()) {
            return Step::Drop { epoch };
        }
        match (self.is_wanted(situation), mine.is_released) {
            (true, true) => Step::Keep { epoch },
            (false, false) => Step::Release { epoch },
            (true, false) | (false, true) => Step::Wait(None),
        }
    }

    /// Whether my own facts say that I may hold it.
    fn is_wanted(&self, situation: &Situation<'_>) -> bool {
        !situation.is_leaving
            && self
                .candidacy
                .as_ref()
                .is_some_and(|mine| mine.is_fit && mine.order.contains(situation.me))
    }

    fn step_as_heir(&mut self, at: IpAddr, situation: &Situation<'_>) -> Step {
        let now = situation.now;
        let standing = match situation.is_started && self.is_wanted(situation) {
            true => self.standing(at, situation),
            false => Standing::Held,
        };
        if !matches!(standing, Standing::Vacant(_)) {
            self.vacant_since = None;
        }
        if standing != Standing::Misplaced {
            self.misplaced_since = None;
        }
        match standing {
            Standing::Held => Step::Wait(None),
            Standing::HeldUntil(until) => Step::Watch(Some(until)),
            Standing::Misplaced => {
                let since = *self.misplaced_since.get_or_insert(now);
                if self.is_lost || self.rank(situation) > 0 {
                    return Step::Watch(None);
                }
                self.claim_at(now, since + PREEMPT_AFTER, Why::HolderNoCandidate)
            }
            Standing::Vacant(why) => {
                let since = *self.vacant_since.get_or_insert(now);
                self.claim_at(now, since + PATIENCE * self.rank(situation), why)
            }
        }
    }

    fn claim_at(&self, now: Instant, at: Instant, why: Why) -> Step {
        match self.heard.checked_add(1) {
            Some(epoch) if at <= now => Step::Claim { epoch, why },
            Some(_) => Step::Watch(Some(at)),
            // Somebody claimed with the last epoch there is; no newer claim is possible.
            None => Step::Watch(None),
        }
    }

    fn standing(&self, at: IpAddr, situation: &Situation<'_>) -> Standing {
        let holder = self.newest_live(at, situation.peers);
        if let Some(until) = self.promised(at, holder, situation) {
            return Standing::HeldUntil(until);
        }
        let Some((station, heard)) = holder else {
            return Standing::Vacant(if !self.claims.is_empty() {
                Why::HolderSilent
            } else if self.heard > 0 {
                Why::HolderGone
            } else {
                Why::NeverHeld
            });
        };
        let is_leaving = situation.peers.get(station).is_some_and(Peer::is_leaving);
        let is_candidate = self.candidacy.as_ref().is_some_and(|mine| mine.order.contains(station));
        match heard.released_at.map(|released| released + RELEASE_GRACE) {
            _ if is_leaving => Standing::Vacant(Why::HolderReleased),
            Some(until) if is_candidate && until > situation.now => Standing::HeldUntil(until),
            Some(_) => Standing::Vacant(Why::HolderReleased),
            None if is_candidate => Standing::Held,
            None => Standing::Misplaced,
        }
    }

    /// Until when a promise stands for the claim of somebody not heard yet.
    fn promised(
        &self,
        at: IpAddr,
        holder: Option<(&Station, &Heard)>,
        situation: &Situation<'_>,
    ) -> Option<Instant> {
        let promise = self.promise.as_ref().filter(|promise| promise.until > situation.now)?;
        let is_able = situation.peers.get(&promise.to).is_some_and(Peer::is_able);
        let is_newest = holder.is_none_or(|(station, heard)| {
            is_newer(at, (promise.epoch, &promise.to), (heard.epoch, station))
        });
        (is_able && is_newest).then_some(promise.until)
    }

    /// How many live candidates are ahead of me.
    ///
    /// A candidate that is starting is passed over, it does not know yet whether it may claim. But
    /// an address that nobody ever held is in no hurry, and the first in order should get it.
    fn rank(&self, situation: &Situation<'_>) -> u32 {
        let is_new = self.heard == 0;
        let counts = |station: &Station| {
            let has_released =
                self.claims.get(station).is_some_and(|heard| heard.released_at.is_some());
            situation
                .peers
                .get(station)
                .is_some_and(|peer| peer.is_able() && (is_new || !peer.is_starting()))
                && !has_released
        };
        let order = self.candidacy.iter().flat_map(|mine| &mine.order);
        let ahead = order.take_while(|station| *station != situation.me);
        ahead.filter(|station| counts(station)).fold(0, |rank, _| rank + 1)
    }

    /// Takes note of a step that was taken.
    pub(super) fn done(&mut self, step: &Step) {
        let held = |epoch, is_released| Some(Mine { epoch, is_released });
        match *step {
            Step::Claim { epoch, .. } => {
                self.mine = held(epoch, false);
                self.heard = self.heard.max(epoch);
                self.is_lost = false;
                self.vacant_since = None;
                self.misplaced_since = None;
            }
            Step::Keep { epoch } => self.mine = held(epoch, false),
            Step::Release { epoch } => self.mine = held(epoch, true),
            Step::Drop { .. } => self.mine = None,
            Step::Yield { .. } => {
                self.mine = None;
                self.is_lost = true;
            }
            Step::Wait(_) | Step::Watch(_) => (),
        }
    }

    /// Whether somebody else could take it over now.
    pub(super) fn has_heir(&self, peers: &BTreeMap<Station, Peer>) -> bool {
        let mut order = self.candidacy.iter().flat_map(|candidacy| &candidacy.order);
        order.any(|station| peers.get(station).is_some_and(Peer::is_able))
    }
}
