//! Answers ARP and NDP for a set of addresses on one interface.
//!
//! Feed it with [`Responder::handle`], then drain [`Responder::poll`] until `None`, then sleep
//! until [`Responder::deadline`].
//!
//! It does as it is told. Who else holds an address is decided elsewhere; what it hears of that it
//! reports as [`Heard`]. Only one decision is its own: with [`DuplicateProbe::Strict`] it does not
//! begin to answer for an address that another station has.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::asked::Asked;
use super::burst::{Bursts, Due, DuplicateProbe, Schedule, announcement_frames};
use super::groups::Groups;
use super::packet::{self, Packet};
use super::{Heard, Ignored, Mac, Voice};
use crate::time::Instant;

/// Outputs that may wait to be polled. A peer that asks faster than the driver drains loses
/// answers, which it asks for again; memory does not grow.
const OUTPUTS_WAITING: usize = 1_024;

/// After another station had objected to it, an address is asked for again after this time
/// (`RATE_LIMIT_INTERVAL` of RFC 5227 section 1.1).
pub const PROBE_AGAIN: Duration = Duration::from_secs(60);

/// An address that is held is defended at most once in this time (`DEFEND_INTERVAL` of RFC 5227
/// section 1.1): two stations that both defend it would otherwise flood the LAN.
pub const DEFEND_INTERVAL: Duration = Duration::from_secs(10);

/// What happened.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// Whether and how the interface answers for an address from now on. Saying the same again
    /// changes nothing.
    Answer {
        /// The address.
        address: IpAddr,
        /// How it answers; `None`: it does not.
        voice: Option<Voice>,
        /// How the address came here, when it was not here before.
        arrival: Arrival,
        /// When the address is announced.
        schedule: Schedule,
    },
    /// Whether the driver wants to hear of questions for an address that is not answered for.
    Follow {
        /// The address.
        address: IpAddr,
        /// Whether it does.
        is_followed: bool,
    },
    /// The interface received a frame.
    Frame(&'a [u8]),
    /// A station is to be asked whether it has an address. The answer is [`Heard::Answer`].
    Ask {
        /// The address.
        address: IpAddr,
        /// The station.
        mac: Mac,
    },
    /// An address is to be announced again, from the first round of a burst. Nothing if the
    /// interface does not answer for it with its own voice.
    Announce {
        /// The address.
        address: IpAddr,
    },
    /// Another station has announced an address that is to stay here: it is announced once, but not
    /// twice in [`DEFEND_INTERVAL`].
    Defend {
        /// The address.
        address: IpAddr,
    },
    /// The interface has this Ethernet address now. If it is another, all is announced again.
    Mac(Mac),
    /// The interface has these addresses of its own. Questions are sent from them.
    Own(Vec<IpAddr>),
    /// The interface has a carrier again: whoever is behind it has not heard of any claim.
    LinkUp,
    /// [`Responder::deadline`] has come. Harmless when it has not.
    Timeout,
}

/// How an address comes to an interface.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Arrival {
    /// Nobody was ever known to hold it: a foreign host might.
    First(DuplicateProbe),
    /// Another node held it, and the LAN is to be told. Nobody is asked: a failover never waits.
    TakenOver,
    /// It was here before, and nobody believes anything else: nothing is announced.
    Resumed,
}

/// What is to be done or to be known.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Send this Ethernet frame.
    Frame(Vec<u8>),
    /// The frame before is an answer.
    Answered {
        /// The address that was asked for.
        address: IpAddr,
        /// The station that asked.
        to: Mac,
    },
    /// The frames before announce an address.
    Announced {
        /// The address.
        address: IpAddr,
        /// How many they are.
        frames: u32,
    },
    /// What somebody else said.
    Heard(Heard),
    /// The interface is to be in this multicast group, or it will not be asked.
    Join(Ipv6Addr),
    /// The interface needs the group no more.
    Leave(Ipv6Addr),
}

