//! Two speakers and a network of TCP connections between them, in simulated time.
//!
//! The engines are the real ones and exchange real bytes. The network cuts the streams wherever it
//! likes, delays them, refuses connections, and breaks them.

mod weather;

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

use super::listener::Listener;
use super::message::{self, Kind};
use super::session::{
    Config, Connected, ConnectionId, End, Event, Input, Output, Session, State, tests,
};
use super::{Family, NextHops};
use crate::time::{Instant, earliest};

const LATENCY: Duration = Duration::from_millis(1);

pub(super) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Something on its way.
#[derive(Debug)]
enum Parcel {
    Syn,
    Bytes(Vec<u8>),
    Fin,
}

/// One direction of a connection, or of an attempt at one.
#[derive(Debug)]
struct Flight {
    arrives: Instant,
    to: usize,
    /// The same number at both ends.
    connection: u64,
    parcel: Parcel,
}

/// One end: the engine, and what was seen of it.
pub(super) struct Speaker {
    pub(super) engine: Session,
    pub(super) events: Vec<(Instant, Event)>,
    /// What a router at the other end has learned on its current session.
    pub(super) learned: Listener,
    /// Connections that are open at this end.
    open: BTreeMap<u64, End>,
    is_dialling: bool,
    /// Takes no bytes: the socket's buffer is full.
    pub(super) is_stuck: bool,
}

/// Two speakers and what is between them.
pub(super) struct Network {
    pub(super) now: Instant,
    pub(super) speakers: [Speaker; 2],
    flights: VecDeque<Flight>,
    next_connection: u64,
    pub(super) is_cut: bool,
    dice: u64,
}

impl Network {
    /// Two speakers in different ASes; the second has the higher identifier.
    pub(super) fn new(seed: u64, configure: impl Fn(&mut Config)) -> Self {
        let speaker = |index: u8| {
            let mut config = tests::config(65000 + u32::from(index), index + 1);
            configure(&mut config);
            Speaker {
                engine: Session::new(config, seed.wrapping_mul(2) + u64::from(index) + 1),
                events: Vec::new(),
                learned: Listener::default(),
                open: BTreeMap::new(),
                is_dialling: false,
                is_stuck: false,
            }
        };
        Self {
            now: Instant::START,
            speakers: [speaker(0), speaker(1)],
            flights: VecDeque::new(),
            next_connection: 0,
            is_cut: false,
            dice: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        }
    }

    pub(super) fn states(&self) -> [State; 2] {
        [0, 1].map(|index| self.speakers[index].engine.status().state)
    }

    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice % sides
    }

    /// Lets both start, in this order.
    pub(super) fn start(&mut self) {
        self.input(0, Input::Start);
        self.input(1, Input::Start);
    }

    /// Lets simulated time pass, waking each end exactly when it asked to be woken.
    pub(super) fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) = self.next_event().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            while let Some(flight) = self.flights.pop_front_if(|flight| flight.arrives <= at) {
                self.land(flight);
            }
            for index in 0..2 {
                self.input(index, Input::Timeout);
                let deadline = self.speakers[index].engine.deadline();
                assert!(deadline.is_none_or(|due| due > self.now), "nothing due is left");
            }
        }
        self.now = end;
    }

    fn next_event(&self) -> Option<Instant> {
        let wakeups = self.speakers.iter().map(|speaker| speaker.engine.deadline());
        earliest(wakeups.chain([self.flights.front().map(|flight| flight.arrives)]))
    }

    /// Hands an input to an engine, and does what it wants.
    pub(super) fn input(&mut self, index: usize, input: Input<'_>) {
        self.speakers[index].engine.handle(self.now, input);
        while let Some(output) = self.speakers[index].engine.poll() {
            match output {
                Output::Connect => self.connect(index),
                Output::Abandon => self.speakers[index].is_dialling = false,
                Output::Write { id, bytes } => self.write(index, id, bytes),
                Output::Close(id) => self.close(index, id.0),
                Output::Event(event) => {
                    if let Event::Established(_) = event {
                        self.speakers[1 - index].learned = Listener::default();
                    }
                    self.speakers[index].events.push((self.now, event));
                }
            }
        }
    }

    fn connect(&mut self, index: usize) {
        self.speakers[index].is_dialling = true;
        self.next_connection += 1;
        self.fly(1 - index, self.next_connection, Parcel::Syn);
    }

    fn fly(&mut self, to: usize, connection: u64, parcel: Parcel) {
        let arrives = self.now + LATENCY;
        self.flights.push_back(Flight { arrives, to, connection, parcel });
    }

    fn land(&mut self, flight: Flight) {
        let Flight { to, connection, parcel, .. } = flight;
        if self.is_cut {
            return;
        }
        let id = ConnectionId(connection);
        match parcel {
            // The SYN of an attempt that was given up connects nobody.
            Parcel::Syn if self.speakers[1 - to].is_dialling => {
                self.speakers[1 - to].is_dialling = false;
                for (index, end) in [(to, End::Accepted), (1 - to, End::Dialled)] {
                    self.speakers[index].open.insert(connection, end);
                }
                for (index, end) in [(to, End::Accepted), (1 - to, End::Dialled)] {
                    self.input(index, Input::Connected(made(id, end, index)));
                }
            }
            Parcel::Bytes(bytes) if self.speakers[to].open.contains_key(&connection) => {
                self.input(to, Input::Bytes { id, bytes: &bytes });
            }
            Parcel::Fin if self.speakers[to].open.remove(&connection).is_some() => {
                self.input(to, Input::Closed(id));
            }
            Parcel::Syn | Parcel::Bytes(_) | Parcel::Fin => (),
        }
    }

    /// Sends bytes in pieces of any size; what a router would learn of them is learned at once.
    fn write(&mut self, index: usize, id: ConnectionId, bytes: Vec<u8>) {
        if self.speakers[index].is_stuck {
            return;
        }
        let established = self.speakers[index].engine.status().since.is_some();
        if established && message::first(&bytes).is_ok_and(|one| one.is_some_and(is_update)) {
            self.speakers[1 - index].learned.hear(&bytes);
        }
        let count = bytes.len();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let most = u64::try_from(rest.len()).unwrap();
            let size = 1 + usize::try_from(self.roll(most.min(1460))).unwrap();
            let (piece, others) = rest.split_at(size);
            self.fly(1 - index, id.0, Parcel::Bytes(piece.to_vec()));
            rest = others;
        }
        self.input(index, Input::Written { id, count });
    }

    fn close(&mut self, index: usize, connection: u64) {
        if self.speakers[index].open.remove(&connection).is_some() {
            self.fly(1 - index, connection, Parcel::Fin);
        }
    }

    /// Breaks every connection, as a router that loses its power and is back at once.
    pub(super) fn break_all(&mut self) {
        self.flights.clear();
        for index in 0..2 {
            for (connection, _) in std::mem::take(&mut self.speakers[index].open) {
                self.input(index, Input::Closed(ConnectionId(connection)));
            }
        }
    }

    /// How often a session was established at an end.
    pub(super) fn times_established(&self, index: usize) -> u64 {
        self.speakers[index].engine.status().counters.established
    }
}

