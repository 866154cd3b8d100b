//! From a new Service to its address in the status, and to the first ARP packet that claims it.
//!
//! Services are created one after the other, each when the one before is announced. What they cost
//! the API server is the difference of its own counters of requests.

use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use lab::capture::Capture;
use lab::kube::{Api, Installed};

use super::{LIMIT, SERVICES, address, create, milliseconds};
use crate::bench::row::{Goal, Row};

/// How many Services are created.
const SAMPLES: usize = 100;

/// What is written for a Service by controller and speaker, as the API server counts it: verb,
/// resource, subresource, and how often each may be written for one Service.
const WRITES: [(&str, &str, &str, f64); 5] = [
    ("PUT", "services", "status", 1.0),
    ("POST", "events", "", 2.0),
    ("PATCH", "events", "", 0.0),
    ("POST", "servicel2statuses", "", 1.0),
    ("", "servicel2statuses", "status", 1.0),
];

pub(super) fn run(installed: &Installed) -> Result<Vec<Row>> {
    let api = installed.cluster.plane.api();
    let capture = Capture::start(&installed.cluster.lan)?;
    let before = api.text("/metrics")?;
    let (mut given, mut answered) = (Vec::new(), Vec::new());
    for sample in 0..SAMPLES {
        let (status, arp) = one(api, &capture, &format!("one-{sample}"))
            .with_context(|| format!("Service {sample}\n{}", installed.logs()))?;
        given.push(milliseconds(status));
        answered.push(milliseconds(arp));
    }
    // Events and statuses may come after the first packet.
    thread::sleep(Duration::from_secs(2));
    let after = api.text("/metrics")?;
    let percentiles = |name, samples, p50, p95| {
        let goal = Goal { p50: Some(p50), p95: Some(p95), ..Goal::default() };
        Row::percentiles("kube", name, "ms", samples, goal)
    };
    let mut rows = vec![
        percentiles("service to status", given, 6.0, 12.0),
        percentiles("service to ARP", answered, 8.0, 14.0),
    ];
    rows.extend(WRITES.iter().map(|(verb, resource, subresource, goal)| {
        let count = |text| requests(text, verb, resource, subresource);
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let each = (count(&after) - count(&before)) / SAMPLES as f64;
        let name = format!("{verb} {resource}/{subresource} a Service");
        Row::value("kube", name.trim().to_owned(), "requests", each, *goal)
    }));
    Ok(rows)
}

/// Creates one Service, and says when it had its address and when that was claimed.
fn one(api: &Api, capture: &Capture, name: &str) -> Result<(Duration, Duration)> {
    let events = api.watch(SERVICES);
    // The watch says first what is there already; what is new comes after.
    let begin = Instant::now();
    create(api, name)?;
    let end = begin + LIMIT;
    let (at, given) = loop {
        let left = end.saturating_duration_since(Instant::now());
        let (at, event) = events.recv_timeout(left).context("no address was given")?;
        let object = &event["object"];
        if object["metadata"]["name"] == name
            && let Some(given) = address(object)
        {
            break (at, given.parse::<Ipv4Addr>()?);
        }
    };
    let claim = capture.wait_for(LIMIT, |arp| arp.sender_ip == given && arp.is_claim())?;
    Ok((at - begin, claim.at.saturating_duration_since(begin)))
}

/// How often a request was made, of all answers together.
fn requests(metrics: &str, verb: &str, resource: &str, subresource: &str) -> f64 {
    let has = |line: &str, label: &str, value: &str| {
        value.is_empty() && label == "verb" || line.contains(&format!("{label}=\"{value}\""))
    };
    let counts = metrics.lines().filter(|line| {
        line.starts_with("apiserver_request_total{")
            && has(line, "verb", verb)
            && has(line, "resource", resource)
            && has(line, "subresource", subresource)
            && ["PUT", "POST", "PATCH", "APPLY"].iter().any(|verb| has(line, "verb", verb))
    });
    counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
