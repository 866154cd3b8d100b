//! Ranges of addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::facts::Family;

/// First and last address of one family, in order.
///
/// IPv4-mapped IPv6 addresses are IPv4 addresses here, as they are to MetalLB.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Range {
    first: IpAddr,
    last: IpAddr,
}

/// Why a text is not a range.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RangeError {
    /// It ends before it starts.
    Backwards {
        /// What was written.
        text: String,
    },
    /// It starts in one family and ends in the other.
    MixedFamilies {
        /// What was written.
        text: String,
    },
    /// It has a `/`, but what follows is no prefix length of the address before.
    NoSuchLength {
        /// What was written.
        text: String,
        /// The length of a single address in this family.
        longest: u8,
    },
    /// It is an address without a prefix length.
    NoLength {
        /// The address.
        address: IpAddr,
    },
    /// A part of it is not an address.
    NotAnAddress {
        /// What was written.
        text: String,
        /// The part.
        part: String,
    },
}

impl RangeError {
    /// How to mend it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Backwards { .. } => "write the lower address first",
            Self::MixedFamilies { .. } => "write one range for each family",
            Self::NoLength { .. } => {
                "write `/32` behind an IPv4 address, `/128` behind an IPv6 one"
            }
            Self::NoSuchLength { .. } | Self::NotAnAddress { .. } => {
                "write a prefix such as `192.0.2.0/24`, or a range such as `192.0.2.10-192.0.2.20`"
            }
        }
    }
}

impl Range {
    /// Reads `first-last` or a prefix such as `192.0.2.0/24`, whose host bits may be set.
    ///
    /// # Errors
    ///
    /// Says what is wrong and how to write it.
    pub fn parse(text: &str) -> Result<Self, RangeError> {
        let text = text.trim();
        match text.split_once('-') {
            Some((first, last)) => Self::between(text, address(text, first)?, address(text, last)?),
            None => Self::prefix(text),
        }
    }

    fn between(text: &str, first: IpAddr, last: IpAddr) -> Result<Self, RangeError> {
        if Family::of(first) != Family::of(last) {
            return Err(RangeError::MixedFamilies { text: text.to_owned() });
        }
        if last < first {
            return Err(RangeError::Backwards { text: text.to_owned() });
        }
        Ok(Self { first, last })
    }

    fn prefix(text: &str) -> Result<Self, RangeError> {
        let Some((base, length)) = text.split_once('/') else {
            let address = address(text, text)?;
            return Err(RangeError::NoLength { address });
        };
        // The length of an IPv4-mapped prefix counts the 96 bits in front.
        let written: IpAddr = parse_address(text, base)?;
        let longest = bits_of(Family::of(written));
        let no_such_length = || RangeError::NoSuchLength { text: text.to_owned(), longest };
        // `parse` alone would take a sign.
        if !length.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(no_such_length());
        }
        let length = length.parse().map_err(|_| no_such_length())?;
        let net = IpNet::new(written, length).map_err(|_| no_such_length())?.trunc();
        let (first, last) = (net.network().to_canonical(), net.broadcast().to_canonical());
        match Family::of(first) == Family::of(last) {
            true => Ok(Self { first, last }),
            false => Ok(Self { first: net.network(), last: net.broadcast() }),
        }
    }

    /// The first address.
    pub fn first(self) -> IpAddr {
        self.first
    }

    /// The last address.
    pub fn last(self) -> IpAddr {
        self.last
    }

    /// The family of all its addresses.
    pub fn family(self) -> Family {
        Family::of(self.first)
    }

    /// Whether `address` is in the range.
    pub fn contains(self, address: IpAddr) -> bool {
        self.family() == Family::of(address) && self.first <= address && address <= self.last
    }

    /// Whether the ranges have an address in common.
    pub fn overlaps(self, other: Self) -> bool {
        self.family() == other.family() && self.first <= other.last && other.first <= self.last
    }

    /// How many addresses it has. All of IPv6 is one more than fits, and counts as [`u128::MAX`].
    pub fn count(self) -> u128 {
        (bits(self.last) - bits(self.first)).saturating_add(1)
    }

    /// The address that has `index` others before it.
    pub fn nth(self, index: u128) -> Option<IpAddr> {
        let bits = bits(self.first).checked_add(index)?;
        (index < self.count()).then(|| from_bits(self.family(), bits))
    }

    /// The first `count` addresses, and the others.
    pub fn split_at(self, count: u128) -> (Option<Self>, Option<Self>) {
        let Some(middle) = self.nth(count) else { return (Some(self), None) };
        let before = count.checked_sub(1).and_then(|index| self.nth(index));
        let head = before.map(|last| Self { first: self.first, last });
        (head, Some(Self { first: middle, last: self.last }))
    }

    /// What follows `address`, which is in the range.
    pub fn after(self, address: IpAddr) -> Option<Self> {
        let index = bits(address).checked_sub(bits(self.first))?;
        self.split_at(index.checked_add(1)?).1
    }

    /// How many of its addresses end in 0 or 255; none if they are IPv6 addresses.
    pub fn count_buggy(self) -> u128 {
        match self.family() {
            Family::V4 => [0, 255].map(|octet| self.count_ending_in(octet)).iter().sum(),
            Family::V6 => 0,
        }
    }

    fn count_ending_in(self, octet: u128) -> u128 {
        // Addresses below `bits` that end in `octet`: one in each full 256, and perhaps one more.
        let below = |bits: u128| bits / 256 + u128::from(bits % 256 > octet);
        below(bits(self.last) + 1) - below(bits(self.first))
    }
}

