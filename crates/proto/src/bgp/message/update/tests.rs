//! Every mistake that an UPDATE can have, and what RFC 7606 wants done about it.

use super::Treatment::{DisableFamily, DiscardAttribute, TreatAsWithdraw};
use super::*;
use crate::bgp::Relation;
use crate::bgp::message::attribute::AsWidth;

const ORIGIN: &[u8] = &[0x40, 1, 1, 0];
const AS_PATH: &[u8] = &[0x40, 2, 6, 2, 1, 0, 0, 0xfc, 0];
const NEXT_HOP: &[u8] = &[0x40, 3, 4, 192, 0, 2, 1];
const ROUTE: &[u8] = &[24, 198, 51, 100];
const REACH: &[u8] = &[
    0x80, 14, 26, 0, 2, 1, 16, // IPv6 unicast, next hop of 16 octets
    0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, // 2001:db8::1
    32, 0x20, 1, 0xd, 0xb8,
];
const UNREACH: &[u8] = &[0x80, 15, 8, 0, 2, 1, 32, 0x20, 1, 0xd, 0xb8];

fn reading() -> Reading {
    let context = Context { relation: Relation::External, as_width: AsWidth::Four };
    Reading { context, families: Family::ALL.into() }
}

fn body(withdrawn: &[u8], attributes: &[&[u8]], routes: &[u8]) -> Vec<u8> {
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_be_bytes();
    let attributes = attributes.concat();
    [&length(withdrawn), withdrawn, &length(&attributes), &attributes, routes].concat()
}

fn decode(withdrawn: &[u8], attributes: &[&[u8]], routes: &[u8]) -> Result<Update, Notification> {
    Update::decode(&body(withdrawn, attributes, routes), &reading())
}

fn counted(announced: u64, withdrawn: u64) -> Update {
    Update { announced, withdrawn, ..Update::default() }
}

#[test]
fn routes_are_counted() {
    let path: &[&[u8]] = &[ORIGIN, AS_PATH, NEXT_HOP];
    assert_eq!(decode(&[], path, &[ROUTE, ROUTE].concat()), Ok(counted(2, 0)));
    assert_eq!(decode(ROUTE, &[], &[]), Ok(counted(0, 1)));
    assert_eq!(decode(ROUTE, path, ROUTE), Ok(counted(1, 1)), "both in one, as of old");
    assert_eq!(decode(&[], &[REACH, ORIGIN, AS_PATH], &[]), Ok(counted(1, 0)));
    assert_eq!(decode(&[], &[ORIGIN, AS_PATH, REACH], &[]), Ok(counted(1, 0)), "in any place");
    assert_eq!(decode(&[], &[UNREACH], &[]), Ok(counted(0, 1)));
}

#[test]
fn the_end_of_rib_is_told_from_an_empty_update() {
    let end_of = |bytes: &[u8]| Update::decode(bytes, &reading()).unwrap().end_of_rib;
    assert_eq!(end_of(&[0, 0, 0, 0]), Some(Family::Ipv4));
    assert_eq!(end_of(&body(&[], &[&[0x80, 15, 3, 0, 2, 1]], &[])), Some(Family::Ipv6));
    assert_eq!(end_of(&body(&[], &[&[0x90, 15, 0, 3, 0, 2, 1]], &[])), Some(Family::Ipv6));
    assert_eq!(end_of(&body(ROUTE, &[&[0x80, 15, 3, 0, 2, 1]], &[])), None);
    assert_eq!(end_of(&body(&[], &[UNREACH], &[])), None);
    assert_eq!(end_of(&body(&[], &[&[0x80, 15, 3, 0, 25, 70]], &[])), None, "not of ours");
}

/// Attributes of one route, and what is wrong with them.
type Mistake = (&'static str, Vec<&'static [u8]>, Option<Fault>);

#[test]
fn what_can_be_told_from_the_routes_keeps_the_session() {
    let path: &[&[u8]] = &[ORIGIN, AS_PATH, NEXT_HOP];
    let with = |extra: &'static [u8]| [path, &[extra]].concat();
    let without = |left_out: &'static [u8]| {
        path.iter().copied().filter(|part| *part != left_out).collect::<Vec<_>>()
    };
    let withdraw = |what| Some(Fault { treatment: TreatAsWithdraw, what });
    let cases: [Mistake; 11] = [
        ("nothing", path.to_vec(), None),
        ("an attribute we do not know", with(&[0xc0, 99, 1, 0]), None),
        ("communities of 3 octets", with(&[0xc0, 8, 3, 0, 0, 0]), withdraw(What::Attribute(8))),
        ("no ORIGIN", without(ORIGIN), withdraw(What::Missing(1))),
        ("no AS_PATH", without(AS_PATH), withdraw(What::Missing(2))),
        ("no NEXT_HOP", without(NEXT_HOP), withdraw(What::Missing(3))),
        ("the last breaks off", with(&[0xc0, 8, 8, 0]), withdraw(What::Overrun)),
        ("two octets are left", with(&[0xc0, 8]), withdraw(What::Overrun)),
        ("three of a long one", with(&[0xd0, 8, 0]), withdraw(What::Overrun)),
        (
            "ORIGIN twice",
            with(&[0x40, 1, 1, 9]),
            Some(Fault { treatment: DiscardAttribute, what: What::Attribute(1) }),
        ),
        (
            "a weak and a strong one",
            [path, &[&[0x40, 6, 1, 0], &[0xc0, 8, 0], &[0x40, 6, 1, 0]]].concat(),
            withdraw(What::Attribute(8)),
        ),
    ];
    for (name, attributes, fault) in cases {
        let is_withdrawn = fault.is_some_and(|fault| fault.treatment == TreatAsWithdraw);
        let want = if is_withdrawn { counted(0, 1) } else { counted(1, 0) };
        assert_eq!(decode(&[], &attributes, ROUTE), Ok(Update { fault, ..want }), "{name}");
    }
}

