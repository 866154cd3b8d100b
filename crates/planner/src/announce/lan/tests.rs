//! Tables from MetalLB's behaviour, and what must hold on every node.

use proptest::prelude::*;
use proto::l2::{DuplicateProbe, Schedule};

use super::*;
use crate::announce::plan;
use crate::build::{Build, address, endpoint, facts, labels, on, pool, selector, service};
use crate::facts::Families::RequireDual;
use crate::facts::Pool;
use crate::facts::lan::{Announcing, Settings};
use crate::interfaces::{InterfaceSelector, Subnet};
use crate::names::ServiceName;
use crate::owner::{self, Candidate};

/// Nodes a, b and c; a Service with an address and an endpoint on each node; and no advertisement.
fn cluster(web: Build) -> Facts {
    let pools = [("main", pool(["192.0.2.0/24", "fc00::/120"]))];
    facts([web], pools)
        .node("a", [])
        .node("b", [])
        .node("c", [])
        .healthy("shop/web", ["a", "b", "c"])
}

fn web() -> Build {
    service("shop/web").has(["192.0.2.10"])
}

/// An advertisement of everything from everywhere.
fn everything() -> L2Advertisement {
    L2Advertisement::default()
}

fn from<const N: usize>(nodes: [&str; N]) -> L2Advertisement {
    L2Advertisement { node_selectors: on(nodes), ..everything() }
}

fn through<const N: usize>(interfaces: [&str; N], ad: L2Advertisement) -> L2Advertisement {
    L2Advertisement { interfaces: InterfaceSelector::new(interfaces, Subnet::Any), ..ad }
}

fn for_tier(tier: &str, ad: L2Advertisement) -> L2Advertisement {
    L2Advertisement { service_selectors: vec![selector([("tier", tier)])], ..ad }
}

fn preferring(node: &str, weight: i32, ad: L2Advertisement) -> L2Advertisement {
    L2Advertisement { preferred_nodes: vec![(weight, selector([("name", node)]))], ..ad }
}

#[track_caller]
fn check<const N: usize>(facts: &Facts, node: &str, want: [&str; N], name: &str) {
    let plan = plan(facts, &node.into()).to_string();
    assert_eq!(plan.lines().collect::<Vec<_>>(), want, "{name}");
}

const FROM_ALL: &str = "candidate 192.0.2.10 shop/web order c,a,b on all interfaces";

#[test]
fn every_node_computes_the_same_order() {
    let facts = cluster(web()).advertised("ad", everything());
    for node in ["a", "b", "c"] {
        check(&facts, node, [FROM_ALL], node);
    }
}

#[test]
fn all_addresses_of_a_service_are_ordered_by_the_first() {
    let dual = |addresses| service("shop/web").needs(RequireDual).has(addresses);
    let v6_first = cluster(dual(["fc00::1", "192.0.2.10"])).advertised("ad", everything());
    let plan = plan(&v6_first, &"a".into());
    let nodes = ["a", "b", "c"].map(NodeName::from);
    let candidates = nodes.iter().map(|node| Candidate { node, score: 0 });
    let order = owner::order(candidates, address("fc00::1"));
    for one in ["192.0.2.10", "fc00::1"] {
        assert_eq!(plan.candidacies[&address(one)].order[..], order, "{one}");
    }
}

#[test]
fn how_an_address_is_announced_is_said_by_the_first_of_its_advertisements() {
    let counting = |count| {
        let schedule = Schedule { count, ..Schedule::default() };
        let announcing =
            Announcing { schedule, probe: DuplicateProbe::Strict, has_virtual_mac: true };
        let settings = Settings { announcing, ..Settings::default() };
        L2Advertisement { settings: settings.into(), ..everything() }
    };
    let facts = cluster(web()).advertised("b", counting(2)).advertised("a", counting(7));
    let candidacy = &plan(&facts, &"a".into()).candidacies[&address("192.0.2.10")];
    assert_eq!(candidacy.settings.announcing.schedule.count, 7);
    assert_eq!(candidacy.settings.announcing.probe, DuplicateProbe::Strict);
}

