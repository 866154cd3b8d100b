//! Frames as Linux 6.18 sends them, what is made of them, and what is refused.

use super::*;

const HERE: Mac = Mac([0x02, 0, 0, 0, 0, 0x01]);
const HOST: Mac = Mac([0x02, 0, 0, 0, 0, 0x99]);
const ADDRESS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10);
const HOST_ADDRESS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x99);
const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 1);

/// A host looks for an address.
const SOLICITATION: &str = "3333ff000010 020000000099 86dd 60000000 0020 3a ff \
    20010db8000000000000000000000099 ff0200000000000000000001ff000010 \
    87 00 1adb 00000000 20010db8000000000000000000000010 0101 020000000099";

/// What the host that has it says.
const ADVERTISEMENT: &str = "020000000099 020000000001 86dd 60000000 0020 3a ff \
    20010db8000000000000000000000010 20010db8000000000000000000000099 \
    88 00 89be 60000000 20010db8000000000000000000000010 0201 020000000001";

/// A host with an entry in its cache asks whether it is still true.
const UNICAST: &str = "020000000099 020000000001 86dd 60000000 0020 3a ff \
    fe80000000000000000000fffe000001 20010db8000000000000000000000099 \
    87 00 1b7d 00000000 20010db8000000000000000000000099 0101 020000000001";

/// Its answer, which has no option because the asker's packet came from there.
const BARE_ADVERTISEMENT: &str = "020000000001 020000000099 86dd 60000000 0018 3a ff \
    20010db8000000000000000000000099 fe80000000000000000000fffe000001 \
    88 00 dd86 40000000 20010db8000000000000000000000099";

/// A host asks whether anybody has the address that it was given, with a nonce (RFC 7527).
const DETECTION: &str = "3333ff000099 020000000099 86dd 60000000 0020 3a ff \
    00000000000000000000000000000000 ff0200000000000000000001ff000099 \
    87 00 04ec 00000000 20010db8000000000000000000000099 0e01 2b6bc17d4bdf";

fn bytes(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    let octet = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(octet).collect()
}

fn read(text: &str) -> Ndp {
    decode(&bytes(text)).unwrap()
}

/// Changes octets of the solicitation and mends its checksum.
fn changed<const N: usize>(at: usize, to: [u8; N]) -> Vec<u8> {
    mended(SOLICITATION, at, to)
}

fn mended<const N: usize>(text: &str, at: usize, to: [u8; N]) -> Vec<u8> {
    let mut bytes = bytes(text);
    bytes[at..at + N].copy_from_slice(&to);
    let address = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&bytes[at..at + 16]).unwrap());
    let (source, destination) = (address(22), address(38));
    let end = 54 + usize::from(u16::from_be_bytes([bytes[18], bytes[19]]));
    if (58..=bytes.len()).contains(&end) {
        Icmpv6Packet::new_unchecked(&mut bytes[54..end]).fill_checksum(&source, &destination);
    }
    bytes
}

#[test]
fn what_linux_sends_is_read() {
    let solicitation = |source_mac| Message::Solicitation { source_mac };
    let asked = read(SOLICITATION);
    assert_eq!((asked.frame_to, asked.frame_from), (group_mac(solicited_node(ADDRESS)), HOST));
    assert_eq!((asked.source, asked.destination), (HOST_ADDRESS, solicited_node(ADDRESS)));
    assert_eq!((asked.target, asked.message), (ADDRESS, solicitation(Some(HOST))));

    let polled = read(UNICAST);
    assert_eq!((polled.destination, polled.target), (HOST_ADDRESS, HOST_ADDRESS));
    assert_eq!(polled.message, solicitation(Some(HERE)));

    let flags = Flags { is_solicited: true, is_override: true, is_router: false };
    let told = read(ADVERTISEMENT);
    assert_eq!(told.message, Message::Advertisement { flags, target_mac: Some(HERE) });
    let flags = Flags { is_override: false, ..flags };
    let bare = read(BARE_ADVERTISEMENT);
    assert_eq!(bare.message, Message::Advertisement { flags, target_mac: None });

    let detection = read(DETECTION);
    assert_eq!((detection.source, detection.target), (Ipv6Addr::UNSPECIFIED, HOST_ADDRESS));
    assert_eq!(detection.message, solicitation(None), "the nonce is passed over");
}

#[test]
fn what_is_written_is_what_linux_writes() {
    assert_eq!(encode(&read(SOLICITATION)), bytes(SOLICITATION));
    assert_eq!(encode(&read(ADVERTISEMENT)), bytes(ADVERTISEMENT));
    assert_eq!(encode(&read(BARE_ADVERTISEMENT)), bytes(BARE_ADVERTISEMENT));
    assert_eq!(question(HERE, ROUTER, HOST, HOST_ADDRESS), bytes(UNICAST));
    assert_eq!(answer(HERE, HERE, &read(SOLICITATION)), bytes(ADVERTISEMENT));
    assert_eq!(bytes(ADVERTISEMENT).len(), FRAME_LEN);
}

#[test]
fn padding_behind_the_packet_is_not_looked_at() {
    let padded = [bytes(SOLICITATION), vec![0xee; 30]].concat();
    assert_eq!(decode(&padded), Ok(read(SOLICITATION)));
}