#[test]
fn a_family_that_cannot_be_read_is_disabled() {
    let cases: [(&str, Vec<u8>); 8] = [
        ("next hop of 4 octets", vec![0x80, 14, 9, 0, 2, 1, 4, 1, 2, 3, 4, 0]),
        ("next hop breaks off", vec![0x80, 14, 6, 0, 2, 1, 16, 1, 2]),
        ("no next hop", vec![0x80, 14, 3, 0, 2, 1]),
        ("no reserved octet", [&[0x80, 14, 20, 0, 2, 1, 16], &[0; 16][..]].concat()),
        (
            "prefix of 129 bits",
            vec![0x80, 15, 21, 0, 2, 1, 129, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ),
        ("prefix breaks off", vec![0x80, 15, 5, 0, 2, 1, 32, 0x20]),
        ("transitive", [&[0xc0], &UNREACH[1..]].concat()),
        ("not optional", [&[0x00], &REACH[1..]].concat()),
    ];
    for (name, attribute) in cases {
        let update = decode(&[], &[&attribute, ORIGIN, AS_PATH], &[]).unwrap();
        let fault = Fault { treatment: DisableFamily, what: What::Routes(Family::Ipv6) };
        assert_eq!(update.fault, Some(fault), "{name}");
    }
}

#[test]
fn a_family_that_the_session_does_not_carry_is_ignored() {
    let only_ipv4 = Reading { families: [Family::Ipv4].into(), ..reading() };
    let broken = [0x80, 14, 9, 0, 2, 1, 4, 1, 2, 3, 4, 0];
    let update = Update::decode(&body(&[], &[&broken, ORIGIN, AS_PATH], &[]), &only_ipv4);
    assert_eq!(update, Ok(Update::default()));
    let evpn = [0x80, 14, 3, 0, 25, 70];
    assert_eq!(decode(&[], &[&evpn, ORIGIN, AS_PATH], &[]), Ok(Update::default()));
}

#[test]
fn what_cannot_be_told_from_the_routes_resets_the_session() {
    let unknown: &[u8] = &[0x40, 99, 1, 7];
    let short: &[u8] = &[0x80, 15, 2, 0, 2];
    let invalid = Notification::from(Error::InvalidNetworkField);
    let list = Notification::from(Error::MalformedAttributeList);
    let cases: [(&str, Vec<u8>, Notification); 12] = [
        ("withdrawn routes too long", vec![0, 9, 0, 0], list.clone()),
        ("attributes too long", vec![0, 0, 0, 1], list.clone()),
        ("a length breaks off", vec![0, 0, 0], list.clone()),
        ("a route of 33 bits", body(&[], &[], &[33, 1, 2, 3, 4, 5]), invalid.clone()),
        ("a route breaks off", body(&[], &[], &[24, 1, 2]), invalid.clone()),
        ("a withdrawn one breaks off", body(&[24, 1, 2], &[], &[]), invalid),
        ("MP_REACH_NLRI twice", body(&[], &[REACH, REACH], &[]), list.clone()),
        ("MP_UNREACH_NLRI twice", body(&[], &[UNREACH, UNREACH], &[]), list.clone()),
        ("a mistake and no routes", body(&[], &[&[0x40, 1, 0]], &[]), list.clone()),
        ("one that breaks off and no routes", body(ROUTE, &[&[0x40, 1]], &[]), list),
        (
            "well-known and not known",
            body(&[], &[ORIGIN, unknown], ROUTE),
            Notification::new(Error::UnrecognizedWellKnown, unknown.to_vec()),
        ),
        (
            "no family",
            body(&[], &[short], &[]),
            Notification::new(Error::OptionalAttribute, short.to_vec()),
        ),
    ];
    for (name, body, want) in cases {
        assert_eq!(Update::decode(&body, &reading()), Err(want), "{name}");
    }
}

#[test]
fn without_routes_a_weak_mistake_is_no_reason_to_reset() {
    let update = decode(&[], &[&[0x40, 6, 1, 0]], &[]).unwrap();
    let fault = Fault { treatment: DiscardAttribute, what: What::Attribute(6) };
    assert_eq!(update.fault, Some(fault));
    assert_eq!(
        fault.to_string(),
        "attribute 6 is malformed, it is ignored",
        "what people read in the log"
    );
}
