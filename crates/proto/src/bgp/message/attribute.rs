//! What of a received path attribute can be wrong, and what to do then: RFC 7606 section 7.
//!
//! We learn no routes, so an attribute is judged and dropped. Those that are not in the table are
//! never wrong, as long as they say that they are optional.

use super::super::Relation;

/// The Optional bit of an attribute's flags, RFC 4271 section 4.3.
pub const OPTIONAL: u8 = 0x80;
/// The Transitive bit.
pub const TRANSITIVE: u8 = 0x40;
/// The Extended Length bit.
pub const EXTENDED_LENGTH: u8 = 0x10;

/// Type codes of attributes, as IANA has them.
pub mod code {
    /// Where a route comes from.
    pub const ORIGIN: u8 = 1;
    /// The ASes on the way to the destination.
    pub const AS_PATH: u8 = 2;
    /// Where packets go, for IPv4.
    pub const NEXT_HOP: u8 = 3;
    /// Which of several links to a neighboring AS is the better one: the lower.
    pub const MULTI_EXIT_DISC: u8 = 4;
    /// Which exit of the own AS is the better one: the higher.
    pub const LOCAL_PREF: u8 = 5;
    /// A more specific route was left out.
    pub const ATOMIC_AGGREGATE: u8 = 6;
    /// Who aggregated.
    pub const AGGREGATOR: u8 = 7;
    /// RFC 1997.
    pub const COMMUNITIES: u8 = 8;
    /// RFC 4456.
    pub const ORIGINATOR_ID: u8 = 9;
    /// RFC 4456.
    pub const CLUSTER_LIST: u8 = 10;
    /// RFC 4760: routes of any family, with their next hop.
    pub const MP_REACH_NLRI: u8 = 14;
    /// RFC 4760: routes of any family that are no more.
    pub const MP_UNREACH_NLRI: u8 = 15;
    /// RFC 4360.
    pub const EXTENDED_COMMUNITIES: u8 = 16;
    /// RFC 6793: the true AS path, past a speaker with two-octet AS numbers.
    pub const AS4_PATH: u8 = 17;
    /// RFC 6793.
    pub const AS4_AGGREGATOR: u8 = 18;
    /// RFC 5701.
    pub const IPV6_EXTENDED_COMMUNITIES: u8 = 25;
    /// RFC 8092.
    pub const LARGE_COMMUNITIES: u8 = 32;
}

/// How many octets an AS number has on a session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AsWidth {
    /// Both ends know RFC 6793.
    Four,
    /// One does not.
    Two,
}

impl AsWidth {
    fn octets(self) -> usize {
        match self {
            Self::Four => 4,
            Self::Two => 2,
        }
    }
}

/// What to do about something wrong in an UPDATE, from the weakest to the strongest.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Treatment {
    /// As if the attribute were not there.
    DiscardAttribute,
    /// As if the routes were withdrawn.
    TreatAsWithdraw,
    /// All routes of the family are gone, and none is heard again on this session.
    DisableFamily,
}

/// What the meaning of an attribute depends on.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// The session is inside one AS or between two.
    pub relation: Relation,
    /// Octets of an AS number in AS_PATH and AGGREGATOR.
    pub as_width: AsWidth,
}

struct Rule {
    code: u8,
    /// What its Optional and Transitive bits must be.
    flags: u8,
    check: fn(&Context, &[u8]) -> Result<(), Treatment>,
}

const WELL_KNOWN: u8 = TRANSITIVE;
const OPTIONAL_TRANSITIVE: u8 = OPTIONAL | TRANSITIVE;
const OPTIONAL_NON_TRANSITIVE: u8 = OPTIONAL;

const fn rule(code: u8, flags: u8, check: fn(&Context, &[u8]) -> Result<(), Treatment>) -> Rule {
    Rule { code, flags, check }
}

