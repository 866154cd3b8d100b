//! Controllers that die at any moment while Services come and go.
//!
//! A watch sees every state of every Service. None may show an address that another one shows, and
//! one that has an address keeps it.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lab::kube::{Api, Installed};
use serde_json::Value;

use super::{LIMIT, SERVICES, address, create, start};
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
    let events = api.watch(SERVICES);
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
    let seen = Sightings::of(&events);
    eprintln!("{created} Services came, {} of them had an address, and went", seen.given.len());
    ensure!(!seen.given.is_empty(), "no Service had an address");
    let method = "3 controllers, SIGKILL to one at a time at random moments, each is started again \
                  at once; a watch sees each state of each Service";
    let row = |name: &str, count: usize| {
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let count = count as f64;
        Row::value("kube", format!("{kills} kills: {name}"), "addresses", count, 0.0).by(method)
    };
    Ok(vec![row("given twice", seen.given_twice), row("changed", seen.changed)])
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

/// What a watch has seen.
#[derive(Default)]
struct Sightings {
    /// What each Service that is there shows.
    shown: BTreeMap<String, String>,
    /// Who shows an address.
    shown_by: BTreeMap<String, BTreeSet<String>>,
    /// Services that had an address once.
    given: BTreeSet<String>,
    given_twice: usize,
    changed: usize,
}

impl Sightings {
    fn of(events: &Receiver<(Instant, Value)>) -> Self {
        let mut seen = Self::default();
        for (_, event) in events.try_iter() {
            let object = &event["object"];
            let Some(name) = object["metadata"]["name"].as_str() else { continue };
            let is_gone = event["type"] == "DELETED";
            seen.see(name, address(object).filter(|_| !is_gone), is_gone);
        }
        seen
    }

    fn see(&mut self, name: &str, now: Option<&str>, is_gone: bool) {
        let before = match now {
            Some(now) => self.shown.insert(name.to_owned(), now.to_owned()),
            None => self.shown.remove(name),
        };
        if before.as_deref() == now {
            return;
        }
        if let Some(before) = before {
            self.changed += usize::from(!is_gone);
            if let Some(others) = self.shown_by.get_mut(&before) {
                others.remove(name);
            }
        }
        if let Some(now) = now {
            self.given.insert(name.to_owned());
            let all = self.shown_by.entry(now.to_owned()).or_default();
            all.insert(name.to_owned());
            self.given_twice += usize::from(all.len() > 1);
        }
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    let of_ours = |service: &&Value| service["spec"]["type"] == "LoadBalancer";
    list["items"].as_array().into_iter().flatten().filter(of_ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_moves_and_one_that_two_show_are_counted() {
        let mut seen = Sightings::default();
        let steps = [
            ("a", Some("192.0.2.1"), false),
            ("a", Some("192.0.2.1"), false),
            ("b", None, false),
            ("b", Some("192.0.2.2"), false),
            ("b", None, true),
            ("c", Some("192.0.2.2"), false),
        ];
        for (name, now, is_gone) in steps {
            seen.see(name, now, is_gone);
        }
        assert_eq!((seen.given_twice, seen.changed, seen.given.len()), (0, 0, 3));
        seen.see("d", Some("192.0.2.1"), false);
        seen.see("a", None, false);
        assert_eq!((seen.given_twice, seen.changed), (1, 1));
    }
}
