//! Tables from MetalLB's behaviour.

use super::*;
use crate::announce::build::{asn, everything, external, internal};
use crate::announce::plan;
use crate::build::{Build, address, endpoint, facts, pool, selector, service};
use crate::facts::Families::RequireDual;
use crate::facts::bgp::Community;
use crate::facts::{Endpoint, L2Advertisement, Node};

/// Nodes a and b; a Service with an address and an endpoint on each node; a router; and no
/// advertisement.
fn cluster(web: Build) -> Facts {
    let pools = [("main", pool(["192.0.2.0/24", "fc00::/120"]))];
    facts([web], pools)
        .node("a", [])
        .node("b", [])
        .healthy("shop/web", ["a", "b"])
        .peer("tor-1", external())
}

fn web() -> Build {
    service("shop/web").has(["192.0.2.10"])
}

fn with(mut facts: Facts, build: Build) -> Facts {
    facts.services.insert(build.name, build.service);
    facts
}

#[track_caller]
fn check<const N: usize>(facts: &Facts, node: &str, want: [&str; N], name: &str) {
    let plan = plan(facts, &node.into()).to_string();
    assert_eq!(plan.lines().collect::<Vec<_>>(), want, "{name}");
}

const ROUTE: &str = "route 192.0.2.10/32 to tor-1 for shop/web";
const NO_ROUTE: &str = "no route to tor-1";

/// `why` the Service is announced to nobody.
fn silent(why: &str) -> String {
    format!("silent shop/web 192.0.2.10 bgp: {why}")
}

#[test]
fn every_silence_has_its_reason() {
    let told = |build| cluster(build).told("ad", everything());
    let rows = [
        (
            "no address",
            told(service("shop/web")),
            "silent shop/web bgp: it has no address",
            "noIPAllocated",
        ),
        (
            "an address of no pool",
            told(service("shop/web").has(["10.0.0.1"])),
            "silent shop/web 10.0.0.1 bgp: its addresses are not all in one pool",
            "ipNotAllowed",
        ),
        (
            "no advertisement for the pool",
            cluster(web()).told("ad", everything().of_pools(["other"])),
            &silent("no BGPAdvertisement selects pool `main`"),
            "noMatchingAdvertisement",
        ),
        (
            "no advertisement for the Service",
            cluster(web()).told("ad", everything().for_tier("gold")),
            &silent("the BGPAdvertisements of pool `main` do not select it"),
            "serviceNotSelected",
        ),
        (
            "no advertisement for the node",
            cluster(web()).told("ad", everything().from(["b"])),
            &silent("no BGPAdvertisement for it selects this node, only others: `ad`"),
            "nodeNotSelected",
        ),
        (
            "two local preferences",
            told(web()).told("x", everything().preferred(100)),
            &silent(
                "BGPAdvertisements `ad` and `x` give the same routes different local preferences",
            ),
            "conflictingAdvertisements",
        ),
        (
            "no healthy endpoint",
            told(web()).endpoints("shop/web", [endpoint("a", false)]),
            &silent("no endpoint is healthy"),
            "noEndpoints",
        ),
        (
            "no healthy endpoint here",
            told(web().local([])).healthy("shop/web", ["b"]),
            &silent("no endpoint on this node is healthy"),
            "noLocalEndpoints",
        ),
    ];
    for (name, facts, want, label) in rows {
        check(&facts, "a", [NO_ROUTE, want], name);
        let silences = plan(&facts, &"a".into()).silences;
        assert_eq!(silences.first().unwrap().silence.label(), label, "{name}");
    }
}

#[test]
fn a_node_must_be_fit_and_have_a_peer() {
    let told = || cluster(web()).told("ad", everything());
    let node = |facts: Facts, change: fn(&mut Node)| {
        let mut node = facts.nodes[&"a".into()].clone();
        change(&mut node);
        facts.with_node("a", node)
    };
    let excluded = || node(told(), |node| node.is_excluded = true);
    check(
        &node(told(), |node| node.is_network_unavailable = true),
        "a",
        [NO_ROUTE, &silent("the network of this node is unavailable")],
        "network unavailable",
    );
    check(
        &excluded(),
        "a",
        [NO_ROUTE, &silent("this node has the label that excludes it from load balancers")],
        "excluded",
    );
    check(&excluded(), "b", [ROUTE], "another node is excluded");
    let ignoring = Facts { ignore_exclude_label: true, ..excluded() };
    check(&ignoring, "a", [ROUTE], "excluded, but that is ignored");
    check(&told(), "x", [NO_ROUTE, &silent("this node is unknown")], "an unknown node");
    let elsewhere = Facts { speakers: Some(["b".into()].into()), ..told() };
    check(&elsewhere, "a", [&*silent("this node runs no speaker")], "no speaker");
    check(&elsewhere, "b", [ROUTE], "speakers elsewhere do not matter");
    let alone = silent("this node has no session with any BGPPeer");
    check(&told().peer("tor-1", external().of(["b"])), "a", [&*alone], "all peers are of others");
    let nobody = Facts { peers: BTreeMap::new(), ..told() };
    check(&nobody, "a", [&*alone], "there are no peers");
}