/// The length of an address of a family.
fn bits_of(family: Family) -> u8 {
    match family {
        Family::V4 => 32,
        Family::V6 => 128,
    }
}

/// An address as a number, comparable within its family.
pub(crate) fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The reverse of [`bits`]; more bits than an IPv4 address has end up in the last one.
pub(crate) fn from_bits(family: Family, bits: u128) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::from_bits(u32::try_from(bits).unwrap_or(u32::MAX)).into(),
        Family::V6 => Ipv6Addr::from_bits(bits).into(),
    }
}

fn address(text: &str, part: &str) -> Result<IpAddr, RangeError> {
    parse_address(text, part).map(|address| address.to_canonical())
}

fn parse_address(text: &str, part: &str) -> Result<IpAddr, RangeError> {
    let part = part.trim();
    let error = |_| RangeError::NotAnAddress { text: text.to_owned(), part: part.to_owned() };
    part.parse::<IpAddr>().map_err(error)
}

impl fmt::Display for Range {
    /// As a prefix if it is one, else as `first-last`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = bits_of(self.family());
        let is_this = |net: &IpNet| net.network() == self.first && net.broadcast() == self.last;
        let prefix =
            (0..=length).filter_map(|length| IpNet::new(self.first, length).ok()).find(is_this);
        match prefix {
            Some(net) => net.fmt(f),
            None => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

impl fmt::Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backwards { text } => write!(f, "`{text}` ends before it starts"),
            Self::MixedFamilies { text } => write!(f, "`{text}` mixes IPv4 and IPv6"),
            Self::NoSuchLength { text, longest } => {
                write!(f, "`{text}` has no prefix length from 0 to {longest} after the `/`")
            }
            Self::NoLength { address } => write!(f, "`{address}` has no prefix length"),
            Self::NotAnAddress { text, part } if text == part => {
                write!(f, "`{text}` is neither `first-last` nor a prefix such as `192.0.2.0/24`")
            }
            Self::NotAnAddress { text, part } => {
                write!(f, "`{part}` in `{text}` is not an IP address")
            }
        }
    }
}

