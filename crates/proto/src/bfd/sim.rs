//! Two nodes and the link between them, in simulated time.
//!
//! The engines are the real ones and exchange real octets. The link delays, loses, repeats and
//! reorders them.

mod weather;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU8;
use std::time::Duration;

use super::auth::{Key, Method};
use super::config::{Config, Hops, Path, Role};
use super::dice::Dice;
use super::packet::{Interval, State};
use super::session::Why;
use super::sessions::{Arrived, Input, Output, Sessions};
use crate::time::{Instant, earliest};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn address(index: usize) -> IpAddr {
    format!("192.0.2.{}", index + 1).parse().unwrap()
}

/// The way from one node to the other.
fn path(index: usize) -> Path {
    Path { peer: address(1 - index), local: None, device: None, hops: Hops::Single }
}

/// Something on its way: a Control packet to the other end, or an echo packet back to its sender.
#[derive(Debug)]
enum Parcel {
    Control(Vec<u8>),
    Echo(Vec<u8>),
}

/// What the link does.
#[derive(Clone, Copy, Debug)]
struct Link {
    latency: Duration,
    /// Up to so much more, each packet by its own: they overtake one another.
    spread: Duration,
    /// Percent of the packets.
    loss: u32,
    /// Percent of the packets that arrive twice.
    repeats: u32,
    /// The peer's kernel loops no echo packets.
    loops_echo: bool,
}

impl Default for Link {
    fn default() -> Self {
        Self { latency: ms(1), spread: ms(0), loss: 0, repeats: 0, loops_echo: true }
    }
}

struct Pair {
    now: Instant,
    ends: [Sessions; 2],
    configs: [Config; 2],
    /// When it arrives, in which order it was sent, at which end.
    flights: BTreeMap<(Instant, u64), (usize, Parcel)>,
    count: u64,
    link: Link,
    changes: Vec<(Instant, usize, State, Why)>,
    dice: Dice,
}

impl Pair {
    fn new(seed: u64, configs: [Config; 2]) -> Self {
        let ends = [0, 1].map(|index| Sessions::new(seed * 2 + index));
        let mut pair = Self {
            now: Instant::START,
            ends,
            configs,
            flights: BTreeMap::new(),
            count: 0,
            link: Link::default(),
            changes: Vec::new(),
            dice: Dice::new(seed),
        };
        (0..2).for_each(|index| pair.want(index));
        pair
    }

    fn up(seed: u64, configs: [Config; 2]) -> Self {
        let mut pair = Self::new(seed, configs);
        pair.run_for(ms(5_000));
        assert_eq!(pair.states(), [Some(State::Up); 2], "seed {seed}");
        pair.changes.clear();
        pair
    }

    /// Tells an end the session that it is to have.
    fn want(&mut self, index: usize) {
        let wanted = [(path(index), self.configs[index].clone())].into();
        self.step(index, Input::Wanted(wanted));
    }

    fn unwant(&mut self, index: usize) {
        self.step(index, Input::Wanted(BTreeMap::new()));
    }

    /// The process of an end dies, and another one takes its place.
    fn restart(&mut self, index: usize) {
        self.ends[index] = Sessions::new(self.dice.seed());
        self.want(index);
    }

    fn states(&self) -> [Option<State>; 2] {
        [0, 1].map(|index| self.ends[index].status().map(|(_, status)| status.state).next())
    }

    fn is_up(&self) -> bool {
        self.states() == [Some(State::Up); 2]
    }

