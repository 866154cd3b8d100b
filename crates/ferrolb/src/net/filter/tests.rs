//! Programs, run by an interpreter of the few instructions that they have.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// What the kernel would do with a frame in this direction. A load behind the end drops the frame.
fn takes(program: &[sock_filter], direction: u32, frame: &[u8]) -> bool {
    let (mut value, mut next) = (0, 0);
    loop {
        let sock_filter { code, jt, jf, k } = program[next];
        next += 1;
        let at = usize::try_from(k).unwrap();
        let bytes = |count: usize| frame.get(at..at + count);
        let loaded = match code {
            LOAD_BYTE if k == DIRECTION => Some(direction),
            LOAD_BYTE => bytes(1).map(|bytes| u32::from(bytes[0])),
            LOAD_HALF_WORD => bytes(2).map(|b| u32::from(u16::from_be_bytes([b[0], b[1]]))),
            LOAD_WORD => bytes(4).map(|b| u32::from_be_bytes(b.try_into().unwrap())),
            JUMP => {
                next += at;
                continue;
            }
            JUMP_IF_EQUAL | JUMP_IF_AT_LEAST => {
                let is_so = if code == JUMP_IF_EQUAL { value == k } else { value >= k };
                next += usize::from(if is_so { jt } else { jf });
                continue;
            }
            RETURN => return k > 0,
            other => panic!("no such instruction: {other:#x}"),
        };
        match loaded {
            Some(loaded) => value = loaded,
            None => return false,
        }
    }
}

const TO_ALL: u32 = 1;

fn filter(ranges: &[&str]) -> Filter {
    Filter::new(ranges.iter().map(|range| Range::parse(range).unwrap()))
}

fn arp_frame(operation: u8, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut frame = vec![0; 42];
    frame[21] = operation;
    frame[28..32].copy_from_slice(&sender.octets());
    frame[38..42].copy_from_slice(&target.octets());
    frame
}

fn ndp_frame(kind: u8, source: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let mut frame = vec![0; 86];
    (frame[20], frame[21], frame[54]) = (58, 255, kind);
    frame[22..38].copy_from_slice(&source.octets());
    frame[62..78].copy_from_slice(&target.octets());
    frame
}

#[test]
fn arp_passes_that_is_about_a_pool_or_an_answer_to_us() {
    let program = filter(&["192.0.2.10-192.0.2.20", "198.51.100.0/24", "2001:db8::/64"]);
    let program = program.program(Subject::Arp);
    let [ours, other, host] =
        [[192, 0, 2, 20], [192, 0, 2, 21], [192, 0, 2, 99]].map(Ipv4Addr::from);
    let cases = [
        ("asked for", TO_ALL, arp_frame(1, host, ours), true),
        ("asked for, alone", TO_US, arp_frame(1, host, ours), true),
        ("another is asked for", TO_ALL, arp_frame(1, host, other), false),
        ("announced", TO_ALL, arp_frame(1, ours, ours), true),
        ("told to all", TO_ALL, arp_frame(2, ours, host), true),
        ("another is told to all", TO_ALL, arp_frame(2, other, host), false),
        ("answered to us", TO_US, arp_frame(2, other, host), true),
        ("answered to another", TO_ANOTHER_HOST, arp_frame(2, ours, host), false),
        ("asked for in another VLAN", TO_ANOTHER_HOST, arp_frame(1, host, ours), false),
        ("short", TO_ALL, arp_frame(1, host, ours)[..40].to_vec(), false),
    ];
    for (name, direction, frame, want) in cases {
        assert_eq!(takes(&program, direction, &frame), want, "{name}");
    }
}

