//! Memory and processor time of the processes.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lab::kube::Installed;
use lab::kube::ferrolb::Pod;

use crate::bench::row::Row;

/// From the last change until a process counts as idle.
const CALM: Duration = Duration::from_secs(8);

/// For how long an idle process is watched.
const WATCHED: Duration = Duration::from_secs(20);

/// Both processes without a Service.
pub(super) fn idle(installed: &Installed) -> Result<Vec<Row>> {
    thread::sleep(CALM);
    let (controller, speaker) = (&installed.controllers[0], &installed.speakers[0]);
    let before = (ticks(controller)?, ticks(speaker)?);
    thread::sleep(WATCHED);
    let after = (ticks(controller)?, ticks(speaker)?);
    let cpu = |name: &str, before, after| {
        Row::value("kube", name.to_owned(), "% of a core", share(before, after), 0.1)
    };
    let mut rows = vec![
        cpu("controller processor time, idle", before.0, after.0),
        cpu("speaker processor time, idle", before.1, after.1),
    ];
    rows.extend(memory(installed, "no", 15.0, 12.0)?);
    Ok(rows)
}

/// Proportional set size of both, with so many Services.
pub(super) fn memory(
    installed: &Installed,
    services: &str,
    controller: f64,
    speaker: f64,
) -> Result<Vec<Row>> {
    let row = |name: &str, pod: &Pod, goal| -> Result<Row> {
        let name = format!("{name} memory, {services} Services");
        Ok(Row::value("kube", name, "MB", megabytes(pod)?, goal))
    };
    Ok(vec![
        row("controller", &installed.controllers[0], controller)?,
        row("speaker", &installed.speakers[0], speaker)?,
    ])
}

fn megabytes(pod: &Pod) -> Result<f64> {
    let path = format!("/proc/{}/smaps_rollup", pod.process.id());
    let text = fs::read_to_string(&path).with_context(|| format!("reading `{path}`"))?;
    let pss = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kilobytes = pss.and_then(|line| line.trim().split(' ').next()).context("no Pss")?;
    Ok(kilobytes.parse::<f64>()? * 1024.0 / 1e6)
}

/// Processor time so far, in hundredths of a second.
fn ticks(pod: &Pod) -> Result<u32> {
    let path = format!("/proc/{}/stat", pod.process.id());
    let text = fs::read_to_string(&path).with_context(|| format!("reading `{path}`"))?;
    // The name before may have blanks in it; user and system time are fields 14 and 15.
    let fields = text.rsplit(')').next().context("no fields")?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut next = || -> Result<u32> { Ok(fields.next().context("no time")?.parse()?) };
    Ok(next()? + next()?)
}

fn share(before: u32, after: u32) -> f64 {
    f64::from(after - before) / WATCHED.as_secs_f64()
}