#[test]
fn every_silence_has_its_reason() {
    let no_endpoint = "silent shop/web 192.0.2.10 lan: no endpoint is healthy";
    let unready = || cluster(web()).endpoints("shop/web", [endpoint("a", false)]);
    let other_pool = || L2Advertisement { pools: ["other".into()].into(), ..everything() };
    let all = everything;
    let rows = [
        (
            "no address",
            cluster(service("shop/web")).advertised("ad", all()),
            "silent shop/web lan: it has no address",
        ),
        (
            "an address of no pool",
            cluster(service("shop/web").has(["10.0.0.1"])).advertised("ad", all()),
            "silent shop/web 10.0.0.1 lan: its addresses are not all in one pool",
        ),
        (
            "an IPv6 address of no pool",
            cluster(service("shop/web").has(["fc00:1::1"])).advertised("ad", all()),
            "silent shop/web fc00:1::1 lan: its addresses are not all in one pool",
        ),
        ("no healthy endpoint", unready().advertised("ad", all()), no_endpoint),
        (
            "no advertisement for the pool",
            cluster(web()).advertised("ad", other_pool()),
            "silent shop/web 192.0.2.10 lan: no L2Advertisement selects pool `main`",
        ),
        (
            "no advertisement for the Service",
            cluster(web()).advertised("ad", for_tier("gold", all())),
            "silent shop/web 192.0.2.10 lan: the L2Advertisements of pool `main` do not select it",
        ),
        (
            "an advertisement that selects Services, and a sharing key, though an empty one",
            cluster(web().shares("").labels([("tier", "gold")]))
                .advertised("gold", for_tier("gold", all())),
            "silent shop/web 192.0.2.10 lan: it may share its address, and L2Advertisement `gold` \
             selects Services",
        ),
        (
            "no node that it selects",
            cluster(web()).advertised("ad", from(["x"])),
            "silent shop/web 192.0.2.10 lan: no node can announce it; on this one, no \
             L2Advertisement for it selects this node, only others: `ad`",
        ),
        (
            "no node with an endpoint",
            cluster(web().local([])).healthy("shop/web", ["x"]).advertised("ad", all()),
            "silent shop/web 192.0.2.10 lan: no node can announce it; on this one, no endpoint on \
             this node is healthy",
        ),
    ];
    for (name, facts, want) in rows {
        check(&facts, "a", [want], name);
    }
}

#[test]
fn a_node_that_is_no_candidate_knows_the_others_and_its_reason() {
    let only = |nodes: &[&str]| Some(nodes.iter().map(|node| NodeName::from(*node)).collect());
    let unavailable = Node { is_network_unavailable: true, ..Node::default() };
    let excluded = || Node { is_excluded: true, ..Node::default() };
    let base = || cluster(web()).advertised("ad", everything());
    let rows = [
        (
            "no speaker",
            Facts { speakers: only(&["b", "c"]), ..base() },
            "this node runs no speaker",
        ),
        (
            "network unavailable",
            base().with_node("a", unavailable),
            "the network of this node is unavailable",
        ),
        (
            "excluded",
            base().with_node("a", excluded()),
            "this node has the label that excludes it from load balancers",
        ),
        (
            "not selected",
            cluster(web()).advertised("ad", from(["b", "c"])),
            "no L2Advertisement for it selects this node, only others: `ad`",
        ),
        (
            "no endpoint of its own",
            cluster(web().local([]))
                .endpoints(
                    "shop/web",
                    [endpoint("a", false), endpoint("b", true), endpoint("c", true)],
                )
                .advertised("ad", everything()),
            "no endpoint on this node is healthy",
        ),
    ];
    let others = "candidate 192.0.2.10 shop/web order c,b on all interfaces";
    for (name, facts, reason) in rows {
        let silence = format!("silent shop/web 192.0.2.10 lan: {reason}");
        check(&facts, "a", [others, &silence], name);
        check(&facts, "b", [others], name);
    }
    let ignoring = Facts { ignore_exclude_label: true, ..base().with_node("a", excluded()) };
    check(&ignoring, "a", [FROM_ALL], "the label is ignored");
    let silence = "silent shop/web 192.0.2.10 lan: this node is unknown";
    check(&base(), "x", [FROM_ALL, silence], "an unknown node");
}

