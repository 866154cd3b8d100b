//! Leaving, restarting, settings that change, and what the peer is told.

use std::sync::Arc;

use super::*;
use crate::bgp::listener::Listener;
use crate::bgp::{Attributes, Community};

fn restart() -> Restart {
    Restart { restart_time: 120, forwarding: Forwarding::Kept, long_lived: None }
}

/// Established, and both ends know graceful restart.
fn restartable() -> Bench {
    let mut bench = Bench::with(|config| config.graceful_restart = Some(restart()));
    bench.peer.graceful_restart = Some(restart());
    bench.establish()
}

fn route(tag: u32) -> Option<Arc<Attributes>> {
    let communities = [Community(tag)].into();
    Some(Arc::new(Attributes { communities, ..Attributes::default() }))
}

fn want(bench: &mut Bench, prefix: &str, tag: u32) {
    bench.give(Input::Route { prefix: prefix.parse().unwrap(), attributes: route(tag) });
}

/// Lets a router hear what was written.
fn tell(bench: &mut Bench, listener: &mut Listener) {
    for output in std::mem::take(&mut bench.outputs) {
        if let Output::Write { bytes, .. } = output {
            listener.hear(&bytes);
        }
    }
}

#[test]
fn a_shutdown_has_words() {
    let mut bench = Bench::established();
    bench.give(Input::Stop(Stop::Shutdown("node drains".to_owned())));
    assert_eq!(bench.done(), ["1: NOTIFICATION 6/2", "1: close"]);
    let status = bench.session.status();
    assert_eq!(status.last_sent.unwrap().text(), Some("node drains"));
    let why = status.last_down.unwrap();
    assert_eq!(why.to_string(), r#"ended here: administrative shutdown (6/2): "node drains""#);
    assert_eq!((why.label(), bench.state()), ("notification_sent", State::Idle));
}

#[test]
fn what_a_peer_keeps_is_its_business_unless_we_leave() {
    let cases = [
        ("shutdown", Input::Stop(Stop::Shutdown("bye".to_owned())), Some((6, 9)), Some((6, 2))),
        ("deconfigured", Input::Stop(Stop::Deconfigured), Some((6, 9)), Some((6, 3))),
        ("path down", Input::PathDown, Some((6, 9)), Some((6, 10))),
        ("reset", Input::Reset("again".to_owned()), Some((6, 4)), None),
        ("restart", Input::Stop(Stop::Restart), None, None),
    ];
    for (name, input, outside, inside) in cases {
        let mut bench = restartable();
        bench.give(input);
        let sent = bench.session.status().last_sent.cloned();
        let codes = |one: &Notification| (one.code, one.subcode);
        assert_eq!(sent.as_ref().map(codes), outside, "{name}");
        let inner = sent.and_then(|one| one.inside_hard_reset());
        assert_eq!(inner.as_ref().map(codes), inside, "{name}");
        assert!(bench.done().contains(&"1: close".to_owned()), "{name}");
    }
}

#[test]
fn a_peer_that_does_not_know_hard_resets_gets_none() {
    let mut bench = Bench::with(|config| config.graceful_restart = Some(restart())).establish();
    bench.give(Input::Stop(Stop::Shutdown("bye".to_owned())));
    assert_eq!(bench.done(), ["1: NOTIFICATION 6/2", "1: close"]);
}

#[test]
fn who_keeps_our_routes_is_known() {
    let keeps = |bench: &Bench| bench.session.status().negotiated.unwrap().keeps_our_routes();
    assert!(keeps(&restartable()));
    assert!(!keeps(&Bench::established()));
    assert!(!keeps(&Bench::with(|config| config.graceful_restart = Some(restart())).establish()));
}

#[test]
fn the_end_of_rib_waits_for_the_last_watch() {
    let mut bench = restartable();
    let mut listener = Listener::default();
    want(&mut bench, "10.0.0.1/32", 1);
    tell(&mut bench, &mut listener);
    assert_eq!((listener.routes.len(), listener.ends.len()), (1, 0));
    let first = bench.session.status().negotiated.unwrap().ours.clone();
    assert!(first.capabilities.graceful_restart.unwrap().has_restarted);
    bench.give(Input::Synced);
    let told = bench.outputs.contains(&Output::Event(Event::EndOfRibSent(Family::Ipv6)));
    tell(&mut bench, &mut listener);
    assert_eq!((told, listener.ends), (true, vec![1, 2]));

    bench.give(Input::Closed(DIALLED));
    let bench = {
        bench.wait();
        bench.establish()
    };
    let again = bench.session.status().negotiated.unwrap().ours.clone();
    assert!(!again.capabilities.graceful_restart.unwrap().has_restarted, "all is known by now");
}

#[test]
fn leaving_asks_for_others_then_withdraws_then_ends() {
    let secs = Duration::from_secs;
    let mut bench = Bench::established();
    let mut listener = Listener::default();
    want(&mut bench, "10.0.0.1/32", 7);
    let leave = Leave { text: "bye".to_owned(), before_withdrawal: secs(2), before_close: secs(1) };
    bench.give(Input::Leave(leave));
    tell(&mut bench, &mut listener);
    let heard = listener.routes.values().next().unwrap();
    assert_eq!(heard.communities, [7, 0xffff_0000], "GRACEFUL_SHUTDOWN");
    assert_eq!(bench.wait(), Instant::START + secs(2));
    tell(&mut bench, &mut listener);
    assert_eq!((listener.routes.len(), bench.state()), (0, State::Established));
    assert_eq!(bench.wait(), Instant::START + secs(3));
    assert!(bench.outputs.contains(&Output::Event(Event::Left)));
    assert_eq!(bench.done(), ["1: NOTIFICATION 6/2", "1: close"]);
    assert_eq!((bench.state(), bench.session.deadline()), (State::Idle, None));
}

#[test]
fn leaving_a_session_that_is_not_there_is_done_at_once() {
    let leave = Leave {
        text: String::new(),
        before_withdrawal: Duration::from_secs(2),
        before_close: Duration::from_secs(1),
    };
    let mut bench = Bench::new();
    bench.give(Input::Leave(leave.clone()));
    assert!(bench.outputs.contains(&Output::Event(Event::Left)));

    let mut bench = Bench::established();
    bench.give(Input::Leave(leave));
    bench.give(Input::Closed(DIALLED));
    assert!(bench.outputs.contains(&Output::Event(Event::Left)), "nor does it come back");
    assert_eq!((bench.state(), bench.session.deadline()), (State::Idle, None));
}

#[test]
fn a_node_that_stays_after_all_is_preferred_again() {
    let mut bench = Bench::established();
    let mut listener = Listener::default();
    want(&mut bench, "10.0.0.1/32", 7);
    let leave = Leave {
        text: String::new(),
        before_withdrawal: Duration::from_secs(2),
        before_close: Duration::from_secs(1),
    };
    bench.give(Input::Leave(leave));
    bench.give(Input::Start);
    tell(&mut bench, &mut listener);
    assert_eq!(listener.routes.values().next().unwrap().communities, [7]);
    assert_eq!(bench.state(), State::Established);
}

/// A change of settings, and whether the session goes on.
type Change = (&'static str, fn(&mut Config), bool);

#[test]
fn settings_change_without_a_reset_where_the_peer_was_not_told_of_them() {
    let cases: [Change; 9] = [
        ("nothing", |_| (), true),
        ("keepalive time", |config| config.keepalive = Some(Duration::from_secs(5)), true),
        ("connect time", |config| config.connect_retry = Duration::from_secs(5), true),
        ("who connects", |config| config.openings = Openings::Active, true),
        ("delayed OPEN", |config| config.delay_open = Some(Duration::from_secs(5)), true),
        ("hold time", |config| config.hold_time = 30, false),
        ("our AS", |config| config.local_as = 65009, false),
        ("our identifier", |config| config.identifier = Ipv4Addr::new(9, 9, 9, 9), false),
        ("graceful restart", |config| config.graceful_restart = Some(restart()), false),
    ];
    for (name, change, stays) in cases {
        let mut bench = Bench::established();
        let mut settings = config(65000, 1);
        change(&mut settings);
        bench.give(Input::Configure(Box::new(settings)));
        let done = bench.done();
        match stays {
            true => assert_eq!(bench.state(), State::Established, "{name}"),
            false => {
                assert_eq!(done, ["1: NOTIFICATION 6/6", "1: close", "connect"], "{name}");
            }
        }
    }
}

#[test]
fn a_shorter_keepalive_time_holds_from_now_on() {
    let mut bench = Bench::established();
    let five = Some(Duration::from_secs(5));
    let settings = Config { keepalive: five, ..config(65000, 1) };
    bench.give(Input::Configure(Box::new(settings)));
    assert_eq!(bench.done(), ["1: KEEPALIVE"]);
    let before = bench.now;
    assert!(bench.wait() - before <= Duration::from_secs(5));
}
