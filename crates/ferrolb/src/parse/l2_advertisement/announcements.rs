//! How the LAN is told and asked about an address.

use std::ops::RangeInclusive;
use std::time::Duration;

use planner::facts::lan::Announcing;
use proto::l2;

use super::Findings;
use crate::api::{self, DuplicateProbe, L2AdvertisementSpec};

const COUNT: RangeInclusive<i32> = 1..=20;
const INTERVAL: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(10);
const REFRESH_INTERVAL: RangeInclusive<Duration> =
    Duration::from_secs(10)..=Duration::from_secs(3_600);

/// A switch forgets where an Ethernet address is from which it sees nothing, often after 300 s; replies
/// to clients leave by the node's own.
const LONGEST_REFRESH: Duration = Duration::from_secs(60);

pub(super) fn read(spec: &L2AdvertisementSpec, findings: &mut Findings) -> Announcing {
    let mut announcing = Announcing::default();
    let schedule = &mut announcing.schedule;
    if let Some(count) = spec.announcements.count {
        match u8::try_from(count).ok().filter(|_| COUNT.contains(&count)) {
            Some(count) => schedule.count = count,
            None => findings.out_of_bounds("spec.announcements.count", count, &COUNT),
        }
    }
    if let Some(interval) = spec.announcements.interval {
        match interval.to_std().filter(|time| INTERVAL.contains(time)) {
            Some(interval) => schedule.interval = interval,
            None => refuse("interval", interval, "write a time from `100ms` to `10s`", findings),
        }
    }
    if let Some(interval) = spec.announcements.refresh_interval {
        let is_never = |time: &Duration| time.is_zero();
        match interval.to_std().filter(|it| is_never(it) || REFRESH_INTERVAL.contains(it)) {
            Some(time) => schedule.refresh_interval = (!is_never(&time)).then_some(time),
            None => {
                let help = "write `0s` for never, or a time from `10s` to `1h`";
                refuse("refreshInterval", interval, help, findings);
            }
        }
    }
    announcing.has_virtual_mac = spec.virtual_mac;
    if spec.virtual_mac {
        let wanted = announcing.schedule.refresh_interval.unwrap_or(LONGEST_REFRESH);
        announcing.schedule.refresh_interval = Some(wanted.min(LONGEST_REFRESH));
    }
    announcing.probe = match spec.duplicate_probe {
        None => announcing.probe,
        Some(DuplicateProbe::Optimistic) => l2::DuplicateProbe::Optimistic,
        Some(DuplicateProbe::Strict) => l2::DuplicateProbe::Strict,
        Some(DuplicateProbe::None) => l2::DuplicateProbe::Off,
    };
    announcing
}

fn refuse(field: &str, time: api::Duration, help: &str, findings: &mut Findings) {
    let message = format!("`{time}` is too short or too long");
    findings.problem(format!("spec.announcements.{field}"), message, help);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::object::ObjectName;

    fn of(text: &str) -> Result<Announcing, Vec<String>> {
        let spec: L2AdvertisementSpec = serde_saphyr::from_str(text).unwrap();
        let metadata = kube::api::ObjectMeta::default();
        let mut findings = Findings::about(ObjectName::of("L2Advertisement", &metadata));
        let announcing = read(&spec, &mut findings);
        let fields: Vec<_> = findings.problems.into_iter().map(|one| one.field).collect();
        if fields.is_empty() { Ok(announcing) } else { Err(fields) }
    }

    #[test]
    fn what_is_not_said_is_by_default() {
        assert_eq!(of("{}"), Ok(Announcing::default()));
        assert_eq!(of("{announcements: {refreshInterval: 0s}}"), Ok(Announcing::default()));
    }

    #[test]
    fn each_setting_is_read() {
        let text = "{announcements: {count: 3, interval: 200ms, refreshInterval: 2m}, \
                    duplicateProbe: strict}";
        let schedule = l2::Schedule {
            count: 3,
            interval: Duration::from_millis(200),
            refresh_interval: Some(Duration::from_secs(120)),
        };
        let probe = l2::DuplicateProbe::Strict;
        let has_virtual_mac = false;
        assert_eq!(of(text), Ok(Announcing { schedule, probe, has_virtual_mac }));
        assert_eq!(of("{duplicateProbe: none}").unwrap().probe, l2::DuplicateProbe::Off);
    }

    #[test]
    fn an_ethernet_address_of_its_own_is_shown_to_switches_each_minute() {
        for (interval, want) in [("0s", 60), ("10s", 10), ("2m", 60)] {
            let announcements = format!("announcements: {{refreshInterval: {interval}}}");
            let announcing = of(&format!("{{virtualMAC: true, {announcements}}}")).unwrap();
            assert!(announcing.has_virtual_mac);
            let want = Some(Duration::from_secs(want));
            assert_eq!(announcing.schedule.refresh_interval, want, "{interval}");
        }
    }

    #[test]
    fn what_is_out_of_bounds_is_refused_by_field() {
        let cases = [
            ("count: 0", "count"),
            ("count: 21", "count"),
            ("count: -1", "count"),
            ("interval: 99ms", "interval"),
            ("interval: 11s", "interval"),
            ("interval: -1s", "interval"),
            ("refreshInterval: 9s", "refreshInterval"),
            ("refreshInterval: 2h", "refreshInterval"),
        ];
        for (text, field) in cases {
            let want = Err(vec![format!("spec.announcements.{field}")]);
            assert_eq!(of(&format!("{{announcements: {{{text}}}}}")), want, "{text}");
        }
    }
}