#[test]
fn a_node_that_is_about_to_go_away_serves_only_if_no_other_can() {
    let departing = |departures: &[Departure]| Node {
        departures: departures.iter().copied().collect(),
        ..Node::default()
    };
    let base = || cluster(web()).advertised("ad", everything());
    let drained = || departing(&[Departure::Draining]);
    let moved = "silent shop/web 192.0.2.10 lan: this node is being drained, and another one can \
                 announce it";
    let others = "candidate 192.0.2.10 shop/web order c,b on all interfaces";
    check(&base().with_node("a", drained()), "a", [others, moved], "one of three");
    let all = ["a", "b", "c"].iter().fold(base(), |facts, name| facts.with_node(name, drained()));
    check(&all, "a", [FROM_ALL], "all of them");
    let cordoned = departing(&[Departure::Cordoned, Departure::NotReady]);
    check(&base().with_node("a", cordoned), "a", [FROM_ALL], "by default these do not count");

    let alone = cluster(web().local([])).healthy("shop/web", ["a"]).with_node("a", drained());
    let alone_there = "candidate 192.0.2.10 shop/web order a on all interfaces";
    check(&alone.advertised("ad", everything()), "a", [alone_there], "nobody else has an endpoint");

    let settings =
        Settings { moves_away: BTreeSet::from([Departure::Cordoned]), ..Settings::default() };
    let first = L2Advertisement { settings: Arc::new(settings), ..everything() };
    let both = cluster(web()).advertised("a-first", first).advertised("ad", everything());
    let stays = both.with_node("a", drained());
    check(&stays, "a", [FROM_ALL], "the first advertisement by name decides");
}

#[test]
fn an_advertisement_may_ignore_the_exclude_label() {
    let settings = Settings { ignores_exclude_label: true, ..Settings::default() };
    let ad = L2Advertisement { settings: Arc::new(settings), ..everything() };
    let excluded = Node { is_excluded: true, ..Node::default() };
    let facts = cluster(web()).advertised("ad", ad).with_node("a", excluded);
    check(&facts, "a", [FROM_ALL], "it is a candidate all the same");
}

#[test]
fn endpoints_count_as_metallb_counts_them() {
    let anywhere = Endpoint { node: None, is_healthy: true, has_address: false };
    let unready = || endpoint("a", false);
    let base = |build| cluster(build).advertised("ad", everything());
    let no_endpoint = "silent shop/web 192.0.2.10 lan: no endpoint is healthy";
    let nobody_local = "silent shop/web 192.0.2.10 lan: no node can announce it; on this one, no \
                        endpoint on this node is healthy";
    check(
        &base(web()).endpoints("shop/web", [anywhere.clone()]),
        "a",
        [FROM_ALL],
        "an endpoint of no node and without an address",
    );
    check(
        &base(web().local([])).endpoints("shop/web", [anywhere]),
        "a",
        [nobody_local],
        "an endpoint of no node is local to none",
    );
    check(
        &base(web()).endpoints("shop/web", [unready(), endpoint("b", true)]),
        "a",
        [FROM_ALL],
        "one healthy endpoint will do",
    );
    check(
        &base(web().local([])).endpoints("shop/web", [unready(), endpoint("a", true)]),
        "a",
        ["candidate 192.0.2.10 shop/web order a on all interfaces"],
        "the same node twice, once healthy",
    );
    check(&base(web()).endpoints("shop/web", [unready()]), "a", [no_endpoint], "none is healthy");
}