#[test]
fn an_asker_without_an_address_is_told_by_telling_all() {
    let packet = decode(&answer(HERE, HERE, &read(DETECTION))).unwrap();
    assert_eq!((packet.frame_to, packet.destination), (group_mac(ALL_NODES), ALL_NODES));
    assert_eq!((packet.source, packet.target), (HOST_ADDRESS, HOST_ADDRESS));
    let flags = Flags { is_override: true, is_solicited: false, is_router: false };
    assert_eq!(packet.message, Message::Advertisement { flags, target_mac: Some(HERE) });
}

#[test]
fn an_asker_that_does_not_say_where_it_is_is_told_where_its_frame_came_from() {
    let mut asked = read(SOLICITATION);
    asked.message = Message::Solicitation { source_mac: None };
    assert_eq!(answer(HERE, HERE, &asked), bytes(ADVERTISEMENT));
}

#[test]
fn an_answer_for_another_station_names_that_and_is_sent_by_this_one() {
    let other = Mac([0x02, 0, 0, 0, 0, 0x02]);
    let packet = decode(&answer(HERE, other, &read(SOLICITATION))).unwrap();
    assert_eq!((packet.frame_from, packet.frame_to), (HERE, HOST));
    let flags = Flags { is_override: true, is_solicited: true, is_router: false };
    assert_eq!(packet.message, Message::Advertisement { flags, target_mac: Some(other) });
}

#[test]
fn an_announcement_goes_to_all_and_overrides() {
    let packet = decode(&announcement(HERE, ADDRESS)).unwrap();
    assert_eq!((packet.frame_to, packet.destination), (group_mac(ALL_NODES), ALL_NODES));
    assert_eq!((packet.source, packet.target), (ADDRESS, ADDRESS));
    let flags = Flags { is_override: true, is_solicited: false, is_router: false };
    assert_eq!(packet.message, Message::Advertisement { flags, target_mac: Some(HERE) });
}

#[test]
fn a_probe_asks_the_group_without_an_address() {
    let group = group_mac(solicited_node(ADDRESS));
    let frame = probe(HERE, group, ADDRESS);
    assert_eq!(frame.len(), PROBE_LEN);
    let packet = decode(&frame).unwrap();
    assert_eq!((packet.frame_to, packet.destination), (group, solicited_node(ADDRESS)));
    assert_eq!((packet.source, packet.target), (Ipv6Addr::UNSPECIFIED, ADDRESS));
}

#[test]
fn what_rfc_4861_discards_is_refused_by_name() {
    use Malformed::{
        Checksum, Code, HopLimit, NotNdp, Option, Solicited, Source, Target, Truncated,
    };
    let own = bytes(SOLICITATION);
    let flipped = [&own[..85], &[0x98]].concat();
    let cases = [
        ("no bytes", vec![], Truncated),
        ("a header alone", own[..14].to_vec(), Truncated),
        ("half an IPv6 header", own[..40].to_vec(), Truncated),
        ("one byte short", own[..85].to_vec(), Truncated),
        ("a payload of nothing", changed(18, [0, 0]), Truncated),
        ("a payload without target", changed(18, [0, 8]), Truncated),
        ("ARP", changed(12, [8, 6]), NotNdp),
        ("a VLAN tag", changed(12, [0x81, 0]), NotNdp),
        ("version 4", changed(14, [0x45]), NotNdp),
        ("UDP", changed(20, [17]), NotNdp),
        ("an extension header", changed(20, [0]), NotNdp),
        ("a router solicitation", changed(54, [133]), NotNdp),
        ("an echo request", changed(54, [128]), NotNdp),
        ("passed on by a router", changed(21, [254]), HopLimit),
        ("one bit is wrong", flipped, Checksum),
        ("another code", changed(55, [1]), Code),
        ("the target is a group", changed(62, [0xff, 2]), Target),
        ("the source is a group", changed(22, [0xff, 2]), Source),
        ("no address, but a station", changed(22, [0; 16]), Source),
        ("no address, and asks one", mended(DETECTION, 38, [0xfe, 0x80]), Source),
        ("tells without an address", mended(ADVERTISEMENT, 22, [0; 16]), Source),
        ("told all, as if asked", mended(ADVERTISEMENT, 38, ALL_NODES.octets()), Solicited),
        ("an option of no length", changed(79, [0]), Option),
        ("an option behind the end", changed(79, [2]), Option),
        ("half an option", changed(18, [0, 25]), Option),
    ];
    for (name, bytes, want) in cases {
        assert_eq!(decode(&bytes), Err(want), "{name}");
    }
}

#[test]
fn an_ethernet_address_of_sixteen_octets_is_refused() {
    let mut bytes = bytes(SOLICITATION);
    bytes.extend([0; 8]);
    bytes[19] = 40;
    bytes[79] = 2;
    Icmpv6Packet::new_unchecked(&mut bytes[54..])
        .fill_checksum(&HOST_ADDRESS, &solicited_node(ADDRESS));
    assert_eq!(decode(&bytes), Err(Malformed::Option));
}

#[test]
fn groups_have_the_last_octets_of_their_members() {
    let address: Ipv6Addr = "2001:db8::a1b2:c3d4".parse().unwrap();
    assert_eq!(solicited_node(address).to_string(), "ff02::1:ffb2:c3d4");
    assert_eq!(group_mac(solicited_node(address)), Mac([0x33, 0x33, 0xff, 0xb2, 0xc3, 0xd4]));
}
