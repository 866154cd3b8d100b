//! Services that routers know the way to: ferrolb on two or three nodes, and a real router.
//!
//! ```text
//!   client ──┬── router-1 .1 (FRR or GoBGP)        198.51.100.1 is nowhere on the LAN: the client
//!   .100     ├── node-a .11 ── pod-a               knows only that it is behind the router
//!            └── node-b .12 ── pod-b
//! ```
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use lab::cluster::Cluster;
use lab::ferrolb;
use lab::routers::{Family, Kind, Learned, Neighbor, Router, Setup};
use lab::{Manifests, http};

const LIMIT: Duration = Duration::from_secs(60);
const SERVICE: &str = "198.51.100.1/32";
const NODES_ASN: u32 = 64_512;
const ROUTER_ASN: u32 = 64_513;

/// A BGPPeer for router-1; `more` are lines of its spec.
fn peer(more: &str) -> String {
    format!(
        "apiVersion: metallb.io/v1beta2\nkind: BGPPeer\nmetadata:\n  name: router-1\n  \
         namespace: ferrolb-system\nspec:\n  myASN: {NODES_ASN}\n  peerASN: {ROUTER_ASN}\n  \
         peerAddress: 192.0.2.1\n{more}"
    )
}

fn setup(nodes: u8, neighbor: impl Fn(Neighbor) -> Neighbor) -> Setup {
    let address = |number| IpAddr::from([192, 0, 2, 10 + number]);
    let neighbors = (1..=nodes).map(|number| neighbor(Neighbor::new(address(number), NODES_ASN)));
    Setup { asn: ROUTER_ASN, neighbors: neighbors.collect() }
}

/// A cluster and its router, which has learned the way to the Service by `nodes`.
fn start(kind: Kind, nodes: u8, manifests: &Manifests, setup: &Setup) -> (Cluster, Router) {
    let binary = ferrolb::binary().unwrap();
    let cluster = Cluster::start(nodes, &binary, manifests.path(), "shop/web").unwrap();
    let router = Router::start(&cluster.lan, 1, kind, setup).unwrap();
    cluster.lan.client.route([198, 51, 100, 0].into(), 24, router.host.ipv4.into()).unwrap();
    (cluster, router)
}

/// From whom a router has learned a prefix.
fn next_hops(router: &Router, prefix: &str) -> anyhow::Result<BTreeSet<IpAddr>> {
    let table = router.table(Family::V4)?;
    let learned = table.get(prefix).into_iter().flatten();
    Ok(learned.filter_map(|route| route.next_hop).collect())
}

fn until_hops(router: &Router, cluster: &Cluster, prefix: &str, nodes: &[u8]) {
    let want: BTreeSet<_> = nodes.iter().map(|node| IpAddr::from([192, 0, 2, 10 + node])).collect();
    let what = format!("the router knows {prefix} by {want:?}");
    let done = router.until(&what, LIMIT, |router| Ok(next_hops(router, prefix)? == want));
    done.map_err(|error| format!("{error:#}\n{}", cluster.logs())).unwrap();
}

#[test]
fn a_router_learns_the_way_to_a_service_from_every_node() {
    for kind in [Kind::Frr, Kind::Gobgp] {
        lab::require!(router kind);
        let manifests = Manifests::routed(&peer("")).unwrap();
        let (cluster, router) = start(kind, 2, &manifests, &setup(2, |one| one));
        until_hops(&router, &cluster, SERVICE, &[1, 2]);
        let table = router.table(Family::V4).unwrap();
        for learned in &table[SERVICE] {
            let want = Learned {
                next_hop: learned.next_hop,
                as_path: vec![NODES_ASN],
                ..Learned::default()
            };
            assert_eq!(*learned, want, "{kind:?}");
        }
        assert_eq!(table.len(), 1, "{kind:?}: one Service, one route");
    }
}

#[test]
fn clients_reach_the_pods_of_all_nodes_by_the_router() {
    lab::require!(router Kind::Frr);
    let manifests = Manifests::routed(&peer("")).unwrap();
    let (cluster, router) = start(Kind::Frr, 2, &manifests, &setup(2, |one| one));
    let both = [[192, 0, 2, 11].into(), [192, 0, 2, 12].into()].into();
    let has_both = |router: &Router| Ok(router.kernel_next_hops("198.51.100.1")? == both);
    router.until("the kernel has both ways", LIMIT, has_both).unwrap();
    let mut seen = BTreeSet::new();
    // Each request has another port, and so another way; forty by the same would be a miracle.
    for _ in 0..40 {
        let answer = http::get(&cluster.lan.client, cluster.http(), "/", LIMIT).unwrap();
        seen.insert(answer.body);
    }
    let want = ["hello from pod-a on node-a\n", "hello from pod-b on node-b\n"];
    assert_eq!(seen, want.map(String::from).into());
}
