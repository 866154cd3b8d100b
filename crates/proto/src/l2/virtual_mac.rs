//! An Ethernet address that belongs to an IP address and moves with it from node to node.

use std::net::IpAddr;

use sha2::{Digest as _, Sha256};

use super::Mac;

/// So that no other program that hashes addresses comes to the same results.
const DOMAIN: &[u8] = b"ferrolb virtual MAC 1";

/// The bits of the first octet: locally administered (U/L), and of one station (I/G), IEEE 802-2014
/// section 8.2.2.
const LOCAL: u8 = 0b10;
const GROUP: u8 = 0b01;

/// The Ethernet address of `address`, the same on every node and in every version.
///
/// It is 46 bits of a hash: among 1,000 addresses of a LAN two are alike once in 140 million LANs. A
/// node cannot hold both of two such addresses: its kernel refuses the second.
pub fn virtual_mac(address: IpAddr) -> Mac {
    let mut hash = Sha256::new_with_prefix(DOMAIN);
    match address {
        IpAddr::V4(address) => hash.update(address.octets()),
        IpAddr::V6(address) => hash.update(address.octets()),
    }
    let hash = hash.finalize();
    let mut octets = [0; 6];
    octets.copy_from_slice(&hash[..6]);
    octets[0] = octets[0] & !GROUP | LOCAL;
    Mac(octets)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn it_is_locally_administered_of_one_station_and_another_for_each_address() {
        let v4 = (0..10_000_u32).map(|last| IpAddr::V4((0xc000_0000 + last).into()));
        let v6 = (0..10_000_u128).map(|last| IpAddr::V6((0xfd00 << 112 | last).into()));
        let all: BTreeSet<_> = v4.chain(v6).map(virtual_mac).collect();
        assert_eq!(all.len(), 20_000);
        assert!(all.iter().all(|mac| mac.0[0] & 0b11 == 0b10));
    }

    #[test]
    fn it_never_changes() {
        // Two versions on one LAN must agree: these are not to be mended, but the code.
        let rows = [("192.0.2.200", "be:71:95:d5:7d:4d"), ("fd00::200", "3e:f6:f4:5d:12:c1")];
        for (address, want) in rows {
            assert_eq!(virtual_mac(address.parse().unwrap()).to_string(), want, "{address}");
        }
    }
}
