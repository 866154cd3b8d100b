//! ferrolb in a cluster: its roles and definitions, controllers on hosts of their own, and a
//! speaker on every node.
//!
//! There is no kubelet and no controller manager here, so this writes the Pods that those would
//! have written, with their owners, and starts what is in them.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::control_plane::ControlPlane;
use super::gateway::Gateway;
use crate::process::Process;
use crate::topology::{Host, Lan, Node};

/// The namespace of the installation.
pub const NAMESPACE: &str = "metallb-system";

/// The labels by which speakers find one another.
pub const SPEAKER_LABELS: &str = "app=metallb,component=speaker";

/// The port of the webhooks in a controller.
const WEBHOOK_PORT: u16 = 9443;

/// The last part of the address of the first controller's host, `192.0.2.91`.
const FIRST_CONTROLLER: u8 = 91;

/// A program of the installation, in a Pod of its own.
#[derive(Debug)]
pub struct Pod {
    /// The Pod's name.
    pub name: String,
    /// The program.
    pub process: Process,
    /// The host, where the Pod has one of its own.
    pub host: Option<Host>,
}

/// How to start programs of ferrolb.
#[derive(Debug)]
pub struct Installation {
    binary: PathBuf,
    controller: PathBuf,
    speaker: PathBuf,
}

impl Installation {
    /// Brings definitions, roles, the Deployment and the DaemonSet to the API server.
    ///
    /// # Errors
    ///
    /// When the API server refuses one.
    pub fn new(plane: &ControlPlane, binary: &Path) -> Result<Self> {
        Self::by_way_of(plane.address(), plane, binary)
    }

    /// [`Self::new`], for programs that reach the API server at another address, such as that of a
    /// [`Gateway`].
    ///
    /// # Errors
    ///
    /// The same.
    pub fn by_way_of(server: SocketAddr, plane: &ControlPlane, binary: &Path) -> Result<Self> {
        apply_manifests(plane)?;
        let controller = plane.kubeconfig_by_way_of(server, NAMESPACE, "controller")?;
        let speaker = plane.kubeconfig_by_way_of(server, NAMESPACE, "speaker")?;
        Ok(Self { binary: binary.to_owned(), controller, speaker })
    }

    /// Starts the controller number `number`, from 0, on a host of its own. `extra` arguments come
    /// last.
    ///
    /// # Errors
    ///
    /// When its Pod or its host cannot be made.
    pub fn start_controller(
        &self,
        plane: &ControlPlane,
        lan: &Lan,
        number: u8,
        extra: &[&str],
    ) -> Result<Pod> {
        let name = format!("controller-{number}");
        let host = lan.attach(&name, FIRST_CONTROLLER + number)?;
        let owner = owner(plane, "Deployment", "controller")?;
        write_pod(plane, &name, &owner, "controller", &host)?;
        plane.api().put(&webhook_endpoint(&name, &host))?;
        let process = self.run_controller(&name, &host, extra)?;
        Ok(Pod { name, process, host: Some(host) })
    }

    /// Starts the program of a controller's Pod again, after its end.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn restart_controller(&self, pod: &mut Pod, extra: &[&str]) -> Result<()> {
        let host = pod.host.as_ref().context("a controller has a host of its own")?;
        pod.process = self.run_controller(&pod.name, host, extra)?;
        Ok(())
    }

    fn run_controller(&self, name: &str, host: &Host, extra: &[&str]) -> Result<Process> {
        let mut command = Command::new(&self.binary);
        command.env("KUBECONFIG", &self.controller).env("METALLB_BGP_TYPE", "native");
        command.args(["controller", "--namespace", NAMESPACE, "--pod-name", name]);
        command.args(["--ml-secret-name", "metallb-memberlist", "--deployment", "controller"]);
        host.netns.spawn(command.args(extra))
    }

    /// Starts the speaker of a node. `extra` arguments come last.
    ///
    /// # Errors
    ///
    /// When its Pod cannot be made.
    pub fn start_speaker(&self, plane: &ControlPlane, node: &Node, extra: &[&str]) -> Result<Pod> {
        let name = format!("speaker-{}", node.host.name);
        let owner = owner(plane, "DaemonSet", "speaker")?;
        write_pod(plane, &name, &owner, "speaker", &node.host)?;
        let process = self.run_speaker(&name, node, extra)?;
        Ok(Pod { name, process, host: None })
    }

    /// Starts the program of a speaker's Pod again, after its end.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn restart_speaker(&self, pod: &mut Pod, node: &Node, extra: &[&str]) -> Result<()> {
        pod.process = self.run_speaker(&pod.name, node, extra)?;
        Ok(())
    }

    fn run_speaker(&self, name: &str, node: &Node, extra: &[&str]) -> Result<Process> {
        let mut command = Command::new(&self.binary);
        command.env("KUBECONFIG", &self.speaker).env("METALLB_BGP_TYPE", "native");
        command.args(["speaker", "--namespace", NAMESPACE, "--pod-name", name]);
        command.args(["--node-name", &node.host.name, "--ml-labels", SPEAKER_LABELS]);
        command.args(["--ml-bindaddr", &node.host.ipv4.to_string()]);
        node.host.netns.spawn(command.args(extra))
    }
}