    /// Lets simulated time pass, waking each end exactly when it asked to be woken.
    fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) = self.next_event().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            while let Some(flight) =
                self.flights.first_entry().filter(|flight| flight.key().0 <= at)
            {
                let (to, parcel) = flight.remove();
                self.land(to, &parcel);
            }
            for index in 0..2 {
                self.step(index, Input::Timeout);
                let deadline = self.ends[index].deadline();
                assert!(deadline.is_none_or(|due| due > self.now), "nothing due is left");
            }
        }
        self.now = end;
    }

    fn next_event(&self) -> Option<Instant> {
        let wakeups = self.ends.iter().map(Sessions::deadline);
        earliest(wakeups.chain([self.flights.keys().next().map(|(at, _)| *at)]))
    }

    fn land(&mut self, to: usize, parcel: &Parcel) {
        let from = address(1 - to);
        match parcel {
            Parcel::Control(bytes) => {
                let hops = Hops::Single;
                let arrived = Arrived { from, to: None, device: None, hops, ttl: 255, bytes };
                self.step(to, Input::Control(arrived));
            }
            Parcel::Echo(bytes) => self.step(to, Input::Echo { from: address(to), bytes }),
        }
    }

    fn step(&mut self, index: usize, input: Input<'_>) {
        self.ends[index].handle(self.now, input);
        while let Some(output) = self.ends[index].poll() {
            match output {
                Output::Send { bytes, .. } => {
                    self.fly(1 - index, || Parcel::Control(bytes.clone()), 1);
                }
                Output::Echo { bytes, .. } if self.link.loops_echo => {
                    self.fly(index, || Parcel::Echo(bytes.clone()), 2);
                }
                Output::Changed { to, why, .. } => self.changes.push((self.now, index, to, why)),
                Output::Echo { .. } | Output::Ignored { .. } | Output::Ended(_) => (),
            }
        }
    }

    fn fly(&mut self, to: usize, parcel: impl Fn() -> Parcel, legs: u32) {
        let copies = if self.dice.roll() % 100 < self.link.repeats { 2 } else { 1 };
        for _ in 0..copies {
            if self.dice.roll() % 100 < self.link.loss {
                continue;
            }
            let spread = self.link.spread * (self.dice.roll() % 101) / 100;
            let arrives = self.now + (self.link.latency + spread) * legs;
            self.count += 1;
            self.flights.insert((arrives, self.count), (to, parcel()));
        }
    }

    fn downs(&self) -> Vec<Why> {
        let is_down = |state| matches!(state, State::Down | State::AdminDown);
        self.changes.iter().filter(|one| is_down(one.2)).map(|one| one.3).collect()
    }
}

fn config(millis: u32, multiplier: u8) -> Config {
    Config {
        detect_multiplier: NonZeroU8::new(multiplier).unwrap(),
        desired_min_tx: Interval::from_millis(millis),
        required_min_rx: Interval::from_millis(millis),
        ..Config::default()
    }
}

fn both(config: &Config) -> [Config; 2] {
    [config.clone(), config.clone()]
}

#[test]
fn two_ends_come_up_within_two_seconds_and_a_bit() {
    for seed in 0..200 {
        let mut pair = Pair::new(seed, both(&config(300, 3)));
        pair.run_for(ms(2_100));
        assert!(pair.is_up(), "seed {seed}: {:?}", pair.states());
    }
}

#[test]
fn a_cut_is_noticed_within_the_detection_time_by_both() {
    for (millis, multiplier) in [(10, 3), (300, 3), (50, 1), (1000, 255)] {
        let mut pair = Pair::up(1, both(&config(millis, multiplier)));
        pair.link.loss = 100;
        let detection = ms(u64::from(millis) * u64::from(multiplier));
        pair.run_for((detection - ms(u64::from(millis))).saturating_sub(ms(1)));
        assert!(pair.is_up(), "{millis} ms x {multiplier}: all but one may be lost");
        pair.run_for(ms(u64::from(millis)) + ms(3));
        assert_eq!(pair.states(), [Some(State::Down); 2]);
        assert_eq!(pair.downs(), [Why::DetectionTimeExpired; 2]);
    }
}

#[test]
fn a_cut_in_one_direction_is_noticed_by_both() {
    let mut pair = Pair::up(1, both(&config(300, 3)));
    let end = pair.now + ms(1_300);
    while pair.now < end {
        pair.run_for(ms(1));
        pair.flights.retain(|_, (to, _)| *to == 0);
    }
    let whys = pair.downs();
    assert_eq!(whys[0], Why::DetectionTimeExpired);
    assert!(matches!(whys[1], Why::NeighborDown(diagnostic) if diagnostic.code() == 1));
}

