//! How communities are written and ordered.

use std::cmp::Ordering;
use std::fmt;

use super::Community;

impl fmt::Display for Community {
    /// As a BGPAdvertisement takes it: `65000:100`, `large:65000:1:2`, and extended ones in the form
    /// that fits all of them, `ext:0x0002fde800000064`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standard(value) => write!(f, "{}:{}", value >> 16, value & 0xffff),
            Self::Large(asn, one, other) => write!(f, "large:{asn}:{one}:{other}"),
            Self::Extended(octets) => write!(f, "ext:0x{:016x}", u64::from_be_bytes(*octets)),
        }
    }
}

impl Ord for Community {
    /// MetalLB's order: a standard community stands where a large one would whose first number is
    /// the whole of it and whose others are zero. Extended ones come last.
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }
}

impl PartialOrd for Community {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The number of the kind is there because different communities are never equal.
type Place = (bool, [u32; 3], u8, [u8; 8]);

impl Community {
    fn place(&self) -> Place {
        match *self {
            Self::Standard(value) => (false, [value, 0, 0], 0, [0; 8]),
            Self::Large(asn, one, other) => (false, [asn, one, other], 1, [0; 8]),
            Self::Extended(octets) => (true, [0; 3], 2, octets),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn communities_print_as_they_are_written() {
        let rows = [
            (Community::Standard(0xfde8_0064), "65000:100"),
            (Community::Standard(7), "0:7"),
            (Community::Standard(u32::MAX), "65535:65535"),
            (Community::Large(65000, 0, u32::MAX), "large:65000:0:4294967295"),
            (Community::Extended([0, 2, 0xfd, 0xe8, 0, 0, 0, 100]), "ext:0x0002fde800000064"),
        ];
        for (community, want) in rows {
            assert_eq!(community.to_string(), want);
        }
    }

    #[test]
    fn standard_and_large_communities_are_ordered_together() {
        let sorted = [
            Community::Standard(1),
            Community::Large(1, 0, 0),
            Community::Large(1, 0, 1),
            Community::Large(1, 1, 0),
            Community::Standard(2),
            Community::Large(3, 0, 0),
            Community::Standard(0x0001_0000),
            Community::Extended([0; 8]),
            Community::Extended([0, 0, 0, 0, 0, 0, 0, 1]),
        ];
        for pair in sorted.windows(2) {
            assert!(pair[0] < pair[1], "{} before {}", pair[0], pair[1]);
        }
    }
}
