//! Tables from MetalLB's behaviour.

use std::time::Duration;

use super::*;
use crate::announce::build::{everything, external};
use crate::build::{facts, labels, pool, selector};

fn cluster<const N: usize>(ranges: [&str; N]) -> Facts {
    facts([], [("main", pool(ranges))]).node("a", []).node("b", [])
}

#[track_caller]
fn check<const N: usize>(facts: &Facts, want: [&str; N], name: &str) {
    let found: Vec<_> = conflicts(facts).iter().map(ToString::to_string).collect();
    assert_eq!(found, want, "{name}");
}

fn low() -> BgpAdvertisement {
    everything().preferred(100)
}

fn high() -> BgpAdvertisement {
    everything().preferred(200)
}

const V4: [&str; 1] = ["192.0.2.0/24"];
const V6: [&str; 1] = ["fc00::/120"];
const BOTH: [&str; 2] = ["192.0.2.0/24", "fc00::/120"];

#[test]
fn one_route_has_one_local_preference() {
    let none = everything;
    let rows = [
        ("the same preference", cluster(V4).told("x", low()).told("y", low()), false),
        ("no preference, twice", cluster(V4).told("x", none()).told("y", none()), false),
        ("different preferences", cluster(V4).told("x", low()).told("y", high()), true),
        ("one has none", cluster(V4).told("x", none()).told("y", high()), true),
        (
            "IPv4 routes differ",
            cluster(V4).told("x", low()).told("y", high().aggregated(24, 128)),
            false,
        ),
        (
            "only IPv6 routes differ, and there are none",
            cluster(V4).told("x", low()).told("y", high().aggregated(32, 124)),
            true,
        ),
        (
            "IPv6 routes differ",
            cluster(V6).told("x", low()).told("y", high().aggregated(32, 124)),
            false,
        ),
        (
            "only IPv4 routes differ, and there are none",
            cluster(V6).told("x", low()).told("y", high().aggregated(24, 128)),
            true,
        ),
        (
            "of both families only IPv4 routes differ",
            cluster(BOTH).told("x", low()).told("y", high().aggregated(24, 128)),
            true,
        ),
        (
            "of both families only IPv6 routes differ",
            cluster(BOTH).told("x", low()).told("y", high().aggregated(32, 124)),
            true,
        ),
        (
            "routes of both families differ",
            cluster(BOTH).told("x", low()).told("y", high().aggregated(24, 124)),
            false,
        ),
    ];
    for (name, facts, want) in rows {
        assert_eq!(!conflicts(&facts).is_empty(), want, "{name}");
    }
}

#[test]
fn different_local_preferences_may_be_for_others() {
    let rows = [
        ("other peers", cluster(V4).told("x", low().to(["p"])).told("y", high().to(["q"])), false),
        (
            "one peer in common",
            cluster(V4).told("x", low().to(["p", "q"])).told("y", high().to(["q", "r"])),
            true,
        ),
        (
            "all peers and one of them",
            cluster(V4).told("x", low()).told("y", high().to(["q"])),
            true,
        ),
        (
            "other nodes",
            cluster(V4).told("x", low().from(["a"])).told("y", high().from(["b"])),
            false,
        ),
        (
            "one node in common",
            cluster(V4).told("x", low().from(["a", "b"])).told("y", high().from(["b"])),
            true,
        ),
        (
            "nodes that do not exist",
            cluster(V4).told("x", low().from(["x"])).told("y", high()),
            false,
        ),
        (
            "one selects Services",
            cluster(V4).told("x", low().for_tier("gold")).told("y", high()),
            false,
        ),
        (
            "the other selects Services",
            cluster(V4).told("x", low()).told("y", high().for_tier("gold")),
            false,
        ),
        (
            "other pools",
            cluster(V4).told("x", low().of_pools(["main"])).told("y", high().of_pools(["other"])),
            false,
        ),
    ];
    for (name, facts, want) in rows {
        assert_eq!(!conflicts(&facts).is_empty(), want, "{name}");
    }
}

