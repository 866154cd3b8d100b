//! From a new Service to its address in the status, and to the first ARP packet that claims it.
//!
//! Services are created one after the other, each when the one before is announced.

use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use lab::capture::Capture;
use lab::kube::{Api, Installed};
use serde_json::Value;

use super::requests::Requests;
use super::{LIMIT, SERVICES, address, create_service, create_slice, milliseconds};
use crate::bench::row::{Goal, Row};

/// How late Events and statuses of the last Service may come.
const LATE: Duration = Duration::from_secs(3);

pub(super) fn run(installed: &Installed, samples: usize) -> Result<Vec<Row>> {
    let api = installed.cluster.plane.api();
    let capture = Capture::start(&installed.cluster.lan)?;
    let events = api.watch(SERVICES);
    let before = Requests::now(api)?;
    let (mut given, mut answered) = (Vec::new(), Vec::new());
    for sample in 0..samples {
        let (status, arp) = one(api, &events, &capture, &format!("one-{sample}"))
            .with_context(|| format!("Service {sample}\n{}", installed.logs()))?;
        given.push(milliseconds(status));
        answered.push(milliseconds(arp));
    }
    thread::sleep(LATE);
    let writes = Requests::now(api)?.since(&before);
    let percentiles = |name, samples, p50, p95| {
        let goal = Goal { p50: Some(p50), p95: Some(p95), ..Goal::default() };
        Row::percentiles("kube", name, "ms", samples, goal)
    };
    let mut rows = vec![
        percentiles("Service created to address in status", given, 6.0, 12.0)
            .by("from the request to the event of a watch that was there before"),
        percentiles("Service created to first ARP claim", answered, 8.0, 14.0)
            .by("from the request to the frame at the switch, by the kernel's time stamp"),
    ];
    rows.extend(writes.rows(samples));
    Ok(rows)
}

/// Creates one Service, and says when it had its address and when that was claimed.
fn one(
    api: &Api,
    events: &Receiver<(Instant, Value)>,
    capture: &Capture,
    name: &str,
) -> Result<(Duration, Duration)> {
    create_slice(api, name)?;
    let begin = Instant::now();
    create_service(api, name)?;
    let end = begin + LIMIT;
    let (at, given) = loop {
        let left = end.saturating_duration_since(Instant::now());
        let (at, event) = events.recv_timeout(left).context("no address was given")?;
        let object = &event["object"];
        if object["metadata"]["name"] == name
            && let Some(given) = address(object)
        {
            break (at, given);
        }
    };
    let claim = capture.wait_for(LIMIT, |arp| arp.sender_ip == given && arp.is_claim())?;
    Ok((at - begin, claim.at.saturating_duration_since(begin)))
}
