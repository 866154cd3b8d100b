//! Communities: literals, names that users give them, and names that everybody knows.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::num::ParseIntError;
use std::str::FromStr;

use planner::facts::bgp::Community;

use super::{Findings, Parsed, Referents};
use crate::api::CommunityAlias;
use crate::source::object::{ObjectName, Objects};

/// Names that routers know, unless a Community object says otherwise: RFC 1997, 3765, 7611, 7999,
/// 8326 and 9494.
const WELL_KNOWN: [(&str, u32); 9] = [
    ("graceful-shutdown", 0xffff_0000),
    ("accept-own", 0xffff_0001),
    ("llgr-stale", 0xffff_0006),
    ("no-llgr", 0xffff_0007),
    ("blackhole", 0xffff_029a),
    ("no-export", 0xffff_ff01),
    ("no-advertise", 0xffff_ff02),
    ("no-export-subconfed", 0xffff_ff03),
    ("no-peer", 0xffff_ff04),
];

/// How communities are written, for those who did not know.
pub(super) const FORMS: &str = "write `65000:100`, `large:65000:1:2`, `rt:65000:1`, `ro:65000:1`, \
                                or `ext:0x` and 16 hexadecimal digits";

/// Why a text is no community.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum NotACommunity {
    /// It has no form that a community has.
    #[error("invalid community format: {0}")]
    Format(String),
    /// It has four parts and another word in front than `large`.
    #[error(
        "invalid community value: invalid marker for large community, expected community to be of \
         format large:<uint32>:<uint32>:<uint32> but got \"{0}\" instead"
    )]
    Marker(String),
    /// One of its numbers is not a number, or too large.
    #[error(
        "invalid community value: invalid section \"{section}\" of community \"{text}\": {cause}"
    )]
    Section {
        /// The number.
        section: String,
        /// The community.
        text: String,
        /// What a number in this place is.
        cause: &'static str,
    },
}

/// Reads a community that is written out.
pub(super) fn literal(text: &str) -> Result<Community, NotACommunity> {
    let parts: Vec<_> = text.split(':').collect();
    match parts.as_slice() {
        ["ext", octets] => extended(text, octets),
        ["rt", administrator, number] => two_part(text, 2, administrator, number),
        ["ro", administrator, number] => two_part(text, 3, administrator, number),
        [high, low] => {
            let [high, low] = [short(text, high)?, short(text, low)?].map(u32::from);
            Ok(Community::Standard(high << 16 | low))
        }
        ["large", one, two, three] => {
            Ok(Community::Large(long(text, one)?, long(text, two)?, long(text, three)?))
        }
        [_, _, _, _] => Err(NotACommunity::Marker(text.to_owned())),
        _ => Err(NotACommunity::Format(text.to_owned())),
    }
}

fn short(text: &str, section: &str) -> Result<u16, NotACommunity> {
    number(text, section, "it is not a number from 0 to 65535")
}

fn long(text: &str, section: &str) -> Result<u32, NotACommunity> {
    number(text, section, "it is not a number from 0 to 4294967295")
}

fn number<T: FromStr<Err = ParseIntError>>(
    text: &str,
    section: &str,
    cause: &'static str,
) -> Result<T, NotACommunity> {
    // Rust reads `+1` as a number too.
    let is_plain = section.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_plain.then(|| section.parse().ok()).flatten();
    number.ok_or_else(|| bad(text, section, cause))
}

fn bad(text: &str, section: &str, cause: &'static str) -> NotACommunity {
    NotACommunity::Section { section: section.to_owned(), text: text.to_owned(), cause }
}

