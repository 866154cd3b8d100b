//! What becomes of an address when the interface that it is announced on changes.
//!
//! ```text
//!   client 192.0.2.100     node-a 192.0.2.11   node-b .12   node-c .13     a speaker on each node
//!      |                        | eth0            | eth0       | eth0
//! =====+========================+=================+============+=====      the switch
//! ```
#![expect(clippy::unwrap_used, reason = "a fixture that fails is a failed test")]

use std::fs;
use std::time::Duration;

use lab::cluster::{Cluster, examples};
use lab::ferrolb::binary;
use lab::{Host, Mac, Probe, require};
use nix::net::if_::if_nametoindex;
use rtnetlink::{LinkMessageBuilder, LinkUnspec};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(30);

/// A cluster that announces on `eth0` alone, and a client that is answered.
fn running() -> (Cluster, Probe, TempDir) {
    let manifests = tempfile::tempdir().unwrap();
    for file in fs::read_dir(examples()).unwrap() {
        let file = file.unwrap();
        let text = fs::read_to_string(file.path()).unwrap();
        let text = text.replace("  ipAddressPools:", "  interfaces: [eth0]\n  ipAddressPools:");
        fs::write(manifests.path().join(file.file_name()), text).unwrap();
    }
    let cluster = Cluster::start(3, &binary().unwrap(), manifests.path(), "shop/web").unwrap();
    let probe = Probe::start(&cluster.lan.client, cluster.echo()).unwrap();
    probe.wait_answered(LIMIT).unwrap_or_else(|error| panic!("{error:#}\n{}", cluster.logs()));
    (cluster, probe, manifests)
}

/// The place of the node that answers among the nodes.
fn owner(cluster: &Cluster) -> usize {
    let owner = &cluster.owner().unwrap().host.name;
    cluster.lan.nodes.iter().position(|node| node.host.name == *owner).unwrap()
}

/// Changes `eth0` of a host.
fn change(
    host: &Host,
    change: impl FnOnce(u32) -> LinkMessageBuilder<LinkUnspec> + Send + 'static,
) {
    let changed = host.netns.netlink(async move |handle| {
        let link = change(if_nametoindex("eth0")?).build();
        Ok(handle.link().set(link).execute().await?)
    });
    changed.unwrap();
}

#[test]
fn an_owner_that_loses_carrier_releases_the_address_and_another_takes_it() {
    require!();
    let (cluster, probe, _manifests) = running();
    let first = owner(&cluster);
    let name = &cluster.lan.nodes[first].host.name;
    cluster.lan.carrier_off(name).unwrap();
    probe.wait_answered(LIMIT).unwrap_or_else(|error| panic!("{error:#}\n{}", cluster.logs()));
    let second = owner(&cluster);
    assert_ne!(first, second);
    let has_said = |cluster: &Cluster, what: &str| cluster.speakers[first].log().contains(what);
    cluster.until("it releases", LIMIT, |cluster| has_said(cluster, "released: ")).unwrap();

    cluster.lan.carrier_on(name).unwrap();
    cluster.until("it yields", LIMIT, |cluster| has_said(cluster, "yielded")).unwrap();
    let is_second = |cluster: &Cluster| {
        cluster.owner().is_ok_and(|node| node.host.name == cluster.lan.nodes[second].host.name)
    };
    cluster.until("it is where it works", LIMIT, is_second).unwrap();
}

#[test]
fn an_owner_with_another_ethernet_address_announces_it() {
    require!();
    let (cluster, probe, _manifests) = running();
    let first = owner(&cluster);
    let new = Mac([2, 0, 0, 0, 0x77, 1]);
    change(&cluster.lan.nodes[first].host, move |index| {
        LinkUnspec::new_with_index(index).address(new.0.to_vec())
    });
    let address = cluster.address;
    let is_announcement = |arp: &lab::capture::SeenArp| {
        arp.is_claim() && arp.sender_mac == new && address == arp.sender_ip
    };
    let announced = cluster.capture.wait_for(LIMIT, is_announcement);
    announced.unwrap_or_else(|error| panic!("{error:#}\n{}", cluster.logs()));
    probe.wait_answered(LIMIT).unwrap_or_else(|error| panic!("{error:#}\n{}", cluster.logs()));
}

#[test]
fn an_address_leaves_a_node_whose_interface_got_another_name() {
    require!();
    let (cluster, probe, _manifests) = running();
    let first = owner(&cluster);
    let host = &cluster.lan.nodes[first].host;
    // Kernels before 6.2 rename only what is down.
    change(host, |index| LinkUnspec::new_with_index(index).down());
    change(host, |index| LinkUnspec::new_with_index(index).name(String::from("lan0")).up());
    cluster
        .until("another node answers", LIMIT, |cluster| {
            cluster.owner().is_ok_and(|node| node.host.name != cluster.lan.nodes[first].host.name)
        })
        .unwrap();
    probe.wait_answered(LIMIT).unwrap_or_else(|error| panic!("{error:#}\n{}", cluster.logs()));
    let log = cluster.speakers[first].log();
    assert!(log.contains("of which it has none"), "{log}");
}