#[test]
fn each_advertisement_is_in_conflict_once_with_the_first_that_it_meets() {
    let facts = cluster(V4)
        .told("x", everything().preferred(100))
        .told("y", everything())
        .told("z", everything().preferred(100));
    let mend = "make them equal, or separate nodes, peers or aggregation lengths";
    check(
        &facts,
        [
            &*format!(
                "BGPAdvertisement `y` for pool `main`: invalid local preference (none): \
                 BGPAdvertisement `x` gives the same routes 100; {mend}"
            ),
            &*format!(
                "BGPAdvertisement `z` for pool `main`: invalid local preference 100: \
                 BGPAdvertisement `y` gives the same routes (none); {mend}"
            ),
        ],
        "three in a row",
    );
    assert_eq!(conflicts(&facts)[0].clash.label(), "conflictingAdvertisements");
}

#[test]
fn routes_are_for_no_more_than_the_pool_has() {
    let rows: [(_, &[&str], _, _); 9] = [
        ("the length of the pool", &["192.0.2.0/24"], (24, 128), None),
        ("less", &["192.0.2.0/24"], (23, 128), Some((23, 24, "192.0.2.0/24"))),
        (
            "the second range is smaller",
            &["192.0.2.0/24", "10.0.0.0/28"],
            (26, 128),
            Some((26, 28, "10.0.0.0/28")),
        ),
        ("a range counts by its widest prefix", &["192.0.2.1-192.0.2.40"], (28, 128), None),
        (
            "a range is not wider than its widest prefix",
            &["192.0.2.1-192.0.2.40"],
            (27, 128),
            Some((27, 28, "192.0.2.1-192.0.2.40")),
        ),
        ("one address", &["192.0.2.1/32"], (31, 128), Some((31, 32, "192.0.2.1/32"))),
        ("all of IPv4", &["0.0.0.0/0"], (0, 128), None),
        ("IPv6", &["fc00::/120"], (0, 119), Some((119, 120, "fc00::/120"))),
        ("all of IPv6", &["::/0"], (32, 0), None),
    ];
    for (name, ranges, (v4, v6), want) in rows {
        let ranges = ranges.iter().map(|text| Range::parse(text).unwrap());
        let mut facts = cluster(V4).told("x", everything().aggregated(v4, v6));
        facts.pools.get_mut(&"main".into()).unwrap().ranges = ranges.collect();
        let found = conflicts(&facts).into_iter().map(|conflict| conflict.clash.to_string());
        let want = want.map(|(length, needed, range)| {
            let field = if v6 == 128 { "aggregationLength" } else { "aggregationLengthV6" };
            format!(
                "invalid aggregation length {length}: prefix {needed} in this pool is more \
                 specific than the aggregation length for addresses {range}; \
                 set `{field}` to {needed} or more"
            )
        });
        assert_eq!(found.collect::<Vec<_>>(), Vec::from_iter(want), "{name}");
    }
}

#[test]
fn echo_is_for_ipv4_only() {
    let echoing = || external().watched(Some(Duration::from_millis(50)));
    let base = |ranges| cluster(ranges).peer("p", echoing()).peer("q", external().watched(None));
    let echo = "BGPAdvertisement `x` for pool `main`: the pool has IPv6 addresses, and peer `p` \
                has BFD echo, which there is only for IPv4; name other peers, or switch \
                `echoMode` off";
    check(&base(["fc00::/120"]).told("x", everything()), [echo], "all peers");
    check(&base(["fc00::/120"]).told("x", everything().to(["p"])), [echo], "this peer");
    check(&base(["fc00::/120"]).told("x", everything().to(["q"])), [], "a peer without echo");
    check(&base(["192.0.2.0/24"]).told("x", everything()), [], "IPv4");
    check(&base(["fc00::/120"]), [], "nothing is announced");
}

#[test]
fn a_pool_is_meant_by_name_or_label() {
    let mut facts = cluster(V4);
    facts.pools.get_mut(&"main".into()).unwrap().labels = labels([("rack", "1")]);
    let wide = |ad: BgpAdvertisement| ad.aggregated(8, 128);
    let by_label = |value| BgpAdvertisement {
        pool_selectors: vec![selector([("rack", value)])],
        ..everything()
    };
    let rows = [
        ("any pool", everything(), 1),
        ("by name", everything().of_pools(["main"]), 1),
        ("another name", everything().of_pools(["other"]), 0),
        ("by label", by_label("1"), 1),
        ("another label", by_label("2"), 0),
        ("by name and by label is once", by_label("1").of_pools(["main"]), 1),
    ];
    for (name, ad, want) in rows {
        assert_eq!(conflicts(&facts.clone().told("x", wide(ad))).len(), want, "{name}");
    }
}