#[test]
fn advertisements_select_pools() {
    let labelled = |pairs| Pool { labels: labels(pairs), ..pool(["192.0.2.0/24"]) };
    let by_name = || L2Advertisement { pools: ["main".into()].into(), ..everything() };
    let by_label = |value| L2Advertisement {
        pool_selectors: vec![selector([("rack", value)])],
        ..everything()
    };
    let rows = [
        ("nothing said selects all", everything(), true),
        ("by name", by_name(), true),
        ("by label", by_label("1"), true),
        ("another label", by_label("2"), false),
        (
            "by name, with another label",
            L2Advertisement { pools: by_name().pools, ..by_label("2") },
            true,
        ),
    ];
    for (name, ad, want) in rows {
        let mut facts = cluster(web()).advertised("ad", ad);
        facts.pools.insert("main".into(), labelled([("rack", "1")]));
        assert_eq!(!plan(&facts, &"a".into()).candidacies.is_empty(), want, "{name}");
    }
}

#[test]
fn preferences_come_first_and_add_up() {
    let rows: [(_, Vec<L2Advertisement>, _); 5] = [
        ("none", vec![everything()], "c,a,b"),
        ("one", vec![preferring("b", 10, everything())], "b,c,a"),
        (
            "two advertisements",
            vec![preferring("c", 10, everything()), preferring("a", 11, everything())],
            "a,c,b",
        ),
        (
            "they add up",
            vec![
                preferring("a", 10, everything()),
                preferring("b", 9, everything()),
                preferring("b", 2, from(["b"])),
            ],
            "b,a,c",
        ),
        (
            "a node that the advertisement does not select gains nothing",
            vec![preferring("a", 100, from(["b"])), everything()],
            "c,a,b",
        ),
    ];
    for (name, ads, order) in rows {
        let mut facts = cluster(web());
        for (index, ad) in ads.into_iter().enumerate() {
            facts = facts.advertised(&format!("ad{index}"), ad);
        }
        let want = format!("candidate 192.0.2.10 shop/web order {order} on all interfaces");
        check(&facts, "a", [&want], name);
    }
    let facts = cluster(web().local([]))
        .healthy("shop/web", ["b"])
        .advertised("ad", preferring("a", 100, everything()));
    let want = "candidate 192.0.2.10 shop/web order b on all interfaces";
    check(&facts, "b", [want], "a preferred node without an endpoint of its own loses");
}

#[test]
fn interfaces_are_those_of_the_nodes_own_advertisements() {
    let base = || {
        cluster(web())
            .advertised("ad1", through(["eth0"], from(["a"])))
            .advertised("ad2", through(["eth1"], from(["a", "b"])))
    };
    let rows = [
        ("two advertisements", base(), "a", "eth0,eth1"),
        ("one of them", base(), "b", "eth1"),
        ("one without interfaces", base().advertised("ad3", from(["a"])), "a", "all interfaces"),
        ("which is not for this node", base().advertised("ad3", from(["a"])), "b", "eth1"),
        (
            "one for other Services",
            base().advertised("ad3", for_tier("gold", everything())),
            "b",
            "eth1",
        ),
        ("no candidate, perhaps the holder from before", base(), "c", "eth0,eth1"),
    ];
    for (name, facts, node, interfaces) in rows {
        let plan = plan(&facts, &node.into());
        let candidacy = plan.candidacies.values().next().unwrap();
        assert_eq!(candidacy.interfaces.to_string(), interfaces, "{name}");
        assert_eq!(candidacy.order.len(), 2, "{name}: one election over a and b");
    }
}

/// Two Services at one address, each forwarding only to its own nodes.
fn two<const N: usize, const M: usize>(api: [&str; N], web: [&str; M]) -> Facts {
    let local = |name, port| service(name).has(["192.0.2.10"]).shares("k").ports([port]).local([]);
    let mut facts = cluster(local("shop/web", "TCP/80")).advertised("ad", everything());
    let build = local("shop/api", "TCP/443");
    facts.services.insert(build.name, build.service);
    facts.healthy("shop/api", api).healthy("shop/web", web)
}

