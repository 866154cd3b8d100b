//! Services that routers know the way to: ferrolb on two or three nodes, and a real router.
//!
//! ```text
//!   client ──┬── router-1 .1 (a real one)        198.51.100.1 is nowhere on the LAN: the client
//!   .100     ├── node-a .11 ── pod-a               knows only that it is behind the router
//!            └── node-b .12 ── pod-b
//! ```
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use lab::cluster::Cluster;
use lab::ferrolb;
use lab::routers::{Family, GracefulRestart, Kind, Learned, Neighbor, Opens, Router, Setup};
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

/// The same by IPv6.
fn peer_v6(more: &str) -> String {
    peer(more).replace("192.0.2.1\n", "fd00::1\n")
}

fn setup_v6(nodes: u8, neighbor: impl Fn(Neighbor) -> Neighbor) -> Setup {
    let address = |number| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 0x10 + number]);
    let numbers = 1..=u16::from(nodes);
    let neighbors = numbers.map(|number| neighbor(Neighbor::new(address(number), NODES_ASN)));
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
    for kind in Kind::ALL {
        lab::require!(router kind);
        let manifests = Manifests::routed(&peer("")).unwrap();
        let (cluster, router) = start(kind, 2, &manifests, &setup(2, |one| one));
        until_hops(&router, &cluster, SERVICE, &[1, 2]);
        let table = router.table(Family::V4).unwrap();
        for learned in &table[SERVICE] {
            let want = Learned {
                next_hop: learned.next_hop,
                // Some routers show the default that they took.
                local_pref: learned.local_pref,
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
    // The others keep their routes to themselves, or hand the kernel one way only.
    for kind in [Kind::Frr, Kind::Bird] {
        lab::require!(router kind);
        let manifests = Manifests::routed(&peer("")).unwrap();
        let (cluster, router) = start(kind, 2, &manifests, &setup(2, |one| one));
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
        assert_eq!(seen, want.map(String::from).into(), "{kind:?}");
    }
}

/// What is asked of a session, on our side as lines of the BGPPeer and on the router's.
struct Case {
    name: &'static str,
    peer: &'static str,
    neighbor: fn(Neighbor) -> Neighbor,
    /// Routers that cannot, and why.
    lacks: &'static [(Kind, &'static str)],
}

#[test]
fn a_session_comes_about_in_every_way_that_it_can_be_asked_for() {
    let cases = [
        Case {
            name: "TCP MD5",
            peer: "  password: swordfish\n",
            neighbor: |one| Neighbor { password: Some("swordfish"), ..one },
            lacks: &[],
        },
        Case {
            name: "GTSM",
            peer: "  ttlSecurity: 1\n",
            neighbor: |one| Neighbor { ttl_security: Some(1), ..one },
            lacks: &[(Kind::Exabgp, "sets no TTL on connections that it accepts")],
        },
        Case {
            name: "the router connects",
            peer: "  passive: true\n  password: swordfish\n",
            neighbor: |one| Neighbor { opens: Opens::Either, password: Some("swordfish"), ..one },
            lacks: &[],
        },
        Case { name: "multihop", peer: "  ebgpMultiHop: true\n", neighbor: |one| one, lacks: &[] },
        Case {
            name: "another AS than the cluster's own",
            peer: "  localASN: 4200000001\n",
            neighbor: |one| Neighbor { asn: 4_200_000_001, ..one },
            lacks: &[],
        },
        Case {
            name: "an AS that is not named",
            peer: "  dynamicASN: external\n",
            neighbor: |one| one,
            lacks: &[],
        },
        Case {
            name: "short timers and an address of its own",
            peer: "  holdTime: 6s\n  keepaliveTime: 2s\n  sourceAddress: 192.0.2.11\n",
            neighbor: |one| one,
            lacks: &[],
        },
    ];
    for kind in Kind::ALL {
        lab::require!(router kind);
        for Case { name, peer: lines, neighbor, lacks } in &cases {
            if let Some((_, why)) = lacks.iter().find(|(who, _)| *who == kind) {
                eprintln!("{kind:?}, {name}: {why}");
                continue;
            }
            eprintln!("{kind:?}, {name}");
            let mut text = peer(lines);
            if lines.contains("dynamicASN") {
                text = text.replace(&format!("  peerASN: {ROUTER_ASN}\n"), "");
            }
            let manifests = Manifests::routed(&text).unwrap();
            let (cluster, router) = start(kind, 1, &manifests, &setup(1, neighbor));
            until_hops(&router, &cluster, SERVICE, &[1]);
        }
    }
}

