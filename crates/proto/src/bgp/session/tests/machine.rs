//! From Idle to Established: connecting, OPEN, collisions, timers.

use super::*;
use crate::bgp::message::Error;

#[test]
fn a_session_comes_up_as_section_8_says() {
    let mut bench = Bench::new();
    assert_eq!((bench.state(), bench.done()), (State::Connect, vec!["connect".to_owned()]));
    bench.connect(DIALLED, End::Dialled);
    assert_eq!((bench.state(), bench.done()), (State::OpenSent, vec!["1: OPEN".to_owned()]));
    bench.open(DIALLED);
    assert_eq!(
        (bench.state(), bench.done()),
        (State::OpenConfirm, vec!["1: KEEPALIVE".to_owned()])
    );
    bench.say(DIALLED, &keepalive());
    assert_eq!((bench.state(), bench.done()), (State::Established, vec![]));
}

/// Where a session is, and the subcode for what does not belong there.
type Place = (&'static str, fn() -> Bench, u8);

#[test]
fn a_message_has_its_place() {
    // Where a session is, what comes, what it is answered with.
    let open = |bench: &Bench| bench.peer_open().encode();
    let update = || [vec![0xff; 16], vec![0, 23, 2, 0, 0, 0, 0]].concat();
    let refresh = || [vec![0xff; 16], vec![0, 23, 5, 0, 1, 0, 1]].concat();
    let start: [Place; 3] = [
        ("OpenSent", in_open_sent, 1),
        ("OpenConfirm", Bench::in_open_confirm, 2),
        ("Established", Bench::established, 3),
    ];
    for (name, start, subcode) in start {
        let messages = [
            ("OPEN", open(&start()), name == "OpenSent", 1),
            ("UPDATE", update(), name == "Established", 2),
            ("KEEPALIVE", keepalive(), name != "OpenSent", 4),
            ("ROUTE-REFRESH", refresh(), name == "Established", 5),
        ];
        for (message, bytes, is_fine, kind) in messages {
            let mut bench = start();
            bench.say(DIALLED, &bytes);
            if is_fine {
                assert!(bench.state() >= State::OpenConfirm, "{message} in {name}");
            } else {
                let want = [format!("1: NOTIFICATION 5/{subcode}"), "1: close".to_owned()];
                assert_eq!(bench.done(), want, "{message} in {name}");
                let last_sent = bench.session.status().last_sent.cloned().unwrap();
                assert_eq!(last_sent.data, [kind], "RFC 6608: which message");
            }
        }
    }
}

fn in_open_sent() -> Bench {
    let mut bench = Bench::new();
    bench.connect(DIALLED, End::Dialled);
    bench.outputs.clear();
    bench
}

/// What is wrong with the peer, and what it is answered.
type Unfit = (&'static str, fn(&mut Config), &'static str);

#[test]
fn an_open_that_will_not_do_is_answered() {
    let cases: [Unfit; 4] = [
        ("another AS than expected", |peer| peer.local_as = 65000, "2/2"),
        ("AS 0", |peer| peer.local_as = 0, "2/2"),
        ("no identifier", |peer| peer.identifier = Ipv4Addr::UNSPECIFIED, "2/3"),
        ("a hold time of 2 s", |peer| peer.hold_time = 2, "2/6"),
    ];
    for (name, change, want) in cases {
        let mut bench = in_open_sent();
        change(&mut bench.peer);
        bench.open(DIALLED);
        assert_eq!(bench.done(), [&format!("1: NOTIFICATION {want}"), "1: close"], "{name}");
        assert_eq!(bench.state(), State::Active, "{name}: it tries again");
    }
}

#[test]
fn of_two_connections_that_of_the_higher_identifier_stays() {
    // Who has the higher identifier, whose OPEN comes first, what stays.
    let cases = [
        (2, DIALLED, ACCEPTED),
        (2, ACCEPTED, ACCEPTED),
        (0, DIALLED, DIALLED),
        (0, ACCEPTED, DIALLED),
    ];
    for (number, first, stays) in cases {
        let mut bench = Bench::new();
        bench.peer.identifier = Ipv4Addr::new(192, 0, 2, number);
        bench.connect(DIALLED, End::Dialled);
        bench.connect(ACCEPTED, End::Accepted);
        let [second, goes] =
            [first, stays].map(|id| if id == DIALLED { ACCEPTED } else { DIALLED });
        bench.open(first);
        bench.outputs.clear();
        bench.open(second);
        let done = bench.done();
        let closed = [format!("{}: NOTIFICATION 6/7", goes.0), format!("{}: close", goes.0)];
        let case = format!("identifier {number}, OPEN on {first:?} first: {done:?}");
        assert!(done.windows(2).any(|two| two == closed), "{case}");
        bench.say(stays, &keepalive());
        assert_eq!(bench.state(), State::Established, "{case}");
    }
}

#[test]
fn with_one_identifier_the_higher_as_decides() {
    let mut bench = Bench::with(|config| config.local_as = 65002);
    bench.peer.identifier = Ipv4Addr::new(192, 0, 2, 1);
    bench.connect(DIALLED, End::Dialled);
    bench.connect(ACCEPTED, End::Accepted);
    bench.open(ACCEPTED);
    bench.open(DIALLED);
    bench.say(DIALLED, &keepalive());
    assert_eq!(bench.state(), State::Established, "RFC 6286 section 2.3");
}

#[test]
fn an_established_session_is_not_given_up_for_another_connection() {
    let mut bench = Bench::established();
    bench.connect(ACCEPTED, End::Accepted);
    bench.open(ACCEPTED);
    assert_eq!(bench.done(), ["2: OPEN", "2: NOTIFICATION 6/7", "2: close"]);
    assert_eq!(bench.state(), State::Established);
}

#[test]
fn a_peer_that_restarts_gracefully_replaces_its_own_connection() {
    let mut bench = Bench::new();
    bench.peer.graceful_restart =
        Some(Restart { restart_time: 9, forwarding: Forwarding::Kept, long_lived: None });
    let mut bench = bench.establish();
    bench.connect(ACCEPTED, End::Accepted);
    bench.open(ACCEPTED);
    assert_eq!(bench.done(), ["2: OPEN", "1: close", "2: KEEPALIVE"], "RFC 4724 section 5");
    assert_eq!(bench.session.status().last_down, Some(&Down::Replaced));
    bench.say(ACCEPTED, &keepalive());
    assert_eq!(bench.state(), State::Established);
}

#[test]
fn a_delayed_open_waits_for_the_peer() {
    let second = Duration::from_secs(1);
    let delayed = || Bench::with(|config| config.delay_open = Some(Duration::from_secs(1)));
    let mut bench = delayed();
    bench.connect(DIALLED, End::Dialled);
    assert_eq!((bench.state(), bench.done()), (State::Connect, vec!["connect".to_owned()]));
    assert_eq!(bench.wait(), Instant::START + second);
    assert_eq!((bench.state(), bench.done()), (State::OpenSent, vec!["1: OPEN".to_owned()]));

    let mut bench = delayed();
    bench.connect(DIALLED, End::Dialled);
    bench.open(DIALLED);
    assert_eq!(bench.done(), ["connect", "1: OPEN", "1: KEEPALIVE"]);
    assert_eq!(bench.state(), State::OpenConfirm);

    let mut bench = delayed();
    bench.connect(DIALLED, End::Dialled);
    bench.say(DIALLED, &keepalive());
    assert_eq!(bench.done(), ["connect", "1: close"], "no NOTIFICATION before OPEN");
}

#[test]
fn silence_ends_the_session_after_the_hold_time() {
    let mut bench = Bench::established();
    let start = bench.now;
    bench.now = start + Duration::from_secs(60);
    bench.say(DIALLED, &keepalive());
    while bench.state() == State::Established {
        bench.wait();
    }
    assert_eq!(bench.now, start + Duration::from_secs(150), "90 s after the last message");
    let done = bench.done();
    assert!(done.ends_with(&["1: NOTIFICATION 4/0".to_owned(), "1: close".to_owned()]), "{done:?}");
}

#[test]
fn a_driver_that_was_late_reads_before_it_judges() {
    let mut bench = Bench::established();
    bench.now = bench.now + Duration::from_secs(100);
    bench.say(DIALLED, &keepalive());
    assert_eq!(bench.state(), State::Established);
}

#[test]
fn without_a_hold_time_nothing_is_due() {
    let mut bench = Bench::with(|config| config.hold_time = 0).establish();
    bench.give(Input::Written { id: DIALLED, count: usize::MAX });
    assert_eq!(bench.session.deadline(), None);
}

#[test]
fn a_connection_without_open_is_given_up_after_four_minutes() {
    let mut bench = in_open_sent();
    assert_eq!(bench.wait(), Instant::START + Duration::from_secs(240));
    assert_eq!(bench.done(), ["1: NOTIFICATION 4/0", "1: close"]);
}

#[test]
fn an_open_alone_does_not_shorten_the_pauses() {
    let mut bench = Bench::new();
    let mut pauses = Vec::new();
    for number in 0..8 {
        let id = ConnectionId(number);
        bench.connect(id, End::Dialled);
        bench.open(id);
        bench.say(id, &keepalive());
        assert_eq!(bench.state(), State::Established);
        let ended = bench.now;
        let cease = Notification::from(Error::AdministrativeShutdown).encode();
        bench.say(id, &cease);
        pauses.push((bench.wait() - ended).as_millis());
        assert_eq!(bench.state(), State::Connect);
    }
    for (number, pause) in pauses.iter().enumerate() {
        let longest = (500u128 << number).min(60_000);
        assert!((longest * 3 / 4..=longest).contains(pause), "{pauses:?}");
    }
}

#[test]
fn a_session_that_stood_is_dialled_again_at_once() {
    let mut bench = Bench::established();
    for _ in 0..3 {
        bench.now = bench.now + Duration::from_secs(20);
        bench.say(DIALLED, &keepalive());
    }
    bench.give(Input::Closed(DIALLED));
    let ended = bench.now;
    assert!(bench.wait() - ended <= Duration::from_millis(500));
    assert_eq!(bench.done().last().map(String::as_str), Some("connect"));
}

#[test]
fn an_attempt_to_connect_takes_fifteen_seconds_at_most() {
    let mut bench = Bench::new();
    bench.outputs.clear();
    assert_eq!(bench.wait(), Instant::START + Duration::from_secs(15));
    assert_eq!((bench.state(), bench.done()), (State::Active, vec!["abandon".to_owned()]));
    bench.connect(DIALLED, End::Dialled);
    assert_eq!(bench.done(), ["1: close"], "it was given up");
}

#[test]
fn who_may_connect_is_a_setting() {
    let mut passive = Bench::with(|config| config.openings = Openings::Passive);
    assert_eq!((passive.state(), passive.done()), (State::Active, vec![]));
    passive.connect(ACCEPTED, End::Accepted);
    assert_eq!(passive.done(), ["2: OPEN"]);
    passive.give(Input::Closed(ACCEPTED));
    assert_eq!(passive.session.deadline(), None, "it never dials");

    let mut active = Bench::with(|config| config.openings = Openings::Active);
    active.connect(ACCEPTED, End::Accepted);
    assert_eq!(active.done(), ["connect", "2: close"]);
}

#[test]
fn a_stopped_session_takes_no_connection() {
    let mut bench = Bench::new();
    bench.give(Input::Stop(Stop::Deconfigured));
    assert_eq!(
        (bench.state(), bench.done()),
        (State::Idle, vec!["connect".to_owned(), "abandon".to_owned()])
    );
    bench.connect(ACCEPTED, End::Accepted);
    assert_eq!((bench.state(), bench.done()), (State::Idle, vec!["2: close".to_owned()]));
    assert_eq!(bench.session.deadline(), None);
}
