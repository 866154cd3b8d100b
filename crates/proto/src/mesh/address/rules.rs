//! The rules for one address: from the claims, the facts and the clock to one step.

use std::net::IpAddr;
use std::time::Duration;

use super::{Address, Claimed, Mine, Situation, is_first, is_newer};
use crate::mesh::Station;
use crate::mesh::ownership::{Fencing, OnConflict, Settings, Why};
use crate::mesh::peer::{Fate, Peer};
use crate::time::Instant;

/// In tenths of the close interval: how long each candidate waits for every live one ahead of it.
const PATIENCE: u32 = 10;

/// The same where nothing is in a hurry: nobody ever held the address and the first in order should
/// get it, or others stand in and see their time end at slightly different moments.
const MORE_PATIENCE: u32 = 20;

/// Live candidates ahead that are counted at most. There may be a thousand.
const FURTHEST: usize = 40;

/// Who hears the LAN again after so long asks the holder anew before it claims, for so long.
const WARY: u32 = 20;

/// How long the holder's own release is left to those who agree with it about the candidates.
const RELEASE_GRACE: u32 = 40;

/// How long a live holder must be no candidate, or a worse one, before its claim is taken from it.
const PREEMPT_AFTER: u32 = 40;

/// The same for one who lost the address to a newer claim. Two nodes whose facts differ would take it
/// from one another; facts that differ for longer than this are an outage.
const PREEMPT_AGAIN: Duration = Duration::from_secs(30);

/// How long a peer that is heard only on the LAN may announce the same address before the hash
/// decides.
const RIVAL_AFTER: u32 = 40;

/// How long a claim that needs a majority waits, so that a holder without one has noticed.
const FENCE: u32 = 20;

/// How long a host's question shows that I hear the LAN.
const EVIDENCE: u32 = 30;

/// Why a holder stops answering, other than for a newer claim.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Dropping {
    /// The address is no longer to be announced.
    Gone,
    /// A host that is no speaker uses it, and the policy is to yield.
    Conflict,
    /// Less than a majority is heard, and the policy asks for one.
    NoQuorum,
}

impl Dropping {
    /// The value of a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Gone => "address_gone",
            Self::Conflict => "conflict",
            Self::NoQuorum => "no_quorum",
        }
    }
}

impl std::fmt::Display for Dropping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Gone => "no node is to announce it",
            Self::Conflict => "a host that is no speaker uses it",
            Self::NoQuorum => "no majority of the speakers is heard",
        })
    }
}

/// Why a holder wants somebody else to hold the address.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Releasing {
    /// It hears nothing from the LAN.
    Deaf,
    /// It is about to stop.
    Leaving,
    /// It is no candidate any more.
    NoCandidate,
    /// It is a candidate that cannot answer now.
    Unfit,
}

impl Releasing {
    /// The value of a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Deaf => "deaf",
            Self::Leaving => "leaving",
            Self::NoCandidate => "no_candidate",
            Self::Unfit => "unfit",
        }
    }
}

impl std::fmt::Display for Releasing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Deaf => "nothing is heard from the LAN",
            Self::Leaving => "the speaker is about to stop",
            Self::NoCandidate => "this node is no candidate any more",
            Self::Unfit => "this node cannot answer for it now",
        })
    }
}

/// What to do about an address.
#[derive(Debug)]
pub(in crate::mesh) enum Step {
    Claim {
        epoch: u64,
        why: Why,
    },
    /// Announce it again, if that is not too soon.
    Defend,
    Drop {
        epoch: u64,
        why: Dropping,
    },
    Keep {
        epoch: u64,
    },
    Release {
        epoch: u64,
        why: Releasing,
    },
    StandIn {
        holder: Station,
        epoch: u64,
    },
    StandDown {
        epoch: u64,
    },
    Yield {
        to: Station,
        epoch: u64,
    },
    /// As `Yield`, to a peer that only the LAN hears.
    YieldUnheard {
        to: Station,
        epoch: u64,
    },
    /// Nothing until then, or until something is heard about the address.
    Wait(Option<Instant>),
    /// As `Wait`, but a change of any peer may matter too.
    Watch(Option<Instant>),
    /// As `Watch`, and it would be claimed if the LAN answered.
    Seek,
}

/// How an address looks to somebody who does not hold it.
#[derive(Debug, Eq, PartialEq)]
enum Standing {
    /// Somebody who may holds it.
    Held,
    /// Left alone until then.
    HeldUntil(Instant),
    /// The holder's speaker is away and its node is not: answered for until then.
    Away(Instant),
    /// Its live holder is no candidate, or a worse one than I.
    Misplaced(Why),
    Vacant(Why),
}

