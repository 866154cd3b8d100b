//! What an engine asks the LAN, and when it takes itself to be deaf.

use super::*;
use crate::l2::Mac;

/// An interface, by the last octets of its Ethernet address and its address.
fn link(last: u8) -> Link {
    Link { mac: Mac([2, 0, 0, 0, 0, last]), addresses: vec![IpAddr::from([192, 0, 2, last])] }
}

#[test]
fn a_holder_that_doubts_its_ears_asks_those_that_it_heard_last() {
    let mut bench = Bench::new();
    bench.handle(Input::Own(vec![link(10)]));
    let names = ["b", "c", "d", "e", "f"];
    bench.handle(Input::Peers(peers(&["a", "b", "c", "d", "e", "f"])));
    let before = bench.peers["b"].message.clone();
    for (name, last) in names.into_iter().zip(11..) {
        let message = Message { from: station(name), number: 8, version: 1, ..before.clone() };
        let changes = Some(Changes { base: 0, after: 0, upto: 1, claims: Vec::new() });
        let first = Message { links: Some(vec![link(last)]), changes, ..message.clone() };
        bench.peers.insert(name, Peer { message, is_mute: true, is_deaf: false });
        bench.hears(name, first.encode());
    }
    bench.order("a b c d e f");
    bench.pass(100);
    for name in ["d", "e", "f"] {
        bench.says(name, &[]);
    }
    bench.done.clear();
    bench.pass(1_000);
    let who = |last: u8| IpAddr::from([192, 0, 2, last]);
    let is_asked = |last: &u8| {
        let is_it =
            |done: &Output| matches!(done, Output::Ask { address, .. } if *address == who(*last));
        bench.done.iter().any(is_it)
    };
    let asked: Vec<_> = (11..16).filter(is_asked).collect();
    assert_eq!(asked, [13, 14, 15]);
}

#[test]
fn who_begins_to_hold_asks_before_it_is_deaf() {
    let mut bench = Bench::new();
    bench.handle(Input::Own(vec![link(10)]));
    bench.handle(Input::Peers(peers(&["a", "b"])));
    let changes = Some(Changes { base: 0, after: 0, upto: 1, claims: Vec::new() });
    let message =
        Message { links: Some(vec![link(11)]), version: 1, changes, ..bench.next("b", &[]) };
    bench.hears("b", message.encode());
    bench.mute("b");
    bench.mute("c");
    bench.pass(5_000);
    bench.done.clear();
    bench.order("a b");
    bench.pass(200);
    assert_eq!(bench.holder(), Some(("a", 1)));
    let is_deaf = |done: &Output| matches!(done, Output::Released { why: Releasing::Deaf, .. });
    assert!(!bench.done.iter().any(is_deaf), "{:?}", bench.done);
    bench.pass(200);
    assert!(bench.done.iter().any(is_deaf), "nobody has answered for long enough");
}
