//! Which session a packet is for, and how long there is one.

use super::*;
use crate::bfd::auth::{Key, Method};
use crate::bfd::packet::{Exchange, Interval};
use std::time::Duration;

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const OURS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 9));

fn path(hops: Hops) -> Path {
    Path { peer: PEER, local: None, device: None, hops }
}

fn sessions(wanted: impl IntoIterator<Item = (Path, Config)>) -> Sessions {
    let mut sessions = Sessions::new(1);
    sessions.handle(Instant::START, Input::Wanted(wanted.into_iter().collect()));
    sessions
}

/// What is sent since the last look, by session.
fn sent(sessions: &mut Sessions) -> Vec<(Path, Packet)> {
    let outputs = std::iter::from_fn(|| sessions.poll());
    let packet = |output| match output {
        Output::Send { path, bytes } => Some((path, Packet::decode(&bytes).unwrap().0)),
        Output::Echo { .. }
        | Output::Changed { .. }
        | Output::Ignored { .. }
        | Output::Ended(_) => None,
    };
    outputs.filter_map(packet).collect()
}

fn ignored(sessions: &mut Sessions) -> Vec<Ignored> {
    let outputs = std::iter::from_fn(|| sessions.poll());
    outputs
        .filter_map(|output| match output {
            Output::Ignored { cause, .. } => Some(cause),
            Output::Send { .. }
            | Output::Echo { .. }
            | Output::Changed { .. }
            | Output::Ended(_) => None,
        })
        .collect()
}

/// A peer that is down and knows nobody.
fn down() -> Packet {
    Packet {
        diagnostic: super::super::packet::Diagnostic::NONE,
        state: State::Down,
        exchange: Exchange::None,
        is_control_plane_independent: false,
        is_demand: false,
        detect_multiplier: std::num::NonZeroU8::MIN,
        my_discriminator: NonZeroU32::MIN,
        your_discriminator: None,
        desired_min_tx: Interval::from_millis(1000),
        required_min_rx: Interval::from_millis(1000),
        required_min_echo_rx: Interval::ZERO,
    }
}

fn arrived(hops: Hops, bytes: &[u8]) -> Arrived<'_> {
    Arrived { from: PEER, to: Some(OURS), device: None, hops, ttl: 255, bytes }
}

#[test]
fn a_packet_finds_its_session_or_is_dropped_for_a_reason() {
    let (single, multi) = (Hops::Single, Hops::Multi);
    let mut sessions = sessions([
        (path(single), Config::default()),
        (path(multi), Config { minimum_ttl: 250, ..Config::default() }),
    ]);
    let names: Vec<_> = sent(&mut sessions);
    let name = |hops| {
        names.iter().find(|(path, _)| path.hops == hops).map(|(_, packet)| packet.my_discriminator)
    };
    let first = down().encode(None);
    let named = |name| Packet { your_discriminator: name, ..down() }.encode(None);
    let (to_single, to_multi) = (named(name(single)), named(name(multi)));
    let to_nobody = named(NonZeroU32::new(77));
    let stranger = "192.0.2.77".parse().unwrap();
    let rows = [
        ("first words", arrived(single, &first), None),
        ("first words from afar", arrived(multi, &first), None),
        ("named", arrived(single, &to_single), None),
        (
            "named, from another address",
            Arrived { from: stranger, ..arrived(single, &to_single) },
            None,
        ),
        (
            "named, from afar, as far as allowed",
            Arrived { ttl: 250, ..arrived(multi, &to_multi) },
            None,
        ),
        (
            "named, from too far",
            Arrived { ttl: 249, ..arrived(multi, &to_multi) },
            Some(Ignored::Ttl),
        ),
        ("routed", Arrived { ttl: 254, ..arrived(single, &to_single) }, Some(Ignored::Ttl)),
        (
            "first words, routed",
            Arrived { ttl: 254, ..arrived(single, &first) },
            Some(Ignored::Ttl),
        ),
        ("at the other port", arrived(multi, &to_single), Some(Ignored::UnknownDiscriminator)),
        ("of nobody's", arrived(single, &to_nobody), Some(Ignored::UnknownDiscriminator)),
        (
            "a stranger",
            Arrived { from: stranger, ..arrived(single, &first) },
            Some(Ignored::UnknownSender),
        ),
        (
            "nonsense",
            arrived(single, b"?"),
            Some(Ignored::Malformed(super::super::packet::Malformed::Truncated)),
        ),
    ];
    for (name, arrived, want) in rows {
        sessions.handle(Instant::START, Input::Control(arrived));
        assert_eq!(ignored(&mut sessions), Vec::from_iter(want), "{name}");
    }
}

