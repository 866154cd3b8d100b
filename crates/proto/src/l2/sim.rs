//! A LAN of hosts with ARP caches and of responders, in simulated time.
//!
//! The LAN is a hub: every frame reaches every other station one [`LATENCY`] later, so responders
//! also see what is not for them. Hosts do with their caches what Linux does (`arp_process`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::arp::{self, Operation};
use super::burst::{FIRST, LATER};
use super::{Arrival, Ignored, Input, Mac, Output, Responder, Schedule, Voice};
use crate::time::{Instant, earliest};

const LATENCY: Duration = Duration::from_millis(1);

/// How long Linux sticks to what it learned, against all but announcements in the request form: in
/// the reply form it wants the sender's hardware address as the target's too (`arp_is_garp`).
const LOCK_TIME: Duration = Duration::from_secs(1);

/// Rounds of the default schedule.
const ROUNDS: usize = 6;

const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const A: usize = 0;
const B: usize = 1;

/// One of many addresses.
fn numbered(n: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(198, 18, 0, 0).to_bits() + n)
}

/// A station that wants to send to addresses on the LAN.
struct Host {
    mac: Mac,
    address: Ipv4Addr,
    cache: BTreeMap<Ipv4Addr, Entry>,
}

struct Entry {
    mac: Option<Mac>,
    updated: Instant,
}

impl Host {
    /// Learns from a frame if it has an entry to update; others' news are no reason to make one.
    fn receive(&mut self, now: Instant, frame: &[u8]) {
        let packet = arp::decode(frame).unwrap();
        if packet.frame_to != self.mac && packet.frame_to != Mac::BROADCAST {
            return;
        }
        let Some(entry) = self.cache.get_mut(&packet.sender) else { return };
        let is_announced = packet.is_announcement() && packet.operation == Operation::Request;
        if is_announced || entry.mac.is_none() || now - entry.updated > LOCK_TIME {
            *entry = Entry { mac: Some(packet.sender_mac), updated: now };
        }
    }
}

/// A frame under way.
struct Flight {
    arrives: Instant,
    from: Mac,
    frame: Vec<u8>,
}

struct Lan {
    now: Instant,
    hosts: Vec<Host>,
    responders: Vec<(Mac, Responder)>,
    wire: VecDeque<Flight>,
    /// How many of the next frames get lost.
    losing: usize,
    /// When each announcement round was sent, and for which address.
    announced: Vec<(Instant, IpAddr)>,
    /// When each frame of a responder was sent.
    sent: Vec<Instant>,
}

impl Lan {
    /// A LAN with one host and the responders A and B.
    fn new() -> Self {
        let responder = |last| {
            let mac = Mac([2, 0, 0, 0, 0, last]);
            (mac, Responder::new(mac))
        };
        let host = Host {
            mac: Mac([2, 0, 0, 0, 0, 0x99]),
            address: Ipv4Addr::new(192, 0, 2, 99),
            cache: BTreeMap::new(),
        };
        Self {
            now: Instant::START,
            hosts: vec![host],
            responders: vec![responder(0xa), responder(0xb)],
            wire: VecDeque::new(),
            losing: 0,
            announced: vec![],
            sent: vec![],
        }
    }

    /// The address is claimed by A, long announced, and the host's cache has it.
    fn settled_at_a() -> Self {
        let mut lan = Self::new();
        lan.claim(A, [VIP]);
        lan.run_for(Duration::from_secs(10));
        lan.ask(VIP);
        lan.run_for(Duration::from_secs(10));
        assert_eq!(lan.believes(VIP), Some(lan.responders[A].0));
        lan
    }

    fn claim(&mut self, who: usize, addresses: impl IntoIterator<Item = Ipv4Addr>) {
        addresses.into_iter().for_each(|address| self.answer(who, address, Some(Voice::Own)));
    }

    fn release(&mut self, who: usize) {
        self.answer(who, VIP, None);
    }

    fn answer(&mut self, who: usize, address: Ipv4Addr, voice: Option<Voice>) {
        let (address, schedule) = (address.into(), Schedule::default());
        let arrival = Arrival::TakenOver;
        self.step(who, &Input::Answer { address, voice, arrival, schedule });
    }

