//! Nodes that do not forward: what becomes of addresses when kube-proxy says so, or says nothing.
//!
//! ```text
//!   client ────┬──── node-a: kube-proxy, speaker ──── pod-a
//!   .100       ├──── node-b: kube-proxy, speaker ──── pod-b
//!              ├──── control-plane .90: etcd, kube-apiserver
//!              └──── controller-0 .91
//! ```
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lab::http;
use lab::kube::{Cluster, Installed};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);

const ADVERTISEMENT: &str =
    "/apis/metallb.io/v1beta1/namespaces/metallb-system/l2advertisements/lan";

/// A cluster of two nodes with a Service that both can forward, and its address.
fn installed() -> (Installed, IpAddr) {
    let installed = Installed::start(2, 1).unwrap();
    installed.configure("192.0.2.200-192.0.2.209").unwrap();
    let address = installed.create("web", "Cluster").unwrap();
    installed.cluster.set_endpoints("web", &["a", "b"]).unwrap();
    installed.until("it is answered", || is_answered(&installed.cluster, address)).unwrap();
    (installed, address)
}

fn is_answered(cluster: &Cluster, address: IpAddr) -> bool {
    let server = SocketAddr::new(address, 80);
    http::get(&cluster.lan.client, server, "/", Duration::from_secs(1)).is_ok()
}

/// The place of the node to which the client sends what is for an address, asked anew.
fn owner(cluster: &Cluster, address: IpAddr) -> Option<usize> {
    cluster.lan.client.forget_neighbour(address).ok()?;
    let _ = http::get(&cluster.lan.client, SocketAddr::new(address, 80), "/", LIMIT / 60);
    let (mac, _) = cluster.lan.client.neighbour(address).ok()??;
    cluster.lan.nodes.iter().position(|node| node.host.mac == mac)
}

/// The reason of a speaker's condition `dataPlaneFit`.
fn reason(installed: &Installed, place: usize) -> Option<String> {
    let node = &installed.cluster.lan.nodes[place].host.name;
    let list = "/apis/metallb.io/v1beta1/namespaces/metallb-system/configurationstates";
    let states = installed.cluster.plane.get(list).ok()?;
    let name = format!("speaker-{node}");
    let states = states["items"].as_array()?.clone();
    let state = states.iter().find(|state| state["metadata"]["name"] == name)?;
    let conditions = state["status"]["conditions"].as_array()?;
    let is_ours = |one: &&Value| one["type"] == "dataPlaneFit";
    conditions.iter().find(is_ours)?["reason"].as_str().map(str::to_owned)
}

fn has_reason(installed: &Installed, place: usize, want: &str) {
    let what = format!("the condition of node {place} is {want}");
    let has = || reason(installed, place).as_deref() == Some(want);
    installed.until(&what, has).unwrap();
}

#[test]
fn addresses_leave_a_node_whose_kube_proxy_is_silent_and_stay_when_all_are() {
    lab::require!(kubernetes);
    let (installed, address) = installed();
    let cluster = &installed.cluster;
    let first = owner(cluster, address).unwrap();
    let second = 1 - first;
    has_reason(&installed, first, "Healthy");

    cluster.proxies[first].signal(Signal::SIGSTOP).unwrap();
    let moved = || owner(cluster, address) == Some(second);
    installed.until("the other node has it", moved).unwrap();
    has_reason(&installed, first, "KubeProxySilent");

    // Nobody is healthy: nothing is withdrawn. The rules are still in the kernels.
    cluster.proxies[second].signal(Signal::SIGSTOP).unwrap();
    has_reason(&installed, second, "KubeProxySilent");
    assert!(is_answered(cluster, address), "{}", installed.logs());
    assert_eq!(owner(cluster, address), Some(second));
    // Not even when the holder dies: one that looks broken is better than none.
    cluster.lan.crash(&cluster.lan.nodes[second].host.name).unwrap();
    let taken = || owner(cluster, address) == Some(first);
    installed.until("the last one takes it", taken).unwrap();

    cluster.lan.revive(&cluster.lan.nodes[second].host.name).unwrap();
    cluster.proxies[second].signal(Signal::SIGCONT).unwrap();
    installed.until("the healthy one takes it", moved).unwrap();
    cluster.proxies[first].signal(Signal::SIGCONT).unwrap();
    has_reason(&installed, first, "Healthy");
}

#[test]
fn addresses_leave_a_node_whose_kube_proxy_says_that_it_is_unfit() {
    lab::require!(kubernetes);
    let (installed, address) = installed();
    let cluster = &installed.cluster;
    // kube-proxy says so of a node that will be removed. What ferrolb makes of that itself is off.
    let stay = json!({"spec": {"plannedMoves": {"drain": "stay"}}});
    cluster.plane.patch(ADVERTISEMENT, &stay).unwrap();
    let first = owner(cluster, address).unwrap();
    has_reason(&installed, first, "Healthy");
    let node = format!("/api/v1/nodes/{}", cluster.lan.nodes[first].host.name);
    let taint = json!([{"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}]);
    cluster.plane.patch(&node, &json!({"spec": {"taints": taint}})).unwrap();
    has_reason(&installed, first, "KubeProxyUnhealthy");
    let moved = || owner(cluster, address) == Some(1 - first);
    installed.until("the other node has it", moved).unwrap();

    cluster.plane.patch(&node, &json!({"spec": {"taints": null}})).unwrap();
    has_reason(&installed, first, "Healthy");
}
