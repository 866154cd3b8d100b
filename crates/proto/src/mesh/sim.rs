//! Speakers on a virtual clock, joined by a mesh that delays, loses and cuts.
//!
//! The engines are the real ones and speak in real bytes; only the clock, the datagrams and the
//! facts are simulated. What is measured is taken from their outputs: how long an address went
//! unanswered, how long it was in two hands, how often it moved.

mod scenarios;
mod weather;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use super::Station;
use super::ownership::{Candidacy, Input, Output, Ownership, Why};
use crate::time::Instant;

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

/// Who may hold each address, by number of the node.
pub(super) type Facts = BTreeMap<IpAddr, Vec<usize>>;

/// The facts for one address.
pub(super) fn only(order: &[usize]) -> Facts {
    [(address(0), order.to_vec())].into()
}

#[derive(Default)]
struct Node {
    engine: Option<Ownership>,
    /// When the engine asked to be woken.
    due: Option<Instant>,
    is_unfit: bool,
    facts: Option<Facts>,
    news: VecDeque<(Instant, Facts)>,
}

/// What was seen of one address.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) hands: BTreeSet<usize>,
    since: Duration,
    was_held: bool,
    /// The longest time without an answer, after the first.
    pub(super) unanswered: Duration,
    /// The longest time in two hands.
    pub(super) doubled: Duration,
    /// The longest time in two hands while the mesh was whole.
    pub(super) doubled_when_whole: Duration,
    /// Claims, the first one included.
    pub(super) claims: Vec<(usize, u64, Why)>,
}

impl Tally {
    /// Closes the period that ends now.
    fn close(&mut self, now: Instant, is_whole: bool) {
        let lasted = now.since_start() - self.since;
        if self.hands.is_empty() && self.was_held {
            self.unanswered = self.unanswered.max(lasted);
        }
        if self.hands.len() > 1 {
            self.doubled = self.doubled.max(lasted);
        }
        if self.hands.len() > 1 && is_whole {
            self.doubled_when_whole = self.doubled_when_whole.max(lasted);
        }
    }

    fn change(&mut self, now: Instant, is_whole: bool, change: impl FnOnce(&mut BTreeSet<usize>)) {
        self.close(now, is_whole);
        let (was_empty, was_double) = (self.hands.is_empty(), self.hands.len() > 1);
        change(&mut self.hands);
        self.was_held |= !self.hands.is_empty();
        if (was_empty, was_double) != (self.hands.is_empty(), self.hands.len() > 1) {
            self.since = now.since_start();
        }
    }
}

/// A datagram under way: from, to, bytes.
type Flight = (usize, usize, Vec<u8>);

pub(super) struct Cluster {
    pub(super) now: Instant,
    nodes: Vec<Node>,
    names: Vec<Station>,
    flights: BTreeMap<(Instant, u64), Flight>,
    flown: u64,
    last_arrival: BTreeMap<(usize, usize), Instant>,
    /// Directions in which nothing passes.
    cut: BTreeSet<(usize, usize)>,
    loss_percent: u64,
    dice: u64,
    tallies: BTreeMap<IpAddr, Tally>,
    /// The longest datagram, and all bytes of all of them.
    pub(super) longest: usize,
    pub(super) bytes: usize,
    pub(super) announced: Vec<(usize, IpAddr)>,
}

impl Cluster {
    /// Nodes that were never started.
    pub(super) fn new(size: usize) -> Self {
        Self {
            now: Instant::START,
            nodes: (0..size).map(|_| Node::default()).collect(),
            names: (0..size).map(station).collect(),
            flights: BTreeMap::new(),
            flown: 0,
            last_arrival: BTreeMap::new(),
            cut: BTreeSet::new(),
            loss_percent: 0,
            dice: 0x9e37_79b9_7f4a_7c15,
            tallies: BTreeMap::new(),
            longest: 0,
            bytes: 0,
            announced: Vec::new(),
        }
    }

