//! What routers are told, and the form for programs.

use serde_json::json;

use planner::assign::Choice;

use super::*;
use crate::cli::fixture;

fn explained(node: Option<&str>) -> Explanation {
    let service = "shop/web".parse().unwrap();
    Explanation::of(
        &Outcome::of(fixture::routed(), Choice::Hashed),
        &service,
        node.map(Into::into).as_ref(),
    )
}

#[test]
fn routers_are_told_from_each_node() {
    let want = "\
192.0.2.200 is announced on the LAN and to routers.
  Node `a` answers for it, on `eth0`: no other node may.
    1. `a`, score 0, hash 124930331f66
  Node `a` tells peer `tor` 192.0.2.200/32, local preference 150, communities 65000:100, \
large communities 65000:1:2.
  Node `b` does not answer for it on the LAN: no endpoint on this node is healthy.
    To mend it: run a pod of the Service on the node, or set `externalTrafficPolicy: Cluster`.
  Node `b` tells no peer: no endpoint on this node is healthy.
    To mend it: run a pod of the Service on the node, or set `externalTrafficPolicy: Cluster`.
  Node `a` does not tell peer `edge`: the BGPAdvertisements for it are for other peers: `main`.
    To mend it: name the peer in the `peers` of one of them, if it is meant to be told.
";
    let text = explained(None).to_string();
    assert_eq!(text.split_once("\n\n").unwrap().1, want);
}

#[test]
fn the_keys_of_the_output_for_programs_stay() {
    let want = json!({
        "service": "shop/web",
        "assignment": {
            "addresses": ["192.0.2.200"], "pool": "main", "because": "inStatus",
            "passed_over": [], "lost": null, "refusal": null,
        },
        "addresses": [{
            "address": "192.0.2.200",
            "shared_with": [],
            "l2": {
                "owner": "a",
                "interfaces": ["eth0"],
                "is_sticky": true,
                "settings_from": null,
                "order": [{
                    "node": "a",
                    "score": 0,
                    "hash": "124930331f66a25224d45fa8fd7b0654b73083d564a1900e223748ba83066103",
                }],
            },
            "bgp": [{
                "peer": "tor",
                "nodes": ["a"],
                "route": {
                    "prefix": "192.0.2.200/32", "next_hop": null, "local_pref": 150,
                    "communities": ["65000:100"], "large_communities": ["65000:1:2"],
                    "ext_communities": [], "as_path_prepend": 0, "med": null,
                    "services": ["shop/web"],
                },
            }],
            "silent": [{
                "protocol": "bgp", "peer": "edge", "nodes": ["a"], "reason": "peerNotSelected",
                "message": "the BGPAdvertisements for it are for other peers: `main`",
                "help": "name the peer in the `peers` of one of them, if it is meant to be told",
            }],
        }],
    });
    assert_eq!(serde_json::to_value(explained(Some("a"))).unwrap(), want);
}

#[test]
fn the_reference_shows_what_is_printed() {
    let explained = explained(Some("a"));
    fixture::check_keys("explain-json.md", &explained);
    fixture::check_reference("explain-json.md", &explained);
}