impl Address {
    /// Decides. Called again after each step until it waits.
    pub(in crate::mesh) fn step(&mut self, at: IpAddr, situation: &Situation<'_>) -> Step {
        match self.mine {
            Some(mine) => self.step_as_holder(at, mine, situation),
            None => self.step_as_heir(at, situation),
        }
    }

    fn step_as_holder(&mut self, at: IpAddr, mine: Mine, situation: &Situation<'_>) -> Step {
        let epoch = mine.epoch;
        if let Some(Claimed { station, epoch: heard, .. }) = self.newest_live(at, situation.peers)
            && is_newer(at, (*heard, station), (epoch, situation.me))
        {
            return Step::Yield { to: station.clone(), epoch: *heard };
        }
        if let Some(why) = self.unwanted_by_all(situation) {
            return Step::Drop { epoch, why };
        }
        match (self.unwanted_here(situation), mine.is_released) {
            (None, true) => return Step::Keep { epoch },
            (Some(why), false) => return Step::Release { epoch, why },
            (None, false) | (Some(_), true) => (),
        }
        self.step_against_rival(at, epoch, situation)
    }

    /// Somebody whom only the LAN hears announces it too: the hash decides.
    fn step_against_rival(&mut self, at: IpAddr, epoch: u64, situation: &Situation<'_>) -> Step {
        let Some((rival, since)) = self.rival.take() else { return Step::Wait(None) };
        if situation.peers.get(&rival).is_none_or(|peer| !peer.is_silent()) {
            return Step::Wait(None);
        }
        let decided = since + situation.settings.tenths(RIVAL_AFTER);
        if decided > situation.now {
            self.rival = Some((rival, since));
            Step::Wait(Some(decided))
        } else if is_first(at, &rival, situation.me) {
            Step::YieldUnheard { to: rival, epoch }
        } else {
            Step::Defend
        }
    }

    /// Why nobody is to hold it, or I not even for a moment.
    fn unwanted_by_all(&self, situation: &Situation<'_>) -> Option<Dropping> {
        let Some(candidacy) = &self.candidacy else {
            return situation.has_facts.then_some(Dropping::Gone);
        };
        let is_foreign = self.foreign_until.is_some_and(|until| until > situation.now);
        if candidacy.order.is_empty() {
            Some(Dropping::Gone)
        } else if candidacy.policy.fencing == Fencing::Quorum && !situation.has_quorum {
            Some(Dropping::NoQuorum)
        } else {
            let yields = candidacy.policy.on_conflict == OnConflict::Yield;
            (is_foreign && yields).then_some(Dropping::Conflict)
        }
    }

    /// Why my own facts say that I should not hold it.
    fn unwanted_here(&self, situation: &Situation<'_>) -> Option<Releasing> {
        if situation.is_leaving {
            Some(Releasing::Leaving)
        } else if situation.is_deaf {
            Some(Releasing::Deaf)
        } else if self.candidacy.is_some() && self.my_place.is_none() {
            Some(Releasing::NoCandidate)
        } else {
            let is_unfit = self.candidacy.as_ref().is_some_and(|facts| !facts.is_fit);
            is_unfit.then_some(Releasing::Unfit)
        }
    }

    fn step_as_heir(&mut self, at: IpAddr, situation: &Situation<'_>) -> Step {
        let may_act = situation.is_started && self.candidacy.is_some();
        let standing = if may_act { self.standing(at, situation) } else { Standing::Held };
        if let Some(step) = self.step_as_stand_in(at, &standing, situation) {
            return step;
        }
        let may_claim = self.unwanted_here(situation).is_none()
            && self.unwanted_by_all(situation).is_none_or(|why| why == Dropping::NoQuorum);
        if !may_claim || !matches!(standing, Standing::Vacant(_)) {
            self.vacant_since = None;
            self.sought_since = None;
        }
        if !may_claim || !matches!(standing, Standing::Misplaced(_)) {
            self.misplaced_since = None;
        }
        let now = situation.now;
        match standing {
            Standing::Held => Step::Wait(None),
            Standing::HeldUntil(until) | Standing::Away(until) => Step::Watch(Some(until)),
            Standing::Misplaced(_) | Standing::Vacant(_) if !may_claim => Step::Watch(None),
            Standing::Misplaced(why) => {
                let since = *self.misplaced_since.get_or_insert(now);
                if self.rank(situation) > 0 {
                    return Step::Watch(None);
                }
                let patience = match self.is_lost {
                    true => PREEMPT_AGAIN,
                    false => situation.settings.tenths(PREEMPT_AFTER),
                };
                self.claim_at(since + patience, why, situation)
            }
            Standing::Vacant(why) => {
                let since = *self.vacant_since.get_or_insert(now);
                let is_in_no_hurry = self.is_new() || why == Why::StandInOver;
                let each = if is_in_no_hurry { MORE_PATIENCE } else { PATIENCE };
                let each = situation.settings.tenths(each).max(self.pace_of_holder(at, situation));
                let patience = each * self.rank(situation);
                self.claim_at(since + patience, why, situation)
            }
        }
    }