/// In the order of section 7.
const RULES: [Rule; 15] = [
    rule(code::ORIGIN, WELL_KNOWN, |_, value| withdraw_unless(matches!(value, [0..=2]))),
    rule(code::AS_PATH, WELL_KNOWN, as_path),
    rule(code::NEXT_HOP, WELL_KNOWN, |_, value| withdraw_unless(value.len() == 4)),
    rule(code::MULTI_EXIT_DISC, OPTIONAL_NON_TRANSITIVE, |_, value| {
        withdraw_unless(value.len() == 4)
    }),
    rule(code::LOCAL_PREF, WELL_KNOWN, |context, value| internal(context, value.len() == 4)),
    rule(code::ATOMIC_AGGREGATE, WELL_KNOWN, |_, value| discard_unless(value.is_empty())),
    rule(code::AGGREGATOR, OPTIONAL_TRANSITIVE, |context, value| {
        aggregator(context.as_width, value)
    }),
    rule(code::COMMUNITIES, OPTIONAL_TRANSITIVE, |_, value| some_of(4, value)),
    rule(code::ORIGINATOR_ID, OPTIONAL_NON_TRANSITIVE, |context, value| {
        internal(context, value.len() == 4)
    }),
    rule(code::CLUSTER_LIST, OPTIONAL_NON_TRANSITIVE, |context, value| {
        internal(context, some_of(4, value).is_ok())
    }),
    rule(code::EXTENDED_COMMUNITIES, OPTIONAL_TRANSITIVE, |_, value| some_of(8, value)),
    // RFC 6793 section 6: malformed, or from somebody who has no need for it.
    rule(code::AS4_PATH, OPTIONAL_TRANSITIVE, |context, value| {
        let is_path = segments(AsWidth::Four, value).is_some();
        discard_unless(is_path && context.as_width == AsWidth::Two)
    }),
    rule(code::AS4_AGGREGATOR, OPTIONAL_TRANSITIVE, |context, value| {
        let is_needed = context.as_width == AsWidth::Two;
        aggregator(AsWidth::Four, value)?;
        discard_unless(is_needed)
    }),
    rule(code::IPV6_EXTENDED_COMMUNITIES, OPTIONAL_TRANSITIVE, |_, value| some_of(20, value)),
    rule(code::LARGE_COMMUNITIES, OPTIONAL_TRANSITIVE, |_, value| some_of(12, value)),
];

/// Whether an attribute is as it should be.
///
/// # Errors
///
/// With what to do, if it is not.
pub fn judge(context: &Context, flags: u8, code: u8, value: &[u8]) -> Result<(), Treatment> {
    let Some(rule) = RULES.iter().find(|rule| rule.code == code) else { return Ok(()) };
    // Section 3, item c.
    withdraw_unless(flags & (OPTIONAL | TRANSITIVE) == rule.flags)?;
    (rule.check)(context, value)
}

/// Whether we have a rule for an attribute; one without must be optional (RFC 4271 section 6.3).
pub fn is_known(code: u8) -> bool {
    RULES.iter().any(|rule| rule.code == code)
}

fn withdraw_unless(is_fine: bool) -> Result<(), Treatment> {
    if is_fine { Ok(()) } else { Err(Treatment::TreatAsWithdraw) }
}

fn discard_unless(is_fine: bool) -> Result<(), Treatment> {
    if is_fine { Ok(()) } else { Err(Treatment::DiscardAttribute) }
}

/// For what only speakers of one AS tell one another.
fn internal(context: &Context, is_fine: bool) -> Result<(), Treatment> {
    match context.relation {
        Relation::Internal => withdraw_unless(is_fine),
        Relation::External => Err(Treatment::DiscardAttribute),
    }
}

/// One or more values of `size` octets.
fn some_of(size: usize, value: &[u8]) -> Result<(), Treatment> {
    withdraw_unless(!value.is_empty() && value.len().is_multiple_of(size))
}

fn aggregator(width: AsWidth, value: &[u8]) -> Result<(), Treatment> {
    let octets = width.octets();
    discard_unless(value.len() == octets + 4 && value[..octets].iter().any(|octet| *octet != 0))
}

fn as_path(context: &Context, value: &[u8]) -> Result<(), Treatment> {
    let segments = segments(context.as_width, value);
    withdraw_unless(segments == Some(Zero::Absent))
}

/// Whether AS 0, which is nobody's, is in a path.
#[derive(Debug, Eq, PartialEq)]
enum Zero {
    Absent,
    /// RFC 7607 section 2.
    Present,
}

