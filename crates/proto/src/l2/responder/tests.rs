//! Whom it answers, what it announces and what it reports; and that nothing is said beyond that.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;
use crate::l2::ndp::{Message, Ndp};
use crate::l2::{arp, ndp};

mod properties;

const HERE: Mac = Mac([0x02, 0, 0, 0, 0, 0x01]);
const ELSEWHERE: Mac = Mac([0x02, 0, 0, 0, 0, 0x02]);
const HOST: Mac = Mac([0x02, 0, 0, 0, 0, 0x99]);
const HOST4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 99);
const HOST6: Ipv6Addr = v6(0x99);
const OURS4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const OURS6: Ipv6Addr = v6(0x10);
const FOLLOWED4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 20);
const FOLLOWED6: Ipv6Addr = v6(0x20);
const OTHER4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 11);
const OTHER6: Ipv6Addr = v6(0x11);
const OURS: [IpAddr; 2] = [IpAddr::V4(OURS4), IpAddr::V6(OURS6)];

const fn v6(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last)
}

/// When the rounds of the default schedule are due.
const ROUNDS: [u64; 6] = [0, 50, 1_000, 2_000, 3_000, 4_000];

fn answer(address: impl Into<IpAddr>, voice: Voice, arrival: Arrival) -> Input<'static> {
    let (address, schedule) = (address.into(), Schedule::default());
    Input::Answer { address, voice: Some(voice), arrival, schedule }
}

fn claim(address: impl Into<IpAddr>) -> Input<'static> {
    answer(address, Voice::Own, Arrival::TakenOver)
}

fn release(address: impl Into<IpAddr>) -> Input<'static> {
    let (arrival, schedule) = (Arrival::TakenOver, Schedule::default());
    Input::Answer { address: address.into(), voice: None, arrival, schedule }
}

fn follow(address: impl Into<IpAddr>, is_followed: bool) -> Input<'static> {
    Input::Follow { address: address.into(), is_followed }
}

fn after(millis: u64) -> Instant {
    Instant::START + Duration::from_millis(millis)
}

/// A moment at which nothing is under way any more.
fn later() -> Instant {
    after(9_000)
}

fn drain(responder: &mut Responder) -> Vec<Output> {
    std::iter::from_fn(|| responder.poll()).collect()
}

/// A responder that answers for `OURS`, and has announced them to the end, and follows two others.
fn settled() -> Responder {
    let mut responder = Responder::new(HERE);
    for address in OURS {
        responder.handle(Instant::START, claim(address));
    }
    responder.handle(Instant::START, follow(FOLLOWED4, true));
    responder.handle(Instant::START, follow(FOLLOWED6, true));
    while let Some(at) = responder.deadline() {
        responder.handle(at, Input::Timeout);
    }
    drain(&mut responder);
    responder
}

fn round(mac: Mac, address: impl Into<IpAddr>) -> Vec<Output> {
    let address = address.into();
    let frames = match address {
        IpAddr::V4(address) => vec![
            arp::announcement_request(mac, address).to_vec(),
            arp::announcement_reply(mac, address).to_vec(),
        ],
        IpAddr::V6(address) => vec![ndp::announcement(mac, address)],
    };
    let count = u32::try_from(frames.len()).unwrap();
    let frames = frames.into_iter().map(Output::Frame);
    frames.chain([Output::Announced { address, frames: count }]).collect()
}

/// The host's ARP request for `target`, with bytes changed at `at`.
fn request<const N: usize>(target: Ipv4Addr, at: usize, to: [u8; N]) -> Vec<u8> {
    let mut bytes = arp::request(HOST, HOST4, target).to_vec();
    bytes[at..at + N].copy_from_slice(&to);
    bytes
}

/// The host's neighbor solicitation for `target`.
fn solicitation(target: Ipv6Addr) -> Ndp {
    let destination = ndp::solicited_node(target);
    Ndp {
        frame_to: ndp::group_mac(destination),
        frame_from: HOST,
        source: HOST6,
        destination,
        target,
        message: Message::Solicitation { source_mac: Some(HOST) },
    }
}

