//! The network: a bridge, and a namespace for each host, joined to it by a pair of interfaces.
//!
//! Namespaces have names, unlike those of the lab: the cluster outlives the command that made it.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use lab::Mac;

use super::place::{Host, PREFIX, pod_cidrs};
use super::process;

/// Where `ip` keeps names of namespaces.
const NAMES: &str = "/run/netns";

/// Makes the network of a cluster.
///
/// # Errors
///
/// When a namespace or an interface cannot be made.
pub(super) fn make(nodes: u8) -> Result<()> {
    for host in Host::all(nodes) {
        ip(&[&format!("netns add {}", host.netns())])?;
    }
    let switch = Host::Switch.netns();
    ip(&["link set lo up", "link add lan type bridge", "link set lan up"].map(within(&switch)))?;
    for host in Host::all(nodes).skip(1) {
        plug(host, nodes)?;
    }
    Ok(())
}

/// A line for `ip` that is about a namespace.
fn within(netns: &str) -> impl Fn(&str) -> String {
    move |line| format!("-netns {netns} {line}")
}

/// Joins a host to the switch, and tells it the ways to the Pods of the nodes.
fn plug(host: Host, nodes: u8) -> Result<()> {
    let (netns, port) = (host.netns(), host.port());
    let mac = Mac::of(host.ipv4());
    let pair = format!("link add {port} type veth peer name eth0 address {mac} netns {netns}");
    let up = format!("link set {port} master lan up");
    ip(&[pair, up].map(|line| within(&Host::Switch.netns())(&line)))?;
    let mut lines = vec![
        "link set lo up".to_owned(),
        format!("addr add {}/24 dev eth0", host.ipv4()),
        format!("addr add {}/64 dev eth0 nodad", host.ipv6()),
        "link set eth0 up".to_owned(),
    ];
    // The client is no part of the cluster: it reaches Pods through Services only.
    if host != Host::Client {
        for node in (1..=nodes).filter(|node| Host::Node(*node) != host) {
            let [ipv4, ipv6] = pod_cidrs(node);
            lines.push(format!("route add {ipv4} via {}", Host::Node(node).ipv4()));
            lines.push(format!("route add {ipv6} via {}", Host::Node(node).ipv6()));
        }
    }
    // The API server has no way to the addresses of Services, and a node none out of the cluster; a
    // kubelet asks its default route which address it has.
    if matches!(host, Host::Node(_)) {
        lines.push(format!("route add default via {}", Host::ControlPlane.ipv4()));
        lines.push(format!("route add default via {}", Host::ControlPlane.ipv6()));
    }
    let lines: Vec<_> = lines.iter().map(|line| within(&netns)(line)).collect();
    ip(&lines)
}

/// A node's cable is plugged in, or not.
pub(super) fn set_cable(node: u8, state: Cable) -> Result<()> {
    let word = match state {
        Cable::In => "up",
        Cable::Out => "down",
    };
    let line = format!("link set {} {word}", Host::Node(node).port());
    ip(&[within(&Host::Switch.netns())(&line)])
}

/// Whether a frame comes through.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cable {
    /// It does.
    In,
    /// It does not, and the node sees no carrier.
    Out,
}

/// Takes from a node what its programs have put in its network, as a reboot does.
///
/// # Errors
///
/// When the rules cannot be removed.
pub(super) fn forget(node: u8) -> Result<()> {
    let netns = Host::Node(node).netns();
    // There is none if no Pod ever ran.
    let _ = ip(&[within(&netns)("link del cni0")]);
    process::quietly(process::inside(Host::Node(node), "nft").args(["flush", "ruleset"]))
}

/// The namespaces of a cluster that are there.
pub(super) fn left() -> Vec<PathBuf> {
    let names = fs::read_dir(NAMES).into_iter().flatten().flatten();
    let ours = names.filter(|name| name.file_name().to_string_lossy().starts_with(PREFIX));
    ours.map(|name| name.path()).collect()
}

/// Removes what [`left`] names, and all interfaces with it.
///
/// # Errors
///
/// When one stays.
pub(super) fn remove() -> Result<()> {
    for name in left() {
        let name = name.file_name().context("a name has no directory")?.to_string_lossy();
        ip(&[&format!("netns del {name}")])?;
    }
    Ok(())
}

fn ip<L: AsRef<str>>(lines: &[L]) -> Result<()> {
    for line in lines {
        let line = line.as_ref();
        process::quietly(process::program("ip").args(line.split(' ')))?;
    }
    Ok(())
}
