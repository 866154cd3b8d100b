//! How an address is held, and how closely its holder is watched.

use std::ops::RangeInclusive;
use std::time::Duration;

use proto::mesh::ownership::{self, CloseWatch, OnConflict, Policy};

use super::Findings;
use crate::api::{self, ConflictPolicy, L2AdvertisementSpec};

const STAND_IN_TIME: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(600);
const INTERVAL: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(1);
const MULTIPLIER: RangeInclusive<i32> = 2..=10;

pub(super) fn policy(spec: &L2AdvertisementSpec, findings: &mut Findings) -> Policy {
    let default = Policy::default();
    let stand_in_time = spec.stand_in_time.and_then(|time| {
        let limits = (&STAND_IN_TIME, "write a time from `0s` to `10m`");
        within(time, "spec.standInTime", limits, findings)
    });
    Policy {
        is_sticky: spec.sticky.unwrap_or(default.is_sticky),
        stand_in_time: stand_in_time.unwrap_or(default.stand_in_time),
        fencing: match spec.fencing {
            None => default.fencing,
            Some(api::Fencing::None) => ownership::Fencing::None,
            Some(api::Fencing::Quorum) => ownership::Fencing::Quorum,
        },
        on_conflict: match spec.conflict_policy {
            None => default.on_conflict,
            Some(ConflictPolicy::Defend) => OnConflict::Defend,
            Some(ConflictPolicy::Yield) => OnConflict::Yield,
        },
        close_watch: close_watch(&spec.close_watch, findings),
    }
}

/// `None` if nothing is said: what suits the node then counts.
fn close_watch(spec: &api::CloseWatch, findings: &mut Findings) -> Option<CloseWatch> {
    let mut watch = CloseWatch { interval: Duration::from_millis(50), multiplier: 3 };
    if let Some(interval) = spec.interval {
        let limits = (&INTERVAL, "write a time from `10ms` to `1s`");
        let interval = within(interval, "spec.closeWatch.interval", limits, findings)?;
        // Heartbeats tell of it in whole milliseconds.
        watch.interval = Duration::from_millis(u64::try_from(interval.as_millis()).ok()?);
    }
    if let Some(multiplier) = spec.multiplier {
        match u32::try_from(multiplier).ok().filter(|_| MULTIPLIER.contains(&multiplier)) {
            Some(multiplier) => watch.multiplier = multiplier,
            None => findings.out_of_bounds("spec.closeWatch.multiplier", multiplier, &MULTIPLIER),
        }
    }
    (*spec != api::CloseWatch::default()).then_some(watch)
}

fn within(
    time: api::Duration,
    field: &str,
    (range, help): (&RangeInclusive<Duration>, &str),
    findings: &mut Findings,
) -> Option<Duration> {
    let read = time.to_std().filter(|read| range.contains(read));
    if read.is_none() {
        findings.problem(field, format!("`{time}` is too short or too long"), help);
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::object::ObjectName;

    fn of(text: &str) -> Result<Policy, Vec<String>> {
        let spec: L2AdvertisementSpec = serde_saphyr::from_str(text).unwrap();
        let metadata = kube::api::ObjectMeta::default();
        let mut findings = Findings::about(ObjectName::of("L2Advertisement", &metadata));
        let read = policy(&spec, &mut findings);
        let fields: Vec<_> = findings.problems.into_iter().map(|one| one.field).collect();
        if fields.is_empty() { Ok(read) } else { Err(fields) }
    }

    #[test]
    fn what_is_not_said_is_by_default() {
        assert_eq!(of("{}"), Ok(Policy::default()));
        let said = "{sticky: true, standInTime: 30s, fencing: none, conflictPolicy: defend}";
        assert_eq!(of(said), Ok(Policy::default()));
    }

    #[test]
    fn each_setting_is_read() {
        let text = "{sticky: false, standInTime: 1m, fencing: quorum, conflictPolicy: yield, \
                    closeWatch: {interval: 10ms, multiplier: 5}}";
        let policy = Policy {
            is_sticky: false,
            stand_in_time: Duration::from_secs(60),
            fencing: ownership::Fencing::Quorum,
            on_conflict: OnConflict::Yield,
            close_watch: Some(CloseWatch { interval: Duration::from_millis(10), multiplier: 5 }),
        };
        assert_eq!(of(text), Ok(policy));
        let watch = of("{closeWatch: {multiplier: 2}}").unwrap().close_watch.unwrap();
        assert_eq!(watch.interval, Duration::from_millis(50));
    }

    #[test]
    fn what_is_out_of_bounds_is_refused_by_field() {
        let cases = [
            ("{standInTime: 11m}", "spec.standInTime"),
            ("{standInTime: -1s}", "spec.standInTime"),
            ("{closeWatch: {interval: 9ms}}", "spec.closeWatch.interval"),
            ("{closeWatch: {interval: 2s}}", "spec.closeWatch.interval"),
            ("{closeWatch: {multiplier: 1}}", "spec.closeWatch.multiplier"),
            ("{closeWatch: {multiplier: 11}}", "spec.closeWatch.multiplier"),
        ];
        for (text, field) in cases {
            assert_eq!(of(text), Err(vec![String::from(field)]), "{text}");
        }
    }
}
