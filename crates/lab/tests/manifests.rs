//! The manifests in `deploy/`, applied to a real API server.
//!
//! ```text
//!   control-plane .90: etcd, kube-apiserver
//! ```

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lab::Lan;
use lab::kube::ControlPlane;
use serde_json::{Value, json};

const BASE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/base");
const ALONE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/overlays/metallb-e2e");
const SCRAPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/overlays/prometheus");

/// What a component may do: who, the verb, `group/resource[/subresource][:name]`, the namespace.
const ALLOWED: [(&str, &str, &str, &str); 16] = [
    ("controller", "watch", "/services", ""),
    ("controller", "update", "/services/status", "shop"),
    ("controller", "create", "/events", "shop"),
    ("controller", "update", "metallb.io/ipaddresspools/status", "metallb-system"),
    ("controller", "create", "coordination.k8s.io/leases", "metallb-system"),
    ("controller", "update", "coordination.k8s.io/leases:metallb-controller", "metallb-system"),
    ("controller", "update", "/secrets:metallb-webhook-cert", "metallb-system"),
    ("controller", "create", "/secrets:memberlist", "metallb-system"),
    (
        "controller",
        "patch",
        "apiextensions.k8s.io/customresourcedefinitions:bgppeers.metallb.io",
        "",
    ),
    ("controller", "create", "authentication.k8s.io/tokenreviews", ""),
    ("speaker", "watch", "discovery.k8s.io/endpointslices", ""),
    ("speaker", "watch", "/nodes", ""),
    ("speaker", "watch", "/pods", "metallb-system"),
    ("speaker", "delete", "metallb.io/servicel2statuses", "metallb-system"),
    ("speaker", "patch", "metallb.io/servicebgpstatuses/status", "metallb-system"),
    ("speaker", "patch", "metallb.io/configurationstates/status", "metallb-system"),
];

/// What it may not.
const FORBIDDEN: [(&str, &str, &str, &str); 10] = [
    ("controller", "update", "/services", "shop"),
    ("controller", "list", "/secrets", "kube-system"),
    ("controller", "update", "/secrets:another", "metallb-system"),
    ("controller", "delete", "coordination.k8s.io/leases:metallb-controller", "metallb-system"),
    ("controller", "update", "metallb.io/ipaddresspools", "metallb-system"),
    (
        "controller",
        "delete",
        "apiextensions.k8s.io/customresourcedefinitions:bgppeers.metallb.io",
        "",
    ),
    ("speaker", "update", "/services/status", "shop"),
    ("speaker", "create", "/secrets", "metallb-system"),
    ("speaker", "list", "/pods", "shop"),
    ("speaker", "create", "/pods", "metallb-system"),
];

fn may(plane: &ControlPlane, (who, verb, what, namespace): (&str, &str, &str, &str)) -> bool {
    let (what, name) = what.split_once(':').unwrap_or((what, ""));
    let mut parts = what.split('/');
    let mut part = || parts.next().unwrap_or_default();
    let (group, resource, subresource) = (part(), part(), part());
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {
            "user": format!("system:serviceaccount:metallb-system:{who}"),
            "resourceAttributes": {
                "verb": verb, "group": group, "resource": resource, "subresource": subresource,
                "name": name, "namespace": namespace,
            },
        },
    });
    let reviews = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    plane.api().create(reviews, &review).unwrap()["status"]["allowed"] == Value::Bool(true)
}

#[test]
fn the_api_server_takes_all_of_it_and_grants_no_more_than_is_needed() {
    lab::require!(kubernetes);
    let lan = Lan::with_nodes(0).unwrap();
    let plane = ControlPlane::start(&lan).unwrap();
    let said = plane.kubectl(&["apply", "-k", BASE]).unwrap();
    assert!(!said.contains("Warning"), "{said}");
    for asked in ALLOWED {
        assert!(may(&plane, asked), "{asked:?} is refused");
    }
    for asked in FORBIDDEN {
        assert!(!may(&plane, asked), "{asked:?} is allowed");
    }
    // What is there is what is written, with every default that the API server adds.
    plane.kubectl(&["diff", "-k", BASE]).unwrap();

    let budget = "/apis/policy/v1/namespaces/metallb-system/poddisruptionbudgets/controller";
    let deployment = "/apis/apps/v1/namespaces/metallb-system/deployments/controller";
    assert_eq!(plane.get(deployment).unwrap()["spec"]["replicas"], 2);
    plane.get(budget).unwrap();
    plane.delete(budget).unwrap();
    plane.kubectl(&["apply", "-k", ALONE]).unwrap();
    assert_eq!(plane.get(deployment).unwrap()["spec"]["replicas"], 1);
    assert_eq!(plane.api().find(budget).unwrap(), None);
}

/// A kind of the Prometheus operator, which takes anything.
fn kind_of_prometheus(kind: &str) -> Value {
    let plural = format!("{}s", kind.to_lowercase());
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.monitoring.coreos.com")},
        "spec": {
            "group": "monitoring.coreos.com", "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": schema},
            }],
        },
    })
}

#[test]
fn prometheus_may_find_what_it_is_to_scrape() {
    lab::require!(kubernetes);
    let lan = Lan::with_nodes(0).unwrap();
    let plane = ControlPlane::start(&lan).unwrap();
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    for kind in ["ServiceMonitor", "PrometheusRule"] {
        plane.api().create(definitions, &kind_of_prometheus(kind)).unwrap();
    }
    let established = ["wait", "--for=condition=Established", "--timeout=60s", "crds", "--all"];
    plane.kubectl(&established).unwrap();
    let said = plane.kubectl(&["apply", "-k", SCRAPED]).unwrap();
    assert!(!said.contains("Warning"), "{said}");
    plane.kubectl(&["diff", "-k", SCRAPED]).unwrap();

    let prometheus = "system:serviceaccount:monitoring:prometheus-k8s";
    let may = |what: &str, namespace: &str| {
        let asked = ["auth", "can-i", "watch", what, "--namespace", namespace, "--as", prometheus];
        plane.kubectl(&asked).is_ok_and(|said| said.trim() == "yes")
    };
    for what in ["pods", "services", "endpoints", "endpointslices.discovery.k8s.io"] {
        assert!(may(what, "metallb-system"), "{what}");
        assert!(!may(what, "shop"), "{what}");
    }
    assert!(!may("secrets", "metallb-system"));
}
