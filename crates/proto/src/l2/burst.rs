//! When an address is announced, and how many announcements there may be.
//!
//! A new claim is announced in several rounds, because a lost frame is not repeated by anybody:
//! hosts would keep sending to the former holder until their caches expire, which takes minutes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::time::{Instant, earliest};

/// When the rounds of a burst are due, counted from the first.
///
/// MetalLB announces for five seconds, every 1.1 s. The second round comes 50 ms after the first
/// and is ours: when the first is lost, failover must not cost a second. It is no sooner because
/// what loses a frame, a switch port that learns or a full queue, mostly loses its neighbours too.
pub const SCHEDULE: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_millis(50),
    Duration::from_millis(1_100),
    Duration::from_millis(2_200),
    Duration::from_millis(3_300),
    Duration::from_millis(4_400),
];

/// Frames of one round: an ARP request and an ARP reply.
pub const FRAMES_PER_ROUND: u64 = 2;

/// The most announcement frames that one interface sends within any second.
///
/// They are broadcast: each host handles each of them, and the storm control of a switch counts
/// them. A thousand a second is less than a thousandth of what a gigabit port carries. A thousand
/// addresses claimed at once are then announced for the first time within 2.2 s, and for the sixth
/// within 13.5 s.
pub const FRAMES_PER_SECOND: u64 = 1_000;

/// How many of [`FRAMES_PER_SECOND`] may go out at once, so that the failover of up to fifty
/// addresses waits for nothing. The others are spread evenly.
pub const FRAMES_AT_ONCE: u64 = 100;

/// Time between two rounds of any addresses when all are waiting.
const SPACING: Duration = Duration::from_nanos(SPACING_NANOS);
const SPACING_NANOS: u64 =
    (FRAMES_PER_ROUND * 1_000_000_000).div_ceil(FRAMES_PER_SECOND - FRAMES_AT_ONCE);

/// How far rounds may run ahead of an even spacing.
const HEAD_START: Duration =
    Duration::from_nanos(SPACING_NANOS * (FRAMES_AT_ONCE / FRAMES_PER_ROUND - 1));

/// Addresses whose rounds are still to come. An address waits in at most one place.
#[derive(Debug)]
pub(super) struct Bursts {
    /// Who waits for which round, and since when it is due. An earlier round goes before a later
    /// one: each address is announced once before any is announced twice.
    rounds: [BTreeSet<(Instant, Ipv4Addr)>; SCHEDULE.len()],
    /// Where each address waits: its round, and when that is due.
    places: BTreeMap<Ipv4Addr, (usize, Instant)>,
    /// When the next round would be sent if all had been spaced evenly. The only state of the
    /// ceiling: with it, a token bucket needs no ticks to fill up.
    even_at: Instant,
}

impl Bursts {
    pub(super) fn new() -> Self {
        Self { rounds: Default::default(), places: BTreeMap::new(), even_at: Instant::START }
    }

    /// Starts the burst of `address`, again if it is under way.
    ///
    /// If it waits for its first round it keeps its place: a link that flaps faster than the
    /// ceiling lets addresses out would otherwise put off the last ones for ever.
    pub(super) fn start(&mut self, now: Instant, address: Ipv4Addr) {
        if self.places.get(&address).is_some_and(|(round, _)| *round == 0) {
            return;
        }
        self.stop(address);
        self.wait(address, 0, now);
    }

    /// Ends the burst of `address`, if it has one.
    pub(super) fn stop(&mut self, address: Ipv4Addr) {
        if let Some((round, due)) = self.places.remove(&address) {
            self.rounds[round].remove(&(due, address));
        }
    }

    /// Takes the address that is to be announced now; `None` if none is due or the ceiling is
    /// reached.
    pub(super) fn next(&mut self, now: Instant) -> Option<Ipv4Addr> {
        if self.open_at() > now {
            return None;
        }
        let first_due = |(round, waiting): (usize, &BTreeSet<(Instant, Ipv4Addr)>)| {
            let (due, address) = waiting.first()?;
            (*due <= now).then_some((round, *address))
        };
        let (round, address) = self.rounds.iter().enumerate().find_map(first_due)?;
        self.even_at = self.even_at.max(now) + SPACING;
        self.stop(address);
        if let Some([this, next]) = SCHEDULE.get(round..).and_then(|rest| rest.first_chunk()) {
            // Counted from now, not from the start: rounds that were held up do not bunch.
            self.wait(address, round + 1, now + next.saturating_sub(*this));
        }
        Some(address)
    }

