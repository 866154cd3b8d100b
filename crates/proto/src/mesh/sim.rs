//! Speakers on a virtual clock, joined by a mesh and a LAN that delay, lose and cut.
//!
//! The engines are the real ones and speak in real bytes; only the clock, the wires, the facts and
//! the clients are simulated. What is measured is taken from outside: how long an address went
//! unanswered, how long it was in two hands, how often it moved, what its clients noticed.

mod faults;
mod lan;
mod reference;
mod rules;
mod scale;
mod scenarios;
mod tally;
mod weather;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Station;
use super::message::Message;
use super::ownership::{Candidacy, Candidate, Input, Output, Ownership, Policy};
use super::ownership::{Settings, Why};
use crate::l2::Mac;
use crate::time::Instant;
use lan::{Lan, Wire};
use tally::Tally;

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn station(index: usize) -> Station {
    Station::new(&format!("node-{index}")).unwrap()
}

/// The address with this number: 10.0.0.0 and what follows.
pub(super) fn address(number: u32) -> IpAddr {
    IpAddr::from((0x0a00_0000 + number).to_be_bytes())
}

/// Who may hold an address, by number of the node, and which scores they have.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Fact {
    pub(super) order: Vec<usize>,
    pub(super) scores: BTreeMap<usize, i64>,
    pub(super) policy: Policy,
}

impl Fact {
    pub(super) fn of(order: &[usize]) -> Self {
        Self { order: order.to_vec(), ..Self::default() }
    }
}

pub(super) type Facts = BTreeMap<IpAddr, Fact>;

/// The facts for one address.
pub(super) fn only(order: &[usize]) -> Facts {
    [(address(0), Fact::of(order))].into()
}

struct Node {
    engine: Option<Ownership>,
    /// When the engine asked to be woken.
    due: Option<Instant>,
    is_unfit: bool,
    facts: Option<Facts>,
    news: VecDeque<(Instant, Facts)>,
    /// The node has power; its speaker may be gone.
    is_up: bool,
    can_hear: bool,
    can_speak: bool,
    /// For whom its speaker answers.
    standing_in: BTreeMap<IpAddr, Mac>,
    /// Its interface has no carrier.
    is_unplugged: bool,
    /// Its wall clock, in microseconds at the start of time.
    clock: u64,
    /// A stopped speaker that comes back then, by itself.
    returns_at: Option<Instant>,
}

/// What is under way.
enum Flight {
    Datagram { from: usize, to: usize, bytes: Vec<u8> },
    Frame { to: usize, wire: Wire },
}

pub(super) struct Cluster {
    pub(super) now: Instant,
    /// Of each node, taken when its speaker starts.
    pub(super) settings: Vec<Settings>,
    nodes: Vec<Node>,
    names: Vec<Station>,
    numbers: BTreeMap<Station, usize>,
    flights: BTreeMap<(Instant, u64), Flight>,
    flown: u64,
    last_arrival: BTreeMap<(usize, usize), Instant>,
    /// Directions in which nothing passes.
    cut: BTreeSet<(usize, usize)>,
    loss_percent: u64,
    dice: u64,
    tallies: BTreeMap<IpAddr, Tally>,
    /// The addresses that each node knows of; none: all.
    known: Vec<BTreeSet<IpAddr>>,
    /// When engines asked to be woken.
    wakes: BTreeSet<(Instant, usize)>,
    lan: Lan,
    /// The longest datagram, and all bytes of all of them.
    pub(super) longest: usize,
    pub(super) bytes: usize,
    /// Datagrams of each node.
    pub(super) sent: Vec<u64>,
    pub(super) announced: Vec<(usize, IpAddr)>,
    pub(super) conflicts: Vec<(usize, IpAddr)>,
    remembered: BTreeMap<IpAddr, usize>,
}

impl Cluster {
    /// Nodes that were never started.
    pub(super) fn new(size: usize) -> Self {
        let node = |_| Node {
            engine: None,
            due: None,
            is_unfit: false,
            facts: None,
            news: VecDeque::new(),
            is_up: false,
            can_hear: true,
            can_speak: true,
            standing_in: BTreeMap::new(),
            is_unplugged: false,
            clock: 1_000_000_000,
            returns_at: None,
        };
        let names: Vec<_> = (0..size).map(station).collect();
        Self {
            now: Instant::START,
            settings: vec![Settings::DEFAULT; size],
            nodes: (0..size).map(node).collect(),
            numbers: names.iter().cloned().zip(0..).collect(),
            names,
            flights: BTreeMap::new(),
            flown: 0,
            last_arrival: BTreeMap::new(),
            cut: BTreeSet::new(),
            loss_percent: 0,
            dice: 0x9e37_79b9_7f4a_7c15,
            tallies: BTreeMap::new(),
            known: vec![BTreeSet::new(); size],
            wakes: BTreeSet::new(),
            lan: Lan::new(size),
            longest: 0,
            bytes: 0,
            sent: vec![0; size],
            announced: Vec::new(),
            conflicts: Vec::new(),
            remembered: BTreeMap::new(),
        }
    }

