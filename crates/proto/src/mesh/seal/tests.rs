//! What is let in and what is not, and keys that are exchanged.

use proptest::prelude::*;

use super::*;

/// The clocks of all hosts at the start, unless a test says otherwise.
const MICROS: u64 = 1_700_000_000_000_000;

fn key(name: &str) -> Key {
    Key::derive(format!("a secret of some length: {name}").as_bytes()).unwrap()
}

fn station(name: &str) -> Station {
    Station::new(name).unwrap()
}

fn at(seconds: u64) -> Instant {
    Instant::START + Duration::from_secs(seconds)
}

/// A station among `node-a`, `node-b` and `node-c`, with these keys.
fn seal_since(micros: u64, me: &str, keys: &[&str]) -> Seal {
    let mut seal = Seal::new(station(me), micros);
    let peers: Vec<_> = ["node-a", "node-b", "node-c"].map(station).to_vec();
    seal.use_peers(peers.iter().filter(|peer| peer.as_str() != me));
    seal.use_keys(Instant::START, keys.iter().map(|name| key(name)));
    seal
}

fn seal(me: &str, keys: &[&str]) -> Seal {
    seal_since(MICROS, me, keys)
}

/// One datagram from one to the other.
fn say(now: Instant, from: &mut Seal, to: &mut Seal) -> Result<(), Refused> {
    let datagram = from.seal(now, &to.me, b"ferr...");
    let sender = from.me.clone();
    to.open(now, &sender, &datagram).map(|payload| assert_eq!(payload, b"ferr..."))
}

#[test]
fn a_sealed_datagram_has_these_bytes() {
    let mut seal = Seal::new(station("node-a"), 5);
    seal.use_keys(Instant::START, [Key::derive(b"0123456789abcdef").unwrap()]);
    // Computed with HMAC and SHA-256 of Python's standard library.
    #[rustfmt::skip]
    let want = [
        b"seal\x01".as_slice(),
        &[0x79, 0xee, 0xf0, 0xe2],        // used
        &[0x79, 0xee, 0xf0, 0xe2],        // newest
        &[0, 0, 0, 0, 0, 0, 0, 5],        // number
        &[0, 0, 0, 0, 0, 0, 0, 0],        // nothing heard
        b"ferr...",
        &[0x50, 0x38, 0xf9, 0xb6, 0xdd, 0x33, 0xe9, 0xe0, 0x74, 0x8f, 0xf5, 0xfc, 0xa2, 0xbd, 0x63, 0x7a],
        &[0x12, 0x90, 0x48, 0xcd, 0x65, 0x75, 0x36, 0xaa, 0x6e, 0xd0, 0x2e, 0x49, 0x2b, 0x97, 0x20, 0x0d],
    ]
    .concat();
    let sealed = seal.seal(Instant::START, &station("node-b"), b"ferr...");
    assert_eq!(sealed, want);
    assert_eq!(sealed.len(), b"ferr...".len() + OVERHEAD);
}

#[test]
fn what_is_not_said_with_the_key_by_the_sender_to_the_receiver_is_refused() {
    type Row<'a> = (&'a str, &'a [&'a str], (&'a str, Vec<u8>), Result<(), Refused>);
    let sealed = |from: &str, to: &str, keys: &[&str]| {
        seal(from, keys).seal(at(1), &station(to), b"ferr...")
    };
    let good = || sealed("node-a", "node-b", &["key"]);
    let with_version = |version| {
        let mut bytes = good();
        bytes[MAGIC.len()] = version;
        bytes
    };
    let rows: [Row<'_>; 12] = [
        ("good", &["key"], ("node-a", good()), Ok(())),
        ("no key on both sides", &[], ("node-a", b"ferr...".to_vec()), Ok(())),
        ("no key there", &["key"], ("node-a", b"ferr...".to_vec()), Err(Refused::Unsealed)),
        ("no key here", &[], ("node-a", good()), Err(Refused::NoKey)),
        ("another key", &["other"], ("node-a", good()), Err(Refused::UnknownKey)),
        ("another way", &["key"], ("node-a", with_version(2)), Err(Refused::Version)),
        ("cut", &["key"], ("node-a", good()[..OVERHEAD - 1].to_vec()), Err(Refused::Truncated)),
        (
            "its payload cut",
            &["key"],
            ("node-a", good()[..OVERHEAD].to_vec()),
            Err(Refused::Forged),
        ),
        ("from no peer", &["key"], ("node-d", good()), Err(Refused::Stranger)),
        ("of another sender", &["key"], ("node-c", good()), Err(Refused::Forged)),
        (
            "meant for another",
            &["key"],
            ("node-a", sealed("node-a", "node-c", &["key"])),
            Err(Refused::Forged),
        ),
        (
            "our own, sent back",
            &["key"],
            ("node-a", sealed("node-b", "node-a", &["key"])),
            Err(Refused::Forged),
        ),
    ];
    for (name, keys, (from, bytes), want) in rows {
        let mut receiver = seal("node-b", keys);
        assert_eq!(receiver.open(at(1), &station(from), &bytes).map(drop), want, "{name}");
    }
}