    /// Moves the address from A to B.
    fn move_to_b(&mut self) {
        self.release(A);
        self.claim(B, [VIP]);
    }

    /// The host broadcasts a request, as it does when it has something to send.
    fn ask(&mut self, target: Ipv4Addr) {
        let host = &mut self.hosts[0];
        host.cache.entry(target).or_insert(Entry { mac: None, updated: self.now });
        let (from, frame) = (host.mac, arp::request(host.mac, host.address, target));
        self.send(from, frame.to_vec());
    }

    /// Where the host would send packets for `address`.
    fn believes(&self, address: Ipv4Addr) -> Option<Mac> {
        self.hosts[0].cache.get(&address)?.mac
    }

    /// Lets simulated time pass, waking each responder exactly when it asked to be woken.
    fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) = self.next_event().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            while let Some(flight) = self.wire.pop_front_if(|flight| flight.arrives <= at) {
                self.deliver(&flight);
            }
            for who in 0..self.responders.len() {
                self.step(who, &Input::Timeout);
            }
        }
        self.now = end;
    }

    fn next_event(&self) -> Option<Instant> {
        let wakeups = self.responders.iter().map(|(_, responder)| responder.deadline());
        earliest(wakeups.chain([self.wire.front().map(|flight| flight.arrives)]))
    }

    fn deliver(&mut self, flight: &Flight) {
        for host in self.hosts.iter_mut().filter(|host| host.mac != flight.from) {
            host.receive(self.now, &flight.frame);
        }
        for who in 0..self.responders.len() {
            if self.responders[who].0 != flight.from {
                self.step(who, &Input::Frame(&flight.frame));
            }
        }
    }

    fn step(&mut self, who: usize, input: &Input<'_>) {
        self.responders[who].1.handle(self.now, input.clone());
        while let Some(output) = self.responders[who].1.poll() {
            match output {
                Output::Frame(frame) => {
                    self.sent.push(self.now);
                    self.send(self.responders[who].0, frame);
                }
                Output::Announced { address, .. } => self.announced.push((self.now, address)),
                Output::Answered { .. } | Output::Heard(_) | Output::Join(_) | Output::Leave(_) => {
                }
            }
        }
        let deadline = self.responders[who].1.deadline();
        assert!(deadline.is_none_or(|at| at > self.now), "what was due is done");
    }

    fn send(&mut self, from: Mac, frame: Vec<u8>) {
        if self.losing > 0 {
            self.losing -= 1;
            return;
        }
        self.wire.push_back(Flight { arrives: self.now + LATENCY, from, frame });
    }
}

#[test]
fn a_host_that_asks_learns_the_address() {
    let mut lan = Lan::new();
    lan.claim(A, [VIP]);
    lan.run_for(Duration::from_secs(10));
    assert_eq!(lan.believes(VIP), None, "nobody keeps what it did not ask for");
    lan.ask(VIP);
    lan.run_for(2 * LATENCY);
    assert_eq!(lan.believes(VIP), Some(lan.responders[A].0));
}

#[test]
fn nobody_answers_for_an_address_without_a_claim() {
    let mut lan = Lan::settled_at_a();
    lan.ask(Ipv4Addr::new(192, 0, 2, 11));
    lan.run_for(Duration::from_secs(1));
    assert_eq!(lan.believes(Ipv4Addr::new(192, 0, 2, 11)), None);
}

#[test]
fn a_cache_follows_the_claim_with_the_first_frame() {
    let mut lan = Lan::settled_at_a();
    lan.move_to_b();
    lan.run_for(LATENCY);
    assert_eq!(lan.believes(VIP), Some(lan.responders[B].0));
    lan.run_for(Duration::from_secs(60));
    assert_eq!(lan.believes(VIP), Some(lan.responders[B].0), "and stays");
}

#[test]
fn a_cache_that_has_just_learned_follows_too() {
    let mut lan = Lan::settled_at_a();
    lan.run_for(Duration::from_secs(60));
    lan.ask(VIP);
    lan.run_for(2 * LATENCY);
    lan.move_to_b();
    lan.run_for(LATENCY);
    assert_eq!(lan.believes(VIP), Some(lan.responders[B].0));
}