#[test]
fn sessions_follow_the_labels_of_the_node() {
    let of = |node_selectors| Peer { node_selectors, ..external() };
    let rack = |value| selector([("rack", value)]);
    let rows = [
        ("no selector", of(vec![]), true),
        ("its label", of(vec![rack("1")]), true),
        ("another label", of(vec![rack("2")]), false),
        ("one of two", of(vec![rack("2"), rack("1")]), true),
        ("two labels at once", of(vec![selector([("rack", "1"), ("name", "b")])]), false),
    ];
    for (name, peer, want) in rows {
        let facts = cluster(web()).node("a", [("rack", "1")]).peer("tor-1", peer);
        assert_eq!(plan(&facts, &"a".into()).peers.contains_key(&"tor-1".into()), want, "{name}");
    }
    let unknown = cluster(web()).peer("tor-2", of(vec![rack("1")]));
    let peers: Vec<_> = plan(&unknown, &"x".into()).peers.into_keys().collect();
    assert_eq!(peers, ["tor-1".into()], "a node that is not known yet has no labels");
}

#[test]
fn every_node_that_can_serve_a_service_announces_it() {
    let unready = |node| endpoint(node, false);
    let homeless = Endpoint { node: None, ..endpoint("a", true) };
    let bare = |node| Endpoint { has_address: false, ..endpoint(node, true) };
    let (cluster_wide, local) = (web(), web().local([]));
    let rows: [(_, _, Vec<Endpoint>, _); 12] = [
        ("none", &cluster_wide, vec![], false),
        ("one here", &cluster_wide, vec![endpoint("a", true)], true),
        ("one elsewhere", &cluster_wide, vec![endpoint("b", true)], true),
        ("one of no node", &cluster_wide, vec![homeless.clone()], true),
        ("none is healthy", &cluster_wide, vec![unready("a"), unready("b")], false),
        ("one of two", &cluster_wide, vec![unready("a"), endpoint("b", true)], true),
        ("healthy, without an address", &cluster_wide, vec![bare("a")], false),
        ("local, one here", &local, vec![endpoint("b", true), endpoint("a", true)], true),
        ("local, only elsewhere", &local, vec![unready("a"), endpoint("b", true)], false),
        ("local, of no node", &local, vec![homeless], false),
        ("local, here twice", &local, vec![unready("a"), endpoint("a", true)], true),
        ("local, without an address", &local, vec![bare("a"), endpoint("b", true)], false),
    ];
    for (name, build, endpoints, want) in rows {
        let mut facts = cluster(build.clone()).told("ad", everything());
        facts.endpoints.insert(build.name.clone(), endpoints);
        let plan = plan(&facts, &"a".into());
        assert_eq!(!plan.peers[&"tor-1".into()].is_empty(), want, "{name}");
    }
}

#[test]
fn routes_come_and_go_with_services() {
    let two = |web: Build, api: Build| {
        let both = with(cluster(web), api).healthy("shop/api", ["a"]);
        both.told("ad", everything().aggregated(24, 120))
    };
    let api = || service("shop/api").has(["192.0.2.77"]);
    let prefix = |services| format!("route 192.0.2.0/24 to tor-1 for {services}");
    check(&two(web(), api()), "a", [&*prefix("shop/api,shop/web")], "two in one prefix");
    check(
        &two(web(), api()).endpoints("shop/web", []),
        "a",
        [&*prefix("shop/api"), &silent("no endpoint is healthy")],
        "the prefix stays while one of them is served",
    );
    check(
        &two(web(), api()).endpoints("shop/web", []).endpoints("shop/api", []),
        "a",
        [
            NO_ROUTE,
            "silent shop/api 192.0.2.77 bgp: no endpoint is healthy",
            &silent("no endpoint is healthy"),
        ],
        "and goes with the last",
    );
    check(
        &two(web().local([]), api()),
        "b",
        [&*prefix("shop/api,shop/web")],
        "one forwards everywhere, the other only here",
    );
    check(
        &two(web(), api().local([])),
        "b",
        [
            &*prefix("shop/web"),
            "silent shop/api 192.0.2.77 bgp: no endpoint on this node is healthy",
        ],
        "the other has nothing here",
    );
    let shared = two(web().shares("k"), api().has(["192.0.2.10"]).shares("k"));
    check(&shared, "a", [&*prefix("shop/api,shop/web")], "a shared address");
}

