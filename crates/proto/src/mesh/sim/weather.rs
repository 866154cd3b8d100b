//! Random faults: what must never happen, and what must happen in the end.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::*;

/// The longest that an address may be in two hands while everybody hears everybody: a silent peer
/// is spoken to every 250 ms, and the rest is for claims that cross.
const TWO_HANDS: Duration = Duration::from_millis(500);

/// The longest that any node lags behind the facts.
const SKEW: u64 = 2_000;

/// A cluster in bad weather.
struct Storm {
    cluster: Cluster,
    facts: Facts,
}

impl Storm {
    fn new(seed: u64) -> Self {
        let mut cluster = Cluster::new(3).seeded(seed);
        let size = 3 + usize::try_from(cluster.roll(3)).unwrap();
        cluster = Cluster::new(size).seeded(seed);
        let mut storm = Self { cluster, facts: Facts::new() };
        for index in 0..size {
            storm.cluster.start(index);
        }
        for number in 0..3 {
            let order = storm.any_order();
            storm.facts.insert(address(number), Fact::of(&order));
        }
        storm.tell();
        storm
    }

    fn any_node(&mut self) -> usize {
        let size = u64::try_from(self.cluster.size()).unwrap();
        usize::try_from(self.cluster.roll(size)).unwrap()
    }

    /// Some nodes in any order; now and then nobody.
    fn any_order(&mut self) -> Vec<usize> {
        let mut order = Vec::new();
        for _ in 0..self.cluster.roll(6) {
            let node = self.any_node();
            if !order.contains(&node) {
                order.push(node);
            }
        }
        order
    }

    fn tell(&mut self) {
        let delays: Vec<_> =
            (0..self.cluster.size()).map(|_| ms(self.cluster.roll(SKEW))).collect();
        self.cluster.tell(&self.facts, |index| delays[index]);
    }

    fn strike(&mut self) {
        let node = self.any_node();
        match self.cluster.roll(12) {
            0 => self.cluster.crash(node),
            1 => self.cluster.leave(node),
            2 | 3 if !self.cluster.is_up(node) => self.cluster.start(node),
            2 | 3 => {
                self.cluster.crash(node);
                self.cluster.start(node);
            }
            4 => {
                let other = self.any_node();
                self.cluster.part(&[node, other]);
            }
            5 => self.cluster.cut_one_way(node, (node + 1) % self.cluster.size()),
            6 => self.cluster.lose(30),
            7 | 8 => self.cluster.heal(),
            9 => {
                let is_unfit = self.cluster.roll(2) == 0;
                self.cluster.set_unfit(node, is_unfit);
            }
            10 => {
                let number = u32::try_from(self.cluster.roll(3)).unwrap();
                self.facts.remove(&address(number));
                self.tell();
            }
            _ => {
                let number = u32::try_from(self.cluster.roll(3)).unwrap();
                let order = self.any_order();
                self.facts.insert(address(number), Fact::of(&order));
                self.tell();
            }
        }
    }

    /// What must be true when the weather has been fine for a while.
    fn check(&mut self) {
        for at in (0..3).map(address) {
            let tally = self.cluster.tally(at);
            assert!(tally.doubled_when_whole <= TWO_HANDS, "{at}: {tally:?}");

            let hands = self.cluster.hands(at);
            let order = self.facts.get(&at).cloned().unwrap_or_default().order;
            let is_able =
                |index: &usize| self.cluster.is_up(*index) && !self.cluster.is_unfit(*index);
            let able: Vec<_> = order.into_iter().filter(is_able).collect();
            if able.is_empty() {
                continue;
            }
            let [holder] = hands[..] else { panic!("{at}: {hands:?} of {able:?}: {tally:?}") };
            assert!(able.contains(&holder), "{at}: {holder} is not of {able:?}: {tally:?}");
            for index in (0..self.cluster.size()).filter(|index| self.cluster.is_up(*index)) {
                let holders = self.cluster.engine(index).snapshot().holders;
                let believed = holders.get(&at).map(|(station, _)| station);
                assert_eq!(believed, Some(&station(holder)), "{at} as node {index} sees it");
            }
        }
    }
}

fn weather(seed: u64) {
    let mut storm = Storm::new(seed);
    for _ in 0..12 {
        storm.strike();
        let pause = storm.cluster.roll(700);
        storm.cluster.run_for(ms(pause));
    }
    storm.cluster.heal();
    storm.cluster.run_for(ms(SKEW + 3_000));
    if (0..3).any(|number| !storm.cluster.stand_ins(address(number)).is_empty()) {
        // A speaker left while nobody heard it. Its node is stood in for as long as that may be.
        storm.cluster.run_for(ms(30_000));
    }
    storm.check();
}

#[test]
fn after_any_weather_each_address_has_one_holder() {
    for seed in 0..300 {
        if let Err(cause) = catch_unwind(AssertUnwindSafe(|| weather(seed))) {
            eprintln!("seed {seed}");
            resume_unwind(cause);
        }
    }
}
