//! A cluster without ferrolb: a control plane, Nodes with a real kube-proxy, and their pods.

use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::control_plane::ControlPlane;
use super::programs;
use crate::pod::{self, Backend};
use crate::process::Process;
use crate::topology::{Lan, Node};

/// A cluster in a network. Dropping it ends all of it.
#[derive(Debug)]
pub struct Cluster {
    /// kube-proxy on each node, in the order of the nodes.
    pub proxies: Vec<Process>,
    /// The API server.
    pub plane: ControlPlane,
    /// What runs in the pods.
    pub backends: Vec<Backend>,
    /// The network.
    pub lan: Lan,
}

impl Cluster {
    /// Starts a control plane and `nodes` nodes with a pod and kube-proxy each. Returns as soon as
    /// kube-proxy has started: the first Service is forwarded about a second later.
    ///
    /// # Errors
    ///
    /// What could not be started.
    pub fn start(nodes: u8) -> Result<Self> {
        let lan = Lan::with_nodes(nodes)?;
        let plane = ControlPlane::start(&lan)?;
        lan.nodes.iter().try_for_each(|node| register(&plane, node))?;
        let config = plane.kubeconfig_for_user("system:kube-proxy")?;
        let config = config.to_string_lossy();
        let proxies = lan.nodes.iter().map(|node| start_proxy(node, &config));
        let proxies = proxies.collect::<Result<_>>()?;
        let backends = lan.nodes.iter().map(Backend::start).collect::<Result<_>>()?;
        Ok(Self { proxies, plane, backends, lan })
    }

    /// Says which nodes' pods are behind a Service of the namespace `default`, as the controller
    /// manager would when the pods of other nodes come or go. One EndpointSlice for each family of
    /// the Service; its ports lead to the servers of [`Backend`].
    ///
    /// # Errors
    ///
    /// When there is no such Service, or it has no cluster address.
    pub fn set_endpoints(&self, service: &str, ready: &[&str]) -> Result<()> {
        let found = self.plane.get(&format!("/api/v1/namespaces/default/services/{service}"))?;
        let families = found["spec"]["ipFamilies"].as_array().context("it has no address")?;
        for family in families {
            let family = family.as_str().context("a family is a word")?;
            let pods = ready.iter().map(|letter| endpoint(self.lan.node(letter), family));
            let slice = json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": {
                    "name": format!("{service}-{}", family.to_lowercase()),
                    "namespace": "default",
                    "labels": {
                        "kubernetes.io/service-name": service,
                        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                    },
                },
                "addressType": family,
                "endpoints": pods.collect::<Vec<_>>(),
                "ports": ports(&found),
            });
            self.plane.api().put(&slice)?;
        }
        Ok(())
    }

    /// Gives a Service an address by hand, as a load balancer's controller does.
    ///
    /// # Errors
    ///
    /// When there is no such Service.
    pub fn set_ingress(&self, service: &str, address: &str) -> Result<()> {
        let path = format!("/api/v1/namespaces/default/services/{service}/status");
        let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": address}]}}});
        self.plane.patch(&path, &status).map(drop)
    }

    /// The first address in a Service's status, once there is one.
    ///
    /// # Errors
    ///
    /// When there is none within `limit`.
    pub fn ingress(&self, service: &str, limit: Duration) -> Result<IpAddr> {
        let path = format!("/api/v1/namespaces/default/services/{service}");
        let found = self.plane.wait(&path, "it has an address", limit, |service| {
            service["status"]["loadBalancer"]["ingress"][0]["ip"].is_string()
        })?;
        let address = &found["status"]["loadBalancer"]["ingress"][0]["ip"];
        Ok(serde_json::from_value(address.clone())?)
    }
}

/// What the kubelet of a node would write when it starts, and the controllers of the cluster after
/// it.
fn register(plane: &ControlPlane, node: &Node) -> Result<()> {
    let host = &node.host;
    let object = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": host.name, "labels": {
            "kubernetes.io/hostname": host.name, "kubernetes.io/os": "linux",
        }},
    });
    plane.api().put(&object)?;
    let path = format!("/api/v1/nodes/{}", host.name);
    // The server marks a new Node as not ready.
    plane.patch(&path, &json!({"spec": {"taints": null}}))?;
    let condition = |kind, status| json!({"type": kind, "status": status, "reason": "Lab"});
    let status = json!({
        "addresses": [
            {"type": "InternalIP", "address": host.ipv4},
            {"type": "InternalIP", "address": host.ipv6},
            {"type": "Hostname", "address": host.name},
        ],
        "conditions": [condition("Ready", "True"), condition("NetworkUnavailable", "False")],
    });
    plane.patch(&format!("{path}/status"), &json!({"status": status})).map(drop)
}

fn start_proxy(node: &Node, kubeconfig: &str) -> Result<Process> {
    let mut proxy = Command::new(programs::find("kube-proxy")?);
    proxy.args([
        "--proxy-mode=nftables",
        // Packets of pods are known by where they come from.
        "--detect-local-mode=InterfaceNamePrefix",
        "--pod-interface-name-prefix=pod",
        // Limits of the whole machine, which cannot be set in a namespace.
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0s",
        "--conntrack-tcp-timeout-close-wait=0s",
    ]);
    proxy.arg(format!("--kubeconfig={kubeconfig}"));
    proxy.arg(format!("--hostname-override={}", node.host.name));
    node.host.netns.spawn(&proxy)
}

fn endpoint(node: &Node, family: &str) -> Value {
    let (v4, v6) = (node.pod.ipv4.to_string(), node.pod.ipv6.to_string());
    json!({
        "addresses": [if family == "IPv4" { v4 } else { v6 }],
        "conditions": {"ready": true, "serving": true, "terminating": false},
        "nodeName": node.host.name,
        "targetRef": {"kind": "Pod", "namespace": "default", "name": node.pod.name},
    })
}

/// The ports of a Service, as its pods have them.
fn ports(service: &Value) -> Vec<Value> {
    let ports = service["spec"]["ports"].as_array().into_iter().flatten();
    let port = |port: &Value| {
        let name = port["name"].as_str().unwrap_or_default();
        json!({"name": name, "port": pod::PORT, "protocol": port["protocol"]})
    };
    ports.map(port).collect()
}
