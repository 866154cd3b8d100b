//! When an address is announced or asked for, and how many such frames there may be.
//!
//! A new claim is announced in several rounds, because a lost frame is not repeated by anybody:
//! hosts would keep sending to the former holder until their caches expire, which takes minutes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::time::{Instant, earliest};

/// When an address is announced. The names of the fields are those of
/// `L2Advertisement.spec.announcements`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Schedule {
    /// How often a new holder announces an address; 0 is as 1. The first is sent twice, see
    /// [`REPEAT`].
    pub count: u8,
    /// The time between two of them.
    pub interval: Duration,
    /// The time between any two after those, for as long as the address is held; `None` for never.
    pub refresh_interval: Option<Duration>,
}

impl Default for Schedule {
    /// MetalLB announces for five seconds, every 1.1 s.
    fn default() -> Self {
        Self { count: 5, interval: Duration::from_secs(1), refresh_interval: None }
    }
}

/// The first announcement is repeated after this time, or the interval if that is shorter: when it
/// is lost, failover must not cost a second.
///
/// It is no sooner because what loses a frame, a switch port that learns or a full queue, mostly
/// loses its neighbours too.
pub const REPEAT: Duration = Duration::from_millis(50);

/// Whether the LAN is asked for an address before or while it is announced for the first time:
/// RFC 5227 section 2.1, and RFC 4862 section 5.4 for IPv6.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum DuplicateProbe {
    /// Nobody is asked.
    #[default]
    Off,
    /// The first [`PROBES`] rounds ask, too.
    Optimistic,
    /// It is asked [`PROBES`] times, and announced when nobody objected.
    Strict,
}

/// How often the LAN is asked.
pub const PROBES: u8 = 3;

/// The time between two questions. RFC 5227 has one to two seconds there, in a LAN of 2008.
pub const PROBE_INTERVAL: Duration = Duration::from_millis(500);

/// The time in which somebody may still object after the last question.
pub const PROBE_WAIT: Duration = Duration::from_secs(1);

/// How many frames one interface may send.
///
/// They are broadcast: each host handles each of them, and the storm control of a switch counts
/// them. Both ceilings together are an eightieth of what a gigabit port carries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limit {
    /// The most frames within any second.
    pub per_second: u32,
    /// How many of those may go out at once; the others are spread evenly.
    pub at_once: u32,
}

/// The ceiling for first announcements, and for the questions before them. An address that was not
/// announced yet does not work, so it does not wait for what is sent for others.
///
/// Ten thousand addresses of IPv4 claimed at once are announced for the first time within 1.3 s, and
/// within 1.9 s if the LAN is asked for them beside it. The failover of two hundred waits for nothing.
pub const FIRST: Limit = Limit { per_second: 16_000, at_once: 400 };

/// The ceiling for all that is sent for an address after that. A thousand addresses of IPv4 claimed
/// at once have been announced six times within 5.3 s, or 6.3 s with questions.
pub const LATER: Limit = Limit { per_second: 2_000, at_once: 100 };

/// The most frames that one address may need at once: two announcements and a question.
const MOST_FRAMES: u32 = 3;

impl Limit {
    /// Time between two frames when many are waiting.
    const fn spacing(self) -> Duration {
        let spread = (self.per_second - self.at_once) as u64;
        Duration::from_nanos(1_000_000_000_u64.div_ceil(spread))
    }
}

/// A [`Limit`] and what was sent under it.
#[derive(Debug)]
struct Ceiling {
    spacing: Duration,
    /// How far frames may run ahead of an even spacing.
    head_start: Duration,
    /// When the next frame would be sent if all had been spaced evenly. With it, a token bucket
    /// needs no ticks to fill up.
    even_at: Instant,
}

impl Ceiling {
    fn new(limit: Limit) -> Self {
        let spacing = limit.spacing();
        let head_start = spacing * (limit.at_once - MOST_FRAMES);
        Self { spacing, head_start, even_at: Instant::START }
    }

    /// When it lets the next frame out.
    fn open_at(&self) -> Instant {
        Instant::START + self.even_at.since_start().saturating_sub(self.head_start)
    }

