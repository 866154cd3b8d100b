//! Addresses with an Ethernet address of their own: when they move, a port of the switch does, and no
//! host has to learn anything.
//!
//! ```text
//!   client 192.0.2.100     node-a .11   node-b .12   node-c .13     a speaker on each node, which
//!      |                      |            |            |            makes a macvlan on its `eth0`
//! =====+======================+============+============+=====      the switch
//!                             |            |            |
//!                           pod-a        pod-b        pod-c
//! ```
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use lab::capture::SeenArp;
use lab::cluster::{Cluster, ECHO_PORT, HTTP_PORT};
use lab::ferrolb::{Ferrolb, binary};
use lab::probe::until_answered;
use lab::{Mac, Manifests, Node, http, require};

const LIMIT: Duration = Duration::from_secs(60);

/// A cluster whose Service has addresses of both families, with Ethernet addresses of their own, and
/// with `more` in the L2Advertisement.
fn cluster(nodes: u8, more: &str) -> (Cluster, Manifests) {
    let manifests = manifests(more);
    let binary = binary().unwrap();
    let cluster = Cluster::start(nodes, &binary, manifests.path(), "shop/web").unwrap();
    for address in &cluster.addresses {
        until_answered(&cluster.lan.client, SocketAddr::new(*address, ECHO_PORT), LIMIT)
            .unwrap_or_else(|error| panic!("{error:#}\n{}", cluster.logs()));
    }
    (cluster, manifests)
}

fn manifests(more: &str) -> Manifests {
    let manifests = Manifests::dual_stack().unwrap();
    let file = fs::read_dir(manifests.path())
        .unwrap()
        .map(|file| file.unwrap())
        .find(|file| fs::read_to_string(file.path()).unwrap().contains("kind: L2Advertisement"));
    let file = file.unwrap().file_name().into_string().unwrap();
    let own = format!("  virtualMAC: true\n  interfaces: [eth0]\n{more}  ipAddressPools:");
    manifests.edit(&file, |text| text.replace("  ipAddressPools:", &own)).unwrap();
    manifests
}

/// The Ethernet address that the client knows for an address.
fn known(cluster: &Cluster, address: IpAddr) -> Mac {
    let known = cluster.lan.client.neighbour(address).unwrap();
    known.unwrap_or_else(|| panic!("{address} is not known\n{}", cluster.logs())).0
}

/// The place of the node among the nodes to which the switch sends what is for this Ethernet address.
fn place(cluster: &Cluster, mac: Mac) -> Option<usize> {
    let port = cluster.lan.port_of(mac).unwrap()?;
    cluster.lan.nodes.iter().position(|node| node.host.name == port)
}

/// What `ip` says of the macvlans of a node.
fn macvlans(node: &Node) -> String {
    let output = node.host.netns.run(|| {
        let mut command = Command::new("ip");
        command.args(["-o", "-d", "link", "show", "type", "macvlan"]).output()
    });
    String::from_utf8(output.unwrap().stdout).unwrap()
}

#[test]
fn a_failover_moves_a_port_of_the_switch_and_nothing_that_the_client_knows() {
    require!(peers);
    let (cluster, _manifests) = cluster(3, "");
    let macs: Vec<_> = cluster.addresses.iter().map(|address| known(&cluster, *address)).collect();
    assert!(macs[0] != macs[1] && macs.iter().all(|mac| mac.0[0] & 3 == 2), "{macs:?}");
    assert!(cluster.lan.nodes.iter().all(|node| !macs.contains(&node.host.mac)), "{macs:?}");
    for address in &cluster.addresses {
        let server = SocketAddr::new(*address, HTTP_PORT);
        let answer = http::get(&cluster.lan.client, server, "/", LIMIT).unwrap().body;
        assert!(answer.starts_with("hello from pod-"), "{answer}");
    }
    let probe = cluster.probe(LIMIT).unwrap();
    let first = place(&cluster, macs[0]).unwrap();
    let shown = macvlans(&cluster.lan.nodes[first]);
    assert!(shown.contains("ferrolb: 192.0.2.200") && shown.contains("ferrolb: fd00::200"));

    cluster.lan.crash(&cluster.lan.nodes[first].host.name).unwrap();
    let moved = |cluster: &Cluster| place(cluster, macs[0]).is_some_and(|now| now != first);
    cluster.until("another port has the Ethernet address", LIMIT, moved).unwrap();
    probe.wait_answered(LIMIT).unwrap_or_else(|error| panic!("{error:#}\n{}", cluster.logs()));
    let report = probe.finish();
    eprintln!("a crash: {report:#?}");
    for (address, mac) in cluster.addresses.iter().zip(&macs) {
        until_answered(&cluster.lan.client, SocketAddr::new(*address, ECHO_PORT), LIMIT).unwrap();
        assert_eq!(known(&cluster, *address), *mac, "{address}");
    }
    let is_claim = |arp: &&SeenArp| arp.is_claim() && IpAddr::V4(arp.sender_ip) == cluster.address;
    let seen = cluster.capture.seen();
    let others = seen.iter().filter(is_claim).find(|arp| arp.sender_mac != macs[0]);
    assert_eq!(others, None, "nobody ever says anything else");
}