    /// Nodes that were started together, know `facts`, and have settled.
    pub(super) fn up(size: usize, facts: &Facts) -> Self {
        Self::new(size).settled(facts)
    }

    pub(super) fn settled(mut self, facts: &Facts) -> Self {
        for index in 0..self.size() {
            self.start(index);
        }
        self.tell(facts, |_| Duration::ZERO);
        self.run_for(Duration::from_secs(4));
        self.forget_the_past();
        self
    }

    pub(super) fn seeded(self, seed: u64) -> Self {
        Self { dice: self.dice ^ seed.wrapping_mul(0x2545_f491_4f6c_dd1d) | 1, ..self }
    }

    /// A number below `below`.
    pub(super) fn roll(&mut self, below: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        (self.dice >> 11) % below
    }

    // What happens to nodes.

    pub(super) fn size(&self) -> usize {
        self.nodes.len()
    }

    /// Whether the speaker runs.
    pub(super) fn is_up(&self, index: usize) -> bool {
        self.nodes[index].engine.is_some()
    }

    pub(super) fn start(&mut self, index: usize) {
        self.start_without_api(index);
        let hosts = |(number, name): (usize, &Station)| (name.clone(), vec![lan::host(number)]);
        let peers = self.names.iter().enumerate().map(hosts).collect();
        self.step(index, Input::Peers(peers));
        let named = self.remembered.iter().map(|(at, holder)| (*at, self.names[*holder].clone()));
        let remembered = named.collect();
        self.step(index, Input::Remembered(remembered));
        self.look(index);
    }

    /// Starts a speaker that knows only its own interfaces.
    pub(super) fn start_without_api(&mut self, index: usize) {
        // As the driver does it, from the wall clock.
        let micros = u64::try_from(self.now.since_start().as_micros()).unwrap();
        let incarnation = self.nodes[index].clock + micros;
        let engine = Ownership::new(self.names[index].clone(), incarnation, self.settings[index]);
        self.nodes[index].engine = Some(engine);
        self.nodes[index].is_up = true;
        self.nodes[index].returns_at = None;
        self.step(index, Input::Own(vec![lan::link(index)]));
        self.step(index, Input::Witnesses([lan::gateway()].into()));
    }

    /// The node loses power.
    pub(super) fn crash(&mut self, index: usize) {
        self.kill(index);
        self.nodes[index].is_up = false;
    }

    /// The speaker ends at once; its node goes on.
    pub(super) fn kill(&mut self, index: usize) {
        self.nodes[index].engine = None;
        self.wake_at(index, None);
        self.nodes[index].standing_in.clear();
        let is_whole = self.is_whole();
        for tally in self.tallies.values_mut() {
            if tally.hands.contains(&index) || tally.stand_ins.contains(&index) {
                tally.change(self.now, is_whole, |tally| {
                    tally.hands.remove(&index);
                    tally.stand_ins.remove(&index);
                });
            }
        }
    }

    /// Ends the speaker, and starts it again after a while.
    pub(super) fn bounce(&mut self, index: usize, after: Duration) {
        self.kill(index);
        self.nodes[index].returns_at = Some(self.now + after);
    }

    /// The wall clock of the node is set: it was at `micros` when time began.
    pub(super) fn set_clock(&mut self, index: usize, micros: u64) {
        self.nodes[index].clock = micros;
    }

    /// Asks the speaker to leave; it is stopped as soon as it says so.
    pub(super) fn leave(&mut self, index: usize) {
        self.step(index, Input::Leave);
    }

    /// Asks the speaker to end and to come back, as SIGTERM does; it is stopped when it says so.
    pub(super) fn restart(&mut self, index: usize) {
        self.step(index, Input::Restart);
    }

    /// Asks the speaker to end, and starts it again after a while.
    pub(super) fn restart_for(&mut self, index: usize, pause: Duration) {
        self.nodes[index].returns_at = Some(self.now + ms(100) + pause);
        self.restart(index);
    }

    /// Whether a node could answer for an address by its own facts and those of now.
    pub(super) fn is_able(&self, index: usize, at: IpAddr) -> bool {
        let node = &self.nodes[index];
        let Some(facts) = &node.facts else { return false };
        let knows = facts.get(&at).is_some_and(|fact| fact.order.contains(&index));
        let is_last = node.news.back().is_none_or(|(_, news)| news.get(&at) == facts.get(&at));
        node.engine.as_ref().is_some_and(|engine| !engine.has_left())
            && knows
            && is_last
            && !node.is_unfit
    }