    /// How often the holder spoke to me, if that was close: those ahead of me may have heard it last
    /// so much later than I.
    fn pace_of_holder(&self, at: IpAddr, situation: &Situation<'_>) -> Duration {
        let holder = self.holder(at, situation);
        let peer = holder.and_then(|claimed| situation.peers.get(&claimed.station));
        let pace = peer.map_or(Duration::ZERO, Peer::interval);
        if pace <= Settings::WIDE.close_interval { pace } else { Duration::ZERO }
    }

    /// Begins or ends to stand in. It goes on while those who may claim wait for one another.
    fn step_as_stand_in(
        &self,
        at: IpAddr,
        standing: &Standing,
        situation: &Situation<'_>,
    ) -> Option<Step> {
        let holder = self.holder(at, situation);
        let epoch = holder.map_or(0, |claimed| claimed.epoch);
        match (standing, holder, &self.standing_in) {
            (Standing::Vacant(Why::StandInOver), _, _) => None,
            (Standing::Away(_), Some(claimed), current) => {
                let station = &claimed.station;
                match (self.stands_in(at, station, situation), current) {
                    (true, Some(current)) if current == station => None,
                    (_, Some(_)) => Some(Step::StandDown { epoch }),
                    (true, None) => Some(Step::StandIn { holder: station.clone(), epoch }),
                    (false, None) => None,
                }
            }
            (_, _, Some(_)) => Some(Step::StandDown { epoch }),
            (_, _, None) => None,
        }
    }

    fn claim_at(&mut self, at: Instant, why: Why, situation: &Situation<'_>) -> Step {
        let settings = &situation.settings;
        let is_fenced =
            self.candidacy.as_ref().is_some_and(|it| it.policy.fencing == Fencing::Quorum);
        let at = if is_fenced { at + settings.tenths(FENCE) } else { at };
        // Somebody claimed with the last epoch there is; no newer claim is possible.
        let Some(epoch) = self.heard.max(self.highest()).checked_add(1) else {
            return Step::Watch(None);
        };
        let was_asked = |asked: Instant| situation.now < asked + settings.tenths(EVIDENCE);
        if at > situation.now {
            Step::Watch(Some(at))
        } else if is_fenced && !situation.hears_majority() {
            // Everybody is asked to be heard closely now.
            Step::Watch(Some(situation.now + settings.tenths(PATIENCE)))
        } else if !situation.has_evidence && !self.asked_at.is_some_and(was_asked) {
            self.sought_since.get_or_insert(situation.now);
            Step::Seek
        } else {
            let wary = settings.tenths(WARY);
            if self.sought_since.take().is_some_and(|since| situation.now - since > wary) {
                self.wary_until = Some(situation.now + wary);
            }
            match self.wary_until.filter(|until| *until > situation.now) {
                Some(until) => Step::Watch(Some(until)),
                None => Step::Claim { epoch, why },
            }
        }
    }

    fn standing(&self, at: IpAddr, situation: &Situation<'_>) -> Standing {
        let holder = self.holder(at, situation);
        if let Some(until) = self.promised(at, holder, situation) {
            return Standing::HeldUntil(until);
        }
        if let Some(until) = self.foreign_until.filter(|until| *until > situation.now) {
            return Standing::HeldUntil(until);
        }
        match holder {
            Some(claimed) => match situation.peers.get(&claimed.station) {
                Some(peer) => self.standing_of(claimed, peer, situation),
                None => Standing::Vacant(Why::HolderGone),
            },
            None if self.is_remembered => Standing::Vacant(Why::Remembered),
            None if self.heard > 0 => Standing::Vacant(Why::HolderGone),
            None => Standing::Vacant(Why::NeverHeld),
        }
    }

    fn standing_of(&self, claimed: &Claimed, peer: &Peer, situation: &Situation<'_>) -> Standing {
        // A speaker that is starting may have gone on with its claim, whatever else it awaits.
        let goes_on =
            claimed.life == Some(peer.life()) && !peer.is_silent() && !peer.flags.is_restarting;
        match peer.fate {
            _ if goes_on => self.standing_of_live(claimed, peer, situation),
            Fate::Present => self.standing_of_live(claimed, peer, situation),
            Fate::Unheard | Fate::Unknown => Standing::Held,
            Fate::SpeakerGone if claimed.released_at.is_some() => {
                Standing::Vacant(Why::HolderReleased)
            }
            Fate::SpeakerGone => {
                let limit = self.candidacy.as_ref().map(|facts| facts.policy.stand_in_time);
                let since = peer.away_since().unwrap_or(situation.now);
                match since + limit.unwrap_or_default() {
                    until if until > situation.now => Standing::Away(until),
                    _ => Standing::Vacant(Why::StandInOver),
                }
            }
            Fate::Dead => Standing::Vacant(Why::HolderSilent),
        }
    }