    /// When [`Self::next`] will have an address.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let due = self.rounds.iter().map(|waiting| waiting.first().map(|(due, _)| *due));
        earliest(due).map(|due| due.max(self.open_at()))
    }

    fn wait(&mut self, address: Ipv4Addr, round: usize, due: Instant) {
        self.rounds[round].insert((due, address));
        self.places.insert(address, (round, due));
    }

    /// When the ceiling lets the next round out.
    fn open_at(&self) -> Instant {
        Instant::START + self.even_at.since_start().saturating_sub(HEAD_START)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::START + Duration::from_millis(millis)
    }

    fn address(last: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(Ipv4Addr::new(198, 18, 0, 0).to_bits() + last)
    }

    /// Sends what is due whenever it is due, until `end`.
    fn sent(bursts: &mut Bursts, end: Instant) -> Vec<(Instant, Ipv4Addr)> {
        let mut sent = vec![];
        while let Some(now) = bursts.deadline().filter(|at| *at <= end) {
            let address = bursts.next(now).expect("a deadline that leads to an address");
            sent.push((now, address));
        }
        sent
    }

    #[test]
    fn one_address_is_announced_on_schedule_and_then_no_more() {
        let mut bursts = Bursts::new();
        bursts.start(at(1_000), address(1));
        let want = SCHEDULE.map(|offset| (at(1_000) + offset, address(1)));
        assert_eq!(sent(&mut bursts, at(60_000)), want);
        assert_eq!(bursts.deadline(), None);
    }

    #[test]
    fn nothing_is_sent_before_it_is_due() {
        let mut bursts = Bursts::new();
        bursts.start(at(0), address(1));
        assert_eq!(bursts.next(at(0)), Some(address(1)));
        assert_eq!(bursts.next(at(49)), None);
        assert_eq!(bursts.next(at(50)), Some(address(1)));
    }

    #[test]
    fn a_stopped_burst_is_silent() {
        let mut bursts = Bursts::new();
        bursts.start(at(0), address(1));
        bursts.start(at(0), address(2));
        assert_eq!(bursts.next(at(0)), Some(address(1)));
        bursts.stop(address(1));
        bursts.stop(address(2));
        assert_eq!(sent(&mut bursts, at(60_000)), []);
    }

    #[test]
    fn a_burst_that_starts_again_has_all_its_rounds_once() {
        let mut bursts = Bursts::new();
        bursts.start(at(0), address(1));
        assert_eq!(sent(&mut bursts, at(1_000)).len(), 2);
        bursts.start(at(1_000), address(1));
        let want = SCHEDULE.map(|offset| (at(1_000) + offset, address(1)));
        assert_eq!(sent(&mut bursts, at(60_000)), want);
    }

    #[test]
    fn rounds_that_were_held_up_keep_their_distance() {
        let mut bursts = Bursts::new();
        bursts.start(at(0), address(1));
        assert_eq!(bursts.next(at(9_000)), Some(address(1)));
        assert_eq!(bursts.next(at(9_049)), None);
        assert_eq!(bursts.deadline(), Some(at(9_050)));
    }

    #[test]
    fn fifty_addresses_go_at_once_and_each_once_before_any_twice() {
        let mut bursts = Bursts::new();
        (0..1_000).for_each(|last| bursts.start(at(0), address(last)));
        let sent = sent(&mut bursts, at(60_000));
        assert_eq!(sent.iter().filter(|(when, _)| *when == at(0)).count(), 50);
        assert_eq!(sent.len(), 6_000);
        for (round, sent) in sent.chunks(1_000).enumerate() {
            let addresses: BTreeSet<_> = sent.iter().map(|(_, address)| *address).collect();
            assert_eq!(addresses.len(), 1_000, "round {round}");
        }
    }

    #[test]
    fn starting_over_and_over_does_not_put_off_the_last_address() {
        let mut bursts = Bursts::new();
        let mut heard = BTreeSet::new();
        for step in 0..30 {
            (0..1_000).for_each(|last| bursts.start(at(step * 100), address(last)));
            heard
                .extend(sent(&mut bursts, at(step * 100 + 99)).iter().map(|(_, address)| *address));
        }
        assert_eq!(heard.len(), 1_000);
    }
}