    fn spend(&mut self, now: Instant, frames: u32) {
        self.even_at = self.even_at.max(now) + self.spacing * frames;
    }
}

/// One ceiling for each kind of steps.
#[derive(Debug)]
struct Ceilings {
    first: Ceiling,
    later: Ceiling,
}

impl Ceilings {
    fn over(&self, step: Step) -> &Ceiling {
        match step {
            Step::First | Step::Probe(_) => &self.first,
            Step::Later(_) | Step::Refresh => &self.later,
        }
    }

    fn over_mut(&mut self, step: Step) -> &mut Ceiling {
        match step {
            Step::First | Step::Probe(_) => &mut self.first,
            Step::Later(_) | Step::Refresh => &mut self.later,
        }
    }
}

/// What an address waits for. An earlier one goes before a later one, whoever waited longer: each
/// address is announced once before any is announced twice.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Step {
    First,
    Probe(u8),
    /// The repeated first is the first of these.
    Later(u8),
    Refresh,
}

/// What is to be sent for an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Due {
    /// A question only.
    Question,
    /// An announcement only.
    Announcement,
    /// Both.
    AnnouncementAndQuestion,
}

impl Due {
    /// How many frames that is.
    fn frames(self, address: IpAddr) -> u32 {
        let announcement = announcement_frames(address);
        match self {
            Self::Question => 1,
            Self::Announcement => announcement,
            Self::AnnouncementAndQuestion => announcement + 1,
        }
    }
}

/// Frames of one announcement: an ARP request and an ARP reply, or a neighbor advertisement.
pub fn announcement_frames(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => 2,
        IpAddr::V6(_) => 1,
    }
}

/// Where an address waits, and what comes after that.
#[derive(Clone, Copy, Debug)]
struct Place {
    step: Step,
    due: Instant,
    schedule: Schedule,
    probe: DuplicateProbe,
}

impl Place {
    fn what(&self) -> Due {
        match self.step {
            Step::Probe(_) => Due::Question,
            Step::First => self.beside(0),
            Step::Later(number) => self.beside(number),
            Step::Refresh => Due::Announcement,
        }
    }

    fn beside(&self, round: u8) -> Due {
        match self.probe {
            DuplicateProbe::Optimistic if round < PROBES => Due::AnnouncementAndQuestion,
            DuplicateProbe::Optimistic | DuplicateProbe::Off | DuplicateProbe::Strict => {
                Due::Announcement
            }
        }
    }

    /// The step after this one, and how much later it is.
    fn next(&self) -> Option<(Step, Duration)> {
        let Schedule { count, interval, refresh_interval } = self.schedule;
        let repeat = REPEAT.min(interval);
        match self.step {
            Step::Probe(number) if number + 1 < PROBES => {
                Some((Step::Probe(number + 1), PROBE_INTERVAL))
            }
            Step::Probe(_) => Some((Step::First, PROBE_WAIT)),
            Step::First => Some((Step::Later(1), repeat)),
            Step::Later(number) if number < count => {
                let after = if number == 1 { interval.saturating_sub(repeat) } else { interval };
                Some((Step::Later(number + 1), after))
            }
            Step::Later(_) | Step::Refresh => Some((Step::Refresh, refresh_interval?)),
        }
    }
}

/// Addresses for which something is still to be sent. An address waits in at most one place.
#[derive(Debug)]
pub(super) struct Bursts {
    /// Who waits for what, and since when it is due.
    waiting: BTreeMap<Step, BTreeSet<(Instant, IpAddr)>>,
    places: BTreeMap<IpAddr, Place>,
    ceilings: Ceilings,
}

impl Bursts {
    pub(super) fn new() -> Self {
        let ceilings = Ceilings { first: Ceiling::new(FIRST), later: Ceiling::new(LATER) };
        Self { waiting: BTreeMap::new(), places: BTreeMap::new(), ceilings }
    }

