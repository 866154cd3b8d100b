//! Answers ARP for a set of addresses on one interface.
//!
//! Feed it with [`Responder::handle`], then drain [`Responder::poll`] until `None`, then sleep
//! until [`Responder::deadline`].
//!
//! The claims are the whole of what it needs to know about the world: it does not ask who else
//! might hold an address, and it neither probes nor defends one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use super::Mac;
use super::arp::{self, Arp, Malformed, Operation};
use super::burst::Bursts;
use crate::time::Instant;

/// Outputs that may wait to be polled. A peer that asks faster than the driver drains loses
/// answers, which it asks for again; memory does not grow.
const OUTPUTS_WAITING: usize = 1_024;

/// What happened.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// The addresses that this interface answers for from now on, all of them.
    ///
    /// IPv6 addresses may be among them and are left alone: ARP knows IPv4 only.
    Claims(BTreeSet<IpAddr>),
    /// The interface answers for this address too from now on.
    Claim(IpAddr),
    /// The interface does not answer for this address from now on.
    Release(IpAddr),
    /// The interface received a frame.
    Frame(&'a [u8]),
    /// An address is to be announced again, from the first round of a burst. Nothing if it is not
    /// claimed.
    Announce(IpAddr),
    /// The interface has this address now. If it is another, all claims are announced again.
    Mac(Mac),
    /// The interface has a carrier again: whoever is behind it has not heard of any claim.
    LinkUp,
    /// [`Responder::deadline`] has come. Harmless when it has not.
    Timeout,
}

/// What is to be done or to be known.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Send this Ethernet frame.
    Send(Vec<u8>),
    /// The frame before is a reply.
    Answered {
        /// The claim that was asked for.
        address: IpAddr,
        /// The station that asked.
        to: Mac,
    },
    /// The [`super::burst::FRAMES_PER_ROUND`] frames before are one round of a burst.
    Announced {
        /// The claim.
        address: IpAddr,
    },
}

/// Why a frame gets no answer.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Ignored {
    /// It is no ARP packet for IPv4 over Ethernet.
    Malformed(Malformed),
    /// This interface sent it, or it claims so.
    OwnFrame,
    /// It asks nothing.
    NotARequest,
    /// It was sent to another station, and is seen because the interface is promiscuous.
    NotForThisStation,
    /// It asks for an address that is not claimed here.
    NotClaimed,
    /// The reply would have to go to several stations.
    SenderIsAGroup,
    /// Another station announces an address that is claimed here.
    ///
    /// MetalLB answers, as it does not look at the sender. But nobody asked, and while an address
    /// moves the answer of its former holder would undo what the new one just told.
    Announcement,
    /// The driver does not drain fast enough.
    Overrun,
}

impl Ignored {
    /// Every cause there is.
    pub const ALL: [Self; 10] = [
        Self::Malformed(Malformed::Truncated),
        Self::Malformed(Malformed::NotArp),
        Self::Malformed(Malformed::NotIpv4OverEthernet),
        Self::OwnFrame,
        Self::NotARequest,
        Self::NotForThisStation,
        Self::NotClaimed,
        Self::SenderIsAGroup,
        Self::Announcement,
        Self::Overrun,
    ];

    /// The cause as the value of a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Malformed(Malformed::Truncated) => "truncated",
            Self::Malformed(Malformed::NotArp) => "not_arp",
            Self::Malformed(Malformed::NotIpv4OverEthernet) => "not_ipv4_over_ethernet",
            Self::OwnFrame => "own_frame",
            Self::NotARequest => "not_a_request",
            Self::NotForThisStation => "not_for_this_station",
            Self::NotClaimed => "not_claimed",
            Self::SenderIsAGroup => "sender_is_a_group",
            Self::Announcement => "announcement",
            Self::Overrun => "overrun",
        }
    }
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed(cause) => return cause.fmt(f),
            Self::OwnFrame => "the frame comes from this interface itself",
            Self::NotARequest => "the packet is not a request",
            Self::NotForThisStation => "the frame is for another station",
            Self::NotClaimed => "the address is not claimed on this interface",
            Self::SenderIsAGroup => "the sender's hardware address is multicast or broadcast",
            Self::Announcement => "another station announces the address as its own",
            Self::Overrun => "too many answers wait to be sent",
        })
    }
}

