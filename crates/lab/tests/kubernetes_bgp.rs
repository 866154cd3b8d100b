//! A Kubernetes cluster whose Services a router knows the way to.
//!
//! ```text
//!   client ────┬──── router-1 .1 (FRR)              198.51.100.0/24 is behind the router
//!   .100       ├──── node-a: kube-proxy, speaker ──── pod-a
//!              ├──── node-b: kube-proxy, speaker ──── pod-b
//!              └──── control-plane .90, controller-0 .91
//! ```

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lab::http;
use lab::kube::{Cluster, Installed};
use lab::routers::{Family, Kind, Neighbor, Router, Setup};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(60);
const STATUSES: &str = "/apis/metallb.io/v1beta1/namespaces/metallb-system/servicebgpstatuses";
const SPEAKER_A: &str =
    "/apis/metallb.io/v1beta1/namespaces/metallb-system/configurationstates/speaker-node-a";

const SETTINGS: &str = "
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: routed, namespace: metallb-system}
spec: {addresses: [198.51.100.0/24]}
---
apiVersion: metallb.io/v1beta1
kind: BGPAdvertisement
metadata: {name: routed, namespace: metallb-system}
spec: {ipAddressPools: [routed]}
---
apiVersion: v1
kind: Secret
metadata: {name: router-1, namespace: metallb-system}
type: kubernetes.io/basic-auth
stringData: {password: swordfish}
---
apiVersion: metallb.io/v1beta2
kind: BGPPeer
metadata: {name: router-1, namespace: metallb-system}
spec:
  myASN: 64512
  peerASN: 64513
  peerAddress: 192.0.2.1
  passwordSecret: {name: router-1}
";

/// The answers of pods to a client, a connection each.
fn answers(cluster: &Cluster, address: IpAddr) -> BTreeSet<String> {
    let server = SocketAddr::new(address, 80);
    let limit = Duration::from_millis(500);
    let get = |_| http::get(&cluster.lan.client, server, "/", limit).ok();
    (0..10).filter_map(get).map(|answer| answer.body.trim().to_owned()).collect()
}

fn next_hops(router: &Router) -> BTreeSet<IpAddr> {
    let table = router.table(Family::V4).unwrap_or_default();
    table.values().flatten().filter_map(|route| route.next_hop).collect()
}

/// Node and peers of every status, as text.
fn told(list: &Value) -> BTreeSet<String> {
    let items = list["items"].as_array().into_iter().flatten();
    items.map(|item| format!("{} {}", item["status"]["node"], item["status"]["peers"])).collect()
}

fn condition(state: &Value) -> (Value, Value) {
    let conditions = state["status"]["conditions"].as_array().into_iter().flatten();
    let mut found = conditions.filter(|one| one["type"] == "bgpSessionsEstablished");
    found.next().map(|one| (one["status"].clone(), one["message"].clone())).unwrap_or_default()
}

#[test]
fn a_router_knows_the_way_to_a_service_and_the_cluster_says_so() {
    lab::require!(kubernetes);
    lab::require!(router Kind::Frr);
    let installed = Installed::start(2, 1).unwrap();
    let (cluster, plane) = (&installed.cluster, &installed.cluster.plane);
    installed.until("settings are let in", || plane.apply(SETTINGS).is_ok()).unwrap();
    let is_down = |state: &Value| {
        let (status, message) = condition(state);
        status == "False"
            && message.as_str().is_some_and(|why| why.contains("router-1 at 192.0.2.1:179"))
    };
    plane.wait(SPEAKER_A, "it says that there is no session", SOON, is_down).unwrap();

    let neighbor = |last| Neighbor {
        password: Some("swordfish"),
        ..Neighbor::new([192, 0, 2, last].into(), 64_512)
    };
    let setup = Setup { asn: 64_513, neighbors: vec![neighbor(11), neighbor(12)] };
    let router = Router::start(&cluster.lan, 1, Kind::Frr, &setup).unwrap();
    cluster.lan.client.route([198, 51, 100, 0].into(), 24, router.host.ipv4.into()).unwrap();
    let is_up = |state: &Value| condition(state).0 == "True";
    plane.wait(SPEAKER_A, "it says that the session stands", SOON, is_up).unwrap();

    let address = installed.create("web", "Local").unwrap();
    cluster.set_endpoints("web", &["a", "b"]).unwrap();
    let both: BTreeSet<IpAddr> = [[192, 0, 2, 11].into(), [192, 0, 2, 12].into()].into();
    installed.until("the router knows both ways", || next_hops(&router) == both).unwrap();
    let all = ["hello from pod-a on node-a", "hello from pod-b on node-b"].map(str::to_owned);
    installed
        .until("both pods answer", || answers(cluster, address) == all.clone().into())
        .unwrap();
    let says = |want: &'static [&'static str]| {
        move |list: &Value| told(list).iter().map(String::as_str).eq(want.iter().copied())
    };
    let of_both = says(&["\"node-a\" [\"router-1\"]", "\"node-b\" [\"router-1\"]"]);
    plane.wait(STATUSES, "both nodes say so", SOON, of_both).unwrap();
    let events = |list: &Value| {
        let items = list["items"].as_array().into_iter().flatten();
        let mut messages = items.filter_map(|event| event["message"].as_str());
        messages.any(|one| one == "announcing from node \"node-b\" with protocol \"bgp\"")
    };
    plane.wait("/api/v1/namespaces/default/events", "an Event says so", SOON, events).unwrap();

    cluster.set_endpoints("web", &["b"]).unwrap();
    let only_b: BTreeSet<IpAddr> = [[192, 0, 2, 12].into()].into();
    installed.until("the router knows one way", || next_hops(&router) == only_b).unwrap();
    let of_b = says(&["\"node-b\" [\"router-1\"]"]);
    plane.wait(STATUSES, "one node says so", SOON, of_b).unwrap();

    // A peer that is for no node any more.
    plane
        .patch(
            "/apis/metallb.io/v1beta2/namespaces/metallb-system/bgppeers/router-1",
            &json!({"spec": {"nodeSelectors": [{"matchLabels": {"kubernetes.io/hostname": "none"}}]}}),
        )
        .unwrap();
    installed.until("the router knows no way", || next_hops(&router).is_empty()).unwrap();
    plane.wait(STATUSES, "nobody says so", SOON, says(&[])).unwrap();
}
