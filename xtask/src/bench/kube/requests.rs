//! What the API server was asked to write, as it counts itself.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, Result};
use lab::kube::Api;

use crate::bench::row::Row;

/// What is written for a Service: what it is called here, verbs, resource, subresource, and how
/// often it may be written for one Service. The client that measures creates Services.
const WRITES: [(&str, &[&str], &str, &str, f64); 5] = [
    ("status of the Service", &CHANGES, "services", "status", 1.0),
    ("the Service besides its status", &CHANGES, "services", "", 0.0),
    ("Events, of controller and speaker", &ALL, "events", "", 2.0),
    ("ServiceL2Status", &ALL, "servicel2statuses", "", 1.0),
    ("status of the ServiceL2Status", &ALL, "servicel2statuses", "status", 1.0),
];

const CHANGES: [&str; 4] = ["APPLY", "DELETE", "PATCH", "PUT"];
const ALL: [&str; 5] = ["APPLY", "DELETE", "PATCH", "POST", "PUT"];

/// Requests since the API server started.
pub(super) struct Requests {
    at: Instant,
    /// How many, by the labels of the metric.
    counts: BTreeMap<String, f64>,
}

impl Requests {
    /// As of now.
    pub(super) fn now(api: &Api) -> Result<Self> {
        let text = api.text("/metrics")?;
        let counts = text.lines().filter_map(|line| {
            let (labels, count) =
                line.strip_prefix("apiserver_request_total{")?.rsplit_once("} ")?;
            Some((labels.to_owned(), count.parse().ok()?))
        });
        let counts: BTreeMap<_, _> = counts.collect();
        (!counts.is_empty()).then_some(()).context("the API server counts no requests")?;
        Ok(Self { at: Instant::now(), counts })
    }

    /// Those that came after `before`.
    pub(super) fn since(&self, before: &Self) -> Writes {
        let counts = self.counts.iter().map(|(labels, count)| {
            (labels.clone(), count - before.counts.get(labels).unwrap_or(&0.0))
        });
        Writes { counts: counts.collect(), seconds: (self.at - before.at).as_secs_f64() }
    }
}

/// Requests in some time.
pub(super) struct Writes {
    counts: BTreeMap<String, f64>,
    seconds: f64,
}

impl Writes {
    /// What one of so many new Services has cost.
    pub(super) fn rows(&self, services: usize) -> Vec<Row> {
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let services = services as f64;
        let each = WRITES.iter().map(|(name, verbs, resource, subresource, goal)| {
            let count = self.count(verbs, resource, subresource, "");
            let name = format!("writes a Service: {name}");
            Row::value("kube", name, "requests", count / services, *goal)
                .by("difference of the API server's own counters")
        });
        let pools = self.count(&ALL, "ipaddresspools", "status", "") / self.seconds;
        let conflicts = self.count(&ALL, "", "", "409");
        each.chain([
            Row::value("kube", "writes of pool statuses".to_owned(), "requests/s", pools, 1.0)
                .by("the same, over all the time"),
            Row::value("kube", "writes that conflict".to_owned(), "requests", conflicts, 0.0)
                .by("answers with status 409, of all kinds but Leases, over all Services"),
        ])
        .collect()
    }

    /// Requests with one of the verbs. Whatever is empty may be anything, but for the subresource of
    /// a resource.
    fn count(&self, verbs: &[&str], resource: &str, subresource: &str, code: &str) -> f64 {
        let has = |labels: &str, name, value| labels.contains(&format!("{name}=\"{value}\""));
        let counted = self.counts.iter().filter(|(labels, _)| {
            let is_resource = match resource {
                "" => !has(labels, "resource", "leases"),
                _ => has(labels, "resource", resource) && has(labels, "subresource", subresource),
            };
            is_resource
                && verbs.iter().any(|verb| has(labels, "verb", verb))
                && (code.is_empty() || has(labels, "code", code))
        });
        counted.map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_found_by_their_labels() {
        let labels = |verb, resource, subresource, code| {
            format!(
                "code=\"{code}\",component=\"apiserver\",dry_run=\"\",resource=\"{resource}\",\
                 scope=\"resource\",subresource=\"{subresource}\",verb=\"{verb}\",version=\"v1\""
            )
        };
        let counts = [
            (labels("PUT", "services", "status", 200), 7.0),
            (labels("PUT", "services", "status", 409), 1.0),
            (labels("PUT", "services", "", 200), 2.0),
            (labels("GET", "services", "status", 200), 100.0),
            (labels("PUT", "leases", "", 409), 50.0),
        ];
        let writes = Writes { counts: counts.into(), seconds: 1.0 };
        assert!((writes.count(&CHANGES, "services", "status", "") - 8.0).abs() < 0.1);
        assert!((writes.count(&CHANGES, "services", "", "") - 2.0).abs() < 0.1);
        assert!((writes.count(&ALL, "", "", "409") - 1.0).abs() < 0.1);
    }
}