/// Answers and announces the claims of one interface.
#[derive(Debug)]
pub struct Responder {
    mac: Mac,
    claims: BTreeSet<Ipv4Addr>,
    bursts: Bursts,
    /// What waits to be polled, and the claim it is about.
    outputs: VecDeque<(Ipv4Addr, Output)>,
    ignored: BTreeMap<Ignored, u64>,
}

impl Responder {
    /// A responder without claims, for an interface that has the address `mac`.
    pub fn new(mac: Mac) -> Self {
        Self {
            mac,
            claims: BTreeSet::new(),
            bursts: Bursts::new(),
            outputs: VecDeque::new(),
            ignored: Ignored::ALL.map(|cause| (cause, 0)).into(),
        }
    }

    /// Takes in one event.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Claims(wanted) => self.claim(now, &wanted),
            Input::Claim(IpAddr::V4(address)) => {
                if self.claims.insert(address) {
                    self.bursts.start(now, address);
                }
            }
            Input::Release(IpAddr::V4(address)) => self.release(address),
            Input::Frame(bytes) => self.receive(bytes),
            Input::Announce(IpAddr::V4(address)) if self.claims.contains(&address) => {
                self.bursts.start(now, address);
            }
            Input::Mac(mac) if mac != self.mac => {
                self.mac = mac;
                // They tell of the former address. Whoever waits for a reply asks again.
                self.outputs.clear();
                self.announce_all(now);
            }
            Input::LinkUp => self.announce_all(now),
            Input::Announce(_)
            | Input::Claim(_)
            | Input::Mac(_)
            | Input::Release(_)
            | Input::Timeout => (),
        }
        self.announce(now);
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

    fn claim(&mut self, now: Instant, wanted: &BTreeSet<IpAddr>) {
        let wanted: BTreeSet<Ipv4Addr> = wanted.iter().filter_map(ipv4).collect();
        for address in self.claims.difference(&wanted) {
            self.bursts.stop(*address);
        }
        self.outputs.retain(|(address, _)| wanted.contains(address));
        for address in wanted.difference(&self.claims) {
            self.bursts.start(now, *address);
        }
        self.claims = wanted;
    }

    fn release(&mut self, address: Ipv4Addr) {
        if self.claims.remove(&address) {
            self.bursts.stop(address);
            self.outputs.retain(|(about, _)| *about != address);
        }
    }

    fn announce_all(&mut self, now: Instant) {
        for address in &self.claims {
            self.bursts.start(now, *address);
        }
    }

    /// Sends the rounds that are due.
    fn announce(&mut self, now: Instant) {
        while self.outputs.len() < OUTPUTS_WAITING
            && let Some(address) = self.bursts.next(now)
        {
            let frames = [
                arp::announcement_request(self.mac, address),
                arp::announcement_reply(self.mac, address),
            ];
            self.outputs.extend(frames.map(|frame| (address, Output::Send(frame.to_vec()))));
            self.outputs.push_back((address, Output::Announced { address: address.into() }));
        }
    }

    fn receive(&mut self, bytes: &[u8]) {
        match self.judge(bytes) {
            Ok(request) => {
                let Arp { target: address, sender_mac: to, .. } = request;
                let frame = arp::reply(self.mac, &request).to_vec();
                self.outputs.push_back((address, Output::Send(frame)));
                self.outputs.push_back((address, Output::Answered { address: address.into(), to }));
            }
            Err(cause) => *self.ignored.entry(cause).or_default() += 1,
        }
    }

    /// Finds the request to answer. Who sent it is not looked at further than a reply needs:
    /// probes (RFC 5227 section 2.1.1) and hosts of other subnets are answered like any.
    fn judge(&self, bytes: &[u8]) -> Result<Arp, Ignored> {
        let packet = arp::decode(bytes).map_err(Ignored::Malformed)?;
        if packet.frame_from == self.mac || packet.sender_mac == self.mac {
            return Err(Ignored::OwnFrame);
        }
        if packet.operation != Operation::Request {
            return Err(Ignored::NotARequest);
        }
        if packet.frame_to != self.mac && packet.frame_to != Mac::BROADCAST {
            return Err(Ignored::NotForThisStation);
        }
        if !self.claims.contains(&packet.target) {
            return Err(Ignored::NotClaimed);
        }
        if packet.sender_mac.is_group() {
            return Err(Ignored::SenderIsAGroup);
        }
        if packet.is_announcement() {
            return Err(Ignored::Announcement);
        }
        if self.outputs.len() >= OUTPUTS_WAITING {
            return Err(Ignored::Overrun);
        }
        Ok(packet)
    }
}