    /// Starts the burst of `address`, again if it is under way.
    ///
    /// If it was not announced yet it keeps its place: a link that flaps faster than the ceiling
    /// lets addresses out would otherwise put off the last ones for ever.
    pub(super) fn start(
        &mut self,
        now: Instant,
        address: IpAddr,
        schedule: Schedule,
        probe: DuplicateProbe,
    ) {
        let step = match probe {
            DuplicateProbe::Strict => Step::Probe(0),
            DuplicateProbe::Off | DuplicateProbe::Optimistic => Step::First,
        };
        let place = self.places.get(&address);
        if !place.is_some_and(|place| matches!(place.step, Step::First | Step::Probe(_))) {
            self.wait(address, Place { step, due: now, schedule, probe });
        }
    }

    /// Announces `address` from now on in the intervals of `schedule`, without a burst; one that is
    /// under way goes on with the new schedule.
    pub(super) fn refresh(&mut self, now: Instant, address: IpAddr, schedule: Schedule) {
        match self.places.get_mut(&address) {
            Some(place) if place.step != Step::Refresh => place.schedule = schedule,
            Some(_) | None => {
                self.stop(address);
                let Some(interval) = schedule.refresh_interval else { return };
                let (step, due, probe) = (Step::Refresh, now + interval, DuplicateProbe::Off);
                self.wait(address, Place { step, due, schedule, probe });
            }
        }
    }

    /// Asks for `address` from `due` on, before it is announced. What is under way ends.
    pub(super) fn probe_at(&mut self, due: Instant, address: IpAddr, schedule: Schedule) {
        let (step, probe) = (Step::Probe(0), DuplicateProbe::Strict);
        self.wait(address, Place { step, due, schedule, probe });
    }

    /// Ends what is under way for `address`.
    pub(super) fn stop(&mut self, address: IpAddr) {
        let Some(Place { step, due, .. }) = self.places.remove(&address) else { return };
        if let Some(waiting) = self.waiting.get_mut(&step) {
            waiting.remove(&(due, address));
            if waiting.is_empty() {
                self.waiting.remove(&step);
            }
        }
    }

    /// Takes what is to be sent now; `None` if nothing is due or its ceiling is reached.
    pub(super) fn next(&mut self, now: Instant) -> Option<(IpAddr, Due)> {
        let is_open = |step: &Step| self.ceilings.over(*step).open_at() <= now;
        let open = self.waiting.iter().filter(|(step, _)| is_open(step));
        let mut first = open.filter_map(|(_, waiting)| waiting.first());
        let (_, address) = *first.find(|(due, _)| *due <= now)?;
        let place = *self.places.get(&address)?;
        let what = place.what();
        self.ceilings.over_mut(place.step).spend(now, what.frames(address));
        self.stop(address);
        if let Some((step, after)) = place.next() {
            // Counted from now, not from the start: rounds that were held up do not bunch.
            self.wait(address, Place { step, due: now + after, ..place });
        }
        Some((address, what))
    }

    /// When [`Self::next`] will have something.
    pub(super) fn deadline(&self) -> Option<Instant> {
        earliest(self.waiting.iter().map(|(step, waiting)| {
            let (due, _) = waiting.first()?;
            Some((*due).max(self.ceilings.over(*step).open_at()))
        }))
    }

