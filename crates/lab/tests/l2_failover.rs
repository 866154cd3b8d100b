//! An address on the LAN, its owner, and what happens to both.
//!
//! ```text
//!   client 192.0.2.100     node-a 192.0.2.11   node-b .12   node-c .13     a speaker on each node
//!      |                        |                 |            |
//! =====+========================+=================+============+=====      the switch
//!                               |                 |            |
//!                       pod-a 10.244.1.2   pod-b 10.244.2.2   pod-c 10.244.3.2
//! ```
//!
//! Every node reads the same manifests; a node forwards to its own pod. The client's kernel is an
//! ordinary one, and its probe sends a packet each millisecond through the address.
#![expect(clippy::unwrap_used, reason = "a fixture that fails is a failed test")]

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use lab::cluster::{Cluster, examples};
use lab::ferrolb::binary;
use lab::{Lan, Manifests, Probe, http, require};

const LIMIT: Duration = Duration::from_secs(20);

fn running(manifests: &Path) -> (Cluster, Probe) {
    let cluster = Cluster::start(3, &binary().unwrap(), manifests, "shop/web").unwrap();
    let probe = cluster.probe(LIMIT).unwrap();
    (cluster, probe)
}

fn owner(cluster: &Cluster) -> String {
    cluster.owner().unwrap().host.name.clone()
}

fn index_of(cluster: &Cluster, node: &str) -> usize {
    cluster.lan.nodes.iter().position(|other| other.host.name == node).unwrap()
}

/// Nodes whose Ethernet address was given for `address` in what was seen from `since` on.
fn claimants(cluster: &Cluster, since: usize) -> Vec<String> {
    let seen = cluster.capture.seen();
    let is_claim = |node: &&lab::Node| {
        seen[since..].iter().any(|arp| {
            arp.is_claim() && arp.sender_ip == cluster.address && arp.sender_mac == node.host.mac
        })
    };
    cluster.lan.nodes.iter().filter(is_claim).map(|node| node.host.name.clone()).collect()
}

#[test]
fn one_node_answers_and_the_service_is_reached_through_it() {
    require!();
    let (cluster, probe) = running(&examples());
    let owner = owner(&cluster);
    let answer = http::get(&cluster.lan.client, cluster.http(), "/", LIMIT).unwrap();
    assert_eq!(answer.body, format!("hello from pod-{0} on node-{0}\n", &owner[5..]));
    assert_eq!(claimants(&cluster, 0), [owner], "nobody else ever answered\n{}", cluster.logs());
    assert!(probe.finish().lost == 0, "nothing is lost once it is answered");
}

#[test]
fn another_node_takes_over_when_the_owner_dies_and_keeps_the_address_when_it_returns() {
    require!();
    let (cluster, probe) = running(&examples());
    let first = owner(&cluster);
    cluster.lan.crash(&first).unwrap();
    probe.wait_answered(LIMIT).unwrap_or_else(|error| panic!("{error:#}\n{}", cluster.logs()));
    let second = owner(&cluster);
    assert_ne!(second, first);

    let seen = cluster.capture.seen().len();
    cluster.lan.revive(&first).unwrap();
    // The returning node hears of the newer claim with the first heartbeat.
    cluster
        .until("the returning node yields", LIMIT, |cluster| {
            cluster.speakers[index_of(cluster, &first)].log().contains("yielded")
        })
        .unwrap();
    let after = probe.finish();
    assert_eq!(owner(&cluster), second, "the address stays where it works\n{}", cluster.logs());
    assert_eq!(claimants(&cluster, seen), [second], "only the holder spoke\n{}", cluster.logs());
    assert_eq!(after.outages.len(), 1, "the return costs nothing: {after:?}\n{}", cluster.logs());
}

#[test]
fn of_two_nodes_the_other_takes_over_although_it_has_nobody_to_ask() {
    require!();
    let manifests = Manifests::of_examples().unwrap();
    let keep = |text: String| text.rsplit_once("---").unwrap().0.to_owned();
    manifests.edit("nodes.yaml", keep).unwrap();
    let cluster = Cluster::start(2, &binary().unwrap(), manifests.path(), "shop/web").unwrap();
    let probe = cluster.probe(LIMIT).unwrap();
    let first = owner(&cluster);
    cluster.lan.crash(&first).unwrap();
    probe.wait_answered(LIMIT).unwrap_or_else(|error| panic!("{error:#}\n{}", cluster.logs()));
    assert_ne!(owner(&cluster), first);
}

#[test]
fn an_address_that_is_taken_away_is_answered_by_nobody() {
    require!();
    let manifests = Manifests::of_examples().unwrap();
    let (cluster, _probe) = running(manifests.path());
    manifests
        .edit("web.yaml", |text| text.replace("type: LoadBalancer", "type: ClusterIP"))
        .unwrap();
    cluster
        .until("nobody answers", LIMIT, |cluster| {
            cluster.lan.client.forget_neighbour(cluster.address).unwrap();
            http::get(&cluster.lan.client, cluster.http(), "/", Duration::from_millis(200)).is_err()
        })
        .unwrap();
    manifests
        .edit("web.yaml", |text| text.replace("type: ClusterIP", "type: LoadBalancer"))
        .unwrap();
    cluster
        .until("it is answered again", LIMIT, |cluster| {
            http::get(&cluster.lan.client, cluster.http(), "/", Duration::from_millis(200)).is_ok()
        })
        .unwrap();
}

#[test]
fn a_file_that_stops_parsing_changes_nothing() {
    require!();
    let manifests = Manifests::of_examples().unwrap();
    let (cluster, probe) = running(manifests.path());
    manifests.edit("web.yaml", |text| format!("{text}\n  - : [broken\n")).unwrap();
    cluster
        .until("every node reports the file", LIMIT, |cluster| {
            cluster.speakers.iter().all(|speaker| speaker.log().contains("web.yaml:"))
        })
        .unwrap();
    let report = probe.finish();
    assert_eq!(report.lost, 0, "the last good state stays in force\n{}", cluster.logs());
}

#[test]
fn an_object_that_becomes_wrong_keeps_meaning_what_it_meant() {
    require!();
    let manifests = Manifests::of_examples().unwrap();
    let (cluster, probe) = running(manifests.path());
    manifests.edit("pool.yaml", |text| text.replace("192.0.2.250", "192.0.2.199")).unwrap();
    cluster
        .until("every node reports the pool", LIMIT, |cluster| {
            cluster.speakers.iter().all(|speaker| speaker.log().contains("spec.addresses[0]"))
        })
        .unwrap();
    let report = probe.finish();
    assert_eq!(report.lost, 0, "the pool stays in force\n{}", cluster.logs());
}

#[test]
fn an_advertisement_for_an_interface_that_the_node_lacks_is_reported_and_not_announced() {
    require!();
    let manifests = Manifests::of_examples().unwrap();
    manifests
        .edit("pool.yaml", |text| {
            text.replace("ipAddressPools:", "interfaces: [eth9]\n  ipAddressPools:")
        })
        .unwrap();
    let lan = Lan::with_nodes(1).unwrap();
    let node = &lan.nodes[0];
    let binary = binary().unwrap();
    let speaker = lab::ferrolb::Ferrolb::start(&node.host, &binary, manifests.path(), &[]).unwrap();
    speaker.process().wait_for_log("eth9", LIMIT).unwrap();
    let log = speaker.log();
    assert!(log.contains("ERROR") && !log.contains("panicked"), "{log}");
    let address = Ipv4Addr::new(192, 0, 2, 200);
    assert!(!log.contains(&format!("claimed address={address}")), "{log}");
}
