//! Prefixes on the wire, RFC 4271 section 4.3: a length in bits, then the octets it needs.

use ipnet::IpNet;

use super::super::Family;

/// The most octets that a prefix takes.
pub const MAX_LEN: usize = 17;

/// A field of prefixes breaks off, or has one that is longer than an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Invalid;

/// The octets that a prefix takes.
pub fn size(prefix: &IpNet) -> usize {
    1 + octets(prefix.prefix_len())
}

/// Appends a prefix; bits beyond its length are zero.
pub fn write(prefix: &IpNet, out: &mut Vec<u8>) {
    let length = prefix.prefix_len();
    out.push(length);
    match prefix {
        IpNet::V4(net) => out.extend_from_slice(&net.network().octets()[..octets(length)]),
        IpNet::V6(net) => out.extend_from_slice(&net.network().octets()[..octets(length)]),
    }
}

/// How many prefixes a field has.
///
/// # Errors
///
/// If it is malformed; then it is not known where any of its prefixes is (RFC 7606 section 5.3).
pub fn count(family: Family, mut bytes: &[u8]) -> Result<u64, Invalid> {
    let mut count = 0;
    while let Some((&length, rest)) = bytes.split_first() {
        if length > family.bits() {
            return Err(Invalid);
        }
        let (_, rest) = rest.split_at_checked(octets(length)).ok_or(Invalid)?;
        bytes = rest;
        count += 1;
    }
    Ok(count)
}

fn octets(length: u8) -> usize {
    usize::from(length).div_ceil(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_takes_the_octets_that_its_length_needs() {
        let cases: [(&str, &[u8]); 7] = [
            ("0.0.0.0/0", &[0]),
            ("10.0.0.0/8", &[8, 10]),
            ("10.128.0.0/9", &[9, 10, 128]),
            ("192.0.2.7/24", &[24, 192, 0, 2]),
            ("192.0.2.1/32", &[32, 192, 0, 2, 1]),
            ("::/0", &[0]),
            ("2001:db8::/33", &[33, 0x20, 0x01, 0x0d, 0xb8, 0]),
        ];
        for (prefix, want) in cases {
            let prefix: IpNet = prefix.parse().unwrap();
            let mut out = Vec::new();
            write(&prefix, &mut out);
            assert_eq!(out, want, "{prefix}");
            assert_eq!(size(&prefix), want.len(), "{prefix}");
            assert_eq!(count(Family::of(&prefix), want), Ok(1), "{prefix}");
        }
    }

    type Field = (&'static str, Family, &'static [u8], Result<u64, Invalid>);

    #[test]
    fn a_field_is_whole_or_invalid() {
        let cases: [Field; 6] = [
            ("nothing", Family::Ipv4, &[], Ok(0)),
            ("two", Family::Ipv4, &[8, 10, 0], Ok(2)),
            ("breaks off", Family::Ipv4, &[24, 192, 0], Err(Invalid)),
            ("longer than an address", Family::Ipv4, &[33, 1, 2, 3, 4, 5], Err(Invalid)),
            ("129 bits", Family::Ipv6, &[129; 18], Err(Invalid)),
            ("128 bits", Family::Ipv6, &[128; 17], Ok(1)),
        ];
        for (name, family, bytes, want) in cases {
            assert_eq!(count(family, bytes), want, "{name}");
        }
    }
}
