//! A LAN that loses frames: how many nodes answer for an address, and for how long.
//!
//! ```text
//!   client 192.0.2.100     node-a 192.0.2.11   node-b .12   node-c .13     a speaker on each node
//!      |                        |                 |            |
//! =====+========================+=================+============+=====      the switch loses frames
//!                               |                 |            |
//!                             pod-a             pod-b        pod-c
//! ```
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::thread;
use std::time::{Duration, Instant};

use lab::cluster::{Cluster, examples};
use lab::ferrolb::{Ferrolb, binary};
use lab::{Fault, Probe, require};

const LIMIT: Duration = Duration::from_secs(30);

/// A cluster whose speakers hear one another, a probe of its Service, and who holds the address.
fn running() -> (Cluster, Probe, String) {
    let cluster = Cluster::start(3, &binary().unwrap(), &examples(), "shop/web").unwrap();
    let probe = cluster.probe(LIMIT).unwrap();
    let all_hear =
        |cluster: &Cluster| cluster.speakers.iter().all(|speaker| count(speaker, " heard") >= 2);
    cluster.until("all speakers hear one another", LIMIT, all_hear).unwrap();
    let owner = owner(&cluster);
    (cluster, probe, owner)
}

fn owner(cluster: &Cluster) -> String {
    cluster.owner().unwrap().host.name.clone()
}

fn count(speaker: &Ferrolb, text: &str) -> usize {
    speaker.log().matches(text).count()
}

/// How often any speaker said so.
fn said(cluster: &Cluster, text: &str) -> usize {
    cluster.speakers.iter().map(|speaker| count(speaker, text)).sum()
}

/// The other nodes.
fn others(cluster: &Cluster, owner: &str) -> Vec<String> {
    let names = cluster.lan.nodes.iter().map(|node| node.host.name.clone());
    names.filter(|name| name != owner).collect()
}

fn answered(cluster: &Cluster, probe: &Probe) {
    probe.wait_answered(LIMIT).unwrap_or_else(|error| panic!("{error:#}\n{}", cluster.logs()));
}

/// Waits until exactly one node answers for the address, and the client's packets with it.
fn until_one_answers(cluster: &Cluster, probe: &Probe, since: &str) {
    let start = Instant::now();
    let is_one = |cluster: &Cluster| cluster.answers().unwrap().len() == 1;
    cluster.until("one node answers", LIMIT, is_one).unwrap();
    println!("one node answers {} ms after {since}", start.elapsed().as_millis());
    answered(cluster, probe);
    // Not by chance. An answer may be late, but not a second one be there.
    for _ in 0..3 {
        assert!(cluster.answers().unwrap().len() <= 1, "{}", cluster.logs());
    }
}

#[test]
fn each_side_of_a_split_lan_is_served_and_one_node_once_it_is_whole() {
    require!();
    let (cluster, probe, first) = running();
    let others = others(&cluster, &first);
    cluster.lan.partition(&[&[&first], &["client", &others[0], &others[1]]]).unwrap();
    answered(&cluster, &probe);
    let second = owner(&cluster);
    assert_ne!(second, first);
    let first_log = cluster.speakers[cluster.index_of(&first).unwrap()].log();
    assert!(!first_log.contains("yielded"), "its own side has nobody else:\n{}", cluster.logs());

    cluster.lan.partition(&[]).unwrap();
    until_one_answers(&cluster, &probe, "the LAN is whole");
    assert_eq!(owner(&cluster), second, "the newer claim stands\n{}", cluster.logs());
    let yields = |cluster: &Cluster| said(cluster, "yielded") == 1;
    cluster.until("the older claim is given up", LIMIT, yields).unwrap();
}

