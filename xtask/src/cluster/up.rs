//! A cluster is made, looked at, and removed.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::place::{self, Host};
use super::{cgroups, control_plane, images, network, node, pki, process};
use crate::kube::ClusterPrograms;

/// How long nodes may take to be ready.
const READY: Duration = Duration::from_secs(180);

/// Makes a cluster at its place, which was taken before, and waits until its nodes are ready.
///
/// # Errors
///
/// When it does not come up; what there is of it stays to be looked at.
pub(super) fn make(nodes: u8, programs: &ClusterPrograms) -> Result<()> {
    let start = Instant::now();
    let say = |what: &str| eprintln!("    {:5.1} s  {what}", start.elapsed().as_secs_f64());
    let made = (|| {
        images::build_pod()?;
        network::make(nodes)?;
        pki::write(nodes)?;
        say("network and certificates are made");
        control_plane::start(&programs.kubernetes)?;
        say("the API server is ready");
        for node in 1..=nodes {
            node::configure(node)?;
            node::start(node, programs)?;
        }
        say("the nodes boot");
        wait_ready(nodes, programs)
    })();
    made.with_context(|| {
        let directory = place::directory().display();
        format!("the cluster is not up: look in `{directory}`, then `cargo xtask cluster down`")
    })?;
    say("the nodes are ready");
    Ok(())
}

fn wait_ready(nodes: u8, programs: &ClusterPrograms) -> Result<()> {
    let kubectl = || control_plane::kubectl(&programs.kubernetes);
    for node in 1..=nodes {
        let name = Host::Node(node).name();
        process::wait(&format!("`{name}` is ready"), READY, || is_ready(&name, programs))?;
    }
    // Pods are refused before their account is there.
    process::wait("there is an account for Pods", READY, || {
        process::quietly(kubectl().args(["get", "serviceaccount", "default"])).is_ok()
    })
    .map(drop)
}

/// Whether a node is ready, as the API server sees it.
pub(super) fn is_ready(node: &str, programs: &ClusterPrograms) -> bool {
    let ready = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}"#;
    let mut kubectl = control_plane::kubectl(&programs.kubernetes);
    process::said(kubectl.args(["get", "node", node, "--output", ready]))
        .is_ok_and(|said| said == "True")
}

/// Says what runs.
///
/// # Errors
///
/// When there is no cluster, or its API server does not answer.
pub(super) fn show(programs: &ClusterPrograms) -> Result<()> {
    for node in place::nodes()? {
        let state = if process::init_of(node).is_some() { "on" } else { "off" };
        println!("{} is {state}", Host::Node(node).name());
    }
    let mut kubectl = control_plane::kubectl(&programs.kubernetes);
    print!(
        "{}",
        process::said(kubectl.args(["get", "nodes,pods", "--all-namespaces", "-o", "wide"]))?
    );
    Ok(())
}

/// Removes a cluster, however much of one there is.
///
/// # Errors
///
/// When something stays, with its name.
pub(super) fn remove() -> Result<()> {
    // Nodes first: killing their process 1 ends what is in namespaces of their own.
    for node in (1..=place::MAX_NODES).rev() {
        if let Some(init) = process::init_of(node) {
            let _ = nix::sys::signal::kill(init, nix::sys::signal::Signal::SIGKILL);
        }
    }
    for netns in network::left() {
        process::kill_all_in(&netns)?;
    }
    cgroups::remove_all()?;
    network::remove()?;
    let directory = place::directory();
    if place::exists() {
        fs::remove_dir_all(directory)
            .with_context(|| format!("removing `{}`", directory.display()))?;
    }
    let left = network::left();
    ensure!(left.is_empty(), "these stay: {left:?}");
    Ok(())
}