#[test]
fn on_a_planned_move_the_old_node_sends_nothing_after_the_new_one_has_begun() {
    require!(peers);
    let (cluster, _manifests) = cluster(2, "");
    let mac = known(&cluster, cluster.address);
    let probe = cluster.probe(LIMIT).unwrap();
    let first = place(&cluster, mac).unwrap();
    let host = &cluster.lan.nodes[first].host;
    Ferrolb::leave(host, &binary().unwrap()).unwrap();
    let moved = |cluster: &Cluster| place(cluster, mac) == Some(1 - first);
    cluster.until("the other port has the Ethernet address", LIMIT, moved).unwrap();
    probe.wait_answered(LIMIT).unwrap_or_else(|error| panic!("{error:#}\n{}", cluster.logs()));
    assert_eq!(macvlans(&cluster.lan.nodes[first]), "", "it leaves nothing behind");
    let report = probe.finish();
    eprintln!("a planned move: {} of {} lost", report.lost, report.sent);
    let mut ports: Vec<_> = cluster.capture.seen();
    ports.retain(|arp| arp.source == mac);
    let mut ports: Vec<_> = ports.into_iter().map(|arp| arp.port).collect();
    ports.dedup();
    let names = [first, 1 - first].map(|place| cluster.lan.nodes[place].host.name.clone());
    assert_eq!(ports, names, "it is in one place at a time");
}

#[test]
fn what_a_killed_speaker_left_is_cleared_by_the_next_one() {
    require!(peers);
    let (mut cluster, manifests) = cluster(2, "  standInTime: 0s\n");
    let mac = known(&cluster, cluster.address);
    let first = place(&cluster, mac).unwrap();
    cluster.speakers[first].kill().unwrap();
    assert!(macvlans(&cluster.lan.nodes[first]).contains("ferrolb: 192.0.2.200"), "still there");
    let moved = |cluster: &Cluster| place(cluster, mac) == Some(1 - first);
    cluster.until("the other port has the Ethernet address", LIMIT, moved).unwrap();

    let host = &cluster.lan.nodes[first].host;
    let binary = binary().unwrap();
    let next = Ferrolb::start(host, &binary, manifests.path(), &[]).unwrap();
    cluster.speakers[first] = next;
    // Whoever holds the address by then, no other node has anything of it.
    let is_clear = |cluster: &Cluster| {
        let nodes = cluster.lan.nodes.iter().enumerate();
        let with: Vec<_> = nodes.filter(|(_, node)| !macvlans(node).is_empty()).collect();
        matches!(with[..], [(holder, _)] if place(cluster, mac) == Some(holder))
    };
    cluster.until("only the holder has them", LIMIT, is_clear).unwrap();
    until_answered(&cluster.lan.client, cluster.echo(), LIMIT).unwrap();
}

#[test]
fn a_node_that_may_not_make_interfaces_says_so_and_claims_nothing() {
    require!(peers);
    let manifests = manifests("");
    let wrapper = manifests.path().join("wrapper.sh");
    let program = binary().unwrap();
    let script = format!(
        "#!/bin/sh\nexec setpriv --bounding-set -net_admin --inh-caps -net_admin {} \"$@\"\n",
        program.display()
    );
    fs::write(&wrapper, script).unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    let cluster = Cluster::start(1, &wrapper, manifests.path(), "shop/web").unwrap();
    let says = |cluster: &Cluster| cluster.speakers[0].log().contains("needs CAP_NET_ADMIN");
    cluster.until("it says why", LIMIT, says).unwrap();
    assert!(!cluster.speakers[0].log().contains("claimed"), "{}", cluster.logs());
}