#[test]
fn without_the_key_of_the_router_there_is_no_session() {
    lab::require!(router Kind::Frr);
    let manifests = Manifests::routed(&peer("  password: guppy\n")).unwrap();
    let neighbor = |one| Neighbor { password: Some("swordfish"), ..one };
    let (cluster, router) = start(Kind::Frr, 1, &manifests, &setup(1, neighbor));
    let gave_up = |cluster: &Cluster| cluster.logs().contains("did not answer in time");
    cluster.until("an attempt came to nothing", LIMIT, gave_up).unwrap();
    assert!(router.table(Family::V4).unwrap().is_empty());
    manifests.write("peers.yaml", &peer("  password: swordfish\n")).unwrap();
    until_hops(&router, &cluster, SERVICE, &[1]);
}

#[test]
fn a_node_without_an_endpoint_of_its_own_is_no_way_to_a_local_service() {
    for kind in Kind::ALL {
        lab::require!(router kind);
        let manifests = Manifests::routed(&peer("")).unwrap();
        let (cluster, router) = start(kind, 2, &manifests, &setup(2, |one| one));
        until_hops(&router, &cluster, SERVICE, &[1, 2]);
        let ready = |is_ready: bool| {
            move |text: String| {
                let lines = "  nodeName: node-a\n  conditions:\n    ready: ";
                let before = format!("{lines}{}", !is_ready);
                text.replace(&before, &format!("{lines}{is_ready}"))
            }
        };
        manifests.edit("web.yaml", ready(false)).unwrap();
        until_hops(&router, &cluster, SERVICE, &[2]);
        manifests.edit("web.yaml", ready(true)).unwrap();
        until_hops(&router, &cluster, SERVICE, &[1, 2]);
        let drops = router.sessions().unwrap().values().map(|session| session.drops).sum::<u64>();
        assert_eq!(drops, 0, "{kind:?}: no session was touched");
    }
}

#[test]
fn attributes_go_with_the_routes_and_change_without_a_reset() {
    for kind in Kind::ALL {
        lab::require!(router kind);
        let inside = peer("").replace(&ROUTER_ASN.to_string(), &NODES_ASN.to_string());
        let manifests = Manifests::routed(&inside).unwrap();
        let setup = Setup { asn: NODES_ASN, ..setup(1, |one| one) };
        let (cluster, router) = start(kind, 1, &manifests, &setup);
        until_hops(&router, &cluster, SERVICE, &[1]);
        manifests
            .edit("pool.yaml", |text| {
                let more = "  localPref: 250\n  aggregationLength: 24\n  communities:\n  \
                            - 64512:7\n  - large:64512:1:2\n";
                format!("{text}{more}")
            })
            .unwrap();
        let aggregate = "198.51.100.0/24";
        until_hops(&router, &cluster, aggregate, &[1]);
        until_hops(&router, &cluster, SERVICE, &[]);
        let learned = router.table(Family::V4).unwrap().remove(aggregate).unwrap();
        let want = Learned {
            next_hop: Some([192, 0, 2, 11].into()),
            local_pref: Some(250),
            communities: ["64512:7".to_owned()].into(),
            large_communities: ["64512:1:2".to_owned()].into(),
            ..Learned::default()
        };
        assert_eq!(learned, [want], "{kind:?}");
        let drops = router.sessions().unwrap().values().map(|session| session.drops).sum::<u64>();
        assert_eq!(drops, 0, "{kind:?}");
    }
}

#[test]
fn one_session_over_ipv6_carries_both_families_with_ipv6_next_hops() {
    // OpenBGPD has no RFC 8950.
    for kind in [Kind::Frr, Kind::Gobgp, Kind::Bird] {
        lab::require!(router kind);
        let dual_stack = peer_v6("  dualStackAddressFamily: true\n");
        let manifests = Manifests::routed_dual_stack(&dual_stack).unwrap();
        let both = |one| Neighbor { families: [Family::V4, Family::V6].into(), ..one };
        let (cluster, router) = start(kind, 1, &manifests, &setup_v6(1, both));
        let client = &cluster.lan.client;
        client.route("2001:db8::".parse().unwrap(), 64, router.host.ipv6.into()).unwrap();
        let node = IpAddr::V6(cluster.lan.node("a").host.ipv6);
        for (family, prefix) in [(Family::V4, SERVICE), (Family::V6, "2001:db8::1/128")] {
            let has_it = |router: &Router| {
                let table = router.table(family)?;
                let learned = table.get(prefix).into_iter().flatten();
                Ok(learned.filter_map(|route| route.next_hop).eq([node]))
            };
            let done = router.until(&format!("{prefix} by {node}"), LIMIT, has_it);
            done.map_err(|error| format!("{error:#}\n{}", cluster.logs())).unwrap();
        }
        if kind == Kind::Gobgp {
            continue;
        }
        for address in &cluster.addresses {
            let server = std::net::SocketAddr::new(*address, 80);
            let what = format!("{kind:?} sends what is for {address} to the pod");
            let answers = |cluster: &Cluster| {
                http::get(&cluster.lan.client, server, "/", Duration::from_secs(1))
                    .is_ok_and(|answer| answer.body == "hello from pod-a on node-a\n")
            };
            cluster.until(&what, LIMIT, answers).unwrap();
        }
    }
}

