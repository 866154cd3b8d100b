//! Durations as Kubernetes writes them: `90s`, `1m30s`, `1.5h`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000 * MICROSECOND;
const SECOND: u64 = 1_000 * MILLISECOND;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// More digits after the point than this are less than a nanosecond of an hour.
const FRACTION_DIGITS: u32 = 13;
const SCALE: u128 = 10_u128.pow(FRACTION_DIGITS);

/// A signed duration in nanoseconds, read and written as Go's `time.Duration` is.
///
/// The schema takes any string for a duration, so whatever somebody typed may be stored. kube's own
/// type panics on some of it, such as `1m-5s`; this one refuses what Go refuses, up to the bounds.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Duration(i64);

impl Duration {
    /// No time at all, `0s`.
    pub const ZERO: Self = Self(0);

    /// The same as a standard duration; `None` if it is negative.
    pub fn to_std(self) -> Option<std::time::Duration> {
        u64::try_from(self.0).ok().map(std::time::Duration::from_nanos)
    }
}

/// Why a text is not a duration.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotADuration {
    /// There is no number where one is due.
    #[error("`{0}` is not a duration: write numbers with units, such as `90s` or `1m30s`")]
    NoNumber(String),
    /// A number stands alone.
    #[error("`{0}` is not a duration: a number lacks its unit, write `90s` for 90 seconds")]
    NoUnit(String),
    /// A unit that does not exist.
    #[error("`{0}` is not a duration: units are `ns`, `us`, `ms`, `s`, `m` and `h`")]
    UnknownUnit(String),
    /// More than a signed count of nanoseconds holds.
    #[error("`{0}` is not a duration: it is longer than 292 years")]
    TooLong(String),
}

impl FromStr for Duration {
    type Err = NotADuration;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let too_long = || NotADuration::TooLong(text.to_owned());
        let (negative, mut rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if rest == "0" {
            return Ok(Self::ZERO);
        }
        if rest.is_empty() {
            return Err(NotADuration::NoNumber(text.to_owned()));
        }
        let mut total: u128 = 0;
        while !rest.is_empty() {
            let (part, after) = part(rest, text)?;
            total = total.checked_add(part).ok_or_else(too_long)?;
            rest = after;
        }
        let total = i128::try_from(total).map_err(|_| too_long())?;
        let signed = if negative { -total } else { total };
        i64::try_from(signed).map(Self).map_err(|_| too_long())
    }
}

/// The first number with its unit in `rest`, in nanoseconds, and what follows it.
fn part<'a>(rest: &'a str, text: &str) -> Result<(u128, &'a str), NotADuration> {
    let (whole, after) = digits(rest);
    let (fraction, after) = match after.strip_prefix('.') {
        Some(after) => digits(after),
        None => ("", after),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(NotADuration::NoNumber(text.to_owned()));
    }
    let end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
    let (unit, after) = after.split_at(end);
    let unit = match unit {
        "" => return Err(NotADuration::NoUnit(text.to_owned())),
        "ns" => 1,
        // Both the micro sign and the Greek letter, as in Go.
        "us" | "\u{b5}s" | "\u{3bc}s" => MICROSECOND,
        "ms" => MILLISECOND,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        _ => return Err(NotADuration::UnknownUnit(text.to_owned())),
    };
    nanoseconds(whole, fraction, unit)
        .map(|nanoseconds| (nanoseconds, after))
        .ok_or_else(|| NotADuration::TooLong(text.to_owned()))
}

/// `whole.fraction` times `unit`; `None` if it is far too long.
fn nanoseconds(whole: &str, fraction: &str, unit: u64) -> Option<u128> {
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut nanoseconds = u128::from(whole) * u128::from(unit);
    let mut digit_unit = u128::from(unit) * SCALE;
    let mut below_the_point = 0;
    for digit in fraction.bytes().take(FRACTION_DIGITS as usize) {
        digit_unit /= 10;
        below_the_point += u128::from(digit - b'0') * digit_unit;
    }
    nanoseconds += (below_the_point + SCALE / 2) / SCALE;
    Some(nanoseconds)
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let nanoseconds = self.0.unsigned_abs();
        match nanoseconds {
            0 => f.write_str("0s"),
            1..MICROSECOND => write!(f, "{nanoseconds}ns"),
            MICROSECOND..MILLISECOND => decimal(f, nanoseconds, MICROSECOND, "\u{b5}s"),
            MILLISECOND..SECOND => decimal(f, nanoseconds, MILLISECOND, "ms"),
            SECOND.. => {
                if nanoseconds >= HOUR {
                    write!(f, "{}h", nanoseconds / HOUR)?;
                }
                if nanoseconds >= MINUTE {
                    write!(f, "{}m", nanoseconds % HOUR / MINUTE)?;
                }
                decimal(f, nanoseconds % MINUTE, SECOND, "s")
            }
        }
    }
}