#[test]
fn an_hour_without_trouble_keeps_every_kind_of_session_up() {
    let key = |method| Key::new(method, 1, b"secret").ok();
    let base = config(300, 3);
    let rows = [
        ("as it is", base.clone(), base.clone()),
        ("one loss is the end", config(300, 1), config(300, 1)),
        ("different ends", config(1000, 2), config(50, 9)),
        ("one is passive", Config { role: Role::Passive, ..base.clone() }, base.clone()),
        (
            "with echo",
            Config { echo: Some(Interval::from_millis(100)), ..base.clone() },
            Config { echo: Some(Interval::from_millis(250)), ..base.clone() },
        ),
        (
            "authenticated",
            Config { key: key(Method::KeyedMd5), ..base.clone() },
            Config { key: key(Method::KeyedMd5), ..base.clone() },
        ),
        (
            "authenticated meticulously",
            Config { key: key(Method::MeticulousKeyedSha1), ..base.clone() },
            Config { key: key(Method::MeticulousKeyedSha1), ..base },
        ),
    ];
    for (name, a, b) in rows {
        let mut pair = Pair::up(3, [a, b]);
        pair.run_for(Duration::from_secs(3600));
        assert_eq!(pair.changes, [], "{name}");
    }
}

#[test]
fn two_passive_ends_stay_silent() {
    let passive = Config { role: Role::Passive, ..config(300, 3) };
    let mut pair = Pair::new(1, both(&passive));
    pair.run_for(ms(60_000));
    assert_eq!((pair.states(), pair.count), ([Some(State::Down); 2], 0));
}

#[test]
fn settings_change_on_a_running_session_without_a_loss() {
    let millis = [10, 50, 300, 1000, 3000];
    for seed in 0..20 {
        let mut pair = Pair::up(seed, both(&config(300, 3)));
        for _ in 0..20 {
            let index = usize::try_from(pair.dice.roll() % 2).unwrap();
            let mut any = || millis[usize::try_from(pair.dice.roll() % 5).unwrap()];
            let (tx, rx) = (any(), any());
            pair.configs[index] = Config {
                desired_min_tx: Interval::from_millis(tx),
                required_min_rx: Interval::from_millis(rx),
                ..config(300, 3)
            };
            pair.want(index);
            let pause = ms(u64::from(pair.dice.roll() % 2_000));
            pair.run_for(pause);
        }
        assert_eq!(pair.changes, [], "seed {seed}");
    }
}

#[test]
fn the_end_that_is_switched_off_says_so() {
    let mut pair = Pair::up(1, both(&config(300, 3)));
    pair.unwant(0);
    pair.run_for(ms(10));
    assert_eq!(pair.downs(), [Why::Administrative, Why::NeighborAdminDown]);
    pair.run_for(ms(5_000));
    assert_eq!(pair.states(), [None, Some(State::Down)]);
    pair.want(0);
    pair.run_for(ms(5_000));
    assert!(pair.is_up());
}

#[test]
fn an_end_that_starts_anew_is_back_soon() {
    let key = Key::new(Method::MeticulousKeyedSha1, 1, b"secret").ok();
    for (name, key) in [("plain", None), ("authenticated", key)] {
        let mut pair = Pair::up(1, both(&Config { key, ..config(300, 3) }));
        pair.restart(0);
        pair.run_for(ms(8_000));
        assert!(pair.is_up(), "{name}: {:?}", pair.states());
        let whys = pair.downs();
        assert_eq!(whys.len(), 1, "{name}: {whys:?}");
    }
}

#[test]
fn ends_with_different_secrets_never_meet() {
    let key = |secret: &[u8]| Key::new(Method::KeyedSha1, 1, secret).ok();
    let end = |key| Config { key, ..config(300, 3) };
    for (a, b) in [(key(b"one"), key(b"two")), (key(b"one"), None)] {
        let mut pair = Pair::new(1, [end(a), end(b)]);
        pair.run_for(ms(60_000));
        assert_eq!(pair.states(), [Some(State::Down); 2]);
    }
}

#[test]
fn a_peer_that_loops_nothing_is_noticed_by_echo_alone() {
    let echo = Config { echo: Some(Interval::from_millis(50)), ..config(300, 3) };
    let mut pair = Pair::up(1, both(&echo));
    pair.link.loops_echo = false;
    pair.run_for(ms(200));
    let whys = pair.downs();
    assert!(whys.contains(&Why::EchoFailed), "{whys:?}");
}
