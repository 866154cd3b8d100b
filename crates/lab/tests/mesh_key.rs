//! The key by which speakers know each other, and what others can do without it.
//!
//! ```text
//!   client 192.0.2.100     node-a 192.0.2.11   node-b .12   node-c .13     a speaker on each node
//!      |                        |                 |            |
//! =====+========================+=================+============+=====      the switch
//! ```
//!
//! The client is the attacker as well: it sends what the nodes have said, under their addresses.
#![expect(clippy::unwrap_used, reason = "a fixture that fails is a failed test")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use lab::cluster::{Cluster, examples};
use lab::datagram::{Datagram, record};
use lab::ferrolb::binary;
use lab::{Node, require};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(30);
const PORT: u16 = 7946;

/// A cluster in which each node has a file of its own with a secret.
fn cluster(secret_of: impl Fn(&str) -> &'static str) -> (Cluster, TempDir) {
    let keys = tempfile::tempdir().unwrap();
    let flags = |node: &Node| {
        let name = &node.host.name;
        write(keys.path(), name, secret_of(name));
        let file = keys.path().join(name).display().to_string();
        vec![String::from("--mesh-key-file"), file, String::from("--log-level=all")]
    };
    let cluster = Cluster::start_with(3, &binary().unwrap(), &examples(), "shop/web", flags);
    (cluster.unwrap(), keys)
}

fn write(keys: &Path, file: &str, secret: &str) {
    let new = keys.join(".new");
    fs::write(&new, secret).unwrap();
    fs::rename(new, keys.join(file)).unwrap();
}

/// How many lines of the log of speaker `index` have all of `words`.
fn lines(cluster: &Cluster, index: usize, words: &[&str]) -> usize {
    let log = cluster.speakers[index].log();
    log.lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
}

/// The index of the node that answers.
fn owner(cluster: &Cluster) -> usize {
    let owner = &cluster.owner().unwrap().host.name;
    cluster.lan.nodes.iter().position(|node| node.host.name == *owner).unwrap()
}

#[test]
fn a_speaker_with_another_key_is_not_heard_and_those_with_the_same_hear_each_other() {
    require!();
    let (cluster, _keys) = cluster(|node| match node {
        "node-c" => "the secret of a stranger",
        _ => "the secret of all nodes",
    });
    let refused = |index, peer: &str| {
        lines(&cluster, index, &["WARN", &format!("peer={peer}"), "sealed with another key"])
    };
    cluster
        .until("each says of whom it cannot hear", LIMIT, |_| {
            refused(0, "node-c") > 0 && refused(1, "node-c") > 0 && refused(2, "node-a") > 0
        })
        .unwrap();
    cluster
        .until("two hear each other", LIMIT, |cluster| {
            lines(cluster, 0, &["heard peer=node-b"]) + lines(cluster, 1, &["heard peer=node-a"])
                == 2
        })
        .unwrap();
    for (index, peer) in [(0, "node-c"), (1, "node-c"), (2, "node-a"), (2, "node-b")] {
        let heard = lines(&cluster, index, &[&format!(" heard peer={peer}")]);
        assert_eq!(heard, 0, "{index} has heard {peer}\n{}", cluster.logs());
        assert!(refused(index, peer) <= 1, "it is said once\n{}", cluster.logs());
    }
}

#[test]
fn a_key_is_exchanged_node_by_node_without_a_datagram_lost() {
    require!();
    let (cluster, keys) = cluster(|_| "the secret of all nodes");
    let probe = cluster.probe(LIMIT).unwrap();
    let first = owner(&cluster);
    for (index, node) in cluster.lan.nodes.iter().enumerate() {
        write(keys.path(), &node.host.name, "another secret of all nodes");
        cluster
            .until("the key is taken over", LIMIT, |cluster| {
                lines(cluster, index, &["another key of the mesh"]) == 1
            })
            .unwrap();
        // What is said from now on is said with keys that are not all the same.
        record(&cluster.lan, node.host.ipv4, PORT, 20, LIMIT).unwrap();
    }
    let report = probe.finish();
    for index in 0..cluster.speakers.len() {
        assert_eq!(lines(&cluster, index, &["WARN", "not heard"]), 0, "{}", cluster.logs());
    }
    assert_eq!(owner(&cluster), first, "nothing has moved\n{}", cluster.logs());
    assert_eq!(report.lost, 0, "{report:?}\n{}", cluster.logs());

    let used = record(&cluster.lan, cluster.lan.nodes[0].host.ipv4, PORT, 20, LIMIT).unwrap();
    let ids: Vec<_> = used.iter().map(|one| (&one.payload[5..9], &one.payload[9..13])).collect();
    assert!(ids.iter().all(|(used, newest)| used == newest), "the new one is in use: {ids:?}");
}

#[test]
fn forged_and_replayed_datagrams_move_nothing() {
    require!();
    let (cluster, _keys) = cluster(|_| "the secret of all nodes");
    let probe = cluster.probe(LIMIT).unwrap();
    let dead = owner(&cluster);
    let node = &cluster.lan.nodes[dead].host;
    let recorded = record(&cluster.lan, node.ipv4, PORT, 30, LIMIT).unwrap();
    cluster.lan.crash(&node.name).unwrap();
    probe.wait_answered(LIMIT).unwrap_or_else(|error| panic!("{error:#}\n{}", cluster.logs()));
    let heir = owner(&cluster);
    assert_ne!(heir, dead);

    let forged = recorded.iter().cloned().map(|mut one: Datagram| {
        // The lowest byte of its number: it is a later one.
        one.payload[20] = one.payload[20].wrapping_add(1);
        one
    });
    let forged: Vec<_> = forged.collect();
    for _ in 0..5 {
        for datagram in recorded.iter().chain(&forged) {
            datagram.send_from(&cluster.lan.client).unwrap();
        }
    }
    let name = node.name.clone();
    cluster
        .until("they have arrived and are refused", LIMIT, |cluster| {
            let said = |what: &str| {
                let words = [format!("peer={name}"), format!("not heard: {what}")];
                lines(cluster, heir, &[&words[0], &words[1]])
            };
            said("its tag is wrong") == 1 && said("it has come before") > 0
        })
        .unwrap();
    // Both are refused before the engine sees them, so the dead node stays silent.
    assert_eq!(lines(&cluster, heir, &[&format!(" heard peer={name}")]), 1, "{}", cluster.logs());
    let report = probe.finish();
    assert_eq!(owner(&cluster), heir, "nothing has moved\n{}", cluster.logs());
    assert_eq!(report.outages.len(), 1, "that of the crash: {report:?}\n{}", cluster.logs());
}
