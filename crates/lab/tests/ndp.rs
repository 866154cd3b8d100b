//! IPv6 addresses of Services, as kernels and others' programs on the LAN see them.
//!
//! ```text
//!   client 192.0.2.100     node-a .11   node-b .12   node-c .13     each with a speaker, but for
//!    fd00::100 |              |            |            |           tests with fewer speakers
//! =============+==============+============+============+=====      bridge, where said with MLD snooping
//!                             |            |            |
//!                           pod-a        pod-b        pod-c
//! ```
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use lab::cluster::{Cluster, ECHO_PORT, HTTP_PORT};
use lab::ferrolb::{Ferrolb, binary};
use lab::kube_proxy::{self, Policy, Protocol, ServicePort};
use lab::pod::Backend;
use lab::probe::until_answered;
use lab::{Host, Lan, Manifests, Probe, http, require};

const LIMIT: Duration = Duration::from_secs(30);

/// The Service's address in IPv6, and the group in which it is asked for.
const ADDRESS: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x200);
const GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0x200);

/// Three nodes, and a Service with addresses of both families, the first of IPv4.
fn dual_stack() -> (Cluster, Manifests) {
    let manifests = Manifests::dual_stack().unwrap();
    let binary = binary().unwrap();
    let cluster = Cluster::start(3, &binary, manifests.path(), "shop/web").unwrap();
    assert_eq!(cluster.addresses[1..], [IpAddr::V6(ADDRESS)]);
    (cluster, manifests)
}

fn echo() -> SocketAddr {
    SocketAddr::new(ADDRESS.into(), ECHO_PORT)
}

/// Waits until the Service's address in IPv6 is answered for.
fn answered(cluster: &Cluster) {
    until_answered(&cluster.lan.client, echo(), LIMIT)
        .unwrap_or_else(|error| panic!("{error:#}\n{}", cluster.logs()));
}

fn owner(cluster: &Cluster) -> String {
    cluster.owner_of(ADDRESS.into()).unwrap().host.name.clone()
}

/// What a program said in the client's namespace.
fn run(host: &Host, program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments);
    let output = host.netns.run(move || command.output()).unwrap();
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8(said).unwrap()
}

#[test]
fn a_service_of_both_families_is_reached_by_both_through_one_node() {
    require!();
    let (cluster, _manifests) = dual_stack();
    answered(&cluster);
    for address in &cluster.addresses {
        let server = SocketAddr::new(*address, HTTP_PORT);
        until_answered(&cluster.lan.client, SocketAddr::new(*address, ECHO_PORT), LIMIT).unwrap();
        let answer = http::get(&cluster.lan.client, server, "/", LIMIT).unwrap();
        let letter = &owner(&cluster)[5..];
        assert_eq!(answer.body, format!("hello from pod-{letter} on node-{letter}\n"));
        assert_eq!(cluster.owner_of(*address).unwrap().host.name, owner(&cluster));
    }
}

#[test]
fn another_node_takes_over_an_ipv6_address_and_keeps_it() {
    require!();
    let (cluster, _manifests) = dual_stack();
    answered(&cluster);
    let probe = Probe::start(&cluster.lan.client, echo()).unwrap();
    probe.wait_answered(LIMIT).unwrap();
    let first = owner(&cluster);
    cluster.lan.crash(&first).unwrap();
    probe.wait_answered(LIMIT).unwrap_or_else(|error| panic!("{error:#}\n{}", cluster.logs()));
    let second = owner(&cluster);
    assert_ne!(second, first);
    cluster.lan.revive(&first).unwrap();
    let index = cluster.lan.nodes.iter().position(|node| node.host.name == first).unwrap();
    cluster
        .until("the returning node yields", LIMIT, |cluster| {
            let log = cluster.speakers[index].log();
            log.lines().any(|line| line.contains("yielded") && line.contains("fd00::200"))
        })
        .unwrap();
    probe.wait_answered(LIMIT).unwrap();
    assert_eq!(owner(&cluster), second, "{}", cluster.logs());
}

#[test]
fn a_host_that_wants_the_address_learns_that_it_is_taken() {
    require!();
    let (cluster, _manifests) = dual_stack();
    answered(&cluster);
    let stranger = cluster.lan.attach("stranger", 90).unwrap();
    let free = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x251);
    assert!(stranger.detect_duplicate(free).unwrap(), "nobody has this one");
    assert!(!stranger.detect_duplicate(ADDRESS).unwrap(), "{}", cluster.logs());
}

#[test]
fn others_programs_find_the_address() {
    require!(peers);
    let (cluster, _manifests) = dual_stack();
    answered(&cluster);
    let mac = cluster.owner_of(ADDRESS.into()).unwrap().host.mac.to_string();
    let client = &cluster.lan.client;
    let said = run(client, "ndisc6", &["-n", "fd00::200", "eth0"]);
    assert!(said.to_lowercase().contains(&mac), "{said}");

    until_answered(client, SocketAddr::new(cluster.address, ECHO_PORT), LIMIT).unwrap();
    let address = cluster.address.to_string();
    let said = run(client, "arping", &["-c", "1", "-w", "10", "-I", "eth0", &address]);
    assert!(said.to_lowercase().contains(&mac), "{said}");
    // Duplicate address detection of RFC 5227: an answer is a failure.
    let said = run(client, "arping", &["-D", "-c", "1", "-w", "10", "-I", "eth0", &address]);
    assert!(said.contains("Received 1 response"), "{said}");
}