/// A cluster with ferrolb in it. Dropping it ends all of it.
#[derive(Debug)]
pub struct Installed {
    /// The speakers, in the order of the nodes.
    pub speakers: Vec<Pod>,
    /// The controllers.
    pub controllers: Vec<Pod>,
    /// How they were started.
    pub installation: Installation,
    /// All the rest.
    pub cluster: Cluster,
}

impl Installed {
    /// Starts a cluster, and in it `controllers` controllers and a speaker on every node.
    ///
    /// # Errors
    ///
    /// What could not be started.
    pub fn start(nodes: u8, controllers: u8) -> Result<Self> {
        let binary = crate::ferrolb::binary()?;
        let cluster = Cluster::start(nodes)?;
        let installation = Installation::new(&cluster.plane, &binary)?;
        Self::start_in(cluster, installation, controllers)
    }

    /// [`Self::start`], with a gateway between the programs and the API server.
    ///
    /// # Errors
    ///
    /// What could not be started.
    pub fn start_behind_gateway(nodes: u8, controllers: u8) -> Result<(Self, Gateway)> {
        let binary = crate::ferrolb::binary()?;
        let cluster = Cluster::start(nodes)?;
        let gateway = cluster.plane.start_gateway()?;
        let installation = Installation::by_way_of(gateway.address(), &cluster.plane, &binary)?;
        Ok((Self::start_in(cluster, installation, controllers)?, gateway))
    }

    fn start_in(cluster: Cluster, installation: Installation, controllers: u8) -> Result<Self> {
        let controllers = (0..controllers)
            .map(|number| installation.start_controller(&cluster.plane, &cluster.lan, number, &[]))
            .collect::<Result<_>>()?;
        let speakers = cluster.lan.nodes.iter();
        let speakers = speakers
            .map(|node| installation.start_speaker(&cluster.plane, node, &[]))
            .collect::<Result<_>>()?;
        Ok(Self { speakers, controllers, installation, cluster })
    }

    /// What all controllers and speakers have logged.
    #[must_use]
    pub fn logs(&self) -> String {
        let pods = self.controllers.iter().chain(&self.speakers);
        pods.map(|pod| format!("--- {}\n{}", pod.name, pod.process.log())).collect()
    }
}

/// The manifests, found from the source tree that this was built in.
#[must_use]
pub fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

/// What a user does: `kubectl apply -k deploy/base`.
fn apply_manifests(plane: &ControlPlane) -> Result<()> {
    let base = deploy().join("base");
    plane.apply(&plane.kubectl(&["kustomize", &base.to_string_lossy()])?)
}

/// A controller behind the Service through which the API server reaches the webhooks.
fn webhook_endpoint(name: &str, host: &Host) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": format!("metallb-webhook-service-{name}"), "namespace": NAMESPACE,
            "labels": {"kubernetes.io/service-name": "metallb-webhook-service"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [host.ipv4], "conditions": {"ready": true}}],
        "ports": [{"name": "webhook", "port": WEBHOOK_PORT, "protocol": "TCP"}],
    })
}

fn labels(component: &str) -> Value {
    json!({"app": "metallb", "component": component})
}

fn container(component: &str) -> Value {
    json!({"name": component, "image": "ferrolb"})
}

fn owner(plane: &ControlPlane, kind: &str, name: &str) -> Result<Value> {
    let plural = format!("{}s", kind.to_lowercase());
    let path = format!("/apis/apps/v1/namespaces/{NAMESPACE}/{plural}/{name}");
    let uid = &plane.get(&path)?["metadata"]["uid"];
    Ok(json!({
        "apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": true,
        "blockOwnerDeletion": true,
    }))
}

/// A Pod that runs and is ready.
fn write_pod(
    plane: &ControlPlane,
    name: &str,
    owner: &Value,
    component: &str,
    host: &Host,
) -> Result<()> {
    let mut spec = json!({"serviceAccountName": component, "containers": [container(component)]});
    if component == "speaker" {
        spec["nodeName"] = host.name.as_str().into();
        spec["hostNetwork"] = true.into();
    }
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": NAMESPACE, "labels": labels(component),
            "ownerReferences": [owner],
        },
        "spec": spec,
    });
    plane.api().put(&pod)?;
    let addresses: [IpAddr; 2] = [host.ipv4.into(), host.ipv6.into()];
    let status = json!({
        "phase": "Running",
        "podIP": addresses[0],
        "podIPs": addresses.map(|ip| json!({"ip": ip})),
        "hostIP": addresses[0],
        "conditions": [{"type": "Ready", "status": "True"}],
    });
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{name}/status");
    plane.patch(&path, &json!({"status": status})).map(drop)
}