#[test]
fn a_service_has_a_route_for_each_address_and_advertisement() {
    let dual = || web().needs(RequireDual).has(["192.0.2.10", "fc00::a"]);
    let both_families = || Peer { is_dual_stack: true, ..external() };
    let wide = || everything().aggregated(24, 120).preferred(200).tagged([(65000, 2)]);
    let narrow = || everything().tagged([(65000, 1)]);
    check(&cluster(web()).told("x", everything()), "a", [ROUTE], "the whole address");
    check(
        &cluster(web()).told("x", wide()).peer("tor-1", internal()),
        "a",
        ["route 192.0.2.0/24 to tor-1 local-pref 200 communities 65000:2 for shop/web"],
        "a wider prefix",
    );
    check(
        &cluster(web()).told("x", wide()).told("y", narrow()).peer("tor-1", internal()),
        "a",
        [
            "route 192.0.2.0/24 to tor-1 local-pref 200 communities 65000:2 for shop/web",
            "route 192.0.2.10/32 to tor-1 communities 65000:1 for shop/web",
        ],
        "both",
    );
    check(
        &cluster(dual()).told("x", everything()).peer("tor-1", both_families()),
        "a",
        [ROUTE, "route fc00::a/128 to tor-1 for shop/web"],
        "both families",
    );
    check(
        &cluster(dual()).told("x", wide()).peer("tor-1", both_families()),
        "a",
        [
            "route 192.0.2.0/24 to tor-1 communities 65000:2 for shop/web",
            "route fc00::/120 to tor-1 communities 65000:2 for shop/web",
        ],
        "each family has its own length",
    );
    check(
        &cluster(web().has(["192.0.2.10", "192.0.2.10"])).told("x", everything()),
        "a",
        [ROUTE],
        "an address that stands twice",
    );
}

#[test]
fn one_prefix_is_one_route() {
    let large = Community::Large(65000, 1, 2);
    let tagged = |communities: &[Community]| BgpAdvertisement {
        communities: communities.iter().copied().collect(),
        ..everything()
    };
    let standard = |value| Community::Standard((65000_u32 << 16) | value);
    check(
        &cluster(web())
            .told("x", tagged(&[standard(2), large]))
            .told("y", tagged(&[standard(1), standard(2)])),
        "a",
        ["route 192.0.2.10/32 to tor-1 communities large:65000:1:2,65000:1,65000:2 \
              for shop/web"],
        "communities of both",
    );
    let shared =
        |tier| service("shop/api").has(["192.0.2.10"]).labels([("tier", tier)]).ports(["TCP/443"]);
    let gold = |tier, [gold, iron]: [u32; 2]| {
        with(cluster(web().labels([("tier", "iron")])), shared(tier))
            .healthy("shop/api", ["a"])
            .peer("tor-1", internal())
            .told("gold", everything().for_tier("gold").preferred(gold).tagged([(65000, 1)]))
            .told("iron", everything().for_tier("iron").preferred(iron).tagged([(65000, 2)]))
    };
    for preferences in [[50, 200], [200, 50]] {
        check(
            &gold("gold", preferences),
            "a",
            ["route 192.0.2.10/32 to tor-1 local-pref 200 communities 65000:1,65000:2 \
              for shop/api,shop/web"],
            "Services of one address: the highest preference, and all communities",
        );
    }
    check(
        &gold("none", [50, 200]),
        "a",
        [
            "route 192.0.2.10/32 to tor-1 local-pref 200 communities 65000:2 for shop/web",
            "silent shop/api 192.0.2.10 bgp: the BGPAdvertisements of pool `main` do not select it",
        ],
        "a Service that is not selected adds nothing",
    );
}

