//! The output, its flags, and what is written back.

use clap::Parser as _;
use std::fs;
use std::path::Path;

use planner::assign::Choice;
use planner::names::NodeName;
use serde_json::json;

use super::status::write_status;
use super::*;
use crate::cli::fixture;
use crate::parse;
use crate::source::files;

const MANIFESTS: &str = "\
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: main}
spec: {addresses: [192.0.2.7/32]}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: main}
spec: {interfaces: [eth0]}
---
apiVersion: v1
kind: Node
metadata: {name: a}
---
apiVersion: v1
kind: Service
metadata: {name: one}
spec:
  type: LoadBalancer # from outside
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: one, labels: {kubernetes.io/service-name: one}}
addressType: IPv4
endpoints: [{addresses: [10.244.1.2], nodeName: a}]
";

const FULL: &str = "---
apiVersion: v1
kind: Service
metadata: {name: two, annotations: {metallb.io/loadBalancerIPs: 198.51.100.7}}
spec: {type: LoadBalancer}
";

fn outcome(directory: &Path) -> Outcome {
    Outcome::of(parse::facts(&files::read(directory).objects).facts, Choice::Hashed)
}

#[test]
fn the_keys_of_the_output_for_programs_stay() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("all.yaml"), format!("{MANIFESTS}{FULL}")).unwrap();
    let plan = outcome(directory.path()).plan(&NodeName::from("a"));
    let want = json!({
        "node": "a",
        "l2": [{"service": "default/one", "address": "192.0.2.7", "interfaces": ["eth0"]}],
        "bgp": [],
        "silent": [{
            "service": "default/two", "address": null, "protocol": "l2", "peer": null,
            "reason": "noIPAllocated",
        }],
        "assignments": [
            {"service": "default/one", "addresses": ["192.0.2.7"], "pool": "main"},
        ],
        "refusals": [{
            "service": "default/two", "reason": "ipNotAllowed",
            "message": "`198.51.100.7` is in no pool",
        }],
    });
    assert_eq!(serde_json::to_value(plan).unwrap(), want);
}

#[test]
fn flags_say_who_is_there() {
    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }
    let label = "labels: {node.kubernetes.io/exclude-from-external-load-balancers: ''}";
    let excluded =
        MANIFESTS.replace("metadata: {name: a}", &format!("metadata: {{name: a, {label}}}"));
    let rows = [
        ("as it is", MANIFESTS, "", "announces"),
        ("its speaker is alive", MANIFESTS, "--speakers=b,a", "announces"),
        ("only others are", MANIFESTS, "--speakers=b", "is silent"),
        ("excluded", &excluded, "", "is silent"),
        ("excluded, but who cares", &excluded, "--ignore-exclude-lb", "announces"),
    ];
    for (row, manifests, flag, want) in rows {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("all.yaml"), manifests).unwrap();
        let words = ["plan", "-f", "x", flag].into_iter().filter(|word| !word.is_empty());
        let Command { args } = clap::Parser::parse_from(words);
        let mut facts = parse::facts(&files::read(directory.path()).objects).facts;
        args.given.adjust(&mut facts);
        let plan = Outcome::of(facts, Choice::Hashed).plan(&NodeName::from("a")).table();
        assert!(plan.contains(want), "{row}: {plan}");
    }
}

#[test]
fn a_chosen_address_is_written_once() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("all.yaml");
    fs::write(&file, MANIFESTS).unwrap();
    let mut said = Vec::new();
    let first = outcome(directory.path());
    assert!(write_status(directory.path(), &first, &mut said).unwrap());
    let want = format!("pinned default/one to 192.0.2.7 in {}\n", file.display());
    assert_eq!(String::from_utf8(said).unwrap(), want);
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(
        text.replace("status:\n  loadBalancer:\n    ingress:\n    - ip: 192.0.2.7\n", ""),
        MANIFESTS,
        "nothing else changed"
    );

    let mut said = Vec::new();
    let second = outcome(directory.path());
    assert!(write_status(directory.path(), &second, &mut said).unwrap());
    assert_eq!(said, b"", "there is nothing left to write");
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    assert_eq!(second.table(), "");
}

#[test]
fn a_manifest_that_cannot_be_edited_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let json = r#"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "one"},
                       "spec": {"type": "LoadBalancer"}}"#;
    fs::write(directory.path().join("service.json"), json).unwrap();
    let pool = MANIFESTS.split("---").next().unwrap();
    fs::write(directory.path().join("pool.yaml"), pool).unwrap();
    let mut said = Vec::new();
    assert!(!write_status(directory.path(), &outcome(directory.path()), &mut said).unwrap());
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("Service default/one was not pinned: it is written in flow style"));
    assert_eq!(fs::read_to_string(directory.path().join("service.json")).unwrap(), json);

    let mut said = Vec::new();
    let elsewhere = tempfile::tempdir().unwrap();
    assert!(!write_status(elsewhere.path(), &outcome(directory.path()), &mut said).unwrap());
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("no manifest in"), "{said}");
}

#[test]
fn the_reference_shows_what_is_printed() {
    let mut facts = fixture::routed();
    let asks = FULL.replace("name: two", "namespace: shop, name: api");
    facts.services.extend(fixture::facts(&asks).services);
    let plan = Outcome::of(facts, Choice::Hashed).plan(&NodeName::from("a"));
    fixture::check_reference("plan-json.md", &plan);
}

#[test]
fn what_each_router_is_told_is_a_row() {
    let outcome = Outcome::of(fixture::routed(), Choice::Hashed);
    let rows = [
        (
            "a",
            "\
DOES                ADDRESS         SERVICE   DETAIL
announces           192.0.2.200     shop/web  on eth0
tells edge          -               -         no route
tells tor           192.0.2.200/32  shop/web  local preference 150, communities 65000:100, large \
communities 65000:1:2
tells edge nothing  192.0.2.200     shop/web  the BGPAdvertisements for it are for other peers: \
`main`
",
        ),
        (
            "b",
            "\
DOES           ADDRESS      SERVICE   DETAIL
tells edge     -            -         no route
tells tor      -            -         no route
tells no peer  192.0.2.200  shop/web  no endpoint on this node is healthy
is silent      192.0.2.200  shop/web  no endpoint on this node is healthy
",
        ),
    ];
    for (node, want) in rows {
        assert_eq!(outcome.plan(&node.into()).table(), want, "{node}");
    }
}

#[test]
fn what_to_work_on_is_files_or_a_cluster() {
    let parse = |arguments: &[&str]| {
        crate::args::Args::try_parse_from(["ferrolb", "plan"].iter().chain(arguments)).is_ok()
    };
    assert!(parse(&["-f", "a"]));
    assert!(parse(&["--write-status", "a"]));
    assert!(parse(&["-f", "a", "--write-status", "b"]));
    assert!(parse(&[]));
    assert!(parse(&["--context", "home"]));
    assert!(!parse(&["-f", "a", "--context", "home"]));
}