/// A neighbor advertisement that tells `HERE` of the host's own address or another.
fn advertisement(target: Ipv6Addr) -> Ndp {
    let flags = ndp::Flags { is_solicited: true, ..ndp::Flags::default() };
    Ndp {
        frame_to: HERE,
        frame_from: HOST,
        source: target,
        destination: v6(1),
        target,
        message: Message::Advertisement { flags, target_mac: Some(HOST) },
    }
}

/// Feeds one frame to a responder: what comes out, and the causes that were counted.
fn verdict(mut responder: Responder, frame: &[u8]) -> (Vec<Output>, Vec<(Ignored, u64)>) {
    responder.handle(later(), Input::Frame(frame));
    let counted = responder.ignored().iter().map(|(cause, count)| (*cause, *count));
    let counted = counted.filter(|(_, count)| *count > 0).collect();
    (drain(&mut responder), counted)
}

#[test]
fn a_request_for_a_claim_is_answered_whoever_asks() {
    let cases = [
        ("a broadcast request", request(OURS4, 0, Mac::BROADCAST.0)),
        ("a unicast request", request(OURS4, 0, HERE.0)),
        ("a probe", request(OURS4, 28, [0; 4])),
        ("a host of another subnet", request(OURS4, 28, [10, 0, 0, 1])),
        ("forwarded by another station", request(OURS4, 6, ELSEWHERE.0)),
    ];
    for (name, frame) in cases {
        let reply = arp::reply(HERE, HERE, &arp::decode(&frame).unwrap()).to_vec();
        let answered = Output::Answered { address: OURS4.into(), to: HOST };
        let want = vec![Output::Frame(reply), answered];
        assert_eq!(verdict(settled(), &frame), (want, vec![]), "{name}");
    }
}

#[test]
fn a_solicitation_for_a_claim_is_answered_whoever_asks() {
    let asked = solicitation(OURS6);
    let bare = Message::Solicitation { source_mac: None };
    let nobody = Ipv6Addr::UNSPECIFIED;
    let cases = [
        ("multicast", asked),
        ("multicast, without option", Ndp { message: bare, ..asked }),
        ("unicast", Ndp { frame_to: HERE, destination: OURS6, ..asked }),
        (
            "unicast, without option",
            Ndp { frame_to: HERE, destination: OURS6, message: bare, ..asked },
        ),
        ("from another subnet", Ndp { source: "fe80::1".parse().unwrap(), ..asked }),
        ("duplicate address detection", Ndp { source: nobody, message: bare, ..asked }),
    ];
    for (name, asked) in cases {
        let reply = Output::Frame(ndp::answer(HERE, HERE, &asked));
        let want = vec![reply, Output::Answered { address: OURS6.into(), to: HOST }];
        assert_eq!(verdict(settled(), &ndp::encode(&asked)), (want, vec![]), "{name}");
    }
}