#[test]
fn a_shared_address_goes_where_all_its_services_are_served() {
    let serving = |services, order| {
        format!("candidate 192.0.2.10 {services} order {order} on all interfaces")
    };
    let silent = |service, why| format!("silent {service} 192.0.2.10 lan: {why}");
    let (both, nothing_local) = ("shop/api,shop/web", "no endpoint on this node is healthy");
    let beside = "it shares the address with `shop/web`, which this node cannot serve";
    check(&two(["a", "b"], ["b", "a"]), "a", [&*serving(both, "a,b")], "the same nodes");
    check(
        &two(["a", "b"], ["b", "c"]),
        "a",
        [&*serving(both, "b"), &silent("shop/api", beside), &silent("shop/web", nothing_local)],
        "one node in common",
    );
    check(
        &two(["a"], []),
        "a",
        [&*serving("shop/api", "a"), &silent("shop/web", "no endpoint is healthy")],
        "one of them has no endpoint",
    );
    check(
        &two(["a"], ["b"]),
        "a",
        [&*serving("shop/api", "a"), &silent("shop/web", nothing_local)],
        "no node in common: the first by name is served",
    );
    let beside = "it shares the address with `shop/api`, which this node cannot serve";
    check(
        &two(["a"], ["b"]),
        "b",
        [
            &*serving("shop/api", "a"),
            &silent("shop/api", nothing_local),
            &silent("shop/web", beside),
        ],
        "no node in common, seen from the other node",
    );
}

#[test]
fn what_another_load_balancer_announces_is_left_to_it() {
    let left = |service: &str| {
        format!(
            "silent {service} 192.0.2.10 lan: a MetalLB that still runs announces it from node `z`"
        )
    };
    let announced = |mut facts: Facts, service: &str| {
        facts.rivals.insert(service.parse().unwrap(), "z".into());
        facts
    };
    let alone = cluster(web()).advertised("ad", everything());
    check(&announced(alone.clone(), "shop/web"), "a", [&*left("shop/web")], "from any node");
    check(&announced(alone, "shop/other"), "a", [FROM_ALL], "a Service that is not there");
    check(
        &announced(two(["a"], ["a"]), "shop/web"),
        "a",
        [left("shop/api"), left("shop/web")].each_ref().map(String::as_str),
        "an address has one holder for all its Services",
    );
    let gone = cluster(web()).advertised("ad", everything());
    let unhealthy = announced(gone.endpoints("shop/web", [endpoint("a", false)]), "shop/web");
    let why = "silent shop/web 192.0.2.10 lan: no endpoint is healthy";
    check(&unhealthy, "a", [why], "there is a reason of our own");
}

const NODES: [&str; 4] = ["a", "b", "c", "d"];

proptest! {
    #[test]
    fn every_address_is_a_candidacy_or_a_silence(facts in any_facts(), node in 0..NODES.len()) {
        let node = NodeName::from(NODES[node]);
        let plan = plan(&facts, &node);
        for (name, service) in &facts.services {
            for &address in &service.addresses {
                let silences = plan.silences.iter();
                let silences = silences
                    .filter(|left| left.service == *name && left.address == Some(address))
                    .count();
                let is_candidate = plan.candidacies.get(&address).is_some_and(|candidacy| {
                    candidacy.services.contains(name) && candidacy.order.contains(&node)
                });
                prop_assert_eq!(silences + usize::from(is_candidate), 1, "{} {}", name, address);
            }
        }
        for candidacy in plan.candidacies.values() {
            prop_assert!(!candidacy.order.is_empty() && !candidacy.services.is_empty());
        }
    }

    #[test]
    fn candidates_do_not_depend_on_who_asks(facts in any_facts()) {
        let orders = |node: &str| -> Vec<_> {
            let plan = plan(&facts, &node.into());
            let candidacies = plan.candidacies.into_iter();
            candidacies.map(|(address, of)| (address, of.services, of.order)).collect()
        };
        for node in NODES {
            prop_assert_eq!(orders(node), orders("a"));
        }
    }

    #[test]
    fn a_node_that_goes_away_changes_no_other_order(facts in any_facts(), gone in 0..NODES.len()) {
        let gone = NodeName::from(NODES[gone]);
        let before = plan(&facts, &"a".into());
        let mut facts = facts;
        facts.nodes.remove(&gone);
        let after = plan(&facts, &"a".into());
        for (address, candidacy) in &before.candidacies {
            let has_it = |service: &&Service| service.addresses.contains(address);
            if facts.services.values().filter(has_it).count() > 1 {
                // Without this node other Services of the address may be served.
                continue;
            }
            let rest = candidacy.order.iter().filter(|node| **node != gone).collect::<Vec<_>>();
            let found = after.candidacies.get(address).map_or(&[][..], |of| &of.order);
            prop_assert_eq!(found.iter().collect::<Vec<_>>(), rest);
        }
    }
}