#[test]
fn advertisements_are_for_their_peers() {
    let two = || cluster(web()).peer("tor-2", external());
    let others = |peer, ads| {
        format!(
            "silent shop/web 192.0.2.10 bgp to {peer}: \
             the BGPAdvertisements for it are for other peers: {ads}"
        )
    };
    let to_2 = "route 192.0.2.10/32 to tor-2 for shop/web";
    check(&two().told("x", everything()), "a", [ROUTE, to_2], "all peers");
    check(
        &two().told("x", everything().to(["tor-2"])),
        "a",
        [NO_ROUTE, to_2, &others("tor-1", "`x`")],
        "one of them",
    );
    check(&two().told("x", everything().to(["tor-1", "tor-2"])), "a", [ROUTE, to_2], "both");
    check(
        &two().told("x", everything().to(["tor-3"])),
        "a",
        [NO_ROUTE, "no route to tor-2", &others("tor-1", "`x`"), &others("tor-2", "`x`")],
        "one that does not exist",
    );
    check(
        &two()
            .told("x", everything().to(["tor-1"]).preferred(100).tagged([(65000, 1)]))
            .told("y", everything().to(["tor-2"]).preferred(200).tagged([(65000, 2)])),
        "a",
        [
            "route 192.0.2.10/32 to tor-1 communities 65000:1 for shop/web",
            "route 192.0.2.10/32 to tor-2 communities 65000:2 for shop/web",
        ],
        "each is told its own",
    );
    check(
        &two().peer("tor-2", external().of(["b"])).told("x", everything().to(["tor-2"])),
        "a",
        [NO_ROUTE, &others("tor-1", "`x`")],
        "one that only other nodes have a session with",
    );
    check(
        &two()
            .told("x", everything().to(["tor-1"]).from(["a"]))
            .told("y", everything().to(["tor-2"]).from(["b"])),
        "b",
        [NO_ROUTE, to_2, &others("tor-1", "`y`")],
        "nodes and peers",
    );
}

#[test]
fn the_local_preference_is_for_our_own_as() {
    let number = |number| RemoteAsn::Number(asn(number));
    let rows = [
        ("another AS", external(), false),
        ("our AS", Peer { remote_asn: number(65000), ..external() }, true),
        ("internal, whatever the number", internal(), true),
        ("external", Peer { remote_asn: RemoteAsn::External, ..external() }, false),
        ("the AS that we show", Peer { local_asn: Some(asn(65001)), ..external() }, true),
        (
            "our AS, but we show another",
            Peer { remote_asn: number(65000), local_asn: Some(asn(65002)), ..external() },
            false,
        ),
    ];
    for (name, peer, want) in rows {
        let facts = cluster(web()).peer("tor-1", peer).told("x", everything().preferred(100));
        let routes = plan(&facts, &"a".into()).peers.remove(&"tor-1".into()).unwrap();
        let preferences: Vec<_> = routes.values().map(|route| route.local_pref).collect();
        assert_eq!(preferences, [want.then_some(100)], "{name}");
    }
}

#[test]
fn a_session_carries_the_family_of_its_transport() {
    let at = |text| Peer { at: PeerAddress::Ip(address(text)), ..external() };
    let unnumbered = || Peer { at: PeerAddress::Interface("eth0".into()), ..external() };
    let dual = |peer| Peer { is_dual_stack: true, ..peer };
    let rows = [
        ("IPv4", at("198.51.100.1"), "192.0.2.10/32"),
        ("IPv6", at("fe80::1"), "fc00::a/128"),
        ("IPv4 and both families", dual(at("198.51.100.1")), "192.0.2.10/32 fc00::a/128"),
        ("IPv6 and both families", dual(at("fe80::1")), "192.0.2.10/32 fc00::a/128"),
        ("an interface", unnumbered(), "192.0.2.10/32 fc00::a/128"),
    ];
    let build = web().needs(RequireDual).has(["192.0.2.10", "fc00::a"]);
    for (name, peer, want) in rows {
        let facts = cluster(build.clone()).peer("tor-1", peer).told("x", everything());
        let plan = plan(&facts, &"a".into());
        let routes: Vec<_> = plan.peers[&"tor-1".into()].keys().map(ToString::to_string).collect();
        assert_eq!(routes.join(" "), want, "{name}");
        assert_eq!(plan.silences.len() + routes.len(), 2, "{name}");
    }
    let facts = cluster(web().has(["fc00::a"])).told("x", everything());
    let silence = "silent shop/web fc00::a bgp to tor-1: the session does not carry IPv6 routes";
    check(&facts, "a", [NO_ROUTE, silence], "only the other family");
}

