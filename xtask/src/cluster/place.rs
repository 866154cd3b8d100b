//! Names, addresses and directories of the cluster: there is one on a machine.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::workspace::root;

/// Begins the name of every network namespace and every cgroup of the cluster, so that nothing else
/// is ever touched.
pub(super) const PREFIX: &str = "ferrolb-cluster-";

/// Everything that the cluster writes.
const DIRECTORY: &str = "/var/lib/ferrolb-cluster";

/// The API server's port.
pub(super) const PORT: u16 = 6443;

/// Where Services have their cluster addresses.
pub(super) const SERVICE_CIDRS: &str = "10.96.0.0/16,fd00:96::/112";

/// The most nodes that there are addresses for, below the client's.
pub(super) const MAX_NODES: u8 = 8;

/// Something with a network namespace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Host {
    /// The bridge that joins the others; it has no address.
    Switch,
    /// etcd, the API server, the controller manager and the scheduler.
    ControlPlane,
    /// A machine beside the cluster.
    Client,
    /// A node, counted from 1.
    Node(u8),
}

impl Host {
    /// All of a cluster, the switch first.
    pub(super) fn all(nodes: u8) -> impl Iterator<Item = Self> {
        let nodes = (1..=nodes).map(Self::Node);
        [Self::Switch, Self::ControlPlane, Self::Client].into_iter().chain(nodes)
    }

    /// What it is called; Kubernetes knows nodes by it.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Switch => "switch".to_owned(),
            Self::ControlPlane => "control-plane".to_owned(),
            Self::Client => "client".to_owned(),
            Self::Node(number) => format!("node-{number}"),
        }
    }

    /// The name of its network namespace.
    pub(crate) fn netns(self) -> String {
        format!("{PREFIX}{}", self.name())
    }

    /// Its port at the switch, of at most 15 bytes.
    pub(super) fn port(self) -> String {
        format!("to-{}", self.name().replace("control-", ""))
    }

    /// The last part of its addresses.
    fn number(self) -> u8 {
        match self {
            Self::Switch => 0,
            Self::ControlPlane => 1,
            Self::Client => 100,
            Self::Node(number) => 10 + number,
        }
    }

    /// Its IPv4 address, with 24 bits of prefix.
    pub(crate) fn ipv4(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 95, 0, self.number())
    }

    /// Its IPv6 address, with 64 bits of prefix.
    pub(crate) fn ipv6(self) -> Ipv6Addr {
        Ipv6Addr::new(0xfd00, 0x95, 0, 0, 0, 0, 0, self.number().into())
    }
}

/// Where the Pods of a node have their addresses, in IPv4 and IPv6.
pub(super) fn pod_cidrs(node: u8) -> [String; 2] {
    [format!("10.244.{node}.0/24"), format!("fd00:244:0:{node}::/64")]
}

/// The node of this name.
///
/// # Errors
///
/// When the cluster has none.
pub(super) fn node_named(name: &str) -> Result<u8> {
    let found = nodes()?.into_iter().find(|node| Host::Node(*node).name() == name);
    found.with_context(|| format!("the cluster has no node `{name}`"))
}

/// The nodes of the cluster, also those that are off.
///
/// # Errors
///
/// When there is no cluster.
pub(super) fn nodes() -> Result<Vec<u8>> {
    ensure!(exists(), "there is no cluster: `cargo xtask cluster up` makes one");
    let nodes = (1..=MAX_NODES).filter(|node| node_directory(*node).exists());
    Ok(nodes.collect())
}

/// Whether there is a cluster, or what is left of one.
pub(super) fn exists() -> bool {
    directory().exists()
}

/// Takes the one place that there is.
///
/// # Errors
///
/// When a cluster has it.
pub(super) fn take() -> Result<()> {
    if exists() {
        bail!("there is a cluster already: `cargo xtask cluster down` removes it");
    }
    fs::create_dir(directory()).with_context(|| format!("making `{DIRECTORY}`"))?;
    for directory in [pki(), log(), images(), directory().join("etcd")] {
        fs::create_dir(&directory).with_context(|| format!("making `{}`", directory.display()))?;
    }
    Ok(())
}

pub(super) fn directory() -> &'static Path {
    Path::new(DIRECTORY)
}

/// Certificates and kubeconfigs of the control plane.
pub(super) fn pki() -> PathBuf {
    directory().join("pki")
}

/// What the programs of the control plane and the nodes' boot say.
pub(super) fn log() -> PathBuf {
    directory().join("log")
}

/// Images that every node has from its start.
pub(super) fn images() -> PathBuf {
    directory().join("images")
}

/// A kubeconfig with all rights; it works in the namespace of every host.
pub(crate) fn admin_kubeconfig() -> PathBuf {
    pki().join("admin.kubeconfig")
}

/// A node's files: `conf`, `var` (its disk), `log`, `root`.
pub(super) fn node_directory(node: u8) -> PathBuf {
    directory().join(Host::Node(node).name())
}

/// What a node is made with, in the source tree.
pub(super) fn sources() -> PathBuf {
    root().join("tests/kube/node")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_has_a_name_and_an_address_of_its_own() {
        let hosts: Vec<_> = Host::all(MAX_NODES).collect();
        for (index, host) in hosts.iter().enumerate() {
            assert!(host.port().len() <= 15, "`{}` is no name of an interface", host.port());
            for other in &hosts[..index] {
                assert_ne!(host.netns(), other.netns());
                assert_ne!(host.port(), other.port());
                assert_ne!(host.ipv4(), other.ipv4());
            }
        }
    }

    #[test]
    fn a_node_is_known_by_its_number() {
        assert_eq!(Host::Node(2).netns(), "ferrolb-cluster-node-2");
        assert_eq!(Host::Node(2).ipv6().to_string(), "fd00:95::c");
        assert_eq!(pod_cidrs(2), ["10.244.2.0/24", "fd00:244:0:2::/64"]);
    }
}
