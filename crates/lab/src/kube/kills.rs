//! Controllers that are killed at random moments while Services come and go.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::ferrolb::Installed;
use super::services::{LIMIT, SERVICES, address_of, service};

/// A kill comes at most so long after Services came and went: in the middle of the work.
const MOMENT_MILLIS: u64 = 80;

/// After so many kills there is time for every Service to get its address. With less time there
/// would hardly be work to be killed at: a lease has to run out after some of the kills.
const KILLS_IN_A_ROW: u64 = 5;

/// How many Services there are at most.
const MOST: usize = 40;

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Services that were there.
    pub services: usize,
    /// Addresses that a Service got while another had it, in words.
    pub given_twice: Vec<String>,
    /// Services that lost the address that they had, or got another one, in words.
    pub changed: Vec<String>,
}

/// Kills controllers `kills` times, by SIGKILL or SIGTERM, and starts each again at once. What is
/// done, and when, follows from `seed`, as far as one machine does the same thing twice.
///
/// # Errors
///
/// When a program or the API server does not do as told, or not every Service has an address
/// [`LIMIT`] after some kills.
pub fn kill_controllers(installed: &mut Installed, kills: u64, seed: u64) -> Result<Outcome> {
    let api = installed.cluster.plane.api().clone();
    let mut history = History::new(api.watch(SERVICES));
    let mut random = Random(seed);
    let mut names: Vec<String> = Vec::new();
    for kill in 1..=kills {
        for number in 0..=random.below(3) {
            let name = format!("killed-{kill}-{number}");
            let mut object = service(&name, "Cluster");
            object["spec"]["allocateLoadBalancerNodePorts"] = false.into();
            api.create(SERVICES, &object)?;
            names.push(name);
            history.outcome.services += 1;
        }
        let go = random.below(3).max(names.len().saturating_sub(MOST) as u64);
        for _ in 0..go.min(names.len() as u64) {
            let gone = names.remove(usize::try_from(random.below(names.len() as u64))?);
            api.delete(&format!("{SERVICES}/{gone}"))?;
        }
        thread::sleep(Duration::from_millis(random.below(MOMENT_MILLIS)));
        kill_one(installed, &mut random)?;
        if kill % KILLS_IN_A_ROW == 0 || kill == kills {
            let all_have = || history.follow() == names.len();
            installed.until("every Service has an address", all_have)?;
        }
    }
    Ok(history.outcome)
}

fn kill_one(installed: &mut Installed, random: &mut Random) -> Result<()> {
    let Installed { controllers, installation, .. } = installed;
    let pod = usize::try_from(random.below(controllers.len() as u64))?;
    let pod = controllers.get_mut(pod).context("there is no controller")?;
    match random.below(2) {
        0 => pod.process.kill()?,
        _ => {
            pod.process.signal(Signal::SIGTERM)?;
            pod.process.wait(LIMIT)?;
        }
    }
    installation.restart_controller(pod, &[])
}

/// Who had which address, event by event.
#[derive(Debug)]
pub struct History {
    events: mpsc::Receiver<(Instant, Value)>,
    /// By `metadata.uid`: the name and the address.
    services: BTreeMap<String, (String, Option<IpAddr>)>,
    outcome: Outcome,
}

impl History {
    /// Nothing yet, of what a watch of [`SERVICES`] will have.
    #[must_use]
    pub fn new(events: mpsc::Receiver<(Instant, Value)>) -> Self {
        Self { events, services: BTreeMap::new(), outcome: Outcome::default() }
    }

    /// Takes in what has happened; returns how many Services have an address, or none of them if
    /// one has not.
    pub fn follow(&mut self) -> usize {
        while let Ok((_, event)) = self.events.try_recv() {
            self.take(&event);
        }
        let have = |(_, address): &&(String, Option<IpAddr>)| address.is_some();
        let count = self.services.values().filter(have).count();
        if count == self.services.len() { count } else { 0 }
    }

    /// What has happened so far, without the count of Services.
    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    fn take(&mut self, event: &Value) {
        let object = &event["object"];
        let word = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let (uid, name, new) = (word("uid"), word("name"), address_of(object));
        if object["spec"]["type"] != "LoadBalancer" {
            return;
        }
        if event["type"] == "DELETED" {
            self.services.remove(&uid);
            return;
        }
        let old = self.services.insert(uid.clone(), (name.clone(), new)).and_then(|(_, old)| old);
        if old.is_some() && old != new {
            self.outcome.changed.push(format!("{name}: {old:?}, then {new:?}"));
        }
        let others = self.services.iter().filter(|(other, _)| **other != uid);
        let twice = others.filter(|(_, (_, address))| new.is_some() && *address == new);
        let twice = twice.map(|(_, (other, _))| format!("{new:?}: {other} and {name}"));
        self.outcome.given_twice.extend(twice);
    }
}

/// Knuth's MMIX generator: enough to choose by.
struct Random(u64);

impl Random {
    /// A number below `limit`.
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit.max(1)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_address_that_moves_or_has_two_owners_is_seen() {
        let (events, received) = mpsc::channel();
        let mut history = History::new(received);
        let mut say = |kind: &str, name: &str, address: Option<&str>| {
            let ingress = address.map(|address| json!([{"ip": address}]));
            let object = json!({
                "metadata": {"uid": name, "name": name}, "spec": {"type": "LoadBalancer"},
                "status": {"loadBalancer": {"ingress": ingress}},
            });
            events.send((Instant::now(), json!({"type": kind, "object": object}))).unwrap();
            history.follow();
            (history.outcome.given_twice.len(), history.outcome.changed.len())
        };
        assert_eq!(say("ADDED", "a", None), (0, 0));
        assert_eq!(say("MODIFIED", "a", Some("192.0.2.1")), (0, 0));
        assert_eq!(say("MODIFIED", "a", Some("192.0.2.1")), (0, 0));
        assert_eq!(say("ADDED", "b", Some("192.0.2.1")), (1, 0));
        assert_eq!(say("MODIFIED", "b", Some("192.0.2.2")), (1, 1));
        assert_eq!(say("MODIFIED", "b", None), (1, 2));
        assert_eq!(say("DELETED", "a", Some("192.0.2.1")), (1, 2));
        assert_eq!(say("ADDED", "c", Some("192.0.2.1")), (1, 2));
        assert_eq!(say("MODIFIED", "b", Some("192.0.2.1")), (2, 2), "a second one shows it");
        assert_eq!(say("MODIFIED", "c", None), (2, 3), "the first one loses it");
    }
}