#[test]
fn a_switch_that_snoops_lets_the_questions_through() {
    require!(peers);
    let manifests = Manifests::dual_stack().unwrap();
    let lan = Lan::with_nodes(1).unwrap();
    lan.snoop().unwrap();
    let node = &lan.nodes[0];
    let _backend = forward(&lan);
    let binary = binary().unwrap();
    let speaker = Ferrolb::start(&node.host, &binary, manifests.path(), &[]).unwrap();
    let is_member = || lan.memberships().unwrap().contains(&(GROUP, node.host.name.clone()));
    until("the switch knows the group", &is_member, &speaker);
    lan.client.forget_neighbour(ADDRESS.into()).unwrap();
    until_answered(&lan.client, echo(), LIMIT)
        .unwrap_or_else(|error| panic!("{error:#}\n{}", speaker.log()));
    manifests.edit("web.yaml", |text| text.replace("LoadBalancer", "ClusterIP")).unwrap();
    until("the group is left", || !is_member(), &speaker);
}

#[test]
fn a_router_follows_the_address_for_all_behind_it() {
    require!();
    let manifests = Manifests::dual_stack().unwrap();
    let lan = Lan::with_nodes(3).unwrap();
    let _backends = forward(&lan);
    let binary = binary().unwrap();
    let start =
        |letter| Ferrolb::start(&lan.node(letter).host, &binary, manifests.path(), &[]).unwrap();
    let (a, b) = (start("a"), start("b"));
    // No speaker runs on the third node: it is a router, and its pod a client behind it.
    let (router, client) = (&lan.node("c").host, &lan.node("c").pod);
    kube_proxy::apply(lan.node("c"), &[]).unwrap();
    let probe = Probe::start(client, echo()).unwrap();
    let logs = || format!("{}\n---\n{}", a.log(), b.log());
    probe.wait_answered(LIMIT).unwrap_or_else(|error| panic!("{error:#}\n{}", logs()));
    let holder = || {
        let (mac, _) = router.neighbour(ADDRESS.into()).unwrap().unwrap();
        ["a", "b"].into_iter().find(|letter| lan.node(letter).host.mac == mac).unwrap()
    };
    let first = holder();
    lan.crash(&format!("node-{first}")).unwrap();
    probe.wait_answered(LIMIT).unwrap_or_else(|error| panic!("{error:#}\n{}", logs()));
    assert_ne!(holder(), first);
}

#[test]
fn questions_for_other_hosts_wake_nobody() {
    require!();
    let (cluster, _manifests) = dual_stack();
    answered(&cluster);
    let speaker = &cluster.speakers[0];
    let wakeups = || wakeups(speaker, "l2");
    // Until all announcements are over.
    let mut last = (wakeups(), Instant::now());
    cluster
        .until("the thread sleeps", LIMIT, |_| {
            if wakeups() != last.0 {
                last = (wakeups(), Instant::now());
            }
            last.1.elapsed() > Duration::from_secs(2)
        })
        .unwrap();

    let before = wakeups();
    ask(&cluster.lan.client, 110..190);
    cluster
        .until("all were asked for", LIMIT, |cluster| {
            let asked = |arp: &&lab::capture::SeenArp| arp.target_ip.octets()[3] == 189;
            cluster.capture.seen().iter().any(|arp| asked(&arp))
        })
        .unwrap();
    let woken = wakeups() - before;
    assert!(woken <= 8, "{woken} times for 160 addresses of others");

    // One after the other: of many that come at once all may be read after one wake-up.
    let mut pool = (210..240).cycle();
    cluster
        .until("those of the pool wake it", LIMIT, |cluster| {
            pool.next().into_iter().for_each(|last| ask(&cluster.lan.client, last..last + 1));
            wakeups() - before >= woken + 10
        })
        .unwrap();
}

/// The client's kernel looks for these addresses, by ARP and by NDP.
fn ask(client: &Host, last: std::ops::Range<u8>) {
    for family in ["0.0.0.0:0", "[::]:0"] {
        let socket = client.netns.udp(family.parse().unwrap()).unwrap();
        for last in last.clone() {
            let address = match socket.local_addr().unwrap() {
                SocketAddr::V4(_) => format!("192.0.2.{last}"),
                SocketAddr::V6(_) => format!("fd00::{last}"),
            };
            let to = SocketAddr::new(address.parse().unwrap(), 9);
            socket.send_to(b"?", to).unwrap();
        }
    }
}

/// How often a thread of the program has slept.
fn wakeups(speaker: &Ferrolb, thread: &str) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{}/task", speaker.process().id())).unwrap();
    let status = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("status")).unwrap());
    let named = |status: &String| status.starts_with(&format!("Name:\t{thread}\n"));
    let status = status.into_iter().find(named).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.unwrap().trim().parse().unwrap()
}

/// Pods on all nodes, and nodes that pass what is for the Service's address in IPv6 to their own.
fn forward(lan: &Lan) -> Vec<Backend> {
    let backends: Vec<_> = lan.nodes.iter().map(|node| Backend::start(node).unwrap()).collect();
    let port = ServicePort {
        address: echo(),
        protocol: Protocol::Udp,
        policy: Policy::Local,
        pods: backends.iter().map(|backend| backend.address(ADDRESS.into())).collect(),
    };
    lan.nodes.iter().for_each(|node| kube_proxy::apply(node, std::slice::from_ref(&port)).unwrap());
    backends
}

fn until(what: &str, mut condition: impl FnMut() -> bool, speaker: &Ferrolb) {
    let end = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < end, "{what}: not within {LIMIT:?}\n{}", speaker.log());
        thread::sleep(Duration::from_millis(20));
    }
}