fn is_update(frame: message::Frame<'_>) -> bool {
    frame.kind == Kind::Update
}

fn made(id: ConnectionId, end: End, index: usize) -> Connected {
    let last = u8::try_from(index).unwrap() + 1;
    let next_hops = NextHops {
        ipv4: Some(Ipv4Addr::new(192, 0, 2, last)),
        ipv6: Some(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last.into())),
        link_local: None,
    };
    Connected { id, end, over: Family::Ipv4, next_hops }
}

#[test]
fn two_speakers_that_start_together_end_up_with_one_connection() {
    for seed in 0..200 {
        let mut network = Network::new(seed, |_| ());
        network.start();
        network.run_for(secs(5));
        assert_eq!(network.states(), [State::Established; 2], "seed {seed}");
        for speaker in &network.speakers {
            assert_eq!(speaker.open.len(), 1, "seed {seed}");
        }
    }
}

#[test]
fn a_day_without_trouble_keeps_the_session() {
    let mut network = Network::new(1, |_| ());
    network.start();
    network.run_for(secs(24 * 3600));
    assert_eq!(network.states(), [State::Established; 2]);
    assert_eq!([0, 1].map(|index| network.times_established(index)), [1, 1]);
    let keepalives = network.speakers[0].engine.status().counters.sent.keepalives;
    assert!((2880..=3840).contains(&keepalives), "every 22.5 to 30 s: {keepalives}");
}

#[test]
fn a_peer_that_only_waits_is_dialled() {
    for waiting in 0..2u8 {
        let mut network = Network::new(7, |config| {
            if config.identifier.octets()[3] == waiting + 1 {
                config.openings = super::session::Openings::Passive;
                config.delay_open = Some(secs(30));
            } else {
                config.openings = super::session::Openings::Active;
            }
        });
        network.start();
        network.run_for(secs(1));
        assert_eq!(network.states(), [State::Established; 2]);
    }
}

#[test]
fn a_cut_is_noticed_after_the_hold_time_and_healed() {
    let mut network = Network::new(3, |config| config.hold_time = 9);
    network.start();
    network.run_for(secs(5));
    network.is_cut = true;
    network.run_for(secs(6));
    assert_eq!(network.states(), [State::Established; 2], "it may be silent for a while");
    network.run_for(secs(4));
    assert!(network.states().iter().all(|state| *state < State::OpenSent));
    network.is_cut = false;
    network.run_for(secs(60));
    assert_eq!(network.states(), [State::Established; 2]);
}