#[test]
fn other_frames_are_ignored_and_counted_by_cause() {
    use Ignored::{Arp, NotARequest, NotClaimed, NotForThisStation, OwnFrame, SenderIsAGroup};
    use arp::Malformed::{NotArp, NotIpv4OverEthernet, Truncated};
    let asked = solicitation(OURS6);
    let routed = {
        let mut bytes = ndp::encode(&asked);
        bytes[21] = 64;
        bytes
    };
    let all = Message::Solicitation { source_mac: Some(Mac::BROADCAST) };
    let cases = [
        ("an empty frame", vec![], Arp(Truncated)),
        ("IPv4", request(OURS4, 12, [8, 0]), Arp(NotArp)),
        ("ARP for IPv6", request(OURS4, 16, [0x86, 0xdd]), Arp(NotIpv4OverEthernet)),
        (
            "IPv6 in ARP's clothes",
            request(OURS4, 12, [0x86, 0xdd]),
            Ignored::Ndp(ndp::Malformed::Truncated),
        ),
        ("routed", routed, Ignored::Ndp(ndp::Malformed::HopLimit)),
        ("our frame comes back", request(OURS4, 6, HERE.0), OwnFrame),
        ("our address in another's frame", request(OURS4, 22, HERE.0), OwnFrame),
        ("our solicitation", ndp::encode(&Ndp { frame_from: HERE, ..asked }), OwnFrame),
        ("a reply", request(OURS4, 20, [0, 2]), NotARequest),
        ("an answer for others", ndp::encode(&advertisement(OTHER6)), NotARequest),
        ("an operation of another RFC", request(OURS4, 20, [0, 8]), NotARequest),
        ("overheard", request(OURS4, 0, ELSEWHERE.0), NotForThisStation),
        ("multicast", request(OURS4, 0, [1, 0, 0x5e, 0, 0, 1]), NotForThisStation),
        (
            "solicited elsewhere",
            ndp::encode(&Ndp { frame_to: ELSEWHERE, ..asked }),
            NotForThisStation,
        ),
        ("another's address", request(OTHER4, 38, OTHER4.octets()), NotClaimed),
        ("another's IPv6 address", ndp::encode(&solicitation(OTHER6)), NotClaimed),
        ("announced, another's", arp::announcement_request(HOST, OTHER4).to_vec(), NotARequest),
        ("a broadcast sender", request(OURS4, 22, [0xff; 6]), SenderIsAGroup),
        ("a multicast sender", request(OURS4, 22, [1]), SenderIsAGroup),
        ("a broadcast source", ndp::encode(&Ndp { message: all, ..asked }), SenderIsAGroup),
        ("a group has our address", ndp::announcement(Mac::BROADCAST, OURS6), SenderIsAGroup),
    ];
    for (name, frame, cause) in cases {
        assert_eq!(verdict(settled(), &frame), (vec![], vec![(cause, 1)]), "{name}");
    }
}

#[test]
fn what_others_say_of_addresses_that_count_is_reported() {
    let announcement = |address: IpAddr| Heard::Announcement { address, mac: HOST };
    let question = |address: IpAddr| Heard::Question { address, from: HOST };
    let takes = |address: Ipv4Addr| request(OTHER4, 28, address.octets());
    let to_all = |frame: [u8; arp::FRAME_LEN]| frame.to_vec();
    let cases = [
        ("announced", to_all(arp::announcement_request(HOST, OURS4)), announcement(OURS[0])),
        ("as a reply", to_all(arp::announcement_reply(HOST, OURS4)), announcement(OURS[0])),
        ("as a sender", takes(OURS4), announcement(OURS[0])),
        ("followed", takes(FOLLOWED4), announcement(FOLLOWED4.into())),
        ("advertised", ndp::announcement(HOST, OURS6), announcement(OURS[1])),
        ("answered", ndp::encode(&advertisement(FOLLOWED6)), announcement(FOLLOWED6.into())),
        (
            "as a source",
            ndp::encode(&Ndp { source: OURS6, ..solicitation(OTHER6) }),
            announcement(OURS[1]),
        ),
        ("asked for", request(FOLLOWED4, 0, Mac::BROADCAST.0), question(FOLLOWED4.into())),
        ("solicited", ndp::encode(&solicitation(FOLLOWED6)), question(FOLLOWED6.into())),
    ];
    for (name, frame, heard) in cases {
        assert_eq!(verdict(settled(), &frame), (vec![Output::Heard(heard)], vec![]), "{name}");
    }
}

#[test]
fn what_is_not_followed_any_more_is_not_reported() {
    let mut responder = settled();
    responder.handle(later(), follow(FOLLOWED4, false));
    let frame = request(FOLLOWED4, 0, Mac::BROADCAST.0);
    assert_eq!(verdict(responder, &frame), (vec![], vec![(Ignored::NotClaimed, 1)]));
}

