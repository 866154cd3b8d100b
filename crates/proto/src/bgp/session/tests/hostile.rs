//! Peers that are broken or mean: whatever they send, no memory grows and no other peer is hurt.

use std::sync::Arc;

use super::*;
use crate::bgp::Attributes;
use crate::bgp::message::attribute::Treatment;
use crate::bgp::message::update::{Fault, What};

#[test]
fn one_octet_at_a_time_is_as_good_as_all_at_once() {
    let mut bench = Bench::new();
    bench.connect(DIALLED, End::Dialled);
    let open = bench.peer_open().encode();
    for octet in [open, keepalive()].concat() {
        bench.say(DIALLED, &[octet]);
    }
    assert_eq!(bench.state(), State::Established);
}

#[test]
fn two_thousand_connections_in_a_row_leave_nothing_behind() {
    let mut bench = Bench::established();
    for number in 10..2010 {
        bench.connect(ConnectionId(number), End::Accepted);
        assert!(bench.session.connections.len() <= 3);
        if number % 2 == 0 {
            bench.give(Input::Closed(ConnectionId(number)));
        }
        bench.outputs.clear();
    }
    assert_eq!(bench.state(), State::Established);
    assert!(bench.session.connections.len() <= 3);
}

#[test]
fn a_message_that_never_ends_takes_no_more_than_the_longest() {
    let mut bench = Bench::established();
    let header = [vec![0xff; 16], vec![0xff, 0xff, 2]].concat();
    bench.say(DIALLED, &header);
    for _ in 0..65_535 - 19 - 1 {
        bench.say(DIALLED, &[0]);
    }
    let inbox = &bench.session.connections[0].inbox;
    assert_eq!((bench.state(), inbox.len()), (State::Established, 65_534));
    assert!(inbox.capacity() <= 131_072);
    bench.say(DIALLED, &[0]);
    // Zeros are default routes, without the attributes that routes must have.
    assert_eq!(bench.session.status().counters.malformed, 1);
    assert_eq!(bench.session.connections[0].inbox.capacity(), 0);
}

#[test]
fn a_storm_of_refreshes_has_one_answer() {
    let mut bench = Bench::established();
    let attributes = Some(Arc::new(Attributes::default()));
    bench.give(Input::Route { prefix: "10.0.0.1/32".parse().unwrap(), attributes });
    bench.outputs.clear();
    let refresh = [vec![0xff; 16], vec![0, 23, 5, 0, 1, 0, 1]].concat();
    bench.say(DIALLED, &refresh.repeat(2000));
    let want = ["1: ROUTE-REFRESH", "1: UPDATE", "1: ROUTE-REFRESH"];
    assert_eq!(bench.done(), want);
}

#[test]
fn a_storm_of_mistakes_is_told_of_once_and_counted() {
    let mut bench = Bench::established();
    // A route with an ORIGIN, and without the path and the next hop that it must have.
    let body = [0, 0, 0, 4, 0x40, 1, 1, 0, 8, 10];
    let update = [vec![0xff; 16], vec![0, 29, 2], body.to_vec()].concat();
    bench.say(DIALLED, &update.repeat(100));
    let fault = Fault { treatment: Treatment::TreatAsWithdraw, what: What::Missing(2) };
    let event = Output::Event(Event::Malformed { fault, body: body.to_vec() });
    assert_eq!(bench.outputs, [event]);
    let counters = bench.session.status().counters;
    assert_eq!((counters.malformed, counters.routes_withdrawn), (100, 100));
    assert_eq!(counters.routes_announced, 0);
}

#[test]
fn routes_of_a_peer_are_counted_and_take_no_memory() {
    let mut bench = Bench::established();
    let path = [0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9, 0x40, 3, 4, 192, 0, 2, 2];
    let body = [&[0, 0, 0, 20], &path[..], &[8, 10, 8, 11]].concat();
    let update = [vec![0xff; 16], vec![0, 47, 2], body].concat();
    for _ in 0..1000 {
        bench.say(DIALLED, &update);
    }
    assert_eq!(bench.session.status().counters.routes_announced, 2000);
    assert_eq!((bench.outputs.len(), bench.state()), (0, State::Established));
}

#[test]
fn a_family_that_cannot_be_read_is_not_heard_again() {
    let mut bench = Bench::established();
    let broken = [0, 0, 0, 8, 0x80, 15, 5, 0, 2, 1, 129, 0];
    let update = [vec![0xff; 16], vec![0, 31, 2], broken.to_vec()].concat();
    bench.say(DIALLED, &update);
    bench.say(DIALLED, &update);
    assert_eq!(bench.session.status().counters.malformed, 1, "the second is not looked at");
    assert_eq!(bench.state(), State::Established);
}

#[test]
fn a_peer_that_reads_nothing_is_sent_no_more_than_the_window() {
    let mut bench = Bench::established();
    let routes: Routes = (0..50_000u32)
        .map(|number| {
            let address = Ipv4Addr::from(0x0a00_0000 + number);
            (ipnet::IpNet::from(std::net::IpAddr::V4(address)), Arc::new(Attributes::default()))
        })
        .collect();
    bench.give(Input::Routes(&routes));
    let written = |bench: &Bench| -> usize {
        let writes = bench.outputs.iter().filter_map(|output| match output {
            Output::Write { bytes, .. } => Some(bytes.len()),
            Output::Connect | Output::Abandon | Output::Close(_) | Output::Event(_) => None,
        });
        writes.sum()
    };
    let most = WINDOW + 65_535;
    // What was said before is not taken yet either.
    assert!((WINDOW - 200..most).contains(&written(&bench)), "{}", written(&bench));
    for _ in 0..3 {
        bench.give(Input::Routes(&routes));
    }
    assert!(written(&bench) < most, "and nothing is sent twice");
    let pending = bench.session.status().pending;
    assert!(pending > 0);

    bench.give(Input::Routes(&Routes::new()));
    bench.give(Input::Written { id: DIALLED, count: written(&bench) });
    assert_eq!(bench.session.status().announced, 0, "what was not sent is not withdrawn");
}

#[test]
fn bytes_for_a_connection_that_is_gone_are_nothing() {
    let mut bench = Bench::established();
    bench.give(Input::Closed(DIALLED));
    bench.outputs.clear();
    bench.say(DIALLED, &keepalive());
    bench.give(Input::Written { id: DIALLED, count: 5 });
    bench.give(Input::Closed(LATER));
    assert_eq!(bench.outputs, []);
}

#[test]
fn a_peer_that_reads_nothing_for_eight_minutes_is_given_up() {
    let mut bench = Bench::established();
    bench.give(Input::Written { id: DIALLED, count: usize::MAX });
    let start = bench.now;
    while bench.state() == State::Established {
        // It goes on saying that it is alive.
        bench.now = bench.session.deadline().unwrap();
        bench.say(DIALLED, &keepalive());
    }
    let first_unread = Duration::from_secs(30);
    let waited = bench.now - start;
    let eight_minutes = Duration::from_secs(480);
    assert!((eight_minutes..=eight_minutes + first_unread).contains(&waited), "{waited:?}");
    let last_sent = bench.session.status().last_sent.cloned().unwrap();
    assert_eq!(last_sent, Error::SendHoldTimerExpired.into(), "RFC 9687");
}

#[test]
fn a_peer_that_reads_now_and_then_is_not_given_up() {
    let mut bench = Bench::established();
    for _ in 0..100 {
        bench.now = bench.now + Duration::from_secs(80);
        bench.say(DIALLED, &keepalive());
        bench.give(Input::Written { id: DIALLED, count: 1 });
    }
    assert_eq!(bench.state(), State::Established);
}
