//! `cargo xtask cluster`: a whole Kubernetes on this machine, without a container engine.
//!
//! | file | what |
//! | --- | --- |
//! | `place` | names, addresses, directories |
//! | `process` | programs that stay, and how they are found and ended |
//! | `network` | namespaces, and the switch between them |
//! | `pki` | certificates and kubeconfigs |
//! | `control_plane` | etcd, API server, controller manager, scheduler |
//! | `cgroups`, `node` | a machine with containerd, kubelet and kube-proxy |
//! | `images` | the image of Pods, and how images come onto nodes |
//! | `up` | all of it made, and removed |
//! | `session` | a cluster for as long as something is done with it |
//! | `installed` | ferrolb in it, and a Service to look at |
//! | `metallb` | MetalLB's manifests, with ferrolb's images |
//! | `trial` | what `cargo xtask test --cluster` sees |
//!
//! What a node is made of: `tests/kube/node/`. Why: `docs/design/0002-test-clusters.md`.

mod cgroups;
mod control_plane;
mod images;
pub(crate) mod installed;
mod metallb;
mod network;
mod node;
mod pki;
pub(crate) mod place;
mod process;
mod session;
pub(crate) mod trial;
mod up;

pub(crate) use session::Session;

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::Subcommand;

use crate::kube::{self, ClusterPrograms};
use crate::workspace::is_root;
use crate::{packages, rights};

/// Run a whole Kubernetes here: kubelets, containerd, Pods, and a client beside it
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Make it
    Up {
        /// How many nodes it has
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=place::MAX_NODES.into()))]
        nodes: u8,
    },
    /// Remove it, and what is left of one that did not come up
    Down,
    /// Say what runs
    Status,
    /// Run `kubectl` with all rights
    Kubectl {
        /// What `kubectl` is told
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Bring an image onto every node
    Load {
        /// A file with an image, such as `target/ferrolb-image.tar`
        image: PathBuf,
    },
    /// Switch a node off, as one pulls a plug
    NodeStop {
        /// Its name
        node: String,
    },
    /// Switch a node on again, with the disk that it had
    NodeStart {
        /// Its name
        node: String,
    },
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    require_root()?;
    match &arguments.what {
        What::Up { nodes } => {
            let programs = bring()?;
            place::take()?;
            up::make(*nodes, &programs)?;
            eprintln!(
                "    `cargo xtask cluster kubectl get nodes`; the client: `ip netns exec {} bash`",
                place::Host::Client.netns()
            );
        }
        What::Down => up::remove()?,
        What::Status => up::show(&bring()?)?,
        What::Kubectl { arguments } => {
            let mut kubectl = control_plane::kubectl(&bring()?.kubernetes);
            kubectl.stdin(std::process::Stdio::inherit()).args(arguments);
            return Err(kubectl.exec()).context("starting `kubectl`");
        }
        What::Load { image } => images::load(image)?,
        What::NodeStop { node } => node::stop(place::node_named(node)?)?,
        What::NodeStart { node } => node::start(place::node_named(node)?, &bring()?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Brings all that a cluster is made of.
///
/// # Errors
///
/// When that is not possible, with what to install.
pub(crate) fn bring() -> Result<ClusterPrograms> {
    require_root()?;
    cgroups::require()?;
    packages::bring(packages::CLUSTER)?;
    kube::bring_cluster()
}

/// User namespaces do not suffice: nodes mount file systems that only the machine's root may.
fn require_root() -> Result<()> {
    ensure!(is_root(), "a cluster needs root; {}", rights::AS_ROOT);
    Ok(())
}
