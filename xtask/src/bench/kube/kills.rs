//! Controllers that die at any moment while Services come and go.
//!
//! A watch sees every state of every Service. None may show an address that another one shows, and
//! one that has an address keeps it.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lab::kube::kills::{History, Outcome};
use lab::kube::services::SERVICES;
use lab::kube::{Api, Installed};
use serde_json::Value;

use super::{LIMIT, address, create, start};
use crate::bench::row::Row;

/// How many controllers there are.
const CONTROLLERS: u8 = 3;

/// Services that are there at a time.
const SERVICES_AT_ONCE: usize = 50;

/// Between the creation of one and of the next.
const PACE: Duration = Duration::from_millis(50);

/// The longest time from one kill to the next, in milliseconds. Longer than a lease is good for,
/// now and then, so that one controller comes to decide.
const LONGEST: u64 = 3_000;

pub(super) fn run(kills: usize) -> Result<Vec<Row>> {
    let mut installed = start(CONTROLLERS)?;
    // Nothing is announced here.
    installed.speakers.clear();
    let api = installed.cluster.plane.api().clone();
    let mut history = History::new(api.watch(SERVICES));
    let is_over = AtomicBool::new(false);
    let created = thread::scope(|scope| -> Result<usize> {
        let client = scope.spawn(|| come_and_go(&api, &is_over));
        let killed = kill(&mut installed, kills);
        is_over.store(true, Ordering::Relaxed);
        let created = client.join().map_err(|_| anyhow::anyhow!("the client panicked"))??;
        killed.map(|()| created)
    })?;
    // Whoever is left gets what it asks for.
    let is_given = |list: &Value| items(list).all(|service| address(service).is_some());
    api.wait(SERVICES, "all have addresses", LIMIT, is_given).with_context(|| installed.logs())?;
    let left = items(&api.get(SERVICES)?).count();
    ensure!(left > 0, "no Service had an address");
    installed.until("the watch has seen all addresses", || history.follow() == left)?;
    eprintln!("{created} Services came and went, {left} are left and have an address");
    let Outcome { given_twice, changed, .. } = history.outcome();
    let method = "3 controllers, SIGKILL to one at a time at random moments, each is started again \
                  at once; a watch sees each state of each Service";
    let row = |name: &str, count: usize| {
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let count = count as f64;
        Row::value("kube", format!("{kills} kills: {name}"), "addresses", count, 0.0).by(method)
    };
    Ok(vec![row("given twice", given_twice.len()), row("changed", changed.len())])
}

/// Creates Services and deletes old ones, until it is over. Says how many.
fn come_and_go(api: &Api, is_over: &AtomicBool) -> Result<usize> {
    let mut count = 0_usize;
    while !is_over.load(Ordering::Relaxed) {
        create(api, &format!("kill-{count}"))?;
        if let Some(old) = count.checked_sub(SERVICES_AT_ONCE) {
            api.delete(&format!("{SERVICES}/kill-{old}"))?;
        }
        count += 1;
        thread::sleep(PACE);
    }
    Ok(count)
}

fn kill(installed: &mut Installed, kills: usize) -> Result<()> {
    let Installed { controllers, installation, .. } = installed;
    let end = Instant::now() + LIMIT * u32::try_from(kills)?;
    for kill in 1..=kills {
        ensure!(Instant::now() < end, "killing takes too long");
        let random = RandomState::new().hash_one(kill);
        thread::sleep(Duration::from_millis(random % LONGEST));
        let victim = usize::try_from(random / LONGEST)? % controllers.len();
        controllers[victim].process.kill()?;
        installation.restart_controller(&mut controllers[victim], &[])?;
    }
    Ok(())
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    let of_ours = |service: &&Value| service["spec"]["type"] == "LoadBalancer";
    list["items"].as_array().into_iter().flatten().filter(of_ours)
}