fn decimal(f: &mut fmt::Formatter<'_>, nanoseconds: u64, unit: u64, name: &str) -> fmt::Result {
    write!(f, "{}", nanoseconds / unit)?;
    let below = nanoseconds % unit;
    if below != 0 {
        // The unit's own zeros are the width: 1 500 000 ns in ms is `1.5`, 1 000 001 is `1.000001`.
        let width = unit.ilog10() as usize;
        write!(f, ".{}", format!("{below:0width$}").trim_end_matches('0'))?;
    }
    f.write_str(name)
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // No `format`: in OpenAPI, "duration" is that of ISO 8601.
        json_schema!({"type": "string"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: &str = "2562047h47m16.854775807s";

    #[test]
    fn what_go_reads_is_read_and_written_back_as_go_writes_it() {
        // (text, nanoseconds, as Go prints it)
        let cases = [
            ("0", 0, "0s"),
            ("0s", 0, "0s"),
            ("-0", 0, "0s"),
            ("+0", 0, "0s"),
            ("0h0m0s", 0, "0s"),
            ("1ns", 1, "1ns"),
            ("11us", 11_000, "11µs"),
            ("12\u{b5}s", 12_000, "12µs"),
            ("12\u{3bc}s", 12_000, "12µs"),
            ("1.1us", 1_100, "1.1µs"),
            ("2.2ms", 2_200_000, "2.2ms"),
            ("13ms", 13_000_000, "13ms"),
            ("3.3s", 3_300_000_000, "3.3s"),
            ("90s", 90_000_000_000, "1m30s"),
            ("1m30s", 90_000_000_000, "1m30s"),
            ("1.5m", 90_000_000_000, "1m30s"),
            ("4m5s", 245_000_000_000, "4m5s"),
            ("4m5.001s", 245_001_000_000, "4m5.001s"),
            ("1h", 3_600_000_000_000, "1h0m0s"),
            ("5h6m7.001s", 18_367_001_000_000, "5h6m7.001s"),
            ("10.5s4m", 250_500_000_000, "4m10.5s"),
            ("5.s", 5_000_000_000, "5s"),
            (".5s", 500_000_000, "500ms"),
            ("100.00100s", 100_001_000_000, "1m40.001s"),
            ("0.3333333333333333333h", 1_200_000_000_000, "20m0s"),
            ("-2m3.4s", -123_400_000_000, "-2m3.4s"),
            ("9223372036854775807ns", i64::MAX, MAX),
            ("-9223372036854775808ns", i64::MIN, "-2562047h47m16.854775808s"),
        ];
        for (text, nanoseconds, printed) in cases {
            let duration: Duration = text.parse().unwrap_or_else(|no| panic!("{text}: {no}"));
            assert_eq!(duration.0, nanoseconds, "{text}");
            assert_eq!(duration.to_string(), printed, "{text}");
            assert_eq!(printed.parse(), Ok(duration), "{printed} read again");
        }
    }

    #[test]
    fn what_go_refuses_is_refused() {
        type No = fn(String) -> NotADuration;
        let cases: [(&str, No); 18] = [
            ("", NotADuration::NoNumber),
            ("-", NotADuration::NoNumber),
            ("s", NotADuration::NoNumber),
            (".", NotADuration::NoNumber),
            (".s", NotADuration::NoNumber),
            ("--5s", NotADuration::NoNumber),
            ("+-5s", NotADuration::NoNumber),
            ("3", NotADuration::NoUnit),
            ("1.5", NotADuration::NoUnit),
            ("1.2.3s", NotADuration::NoUnit),
            ("1m-5s", NotADuration::UnknownUnit),
            ("1m 5s", NotADuration::UnknownUnit),
            ("3000 s", NotADuration::UnknownUnit),
            ("1d", NotADuration::UnknownUnit),
            ("1e300s", NotADuration::UnknownUnit),
            ("9223372036854775808ns", NotADuration::TooLong),
            ("99999999999999999999999999h", NotADuration::TooLong),
            ("2562047h47m16.854775808s", NotADuration::TooLong),
        ];
        for (text, no) in cases {
            assert_eq!(text.parse::<Duration>(), Err(no(text.to_owned())), "`{text}`");
        }
    }

    #[test]
    fn a_negative_duration_has_no_standard_form() {
        let parsed = |text: &str| text.parse::<Duration>().unwrap().to_std();
        assert_eq!(parsed("1.5s"), Some(std::time::Duration::from_millis(1_500)));
        assert_eq!(parsed("-1ns"), None);
    }
}
