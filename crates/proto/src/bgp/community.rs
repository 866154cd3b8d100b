//! Communities: tags on a route, of three kinds.

use std::fmt;

/// RFC 1997: four octets, by convention an AS number and a number of its own.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Community(pub u32);

impl Community {
    /// RFC 8326: the route goes away soon, prefer any other.
    pub const GRACEFUL_SHUTDOWN: Self = Self(0xffff_0000);
    /// RFC 9494: kept although its speaker is gone.
    pub const LLGR_STALE: Self = Self(0xffff_0006);
    /// RFC 9494: not to be kept when its speaker is gone.
    pub const NO_LLGR: Self = Self(0xffff_0007);
}

impl fmt::Display for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0 >> 16, self.0 & 0xffff)
    }
}

/// RFC 8092: an AS number and two numbers of its own.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LargeCommunity(pub u32, pub u32, pub u32);

impl LargeCommunity {
    /// As it is on the wire.
    pub fn octets(self) -> [u8; 12] {
        let mut octets = [0; 12];
        for (part, number) in octets.chunks_exact_mut(4).zip([self.0, self.1, self.2]) {
            part.copy_from_slice(&number.to_be_bytes());
        }
        octets
    }
}

impl fmt::Display for LargeCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.0, self.1, self.2)
    }
}

/// RFC 4360: eight octets, whose first two say what the others mean.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ExtendedCommunity(pub [u8; 8]);

/// Whether an extended community goes beyond the neighboring AS, RFC 4360 section 2.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scope {
    /// From AS to AS.
    Transitive,
    /// To the neighboring AS only.
    NonTransitive,
}

impl ExtendedCommunity {
    const NON_TRANSITIVE: u8 = 0x40;
    const LINK_BANDWIDTH: u8 = 0x04;

    /// Link bandwidth (draft-ietf-idr-link-bandwidth): the share of traffic that a next hop wants.
    ///
    /// The AS is for information, and stands there in two octets (RFC 6793 section 9 says how).
    pub fn link_bandwidth(scope: Scope, asn: u32, bytes_per_second: f32) -> Self {
        let kind = match scope {
            Scope::Transitive => 0,
            Scope::NonTransitive => Self::NON_TRANSITIVE,
        };
        let [a, b] = u16::try_from(asn).unwrap_or(super::message::open::AS_TRANS).to_be_bytes();
        let [c, d, e, f] = bytes_per_second.to_be_bytes();
        Self([kind, Self::LINK_BANDWIDTH, a, b, c, d, e, f])
    }
}

impl fmt::Display for ExtendedCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_bandwidth_is_a_float_of_bytes_per_second() {
        let cases = [
            (Scope::NonTransitive, 64512, 1.25e8, "0x4004fc004cee6b28"),
            (Scope::Transitive, 64512, 1.0, "0x0004fc003f800000"),
            (Scope::Transitive, 4_200_000_000, 1.0, "0x00045ba03f800000"),
        ];
        for (scope, asn, bandwidth, want) in cases {
            let community = ExtendedCommunity::link_bandwidth(scope, asn, bandwidth);
            assert_eq!(community.to_string(), want);
        }
    }

    #[test]
    fn communities_print_as_people_write_them() {
        assert_eq!(Community(0xfde8_0064).to_string(), "65000:100");
        assert_eq!(Community::GRACEFUL_SHUTDOWN.to_string(), "65535:0");
        assert_eq!(LargeCommunity(65000, 1, 2).to_string(), "65000:1:2");
    }
}
