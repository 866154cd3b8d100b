//! What fields of a BGPPeer mean for a session.

//! What of a BGPPeer becomes which setting of a session.

use std::num::NonZeroU32;

use super::*;

fn asn(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

fn peer() -> Peer {
    let at = PeerAddress::Ip([192, 0, 2, 1].into());
    Peer::new(at, asn(64_512), RemoteAsn::Number(asn(64_513)))
}

fn settings(peer: &Peer, addresses: &[&str]) -> Settings {
    let internal_ips = addresses.iter().map(|text| text.parse().unwrap()).collect();
    let node = Node { internal_ips, ..Node::default() };
    Settings::of(peer, &NodeName("node-a".to_owned()), Some(&node))
}

#[test]
fn the_identifier_is_an_address_of_the_node_or_made_from_its_name() {
    let chosen = Peer { router_id: Some([1, 2, 3, 4].into()), ..peer() };
    let rows: [(&str, Peer, &[&str], [u8; 4]); 4] = [
        ("its address", peer(), &["192.0.2.11"], [192, 0, 2, 11]),
        ("its IPv4 address", peer(), &["fd00::11", "192.0.2.11"], [192, 0, 2, 11]),
        ("the one that was chosen", chosen, &["192.0.2.11"], [1, 2, 3, 4]),
        // zlib.crc32(b"node-a"), little-endian.
        ("its name", peer(), &["fd00::11"], 0x7899_4dab_u32.to_le_bytes()),
    ];
    for (row, peer, addresses, want) in rows {
        let got = settings(&peer, addresses).config.identifier;
        assert_eq!(got, Ipv4Addr::from(want), "{row}");
    }
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926, "the check value of the standard");
}

#[test]
fn packets_to_another_as_go_one_hop_unless_it_is_multihop() {
    let local_asn = Some(asn(64_513));
    let rows = [
        ("eBGP", peer(), Reach::Link),
        ("eBGP over hops", Peer { is_multihop: true, ..peer() }, Reach::Any),
        ("secured", Peer { ttl_security: Some(2), ..peer() }, Reach::Secured(2)),
        ("iBGP", Peer { remote_asn: RemoteAsn::Number(asn(64_512)), ..peer() }, Reach::Any),
        ("iBGP by the AS that is shown", Peer { local_asn, ..peer() }, Reach::Any),
        ("iBGP, whatever it says", Peer { remote_asn: RemoteAsn::Internal, ..peer() }, Reach::Any),
        ("eBGP, whatever it says", Peer { remote_asn: RemoteAsn::External, ..peer() }, Reach::Link),
    ];
    for (row, peer, want) in rows {
        assert_eq!(settings(&peer, &[]).transport.reach, want, "{row}");
    }
}

#[test]
fn ipv4_has_ipv6_next_hops_only_on_a_session_over_ipv6() {
    use Family::{Ipv4, Ipv6};
    let (v4, v6) = ([192, 0, 2, 1].into(), "fd00::1".parse().unwrap());
    let at = |at: IpAddr, is_dual_stack| Peer { at: PeerAddress::Ip(at), is_dual_stack, ..peer() };
    let unnumbered = Peer { at: PeerAddress::Interface("eth1".to_owned()), ..peer() };
    let rows: [(&str, Peer, &[Family], &[Family]); 5] = [
        ("IPv4", at(v4, false), &[Ipv4], &[]),
        ("IPv6", at(v6, false), &[Ipv6], &[]),
        ("both over IPv4", at(v4, true), &[Ipv4, Ipv6], &[]),
        ("both over IPv6", at(v6, true), &[Ipv4, Ipv6], &[Ipv4]),
        ("unnumbered", unnumbered, &[Ipv4, Ipv6], &[Ipv4]),
    ];
    for (row, peer, families, over_ipv6) in rows {
        let config = settings(&peer, &[]).config;
        let got: Vec<_> = config.families.into_iter().collect();
        assert_eq!(got, families, "{row}");
        let got: Vec<_> = config.ipv6_next_hop.into_iter().collect();
        assert_eq!(got, over_ipv6, "{row}");
    }
}

#[test]
fn only_another_place_takes_another_connection() {
    let here = settings(&peer(), &[]);
    let rows = [
        ("the same", peer(), true),
        ("a timer", Peer { hold_time: Some(Duration::from_secs(9)), ..peer() }, true),
        ("multihop", Peer { is_multihop: true, ..peer() }, true),
        ("another port", Peer { port: 1179, ..peer() }, false),
        ("another router", Peer { at: PeerAddress::Ip([192, 0, 2, 2].into()), ..peer() }, false),
        ("from another address", Peer { source: Some([192, 0, 2, 9].into()), ..peer() }, false),
        ("in a VRF", Peer { vrf: Some("red".to_owned()), ..peer() }, false),
    ];
    for (row, peer, want) in rows {
        assert_eq!(here.is_same_connection(&settings(&peer, &[])), want, "{row}");
    }
}