#[test]
fn a_station_is_asked_from_the_nearest_own_address_and_its_answer_reported() {
    let own = ["10.0.0.1", "192.0.2.1", "fe80::1", "2001:db8::1"];
    let own: Vec<IpAddr> = own.map(|text| text.parse().unwrap()).into();
    let reply = request(OURS4, 20, [0, 2]);
    let reply = [&HERE.0, &reply[6..]].concat();
    let (asker4, asker6) = (Ipv4Addr::new(192, 0, 2, 1), v6(1));
    let unspecified = Ipv4Addr::UNSPECIFIED;
    let cases = [
        (IpAddr::V4(HOST4), arp::question(HERE, asker4, HOST, HOST4).to_vec(), own.clone()),
        (IpAddr::V6(HOST6), ndp::question(HERE, asker6, HOST, HOST6), own),
        (IpAddr::V4(HOST4), arp::question(HERE, unspecified, HOST, HOST4).to_vec(), vec![]),
        (IpAddr::V6(HOST6), ndp::probe(HERE, HOST, HOST6), vec![]),
    ];
    for (address, question, own) in cases {
        let mut responder = settled();
        responder.handle(later(), Input::Own(own));
        responder.handle(later(), Input::Ask { address, mac: HOST });
        assert_eq!(drain(&mut responder), [Output::Frame(question)]);
        let answer = match address {
            IpAddr::V4(_) => reply.clone(),
            IpAddr::V6(address) => ndp::encode(&advertisement(address)),
        };
        let heard = Output::Heard(Heard::Answer { address, mac: HOST });
        assert_eq!(verdict(responder, &answer), (vec![heard], vec![]), "{address}");
    }
}

#[test]
fn an_answer_that_comes_much_later_or_to_others_is_none() {
    let answer = ndp::encode(&advertisement(HOST6));
    let mut responder = settled();
    responder.handle(later(), Input::Ask { address: HOST6.into(), mac: HOST });
    drain(&mut responder);
    responder.handle(after(10_001), Input::Frame(&answer));
    responder.handle(later(), Input::Frame(&ndp::announcement(HOST, HOST6)));
    assert_eq!(drain(&mut responder), []);
    assert_eq!(responder.ignored()[&Ignored::NotARequest], 2);
}

#[test]
fn standing_in_answers_with_the_others_address_and_announces_nothing() {
    let mut responder = Responder::new(HERE);
    let join = Output::Join(ndp::solicited_node(OURS6));
    for address in OURS {
        let voice = Voice::StandingInFor(ELSEWHERE);
        responder.handle(Instant::START, answer(address, voice, Arrival::TakenOver));
        responder.handle(Instant::START, Input::Announce { address });
        responder.handle(Instant::START, Input::Defend { address });
    }
    responder.handle(Instant::START, Input::LinkUp);
    assert_eq!((drain(&mut responder), responder.deadline()), (vec![join], None));
    let (asked4, asked6) = (request(OURS4, 0, Mac::BROADCAST.0), solicitation(OURS6));
    responder.handle(later(), Input::Frame(&asked4));
    responder.handle(later(), Input::Frame(&ndp::encode(&asked6)));
    let reply4 = arp::reply(HERE, ELSEWHERE, &arp::decode(&asked4).unwrap()).to_vec();
    let want = [
        Output::Frame(reply4),
        Output::Answered { address: OURS[0], to: HOST },
        Output::Frame(ndp::answer(HERE, ELSEWHERE, &asked6)),
        Output::Answered { address: OURS[1], to: HOST },
    ];
    assert_eq!(drain(&mut responder), want);
}