/// Walks through the segments of a path; `None` if they do not fit (section 7.2).
fn segments(width: AsWidth, mut value: &[u8]) -> Option<Zero> {
    let mut zero = Zero::Absent;
    while let Some((&[kind, count], rest)) = value.split_first_chunk() {
        let (numbers, rest) = rest.split_at_checked(usize::from(count) * width.octets())?;
        // Sets, sequences, and those of a confederation (RFC 5065).
        if !(1..=4).contains(&kind) || count == 0 {
            return None;
        }
        if numbers.chunks(width.octets()).any(|number| number.iter().all(|octet| *octet == 0)) {
            zero = Zero::Present;
        }
        value = rest;
    }
    value.is_empty().then_some(zero)
}

#[cfg(test)]
mod tests {
    use super::Treatment::{DiscardAttribute, TreatAsWithdraw};
    use super::*;

    const INTERNAL: Context = Context { relation: Relation::Internal, as_width: AsWidth::Four };
    const EXTERNAL: Context = Context { relation: Relation::External, as_width: AsWidth::Four };
    const OLD: Context = Context { relation: Relation::External, as_width: AsWidth::Two };

    /// Name, context, flags, code, value, what to do.
    type Row = (&'static str, Context, u8, u8, &'static [u8], Result<(), Treatment>);

    fn check(rows: &[Row]) {
        for (name, context, flags, code, value, want) in rows {
            assert_eq!(judge(context, *flags, *code, value), *want, "{name}");
        }
    }

    #[test]
    fn attributes_of_rfc_4271_are_treated_as_rfc_7606_says() {
        check(&[
            ("ORIGIN", EXTERNAL, 0x40, 1, &[2], Ok(())),
            ("ORIGIN of no octet", EXTERNAL, 0x40, 1, &[], Err(TreatAsWithdraw)),
            ("ORIGIN of two octets", EXTERNAL, 0x40, 1, &[0, 0], Err(TreatAsWithdraw)),
            ("ORIGIN undefined", EXTERNAL, 0x40, 1, &[3], Err(TreatAsWithdraw)),
            ("ORIGIN said to be optional", EXTERNAL, 0xc0, 1, &[0], Err(TreatAsWithdraw)),
            ("ORIGIN not transitive", EXTERNAL, 0x00, 1, &[0], Err(TreatAsWithdraw)),
            ("NEXT_HOP", EXTERNAL, 0x40, 3, &[192, 0, 2, 1], Ok(())),
            ("NEXT_HOP of 16 octets", EXTERNAL, 0x40, 3, &[0; 16], Err(TreatAsWithdraw)),
            ("MED", EXTERNAL, 0x80, 4, &[0; 4], Ok(())),
            ("MED short", EXTERNAL, 0x80, 4, &[0; 3], Err(TreatAsWithdraw)),
            ("LOCAL_PREF inside", INTERNAL, 0x40, 5, &[0; 4], Ok(())),
            ("LOCAL_PREF short inside", INTERNAL, 0x40, 5, &[0; 3], Err(TreatAsWithdraw)),
            ("LOCAL_PREF from outside", EXTERNAL, 0x40, 5, &[0; 4], Err(DiscardAttribute)),
            ("ATOMIC_AGGREGATE", EXTERNAL, 0x40, 6, &[], Ok(())),
            ("ATOMIC_AGGREGATE with value", EXTERNAL, 0x40, 6, &[0], Err(DiscardAttribute)),
            ("AGGREGATOR", EXTERNAL, 0xc0, 7, &[0, 0, 0, 1, 0, 0, 0, 0], Ok(())),
            ("AGGREGATOR, old", OLD, 0xc0, 7, &[0, 1, 0, 0, 0, 0], Ok(())),
            ("AGGREGATOR short", EXTERNAL, 0xc0, 7, &[0, 1, 0, 0, 0, 0], Err(DiscardAttribute)),
            ("AGGREGATOR of AS 0", EXTERNAL, 0xc0, 7, &[0; 8], Err(DiscardAttribute)),
        ]);
    }

