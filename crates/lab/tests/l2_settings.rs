//! What users say of how an address is held, and that it is so.
//!
//! ```text
//!   client 192.0.2.100     node-a 192.0.2.11   node-b .12   node-c .13     a speaker on each node
//!      |                        |                 |            |
//! =====+========================+=================+============+=====      the switch
//!                               |                 |            |
//!                             pod-a             pod-b        pod-c
//! ```
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::Ipv4Addr;
use std::time::Duration;

use lab::cluster::Cluster;
use lab::ferrolb::binary;
use lab::{Manifests, Probe, require};

const LIMIT: Duration = Duration::from_secs(30);

/// A cluster with an L2Advertisement that says this besides.
fn running(spec: &str) -> (Cluster, Probe, Manifests) {
    let manifests = Manifests::of_examples().unwrap();
    say(&manifests, spec);
    let binary = binary().unwrap();
    let cluster = Cluster::start(3, &binary, manifests.path(), "shop/web").unwrap();
    let probe = cluster.probe(LIMIT).unwrap();
    let all_hear = |cluster: &Cluster| {
        let heard = |log: String| log.matches(" heard").count();
        cluster.speakers.iter().all(|speaker| heard(speaker.log()) >= 2)
    };
    cluster.until("all speakers hear one another", LIMIT, all_hear).unwrap();
    (cluster, probe, manifests)
}

fn say(manifests: &Manifests, spec: &str) {
    let field = "  ipAddressPools:\n";
    let edit = |text: String| text.replace(field, &format!("  {spec}\n{field}"));
    manifests.edit("pool.yaml", edit).unwrap();
}

fn owner(cluster: &Cluster) -> String {
    cluster.owner().unwrap().host.name.clone()
}

#[test]
fn without_time_to_stand_in_the_address_of_a_killed_speaker_moves_at_once() {
    require!();
    let (mut cluster, _probe, _manifests) = running("standInTime: 0s");
    let first = owner(&cluster);
    let index = cluster.index_of(&first).unwrap();
    cluster.speakers[index].kill().unwrap();
    let is_moved = |cluster: &Cluster| owner(cluster) != first;
    cluster.until("the address moves", LIMIT, is_moved).unwrap();
    assert!(!cluster.logs().contains("standing in:"), "{}", cluster.logs());
}

#[test]
fn an_address_that_is_not_sticky_returns_to_the_first_node() {
    require!();
    let (cluster, probe, _manifests) = running("sticky: false");
    let first = owner(&cluster);
    cluster.lan.crash(&first).unwrap();
    let is_moved = |cluster: &Cluster| owner(cluster) != first;
    cluster.until("the address moves", LIMIT, is_moved).unwrap();
    probe.wait_answered(LIMIT).unwrap();
    cluster.lan.revive(&first).unwrap();
    let is_back = |cluster: &Cluster| owner(cluster) == first;
    // It has lost the address to a newer claim, and so is patient for half a minute.
    cluster.until("the address returns", 2 * LIMIT, is_back).unwrap();
    probe.wait_answered(LIMIT).unwrap();
}

#[test]
fn a_node_that_comes_to_be_preferred_takes_the_address() {
    require!();
    let (cluster, probe, manifests) = running("interfaces: [eth0]");
    let first = owner(&cluster);
    let other = if first == "node-a" { "node-b" } else { "node-a" };
    let preferred = format!(
        "preferredNodeSelectors:\n  - weight: 10\n    preference:\n      matchLabels:\n        \
         kubernetes.io/hostname: {other}"
    );
    say(&manifests, &preferred);
    let is_moved = |cluster: &Cluster| owner(cluster) == other;
    cluster.until("the address moves to the preferred node", LIMIT, is_moved).unwrap();
    let report = probe.finish();
    println!("{} packets of {} are lost", report.lost, report.sent);
}

#[test]
fn a_quorum_leaves_the_smaller_side_without_a_holder() {
    require!();
    let (cluster, probe, _manifests) = running("fencing: quorum");
    let first = owner(&cluster);
    let others: Vec<_> = cluster.lan.nodes.iter().map(|node| node.host.name.as_str()).collect();
    let others: Vec<_> = others.into_iter().filter(|name| *name != first).collect();
    cluster.lan.partition(&[&["client", &first], &others]).unwrap();
    let index = cluster.index_of(&first).unwrap();
    let has_dropped =
        |cluster: &Cluster| cluster.speakers[index].log().contains("no majority of the speakers");
    cluster.until("the holder lets go", LIMIT, has_dropped).unwrap();
    let is_quiet = |cluster: &Cluster| cluster.answers().unwrap().is_empty();
    cluster.until("nobody answers the client", LIMIT, is_quiet).unwrap();
    cluster.lan.partition(&[]).unwrap();
    probe.wait_answered(LIMIT).unwrap_or_else(|error| panic!("{error:#}\n{}", cluster.logs()));
    assert_eq!(cluster.answers().unwrap().len(), 1, "{}", cluster.logs());
}

/// A host takes the Service's address for its own, and says so when it asks for another.
fn intrude(cluster: &Cluster) -> lab::Host {
    let intruder = cluster.lan.attach("intruder", 90).unwrap();
    intruder.add_address(cluster.address).unwrap();
    let socket = intruder.netns.udp((cluster.address, 0).into()).unwrap();
    let nobody = Ipv4Addr::new(192, 0, 2, 77);
    socket.send_to(b"who has it?", (nobody, 9)).unwrap();
    intruder
}

#[test]
fn a_holder_defends_its_address_against_a_foreign_host() {
    require!();
    let (cluster, _probe, _manifests) = running("conflictPolicy: defend");
    let first = owner(&cluster);
    let _intruder = intrude(&cluster);
    let index = cluster.index_of(&first).unwrap();
    let is_told =
        |cluster: &Cluster| cluster.speakers[index].log().contains("a host that is no node");
    cluster.until("the conflict is told", LIMIT, is_told).unwrap();
    let is_defended =
        |cluster: &Cluster| cluster.owner().is_ok_and(|owner| owner.host.name == first);
    cluster.until("the client is told where the address is", LIMIT, is_defended).unwrap();
}

#[test]
fn a_holder_that_is_told_to_yield_leaves_the_address_to_a_foreign_host() {
    require!();
    let (cluster, _probe, _manifests) = running("conflictPolicy: yield");
    let _intruder = intrude(&cluster);
    // What the intruder answers is not looked at.
    let is_quiet = |cluster: &Cluster| cluster.answers().unwrap().is_empty();
    cluster.until("no node answers", LIMIT, is_quiet).unwrap();
}
