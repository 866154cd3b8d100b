//! Controller and speaker with a real API server, etcd in memory, and three nodes.
//!
//! | file | what |
//! | --- | --- |
//! | [`latency`] | from a new Service to its address, and to the first ARP packet that claims it; what that costs the API server |
//! | [`scale`] | many Services at once, and what is there when a process starts |
//! | [`takeover`] | the next address after the controller that decides is gone |
//! | [`size`] | memory and processor time of the processes |
//!
//! Requests and the watch that sees the answers are the lab's own client, in the namespace of the
//! control plane; ARP is captured on the switch. Both have the same clock as the creation.

mod latency;
mod scale;
mod size;
mod takeover;

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use lab::kube::{Api, Installed};
use serde_json::{Value, json};

use super::row::Row;
use crate::kube::Programs;

/// How long anything may take that is waited for; what takes longer counts as that.
const LIMIT: Duration = Duration::from_secs(120);

/// How many nodes there are.
const NODES: u8 = 3;

/// Where Services are.
const SERVICES: &str = "/api/v1/namespaces/default/services";

/// Room for all of them.
const SETTINGS: &str = "
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: many, namespace: metallb-system}
spec: {addresses: [10.20.0.0/16]}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: many, namespace: metallb-system}
";

/// Runs all of it in a process that knows where the programs are.
pub(super) fn again(programs: &Programs, binary: &Path) -> Result<ExitCode> {
    let mut command = Command::new(env::current_exe().context("looking for this program")?);
    programs.tell(&mut command);
    command.args(env::args_os().skip(1)).env("FERROLB_BIN", binary);
    let status = command.status().context("starting the benchmark")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether this process knows where the programs are.
pub(super) fn is_told() -> bool {
    env::var_os("FERROLB_BIN").is_some()
}

/// The rows of this benchmark.
pub(super) fn run() -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let installed = start(1)?;
    rows.extend(size::idle(&installed)?);
    rows.extend(latency::run(&installed)?);
    rows.extend(scale::run(installed)?);
    rows.extend(takeover::run()?);
    Ok(rows)
}

/// A cluster with room for addresses, in which the controller decides.
fn start(controllers: u8) -> Result<Installed> {
    let installed = Installed::start(NODES, controllers)?;
    let end = Instant::now() + LIMIT;
    // The API server may not reach the webhooks yet.
    while let Err(error) = installed.cluster.plane.apply(SETTINGS) {
        if Instant::now() > end {
            bail!("{error:#}\n{}", installed.logs());
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(installed)
}

/// A Service without node ports, of which there are too few.
fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "type": "LoadBalancer", "allocateLoadBalancerNodePorts": false,
            "selector": {"app": name}, "ports": [{"port": 80}],
        },
    })
}

/// A healthy endpoint for a Service.
fn slice(name: &str) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{name}-1"), "namespace": "default",
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.244.1.2"], "nodeName": "node-a", "conditions": {"ready": true}}],
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
    })
}

/// Creates what a Service needs, its endpoints first.
fn create(api: &Api, name: &str) -> Result<()> {
    api.create("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", &slice(name))?;
    api.create(SERVICES, &service(name))?;
    Ok(())
}

/// The first address in the status of a Service.
fn address(service: &Value) -> Option<&str> {
    service["status"]["loadBalancer"]["ingress"][0]["ip"].as_str()
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