/// Services that share a few addresses, nodes in any condition, advertisements of some of them.
fn any_facts() -> impl Strategy<Value = Facts> {
    let services = prop::collection::vec(any_service(), 0..5);
    let nodes = prop::array::uniform4(any::<[bool; 2]>());
    let ads = prop::collection::vec(any_advertisement(), 0..3);
    (services, nodes, ads).prop_map(|(services, nodes, ads)| {
        let builds = services.iter().enumerate().map(|(index, (build, _))| Build {
            name: ServiceName::new("shop", format!("s{index}")),
            service: build.service.clone(),
        });
        let mut facts = facts(builds, [("main", pool(["192.0.2.0/24", "fc00::/120"]))]);
        for (index, (_, ends)) in services.iter().enumerate() {
            let ends = ends.iter().map(|(node, is_healthy)| endpoint(NODES[*node], *is_healthy));
            facts.endpoints.insert(ServiceName::new("shop", format!("s{index}")), ends.collect());
        }
        for (name, [is_excluded, is_network_unavailable]) in NODES.iter().zip(nodes) {
            facts = facts.node(name, []);
            let node = facts.nodes.get_mut(&NodeName::from(*name)).unwrap();
            (node.is_excluded, node.is_network_unavailable) = (is_excluded, is_network_unavailable);
        }
        for (index, ad) in ads.into_iter().enumerate() {
            facts = facts.advertised(&format!("ad{index}"), ad);
        }
        facts
    })
}

fn any_service() -> impl Strategy<Value = (Build, Vec<(usize, bool)>)> {
    let known = ["192.0.2.1", "192.0.2.2", "fc00::1", "10.0.0.1"].map(address);
    let addresses = prop::collection::vec(prop::sample::select(known.to_vec()), 0..3);
    let ends = prop::collection::vec((0..NODES.len(), any::<bool>()), 0..4);
    (addresses, any::<[bool; 2]>(), ends).prop_map(|(addresses, [is_local, shares], ends)| {
        let mut build = service("shop/s");
        build.service.addresses = addresses;
        if is_local {
            build = build.local([]);
        }
        if shares {
            build = build.shares("k");
        }
        (build, ends)
    })
}

pub(in crate::announce) fn any_advertisement() -> impl Strategy<Value = L2Advertisement> {
    let nodes = prop::collection::vec(prop::sample::select(NODES.to_vec()), 0..3);
    let departures = prop::sample::subsequence(Departure::ALL.to_vec(), 0..=5);
    (nodes, any::<[bool; 2]>(), 1..100, departures).prop_map(
        |(nodes, [is_selective, ignores_exclude_label], weight, departures)| {
            let node_selectors = nodes.iter().map(|name| selector([("name", name)])).collect();
            let moves_away = departures.into_iter().collect();
            let settings = Settings { moves_away, ignores_exclude_label, ..Settings::default() };
            let ad = L2Advertisement {
                node_selectors,
                settings: Arc::new(settings),
                ..preferring("b", weight, everything())
            };
            if is_selective { for_tier("gold", ad) } else { ad }
        },
    )
}