    fn standing_of_live(
        &self,
        claimed: &Claimed,
        peer: &Peer,
        situation: &Situation<'_>,
    ) -> Standing {
        let Some(facts) = &self.candidacy else { return Standing::Held };
        let candidate = facts.candidate(&claimed.station);
        let will_not_change = peer.flags.is_leaving || peer.flags.is_deaf || candidate.is_none();
        let grace = situation.settings.tenths(RELEASE_GRACE);
        match claimed.released_at.map(|released| released + grace) {
            Some(until) if !will_not_change && until > situation.now => Standing::HeldUntil(until),
            Some(_) => Standing::Vacant(Why::HolderReleased),
            None if peer.flags.is_leaving => Standing::Vacant(Why::HolderReleased),
            None => match (candidate, self.my_place.and_then(|place| facts.order.get(place))) {
                (None, _) => Standing::Misplaced(Why::HolderNoCandidate),
                (Some(holder), Some(me)) if me.score > holder.score => {
                    Standing::Misplaced(Why::Preferred)
                }
                (Some(_), Some(_)) if !facts.policy.is_sticky => {
                    let mut ahead = facts.order.iter().take(self.my_place.unwrap_or(0));
                    match ahead.any(|candidate| candidate.station == claimed.station) {
                        true => Standing::Held,
                        false => Standing::Misplaced(Why::Preferred),
                    }
                }
                (Some(_), _) => Standing::Held,
            },
        }
    }

    /// Until when a promise stands for the claim of somebody not heard yet.
    fn promised(
        &self,
        at: IpAddr,
        holder: Option<&Claimed>,
        situation: &Situation<'_>,
    ) -> Option<Instant> {
        let promise = self.promise.as_ref().filter(|promise| promise.until > situation.now)?;
        let is_able = situation.peers.get(&promise.to).is_some_and(Peer::is_able);
        let is_newest = holder.is_none_or(|claimed| {
            is_newer(at, (promise.epoch, &promise.to), (claimed.epoch, &claimed.station))
        });
        (is_able && is_newest).then_some(promise.until)
    }

    /// Whether nobody was ever heard to hold it.
    fn is_new(&self) -> bool {
        self.heard == 0 && self.claims.is_empty()
    }

    /// How many live candidates are ahead of me.
    ///
    /// A candidate that is starting is passed over, since it does not know yet whether it may claim;
    /// but not for an address that nobody ever held.
    fn rank(&self, situation: &Situation<'_>) -> u32 {
        if self.is_remembered {
            return 0;
        }
        let is_new = self.is_new();
        let counts = |station: &Station| {
            let claimed = self.claim_of(station);
            let has_released = claimed.is_some_and(|claimed| claimed.released_at.is_some());
            situation
                .peers
                .get(station)
                .is_some_and(|peer| if is_new { peer.is_able() } else { peer.is_ready() })
                && !has_released
        };
        let order = self.candidacy.iter().flat_map(|facts| facts.order.iter());
        let ahead = order.take(self.my_place.unwrap_or(0)).map(|candidate| &candidate.station);
        ahead.filter(|station| counts(station)).take(FURTHEST).fold(0, |rank, _| rank + 1)
    }

    /// Takes note of a step that was taken.
    pub(in crate::mesh) fn done(&mut self, step: &Step) {
        let held = |epoch, is_released| Some(Mine { epoch, is_released });
        match step {
            Step::Claim { epoch, .. } => {
                self.mine = held(*epoch, false);
                self.heard = self.heard.max(*epoch);
                self.is_lost = false;
                self.is_remembered = false;
                self.standing_in = None;
                self.vacant_since = None;
                self.misplaced_since = None;
            }
            Step::Keep { epoch } => self.mine = held(*epoch, false),
            Step::Release { epoch, .. } => self.mine = held(*epoch, true),
            Step::Drop { .. } => self.mine = None,
            Step::Yield { .. } => {
                self.mine = None;
                self.is_lost = true;
            }
            Step::YieldUnheard { to, epoch } => {
                self.mine = None;
                self.is_lost = true;
                self.hear_of_claim(to, *epoch);
            }
            Step::StandIn { holder, .. } => self.standing_in = Some(holder.clone()),
            Step::StandDown { .. } => self.standing_in = None,
            Step::Defend | Step::Wait(_) | Step::Watch(_) | Step::Seek => (),
        }
    }
}
