//! What is refused, what is only warned of, and in which words.

use std::fs;

use super::*;
use crate::source::files;

const POOL: &str = "
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: NAME, namespace: metallb-system, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {addresses: [RANGE]}
---";

const PEER: &str = "
apiVersion: metallb.io/v1beta2
kind: BGPPeer
metadata: {name: NAME, namespace: metallb-system}
spec: SPEC
---";

const BGP: &str = "
apiVersion: metallb.io/v1beta1
kind: BGPAdvertisement
metadata: {name: NAME, namespace: metallb-system}
spec: SPEC
---";

const COMMUNITY: &str = "
apiVersion: metallb.io/v1beta1
kind: Community
metadata: {name: NAME, namespace: metallb-system}
spec: {communities: SPEC}
---";

fn pool(name: &str, range: &str) -> String {
    POOL.replace("NAME", name).replace("RANGE", range)
}

fn of_kind(form: &str, name: &str, spec: &str) -> String {
    form.replace("NAME", name).replace("SPEC", spec)
}

fn objects(yaml: &str) -> Objects {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("given.yaml"), yaml).unwrap();
    let reading = files::read(directory.path());
    assert_eq!(reading.problems, []);
    reading.objects
}

fn one(yaml: &str) -> Object {
    let Objects { bgp_advertisements, bgp_peers, communities, l2_advertisements, pools, .. } =
        objects(yaml);
    let mut all: Vec<_> = bgp_advertisements.into_iter().map(Object::BGPAdvertisement).collect();
    all.extend(bgp_peers.into_iter().map(Object::BGPPeer));
    all.extend(communities.into_iter().map(Object::Community));
    all.extend(l2_advertisements.into_iter().map(Object::L2Advertisement));
    all.extend(pools.into_iter().map(|mut pool| {
        Arc::make_mut(&mut pool).metadata.creation_timestamp = None;
        Object::IPAddressPool(pool)
    }));
    all.pop().unwrap()
}

#[test]
fn what_metallb_refuses_is_refused_in_words_that_hold_its_own() {
    let peer = |spec: &str| of_kind(PEER, "p", spec);
    let good = "{myASN: 64512, peerASN: 64513, peerAddress: 192.0.2.1}";
    let aggregated = of_kind(BGP, "a", "{aggregationLength: 26, ipAddressPools: [main]}");
    let rows = [
        (
            "two pools with the same addresses",
            pool("main", "192.0.2.0/24"),
            pool("other", "192.0.2.7-192.0.2.9"),
            "overlaps with already defined CIDR \"192.0.2.0/24\"",
        ),
        (
            "an old pool that grows into a younger one",
            pool("main", "192.0.2.0/24") + &pool("other", "198.51.100.0/24"),
            pool("main", "198.51.100.0/25"),
            "overlaps with already defined CIDR \"198.51.100.0/24\"",
        ),
        ("a range that is none", String::new(), pool("main", "192.0.2"), "is neither `first-last`"),
        (
            "the address of a peer",
            String::new(),
            peer("{myASN: 64512, peerASN: 64513, peerAddress: 192.0.2.400}"),
            "invalid BGPPeer address \"192.0.2.400\"",
        ),
        (
            "two passwords",
            String::new(),
            peer(&good.replace('}', ", password: a, passwordSecret: {name: b}}")),
            "can not have both password and secret ref set in peer config",
        ),
        (
            "a second session with a router",
            of_kind(PEER, "other", good),
            peer(good),
            "FRR mode doesn't support duplicate BGPPeers selecting the same node",
        ),
        (
            "a community that is too large",
            String::new(),
            of_kind(BGP, "a", "{communities: ['99999999:1']}"),
            "invalid community value: invalid section \"99999999\"",
        ),
        (
            "a community of four parts",
            String::new(),
            of_kind(BGP, "a", "{communities: ['big:1:2:3']}"),
            "expected community to be of format large",
        ),
        (
            "a community of three parts",
            String::new(),
            of_kind(BGP, "a", "{communities: ['1:2:3']}"),
            "invalid community format: 1:2:3",
        ),
        (
            "an alias twice",
            of_kind(COMMUNITY, "c", "[{name: x, value: '1:2'}]"),
            of_kind(COMMUNITY, "d", "[{name: x, value: '1:3'}]"),
            "duplicate definition of community \"x\"",
        ),
        (
            "an aggregate that is larger than the pool",
            pool("main", "192.0.2.0/28"),
            aggregated.clone(),
            "invalid aggregation length 26: prefix 28 in this pool is more specific than the \
             aggregation length for addresses 192.0.2.0/28",
        ),
        (
            "a pool that is smaller than an aggregate that is there",
            pool("main", "192.0.2.0/24") + &aggregated,
            pool("main", "192.0.2.0/28"),
            "BGPAdvertisement/metallb-system/a, which is good now: spec.aggregationLength: invalid \
             aggregation length 26",
        ),
        (
            "aggregation with selectors of Services",
            String::new(),
            of_kind(BGP, "a", "{aggregationLength: 26, serviceSelectors: [{}]}"),
            "serviceSelectors and aggregationLength are mutually exclusive",
        ),
    ];
    for (name, existing, incoming, part) in rows {
        let verdict = of(&objects(&existing), &one(&incoming));
        assert!(!verdict.is_allowed(), "{name}");
        assert!(verdict.refusal().contains(part), "{name}: {}", verdict.refusal());
    }
}