#[test]
fn advertisements_for_a_service_are_those_that_select_it_and_the_node() {
    let gold = || web().labels([("tier", "gold")]);
    let at = |name, ad: BgpAdvertisement| (name, ad.tagged([(0, 1)]));
    let rows = [
        at("everything", everything()),
        at("its label", everything().for_tier("gold")),
        at("this node", everything().from(["b", "a"])),
        at("both", everything().for_tier("gold").from(["a"])),
    ];
    for (name, ad) in rows {
        let facts = cluster(gold())
            .told("x", everything().for_tier("iron").tagged([(0, 2)]))
            .told("y", everything().from(["b"]).tagged([(0, 3)]))
            .told("z", ad);
        let want = "route 192.0.2.10/32 to tor-1 communities 0:1 for shop/web";
        check(&facts, "a", [want], name);
    }
    let any_of = BgpAdvertisement {
        service_selectors: ["iron", "gold"].map(|tier| selector([("tier", tier)])).into(),
        ..everything()
    };
    check(&cluster(gold()).told("x", any_of), "a", [ROUTE], "any selector will do");
    let sharing = cluster(gold().shares("k")).told("x", everything().for_tier("gold"));
    check(&sharing, "a", [ROUTE], "a Service that may share its address, unlike on the LAN");
}

#[test]
fn different_preferences_meet_on_a_service() {
    let gold = || cluster(web().labels([("tier", "gold")])).peer("tor-1", internal());
    let low = || everything().preferred(100);
    let high = || everything().preferred(200);
    let preferred = |value| format!("route 192.0.2.10/32 to tor-1 local-pref {value} for shop/web");
    let conflict =
        silent("BGPAdvertisements `x` and `y` give the same routes different local preferences");
    check(
        &gold().told("x", low().for_tier("gold")).told("y", high()),
        "a",
        [NO_ROUTE, &conflict],
        "one selects it, the other everything",
    );
    check(
        &gold().told("x", low().for_tier("gold")).told("y", high().for_tier("iron")),
        "a",
        [&*preferred(100)],
        "only one selects it",
    );
    check(
        &gold().told("x", low()).told("y", high().from(["b"])),
        "a",
        [&*preferred(100)],
        "the other is for another node",
    );
    check(
        &gold().told("x", low().to(["tor-1"])).told("y", high().to(["tor-2"])),
        "a",
        [&*preferred(100)],
        "the other is for another peer",
    );
    check(
        &with(gold(), service("shop/api").has(["192.0.2.11"]))
            .healthy("shop/api", ["a"])
            .told("x", low())
            .told("y", high().for_tier("gold")),
        "a",
        ["route 192.0.2.11/32 to tor-1 local-pref 100 for shop/api", &conflict],
        "other Services are not concerned",
    );
}

#[test]
fn a_service_is_announced_by_both_protocols() {
    let both = || cluster(web()).told("x", everything());
    let candidate = "candidate 192.0.2.10 shop/web order a,b on all interfaces";
    check(
        &both().advertised("lan", L2Advertisement::default()),
        "a",
        [candidate, ROUTE],
        "both advertise it",
    );
    let other_pool = L2Advertisement { pools: ["other".into()].into(), ..Default::default() };
    check(
        &both().advertised("lan", other_pool),
        "a",
        [ROUTE, "silent shop/web 192.0.2.10 lan: no L2Advertisement selects pool `main`"],
        "only one does",
    );
    check(&both(), "a", [ROUTE], "of a protocol that nobody uses there is nothing to say");
    let lan = Facts { peers: BTreeMap::new(), ..cluster(web()) };
    check(
        &lan.advertised("lan", L2Advertisement::default()),
        "a",
        [candidate],
        "nor of the other one",
    );
    check(
        &cluster(web()),
        "a",
        [NO_ROUTE, &silent("no BGPAdvertisement selects pool `main`")],
        "a router that is told nothing",
    );
}

#[test]
fn a_route_prints_where_it_leads() {
    let mut plan = plan(&cluster(web()).told("x", everything()), &"a".into());
    let routes = plan.peers.get_mut(&"tor-1".into()).unwrap();
    routes.values_mut().next().unwrap().next_hop = Some(address("203.0.113.1"));
    let want = "route 192.0.2.10/32 to tor-1 via 203.0.113.1 for shop/web\n";
    assert_eq!(plan.to_string(), want);
}