#[test]
fn a_lost_first_round_costs_less_than_60_ms() {
    for losing in 1..=2 {
        let mut lan = Lan::settled_at_a();
        lan.losing = losing;
        lan.move_to_b();
        lan.run_for(Duration::from_millis(60));
        assert_eq!(lan.believes(VIP), Some(lan.responders[B].0), "{losing} frames lost");
    }
}

#[test]
fn two_lost_rounds_cost_little_more_than_a_second() {
    let mut lan = Lan::settled_at_a();
    lan.losing = 4;
    lan.move_to_b();
    lan.run_for(Duration::from_millis(1_000));
    assert_eq!(lan.believes(VIP), Some(lan.responders[A].0), "nobody told the host yet");
    lan.run_for(Duration::from_millis(110));
    assert_eq!(lan.believes(VIP), Some(lan.responders[B].0));
}

#[test]
fn while_both_claim_it_the_latest_announcement_counts_and_they_do_not_argue() {
    let mut lan = Lan::settled_at_a();
    lan.sent.clear();
    lan.claim(B, [VIP]);
    lan.run_for(Duration::from_secs(10));
    assert_eq!(lan.believes(VIP), Some(lan.responders[B].0));
    assert_eq!(lan.sent.len(), 2 * ROUNDS, "B's burst and no answer of A to it");
    lan.release(A);
    lan.run_for(Duration::from_secs(10));
    assert_eq!(lan.believes(VIP), Some(lan.responders[B].0), "no goodbye that undoes it");
}

#[test]
fn two_claims_at_once_are_both_announced_at_once() {
    let mut lan = Lan::new();
    let addresses = [VIP, Ipv4Addr::new(192, 0, 2, 11)];
    lan.claim(A, addresses);
    assert_eq!(lan.announced, addresses.map(|address| (Instant::START, address.into())));
    lan.run_for(Duration::from_secs(10));
    assert_eq!(lan.announced.len(), 2 * ROUNDS);
}

#[test]
fn a_storm_of_questions_for_others_costs_no_frame() {
    let mut lan = Lan::settled_at_a();
    lan.sent.clear();
    for n in 0..10_000 {
        lan.ask(numbered(n));
    }
    lan.run_for(Duration::from_secs(1));
    assert_eq!(lan.sent, []);
    let ignored = lan.responders[A].1.ignored();
    assert_eq!(ignored[&Ignored::NotClaimed], 10_000);
}

#[test]
fn thousands_of_claims_stay_under_the_ceilings_and_are_announced_in_the_times_stated() {
    for (count, once) in [(1_000, 110), (10_000, 1_300)] {
        let mut lan = Lan::new();
        // Silence before must not add up to a flood.
        lan.run_for(Duration::from_secs(3_600));
        lan.claim(A, (0..count).map(numbered));
        lan.run_for(Duration::from_millis(once));
        let heard: BTreeSet<_> = lan.announced.iter().map(|(_, address)| *address).collect();
        assert_eq!(heard.len(), usize::try_from(count).unwrap(), "each once");
        assert_under(FIRST.per_second + LATER.per_second, &lan.sent);
    }
}

#[test]
fn a_thousand_addresses_are_announced_again_under_a_lower_ceiling() {
    let mut lan = Lan::new();
    lan.claim(A, (0..1_000).map(numbered));
    lan.run_for(Duration::from_millis(110));
    lan.sent.clear();
    lan.run_for(Duration::from_millis(5_300 - 110));
    assert_eq!(lan.announced.len(), 6_000, "each six times");
    assert_eq!(lan.responders[A].1.deadline(), None);
    assert_under(LATER.per_second, &lan.sent);
}

/// There are not more frames within any second.
fn assert_under(ceiling: u32, frames: &[Instant]) {
    let ceiling = usize::try_from(ceiling).unwrap();
    let mut more = frames.windows(ceiling + 1);
    assert!(more.all(|sent| sent[ceiling] - sent[0] >= Duration::from_secs(1)), "{ceiling}");
}