#[test]
fn first_words_go_to_the_session_of_their_device_and_address() {
    let (red, blue) = (Arc::<str>::from("red"), Arc::<str>::from("blue"));
    let plain = path(Hops::Single);
    let in_red = Path { device: Some(Arc::clone(&red)), ..plain.clone() };
    let elsewhere = Path { local: Some(PEER), ..plain.clone() };
    let bytes = down().encode(None);
    let base = arrived(Hops::Single, &bytes);
    let rows = [
        ("red", Arrived { device: Some(&red), ..base }, &in_red),
        ("another device", Arrived { device: Some(&blue), ..base }, &plain),
        ("no device", base, &plain),
        ("to another address of ours", Arrived { to: Some(PEER), ..base }, &plain),
    ];
    for (name, arrived, want) in rows {
        let mut sessions =
            sessions([(plain.clone(), Config::default()), (in_red.clone(), Config::default())]);
        sent(&mut sessions);
        sessions.handle(Instant::START, Input::Control(arrived));
        let answers: Vec<_> = sent(&mut sessions).into_iter().map(|(path, _)| path).collect();
        assert_eq!(answers, std::slice::from_ref(want), "{name}");
    }
    let mut sessions = sessions([(elsewhere, Config::default())]);
    sessions.handle(Instant::START, Input::Control(base));
    assert_eq!(ignored(&mut sessions), [Ignored::UnknownSender]);
}

#[test]
fn a_session_lasts_as_long_as_somebody_wants_it() {
    let path = path(Hops::Single);
    let mut sessions = sessions([(path.clone(), Config::default())]);
    sessions.handle(Instant::START, Input::Control(arrived(Hops::Single, &down().encode(None))));
    sent(&mut sessions);

    let later = Instant::START + Duration::from_millis(10);
    let wanted = BTreeMap::from([(path.clone(), Config::default())]);
    sessions.handle(later, Input::Wanted(wanted.clone()));
    assert!(sent(&mut sessions).is_empty(), "nothing is new");

    sessions.handle(later, Input::Wanted(BTreeMap::new()));
    let said = sent(&mut sessions);
    assert_eq!(said[0].1.state, State::AdminDown);
    assert!(!sessions.is_empty(), "the peer is being told");
    sessions.handle(later, Input::Wanted(wanted));
    assert_eq!(sent(&mut sessions)[0].1.state, State::Down, "wanted again");

    sessions.handle(later, Input::Wanted(BTreeMap::new()));
    sessions.handle(later + Duration::from_secs(1), Input::Timeout);
    let ended =
        std::iter::from_fn(|| sessions.poll()).any(|one| one == Output::Ended(path.clone()));
    assert!(ended && sessions.is_empty() && sessions.deadline().is_none());
}

#[test]
fn an_echo_of_nobody_is_dropped() {
    let mut sessions = sessions([(path(Hops::Single), Config::default())]);
    let (_, packet) = sent(&mut sessions).remove(0);
    let ours = Echo { discriminator: packet.my_discriminator, secret: 0, sequence: 1 };
    for bytes in [&b"?"[..], &[1; 12], &ours.encode()] {
        sessions.handle(Instant::START, Input::Echo { from: OURS, bytes });
        assert_eq!(ignored(&mut sessions), [Ignored::Echo]);
    }
}

#[test]
fn what_is_not_authenticated_is_dropped() {
    let key = Key::new(Method::KeyedSha1, 1, b"secret").ok();
    let mut sessions = sessions([(path(Hops::Single), Config { key, ..Config::default() })]);
    sessions.handle(Instant::START, Input::Control(arrived(Hops::Single, &down().encode(None))));
    let missing = crate::bfd::auth::Refused::Missing;
    assert_eq!(ignored(&mut sessions), [Ignored::Refused(missing)]);
}
