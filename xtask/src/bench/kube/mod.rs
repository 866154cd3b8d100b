//! Controller and speaker with a real API server, etcd in memory, and three nodes.
//!
//! | file | what |
//! | --- | --- |
//! | [`latency`] | from a new Service to its address, and to the first ARP packet that claims it |
//! | [`floor`] | the same with a bare client in the controller's place |
//! | [`requests`] | what a new Service costs the API server |
//! | [`scale`] | many Services at once, and what is there when a process starts |
//! | [`takeover`] | the next address after the controller that decides is gone |
//! | [`kills`] | controllers that die at any moment: no address is given twice, none changes |
//! | [`size`] | memory and processor time of the processes |
//!
//! Requests and the watch that sees the answers are the lab's own client, in the namespace of the
//! control plane; ARP is captured on the switch. Both have the same clock as the creation. Nothing
//! forwards packets: kube-proxy would only take processor time from what is measured.

mod floor;
mod kills;
mod latency;
mod requests;
mod scale;
mod size;
mod takeover;

use std::env;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use lab::kube::api::Refused;
use lab::kube::services::{SERVICES, address_of};
use lab::kube::{Api, Installed};
use serde_json::{Value, json};

use super::row::{self, Row};
use crate::kube::Programs;

/// How long anything may take that is waited for; what takes longer counts as that.
const LIMIT: Duration = Duration::from_secs(120);

/// How many nodes there are.
const NODES: u8 = 3;

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

/// What can be measured alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Part {
    /// Idle processes, then one Service after the other
    Latency,
    /// Many Services
    Scale,
    /// The leader goes, the next address
    Takeover,
    /// Controllers die at random moments
    Kills,
}

/// How much is measured.
pub(super) struct Sizes {
    /// Services that are created one after the other.
    samples: usize,
    /// Services with which processes are started and weighed.
    few: usize,
    /// The same, more of them.
    many: usize,
    /// How often the leader goes, in each of two ways.
    takeovers: usize,
    /// How many controllers die.
    kills: usize,
}

impl Sizes {
    /// As much as is promised, or a tenth of it.
    pub(super) fn of(is_quick: bool) -> Self {
        let part = if is_quick { 10 } else { 1 };
        Self {
            samples: 200 / part,
            few: 1_000 / part,
            many: 10_000 / part,
            takeovers: 10 / part,
            kills: 200 / part,
        }
    }
}

/// The rows of this benchmark, or of one part of it. Each is told as soon as it is there.
pub(super) fn run(sizes: &Sizes, only: Option<Part>) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut add = |more: Vec<Row>| {
        eprint!("{}", row::table(&more));
        rows.extend(more);
    };
    let is_wanted = |part| only.is_none_or(|only| only == part);
    if is_wanted(Part::Latency) {
        let installed = start(1)?;
        add(size::idle(&installed)?);
        add(latency::run(&installed, sizes.samples)?);
        add(vec![floor::run(installed.cluster.plane.api(), sizes.samples)?]);
        add(size::with_heirs(&installed)?);
    }
    if is_wanted(Part::Scale) {
        scale::run(start(1)?, sizes, &mut add)?;
    }
    if is_wanted(Part::Takeover) {
        add(takeover::run(sizes.takeovers)?);
    }
    if is_wanted(Part::Kills) {
        add(kills::run(sizes.kills)?);
    }
    Ok(rows)
}

/// A cluster with room for addresses, in which the controller decides.
fn start(controllers: u8) -> Result<Installed> {
    let mut installed = Installed::start(NODES, controllers)?;
    installed.cluster.proxies.clear();
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
    create_slice(api, name)?;
    create_service(api, name)
}

fn create_slice(api: &Api, name: &str) -> Result<()> {
    create_once(api, "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", &slice(name))
}

fn create_service(api: &Api, name: &str) -> Result<()> {
    create_once(api, SERVICES, &service(name))
}

/// An API server that has too much to do is asked again, and may have created it already.
fn create_once(api: &Api, collection: &str, object: &Value) -> Result<()> {
    let end = Instant::now() + LIMIT;
    loop {
        match api.create(collection, object) {
            Ok(_) => return Ok(()),
            Err(error) => match error.downcast_ref::<Refused>().map(|refused| refused.code) {
                Some(409) => return Ok(()),
                Some(429) | None if Instant::now() < end => (),
                Some(_) | None => return Err(error),
            },
        }
    }
}

/// The first address in the status of a Service; the pool has no others.
fn address(service: &Value) -> Option<Ipv4Addr> {
    match address_of(service)? {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