#[test]
fn how_an_address_comes_decides_what_is_sent() {
    use Arrival::{First, Resumed, TakenOver};
    use DuplicateProbe::{Off, Optimistic, Strict};
    let stand_in = Some(Voice::StandingInFor(ELSEWHERE));
    let cases = [
        ("first", None, First(Off), round(HERE, OTHER4)),
        ("taken over", None, TakenOver, round(HERE, OTHER4)),
        ("resumed", None, Resumed, vec![]),
        ("after standing in", stand_in, TakenOver, round(HERE, OTHER4)),
        ("the first after standing in", stand_in, First(Strict), round(HERE, OTHER4)),
        ("resumed after standing in", stand_in, Resumed, vec![]),
        (
            "asked for beside",
            None,
            First(Optimistic),
            [vec![Output::Frame(packet::probe(HERE, OTHER4.into()))], round(HERE, OTHER4)].concat(),
        ),
        (
            "asked for before",
            None,
            First(Strict),
            vec![Output::Frame(packet::probe(HERE, OTHER4.into()))],
        ),
    ];
    for (name, before, arrival, want) in cases {
        let mut responder = settled();
        if let Some(voice) = before {
            responder.handle(later(), answer(OTHER4, voice, TakenOver));
        }
        responder.handle(later(), answer(OTHER4, Voice::Own, arrival));
        assert_eq!(drain(&mut responder), want, "{name}");
    }
}

/// A responder that asks for `address` before it answers for it.
fn strict(address: IpAddr) -> Responder {
    let mut responder = Responder::new(HERE);
    let arrival = Arrival::First(DuplicateProbe::Strict);
    responder.handle(Instant::START, answer(address, Voice::Own, arrival));
    responder
}

#[test]
fn a_strict_claim_is_answered_when_nobody_objected() {
    for (address, question) in OURS.into_iter().zip(questions()) {
        let mut responder = strict(address);
        responder.handle(after(100), Input::Frame(&question));
        assert_eq!(responder.ignored()[&Ignored::NotYetClaimed], 1, "{address}");
        let mut course = vec![];
        while let Some(at) = responder.deadline().filter(|at| *at <= after(2_000)) {
            responder.handle(at, Input::Timeout);
            course.extend(drain(&mut responder));
        }
        let frames = course.iter().filter(|output| matches!(output, Output::Frame(_))).count();
        assert_eq!(course[course.len() - round(HERE, address).len()..], round(HERE, address));
        assert_eq!(frames, if address.is_ipv4() { 5 } else { 4 }, "three questions before");
        responder.handle(after(2_000), Input::Frame(&question));
        let answered = Output::Answered { address, to: HOST };
        assert_eq!(drain(&mut responder).last(), Some(&answered));
    }
}

fn questions() -> [Vec<u8>; 2] {
    [request(OURS4, 0, Mac::BROADCAST.0), ndp::encode(&solicitation(OURS6))]
}

#[test]
fn a_strict_claim_that_another_has_is_not_answered_and_asked_for_again_a_minute_later() {
    let detection = Ndp {
        source: Ipv6Addr::UNSPECIFIED,
        message: Message::Solicitation { source_mac: None },
        ..solicitation(OURS6)
    };
    let cases = [
        ("answered", OURS[0], arp::announcement_reply(HOST, OURS4).to_vec(), true),
        ("announced", OURS[1], ndp::announcement(HOST, OURS6), true),
        ("wanted, too", OURS[0], request(OURS4, 28, [0; 4]), false),
        ("wanted by IPv6, too", OURS[1], ndp::encode(&detection), false),
    ];
    for (name, address, objection, is_reported) in cases {
        let mut responder = strict(address);
        drain(&mut responder);
        responder.handle(after(100), Input::Frame(&objection));
        let heard = Output::Heard(Heard::Announcement { address, mac: HOST });
        let want: Vec<_> = is_reported.then_some(heard).into_iter().collect();
        assert_eq!(drain(&mut responder), want, "{name}");
        for question in questions() {
            responder.handle(after(5_000), Input::Frame(&question));
        }
        responder.handle(after(5_000), Input::LinkUp);
        assert_eq!(drain(&mut responder), [], "{name}");
        assert_eq!(responder.deadline(), Some(after(100) + PROBE_AGAIN), "{name}");
        responder.handle(after(61_000), Input::Timeout);
        let probe = Output::Frame(packet::probe(HERE, address));
        assert_eq!(drain(&mut responder), [probe], "{name}");
        responder.handle(after(61_100), Input::Frame(&objection));
        assert_eq!(responder.deadline(), Some(after(61_100) + PROBE_AGAIN), "{name}: again");
    }
}