    pub(super) fn set_unfit(&mut self, index: usize, is_unfit: bool) {
        self.nodes[index].is_unfit = is_unfit;
        self.look(index);
    }

    /// What the cluster's records say of who held what.
    pub(super) fn record(&mut self, at: IpAddr, index: usize) {
        self.remembered.insert(at, index);
    }

    /// Tells all nodes new facts, each after its own delay.
    pub(super) fn tell(&mut self, facts: &Facts, mut delay: impl FnMut(usize) -> Duration) {
        for index in 0..self.size() {
            let last = self.nodes[index].news.back().map(|(at, _)| *at);
            let at = (self.now + delay(index)).max(last.unwrap_or(self.now));
            self.nodes[index].news.push_back((at, facts.clone()));
        }
    }

    /// Gives the node its facts as they are now.
    fn look(&mut self, index: usize) {
        let node = &self.nodes[index];
        let Some(facts) = &node.facts else { return };
        let candidate = |fact: &Fact, index: usize| {
            let score = fact.scores.get(&index).copied().unwrap_or(0);
            Candidate { station: self.names[index].clone(), score }
        };
        let candidacy = |fact: &Fact| Candidacy {
            order: fact.order.iter().map(|index| candidate(fact, *index)).collect::<Arc<[_]>>(),
            is_fit: !node.is_unfit,
            policy: fact.policy.clone(),
        };
        let candidacies = facts.iter().map(|(at, fact)| (*at, candidacy(fact))).collect();
        self.step(index, Input::Candidacies(candidacies));
    }

    // What is seen.

    pub(super) fn tally(&mut self, at: IpAddr) -> Tally {
        let is_whole = self.is_whole();
        let tally = self.tallies.entry(at).or_default();
        tally.close(self.now, is_whole);
        tally.clone()
    }

    /// Starts measuring anew.
    pub(super) fn forget_the_past(&mut self) {
        for tally in self.tallies.values_mut() {
            tally.forget(self.now);
        }
        self.longest = 0;
        self.bytes = 0;
        self.sent.fill(0);
        self.announced.clear();
        self.lan.forget();
    }

    /// The nodes that hold the address.
    pub(super) fn hands(&self, at: IpAddr) -> Vec<usize> {
        let answers = |index: &usize| {
            self.nodes[*index]
                .engine
                .as_ref()
                .is_some_and(|engine| engine.answering().contains(&at))
        };
        (0..self.size()).filter(answers).collect()
    }

    /// The nodes that stand in for its holder.
    pub(super) fn stand_ins(&self, at: IpAddr) -> Vec<usize> {
        let stands_in = |index: &usize| self.nodes[*index].standing_in.contains_key(&at);
        (0..self.size()).filter(stands_in).collect()
    }

    pub(super) fn engine(&self, index: usize) -> &Ownership {
        self.nodes[index].engine.as_ref().unwrap()
    }

    pub(super) fn is_unfit(&self, index: usize) -> bool {
        self.nodes[index].is_unfit
    }

    // Time.