#[test]
fn ndp_passes_that_is_about_a_pool_or_an_answer_to_us() {
    let program = filter(&["192.0.2.0/24", "2001:db8::10-2001:db8::20", "fd00:1::/64"]);
    let program = program.program(Subject::Ndp);
    let [ours, other, host] = ["2001:db8::20", "2001:db8::21", "2001:db8::99"]
        .map(|text| text.parse::<Ipv6Addr>().unwrap());
    let changed = |at: usize, to: u8| {
        let mut frame = ndp_frame(135, host, ours);
        frame[at] = to;
        frame
    };
    let cases = [
        ("solicited", TO_ALL, ndp_frame(135, host, ours), true),
        ("by nobody", TO_ALL, ndp_frame(135, Ipv6Addr::UNSPECIFIED, ours), true),
        ("solicited, alone", TO_US, ndp_frame(135, host, ours), true),
        ("another is solicited", TO_ALL, ndp_frame(135, host, other), false),
        ("another is solicited of us", TO_US, ndp_frame(135, host, other), false),
        ("another is solicited by our address", TO_ALL, ndp_frame(135, ours, other), true),
        ("advertised", TO_ALL, ndp_frame(136, ours, ours), true),
        ("another is advertised", TO_ALL, ndp_frame(136, other, other), false),
        ("another is advertised by ours", TO_ALL, ndp_frame(136, ours, other), false),
        ("answered to us", TO_US, ndp_frame(136, other, other), true),
        ("in another VLAN", TO_ANOTHER_HOST, ndp_frame(135, host, ours), false),
        ("TCP", TO_US, changed(20, 6), false),
        ("routed", TO_ALL, changed(21, 64), false),
        ("a router advertisement", TO_ALL, changed(54, 134), false),
        ("an echo request", TO_US, changed(54, 128), false),
    ];
    for (name, direction, frame, want) in cases {
        assert_eq!(takes(&program, direction, &frame), want, "{name}");
    }
}

#[test]
fn a_filter_without_ranges_takes_only_answers_to_this_host() {
    assert!(!filter(&[]).concerns_any() && filter(&["fd00::/64"]).concerns_any());
    let host = Ipv4Addr::new(192, 0, 2, 99);
    for ranges in [&[][..], &["fd00::/64"]] {
        let program = filter(ranges).program(Subject::Arp);
        assert!(!takes(&program, TO_ALL, &arp_frame(1, host, host)));
        assert!(takes(&program, TO_US, &arp_frame(2, host, host)));
    }
}

#[test]
fn more_ranges_than_a_program_can_hold_let_more_pass_and_never_less() {
    let third = |n: u32| Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 0).to_bits() + 3 * n);
    let ranges: Vec<_> = (0..5_000).map(|n| format!("{0}-{0}", third(n))).collect();
    let ranges: Vec<_> = ranges.iter().map(String::as_str).collect();
    let program = filter(&ranges).program(Subject::Arp);
    assert!(program.len() <= MAX_INSTRUCTIONS, "{}", program.len());
    let host = Ipv4Addr::new(192, 0, 2, 99);
    assert!((0..5_000).all(|n| takes(&program, TO_ALL, &arp_frame(1, host, third(n)))));
    assert!(!takes(&program, TO_ALL, &arp_frame(1, host, host)), "still not anything");
}

#[test]
fn hundreds_of_ranges_fit_as_they_are() {
    let mut ranges: Vec<Bounds<1>> = (0..300).map(|n| ([100 * n], [100 * n + 50])).collect();
    search::unite(&mut ranges);
    assert!(arp(&ranges).len() <= MAX_INSTRUCTIONS, "{}", arp(&ranges).len());
    let prefix = |n: u32| ([0x2001_0db8, n, 0, 0], [0x2001_0db8, n, u32::MAX, u32::MAX]);
    let ranges: Vec<Bounds<4>> = (0..150).map(|n| prefix(2 * n)).collect();
    assert!(ndp(&ranges).len() <= MAX_INSTRUCTIONS, "{}", ndp(&ranges).len());
}

/// Bounds that are near each other in some words and far in others.
fn any_words() -> impl Strategy<Value = [u32; 4]> {
    let word = || prop_oneof![Just(0), Just(u32::MAX), 0..4_u32, any::<u32>()];
    [word(), word(), word(), word()]
}

proptest! {
    #[test]
    fn an_address_is_found_exactly_if_it_is_in_a_range(
        bounds in vec((any_words(), any_words()), 0..12),
        addresses in vec(any_words(), 1..20),
    ) {
        let all: Vec<_> = bounds.iter().map(|(a, b)| (*a.min(b), *a.max(b))).collect();
        let mut ranges = all.clone();
        search::unite(&mut ranges);
        let mut program = search::program(0, &ranges);
        program.push(drop_frame());
        let edges = all.iter().flat_map(|(first, last)| [*first, *last]);
        for address in addresses.into_iter().chain(edges) {
            let frame: Vec<u8> = address.iter().flat_map(|word| word.to_be_bytes()).collect();
            let is_in = all.iter().any(|(first, last)| *first <= address && address <= *last);
            prop_assert_eq!(takes(&program, TO_ALL, &frame), is_in, "{:x?}", address);
        }
    }
}
