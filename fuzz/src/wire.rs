//! Bytes from the network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proto::l2::{Arrival, Heard, Input, Mac, Output, Responder, Schedule, Voice, ndp};
use proto::mesh::Station;
use proto::mesh::message::{MAX_DATAGRAM, Message};
use proto::mesh::seal::{Key, Refused, Seal};
use proto::time::Instant;

/// What is answered for in the targets of layer 2.
const CLAIMS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10)),
];

/// A frame is answered once, reported, or counted once, and answered only for what is claimed.
pub(crate) fn arp(bytes: &[u8]) {
    let mut responder = Responder::new(Mac([2, 0, 0, 0, 0, 1]));
    for address in CLAIMS {
        let (arrival, schedule) = (Arrival::TakenOver, Schedule::default());
        let answer = Input::Answer { address, voice: Some(Voice::Own), arrival, schedule };
        responder.handle(Instant::START, answer);
    }
    while responder.poll().is_some() {}
    responder.handle(Instant::START, Input::Frame(bytes));
    let outputs: Vec<_> = std::iter::from_fn(|| responder.poll()).collect();
    let ignored: u64 = responder.ignored().values().sum();
    let outputs = match &outputs[..] {
        [Output::Heard(Heard::Announcement { address, .. }), rest @ ..] => {
            assert!(CLAIMS.contains(address) && ignored == 0);
            rest
        }
        [] => {
            assert_eq!(ignored, 1, "what leads to nothing is counted");
            return;
        }
        all => all,
    };
    match outputs {
        [] => (),
        [Output::Frame(_), Output::Answered { address, .. }] => {
            assert!(CLAIMS.contains(address) && ignored == 0);
        }
        more => panic!("one frame, one answer: {more:?}"),
    }
}

/// The same for IPv6; and a packet that can be read is written so that the same is read again.
pub(crate) fn ndp(bytes: &[u8]) {
    arp(bytes);
    if let Ok(packet) = ndp::decode(bytes) {
        assert_eq!(ndp::decode(&ndp::encode(&packet)), Ok(packet));
    }
}

/// A message that can be read is written so that the same is read again.
pub(crate) fn message(bytes: &[u8]) {
    let message = match Message::decode(bytes) {
        Ok(message) => message,
        Err(cause) => {
            assert!(!cause.label().is_empty() && !cause.to_string().is_empty());
            return;
        }
    };
    let written = message.encode();
    assert!(written.len() <= MAX_DATAGRAM, "{} bytes", written.len());
    assert_eq!(Message::decode(&written), Ok(message));
}

/// What was not sealed is not let in; what was is let in once, and as it was.
pub(crate) fn seal(bytes: &[u8]) {
    let station = |name| Station::new(name).expect("a name of one letter");
    let (a, b) = (station("a"), station("b"));
    let ends = [(&a, &b), (&b, &a)].map(|(me, peer)| {
        let mut seal = Seal::new(me.clone(), 1);
        seal.use_peers([peer]);
        seal.use_keys(Instant::START, Key::derive(b"a secret of 16 or more"));
        seal
    });
    let [mut sender, mut receiver] = ends;
    let refused = receiver.open(Instant::START, &a, bytes).expect_err("nobody sealed it");
    assert!(!refused.label().is_empty() && !refused.to_string().is_empty());
    let sealed = sender.seal(Instant::START, &b, bytes);
    assert_eq!(receiver.open(Instant::START, &a, &sealed), Ok(bytes));
    assert_eq!(receiver.open(Instant::START, &a, &sealed), Err(Refused::Repeated));
}
