//! A node: its cgroups, its files, the boot script, and its end.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};

use super::cgroups::{self, Cgroup};
use super::network::{self, Cable};
use super::place::{self, Host, pod_cidrs};
use super::process::{self, inside};
use crate::kube::ClusterPrograms;

/// How long a node may take to have a process 1.
const BOOT: Duration = Duration::from_secs(10);

/// The client of containerd, where a node has it.
const CTR: &str = "/containerd/ctr";

/// What a node is made from, besides its boot script.
const FILES: [&str; 4] =
    ["10-bridge.conflist", "containerd.toml", "kube-proxy.yaml", "kubelet.yaml"];

/// Writes the configuration of a node, which has its certificates already.
///
/// # Errors
///
/// When a file cannot be written.
pub(super) fn configure(node: u8) -> Result<()> {
    let [ipv4, ipv6] = pod_cidrs(node);
    for file in FILES {
        let source = place::sources().join(file);
        let text = fs::read_to_string(&source);
        let text = text.with_context(|| format!("reading `{}`", source.display()))?;
        let text = text.replace("@PODS_IPV4@", &ipv4).replace("@PODS_IPV6@", &ipv6);
        let path = place::node_directory(node).join("conf").join(file);
        fs::write(&path, text).with_context(|| format!("writing `{}`", path.display()))?;
    }
    Ok(())
}

/// Switches a node on. It has its disk from before, if it had one.
///
/// # Errors
///
/// When it is on, or does not come up; with where its log is.
pub(super) fn start(node: u8, programs: &ClusterPrograms) -> Result<()> {
    let host = Host::Node(node);
    let name = host.name();
    if process::init_of(node).is_some() {
        bail!("`{name}` is on already");
    }
    network::set_cable(node, Cable::In)?;
    let cgroups = cgroups::make(node)?;
    let words: Vec<_> = cgroups
        .iter()
        .map(|Cgroup { controller, directory }| format!("{controller}={}", directory.display()))
        .collect();
    let mut boot = inside(host, "bash");
    boot.arg(place::sources().join("boot.sh")).arg(&name).arg(place::node_directory(node));
    boot.env("CGROUPS", words.join(" "));
    boot.env("KUBERNETES", &programs.kubernetes).env("CONTAINERD", &programs.containerd);
    boot.env("IMAGES", place::images());
    boot.env("NODE_IPS", format!("{},{}", host.ipv4(), host.ipv6()));
    process::start(&name, &mut boot)?;
    let what = format!("`{name}` boots; see `{}`", place::log().join(&name).display());
    process::wait(&what, BOOT, || process::init_of(node).is_some()).map(drop)
}

/// Switches a node off as one pulls a plug: every process on it dies at once, and its link goes
/// down. Its disk stays.
///
/// # Errors
///
/// When something of it stays.
pub(super) fn stop(node: u8) -> Result<()> {
    network::set_cable(node, Cable::Out)?;
    if let Some(init) = process::init_of(node) {
        kill(init, Signal::SIGKILL).with_context(|| format!("killing process {init}"))?;
    }
    process::kill_all_in(&Path::new("/run/netns").join(Host::Node(node).netns()))?;
    cgroups::remove(node)?;
    network::forget(node)
}

/// Unpacks an image of [`place::images`] on a node that is on.
///
/// # Errors
///
/// When containerd does not take it.
pub(super) fn import(node: u8, file: &str) -> Result<()> {
    let Some(mut ctr) = on(node, CTR) else { return Ok(()) };
    ctr.args(["--namespace", "k8s.io", "images", "import"]).arg(format!("/images/{file}"));
    process::quietly(&mut ctr)
}

/// Gives an image a second name on a node that is on.
///
/// # Errors
///
/// When there is none of that name.
pub(super) fn tag(node: u8, reference: &str, second: &str) -> Result<()> {
    let Some(mut ctr) = on(node, CTR) else { return Ok(()) };
    process::quietly(ctr.args(["--namespace", "k8s.io", "images", "tag", reference, second]))
}

/// The names of the images that a node which is on has.
///
/// # Errors
///
/// When containerd does not say.
pub(super) fn images(node: u8) -> Result<Vec<String>> {
    let Some(mut ctr) = on(node, CTR) else { return Ok(Vec::new()) };
    let said = process::said(ctr.args(["--namespace", "k8s.io", "images", "list", "--quiet"]))?;
    Ok(said.lines().map(str::to_owned).collect())
}

/// A program on a node, in all of its namespaces; `None` if the node is off.
fn on(node: u8, program: &str) -> Option<Command> {
    let init = process::init_of(node)?;
    let mut command = process::program("nsenter");
    command.arg("--target").arg(init.to_string()).args(["--all", "--", program]);
    Some(command)
}