#[test]
fn all_that_is_wrong_is_told_a_line_each() {
    let peer = "{myASN: 0, peerAddress: x, routerID: y, holdTime: 1s}";
    let verdict = of(&Objects::default(), &one(&of_kind(PEER, "p", peer)));
    let refusal = verdict.refusal();
    let lines: Vec<_> = refusal.lines().collect();
    assert_eq!(lines.len(), 5, "{lines:?}");
    for part in ["missing local ASN", "missing peer ASN", "BGPPeer address", "router ID", "hold"] {
        assert!(lines.iter().any(|line| line.contains(part)), "{part}: {lines:?}");
    }
}

#[test]
fn what_is_not_there_yet_is_only_warned_of() {
    let peer = "{myASN: 64512, peerASN: 64513, peerAddress: 192.0.2.1, MORE}";
    let rows = [
        (
            "a profile",
            of_kind(PEER, "p", &peer.replace("MORE", "bfdProfile: fast")),
            "peer p referencing non existing bfd profile fast",
        ),
        (
            "a Secret",
            of_kind(PEER, "p", &peer.replace("MORE", "passwordSecret: {name: key}")),
            "secret ref not found for peer config \"metallb-system\"/\"p\"",
        ),
        ("an alias", of_kind(BGP, "a", "{communities: [vpn]}"), "invalid community format: vpn"),
        ("a pool", of_kind(BGP, "a", "{ipAddressPools: [x]}"), "there is no IPAddressPool `x`"),
        ("a peer", of_kind(BGP, "a", "{peers: [x]}"), "there is no BGPPeer `x`"),
        (
            "what has no effect, with the checks (SE-24)",
            of_kind(PEER, "p", &peer.replace("MORE", "disableMP: true")),
            "disable mp is deprecated and has no effect since it's the default behavior now",
        ),
    ];
    for (name, incoming, part) in rows {
        let verdict = of(&Objects::default(), &one(&incoming));
        assert_eq!(verdict.refusal(), "", "{name}");
        let warnings = verdict.warnings().unwrap_or_default();
        assert!(warnings.iter().any(|warning| warning.contains(part)), "{name}: {warnings:?}");
    }
}

#[test]
fn what_was_wrong_before_with_others_holds_nobody_up() {
    let existing = pool("bad", "nonsense") + &of_kind(PEER, "bad", "{myASN: 0}");
    let verdict = of(&objects(&existing), &one(&pool("good", "192.0.2.0/24")));
    assert_eq!(verdict, Verdict::default());
}

#[test]
fn taking_away_an_alias_that_is_in_use_is_allowed_with_a_warning() {
    let alias = "[{name: vpn, value: '1:2'}]";
    let existing = of_kind(COMMUNITY, "c", alias) + &of_kind(BGP, "a", "{communities: [vpn]}");
    let verdict = of(&objects(&existing), &one(&of_kind(COMMUNITY, "c", "[]")));
    assert_eq!(verdict.refusal(), "");
    let warnings = verdict.warnings().unwrap();
    assert!(warnings[0].contains("BGPAdvertisement/metallb-system/a"), "{warnings:?}");
}

#[test]
fn a_profile_in_use_stays() {
    let spec = "{myASN: 64512, peerASN: 64513, peerAddress: 192.0.2.1, bfdProfile: fast}";
    let existing = objects(&of_kind(PEER, "p", spec));
    assert_eq!(
        of_removal("fast", &existing).refusal(),
        "failed to delete BFDProfile fast, used by BGPPeer p"
    );
    assert!(of_removal("slow", &existing).is_allowed());
}

#[test]
fn an_object_elsewhere_is_refused_in_the_words_of_metallb() {
    let verdict = Verdict::elsewhere("metallb-system");
    assert_eq!(verdict.refusal(), "resource must be created in metallb-system namespace");
}
