//! What BGP kinds become. What is refused, with its message, is in `tests/scenarios/`.

use std::time::Duration;

use planner::facts::bgp::{BfdProfile, Community, Password, Peer, PeerAddress, RemoteAsn};
use serde_json::Value;

use super::{Parsed, object, parse};
use crate::api::crds::crds;

/// The peer `main` with more in its spec.
fn peer(more: &str) -> Peer {
    let spec = format!("{{myASN: 64512, peerASN: 64513, peerAddress: 192.0.2.1, {more}}}");
    accepted(&bgp("BGPPeer", &spec)).facts.peers[&"main".into()].clone()
}

fn bgp(kind: &str, spec: &str) -> String {
    let version = if kind == "BGPPeer" { "v1beta2" } else { "v1beta1" };
    object(&format!("metallb.io/{version}"), kind, &format!("spec: {spec}"))
}

fn accepted(yaml: &str) -> Parsed {
    let parsed = parse(yaml);
    assert_eq!(parsed.problems, []);
    parsed
}

#[test]
fn a_peer_keeps_all_that_it_says() {
    let yaml = bgp(
        "BGPPeer",
        "{myASN: 64512, localASN: 64600, dynamicASN: external, peerAddress: '::ffff:192.0.2.1', \
         sourceAddress: 192.0.2.2, peerPort: 1790, holdTime: 9s, connectTime: 5s, \
         routerID: 192.0.2.3, nodeSelectors: [{}], password: swordfish, bfdProfile: main, \
         enableGracefulRestart: true, ebgpMultiHop: true, passive: true, vrf: red, disableMP: true, \
         dualStackAddressFamily: true}",
    );
    let profile = bgp("BFDProfile", "{transmitInterval: 50, echoMode: true, minimumTtl: 250}");
    let parsed = accepted(&format!("{yaml}---\n{profile}"));
    let want = Peer {
        node_selectors: vec![planner::selector::Selector::default()],
        at: PeerAddress::Ip("192.0.2.1".parse().unwrap()),
        port: 1790,
        source: Some("192.0.2.2".parse().unwrap()),
        my_asn: 64512.try_into().unwrap(),
        local_asn: Some(64600.try_into().unwrap()),
        remote_asn: RemoteAsn::External,
        router_id: Some("192.0.2.3".parse().unwrap()),
        hold_time: Some(Duration::from_secs(9)),
        keepalive_time: Some(Duration::from_secs(3)),
        connect_time: Some(Duration::from_secs(5)),
        is_multihop: true,
        ttl_security: None,
        is_passive: true,
        has_graceful_restart: true,
        is_dual_stack: true,
        vrf: Some("red".to_owned()),
        password: Some(Password("swordfish".to_owned())),
        bfd: Some(BfdProfile {
            receive_interval: Duration::from_millis(300),
            transmit_interval: Duration::from_millis(50),
            detect_multiplier: 3,
            echo_interval: Some(Duration::from_millis(50)),
            is_passive: false,
            minimum_ttl: Some(250),
            key: None,
        }),
    };
    assert_eq!(parsed.facts.peers[&"main".into()], want);
}

#[test]
fn a_timer_that_is_not_set_follows_the_other() {
    let ms = |time: Option<u64>| time.map(Duration::from_millis);
    let rows = [
        ("neither", "", None, None),
        ("hold time", "holdTime: 30s", Some(30_000), Some(10_000)),
        ("keepalive time", "keepaliveTime: 5s", Some(15_000), Some(5_000)),
        ("both", "holdTime: 9s, keepaliveTime: 9s", Some(9_000), Some(9_000)),
        ("off", "holdTime: 0s", Some(0), Some(0)),
        ("half a second is none", "holdTime: 600ms", Some(0), Some(200)),
        ("whole seconds", "holdTime: 3900ms", Some(3_000), Some(1_300)),
    ];
    for (row, timers, hold, keepalive) in rows {
        let peer = peer(timers);
        assert_eq!((peer.hold_time, peer.keepalive_time), (ms(hold), ms(keepalive)), "{row}");
    }
}

#[test]
fn a_secret_gives_its_password_to_peers_beside_it() {
    let secret = |namespace: &str| {
        format!(
            "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: tor, namespace: {namespace}}}\n\
             type: kubernetes.io/basic-auth\ndata: {{password: c3dvcmRmaXNo}}\n"
        )
    };
    let spec = "{myASN: 1, peerASN: 2, peerAddress: 192.0.2.1, passwordSecret: {name: tor}}";
    let peer = bgp("BGPPeer", spec);
    let parsed = accepted(&(peer.clone() + &secret("default")));
    let password = parsed.facts.peers[&"main".into()].password.clone();
    assert_eq!(password, Some(Password("swordfish".to_owned())));
    assert!(!format!("{parsed:?}").contains("swordfish"));
    assert_eq!(parse(&(peer + &secret("other"))).problems.len(), 1);
}