/// An address that is answered for.
#[derive(Debug)]
struct Claim {
    voice: Voice,
    schedule: Schedule,
    state: State,
    defended: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Answering,
    /// The LAN is asked first, [`DuplicateProbe::Strict`].
    Probing,
    /// It objected.
    Refused,
}

/// Answers and announces the addresses of one interface.
#[derive(Debug)]
pub struct Responder {
    mac: Mac,
    own: Vec<IpAddr>,
    claims: BTreeMap<IpAddr, Claim>,
    followed: BTreeSet<IpAddr>,
    groups: Groups,
    asked: Asked,
    bursts: Bursts,
    /// What waits to be polled, and the address it is about.
    outputs: VecDeque<(IpAddr, Output)>,
    ignored: BTreeMap<Ignored, u64>,
}

impl Responder {
    /// A responder that answers for nothing, for an interface that has the address `mac`.
    pub fn new(mac: Mac) -> Self {
        Self {
            mac,
            own: Vec::new(),
            claims: BTreeMap::new(),
            followed: BTreeSet::new(),
            groups: Groups::default(),
            asked: Asked::default(),
            bursts: Bursts::new(),
            outputs: VecDeque::new(),
            ignored: Ignored::all().map(|cause| (cause, 0)).collect(),
        }
    }

