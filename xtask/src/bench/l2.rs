//! How long an address on the LAN is away.
//!
//! A client sends one UDP packet a millisecond through the address to an echo server in a pod. The
//! sample is the longest run of packets without an answer, from the first lost one to the first
//! answered one. Each run has a network, speakers and a probe of its own.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lab::cluster::{Cluster, examples};

use super::row::{Goal, Row};

/// What a run counts that did not see the address come back.
const NEVER: Duration = Duration::from_secs(10);

/// How long the nodes may take to start and agree.
const START: Duration = Duration::from_secs(20);

/// From the first answer to the crash: long enough for the announcements of the start to be over
/// and every speaker to have heard the others.
const CALM: Duration = Duration::from_secs(2);

/// The rows of this benchmark, over `runs` runs.
pub(super) fn run(runs: u16, binary: &Path) -> Result<Vec<Row>> {
    let mut samples = Vec::new();
    for run in 1..=runs {
        // What cannot be set up is no sample: it says nothing about ferrolb's failover. What goes
        // wrong after the crash is one, the worst.
        let outage = crash(binary).with_context(|| format!("run {run} of {runs}"))?;
        eprintln!("l2 crash, run {run} of {runs}: {:.0} ms", milliseconds(outage));
        samples.push(milliseconds(outage));
    }
    let goal = Goal { p99: Some(500.0), ..Goal::default() };
    Ok(vec![Row::percentiles("l2", "crash", "ms", samples, goal)])
}

/// The owner's node crashes: its frames stop, the others keep carrier.
fn crash(binary: &Path) -> Result<Duration> {
    let cluster = Cluster::start(3, binary, &examples(), "shop/web")?;
    let probe = cluster.probe(START)?;
    thread::sleep(CALM);
    let owner = cluster.owner()?.host.name.clone();
    let before = probe.report();
    cluster.lan.crash(&owner)?;
    if probe.wait_answered(NEVER).is_err() {
        return Ok(NEVER);
    }
    thread::sleep(CALM);
    let after = probe.finish();
    let outages = after.outages.iter().skip(before.outages.len());
    Ok(outages.map(|outage| outage.length).max().unwrap_or(NEVER))
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
