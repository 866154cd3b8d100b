//! What holds for any inputs.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

const ADDRESSES: [IpAddr; 4] = [OURS[0], OURS[1], IpAddr::V4(OTHER4), IpAddr::V6(OTHER6)];

/// One step of a random walk.
#[derive(Clone, Debug)]
enum Step {
    Answer(IpAddr, Option<Voice>, Arrival),
    Follow(IpAddr, bool),
    Frame(Vec<u8>),
    Ask(IpAddr),
    Announce(IpAddr),
    Defend(IpAddr),
    Mac(Mac),
    LinkUp,
    Pass(u64),
    Drain,
}

/// A question with octets changed; that of NDP mostly has a wrong checksum then.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let changes = vec((any::<Index>(), any::<u8>()), 0..3);
    (select(&ADDRESSES[..]), changes, 38..100_usize).prop_map(|(target, changes, len)| {
        let mut bytes = match target {
            IpAddr::V4(target) => arp::request(HOST, HOST4, target).to_vec(),
            IpAddr::V6(target) => ndp::encode(&solicitation(target)),
        };
        bytes.resize(len.max(bytes.len() - 4), 0);
        for (at, to) in changes {
            *at.get_mut(&mut bytes) = to;
        }
        bytes
    })
}

/// An advertisement or announcement of somebody.
fn told() -> impl Strategy<Value = Vec<u8>> {
    (select(&ADDRESSES[..]), any::<bool>()).prop_map(|(address, is_reply)| match address {
        IpAddr::V4(address) if is_reply => arp::announcement_reply(HOST, address).to_vec(),
        IpAddr::V4(address) => arp::announcement_request(HOST, address).to_vec(),
        IpAddr::V6(address) if is_reply => ndp::encode(&advertisement(address)),
        IpAddr::V6(address) => ndp::announcement(HOST, address),
    })
}

fn step() -> impl Strategy<Value = Step> {
    let address = || select(&ADDRESSES[..]);
    let voice = select(vec![None, Some(Voice::Own), Some(Voice::StandingInFor(ELSEWHERE))]);
    let arrival = select(vec![
        Arrival::First(DuplicateProbe::Off),
        Arrival::First(DuplicateProbe::Optimistic),
        Arrival::First(DuplicateProbe::Strict),
        Arrival::TakenOver,
        Arrival::Resumed,
    ]);
    prop_oneof![
        4 => (address(), voice, arrival).prop_map(|(at, voice, by)| Step::Answer(at, voice, by)),
        2 => (address(), any::<bool>()).prop_map(|(at, is)| Step::Follow(at, is)),
        1 => vec(any::<u8>(), 0..100).prop_map(Step::Frame),
        6 => mutated().prop_map(Step::Frame),
        2 => told().prop_map(Step::Frame),
        1 => address().prop_map(Step::Ask),
        1 => address().prop_map(Step::Announce),
        1 => address().prop_map(Step::Defend),
        1 => select(&[HERE, ELSEWHERE][..]).prop_map(Step::Mac),
        1 => Just(Step::LinkUp),
        3 => (0..1_500_u64).prop_map(Step::Pass),
        6 => Just(Step::Drain),
    ]
}

/// What the walk knows to be true beside the responder.
struct Walk {
    now: Instant,
    mac: Mac,
    voices: BTreeMap<IpAddr, Voice>,
    followed: BTreeSet<IpAddr>,
    groups: BTreeSet<Ipv6Addr>,
    responder: Responder,
}

impl Walk {
    fn new() -> Self {
        Self {
            now: Instant::START,
            mac: HERE,
            voices: BTreeMap::new(),
            followed: BTreeSet::new(),
            groups: BTreeSet::new(),
            responder: Responder::new(HERE),
        }
    }

