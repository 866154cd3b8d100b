//! What is a packet, and what is none.

use super::*;
use proptest::prelude::*;

/// From FRR 8.4's bfdd: up, five packets of 200 ms, ready for one each 250 ms.
const FRR: &str = "20c00518b5ec571675929dd600030d400003d0900000c350";

/// From BIRD 2.0: coming up, with a question.
const BIRD: &str = "20e403341dd1f4308c0ae7aa000493e0000493e000000000\
                    041c0700fba4fdf1bddddb137b758313178d4b27cb7e66c9c5433ec6";

pub(in crate::bfd) fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().map(|digit| digit.to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

#[test]
fn what_frr_sends_is_understood() {
    let bytes = octets(FRR);
    let (packet, datagram) = Packet::decode(&bytes).unwrap();
    let want = Packet {
        diagnostic: Diagnostic::NONE,
        state: State::Up,
        exchange: Exchange::None,
        is_control_plane_independent: false,
        is_demand: false,
        detect_multiplier: NonZeroU8::new(5).unwrap(),
        my_discriminator: NonZeroU32::new(0xb5ec_5716).unwrap(),
        your_discriminator: NonZeroU32::new(0x7592_9dd6),
        desired_min_tx: Interval::from_millis(200),
        required_min_rx: Interval::from_millis(250),
        required_min_echo_rx: Interval::from_millis(50),
    };
    assert_eq!((&packet, datagram.section), (&want, None));
    assert_eq!(packet.encode(None), bytes);
}

#[test]
fn what_bird_sends_is_understood() {
    let bytes = octets(BIRD);
    let (packet, datagram) = Packet::decode(&bytes).unwrap();
    assert_eq!((packet.state, packet.exchange), (State::Up, Exchange::Poll));
    let Some(Section::Digest { method, key_id, sequence, digest }) = datagram.section else {
        panic!("{datagram:?}")
    };
    let want = (auth::Method::KeyedSha1, 7, 0xfba4_fdf1);
    assert_eq!((method, key_id, sequence), want);
    assert_eq!(digest, &bytes[32..]);
    assert_eq!(packet.encode(datagram.section), bytes);
}

#[test]
fn what_is_no_packet_is_dropped_for_the_first_rule_that_it_breaks() {
    use Malformed as M;
    let plain = |changes: &[(usize, u8)]| changed(FRR, changes);
    let sealed = |changes: &[(usize, u8)]| changed(BIRD, changes);
    let password = |length: u8| {
        let mut bytes = plain(&[(1, 0xc4), (3, 24 + length)]);
        bytes.extend([1, length, 7]);
        bytes.resize(24 + usize::from(length.max(3)), b'x');
        bytes
    };
    let rows = [
        ("empty", Vec::new(), M::Truncated),
        ("cut", octets(FRR)[..23].to_vec(), M::Truncated),
        ("version 0", plain(&[(0, 0x00)]), M::Version),
        ("version 2, and no multiplier", plain(&[(0, 0x40), (2, 0)]), M::Version),
        ("length 23", plain(&[(3, 23)]), M::Length),
        ("authenticated, length 25", sealed(&[(3, 25)]), M::Length),
        ("length 25", plain(&[(3, 25)]), M::LengthBeyondDatagram),
        ("multiplier 0", plain(&[(2, 0)]), M::DetectMultiplier),
        ("multipoint", plain(&[(1, 0xc1)]), M::Multipoint),
        ("no sender", plain(&[(4, 0), (5, 0), (6, 0), (7, 0)]), M::MyDiscriminator),
        ("up with nobody", plain(&[(8, 0), (9, 0), (10, 0), (11, 0)]), M::YourDiscriminator),
        ("poll and final", plain(&[(1, 0xf0)]), M::PollAndFinal),
        ("type 0", sealed(&[(24, 0)]), M::AuthenticationType),
        ("type 6", sealed(&[(24, 6)]), M::AuthenticationType),
        ("MD5 as long as SHA1", sealed(&[(24, 2)]), M::AuthenticationLength),
        ("no section", sealed(&[(25, 0)]), M::AuthenticationLength),
        ("section too short", sealed(&[(25, 27)]), M::AuthenticationLength),
        ("section too long", sealed(&[(25, 29)]), M::AuthenticationLength),
        ("section cut", sealed(&[(3, 26)]), M::AuthenticationLength),
        ("no password", password(3), M::AuthenticationLength),
        ("password of 17", password(20), M::AuthenticationLength),
    ];
    for (name, bytes, want) in &rows {
        let cause = Packet::decode(bytes).err();
        assert_eq!(cause, Some(*want), "{name}");
    }
    for cause in M::ALL {
        assert!(rows.iter().any(|(_, _, row)| *row == cause), "{cause:?} has no row");
    }
    assert!(Packet::decode(&password(4)).is_ok() && Packet::decode(&password(19)).is_ok());
}

#[test]
fn what_follows_the_length_does_not_count() {
    let mut bytes = octets(FRR);
    bytes.extend(b"padding");
    let (_, datagram) = Packet::decode(&bytes).unwrap();
    assert_eq!(datagram.octets, octets(FRR));
}

#[test]
fn a_session_that_is_down_need_not_know_the_peer() {
    let bytes = changed(FRR, &[(1, 0x40), (8, 0), (9, 0), (10, 0), (11, 0)]);
    assert_eq!(Packet::decode(&bytes).unwrap().0.your_discriminator, None);
}

fn changed(hex: &str, changes: &[(usize, u8)]) -> Vec<u8> {
    let mut bytes = octets(hex);
    changes.iter().for_each(|(at, byte)| bytes[*at] = *byte);
    bytes
}

prop_compose! {
    fn any_packet()(
        bytes in any::<[u8; HEADER]>(),
        state in 0..4,
        exchange in 0..3,
        words in any::<[u32; 5]>(),
    ) -> Packet {
        let state = [State::AdminDown, State::Down, State::Init, State::Up][usize::try_from(state).unwrap()];
        let exchange = [Exchange::None, Exchange::Poll, Exchange::Final][usize::try_from(exchange).unwrap()];
        let knows = matches!(state, State::Init | State::Up);
        Packet {
            diagnostic: Diagnostic::new(bytes[0]),
            state,
            exchange,
            is_control_plane_independent: bytes[1] & 1 == 1,
            is_demand: bytes[1] & 2 == 2,
            detect_multiplier: NonZeroU8::new(bytes[2]).unwrap_or(NonZeroU8::MIN),
            my_discriminator: NonZeroU32::new(words[0]).unwrap_or(NonZeroU32::MIN),
            your_discriminator: NonZeroU32::new(words[1]).or_else(|| knows.then_some(NonZeroU32::MIN)),
            desired_min_tx: Interval::from_micros(words[2]),
            required_min_rx: Interval::from_micros(words[3]),
            required_min_echo_rx: Interval::from_micros(words[4]),
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        packet in any_packet(),
        method in 0..6_usize,
        key_id: u8,
        sequence: u32,
        secret in prop::collection::vec(any::<u8>(), 20),
        length in 1..=16_usize,
    ) {
        let section = match auth::Method::ALL.get(method) {
            None => None,
            Some(auth::Method::SimplePassword) => {
                Some(Section::Password { key_id, password: &secret[..length] })
            }
            Some(&method) => {
                let digest = &secret[..method.longest_secret()];
                Some(Section::Digest { method, key_id, sequence, digest })
            }
        };
        let bytes = packet.encode(section);
        prop_assert!(bytes.len() <= MAX_PACKET);
        let (read, datagram) = Packet::decode(&bytes).unwrap();
        prop_assert_eq!((read, datagram.section), (packet, section));
        prop_assert_eq!(datagram.octets, &bytes);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        if let Ok((packet, datagram)) = Packet::decode(&bytes) {
            let written = packet.encode(datagram.section);
            let (read, _) = Packet::decode(&written).unwrap();
            prop_assert_eq!(read, packet);
        }
    }
}