impl std::error::Error for RangeError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(text: &str) -> Range {
        Range::parse(text).unwrap()
    }

    #[test]
    fn reads_both_forms() {
        let rows = [
            ("a prefix", "192.0.2.0/30", "192.0.2.0", "192.0.2.3"),
            ("host bits are masked away", "10.0.0.5/24", "10.0.0.0", "10.0.0.255"),
            ("a single address", "192.0.2.7/32", "192.0.2.7", "192.0.2.7"),
            ("everything", "0.0.0.0/0", "0.0.0.0", "255.255.255.255"),
            ("an IPv6 prefix", "2001:db8::/126", "2001:db8::", "2001:db8::3"),
            ("first and last", "192.0.2.5-192.0.3.1", "192.0.2.5", "192.0.3.1"),
            ("blanks", " 192.0.2.5 -  192.0.2.6 ", "192.0.2.5", "192.0.2.6"),
            ("one address twice", "fc00::1-fc00::1", "fc00::1", "fc00::1"),
            ("IPv4-mapped", "::ffff:192.0.2.1-192.0.2.2", "192.0.2.1", "192.0.2.2"),
            ("an IPv4-mapped prefix", "::ffff:192.0.2.1/126", "192.0.2.0", "192.0.2.3"),
        ];
        for (name, text, first, last) in rows {
            let range = range(text);
            let found = (range.first().to_string(), range.last().to_string());
            assert_eq!(found, (first.to_owned(), last.to_owned()), "{name}");
        }
    }

    #[test]
    fn says_what_is_wrong_and_how_to_write_it() {
        let rows = [
            ("192.0.2.9-192.0.2.1", "`192.0.2.9-192.0.2.1` ends before it starts"),
            ("192.0.2.1-fc00::1", "`192.0.2.1-fc00::1` mixes IPv4 and IPv6"),
            ("192.0.2.1", "`192.0.2.1` has no prefix length"),
            ("fc00::1", "`fc00::1` has no prefix length"),
            ("192.0.2.1/33", "`192.0.2.1/33` has no prefix length from 0 to 32 after the `/`"),
            ("192.0.2.1/+8", "`192.0.2.1/+8` has no prefix length from 0 to 32 after the `/`"),
            ("192.0.2.1/", "`192.0.2.1/` has no prefix length from 0 to 32 after the `/`"),
            ("192.0.2.1-x", "`x` in `192.0.2.1-x` is not an IP address"),
            ("-192.0.2.1", "`` in `-192.0.2.1` is not an IP address"),
            ("x/24", "`x` in `x/24` is not an IP address"),
            ("x", "`x` is neither `first-last` nor a prefix such as `192.0.2.0/24`"),
            ("192.0.2.01/32", "`192.0.2.01` in `192.0.2.01/32` is not an IP address"),
        ];
        for (text, want) in rows {
            assert_eq!(Range::parse(text).unwrap_err().to_string(), want);
        }
    }

    #[test]
    fn prints_as_a_prefix_where_it_is_one() {
        for text in ["192.0.2.0/24", "0.0.0.0/0", "::/0", "192.0.2.1-192.0.2.2", "fc00::/64"] {
            assert_eq!(range(text).to_string(), text);
        }
        assert_eq!(range("192.0.2.0-192.0.2.3").to_string(), "192.0.2.0/30");
    }

    #[test]
    fn families_never_overlap() {
        let rows = [
            ("the same", "192.0.2.0/24", "192.0.2.0/24", true),
            ("one inside", "192.0.2.0/24", "192.0.2.9-192.0.2.9", true),
            ("the last is the first", "192.0.2.0-192.0.2.9", "192.0.2.9-192.0.2.10", true),
            ("neighbours", "192.0.2.0-192.0.2.9", "192.0.2.10-192.0.2.11", false),
            ("all of both families", "0.0.0.0/0", "::/0", false),
        ];
        for (name, one, other, want) in rows {
            assert_eq!(range(one).overlaps(range(other)), want, "{name}");
            assert_eq!(range(other).overlaps(range(one)), want, "{name}, reversed");
        }
        assert!(!range("::/0").contains("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn counting_does_not_walk() {
        assert_eq!(range("192.0.2.0/24").count(), 256);
        assert_eq!(range("fc00::/64").count(), 1 << 64);
        assert_eq!(range("::/0").count(), u128::MAX, "one more does not fit");
        assert_eq!(range("fc00::/64").nth(1 << 63).unwrap().to_string(), "fc00::8000:0:0:0");
        assert_eq!(range("192.0.2.0/24").nth(256), None);
    }

    #[test]
    fn buggy_addresses_are_counted_as_metallb_does() {
        let rows = [
            ("/24", "1.2.3.0/24", 2),
            ("/23", "1.2.2.0/23", 4),
            ("the lower half of a /24", "1.2.3.0/25", 1),
            ("the upper half", "1.2.3.128/25", 1),
            ("the middle", "1.2.3.1-1.2.3.254", 0),
            ("an end and a start", "1.2.3.255-1.2.4.0", 2),
            ("IPv6 has none", "fc00::/120", 0),
        ];
        for (name, text, want) in rows {
            assert_eq!(range(text).count_buggy(), want, "{name}");
        }
    }

    proptest! {
        #[test]
        fn a_range_reads_what_it_prints(one: u32, other: u32) {
            let (first, last) = (one.min(other), one.max(other));
            let written = range(&format!("{}-{}", Ipv4Addr::from(first), Ipv4Addr::from(last)));
            prop_assert_eq!(range(&written.to_string()), written);
        }

        #[test]
        fn buggy_addresses_are_counted_as_by_hand(first: u32, length in 0u32..2000) {
            let last = first.saturating_add(length);
            let whole = range(&format!("{}-{}", Ipv4Addr::from(first), Ipv4Addr::from(last)));
            let by_hand = (first..=last).filter(|bits| matches!(bits % 256, 0 | 255)).count();
            prop_assert_eq!(whole.count_buggy(), by_hand as u128);
        }

        #[test]
        fn a_split_loses_nothing(first: u32, length in 0u32..2000, at in 0u128..2200) {
            let last = first.saturating_add(length);
            let whole = range(&format!("{}-{}", Ipv4Addr::from(first), Ipv4Addr::from(last)));
            let (head, tail) = whole.split_at(at);
            let count = |part: Option<Range>| part.map_or(0, Range::count);
            prop_assert_eq!(count(head), at.min(whole.count()));
            prop_assert_eq!(count(head) + count(tail), whole.count());
            prop_assert_eq!(tail.map(Range::first), whole.nth(at));
        }

        #[test]
        fn no_text_is_a_surprise(text in "[0-9a-f.:/ -]{0,40}") {
            if let Ok(range) = Range::parse(&text) {
                prop_assert!(range.contains(range.first()) && range.contains(range.last()));
            }
        }
    }
}
