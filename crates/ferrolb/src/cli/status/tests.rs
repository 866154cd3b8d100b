//! What is told of a small cluster.

use serde_json::{Value, from_value, json};

use super::*;

fn service(name: &str, addresses: &[&str]) -> Value {
    let ingress: Vec<_> = addresses.iter().map(|address| json!({"ip": address})).collect();
    json!({
        "metadata": {"name": name, "namespace": "shop", "annotations": {POOL: "main"}},
        "spec": {"type": "LoadBalancer"},
        "status": {"loadBalancer": {"ingress": ingress}},
    })
}

/// A ServiceL2Status of the Service `web`, or a ServiceBGPStatus.
fn announced(node: &str, more: (&str, Value)) -> Value {
    let mut status = json!({"node": node, "serviceName": "web", "serviceNamespace": "shop"});
    status[more.0] = more.1;
    json!({"metadata": {"name": node}, "spec": {}, "status": status})
}

fn seen() -> Seen {
    let to = |peer: &str| ("peers", json!([peer]));
    let condition = |about: &str, status: &str, message: &str| {
        json!({
            "type": about, "status": status, "reason": "Any", "message": message,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    let state = json!({
        "metadata": {"name": "controller"},
        "status": {
            "result": "Invalid", "errorSummary": "configuration error: one",
            "conditions": [condition(
                "poolReconcilerValid", "False", "configuration error: one\ntwo",
            )],
        },
    });
    let speaker = json!({
        "metadata": {"name": "speaker-a"},
        "status": {"result": "Valid", "conditions": [
            condition("configReconcilerValid", "True", ""),
            condition("meshAuthenticated", "True", ""),
            condition("meshRealTime", "False", "late"),
        ]},
    });
    Seen {
        services: from_value(json!([
            service("web", &["192.0.2.1"]),
            service("new", &[]),
            {"metadata": {"name": "inside", "namespace": "shop"}, "spec": {"type": "ClusterIP"}},
        ]))
        .unwrap(),
        l2: vec![from_value(announced("a", ("interfaces", json!([{"name": "eth0"}])))).unwrap()],
        bgp: from_value(json!([announced("b", to("tor-b")), announced("a", to("tor-a"))])).unwrap(),
        configurations: vec![from_value(speaker).unwrap(), from_value(state).unwrap()],
        lease: from_value(json!({"metadata": {}, "spec": {"holderIdentity": "controller-1"}})).ok(),
        notes: vec!["a MetalLB still runs".to_owned()],
    }
}

#[test]
fn people_see_who_announces_what_and_what_is_wrong() {
    let want = "\
SERVICE   ADDRESSES  POOL  LAN       BGP
shop/new  -          main  -         -
shop/web  192.0.2.1  main  a (eth0)  a (tor-a), b (tor-b)

COMPONENT   SETTINGS  ERRORS                    WARNINGS
controller  Invalid   configuration error: one  -
two
speaker-a   Valid     -                         meshRealTime: late
controller in charge: controller-1
note: a MetalLB still runs
";
    let text = Status::of(&seen()).text();
    let squeezed = |text: &str| -> Vec<_> {
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    };
    assert_eq!(squeezed(&text), squeezed(want), "\n{text}");
}

#[test]
fn programs_see_the_same() {
    let status = serde_json::to_value(Status::of(&seen())).unwrap();
    let want = json!({
        "services": [
            {"service": "shop/new", "addresses": [], "pool": "main", "l2": [], "bgp": []},
            {
                "service": "shop/web", "addresses": ["192.0.2.1"], "pool": "main",
                "l2": [{"node": "a", "interfaces": ["eth0"]}],
                "bgp": [{"node": "a", "peers": ["tor-a"]}, {"node": "b", "peers": ["tor-b"]}],
            },
        ],
        "configuration": [
            {
                "component": "controller", "result": "Invalid",
                "errors": ["configuration error: one", "two"], "warnings": [],
            },
            {
                "component": "speaker-a", "result": "Valid",
                "errors": [], "warnings": ["meshRealTime: late"],
            },
        ],
        "controller": "controller-1",
        "notes": ["a MetalLB still runs"],
    });
    assert_eq!(status, want);
}

#[test]
fn all_is_well_when_all_have_addresses_and_settings_are_in_use() {
    assert!(Status::of(&Seen::default()).is_good());
    let mut invalid = seen();
    invalid.services.truncate(1);
    assert!(!Status::of(&invalid).is_good());
    invalid.configurations.clear();
    assert!(Status::of(&invalid).is_good());
    invalid.services = vec![from_value(service("new", &[])).unwrap()];
    assert!(!Status::of(&invalid).is_good());
}
