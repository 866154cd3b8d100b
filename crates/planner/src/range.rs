//! Ranges of addresses.

use std::net::IpAddr;

/// First and last address of one family, in order.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Range {
    first: IpAddr,
    last: IpAddr,
}

impl Range {
    /// Whether `address` is in the range.
    pub fn contains(self, address: IpAddr) -> bool {
        self.first.is_ipv4() == address.is_ipv4() && self.first <= address && address <= self.last
    }
}