#[test]
fn a_claim_is_defended_once_in_ten_seconds() {
    let mut responder = settled();
    let defend = |responder: &mut Responder, at| {
        responder.handle(at, Input::Defend { address: OURS6.into() });
        drain(responder)
    };
    assert_eq!(defend(&mut responder, later()), round(HERE, OURS6));
    assert_eq!(defend(&mut responder, later() + Duration::from_millis(9_999)), []);
    assert_eq!(defend(&mut responder, later() + DEFEND_INTERVAL), round(HERE, OURS6));
    responder.handle(later(), Input::Defend { address: OTHER4.into() });
    assert_eq!(drain(&mut responder), [], "it is not ours");
}

#[test]
fn groups_are_joined_before_anything_is_said_and_left_at_the_end() {
    let group = ndp::solicited_node(OURS6);
    let mut responder = Responder::new(HERE);
    responder.handle(Instant::START, claim(OURS6));
    let want = [vec![Output::Join(group)], round(HERE, OURS6)].concat();
    assert_eq!(drain(&mut responder), want);
    responder.handle(after(10), follow(OURS6, true));
    responder.handle(after(10), release(OURS6));
    assert_eq!(drain(&mut responder), [], "it is followed");
    responder.handle(after(20), follow(OURS6, false));
    assert_eq!(drain(&mut responder), [Output::Leave(group)]);
}

#[test]
fn a_driver_that_does_not_drain_loses_answers_and_nothing_else() {
    let mut responder = settled();
    let frame = request(OURS4, 0, HERE.0);
    for _ in 0..OUTPUTS_WAITING {
        responder.handle(later(), Input::Frame(&frame));
    }
    assert_eq!(responder.ignored()[&Ignored::Overrun], 512);
    responder.handle(later(), Input::Frame(&arp::announcement_reply(HOST, OURS4)));
    assert_eq!(responder.ignored()[&Ignored::Overrun], 513, "a report");
    assert_eq!(drain(&mut responder).len(), OUTPUTS_WAITING);
    responder.handle(later(), Input::Frame(&frame));
    assert_eq!(drain(&mut responder).len(), 2);
}

#[test]
fn an_announcement_waits_for_a_driver_that_does_not_drain() {
    let mut responder = settled();
    let frame = request(OURS4, 0, HERE.0);
    for _ in 0..OUTPUTS_WAITING {
        responder.handle(later(), Input::Frame(&frame));
    }
    responder.handle(later(), Input::Announce { address: OURS[0] });
    assert_eq!(drain(&mut responder).len(), OUTPUTS_WAITING);
    assert_eq!(responder.deadline(), Some(later()));
    responder.handle(later(), Input::Timeout);
    assert_eq!(drain(&mut responder), round(HERE, OURS4));
}

#[test]
fn each_cause_has_its_label_and_sentence_and_is_counted_from_the_start() {
    let labels: BTreeSet<_> = Ignored::all().map(Ignored::label).collect();
    assert_eq!(labels.len(), Ignored::all().count());
    let sentences: BTreeSet<_> = Ignored::all().map(|cause| cause.to_string()).collect();
    assert_eq!(sentences.len(), Ignored::all().count());
    let none = Ignored::all().map(|cause| (cause, 0)).collect();
    assert_eq!(Responder::new(HERE).ignored(), &none);
}