    #[test]
    fn a_path_is_segments_that_fit() {
        let withdraw = Err(TreatAsWithdraw);
        check(&[
            ("empty", EXTERNAL, 0x40, 2, &[], Ok(())),
            ("a sequence", EXTERNAL, 0x40, 2, &[2, 1, 0, 0, 0xfc, 0], Ok(())),
            ("a sequence, old", OLD, 0x40, 2, &[2, 2, 0xfc, 0, 0xfc, 1], Ok(())),
            ("a set behind it", OLD, 0x40, 2, &[2, 1, 0xfc, 0, 1, 1, 0xfc, 1], Ok(())),
            ("no such segment", OLD, 0x40, 2, &[5, 1, 0xfc, 0], withdraw),
            ("segment 0", OLD, 0x40, 2, &[0, 1, 0xfc, 0], withdraw),
            ("overrun", OLD, 0x40, 2, &[2, 2, 0xfc, 0], withdraw),
            ("underrun", OLD, 0x40, 2, &[2, 1, 0xfc, 0, 2], withdraw),
            ("a segment of nothing", OLD, 0x40, 2, &[2, 0], withdraw),
            ("AS 0", EXTERNAL, 0x40, 2, &[2, 1, 0, 0, 0, 0], withdraw),
            ("two octets where four belong", EXTERNAL, 0x40, 2, &[2, 1, 0xfc, 0], withdraw),
            ("AS4_PATH from an old speaker", OLD, 0xc0, 17, &[2, 1, 0, 0, 0xfc, 0], Ok(())),
            ("AS4_PATH malformed", OLD, 0xc0, 17, &[2, 2, 0, 0], Err(DiscardAttribute)),
            ("AS4_PATH from a new speaker", EXTERNAL, 0xc0, 17, &[], Err(DiscardAttribute)),
            ("AS4_AGGREGATOR", OLD, 0xc0, 18, &[0, 1, 0, 0, 0, 0, 0, 0], Ok(())),
            ("AS4_AGGREGATOR short", OLD, 0xc0, 18, &[0; 6], Err(DiscardAttribute)),
            ("AS4_AGGREGATOR, new", EXTERNAL, 0xc0, 18, &[1; 8], Err(DiscardAttribute)),
        ]);
    }

    #[test]
    fn lists_are_of_whole_values_and_not_empty() {
        let withdraw = Err(TreatAsWithdraw);
        check(&[
            ("communities", EXTERNAL, 0xc0, 8, &[0; 8], Ok(())),
            ("communities: none", EXTERNAL, 0xc0, 8, &[], withdraw),
            ("communities: half", EXTERNAL, 0xc0, 8, &[0; 6], withdraw),
            ("ORIGINATOR_ID", INTERNAL, 0x80, 9, &[0; 4], Ok(())),
            ("ORIGINATOR_ID long", INTERNAL, 0x80, 9, &[0; 5], withdraw),
            ("ORIGINATOR_ID from outside", EXTERNAL, 0x80, 9, &[0; 4], Err(DiscardAttribute)),
            ("CLUSTER_LIST", INTERNAL, 0x80, 10, &[0; 8], Ok(())),
            ("CLUSTER_LIST: none", INTERNAL, 0x80, 10, &[], withdraw),
            ("CLUSTER_LIST from outside", EXTERNAL, 0x80, 10, &[0; 8], Err(DiscardAttribute)),
            ("extended communities", EXTERNAL, 0xc0, 16, &[0; 16], Ok(())),
            ("extended communities: half", EXTERNAL, 0xc0, 16, &[0; 12], withdraw),
            ("extended communities: none", EXTERNAL, 0xc0, 16, &[], withdraw),
            ("IPv6 extended communities", EXTERNAL, 0xc0, 25, &[0; 20], Ok(())),
            ("IPv6 extended communities: half", EXTERNAL, 0xc0, 25, &[0; 10], withdraw),
            ("large communities", EXTERNAL, 0xc0, 32, &[0; 24], Ok(())),
            ("large communities: half", EXTERNAL, 0xc0, 32, &[0; 8], withdraw),
            ("large communities: none", EXTERNAL, 0xc0, 32, &[], withdraw),
            ("partial is fine", EXTERNAL, 0xe0, 32, &[0; 12], Ok(())),
            ("not transitive", EXTERNAL, 0x80, 32, &[0; 12], withdraw),
            ("unknown", EXTERNAL, 0xc0, 99, &[], Ok(())),
        ]);
    }
}