#[test]
fn a_datagram_with_any_bit_changed_is_refused() {
    let good = seal("node-a", &["key"]).seal(at(1), &station("node-b"), b"ferr...");
    let mut receiver = seal("node-b", &["key"]);
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let opened = receiver.open(at(1), &station("node-a"), &bytes);
        assert!(opened.is_err(), "bit {bit}");
    }
    assert!(receiver.open(at(1), &station("node-a"), &good).is_ok(), "none of them was remembered");
}

#[test]
fn each_datagram_is_heard_once_and_in_about_its_order() {
    let mut sender = seal("node-a", &["key"]);
    let mut receiver = seal("node-b", &["key"]);
    let (a, b) = (station("node-a"), station("node-b"));
    let sent: Vec<_> = (0..40).map(|_| sender.seal(at(1), &b, b"")).collect();
    let mut open = |which: usize| receiver.open(at(1), &a, &sent[which]).map(drop);
    let rows = [
        ("the first that comes", 3, Ok(())),
        ("again", 3, Err(Refused::Repeated)),
        ("older than the first", 2, Err(Refused::Late)),
        ("later", 6, Ok(())),
        ("overtaken", 5, Ok(())),
        ("overtaken, again", 5, Err(Refused::Repeated)),
    ];
    for (name, which, want) in rows {
        assert_eq!(open(which), want, "{name}");
    }
    for which in 8..8 + WINDOW {
        assert_eq!(open(which), Ok(()));
    }
    assert_eq!(open(7), Err(Refused::Late), "overtaken by more than are remembered");
    assert_eq!(open(8), Err(Refused::Repeated));
}

/// What `node-a` says to `node-b`, which has started since, is played to it again. Its clock is
/// `clock` seconds ahead of where the recording was made.
fn replay(clock: u64) -> Result<(), Refused> {
    let recording = seal("node-a", &["key"]).seal(at(10), &station("node-b"), b"ferr...");
    let mut restarted = seal_since(MICROS + 10_000_000 + clock * 1_000_000, "node-b", &["key"]);
    restarted.open(Instant::START, &station("node-a"), &recording).map(drop)
}

#[test]
fn a_recording_from_before_its_start_is_nothing_to_a_speaker() {
    assert_eq!(replay(31), Err(Refused::Stale));
    assert_eq!(replay(365 * 24 * 60 * 60), Err(Refused::Stale));
    assert_eq!(replay(30), Ok(()), "the stated limit: nobody knows that it is one");
}

#[test]
fn a_recording_of_an_earlier_life_is_nothing_to_those_who_heard_a_later_one() {
    let b = station("node-b");
    let recording = seal("node-a", &["key"]).seal(at(10), &b, b"ferr...");
    let mut receiver = seal("node-b", &["key"]);
    let mut next_life = seal_since(MICROS + 11_000_000, "node-a", &["key"]);
    assert_eq!(say(at(11), &mut next_life, &mut receiver), Ok(()));
    let opened = receiver.open(at(11), &station("node-a"), &recording);
    assert_eq!(opened, Err(Refused::Late));
}

#[test]
fn hosts_whose_clocks_are_years_apart_hear_each_other_once_one_has_answered() {
    let mut a = seal_since(1, "node-a", &["key"]);
    let mut b = seal("node-b", &["key"]);
    assert_eq!(say(at(1), &mut a, &mut b), Err(Refused::Stale), "it may be a recording");
    assert_eq!(say(at(1), &mut b, &mut a), Ok(()), "this one is not: it has heard `a`");
    assert_eq!(say(at(1), &mut a, &mut b), Ok(()));
}

#[test]
fn a_peer_that_hears_nothing_is_heard() {
    let (mut deaf, mut receiver) = (seal("node-a", &["key"]), seal("node-b", &["key"]));
    for second in 1..100 {
        assert_eq!(say(at(second), &mut deaf, &mut receiver), Ok(()));
    }
}

#[test]
fn a_host_whose_clock_was_set_back_is_heard_again_once_it_hears_its_peers() {
    let mut receiver = seal("node-b", &["key"]);
    let mut sender = seal("node-a", &["key"]);
    assert_eq!(say(at(20), &mut sender, &mut receiver), Ok(()));
    let mut restarted = seal_since(MICROS + 1, "node-a", &["key"]);
    assert_eq!(say(at(1), &mut restarted, &mut receiver), Err(Refused::Late));
    assert_eq!(say(at(2), &mut receiver, &mut restarted), Ok(()));
    assert_eq!(say(at(3), &mut restarted, &mut receiver), Ok(()));
}

