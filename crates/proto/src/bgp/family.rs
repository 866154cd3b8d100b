//! Address families.

use std::fmt;

use ipnet::IpNet;

/// An address family of routes, always unicast.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Family {
    /// IPv4, AFI 1.
    Ipv4,
    /// IPv6, AFI 2.
    Ipv6,
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    /// The subsequent address family (SAFI) of unicast routes.
    pub const UNICAST: u8 = 1;

    /// The family of a prefix.
    pub fn of(prefix: &IpNet) -> Self {
        match prefix {
            IpNet::V4(_) => Self::Ipv4,
            IpNet::V6(_) => Self::Ipv6,
        }
    }

    /// The family with these numbers, if it is one of ours.
    pub fn from_wire(afi: u16, safi: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.afi() == afi && safi == Self::UNICAST)
    }

    /// The number of the address family (AFI).
    pub fn afi(self) -> u16 {
        match self {
            Self::Ipv4 => 1,
            Self::Ipv6 => 2,
        }
    }

    /// Bits of an address.
    pub fn bits(self) -> u8 {
        match self {
            Self::Ipv4 => 32,
            Self::Ipv6 => 128,
        }
    }

    /// AFI, reserved octet and SAFI, as capabilities have them.
    pub(super) fn triple(self) -> [u8; 4] {
        let [high, low] = self.afi().to_be_bytes();
        [high, low, 0, Self::UNICAST]
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "IPv4 unicast",
            Self::Ipv6 => "IPv6 unicast",
        })
    }
}