fn ipv4(address: &IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(*address),
        IpAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::{Index, subsequence};

    use super::*;
    use crate::l2::burst::SCHEDULE;

    const HERE: Mac = Mac([0x02, 0, 0, 0, 0, 0x01]);
    const ELSEWHERE: Mac = Mac([0x02, 0, 0, 0, 0, 0x02]);
    const HOST: Mac = Mac([0x02, 0, 0, 0, 0, 0x99]);
    const HOST_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 99);
    const OURS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
    const OTHER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 11);

    fn claims<const N: usize>(addresses: [Ipv4Addr; N]) -> Input<'static> {
        Input::Claims(addresses.map(IpAddr::V4).into())
    }

    fn after(millis: u64) -> Instant {
        Instant::START + Duration::from_millis(millis)
    }

    fn drain(responder: &mut Responder) -> Vec<Output> {
        std::iter::from_fn(|| responder.poll()).collect()
    }

    /// A responder that claims `OURS` and has announced it to the end.
    fn settled() -> Responder {
        let mut responder = Responder::new(HERE);
        responder.handle(Instant::START, claims([OURS]));
        while let Some(at) = responder.deadline() {
            responder.handle(at, Input::Timeout);
        }
        drain(&mut responder);
        responder
    }

    fn round(mac: Mac, address: Ipv4Addr) -> [Output; 3] {
        [
            Output::Send(arp::announcement_request(mac, address).to_vec()),
            Output::Send(arp::announcement_reply(mac, address).to_vec()),
            Output::Announced { address: address.into() },
        ]
    }

    /// The host's question for `target`, with bytes changed at `at`.
    fn question<const N: usize>(target: Ipv4Addr, at: usize, to: [u8; N]) -> Vec<u8> {
        let mut bytes = arp::request(HOST, HOST_ADDRESS, target).to_vec();
        bytes[at..at + N].copy_from_slice(&to);
        bytes
    }

    /// Feeds one frame to a settled responder: what comes out, and the causes that were counted.
    fn verdict(frame: &[u8]) -> (Vec<Output>, Vec<(Ignored, u64)>) {
        let mut responder = settled();
        responder.handle(after(9_000), Input::Frame(frame));
        let counted = responder.ignored().iter().map(|(cause, count)| (*cause, *count));
        let counted = counted.filter(|(_, count)| *count > 0).collect();
        (drain(&mut responder), counted)
    }

    #[test]
    fn a_request_for_a_claim_is_answered_whoever_asks() {
        let cases = [
            ("a broadcast request", question(OURS, 0, Mac::BROADCAST.0)),
            ("a unicast request", question(OURS, 0, HERE.0)),
            ("a probe", question(OURS, 28, [0; 4])),
            ("a host of another subnet", question(OURS, 28, [10, 0, 0, 1])),
            ("forwarded by another station", question(OURS, 6, ELSEWHERE.0)),
        ];
        for (name, frame) in cases {
            let reply = Output::Send(arp::reply(HERE, &arp::decode(&frame).unwrap()).to_vec());
            let answered = Output::Answered { address: OURS.into(), to: HOST };
            assert_eq!(verdict(&frame), (vec![reply, answered], vec![]), "{name}");
        }
    }

    #[test]
    fn other_frames_are_ignored_and_counted_by_cause() {
        use Ignored::*;
        use arp::Malformed::{NotArp, NotIpv4OverEthernet, Truncated};
        let cases = [
            ("an empty frame", vec![], Malformed(Truncated)),
            ("IPv4", question(OURS, 12, [8, 0]), Malformed(NotArp)),
            ("for IPv6", question(OURS, 16, [0x86, 0xdd]), Malformed(NotIpv4OverEthernet)),
            ("our frame comes back", question(OURS, 6, HERE.0), OwnFrame),
            ("our address in another's frame", question(OURS, 22, HERE.0), OwnFrame),
            ("a reply", question(OURS, 20, [0, 2]), NotARequest),
            ("told", arp::announcement_reply(ELSEWHERE, OURS).to_vec(), NotARequest),
            ("an operation of another RFC", question(OURS, 20, [0, 8]), NotARequest),
            ("overheard", question(OURS, 0, ELSEWHERE.0), NotForThisStation),
            ("multicast", question(OURS, 0, [1, 0, 0x5e, 0, 0, 1]), NotForThisStation),
            ("another's address", question(OTHER, 38, OTHER.octets()), NotClaimed),
            ("a broadcast sender", question(OURS, 22, [0xff; 6]), SenderIsAGroup),
            ("a multicast sender", question(OURS, 22, [1]), SenderIsAGroup),
            ("announced", arp::announcement_request(ELSEWHERE, OURS).to_vec(), Announcement),
        ];
        for (name, frame, cause) in cases {
            assert_eq!(verdict(&frame), (vec![], vec![(cause, 1)]), "{name}");
        }
    }

    #[test]
    fn a_driver_that_does_not_drain_loses_answers_and_nothing_else() {
        let mut responder = settled();
        let frame = question(OURS, 0, HERE.0);
        for _ in 0..OUTPUTS_WAITING {
            responder.handle(after(9_000), Input::Frame(&frame));
        }
        assert_eq!(responder.ignored()[&Ignored::Overrun], 512);
        assert_eq!(drain(&mut responder).len(), OUTPUTS_WAITING);
        responder.handle(after(9_000), Input::Frame(&frame));
        assert_eq!(drain(&mut responder).len(), 2);
    }

    #[test]
    fn an_announcement_waits_for_a_driver_that_does_not_drain() {
        let mut responder = settled();
        let frame = question(OURS, 0, HERE.0);
        for _ in 0..OUTPUTS_WAITING {
            responder.handle(after(9_000), Input::Frame(&frame));
        }
        responder.handle(after(9_000), Input::Announce(OURS.into()));
        assert_eq!(drain(&mut responder).len(), OUTPUTS_WAITING);
        assert_eq!(responder.deadline(), Some(after(9_000)));
        responder.handle(after(9_000), Input::Timeout);
        assert_eq!(drain(&mut responder), round(HERE, OURS));
    }

    #[test]
    fn each_cause_has_its_label_and_sentence_and_is_counted_from_the_start() {
        let labels: BTreeSet<_> = Ignored::ALL.iter().map(|cause| cause.label()).collect();
        assert_eq!(labels.len(), Ignored::ALL.len());
        let sentences: BTreeSet<_> = Ignored::ALL.iter().map(Ignored::to_string).collect();
        assert_eq!(sentences.len(), Ignored::ALL.len());
        assert_eq!(Responder::new(HERE).ignored(), &Ignored::ALL.map(|cause| (cause, 0)).into());
    }

    #[test]
    fn a_new_claim_is_announced_on_schedule() {
        let mut responder = Responder::new(HERE);
        responder.handle(Instant::START, claims([OURS]));
        assert_eq!(drain(&mut responder), round(HERE, OURS));
        for offset in &SCHEDULE[1..] {
            let due = Instant::START + *offset;
            assert_eq!(responder.deadline(), Some(due));
            responder.handle(due, Input::Timeout);
            assert_eq!(drain(&mut responder), round(HERE, OURS), "at {due}");
            responder.handle(due, Input::Timeout);
            assert_eq!(drain(&mut responder), [], "a second timeout at {due}");
        }
        assert_eq!(responder.deadline(), None);
    }

    #[test]
    fn what_is_announced_follows_from_what_changed() {
        let v6 = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]);
        let cases = [
            ("the same claims", claims([OURS]), vec![]),
            ("one more claim", claims([OURS, OTHER]), round(HERE, OTHER).into()),
            ("another claim instead", claims([OTHER]), round(HERE, OTHER).into()),
            ("no claims", claims([]), vec![]),
            ("an IPv6 claim", Input::Claims([OURS.into(), v6].into()), vec![]),
            ("again, please", Input::Announce(OURS.into()), round(HERE, OURS).into()),
            ("again, but not claimed", Input::Announce(OTHER.into()), vec![]),
            ("again, but IPv6", Input::Announce(v6), vec![]),
            ("the same hardware address", Input::Mac(HERE), vec![]),
            ("a new hardware address", Input::Mac(ELSEWHERE), round(ELSEWHERE, OURS).into()),
            ("the link is back", Input::LinkUp, round(HERE, OURS).into()),
            ("time", Input::Timeout, vec![]),
        ];
        for (name, input, want) in cases {
            let mut responder = settled();
            responder.handle(after(9_000), input);
            assert_eq!(drain(&mut responder), want, "{name}");
            let is_under_way = responder.deadline() == Some(after(9_050));
            assert_eq!(is_under_way, !want.is_empty(), "{name}");
        }
    }

    #[test]
    fn a_claim_that_goes_is_neither_announced_nor_answered_from_that_moment() {
        let mut responder = settled();
        responder.handle(after(9_000), Input::Announce(OURS.into()));
        responder.handle(after(9_000), Input::Frame(&question(OURS, 0, HERE.0)));
        responder.handle(after(9_000), claims([]));
        assert_eq!(drain(&mut responder), [], "what was not yet polled");
        assert_eq!(responder.deadline(), None, "the burst under way");
        responder.handle(after(9_050), Input::Frame(&question(OURS, 0, HERE.0)));
        assert_eq!(drain(&mut responder), []);
    }

    #[test]
    fn frames_that_wait_with_a_former_hardware_address_are_not_sent() {
        let mut responder = settled();
        responder.handle(after(9_000), Input::Frame(&question(OURS, 0, HERE.0)));
        responder.handle(after(9_000), Input::Mac(ELSEWHERE));
        assert_eq!(drain(&mut responder), round(ELSEWHERE, OURS));
    }

    const ADDRESSES: [Ipv4Addr; 3] = [OURS, OTHER, Ipv4Addr::new(192, 0, 2, 12)];

    /// One step of a random walk.
    #[derive(Clone, Debug)]
    enum Step {
        Claims(Vec<Ipv4Addr>),
        Frame(Vec<u8>),
        Announce(Ipv4Addr),
        Mac(Mac),
        LinkUp,
        Pass(u64),
        Drain,
    }

    fn mutated() -> impl Strategy<Value = Vec<u8>> {
        let target = prop::sample::select(&ADDRESSES[..]);
        (target, vec((any::<Index>(), any::<u8>()), 0..3), 38..70_usize).prop_map(
            |(target, changes, len)| {
                let mut bytes = arp::request(HOST, HOST_ADDRESS, target).to_vec();
                bytes.resize(len, 0);
                for (at, to) in changes {
                    *at.get_mut(&mut bytes) = to;
                }
                bytes
            },
        )
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            2 => subsequence(ADDRESSES.to_vec(), 0..=3).prop_map(Step::Claims),
            1 => vec(any::<u8>(), 0..70).prop_map(Step::Frame),
            6 => mutated().prop_map(Step::Frame),
            1 => prop::sample::select(&ADDRESSES[..]).prop_map(Step::Announce),
            1 => prop::sample::select(&[HERE, ELSEWHERE][..]).prop_map(Step::Mac),
            1 => Just(Step::LinkUp),
            3 => (0..1_500_u64).prop_map(Step::Pass),
            6 => Just(Step::Drain),
        ]
    }

    /// What the walk knows to be true beside the responder.
    struct Walk {
        now: Instant,
        mac: Mac,
        claims: BTreeSet<Ipv4Addr>,
        responder: Responder,
    }

    impl Walk {
        fn take(&mut self, step: &Step) {
            let input = match step {
                Step::Claims(addresses) => {
                    self.claims = addresses.iter().copied().collect();
                    Input::Claims(addresses.iter().copied().map(IpAddr::V4).collect())
                }
                Step::Frame(bytes) => Input::Frame(bytes),
                Step::Announce(address) => Input::Announce((*address).into()),
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
        }

        fn drain(&mut self) {
            for output in drain(&mut self.responder) {
                let about = match output {
                    Output::Send(frame) => {
                        let sent = arp::decode(&frame).unwrap();
                        assert_eq!((sent.frame_from, sent.sender_mac), (self.mac, self.mac));
                        let is_for_all = sent.frame_to == Mac::BROADCAST;
                        assert!(sent.is_announcement() || !is_for_all, "a reply is for one");
                        sent.sender
                    }
                    Output::Answered { address, .. } | Output::Announced { address } => {
                        ipv4(&address).unwrap()
                    }
                };
                assert!(self.claims.contains(&about), "{about} is not claimed");
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..100)) {
            settled().handle(after(9_000), Input::Frame(&bytes));
        }

        #[test]
        fn nothing_is_ever_sent_for_an_address_that_is_not_claimed(steps in vec(step(), 1..60)) {
            let responder = Responder::new(HERE);
            let claims = BTreeSet::new();
            let mut walk = Walk { now: Instant::START, mac: HERE, claims, responder };
            steps.iter().for_each(|step| walk.take(step));
            walk.drain();
        }

        #[test]
        fn claiming_one_by_one_is_the_same_as_all_at_once(
            sets in vec((subsequence(ADDRESSES.to_vec(), 0..=3), 0..1_500_u64), 1..20),
        ) {
            let (mut whole, mut each) = (Responder::new(HERE), Responder::new(HERE));
            let mut now = Instant::START;
            for (set, millis) in sets {
                now = now + Duration::from_millis(millis);
                let wanted: BTreeSet<_> = set.iter().copied().map(IpAddr::V4).collect();
                for address in ADDRESSES.map(IpAddr::V4) {
                    let is_wanted = wanted.contains(&address);
                    let claim = if is_wanted { Input::Claim } else { Input::Release };
                    each.handle(now, claim(address));
                }
                whole.handle(now, Input::Claims(wanted));
                prop_assert_eq!(&whole.claims, &each.claims);
                // In which order addresses are announced is of no matter.
                let sorted = |responder: &mut Responder| {
                    let mut outputs: Vec<_> =
                        drain(responder).iter().map(|one| format!("{one:?}")).collect();
                    outputs.sort();
                    outputs
                };
                prop_assert_eq!(sorted(&mut whole), sorted(&mut each));
            }
        }

        #[test]
        fn each_frame_is_answered_or_counted_once(frames in vec(mutated(), 1..30)) {
            let mut responder = settled();
            for frame in &frames {
                responder.handle(after(9_000), Input::Frame(frame));
            }
            let outputs = drain(&mut responder);
            let is_answer = |output: &&Output| matches!(output, Output::Answered { .. });
            let answered = outputs.iter().filter(is_answer).count() as u64;
            let ignored: u64 = responder.ignored().values().sum();
            prop_assert_eq!(answered + ignored, frames.len() as u64);
        }

        #[test]
        fn every_burst_ends_and_has_announced_every_claim(steps in vec(step(), 1..60)) {
            let responder = Responder::new(HERE);
            let claims = BTreeSet::new();
            let mut walk = Walk { now: Instant::START, mac: HERE, claims, responder };
            steps.iter().for_each(|step| walk.take(step));
            walk.take(&Step::LinkUp);
            walk.drain();
            let mut announced = BTreeMap::new();
            let mut now = walk.now;
            while let Some(at) = walk.responder.deadline() {
                now = at.max(now);
                walk.responder.handle(now, Input::Timeout);
                for output in drain(&mut walk.responder) {
                    if let Output::Announced { address } = output {
                        *announced.entry(address).or_insert(0) += 1;
                    }
                }
            }
            prop_assert!(announced.keys().copied().filter_map(|a| ipv4(&a)).eq(walk.claims));
            prop_assert!(now - walk.now <= Duration::from_millis(4_500));
        }
    }
}
