//! What routers are told otherwise, and the form for programs.

use planner::assign::Choice;
use planner::facts::bgp::Community;
use planner::names::NodeName;
use planner::reason::Silence;
use serde_json::json;

use super::*;
use crate::cli::fixture;

fn between(before: &Facts, after: Facts) -> Difference {
    Difference::between(
        &Outcome::of(before.clone(), Choice::Hashed),
        &Outcome::of(after, Choice::Hashed),
    )
}

fn failing(node: &str) -> Difference {
    let before = fixture::routed();
    let mut after = before.clone();
    fail(&[NodeName::from(node)].into(), &mut after);
    between(&before, after)
}

#[test]
fn the_keys_of_the_output_for_programs_stay() {
    let silent = |protocol, nodes: &[&str], silence: Silence| {
        json!({
            "protocol": protocol, "peer": null, "nodes": nodes, "reason": silence.label(),
            "message": silence.to_string(), "help": silence.help(),
        })
    };
    let want = json!({
        "addresses": [],
        "l2": [{
            "address": "192.0.2.200", "services": ["shop/web"], "before": "a", "after": null,
            "effect": "lost", "order_before": ["a"], "order_after": [],
        }],
        "bgp": [{
            "node": "a", "peer": "tor", "withdrawn": ["192.0.2.200/32"], "added": [],
            "changed": [],
        }],
        "unannounced": [{
            "service": "shop/web", "address": "192.0.2.200",
            "reasons": [
                silent("l2", &["a", "b"], Silence::NoHealthyEndpoint),
                silent("bgp", &["b"], Silence::NoHealthyLocalEndpoint),
                silent("bgp", &["a"], Silence::NoSpeaker),
            ],
        }],
    });
    assert_eq!(serde_json::to_value(failing("a")).unwrap(), want);
}

#[test]
fn a_node_that_announces_nothing_may_fail() {
    let difference = failing("b");
    assert_eq!((difference.bgp, difference.unannounced), (Vec::new(), Vec::new()));
}

#[test]
fn a_route_that_changes_only_its_attributes_is_neither_withdrawn_nor_added() {
    let before = fixture::routed();
    let mut after = before.clone();
    for advertisement in after.bgp_advertisements.values_mut() {
        advertisement.communities.insert(Community::Standard(7));
    }
    let text = between(&before, after).to_string();
    let want = "\
ON THE LAN   SERVICE   NODE BEFORE  AFTER  DETAIL
192.0.2.200  shop/web  a            a      stays

NODE  PEER  ROUTE           EFFECT
a     tor   192.0.2.200/32  has other attributes
";
    assert_eq!(text, want);
}

#[test]
fn a_service_that_is_told_to_routers_only_is_still_announced() {
    let before = fixture::routed();
    let mut after = before.clone();
    after.l2_advertisements.clear();
    let difference = between(&before, after);
    assert_eq!(difference.unannounced, []);
    assert!(difference.to_string().contains("is not announced any more"), "{difference}");
}

#[test]
fn an_applied_service_keeps_its_status() {
    let before = fixture::facts(fixture::MANIFESTS);
    let status = fixture::MANIFESTS.lines().find(|line| line.starts_with("status:")).unwrap();
    let mut after = fixture::facts(&fixture::MANIFESTS.replace(status, ""));
    keep_statuses(&before, &mut after);
    assert_eq!(after, before);
}

#[test]
fn nothing_to_change_is_a_wrong_call() {
    #[derive(clap::Parser, Debug)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }
    let parse = |words: &[&str]| <Command as clap::Parser>::try_parse_from(words);
    let error = parse(&["simulate", "-f", "x"]).unwrap_err().to_string();
    assert!(error.contains("--fail <NODE>|--drain <NODE>|--apply <PATH>"), "{error}");
    let words = ["simulate", "-f", "x", "--fail", "a", "--fail", "b", "--apply", "y"];
    let Command { args } = parse(&words).unwrap();
    assert_eq!((args.fail.len(), args.drain.len(), args.apply.len()), (2, 0, 1));
}

#[test]
fn the_reference_shows_what_is_printed() {
    let failing = failing("a");
    fixture::check_keys("simulate-json.md", &failing);
    fixture::check_reference("simulate-json.md", &failing);
}
