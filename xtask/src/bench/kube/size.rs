//! Memory and processor time of the processes.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use lab::kube::Installed;
use lab::kube::ferrolb::Pod;

use super::LIMIT;
use crate::bench::row::Row;

/// For how long an idle process is watched.
const WATCHED: Duration = Duration::from_secs(30);

/// A process counts as idle when it used less than a hundredth of a core for so long.
const CALM: Duration = Duration::from_secs(3);

/// Both processes without a Service.
pub(super) fn idle(installed: &Installed) -> Result<Vec<Row>> {
    let mut rows = memory(installed, "no", 15.0, 12.0)?;
    let (controller, speaker) = (&installed.controllers[0], &installed.speakers[0]);
    let before = (used(controller)?, used(speaker)?);
    thread::sleep(WATCHED);
    let after = (used(controller)?, used(speaker)?);
    rows.push(cpu("controller processor time, idle", after.0 - before.0, 0.1));
    rows.push(cpu("speaker processor time, no Services", after.1 - before.1, 0.1));
    Ok(rows)
}

/// Speakers that hold addresses, and are heirs of the others.
pub(super) fn with_heirs(installed: &Installed) -> Result<Vec<Row>> {
    settle(installed)?;
    let all = || installed.speakers.iter().map(used).collect::<Result<Vec<_>>>();
    let before = all()?;
    thread::sleep(WATCHED);
    let worst = all()?.into_iter().zip(before).map(|(after, before)| after - before).max();
    let worst = worst.context("there is no speaker")?;
    Ok(vec![cpu("speaker processor time, two heirs", worst, 0.5)])
}

fn cpu(name: &str, used: Duration, goal: f64) -> Row {
    let share = 100.0 * used.as_secs_f64() / WATCHED.as_secs_f64();
    Row::value("kube", name.to_owned(), "% of a core", share, goal)
        .by("time on a processor of all threads over 30 s, from /proc/PID/task/*/schedstat")
}

/// Proportional set size of both, with so many Services, when they have nothing more to do.
pub(super) fn memory(
    installed: &Installed,
    services: &str,
    controller: f64,
    speaker: f64,
) -> Result<Vec<Row>> {
    settle(installed)?;
    let [pss, private] = ["Pss", "Pss_Anon"];
    let row = |name: &str, pods: &[Pod], goal| -> Result<Row> {
        let each = |field| pods.iter().map(move |pod| megabytes(pod, field));
        let all: Vec<_> = each(pss).collect::<Result<_>>()?;
        let own: Vec<_> = each(private).collect::<Result<_>>()?;
        eprintln!("{name}, {services} Services: Pss {all:.1?}, of that anonymous {own:.1?}");
        let worst = all.into_iter().fold(0.0, f64::max);
        let name = format!("{name} memory, {services} Services");
        Ok(Row::value("kube", name, "MB", worst, goal).by("Pss in smaps_rollup, the worst of them"))
    };
    Ok(vec![
        row("controller", &installed.controllers, controller)?,
        row("speaker", &installed.speakers, speaker)?,
    ])
}

/// Waits until all processes have nothing more to do.
pub(super) fn settle(installed: &Installed) -> Result<()> {
    let pods = || installed.controllers.iter().chain(&installed.speakers);
    let all = || pods().map(used).collect::<Result<Vec<_>>>();
    let end = Instant::now() + LIMIT;
    let mut before = all()?;
    loop {
        thread::sleep(CALM);
        let now = all()?;
        let mut each = now.iter().zip(&before);
        if each.all(|(now, before)| now.saturating_sub(*before) < CALM / 100) {
            return Ok(());
        }
        if Instant::now() > end {
            bail!("the processes are not idle within {LIMIT:?}\n{}", installed.logs());
        }
        before = now;
    }
}

fn megabytes(pod: &Pod, field: &str) -> Result<f64> {
    let path = format!("/proc/{}/smaps_rollup", pod.process.id());
    let text = fs::read_to_string(&path).with_context(|| format!("reading `{path}`"))?;
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    let (_, size) = fields.find(|(name, _)| *name == field).context("it has no such field")?;
    let kilobytes = size.trim().trim_end_matches(" kB").trim();
    Ok(kilobytes.parse::<f64>()? * 1024.0 / 1e6)
}

/// Time that all threads have been on a processor.
fn used(pod: &Pod) -> Result<Duration> {
    let path = format!("/proc/{}/task", pod.process.id());
    let tasks = fs::read_dir(&path).with_context(|| format!("reading `{path}`"))?;
    let mut nanoseconds = 0;
    for task in tasks {
        let path = task?.path().join("schedstat");
        // A thread may have ended meanwhile.
        let Ok(text) = fs::read_to_string(path) else { continue };
        let first = text.split(' ').next().context("it has no field")?;
        nanoseconds += first.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}