    fn wait(&mut self, address: IpAddr, place: Place) {
        self.stop(address);
        self.waiting.entry(place.step).or_default().insert((place.due, address));
        self.places.insert(address, place);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    /// When the rounds of the default schedule are due.
    const ROUNDS: [u64; 6] = [0, 50, 1_000, 2_000, 3_000, 4_000];

    fn at(millis: u64) -> Instant {
        Instant::START + Duration::from_millis(millis)
    }

    fn address(last: u32) -> IpAddr {
        Ipv4Addr::from_bits(Ipv4Addr::new(198, 18, 0, 0).to_bits() + last).into()
    }

    fn begin(bursts: &mut Bursts, now: Instant, address: IpAddr) {
        bursts.start(now, address, Schedule::default(), DuplicateProbe::Off);
    }

    /// Sends what is due whenever it is due, until `end`.
    fn sent(bursts: &mut Bursts, end: Instant) -> Vec<(Instant, IpAddr)> {
        let mut sent = vec![];
        while let Some(now) = bursts.deadline().filter(|at| *at <= end) {
            let (address, _) = bursts.next(now).expect("a deadline that leads to an address");
            sent.push((now, address));
        }
        sent
    }

    /// What is sent for one address, and after how many milliseconds.
    fn course(schedule: Schedule, probe: DuplicateProbe, millis: u64) -> Vec<(u128, Due)> {
        let mut bursts = Bursts::new();
        bursts.start(at(0), address(1), schedule, probe);
        let mut course = vec![];
        while let Some(now) = bursts.deadline().filter(|now| *now <= at(millis)) {
            let (_, due) = bursts.next(now).expect("a deadline that leads to something");
            course.push((now.since_start().as_millis(), due));
        }
        course
    }

    #[test]
    fn one_address_is_announced_on_schedule_and_then_no_more() {
        let mut bursts = Bursts::new();
        begin(&mut bursts, at(1_000), address(1));
        let want = ROUNDS.map(|millis| (at(1_000 + millis), address(1)));
        assert_eq!(sent(&mut bursts, at(60_000)), want);
        assert_eq!(bursts.deadline(), None);
    }

    #[test]
    fn a_schedule_is_followed() {
        let schedule = |count, interval, refresh: Option<u64>| Schedule {
            count,
            interval: Duration::from_millis(interval),
            refresh_interval: refresh.map(Duration::from_millis),
        };
        let cases = [
            ("one", schedule(1, 1_000, None), vec![0, 50]),
            ("none is one", schedule(0, 1_000, None), vec![0, 50]),
            ("two", schedule(2, 300, None), vec![0, 50, 300]),
            ("short", schedule(3, 20, None), vec![0, 20, 20, 40]),
            ("refreshed", schedule(2, 300, Some(20_000)), vec![0, 50, 300, 20_300, 40_300]),
        ];
        for (name, schedule, want) in cases {
            let sent = course(schedule, DuplicateProbe::Off, 50_000);
            let want: Vec<_> = want.into_iter().map(|at| (at, Due::Announcement)).collect();
            assert_eq!(sent, want, "{name}");
        }
    }

    #[test]
    fn the_lan_is_asked_before_or_beside_the_first_announcements() {
        use Due::{Announcement, AnnouncementAndQuestion, Question};
        let short = Schedule { count: 3, ..Schedule::default() };
        let want = [0, 50, 1_000].map(|at| (at, AnnouncementAndQuestion)).into_iter();
        let want: Vec<_> = want.chain([(2_000, Announcement)]).collect();
        assert_eq!(course(short, DuplicateProbe::Optimistic, 60_000), want);
        let asked = [0, 500, 1_000].map(|at| (at, Question)).into_iter();
        let told = [2_000, 2_050, 3_000, 4_000].map(|at| (at, Announcement));
        let want: Vec<_> = asked.chain(told).collect();
        assert_eq!(course(short, DuplicateProbe::Strict, 60_000), want);
    }

    #[test]
    fn an_address_is_refreshed_without_a_burst_and_a_burst_takes_over_a_new_schedule() {
        let mut bursts = Bursts::new();
        let every = |secs| Schedule {
            refresh_interval: Some(Duration::from_secs(secs)),
            ..Schedule::default()
        };
        bursts.refresh(at(0), address(1), every(10));
        assert_eq!(sent(&mut bursts, at(20_000)).len(), 2);
        bursts.refresh(at(20_000), address(1), Schedule::default());
        assert_eq!(bursts.deadline(), None);
        begin(&mut bursts, at(20_000), address(1));
        bursts.refresh(at(20_000), address(1), Schedule { count: 1, ..every(10) });
        assert_eq!(sent(&mut bursts, at(30_100)).len(), 3);
    }

    #[test]
    fn nothing_is_sent_before_it_is_due() {
        let mut bursts = Bursts::new();
        begin(&mut bursts, at(0), address(1));
        let due = Some((address(1), Due::Announcement));
        assert_eq!(bursts.next(at(0)), due);
        assert_eq!(bursts.next(at(49)), None);
        assert_eq!(bursts.next(at(50)), due);
    }

    #[test]
    fn a_stopped_burst_is_silent() {
        let mut bursts = Bursts::new();
        begin(&mut bursts, at(0), address(1));
        begin(&mut bursts, at(0), address(2));
        assert_eq!(bursts.next(at(0)), Some((address(1), Due::Announcement)));
        bursts.stop(address(1));
        bursts.stop(address(2));
        assert_eq!(sent(&mut bursts, at(60_000)), []);
    }

    #[test]
    fn a_burst_that_starts_again_has_all_its_rounds_once() {
        let mut bursts = Bursts::new();
        begin(&mut bursts, at(0), address(1));
        assert_eq!(sent(&mut bursts, at(999)).len(), 2);
        begin(&mut bursts, at(999), address(1));
        let want = ROUNDS.map(|millis| (at(999 + millis), address(1)));
        assert_eq!(sent(&mut bursts, at(60_000)), want);
    }

    #[test]
    fn rounds_that_were_held_up_keep_their_distance() {
        let mut bursts = Bursts::new();
        begin(&mut bursts, at(0), address(1));
        assert_eq!(bursts.next(at(9_000)), Some((address(1), Due::Announcement)));
        assert_eq!(bursts.next(at(9_049)), None);
        assert_eq!(bursts.deadline(), Some(at(9_050)));
    }

    /// Takes out what was sent first for each address.
    fn firsts(sent: &mut Vec<(Instant, IpAddr)>) -> Vec<Instant> {
        let mut heard = BTreeSet::new();
        sent.extract_if(.., |(_, address)| heard.insert(*address)).map(|(at, _)| at).collect()
    }

    #[test]
    fn hundreds_of_addresses_go_at_once_and_none_waits_for_repeats_of_others() {
        let mut bursts = Bursts::new();
        (0..1_000).for_each(|last| begin(&mut bursts, at(0), address(last)));
        let mut sent = sent(&mut bursts, at(60_000));
        let firsts = firsts(&mut sent);
        assert_eq!(firsts.iter().filter(|when| **when == at(0)).count(), 199);
        assert!(firsts[999] < at(110), "{}", firsts[999]);
        assert_eq!(sent.len(), 5_000);
        for (round, sent) in sent.chunks(1_000).enumerate() {
            let addresses: BTreeSet<_> = sent.iter().map(|(_, address)| *address).collect();
            assert_eq!(addresses.len(), 1_000, "repeat {round}");
        }
    }

    #[test]
    fn an_address_that_comes_late_is_announced_at_once() {
        let mut bursts = Bursts::new();
        (0..1_000).for_each(|last| begin(&mut bursts, at(0), address(last)));
        sent(&mut bursts, at(2_000));
        begin(&mut bursts, at(2_000), address(1_000));
        assert_eq!(bursts.next(at(2_000)), Some((address(1_000), Due::Announcement)));
    }

    #[test]
    fn frames_are_counted_and_not_addresses() {
        let mut bursts = Bursts::new();
        let v6 = |last: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last));
        (0..1_000).for_each(|last| begin(&mut bursts, at(0), v6(last)));
        let firsts = firsts(&mut sent(&mut bursts, at(60_000)));
        assert_eq!(firsts.iter().filter(|when| **when == at(0)).count(), 398);
        assert!((at(36)..at(41)).contains(&firsts[999]), "{}", firsts[999]);
    }

    #[test]
    fn starting_over_and_over_does_not_put_off_the_last_address() {
        let mut bursts = Bursts::new();
        let mut heard = BTreeSet::new();
        for step in 0..30 {
            (0..1_000).for_each(|last| begin(&mut bursts, at(step * 100), address(last)));
            heard
                .extend(sent(&mut bursts, at(step * 100 + 99)).iter().map(|(_, address)| *address));
        }
        assert_eq!(heard.len(), 1_000);
    }
}
