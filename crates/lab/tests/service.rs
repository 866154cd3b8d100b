//! A Service's address, placed by hand on node-a, as kube-proxy's stand-in forwards it.
//!
//! ```text
//!   client ────┬──── node-a, holds 192.0.2.200 and fd00::200 ──── pod-a
//!   .100       └──── node-b ───────────────────────────────────── pod-b
//! ```

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use lab::capture::{ArpKind, Capture};
use lab::kube_proxy::{self, Policy, Protocol, ServicePort};
use lab::pod::Backend;
use lab::probe::until_answered;
use lab::{Lan, http};
use nix::net::if_::if_nametoindex;
use rtnetlink::Handle;

const SOON: Duration = Duration::from_secs(2);
const ADDRESSES: [IpAddr; 2] = [
    IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x200)),
];

struct Cluster {
    lan: Lan,
    backends: Vec<Backend>,
}

/// Two nodes with pods; node-a holds the addresses.
fn cluster() -> anyhow::Result<Cluster> {
    let lan = Lan::with_nodes(2)?;
    let backends = lan.nodes.iter().map(Backend::start).collect::<Result<_, _>>()?;
    for address in ADDRESSES {
        lan.node("a").host.add_address(address)?;
    }
    Ok(Cluster { lan, backends })
}

impl Cluster {
    /// Has all nodes forward port 80 to the pods of the given nodes.
    fn forward(&self, policy: Policy, nodes: &[&str]) -> anyhow::Result<()> {
        let ports: Vec<_> = ADDRESSES
            .into_iter()
            .flat_map(|address| [(address, Protocol::Tcp), (address, Protocol::Udp)])
            .map(|(address, protocol)| {
                let pods = self.backends.iter().filter(|pod| nodes.contains(&pod.node()));
                let pods = pods.map(|pod| pod.address(address)).collect();
                ServicePort { address: SocketAddr::new(address, 80), protocol, policy, pods }
            })
            .collect();
        self.lan.nodes.iter().try_for_each(|node| kube_proxy::apply(node, &ports))
    }

    /// The bodies of ten answers to `path`.
    fn ten(&self, address: IpAddr, path: &str) -> anyhow::Result<BTreeSet<String>> {
        let server = SocketAddr::new(address, 80);
        let get = |_| Ok(http::get(&self.lan.client, server, path, SOON)?.body);
        (0..10).map(get).collect()
    }
}

fn lines<const N: usize>(lines: [&str; N]) -> BTreeSet<String> {
    lines.into_iter().map(|line| format!("{line}\n")).collect()
}

#[test]
fn with_policy_local_the_nodes_own_pod_answers_and_sees_the_client() {
    lab::require!();
    let cluster = cluster().unwrap();
    cluster.forward(Policy::Local, &["node-a", "node-b"]).unwrap();
    let clients = [IpAddr::V4(cluster.lan.client.ipv4), IpAddr::V6(cluster.lan.client.ipv6)];
    for (address, client) in ADDRESSES.into_iter().zip(clients) {
        assert_eq!(cluster.ten(address, "/").unwrap(), lines(["hello from pod-a on node-a"]));
        assert_eq!(cluster.ten(address, "/clientip").unwrap(), lines([&client.to_string()]));
        until_answered(&cluster.lan.client, SocketAddr::new(address, 80), SOON).unwrap();
    }
}

#[test]
fn with_policy_local_and_no_pod_on_the_node_nobody_answers() {
    lab::require!();
    let cluster = cluster().unwrap();
    cluster.forward(Policy::Local, &["node-b"]).unwrap();
    let limit = Duration::from_millis(200);
    for address in ADDRESSES {
        let server = SocketAddr::new(address, 80);
        let answer = http::get(&cluster.lan.client, server, "/", limit);
        assert!(answer.is_err(), "{answer:?}");
        until_answered(&cluster.lan.client, server, limit).unwrap_err();
    }
}