fn extended(text: &str, octets: &str) -> Result<Community, NotACommunity> {
    let digits = octets
        .strip_prefix("0x")
        .filter(|digits| digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let value = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let value = value.ok_or_else(|| bad(text, octets, "it is not `0x` and 16 hexadecimal digits"));
    Ok(Community::Extended(value?.to_be_bytes()))
}

/// A route target or route origin: two octets for an AS number and four for a number of its own
/// (RFC 4360), or four and two where the AS number (RFC 5668) or an IPv4 address needs them.
fn two_part(
    text: &str,
    subtype: u8,
    administrator: &str,
    number: &str,
) -> Result<Community, NotACommunity> {
    if let Ok(asn) = short(text, administrator) {
        let ([a, b], [c, d, e, f]) = (asn.to_be_bytes(), long(text, number)?.to_be_bytes());
        return Ok(Community::Extended([0, subtype, a, b, c, d, e, f]));
    }
    let (kind, administrator) = match administrator.parse::<Ipv4Addr>() {
        Ok(address) => (1, address.octets()),
        Err(_) => (2, long(text, administrator)?.to_be_bytes()),
    };
    let ([a, b, c, d], [e, f]) = (administrator, short(text, number)?.to_be_bytes());
    Ok(Community::Extended([kind, subtype, a, b, c, d, e, f]))
}

/// What `text` in a BGPAdvertisement stands for: a name from a Community, a name that everybody
/// knows, or a literal.
///
/// A name of a Community that was refused stands for nothing, not for something else.
pub(super) fn meaning(
    text: &str,
    aliases: &Referents<Community>,
) -> Result<Community, NotACommunity> {
    match aliases.get(text) {
        Some(Ok(community)) => Ok(*community),
        Some(Err(_)) => Err(NotACommunity::Format(text.to_owned())),
        None => match WELL_KNOWN.iter().find(|(name, _)| *name == text) {
            Some((_, community)) => Ok(Community::Standard(*community)),
            None => literal(text),
        },
    }
}

/// The names that Communities define.
pub(super) fn read(objects: &Objects, parsed: &mut Parsed) -> Referents<Community> {
    let mut aliases: Referents<Community> = BTreeMap::new();
    for object in super::oldest_first("Community", &objects.communities) {
        let name = ObjectName::of("Community", &object.metadata);
        let mut findings = Findings::about(name.clone());
        let mut own = BTreeMap::new();
        for (index, alias) in object.spec.communities.iter().enumerate() {
            let field = format!("spec.communities[{index}]");
            read_alias(alias, &field, (&aliases, &mut own), &mut findings);
        }
        let is_good = findings.conclude((), parsed).is_some();
        for (alias, community) in own {
            let meaning = community.filter(|_| is_good).ok_or_else(|| name.clone());
            aliases.entry(alias).or_insert(meaning);
        }
    }
    aliases
}

/// Adds one alias to those of its object, which are the second of `known`.
fn read_alias(
    alias: &CommunityAlias,
    field: &str,
    known: (&Referents<Community>, &mut BTreeMap<String, Option<Community>>),
    findings: &mut Findings,
) {
    let (others, own) = known;
    let value = alias.value.as_deref().unwrap_or_default();
    let community = literal(value)
        .map_err(|no| findings.problem(format!("{field}.value"), no.to_string(), FORMS))
        .ok();
    let field = format!("{field}.name");
    let name = alias.name.as_deref().unwrap_or_default();
    if name.is_empty() {
        let help = "give it the name that BGPAdvertisements use";
        return findings.problem(field, "a community needs a name".to_owned(), help);
    }
    if others.contains_key(name) || own.contains_key(name) {
        let message = format!("duplicate definition of community \"{name}\"");
        findings.problem(field, message, "rename or remove one of the two");
        return;
    }
    if name.contains(':') {
        let help = "choose a name without `:`";
        findings.warning(field, "with `:` in it, the name can be taken for a community", help);
    }
    own.insert(name.to_owned(), community);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn communities_are_read_in_all_their_forms() {
        let extended = |octets: u64| Community::Extended(octets.to_be_bytes());
        let rows = [
            ("65000:100", Community::Standard(65000 << 16 | 100)),
            ("0:65535", Community::Standard(65535)),
            ("large:4294967295:1:2", Community::Large(u32::MAX, 1, 2)),
            ("rt:65000:4294967295", extended(0x0002_fde8_ffff_ffff)),
            ("ro:65000:1", extended(0x0003_fde8_0000_0001)),
            ("rt:4200000000:7", extended(0x0202_fa56_ea00_0007)),
            ("rt:192.0.2.1:7", extended(0x0102_c000_0201_0007)),
            ("ext:0x0002fde800000001", extended(0x0002_fde8_0000_0001)),
        ];
        for (text, want) in rows {
            assert_eq!(literal(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_is_no_community_is_refused_by_its_reason() {
        let section = "invalid community value: invalid section";
        let rows = [
            ("99999999:1", "invalid section \"99999999\" of community \"99999999:1\""),
            ("1:+1", section),
            ("1:", section),
            ("large:1:2:4294967296", section),
            ("big:1:2:3", "expected community to be of format large"),
            ("100", "invalid community format: 100"),
            ("a:b:c", "invalid community format: a:b:c"),
            ("1:2:3:4:5", "invalid community format"),
            ("", "invalid community format"),
            ("rt:65000:4294967296", section),
            ("rt:4200000000:65536", section),
            ("ro:x:1", section),
            ("ext:0x1", "16 hexadecimal digits"),
            ("ext:0x000000000000000g", "16 hexadecimal digits"),
            ("ext:0x+00000000000000f", "16 hexadecimal digits"),
        ];
        for (text, want) in rows {
            let found = literal(text).unwrap_err().to_string();
            assert!(found.contains(want), "{text}: {found}");
        }
    }

    #[test]
    fn a_name_from_an_object_comes_before_what_everybody_knows() {
        let aliases = BTreeMap::from([
            ("no-export".to_owned(), Ok(Community::Standard(1))),
            ("65000:1".to_owned(), Ok(Community::Standard(2))),
        ]);
        assert_eq!(meaning("no-export", &aliases), Ok(Community::Standard(1)));
        assert_eq!(meaning("65000:1", &aliases), Ok(Community::Standard(2)));
        assert_eq!(meaning("blackhole", &aliases), Ok(Community::Standard(0xffff_029a)));
        assert!(meaning("no-such-name", &aliases).is_err());
    }
}