    /// Lets simulated time pass, waking each node exactly when it asked to be woken.
    pub(super) fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) = self.next_event().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            while let Some(first) = self.flights.first_entry().filter(|first| first.key().0 <= at) {
                match first.remove() {
                    Flight::Datagram { from, to, bytes } => {
                        let from = self.names[from].clone();
                        if self.nodes[to].can_hear {
                            let bytes = self.without_unknown(to, bytes);
                            self.step(to, Input::Datagram { from, bytes });
                        }
                    }
                    Flight::Frame { to, wire } => self.take_frame(to, wire),
                }
            }
            if self.next_news().is_some_and(|due| due <= at) {
                self.tell_what_is_due();
            }
            while let Some((due, index)) = self.wakes.first().copied() {
                if due > at {
                    break;
                }
                self.wakes.remove(&(due, index));
                self.nodes[index].due = None;
                self.step(index, Input::Timeout);
            }
            self.tick_lan();
        }
        self.now = end;
    }

    /// Takes what a node does not know of out of a datagram to it: a thousand nodes that know of all
    /// addresses would need too much memory.
    fn without_unknown(&self, to: usize, bytes: Vec<u8>) -> Vec<u8> {
        let known = &self.known[to];
        if known.is_empty() {
            return bytes;
        }
        let mut message = Message::decode(&bytes).unwrap();
        let Some(changes) = &mut message.changes else { return bytes };
        changes.claims.retain(|claim| known.contains(&claim.address));
        message.encode()
    }

    fn next_event(&self) -> Option<Instant> {
        let wake = self.wakes.first().map(|(due, _)| *due);
        let flight = self.flights.keys().next().map(|(at, _)| *at);
        crate::time::earliest([wake, flight, self.next_news(), self.lan.due()])
    }

    fn next_news(&self) -> Option<Instant> {
        let of_node = |node: &Node| [node.news.front().map(|(at, _)| *at), node.returns_at];
        crate::time::earliest(self.nodes.iter().flat_map(of_node))
    }

    fn tell_what_is_due(&mut self) {
        for index in 0..self.size() {
            let news = self.nodes[index].news.pop_front_if(|(due, _)| *due <= self.now);
            if let Some((_, facts)) = news {
                self.nodes[index].facts = Some(facts);
                self.look(index);
            }
            if self.nodes[index].returns_at.is_some_and(|due| due <= self.now) {
                self.start(index);
            }
        }
    }

    /// Notes when the engine of a node wants to be woken.
    fn wake_at(&mut self, index: usize, due: Option<Instant>) {
        if let Some(old) = std::mem::replace(&mut self.nodes[index].due, due) {
            self.wakes.remove(&(old, index));
        }
        self.wakes.extend(due.map(|due| (due, index)));
    }

    fn step(&mut self, index: usize, input: Input) {
        let Some(mut engine) = self.nodes[index].engine.take() else { return };
        engine.handle(self.now, input);
        let due = engine.deadline();
        assert!(due.is_none_or(|due| due > self.now), "what is due now is done now");
        self.wake_at(index, due);
        let outputs: Vec<_> = std::iter::from_fn(|| engine.poll()).collect();
        let has_left = engine.has_left();
        self.nodes[index].engine = Some(engine);
        for output in outputs {
            self.obey(index, output);
        }
        if has_left {
            self.kill(index);
        }
    }

    fn change(&mut self, at: IpAddr, change: impl FnOnce(&mut Tally)) {
        let is_whole = self.is_whole();
        self.tallies.entry(at).or_default().change(self.now, is_whole, change);
    }

    fn obey(&mut self, index: usize, output: Output) {
        match output {
            Output::Send { to, bytes } => self.send(index, &to, bytes),
            Output::Claimed { address, epoch, why, .. } => {
                self.change(address, |tally| {
                    tally.claims.push((index, epoch, why));
                    tally.moves += usize::from(tally.last.is_some_and(|last| last != index));
                    tally.last = Some(index);
                    tally.hands.insert(index);
                });
                self.lan.burst(self.now, index, address);
            }
            Output::Resumed { address, .. } => {
                self.change(address, |tally| _ = tally.hands.insert(index));
            }
            Output::Dropped { address, .. } | Output::Yielded { address, .. } => {
                self.change(address, |tally| _ = tally.hands.remove(&index));
            }
            Output::StandIn { address, mac, .. } => {
                self.nodes[index].standing_in.insert(address, mac);
                self.change(address, |tally| _ = tally.stand_ins.insert(index));
            }
            Output::StoodIn(address) => {
                self.nodes[index].standing_in.remove(&address);
                self.change(address, |tally| _ = tally.stand_ins.remove(&index));
            }
            Output::Announce(address) | Output::Defend(address) => {
                self.announced.push((index, address));
                self.announce(index, address);
            }
            Output::Ask { address, mac } => self.ask(index, address, mac),
            Output::Conflict { address, .. } => self.conflicts.push((index, address)),
            Output::Kept { .. }
            | Output::PeerHeard(_)
            | Output::PeerSilent(_)
            | Output::Released { .. } => (),
        }
    }

    fn send(&mut self, from: usize, to: &Station, bytes: Vec<u8>) {
        self.longest = self.longest.max(bytes.len());
        self.bytes += bytes.len();
        self.sent[from] += 1;
        let to = self.numbers[to];
        let is_lost = self.roll(100) < self.loss_percent
            || self.cut.contains(&(from, to))
            || !self.nodes[from].can_speak;
        if is_lost {
            return;
        }
        // In order and within a millisecond, but one in twenty is late enough to be overtaken.
        let at = self.now + Duration::from_micros(200 + self.roll(800));
        let last = self.last_arrival.entry((from, to)).or_insert(at);
        *last = at.max(*last);
        let mut arrival = *last;
        if self.roll(20) == 0 {
            arrival = arrival + Duration::from_micros(self.roll(8_000));
        }
        self.fly(arrival, Flight::Datagram { from, to, bytes });
    }

    fn fly(&mut self, arrival: Instant, flight: Flight) {
        self.flown += 1;
        self.flights.insert((arrival, self.flown), flight);
    }
}