/// Whether the router has a session with node-a.
fn stands(router: &Router) -> anyhow::Result<bool> {
    let sessions = router.sessions()?;
    Ok(sessions.get(&IpAddr::from([192, 0, 2, 11])).is_some_and(|one| one.is_established))
}

/// Whether it has the route, which it must not lose.
fn has_route(router: &Router) -> anyhow::Result<bool> {
    let has = router.table(Family::V4)?.contains_key(SERVICE);
    assert!(has, "the route is lost\n{}", router.log());
    Ok(has)
}

#[test]
fn a_speaker_that_restarts_keeps_its_routes_where_the_router_helps() {
    // ExaBGP has no table to keep them in.
    for kind in [Kind::Frr, Kind::Gobgp, Kind::Bird, Kind::Openbgpd] {
        lab::require!(router kind);
        eprintln!("{kind:?}");
        let manifests = Manifests::routed(&peer("  enableGracefulRestart: true\n")).unwrap();
        let helps = |one| Neighbor { graceful_restart: GracefulRestart::Helps, ..one };
        let (mut cluster, router) = start(kind, 1, &manifests, &setup(1, helps));
        until_hops(&router, &cluster, SERVICE, &[1]);
        cluster.speakers[0].stop().unwrap();
        let is_kept = |router: &Router| Ok(has_route(router)? && !stands(router)?);
        router.until("the session is gone and the route is there", LIMIT, is_kept).unwrap();
        let binary = ferrolb::binary().unwrap();
        let host = &cluster.lan.node("a").host;
        let again = ferrolb::Ferrolb::start(host, &binary, manifests.path(), &[]).unwrap();
        cluster.speakers[0] = again;
        let is_back = |router: &Router| Ok(has_route(router)? && stands(router)?);
        let done = router.until("the session is there again", LIMIT, is_back);
        done.map_err(|error| format!("{error:#}\n{}", cluster.logs())).unwrap();
        // A crash says nothing either.
        cluster.speakers[0].kill().unwrap();
        router.until("the route outlives a crash", LIMIT, is_kept).unwrap();
    }
}

#[test]
fn a_speaker_that_ends_asks_for_others_then_withdraws_then_says_why() {
    for kind in Kind::ALL {
        lab::require!(router kind);
        let manifests = Manifests::routed(&peer("")).unwrap();
        let (mut cluster, router) = start(kind, 2, &manifests, &setup(2, |one| one));
        until_hops(&router, &cluster, SERVICE, &[1, 2]);
        cluster.speakers[0].process().signal(nix::sys::signal::Signal::SIGTERM).unwrap();
        let is_asked = |router: &Router| {
            let table = router.table(Family::V4)?;
            let mut all = table.get(SERVICE).into_iter().flatten();
            let shut = |one: &str| {
                let plain = one.to_lowercase().replace(['-', '_'], "");
                plain == "gracefulshutdown" || plain == "65535:0"
            };
            Ok(all.any(|route| route.communities.iter().any(|one| shut(one))))
        };
        router.until("it is asked to prefer others", LIMIT, is_asked).unwrap();
        until_hops(&router, &cluster, SERVICE, &[2]);
        cluster.speakers[0].stop().unwrap();
        if kind == Kind::Exabgp {
            // While it hands on what it reads, it takes a NOTIFICATION for a broken UPDATE.
            continue;
        }
        let said = |router: &Router| {
            let sessions = router.sessions()?;
            let one = &sessions[&IpAddr::from([192, 0, 2, 11])];
            let text = "the speaker of this node ends";
            Ok(one.last_reset.contains(text) || router.log().contains(text))
        };
        let done = router.until("it was told why", LIMIT, said);
        done.map_err(|error| format!("{error:#}\n{:?}", router.sessions())).unwrap();
    }
}