    fn take(&mut self, step: &Step) {
        let input = match step {
            Step::Answer(address, voice, arrival) => {
                match voice {
                    Some(voice) => _ = self.voices.insert(*address, *voice),
                    None => _ = self.voices.remove(address),
                }
                let (address, schedule) = (*address, Schedule::default());
                Input::Answer { address, voice: *voice, arrival: *arrival, schedule }
            }
            Step::Follow(address, is_followed) => {
                match is_followed {
                    true => _ = self.followed.insert(*address),
                    false => _ = self.followed.remove(address),
                }
                follow(*address, *is_followed)
            }
            Step::Frame(bytes) => Input::Frame(bytes),
            Step::Ask(address) => Input::Ask { address: *address, mac: HOST },
            Step::Announce(address) => Input::Announce { address: *address },
            Step::Defend(address) => Input::Defend { address: *address },
            Step::Mac(mac) => {
                self.mac = *mac;
                Input::Mac(*mac)
            }
            Step::LinkUp => Input::LinkUp,
            Step::Pass(millis) => {
                self.now = self.now + Duration::from_millis(*millis);
                Input::Timeout
            }
            Step::Drain => return self.drain(),
        };
        self.responder.handle(self.now, input);
        if matches!(step, Step::Ask(_)) {
            // Nothing is claimed by asking, so what comes out is not looked at further.
            self.drain_asking();
        }
    }

    fn drain(&mut self) {
        for output in drain(&mut self.responder) {
            match output {
                Output::Frame(frame) => self.check(&frame),
                Output::Answered { address, .. } => assert!(self.voices.contains_key(&address)),
                Output::Announced { address, .. } => {
                    assert_eq!(self.voices.get(&address), Some(&Voice::Own), "{address}");
                }
                Output::Heard(_) => (),
                Output::Join(group) => assert!(self.groups.insert(group), "joined twice"),
                Output::Leave(group) => assert!(self.groups.remove(&group), "left twice"),
            }
        }
        let known = self.voices.keys().chain(&self.followed);
        let groups = known.filter_map(|address| match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Some(ndp::solicited_node(*address)),
        });
        assert_eq!(self.groups, groups.collect());
    }

    fn drain_asking(&mut self) {
        let question = |output: &Output| {
            matches!(output, Output::Frame(frame)
                if Packet::decode(frame).is_ok_and(|packet| packet.question().is_some()
                    && packet.is_to(HOST)))
        };
        self.responder.outputs.retain(|(_, output)| !question(output));
    }

    /// A frame that claims something claims what is ours to claim, in the right voice.
    fn check(&self, frame: &[u8]) {
        let packet = Packet::decode(frame).unwrap();
        assert_eq!(packet.from(), self.mac);
        let Some((address, mac)) = packet.claim() else {
            assert!(packet.is_probe() && packet.is_to_many(), "a question to all");
            return;
        };
        let want = match self.voices.get(&address) {
            Some(Voice::Own) => self.mac,
            Some(Voice::StandingInFor(mac)) => *mac,
            None => panic!("{address} is not claimed"),
        };
        assert_eq!(mac, want);
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..100)) {
        settled().handle(later(), Input::Frame(&bytes));
    }

    #[test]
    fn nothing_is_ever_sent_for_an_address_that_is_not_claimed(steps in vec(step(), 1..60)) {
        let mut walk = Walk::new();
        steps.iter().for_each(|step| walk.take(step));
        walk.drain();
    }

    #[test]
    fn each_frame_leads_to_something_or_is_counted_once(
        frames in vec(prop_oneof![mutated(), told()], 1..30),
    ) {
        let mut responder = settled();
        for frame in &frames {
            responder.handle(later(), Input::Frame(frame));
            let outputs = drain(&mut responder);
            let ignored: u64 = responder.ignored().values().sum();
            prop_assert_ne!(outputs.is_empty(), ignored == 0);
            responder.ignored.clear();
        }
    }

    #[test]
    fn every_burst_ends_and_has_announced_every_claim(steps in vec(step(), 1..60)) {
        let mut walk = Walk::new();
        steps.iter().for_each(|step| walk.take(step));
        walk.take(&Step::LinkUp);
        walk.drain();
        let mut announced = BTreeSet::new();
        let mut now = walk.now;
        // Until those that somebody objected to have been asked for again.
        let end = now + PROBE_AGAIN + Duration::from_secs(10);
        while let Some(at) = walk.responder.deadline().filter(|at| *at <= end) {
            now = at.max(now);
            walk.responder.handle(now, Input::Timeout);
            for output in drain(&mut walk.responder) {
                if let Output::Announced { address, .. } = output {
                    announced.insert(address);
                }
            }
        }
        prop_assert_eq!(walk.responder.deadline(), None);
        let own = walk.voices.iter().filter(|(_, voice)| **voice == Voice::Own);
        let own: BTreeSet<_> = own.map(|(address, _)| *address).collect();
        prop_assert_eq!(announced, own);
    }
}