    /// Takes in one event.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Answer { address, voice: Some(voice), arrival, schedule } => {
                self.claim(now, address, voice, arrival, schedule);
            }
            Input::Answer { address, voice: None, .. } => self.release(address),
            Input::Follow { address, is_followed: true } => self.follow(address),
            Input::Follow { address, is_followed: false } => self.unfollow(address),
            Input::Frame(bytes) => {
                if let Err(cause) = self.receive(now, bytes) {
                    *self.ignored.entry(cause).or_default() += 1;
                }
            }
            Input::Ask { address, mac } => {
                self.asked.note(now, address);
                let frame = packet::question(self.mac, mac, address, &self.own);
                self.outputs.push_back((address, Output::Frame(frame)));
            }
            Input::Announce { address } => self.announce_again(now, address),
            Input::Defend { address } => self.defend(now, address),
            Input::Mac(mac) if mac != self.mac => {
                self.mac = mac;
                // They tell of the former address. Whoever waits for an answer asks again.
                self.outputs.retain(|(_, output)| !is_frame(output));
                self.announce_all(now);
            }
            Input::Own(addresses) => self.own = addresses,
            Input::LinkUp => self.announce_all(now),
            Input::Mac(_) | Input::Timeout => (),
        }
        self.send_due(now);
    }

    /// Hands out what is to be done, until `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front().map(|(_, output)| output)
    }

    /// When to call [`Self::handle`] with [`Input::Timeout`] at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        self.bursts.deadline()
    }

    /// How many frames were ignored, by cause; each cause is there from the start.
    ///
    /// It is a table and not an [`Output`], because on a busy LAN nearly all frames are for
    /// others: those cost a lookup and an addition, and a driver reads the table when it wants.
    pub fn ignored(&self) -> &BTreeMap<Ignored, u64> {
        &self.ignored
    }

    fn claim(
        &mut self,
        now: Instant,
        address: IpAddr,
        voice: Voice,
        arrival: Arrival,
        schedule: Schedule,
    ) {
        let former = match self.claims.entry(address) {
            Entry::Occupied(mut entry) => {
                let claim = entry.get_mut();
                claim.schedule = schedule;
                Some(std::mem::replace(&mut claim.voice, voice))
            }
            Entry::Vacant(entry) => {
                let state = match (voice, arrival) {
                    (Voice::Own, Arrival::First(DuplicateProbe::Strict)) => State::Probing,
                    (Voice::Own | Voice::StandingInFor(_), _) => State::Answering,
                };
                entry.insert(Claim { voice, schedule, state, defended: None });
                None
            }
        };
        if former.is_none() {
            self.enter(address);
        }
        if former.is_some_and(|former| former != voice) {
            self.drop_frames(address);
        }
        match (voice, former) {
            (Voice::Own, Some(Voice::Own)) => self.bursts.refresh(now, address, schedule),
            (Voice::Own, Some(Voice::StandingInFor(_)) | None) => match arrival {
                // Who stood in for it answered for it already, so nobody need be asked.
                Arrival::First(probe) if former.is_none() => {
                    self.bursts.start(now, address, schedule, probe);
                }
                Arrival::First(_) | Arrival::TakenOver => {
                    self.bursts.start(now, address, schedule, DuplicateProbe::Off);
                }
                Arrival::Resumed => self.bursts.refresh(now, address, schedule),
            },
            (Voice::StandingInFor(_), _) => {
                self.bursts.stop(address);
                if let Some(claim) = self.claims.get_mut(&address) {
                    claim.state = State::Answering;
                }
            }
        }
    }

    fn release(&mut self, address: IpAddr) {
        if self.claims.remove(&address).is_some() {
            self.bursts.stop(address);
            self.drop_frames(address);
            self.exit(address);
        }
    }

    fn follow(&mut self, address: IpAddr) {
        if self.followed.insert(address) {
            self.enter(address);
        }
    }

    fn unfollow(&mut self, address: IpAddr) {
        if self.followed.remove(&address) {
            self.exit(address);
        }
    }

    fn enter(&mut self, address: IpAddr) {
        if let Some(group) = self.groups.enter(address) {
            self.outputs.push_back((address, Output::Join(group)));
        }
    }

    fn exit(&mut self, address: IpAddr) {
        if let Some(group) = self.groups.exit(address) {
            self.outputs.push_back((address, Output::Leave(group)));
        }
    }

    /// Takes back what was to be said about an address.
    fn drop_frames(&mut self, address: IpAddr) {
        self.outputs.retain(|(about, output)| *about != address || !is_frame(output));
    }

    fn announce_again(&mut self, now: Instant, address: IpAddr) {
        if let Some(claim) = self.claims.get(&address).filter(|claim| claim.is_own()) {
            self.bursts.start(now, address, claim.schedule, DuplicateProbe::Off);
        }
    }

    fn announce_all(&mut self, now: Instant) {
        for (address, claim) in self.claims.iter().filter(|(_, claim)| claim.is_own()) {
            self.bursts.start(now, *address, claim.schedule, DuplicateProbe::Off);
        }
    }

    fn defend(&mut self, now: Instant, address: IpAddr) {
        let Some(claim) = self.claims.get_mut(&address).filter(|claim| claim.is_own()) else {
            return;
        };
        if claim.defended.is_none_or(|last| now - last >= DEFEND_INTERVAL) {
            claim.defended = Some(now);
            self.announce(address);
        }
    }

    /// Sends what is due.
    fn send_due(&mut self, now: Instant) {
        while self.outputs.len() < OUTPUTS_WAITING
            && let Some((address, due)) = self.bursts.next(now)
        {
            if due != Due::Announcement {
                let frame = packet::probe(self.mac, address);
                self.outputs.push_back((address, Output::Frame(frame)));
            }
            if let Some(claim) = self.claims.get_mut(&address) {
                let is_question = due == Due::Question;
                claim.state = if is_question { State::Probing } else { State::Answering };
            }
            if due != Due::Question {
                self.announce(address);
            }
        }
    }

    fn announce(&mut self, address: IpAddr) {
        let frames = packet::announcement(self.mac, address).into_iter();
        self.outputs.extend(frames.map(|frame| (address, Output::Frame(frame))));
        let frames = announcement_frames(address);
        self.outputs.push_back((address, Output::Announced { address, frames }));
    }

    /// Does what a frame asks for and reports what it tells.
    ///
    /// # Errors
    ///
    /// If that is nothing.
    fn receive(&mut self, now: Instant, bytes: &[u8]) -> Result<(), Ignored> {
        let packet = Packet::decode(bytes)?;
        let claim = packet.claim();
        if packet.from() == self.mac || claim.is_some_and(|(_, mac)| mac == self.mac) {
            return Err(Ignored::OwnFrame);
        }
        if !packet.is_to(self.mac) && !packet.is_to_many() {
            return Err(Ignored::NotForThisStation);
        }
        let told = match claim {
            Some((address, mac)) => self.take_in(now, &packet, address, mac),
            None => Err(Ignored::NotARequest),
        };
        match packet.question() {
            Some((address, from)) => {
                let answered = self.answer(now, &packet, address, from);
                answered.or_else(|cause| told.map_err(|_| cause))
            }
            None => told,
        }
    }

    /// Reports that `mac` says to have `address`, if anybody wants to know.
    fn take_in(
        &mut self,
        now: Instant,
        packet: &Packet,
        address: IpAddr,
        mac: Mac,
    ) -> Result<(), Ignored> {
        let is_answer = packet.is_answer() && packet.is_to(self.mac);
        let heard = if is_answer && self.asked.is_awaited(now, address) {
            Heard::Answer { address, mac }
        } else if self.is_known(address) {
            Heard::Announcement { address, mac }
        } else {
            return Err(Ignored::NotARequest);
        };
        if mac.is_group() {
            return Err(Ignored::SenderIsAGroup);
        }
        self.refuse(now, address);
        self.report(address, heard)
    }

    /// Answers `packet`, in which `from` asks for `address`, or reports it.
    fn answer(
        &mut self,
        now: Instant,
        packet: &Packet,
        address: IpAddr,
        from: Mac,
    ) -> Result<(), Ignored> {
        if !self.is_known(address) {
            return Err(Ignored::NotClaimed);
        }
        if from.is_group() {
            return Err(Ignored::SenderIsAGroup);
        }
        let Some(claim) = self.claims.get(&address) else {
            return self.report(address, Heard::Question { address, from });
        };
        if claim.state != State::Answering {
            if packet.is_probe() {
                // Both want it: neither gets it (RFC 5227 section 2.1.1, RFC 4862 section 5.4.3).
                self.refuse(now, address);
            }
            return Err(Ignored::NotYetClaimed);
        }
        let mac = match claim.voice {
            Voice::Own => self.mac,
            Voice::StandingInFor(mac) => mac,
        };
        if self.outputs.len() >= OUTPUTS_WAITING {
            return Err(Ignored::Overrun);
        }
        self.outputs.push_back((address, Output::Frame(packet.answer(self.mac, mac))));
        self.outputs.push_back((address, Output::Answered { address, to: from }));
        Ok(())
    }

    fn is_known(&self, address: IpAddr) -> bool {
        self.claims.contains_key(&address) || self.followed.contains(&address)
    }

    /// Does not begin to answer for an address that somebody else has, and asks again later.
    fn refuse(&mut self, now: Instant, address: IpAddr) {
        let claim = self.claims.get_mut(&address);
        if let Some(claim) = claim.filter(|claim| claim.state == State::Probing) {
            claim.state = State::Refused;
            self.bursts.probe_at(now + PROBE_AGAIN, address, claim.schedule);
        }
    }

    fn report(&mut self, address: IpAddr, heard: Heard) -> Result<(), Ignored> {
        if self.outputs.len() >= OUTPUTS_WAITING {
            return Err(Ignored::Overrun);
        }
        self.outputs.push_back((address, Output::Heard(heard)));
        Ok(())
    }
}

impl Claim {
    /// Whether it may be announced.
    fn is_own(&self) -> bool {
        self.voice == Voice::Own && self.state == State::Answering
    }
}

/// Whether an output is about a frame, and so of no use when what the frame says is over.
fn is_frame(output: &Output) -> bool {
    match output {
        Output::Frame(_) | Output::Answered { .. } | Output::Announced { .. } => true,
        Output::Heard(_) | Output::Join(_) | Output::Leave(_) => false,
    }
}

#[cfg(test)]
mod tests;
