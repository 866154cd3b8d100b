//! A cluster for as long as something is done with it.

use std::io::Write as _;
use std::mem;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lab::{Mac, Netns};

use super::place::{self, Host};
use super::{control_plane, images, node, process, up};
use crate::kube::ClusterPrograms;

/// A cluster that is removed when this is dropped.
pub(crate) struct Session {
    /// A machine beside the cluster.
    pub(crate) client: lab::Host,
    programs: ClusterPrograms,
    removal: Removal,
}

/// Removes the cluster when it is dropped.
struct Removal;

impl Session {
    /// Makes a cluster.
    ///
    /// # Errors
    ///
    /// When there is one, or when it does not come up.
    pub(crate) fn start(nodes: u8, programs: ClusterPrograms) -> Result<Self> {
        place::take()?;
        let removal = Removal;
        up::make(nodes, &programs)?;
        let host = Host::Client;
        let client = lab::Host {
            netns: Netns::named(&host.netns())?,
            name: host.name(),
            ipv4: host.ipv4(),
            ipv6: host.ipv6(),
            mac: Mac::of(host.ipv4()),
        };
        Ok(Self { client, programs, removal })
    }

    /// Removes the cluster.
    ///
    /// # Errors
    ///
    /// When something of it stays, with its name.
    pub(crate) fn end(self) -> Result<()> {
        mem::forget(self.removal);
        up::remove()
    }

    /// Runs `kubectl` with all rights and returns what it printed.
    ///
    /// # Errors
    ///
    /// When it fails, with its words.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        process::said(control_plane::kubectl(&self.programs.kubernetes).args(arguments))
    }

    /// `kubectl apply` of these manifests.
    ///
    /// # Errors
    ///
    /// When the API server refuses one, with its words.
    pub(crate) fn apply(&self, yaml: &str) -> Result<()> {
        self.feed("apply", &[], yaml)
    }

    /// Deletes what is in these manifests, and waits until it is gone.
    ///
    /// # Errors
    ///
    /// When something stays.
    pub(crate) fn delete(&self, yaml: &str, limit: Duration) -> Result<()> {
        self.feed("delete", &["--wait", &format!("--timeout={}s", limit.as_secs())], yaml)
    }

    /// Runs `kubectl` with manifests as its input.
    fn feed(&self, verb: &str, flags: &[&str], yaml: &str) -> Result<()> {
        let mut kubectl = control_plane::kubectl(&self.programs.kubernetes);
        kubectl.args([verb, "--filename", "-"]).args(flags);
        kubectl.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut kubectl = kubectl.spawn().context("starting `kubectl`")?;
        let mut input = kubectl.stdin.take().context("it has a standard input")?;
        input.write_all(yaml.as_bytes()).context("telling `kubectl`")?;
        drop(input);
        let output = kubectl.wait_with_output().context("waiting for `kubectl`")?;
        let words = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`kubectl {verb}`: {}", words.trim());
        Ok(())
    }

    /// Brings an image onto every node.
    ///
    /// # Errors
    ///
    /// When a node does not take it.
    pub(crate) fn load(&self, image: &std::path::Path) -> Result<()> {
        images::load(image)
    }

    /// The names of the images that a node has.
    ///
    /// # Errors
    ///
    /// When its containerd does not say.
    pub(crate) fn images(&self, node: u8) -> Result<Vec<String>> {
        node::images(node)
    }

    /// Gives an image a second name on every node.
    ///
    /// # Errors
    ///
    /// When there is none of that name.
    pub(crate) fn tag(&self, reference: &str, second: &str) -> Result<()> {
        place::nodes()?.into_iter().try_for_each(|node| node::tag(node, reference, second))
    }

    /// Switches a node off, as one pulls a plug.
    ///
    /// # Errors
    ///
    /// When something of it stays.
    pub(crate) fn stop_node(&self, node: u8) -> Result<()> {
        node::stop(node)
    }

    /// Waits until the API server says of a node that is off that it is not ready; it takes some
    /// seconds until then.
    ///
    /// # Errors
    ///
    /// When it does not say so within `limit`.
    pub(crate) fn wait_lost(&self, node: u8, limit: Duration) -> Result<Duration> {
        let name = Host::Node(node).name();
        let what = format!("`{name}` is not ready");
        process::wait(&what, limit, || !up::is_ready(&name, &self.programs))
    }

    /// Switches a node on again and waits until it is ready.
    ///
    /// # Errors
    ///
    /// When it does not come up.
    pub(crate) fn start_node(&self, node: u8, limit: Duration) -> Result<()> {
        node::start(node, &self.programs)?;
        let name = Host::Node(node).name();
        let what = format!("`{name}` is ready");
        process::wait(&what, limit, || up::is_ready(&name, &self.programs)).map(drop)
    }

    /// Waits until an object has this condition in `kubectl`'s words, such as `rollout status`.
    ///
    /// # Errors
    ///
    /// When it has it not within `limit`.
    pub(crate) fn wait_rolled_out(
        &self,
        object: &str,
        namespace: &str,
        limit: Duration,
    ) -> Result<()> {
        let limit = format!("--timeout={}s", limit.as_secs());
        self.kubectl(&["--namespace", namespace, "rollout", "status", object, &limit]).map(drop)
    }

    /// What one wants to see when something went wrong.
    pub(crate) fn words(&self) -> String {
        let commands: [&[&str]; 4] = [
            &["get", "nodes,pods,services", "--all-namespaces", "--output", "wide"],
            &["get", "events", "--all-namespaces", "--field-selector", "type!=Normal"],
            &[
                "logs",
                "--namespace",
                "metallb-system",
                "--selector",
                "component=controller",
                "--tail",
                "40",
                "--prefix",
            ],
            &[
                "logs",
                "--namespace",
                "metallb-system",
                "--selector",
                "component=speaker",
                "--tail",
                "40",
                "--prefix",
            ],
        ];
        let said = commands.map(|arguments| {
            let said = self.kubectl(arguments).unwrap_or_else(|error| format!("{error:#}\n"));
            format!("--- kubectl {}\n{said}", arguments.join(" "))
        });
        said.concat()
    }
}

impl Drop for Removal {
    fn drop(&mut self) {
        if let Err(error) = up::remove() {
            eprintln!("    the cluster is not removed: {error:#}");
        }
    }
}
