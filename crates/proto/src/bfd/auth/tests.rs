//! Whose packets are believed.

use super::*;
use crate::bfd::packet::tests::octets;
use std::time::Duration;

/// What two BIRD 2.0 with the password `tuna fish` and the key ID 7 have sent.
const BIRD: [(Method, &str); 5] = [
    (
        Method::SimplePassword,
        "20840324ef35262c85ea42da000f4240000493e000000000010c0774756e612066697368",
    ),
    (
        Method::KeyedMd5,
        "20c403305bbd4bf829a6096b000493e0000493e000000000\
         02180700c1ffa319ddc1573d89a0d01de04bfba83907b135",
    ),
    (
        Method::MeticulousKeyedMd5,
        "20c4033035fd38a880fdf446000493e0000493e000000000\
         03180700d376d3c6becbc7334260eedd4085b30aad83713b",
    ),
    (
        Method::KeyedSha1,
        "20e403341dd1f4308c0ae7aa000493e0000493e000000000\
         041c0700fba4fdf1bddddb137b758313178d4b27cb7e66c9c5433ec6",
    ),
    (
        Method::MeticulousKeyedSha1,
        "20c40334e18913a6fbd4dd2a000493e0000493e000000000\
         051c070027b5eea8c091a56e8de8d6c8ff3d2ed3a4473288b78ba6ed",
    ),
];

const SECOND: Duration = Duration::from_secs(1);

fn key(method: Method) -> Key {
    Key::new(method, 7, b"tuna fish").unwrap()
}

/// What becomes of octets at the one end of a session.
fn check(end: &mut Authentication, now: Instant, octets: &[u8]) -> Result<(), Refused> {
    let (packet, datagram) = Packet::decode(octets).unwrap();
    end.check(now, &packet, datagram.octets, datagram.section.as_ref())
}

#[test]
fn what_bird_authenticates_is_believed_and_made_again_octet_for_octet() {
    for (method, hex) in BIRD {
        let bytes = octets(hex);
        let mut end = Authentication::new(Some(key(method)), 0);
        assert_eq!(check(&mut end, Instant::START, &bytes), Ok(()), "{method:?}");

        let (packet, datagram) = Packet::decode(&bytes).unwrap();
        let sequence = match datagram.section {
            Some(Section::Digest { sequence, .. }) => sequence,
            Some(Section::Password { .. }) | None => 0,
        };
        assert_eq!(key(method).seal(&packet, sequence), bytes, "{method:?}");
    }
}

#[test]
fn a_packet_of_anybody_else_is_not_believed() {
    let password = octets(BIRD[0].1);
    let sha1 = octets(BIRD[4].1);
    let mut altered = sha1.clone();
    altered[1] = 0x44;
    let plain = octets("20c00518b5ec571675929dd600030d400003d0900000c350");
    let other = |id, secret: &[u8]| Key::new(Method::MeticulousKeyedSha1, id, secret).ok();
    let simple = |secret: &[u8]| Key::new(Method::SimplePassword, 7, secret).ok();
    let rows = [
        ("no key here", None, &sha1, Refused::Unexpected),
        ("not authenticated", other(7, b"tuna fish"), &plain, Refused::Missing),
        ("another method", Some(key(Method::KeyedSha1)), &sha1, Refused::Method),
        ("a password for a digest", simple(b"tuna fish"), &sha1, Refused::Method),
        ("a digest for a password", other(7, b"tuna fish"), &password, Refused::Method),
        ("another key ID", other(8, b"tuna fish"), &sha1, Refused::KeyId),
        ("another secret", other(7, b"swordfish"), &sha1, Refused::Forged),
        ("another password", simple(b"swordfish"), &password, Refused::Forged),
        ("a longer password", simple(b"tuna fish!"), &password, Refused::Forged),
        ("altered on the way", other(7, b"tuna fish"), &altered, Refused::Forged),
    ];
    for (name, key, bytes, want) in rows {
        let mut end = Authentication::new(key, 0);
        assert_eq!(check(&mut end, Instant::START, bytes), Err(want), "{name}");
    }
}

#[test]
fn a_sequence_number_must_follow_the_last() {
    // With a multiplier of 3 the next nine may be lost.
    let rows = [
        (0, Ok(()), Err(Refused::Sequence)),
        (1, Ok(()), Ok(())),
        (9, Ok(()), Ok(())),
        (10, Err(Refused::Sequence), Err(Refused::Sequence)),
        (u32::MAX, Err(Refused::Sequence), Err(Refused::Sequence)),
    ];
    let (packet, _) = Packet::decode(&octets(BIRD[1].1)).map(|(p, _)| (p, ())).unwrap();
    for (ahead, keyed, meticulous) in rows {
        for (method, want) in [
            (Method::KeyedMd5, keyed),
            (Method::KeyedSha1, keyed),
            (Method::MeticulousKeyedMd5, meticulous),
            (Method::MeticulousKeyedSha1, meticulous),
        ] {
            let last = u32::MAX - 2;
            let mut end = Authentication::new(Some(key(method)), 0);
            let mut say =
                |sequence| check(&mut end, Instant::START, &key(method).seal(&packet, sequence));
            assert_eq!(say(last), Ok(()), "the first may have any");
            assert_eq!(say(last.wrapping_add(ahead)), want, "{method:?}: {ahead} ahead");
        }
    }
}

#[test]
fn a_peer_that_was_silent_for_long_may_count_anew() {
    let method = Method::MeticulousKeyedSha1;
    let (packet, _) = Packet::decode(&octets(BIRD[4].1)).map(|(p, _)| (p, ())).unwrap();
    let mut end = Authentication::new(Some(key(method)), 0);
    let old = key(method).seal(&packet, 1000);
    assert_eq!(check(&mut end, Instant::START, &old), Ok(()));
    end.heard(Instant::START, Instant::START + SECOND);
    let anew = key(method).seal(&packet, 5);
    let early = Instant::START + (SECOND * 2 - Duration::from_millis(1));
    assert_eq!(check(&mut end, early, &anew), Err(Refused::Sequence));
    assert_eq!(check(&mut end, Instant::START + SECOND * 2, &anew), Ok(()));
}

#[test]
fn no_number_is_used_twice() {
    let method = Method::KeyedMd5;
    let (packet, _) = Packet::decode(&octets(BIRD[1].1)).map(|(p, _)| (p, ())).unwrap();
    let mut end = Authentication::new(Some(key(method)), u32::MAX);
    let mut sequence = || {
        let sealed = end.seal(&packet);
        u32::from_be_bytes(sealed[28..32].try_into().unwrap())
    };
    assert_eq!([sequence(), sequence(), sequence()], [u32::MAX, 0, 1]);
}

#[test]
fn a_secret_has_the_length_that_its_method_allows() {
    for method in Method::ALL {
        let longest = method.longest_secret();
        assert_eq!(Key::new(method, 0, b""), Err(NotAKey::Empty));
        assert!(Key::new(method, 0, &vec![1; longest]).is_ok());
        assert_eq!(Key::new(method, 0, &vec![1; longest + 1]), Err(NotAKey::TooLong));
    }
    let shown = format!("{:?}", key(Method::KeyedMd5));
    assert!(!shown.contains("tuna") && !shown.contains("116"), "{shown}");
}
