//! The next address after the controller that decides is gone.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use lab::kube::Installed;
use nix::sys::signal::Signal;

use super::{LIMIT, SERVICES, address, create, milliseconds, start};
use crate::bench::row::{Goal, Row};

/// Long enough for the other controller to know everything.
const CALM: Duration = Duration::from_secs(3);

pub(super) fn run(runs: usize) -> Result<Vec<Row>> {
    let mut installed = start(2)?;
    create(installed.cluster.plane.api(), "first")?;
    let mut rows = Vec::new();
    for (signal, goal) in [(Signal::SIGKILL, 6_000.0), (Signal::SIGTERM, 1_000.0)] {
        let mut samples = Vec::new();
        for run in 0..runs {
            let name = format!("{}-{run}", signal.as_str().to_lowercase());
            samples.push(milliseconds(one(&mut installed, signal, &name)?));
        }
        let goal = Goal { p99: Some(goal), ..Goal::default() };
        let name = format!("next address after {signal}");
        let method = "two controllers; the signal to the one that decides, then a new Service";
        rows.push(Row::percentiles("kube", &name, "ms", samples, goal).by(method));
    }
    Ok(rows)
}

fn one(installed: &mut Installed, signal: Signal, name: &str) -> Result<Duration> {
    thread::sleep(CALM);
    let Installed { controllers, installation, cluster, .. } = installed;
    let plane = &cluster.plane;
    let lease = plane
        .get("/apis/coordination.k8s.io/v1/namespaces/metallb-system/leases/metallb-controller")?;
    let holder = lease["spec"]["holderIdentity"].as_str().context("nobody has the lease")?;
    let mut pods = controllers.iter_mut();
    let pod = pods.find(|pod| holder.starts_with(&pod.name)).context("a stranger has the lease")?;
    let begin = Instant::now();
    pod.process.signal(signal)?;
    create(plane.api(), name)?;
    let path = format!("{SERVICES}/{name}");
    plane.wait(&path, "it has an address", LIMIT, |service| address(service).is_some())?;
    let took = begin.elapsed();
    pod.process.wait(LIMIT)?;
    installation.restart_controller(pod, &[])?;
    Ok(took)
}