#[test]
fn a_profile_has_the_key_of_its_secret_or_says_why_not() {
    use proto::bfd::auth::{Key, Method};
    let secret = |kind: &str, value: &str| {
        format!(
            "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: tor, namespace: default}}\n\
             type: {kind}\nstringData: {{bfd: {value}}}\n"
        )
    };
    let basic = "kubernetes.io/basic-auth";
    let good = secret(basic, "tuna-fish");
    let rows = [
        ("as it should be", "meticulousKeyedSHA1", 7, good.clone(), None),
        ("no such Secret", "keyedMD5", 7, String::new(), Some("secret.name")),
        ("of another type", "keyedMD5", 7, secret("Opaque", "x"), Some("secret.name")),
        ("no such key", "keyedMD5", 7, good.replace("bfd:", "bgp:"), Some("secret.key")),
        ("empty", "simplePassword", 7, secret(basic, "''"), Some("secret.key")),
        ("too long", "keyedMD5", 7, secret(basic, &"x".repeat(17)), Some("secret.key")),
        ("long enough for SHA1", "keyedSHA1", 7, secret(basic, &"x".repeat(20)), None),
        ("key ID too large", "keyedMD5", 256, good.clone(), Some("keyID")),
    ];
    for (row, method, id, secret, want) in rows {
        let spec = format!(
            "{{authentication: {{type: {method}, keyID: {id}, secret: {{name: tor, key: bfd}}}}}}"
        );
        let parsed = parse(&(bgp("BFDProfile", &spec) + &secret));
        let field = parsed.problems.first().map(|problem| problem.field.as_str());
        let want = want.map(|field| format!("spec.authentication.{field}"));
        assert_eq!(field, want.as_deref(), "{row}: {:?}", parsed.problems);
    }
    let spec =
        "{authentication: {type: meticulousKeyedSHA1, keyID: 7, secret: {name: tor, key: bfd}}}";
    let peer = "{myASN: 1, peerASN: 2, peerAddress: 192.0.2.1, bfdProfile: main}";
    let yaml = format!("{}---\n{}{good}", bgp("BGPPeer", peer), bgp("BFDProfile", spec));
    let key = accepted(&yaml).facts.peers[&"main".into()].bfd.clone().unwrap().key;
    assert_eq!(key, Key::new(Method::MeticulousKeyedSha1, 7, b"tuna-fish").ok());
}

#[test]
fn an_advertisement_keeps_all_that_it_says() {
    let yaml = bgp(
        "BGPAdvertisement",
        "{aggregationLength: 24, aggregationLengthV6: 64, localPref: 200, ipAddressPools: [a], \
         peers: [b], nodeSelectors: [{}], communities: ['65000:1', no-export]}",
    );
    let advertisement = &accepted(&yaml).facts.bgp_advertisements[&"main".into()];
    assert_eq!((advertisement.aggregation_v4, advertisement.aggregation_v6), (24, 64));
    assert_eq!(advertisement.local_pref, Some(200));
    assert_eq!(advertisement.pools, ["a".into()].into());
    assert_eq!(advertisement.peers, ["b".into()].into());
    assert_eq!(advertisement.node_selectors.len(), 1);
    let communities = [Community::Standard(0xfde8_0001), Community::Standard(0xffff_ff01)];
    assert_eq!(advertisement.communities, communities.into());
}

#[test]
fn an_advertisement_that_says_nothing_announces_each_address() {
    for spec in ["{}", "{localPref: 0}"] {
        let parsed = accepted(&bgp("BGPAdvertisement", spec));
        let want = planner::facts::bgp::BgpAdvertisement::default();
        assert_eq!(parsed.facts.bgp_advertisements[&"main".into()], want, "{spec}");
    }
}

/// Bounds of numbers directly below `spec`, from the schema of the newest version: kind, field,
/// and numbers that are just outside.
fn outside_the_schema() -> Vec<(String, String, i64)> {
    let mut outside = Vec::new();
    for file in crds().unwrap() {
        let text = |path: &str| file.definition.pointer(path).and_then(Value::as_str);
        let kind = text("/spec/names/kind").unwrap().to_owned();
        let versions = file.definition["spec"]["versions"].as_array().unwrap();
        let schema = &versions.last().unwrap()["schema"]["openAPIV3Schema"];
        let Some(fields) = schema.pointer("/properties/spec/properties") else { continue };
        for (field, schema) in fields.as_object().unwrap() {
            let below = schema["minimum"].as_i64().map(|least| least - 1);
            let above = schema["maximum"].as_i64().map(|most| most + 1);
            let both = below.into_iter().chain(above);
            outside.extend(both.map(|number| (kind.clone(), field.clone(), number)));
        }
    }
    outside
}

#[test]
fn every_bound_of_the_schema_holds_without_an_api_server() {
    let rows = outside_the_schema();
    assert!(rows.len() >= 15, "{rows:?}");
    for (kind, field, number) in rows {
        let directory = tempfile::tempdir().unwrap();
        let required = if field == "myASN" { "" } else { ", myASN: 64512" };
        let spec = format!("{{{field}: {number}{required}}}");
        std::fs::write(directory.path().join("given.yaml"), bgp(&kind, &spec)).unwrap();
        let reading = crate::source::files::read(directory.path());
        let problems = super::facts(&reading.objects).problems;
        let of_objects = problems.iter().map(|problem| problem.field.clone());
        let of_files = reading.problems.iter().map(ToString::to_string);
        let found: Vec<_> = of_objects.chain(of_files).collect();
        let is_named = found.iter().any(|text| text.contains(&format!("spec.{field}")));
        assert!(is_named, "{kind} with {spec}: {found:?}");
    }
}