#[test]
fn a_node_forwards_for_an_address_that_it_does_not_hold() {
    lab::require!();
    let cluster = cluster().unwrap();
    cluster.forward(Policy::Local, &["node-a", "node-b"]).unwrap();
    // As the product does it: clients are told to come here, and the kernel knows nothing.
    let mac = cluster.lan.node("b").host.mac;
    for address in ADDRESSES {
        let told = cluster.lan.client.netns.netlink(async move |handle: Handle| {
            let link = if_nametoindex("eth0")?;
            let entry = handle.neighbours().add(link, address).link_layer_address(&mac.0);
            Ok(entry.execute().await?)
        });
        told.unwrap();
        assert_eq!(cluster.ten(address, "/").unwrap(), lines(["hello from pod-b on node-b"]));
    }
}

#[test]
fn with_policy_cluster_all_pods_answer_and_see_the_node() {
    lab::require!();
    let cluster = cluster().unwrap();
    cluster.forward(Policy::Cluster, &["node-a", "node-b"]).unwrap();
    for address in ADDRESSES {
        let both = lines(["hello from pod-a on node-a", "hello from pod-b on node-b"]);
        assert_eq!(cluster.ten(address, "/").unwrap(), both);
        let seen = cluster.ten(address, "/clientip").unwrap();
        assert!(!seen.iter().any(|seen| seen.trim().ends_with("100")), "{seen:?}");
        until_answered(&cluster.lan.client, SocketAddr::new(address, 80), SOON).unwrap();
    }
}

#[test]
fn the_switch_sees_who_answers_and_the_client_believes_it() {
    lab::require!();
    let cluster = cluster().unwrap();
    cluster.forward(Policy::Cluster, &["node-a", "node-b"]).unwrap();
    let (address, lan) = (ADDRESSES[0], &cluster.lan);
    let IpAddr::V4(v4) = address else { unreachable!("the first is IPv4") };
    let capture = Capture::start(lan).unwrap();
    assert_eq!(lan.client.neighbour(address).unwrap(), None);
    assert_eq!(capture.who_answers(v4), None);

    cluster.ten(address, "/").unwrap();
    let reply = capture.wait_for(SOON, |arp| arp.kind == ArpKind::Reply && arp.delivered).unwrap();
    assert_eq!((reply.port.as_str(), reply.sender_ip), ("node-a", v4));
    let mac = lan.node("a").host.mac;
    assert_eq!((reply.sender_mac, capture.who_answers(v4)), (mac, Some(mac)));
    let asked = |seen: &[_]| seen.iter().filter(|arp| is_question(arp)).count();
    assert_eq!(asked(&capture.seen()), 1, "a frame at many ports is one frame");
    assert_eq!(lan.client.neighbour(address).unwrap().map(|(mac, _)| mac), Some(mac));

    lan.client.forget_neighbour(address).unwrap();
    assert_eq!(lan.client.neighbour(address).unwrap(), None);
    cluster.ten(address, "/").unwrap();
    assert_eq!(asked(&capture.seen()), 2, "it had to ask again");
}

/// The client asks for the Service's address.
fn is_question(arp: &lab::capture::SeenArp) -> bool {
    arp.port == "client"
        && arp.kind == ArpKind::Request
        && IpAddr::V4(arp.target_ip) == ADDRESSES[0]
}

#[test]
fn a_frame_from_a_crashed_host_is_seen_and_not_delivered() {
    lab::require!();
    let cluster = cluster().unwrap();
    let capture = Capture::start(&cluster.lan).unwrap();
    cluster.lan.crash("client").unwrap();
    let server = SocketAddr::new(ADDRESSES[0], 80);
    until_answered(&cluster.lan.client, server, Duration::from_millis(100)).unwrap_err();
    let question = capture.wait_for(SOON, is_question).unwrap();
    assert!(!question.delivered);
}