    /// Nodes that were started together, know `facts`, and have settled.
    pub(super) fn up(size: usize, facts: &Facts) -> Self {
        let mut cluster = Self::new(size);
        for index in 0..size {
            cluster.start(index);
        }
        cluster.tell(facts, |_| Duration::ZERO);
        cluster.run_for(Duration::from_secs(2));
        cluster.forget_the_past();
        cluster
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

    pub(super) fn is_up(&self, index: usize) -> bool {
        self.nodes[index].engine.is_some()
    }

    pub(super) fn start(&mut self, index: usize) {
        // As the driver does it, from the clock, which never started at zero.
        let micros = u64::try_from(self.now.since_start().as_micros()).unwrap();
        self.start_with_incarnation(index, 1_000_000 + micros);
    }

    pub(super) fn start_with_incarnation(&mut self, index: usize, incarnation: u64) {
        self.nodes[index].engine = Some(Ownership::new(self.names[index].clone(), incarnation));
        self.step(index, Input::Peers(self.names.iter().cloned().collect()));
        self.look(index);
    }

    pub(super) fn crash(&mut self, index: usize) {
        self.nodes[index].engine = None;
        self.nodes[index].due = None;
        let is_whole = self.is_whole();
        for tally in self.tallies.values_mut() {
            tally.change(self.now, is_whole, |hands| {
                hands.remove(&index);
            });
        }
    }

    /// Asks the speaker to leave; it is stopped as soon as it says so.
    pub(super) fn leave(&mut self, index: usize) {
        self.step(index, Input::Leave);
    }

    pub(super) fn set_unfit(&mut self, index: usize, is_unfit: bool) {
        self.nodes[index].is_unfit = is_unfit;
        self.look(index);
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
        let candidacy = |order: &Vec<usize>| Candidacy {
            order: order.iter().map(|index| self.names[*index].clone()).collect(),
            is_fit: !node.is_unfit,
        };
        let candidacies = facts.iter().map(|(at, order)| (*at, candidacy(order))).collect();
        self.step(index, Input::Candidacies(candidacies));
    }

    // What happens to the mesh.

    /// Cuts both directions between every node of `some` and every other one.
    pub(super) fn part(&mut self, some: &[usize]) {
        self.mark();
        for a in 0..self.size() {
            for b in 0..self.size() {
                if some.contains(&a) != some.contains(&b) {
                    self.cut.insert((a, b));
                }
            }
        }
    }

    pub(super) fn cut_one_way(&mut self, from: usize, to: usize) {
        self.mark();
        self.cut.insert((from, to));
    }

    pub(super) fn lose(&mut self, percent: u64) {
        self.mark();
        self.loss_percent = percent;
    }

    pub(super) fn heal(&mut self) {
        self.mark();
        self.cut.clear();
        self.loss_percent = 0;
    }

    pub(super) fn is_whole(&self) -> bool {
        self.cut.is_empty() && self.loss_percent == 0
    }

    /// Ends all periods of measurement, before the weather changes.
    fn mark(&mut self) {
        let is_whole = self.is_whole();
        for tally in self.tallies.values_mut() {
            tally.close(self.now, is_whole);
            if tally.hands.len() > 1 {
                tally.since = self.now.since_start();
            }
        }
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
            let since = self.now.since_start();
            *tally =
                Tally { hands: tally.hands.clone(), since, was_held: true, ..Tally::default() };
        }
        self.longest = 0;
        self.bytes = 0;
        self.announced.clear();
    }

    /// The nodes that answer for the address.
    pub(super) fn hands(&self, at: IpAddr) -> Vec<usize> {
        let answers = |index: &usize| {
            self.nodes[*index]
                .engine
                .as_ref()
                .is_some_and(|engine| engine.answering().contains(&at))
        };
        (0..self.size()).filter(answers).collect()
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
                let (from, to, bytes) = first.remove();
                let from = self.names[from].clone();
                self.step(to, Input::Datagram { from, bytes });
            }
            for index in 0..self.size() {
                let news = self.nodes[index].news.pop_front_if(|(due, _)| *due <= at);
                if let Some((_, facts)) = news {
                    self.nodes[index].facts = Some(facts);
                    self.look(index);
                }
                if self.nodes[index].due.is_some_and(|due| due <= at) {
                    self.step(index, Input::Timeout);
                }
            }
        }
        self.now = end;
    }

    fn next_event(&self) -> Option<Instant> {
        let news = |node: &Node| node.news.front().map(|(at, _)| *at);
        let nodes = self.nodes.iter().flat_map(|node| [node.due, news(node)]).flatten();
        nodes.chain(self.flights.keys().next().map(|(at, _)| *at)).min()
    }

    fn step(&mut self, index: usize, input: Input) {
        let Some(mut engine) = self.nodes[index].engine.take() else { return };
        engine.handle(self.now, input);
        self.nodes[index].due = engine.deadline();
        let is_past = self.nodes[index].due.is_some_and(|due| due <= self.now);
        assert!(!is_past, "what is due now is done now");
        while let Some(output) = engine.poll() {
            self.obey(index, output);
        }
        let has_left = engine.has_left();
        self.nodes[index].engine = Some(engine);
        if has_left {
            self.crash(index);
        }
    }

    fn obey(&mut self, index: usize, output: Output) {
        match output {
            Output::Send { to, bytes } => self.send(index, &to, bytes),
            Output::Claimed { address, epoch, why } => {
                let is_whole = self.is_whole();
                let tally = self.tallies.entry(address).or_default();
                tally.claims.push((index, epoch, why));
                tally.change(self.now, is_whole, |hands| {
                    hands.insert(index);
                });
            }
            Output::Dropped { address, .. } | Output::Yielded { address, .. } => {
                let is_whole = self.is_whole();
                let tally = self.tallies.entry(address).or_default();
                tally.change(self.now, is_whole, |hands| {
                    hands.remove(&index);
                });
            }
            Output::Announce(address) => self.announced.push((index, address)),
            Output::Kept { .. }
            | Output::PeerHeard(_)
            | Output::PeerSilent(_)
            | Output::Released { .. } => (),
        }
    }

    fn send(&mut self, from: usize, to: &Station, bytes: Vec<u8>) {
        self.longest = self.longest.max(bytes.len());
        self.bytes += bytes.len();
        let to = self.names.iter().position(|name| name == to).unwrap();
        let is_lost = self.roll(100) < self.loss_percent || self.cut.contains(&(from, to));
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
        self.flown += 1;
        self.flights.insert((arrival, self.flown), (from, to, bytes));
    }
}
