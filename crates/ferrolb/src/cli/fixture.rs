//! A small cluster for tests: nodes a and b, one Service, and what announces it.

use std::fs;
use std::num::NonZeroU32;
use std::path::Path;

use planner::facts::Facts;
use planner::facts::bgp::{BgpAdvertisement, Community, Peer, PeerAddress, RemoteAsn};
use serde::Serialize;
use serde_json::Value;

use crate::parse;
use crate::source::files;

/// Announced on the LAN.
pub(super) const MANIFESTS: &str = "\
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: main}
spec: {addresses: [192.0.2.200-192.0.2.250]}
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
kind: Node
metadata: {name: b}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {type: LoadBalancer, externalTrafficPolicy: Local, ports: [{port: 80}]}
status: {loadBalancer: {ingress: [{ip: 192.0.2.200}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints:
  - {addresses: [10.244.1.2], nodeName: a}
";

/// Checks that the example on a page of the reference is `printed`, or makes it so with `UPDATE=1`.
pub(super) fn check_reference(page: &str, printed: &impl Serialize) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    let file = directory.join(page);
    let text = fs::read_to_string(&file).unwrap();
    let (head, rest) = text.split_once("```json\n").unwrap();
    let (_, tail) = rest.split_once("```\n").unwrap();
    let printed = serde_json::to_string_pretty(printed).unwrap();
    let fresh = format!("{head}```json\n{printed}\n```\n{tail}");
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        fs::write(file, fresh).unwrap();
    } else {
        assert_eq!(text, fresh, "run UPDATE=1 cargo test");
    }
}

/// Checks that a page of the reference has a row for each key of what is printed, at any depth.
pub(super) fn check_keys(page: &str, printed: &impl Serialize) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    let text = fs::read_to_string(directory.join(page)).unwrap();
    let (prose, _) = text.split_once("```json").unwrap();
    let mut left = vec![serde_json::to_value(printed).unwrap()];
    while let Some(value) = left.pop() {
        match value {
            Value::Object(object) => {
                for (key, value) in object {
                    assert!(
                        prose.contains(&format!("`{key}`")),
                        "{page} does not say what `{key}` is"
                    );
                    left.push(value);
                }
            }
            Value::Array(items) => left.extend(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => (),
        }
    }
}

/// What manifests say.
pub(super) fn facts(manifests: &str) -> Facts {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("all.yaml"), manifests).unwrap();
    parse::facts(&files::read(directory.path()).objects).facts
}

/// The cluster, and two routers: `tor` in our AS, which is told everything, and `edge`, which is told
/// nothing.
pub(super) fn routed() -> Facts {
    let mut facts = facts(MANIFESTS);
    facts.peers.insert("tor".into(), router(65000));
    facts.peers.insert("edge".into(), router(65001));
    let advertisement = BgpAdvertisement {
        peers: ["tor".into()].into(),
        local_pref: Some(150),
        communities: [Community::Standard(0xfde8_0064), Community::Large(65000, 1, 2)].into(),
        ..BgpAdvertisement::default()
    };
    facts.bgp_advertisements.insert("main".into(), advertisement);
    facts
}

fn router(remote: u32) -> Peer {
    let asn = |number| NonZeroU32::new(number).unwrap();
    let at = PeerAddress::Ip([198, 51, 100, 1].into());
    Peer::new(at, asn(65000), RemoteAsn::Number(asn(remote)))
}