#[test]
fn the_longest_message_passes_every_link_in_one_piece_once_it_is_sealed() {
    let longest = vec![0; message::MAX_DATAGRAM];
    let sealed = seal("node-a", &["key"]).seal(at(1), &station("node-b"), &longest);
    assert_eq!(sealed.len(), MAX_SEALED);
    let headers = 40 + 8;
    assert_eq!(headers + sealed.len(), 1280, "the least MTU of IPv6");
}

#[test]
fn a_key_that_every_peer_has_given_up_is_forgotten() {
    let (mut a, mut b) = (seal("node-a", &["old"]), seal("node-b", &["old"]));
    let peers = [station("node-a"), station("node-b")];
    a.use_peers([&peers[1]]);
    b.use_peers([&peers[0]]);
    let mut forged = seal("node-b", &["old"]);
    for seal in [&mut a, &mut b] {
        seal.use_keys(at(1), [key("new"), key("old")]);
        seal.use_keys(at(2), [key("new")]);
        assert_eq!(seal.keys().count(), 2, "the peer still uses the old one");
    }
    for second in 3..6 {
        assert_eq!(say(at(second), &mut a, &mut b), Ok(()));
        assert_eq!(say(at(second), &mut b, &mut a), Ok(()));
    }
    assert!(a.keys().eq([key("new").id()]) && b.keys().eq([key("new").id()]));
    assert_eq!(say(at(6), &mut forged, &mut a), Err(Refused::UnknownKey), "whoever has stolen it");
}

#[test]
fn a_key_ends_after_a_day_although_a_peer_is_never_heard() {
    let mut a = seal("node-a", &["old"]);
    a.use_keys(at(0), [key("new")]);
    let mut b = seal("node-b", &["old"]);
    assert_eq!(say(at(24 * 60 * 60 - 1), &mut b, &mut a), Ok(()));
    assert_eq!(say(at(24 * 60 * 60), &mut b, &mut a), Err(Refused::UnknownKey));
}

#[test]
fn keys_are_bounded() {
    let mut a = seal("node-a", &["0"]);
    for number in 1..100 {
        a.use_keys(at(number), [key(&number.to_string())]);
        assert!(a.keys().count() <= MAX_KEYS);
        assert_eq!(a.keys().next(), Some(key(&number.to_string()).id()), "the newest is first");
    }
}

#[test]
fn every_reason_has_a_label_and_a_sentence_of_its_own() {
    let labels: BTreeSet<_> = Refused::ALL.iter().map(|refused| refused.label()).collect();
    let sentences: BTreeSet<_> = Refused::ALL.iter().map(ToString::to_string).collect();
    assert_eq!((labels.len(), sentences.len()), (Refused::ALL.len(), Refused::ALL.len()));
}

/// What happens to three stations while a key is exchanged for another.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// One says something to another.
    Say(usize, usize),
    /// The new key reaches a station, with the old one beside it.
    Give(usize),
    /// A station restarts with the keys that it was given last.
    Restart(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3_usize, 1..3_usize).prop_map(|(from, by)| Step::Say(from, (from + by) % 3)),
        1 => (0..3_usize).prop_map(Step::Give),
        1 => (0..3_usize).prop_map(Step::Restart),
    ]
}

proptest! {
    #[test]
    fn no_datagram_is_lost_while_keys_are_exchanged(steps in prop::collection::vec(step(), 1..80)) {
        let names = ["node-a", "node-b", "node-c"];
        let mut seals = names.map(|name| seal(name, &["old"]));
        let mut given = [vec!["old"], vec!["old"], vec!["old"]];
        for (number, step) in steps.into_iter().enumerate() {
            let micros = u64::try_from(number).unwrap() * 1_000;
            let now = Instant::START + Duration::from_micros(micros);
            match step {
                Step::Say(from, to) => {
                    let datagram = seals[from].seal(now, &station(names[to]), b"");
                    let opened = seals[to].open(now, &station(names[from]), &datagram).map(drop);
                    prop_assert_eq!(opened, Ok(()), "{} to {}", names[from], names[to]);
                }
                Step::Give(to) => {
                    given[to] = vec!["new", "old"];
                    seals[to].use_keys(now, [key("new"), key("old")]);
                }
                // Its clock goes on; time in it starts anew, which is the same as earlier.
                Step::Restart(which) => {
                    seals[which] = seal_since(MICROS + micros, names[which], &given[which]);
                }
            }
        }
    }
}