#[test]
fn a_holder_that_others_do_not_hear_is_replaced_by_one_that_they_do() {
    require!();
    let (cluster, probe, first) = running();
    let others = others(&cluster, &first);
    let faults = [Fault::OneWay(&first, &others[0]), Fault::OneWay(&first, &others[1])];
    cluster.lan.lose(&faults).unwrap();
    let is_moved = |cluster: &Cluster| owner(cluster) != first;
    cluster.until("the address moves", LIMIT, is_moved).unwrap();
    until_one_answers(&cluster, &probe, "the link fails in one direction");
    let second = owner(&cluster);
    cluster.lan.lose(&[]).unwrap();
    until_one_answers(&cluster, &probe, "it is whole again");
    assert_eq!(owner(&cluster), second, "{}", cluster.logs());
}

#[test]
fn a_holder_that_hears_nothing_lets_go() {
    require!();
    let (cluster, probe, first) = running();
    cluster.lan.lose(&[Fault::Deaf(&first)]).unwrap();
    let is_moved = |cluster: &Cluster| owner(cluster) != first;
    cluster.until("the address moves", LIMIT, is_moved).unwrap();
    answered(&cluster, &probe);
    let second = owner(&cluster);
    cluster.lan.lose(&[]).unwrap();
    until_one_answers(&cluster, &probe, "it hears again");
    assert_eq!(owner(&cluster), second, "{}", cluster.logs());
}

#[test]
fn an_heir_that_hears_nothing_takes_nothing() {
    require!();
    let (cluster, probe, first) = running();
    let heir = others(&cluster, &first)[0].clone();
    cluster.lan.lose(&[Fault::Deaf(&heir)]).unwrap();
    let index = cluster.index_of(&heir).unwrap();
    let is_deaf = |cluster: &Cluster| count(&cluster.speakers[index], "silent") >= 2;
    cluster.until("it hears nobody", LIMIT, is_deaf).unwrap();
    // Longer than it takes to replace a holder.
    thread::sleep(Duration::from_secs(1));
    assert_eq!(owner(&cluster), first, "{}", cluster.logs());
    assert_eq!(count(&cluster.speakers[index], "claimed:"), 0, "{}", cluster.logs());
    cluster.lan.lose(&[]).unwrap();
    until_one_answers(&cluster, &probe, "it hears again");
    assert_eq!(owner(&cluster), first, "{}", cluster.logs());
}

#[test]
fn without_heartbeats_on_a_whole_lan_nothing_moves() {
    require!();
    let (cluster, probe, first) = running();
    cluster.lan.lose(&[Fault::Heartbeats]).unwrap();
    let all_silent = |cluster: &Cluster| said(cluster, "silent") >= 6;
    cluster.until("nobody hears anybody", LIMIT, all_silent).unwrap();
    thread::sleep(Duration::from_secs(3));
    assert_eq!(owner(&cluster), first, "{}", cluster.logs());
    until_one_answers(&cluster, &probe, "heartbeats are lost");
    cluster.lan.lose(&[]).unwrap();
    let all_heard = |cluster: &Cluster| said(cluster, " heard") >= 12;
    cluster.until("all hear one another", LIMIT, all_heard).unwrap();
    until_one_answers(&cluster, &probe, "heartbeats come again");
    assert_eq!(owner(&cluster), first, "{}", cluster.logs());
    let report = probe.finish();
    println!("{} packets of {} are lost", report.lost, report.sent);
}

#[test]
fn a_mesh_that_loses_a_third_of_its_heartbeats_has_one_holder() {
    require!();
    let (cluster, probe, first) = running();
    cluster.lan.lose(&[Fault::SomeHeartbeats(30)]).unwrap();
    thread::sleep(Duration::from_secs(5));
    until_one_answers(&cluster, &probe, "heartbeats began to be lost");
    println!("{} claims, {} at first", said(&cluster, "claimed:"), first);
    cluster.lan.lose(&[]).unwrap();
    until_one_answers(&cluster, &probe, "none are lost any more");
    let report = probe.finish();
    println!("{} packets of {} are lost", report.lost, report.sent);
}
