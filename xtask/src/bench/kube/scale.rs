//! Many Services at once, and what a process does when it starts with them.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lab::capture::Capture;
use lab::kube::{Api, Installed};
use nix::sys::signal::Signal;

use super::{LIMIT, SERVICES, Sizes, address, create, size};
use crate::bench::row::Row;

/// Clients that create Services at the same time.
const CLIENTS: usize = 8;

/// How long creating so many may take.
const CREATION: Duration = Duration::from_secs(600);

pub(super) fn run(
    mut installed: Installed,
    sizes: &Sizes,
    add: &mut impl FnMut(Vec<Row>),
) -> Result<()> {
    let (few, many) = (grouped(sizes.few), grouped(sizes.many));
    fill(&installed, "few", sizes.few)?;
    add(size::memory(&installed, &few, 20.0, 15.0)?);
    add(vec![controller_starts(&mut installed, &few)?]);
    add(vec![speakers_start(&mut installed, &few, 1.0)?]);
    let late = fill(&installed, "many", sizes.many - sizes.few)?;
    let name = format!("{many} Services: last creation to last address");
    let method = "8 clients create those that are missing, as quickly as the API server allows";
    add(vec![Row::value("kube", name, "s", late.as_secs_f64(), 2.0).by(method)]);
    add(size::memory(&installed, &many, 60.0, 40.0)?);
    add(vec![speakers_start(&mut installed, &many, 4.0)?]);
    add(size::memory(&installed, &format!("{many} (started with)"), 60.0, 40.0)?);
    Ok(())
}

/// A number for people.
fn grouped(count: usize) -> String {
    match (count / 1000, count % 1000) {
        (0, rest) => rest.to_string(),
        (thousands, rest) => format!("{thousands},{rest:03}"),
    }
}

/// Creates Services by several clients. From the last creation until the last one has an address.
fn fill(installed: &Installed, prefix: &str, count: usize) -> Result<Duration> {
    let api = installed.cluster.plane.api();
    let events = api.watch(SERVICES);
    let created: Result<()> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn(move || -> Result<()> {
                    let mut mine = (client..count).step_by(CLIENTS);
                    mine.try_for_each(|index| create(api, &format!("{prefix}-{index}")))
                })
            })
            .collect();
        let mut joined = clients.into_iter().map(|client| client.join());
        joined.try_for_each(|ended| ended.unwrap_or_else(|_| anyhow::bail!("a client panicked")))
    });
    created?;
    let last = Instant::now();
    let mut given = BTreeSet::new();
    while given.len() < count {
        let (at, event) = events
            .recv_timeout(LIMIT)
            .with_context(|| format!("{} of {count} have an address", given.len()))?;
        ensure!(last.elapsed() < CREATION, "{} of {count} have an address", given.len());
        let object = &event["object"];
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        if name.starts_with(prefix) && address(object).is_some() {
            given.insert(name.to_owned());
        }
        if given.len() == count {
            return Ok(at.saturating_duration_since(last));
        }
    }
    Ok(Duration::ZERO)
}

/// From the start of the only controller until a new Service has its address.
fn controller_starts(installed: &mut Installed, services: &str) -> Result<Row> {
    let Installed { controllers, installation, cluster, .. } = installed;
    let pod = &mut controllers[0];
    // It gives its lease back.
    pod.process.signal(Signal::SIGTERM)?;
    pod.process.wait(LIMIT)?;
    let api = cluster.plane.api();
    create(api, "after-start")?;
    let begin = Instant::now();
    installation.restart_controller(pod, &[])?;
    let took = wait_given(api, "after-start")?.saturating_duration_since(begin);
    let name = format!("controller starts with {services} Services");
    let method = "from the start of the process to the address of a Service that waits for it";
    Ok(Row::value("kube", name, "s", took.as_secs_f64(), 1.0).by(method))
}

fn wait_given(api: &Api, name: &str) -> Result<Instant> {
    let path = format!("{SERVICES}/{name}");
    api.wait(&path, "it has an address", LIMIT, |service| address(service).is_some())?;
    Ok(Instant::now())
}

/// From the start of all speakers until the last address is claimed on the LAN. They were killed,
/// all at once: nobody holds an address when they come.
fn speakers_start(installed: &mut Installed, services: &str, goal: f64) -> Result<Row> {
    let Installed { speakers, installation, cluster, .. } = installed;
    for pod in speakers.iter_mut() {
        pod.process.kill()?;
    }
    let mut missing = addresses(cluster.plane.api())?;
    let capture = Capture::start(&cluster.lan)?;
    let begin = Instant::now();
    for (pod, node) in speakers.iter_mut().zip(&cluster.lan.nodes) {
        installation.restart_speaker(pod, node, &[])?;
    }
    let (mut last, mut looked_at) = (begin, 0);
    while !missing.is_empty() {
        ensure!(begin.elapsed() < LIMIT, "{} addresses are not claimed", missing.len());
        thread::sleep(Duration::from_millis(100));
        let new = capture.seen_after(looked_at);
        looked_at += new.len();
        for arp in new {
            if arp.is_claim() && missing.remove(&arp.sender_ip) {
                last = last.max(arp.at);
            }
        }
    }
    let name = format!("speakers start with {services} Services");
    let method =
        "all speakers were killed and start at once; to the first claim of the last address";
    Ok(Row::value("kube", name, "s", (last - begin).as_secs_f64(), goal).by(method))
}

/// All addresses in statuses.
fn addresses(api: &Api) -> Result<BTreeSet<Ipv4Addr>> {
    let list = api.get(SERVICES)?;
    let given = list["items"].as_array().into_iter().flatten().filter_map(address);
    Ok(given.collect())
}
