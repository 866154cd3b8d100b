//! What routes say to peers of every kind.

use super::*;

const V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

fn export(relation: Relation, local_as: u32, as_width: AsWidth) -> Export {
    Export {
        relation,
        local_as,
        as_width,
        max_message: 4096,
        families: Family::ALL.into(),
        next_hops: NextHops { ipv4: Some(V4), ipv6: Some(V6), link_local: None },
        ipv4_over_ipv6: Ipv4OverIpv6::Never,
    }
}

fn encode(attributes: &Attributes, export: &Export) -> Vec<u8> {
    let mut out = Vec::new();
    let next_hop = export.next_hop(Family::Ipv4, attributes.next_hop).unwrap();
    attributes.encode(export, next_hop, &mut out);
    out
}

fn everything() -> Attributes {
    Attributes {
        next_hop: NextHop::Own,
        local_pref: Some(200),
        med: Some(50),
        prepend: 1,
        communities: [Community(0xfde8_0002), Community(0xfde8_0001)].into(),
        extended_communities: [ExtendedCommunity([0, 2, 0, 1, 0, 0, 0, 1])].into(),
        large_communities: [LargeCommunity(1, 2, 3)].into(),
    }
}

#[test]
fn another_as_hears_the_path_and_no_preference() {
    #[rustfmt::skip]
    let want = [
        0x40, 1, 1, 0,                                       // ORIGIN IGP
        0x40, 2, 10, 2, 2, 0, 0, 0xfd, 0xe8, 0, 0, 0xfd, 0xe8, // 65000 65000
        0x40, 3, 4, 192, 0, 2, 1,
        0x80, 4, 4, 0, 0, 0, 50,
        0xc0, 8, 8, 0xfd, 0xe8, 0, 1, 0xfd, 0xe8, 0, 2,      // in order
        0xc0, 16, 8, 0, 2, 0, 1, 0, 0, 0, 1,
        0xc0, 32, 12, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3,
    ];
    assert_eq!(encode(&everything(), &export(Relation::External, 65000, AsWidth::Four)), want);
}

#[test]
fn our_own_as_hears_the_preference_and_an_empty_path() {
    #[rustfmt::skip]
    let want = [
        0x40, 1, 1, 0,
        0x40, 2, 0,
        0x40, 3, 4, 192, 0, 2, 1,
        0x80, 4, 4, 0, 0, 0, 50,
        0x40, 5, 4, 0, 0, 0, 200,
        0xc0, 8, 8, 0xfd, 0xe8, 0, 1, 0xfd, 0xe8, 0, 2,
        0xc0, 16, 8, 0, 2, 0, 1, 0, 0, 0, 1,
        0xc0, 32, 12, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3,
    ];
    assert_eq!(encode(&everything(), &export(Relation::Internal, 65000, AsWidth::Four)), want);
    let plain = encode(&Attributes::default(), &export(Relation::Internal, 1, AsWidth::Four));
    assert_eq!(plain[14..], [0x40, 5, 4, 0, 0, 0, 100], "the default of every router");
}

#[test]
fn a_peer_with_short_as_numbers_gets_the_true_path_beside() {
    let plain = Attributes::default();
    let long = encode(&plain, &export(Relation::External, 4_200_000_000, AsWidth::Two));
    assert_eq!(long[4..11], [0x40, 2, 4, 2, 1, 0x5b, 0xa0], "AS_TRANS");
    assert_eq!(long[18..], [0xc0, 17, 6, 2, 1, 0xfa, 0x56, 0xea, 0x00]);
    let short = encode(&plain, &export(Relation::External, 65000, AsWidth::Two));
    assert_eq!(short[4..11], [0x40, 2, 4, 2, 1, 0xfd, 0xe8]);
    assert_eq!(short.len(), 18, "no AS4_PATH where AS_PATH says it all");
}

#[test]
fn a_long_path_has_several_segments() {
    let attributes = Attributes { prepend: 255, ..Attributes::default() };
    let out = encode(&attributes, &export(Relation::External, 65000, AsWidth::Two));
    assert_eq!(out[4..10], [0x50, 2, 2, 4, 2, 255], "516 octets");
    assert_eq!(out[10 + 510..10 + 514], [2, 1, 0xfd, 0xe8]);
}

#[test]
fn a_node_that_leaves_says_so_in_both_ways() {
    let draining = everything().draining();
    assert!(draining.communities.contains(&Community::GRACEFUL_SHUTDOWN));
    let inside = encode(&draining, &export(Relation::Internal, 65000, AsWidth::Four));
    assert!(inside.windows(7).any(|octets| octets == [0x40, 5, 4, 0, 0, 0, 0]));
}

#[test]
fn a_next_hop_is_one_that_the_peer_understands() {
    use Ipv4OverIpv6::{Never, Possible, Preferred};
    let all = NextHops { ipv4: Some(V4), ipv6: Some(V6), link_local: Some(LINK_LOCAL) };
    let only_v4 = NextHops { ipv4: Some(V4), ..NextHops::default() };
    let only_link = NextHops { link_local: Some(LINK_LOCAL), ..NextHops::default() };
    let none = NextHops::default();
    let six = Ok(Written::Ipv6(V6, Some(LINK_LOCAL)));
    let link = Ok(Written::Ipv6(LINK_LOCAL, None));
    let given = NextHop::At(V6.into());
    let no = Err(Refusal::NextHop);
    let cases = [
        ("IPv4", Family::Ipv4, NextHop::Own, Never, all, Ok(Written::Ipv4(V4))),
        ("IPv4 over IPv4", Family::Ipv4, NextHop::Own, Possible, all, Ok(Written::Ipv4(V4))),
        ("IPv4 over IPv6", Family::Ipv4, NextHop::Own, Preferred, all, six),
        ("IPv4, IPv6 or nothing", Family::Ipv4, NextHop::Own, Possible, only_link, link),
        ("IPv4, none", Family::Ipv4, NextHop::Own, Never, only_link, no),
        ("IPv6", Family::Ipv6, NextHop::Own, Never, all, six),
        ("IPv6 of an unnumbered link", Family::Ipv6, NextHop::Own, Never, only_link, link),
        ("IPv6, none", Family::Ipv6, NextHop::Own, Preferred, only_v4, no),
        ("nothing at all", Family::Ipv4, NextHop::Own, Preferred, none, no),
        ("given", Family::Ipv6, given, Never, none, Ok(Written::Ipv6(V6, None))),
        ("given, not understood", Family::Ipv4, given, Never, all, no),
        ("given, understood", Family::Ipv4, given, Possible, all, Ok(Written::Ipv6(V6, None))),
        ("IPv4 for IPv6", Family::Ipv6, NextHop::At(V4.into()), Preferred, all, no),
    ];
    for (name, family, next_hop, ipv4_over_ipv6, next_hops, want) in cases {
        let base = export(Relation::External, 65000, AsWidth::Four);
        let export = Export { next_hops, ipv4_over_ipv6, ..base };
        assert_eq!(export.next_hop(family, next_hop), want, "{name}");
    }
}