#[test]
fn a_new_claim_is_announced_on_schedule() {
    for address in OURS {
        let mut responder = Responder::new(HERE);
        responder.handle(Instant::START, claim(address));
        let first = drain(&mut responder);
        assert!(first.ends_with(&round(HERE, address)));
        for millis in &ROUNDS[1..] {
            let due = after(*millis);
            assert_eq!(responder.deadline(), Some(due));
            responder.handle(due, Input::Timeout);
            assert_eq!(drain(&mut responder), round(HERE, address), "at {due}");
            responder.handle(due, Input::Timeout);
            assert_eq!(drain(&mut responder), [], "a second timeout at {due}");
        }
        assert_eq!(responder.deadline(), None);
    }
}

#[test]
fn what_is_announced_follows_from_what_changed() {
    let both = |mac| [round(mac, OURS4), round(mac, OURS6)].concat();
    let announce = |address: IpAddr| Input::Announce { address };
    let cases = [
        ("the same claim", claim(OURS4), vec![]),
        ("one more claim", claim(OTHER4), round(HERE, OTHER4)),
        ("a claim less", release(OURS4), vec![]),
        ("again, please", announce(OURS[1]), round(HERE, OURS6)),
        ("again, but not claimed", announce(OTHER4.into()), vec![]),
        ("again, but followed", announce(FOLLOWED4.into()), vec![]),
        ("the same hardware address", Input::Mac(HERE), vec![]),
        ("a new hardware address", Input::Mac(ELSEWHERE), both(ELSEWHERE)),
        ("other addresses", Input::Own(vec![HOST4.into()]), vec![]),
        ("the link is back", Input::LinkUp, both(HERE)),
        ("time", Input::Timeout, vec![]),
    ];
    for (name, input, want) in cases {
        let mut responder = settled();
        responder.handle(later(), input);
        assert_eq!(drain(&mut responder), want, "{name}");
        let is_under_way = responder.deadline() == Some(after(9_050));
        assert_eq!(is_under_way, !want.is_empty(), "{name}");
    }
}

#[test]
fn a_claim_is_refreshed_if_its_schedule_says_so_and_no_more_when_it_does_not() {
    let mut responder = settled();
    let refresh = |interval| Input::Answer {
        address: OURS6.into(),
        voice: Some(Voice::Own),
        arrival: Arrival::Resumed,
        schedule: Schedule { refresh_interval: interval, ..Schedule::default() },
    };
    responder.handle(later(), refresh(Some(Duration::from_secs(60))));
    assert_eq!(drain(&mut responder), []);
    for minutes in 1..3 {
        let due = later() + Duration::from_secs(60) * minutes;
        assert_eq!(responder.deadline(), Some(due));
        responder.handle(due, Input::Timeout);
        assert_eq!(drain(&mut responder), round(HERE, OURS6));
    }
    responder.handle(later(), refresh(None));
    assert_eq!(responder.deadline(), None);
}

#[test]
fn a_claim_that_goes_is_neither_announced_nor_answered_from_that_moment() {
    for (address, question) in OURS.into_iter().zip(questions()) {
        let mut responder = settled();
        responder.handle(later(), Input::Announce { address });
        responder.handle(later(), Input::Frame(&question));
        responder.handle(later(), release(address));
        let outputs = drain(&mut responder);
        assert!(!outputs.iter().any(is_frame), "what was not yet polled: {outputs:?}");
        assert_eq!(responder.deadline(), None, "the burst under way");
        responder.handle(after(9_050), Input::Frame(&question));
        assert_eq!(drain(&mut responder), []);
    }
}

#[test]
fn frames_that_wait_with_a_former_hardware_address_are_not_sent() {
    let mut responder = settled();
    responder.handle(later(), Input::Frame(&request(OURS4, 0, HERE.0)));
    responder.handle(later(), claim(OTHER6));
    responder.handle(later(), Input::Mac(ELSEWHERE));
    let outputs = drain(&mut responder);
    assert_eq!(outputs[0], Output::Join(ndp::solicited_node(OTHER6)), "that is not of the past");
    let [ours4, ours6, other6] = [OURS[0], OURS[1], OTHER6.into()].map(|at| round(ELSEWHERE, at));
    assert_eq!(outputs[1..], [ours4, ours6, other6].concat());
}
