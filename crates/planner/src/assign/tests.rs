//! Tables from MetalLB's behaviour.

mod properties;

use std::collections::BTreeSet;

use super::*;
use crate::build::{Build, address, facts, labels, pool, selector, service};
use crate::facts::Allocation;
use crate::facts::Families::{PreferDual, RequireDual, Single};
use crate::facts::Family::{V4, V6};

/// One line a Service: `a 192.0.2.1 main`, or `a` and the label of the refusal.
fn lines(all: &Assignments) -> Vec<String> {
    let given = all.given.iter().map(|(service, Assignment { addresses, pool })| {
        let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        format!("{} {} {pool}", service.name, addresses.join(","))
    });
    let refused = all
        .refusals
        .iter()
        .map(|(service, refusal)| format!("{} {}", service.name, refusal.label()));
    let lines: BTreeSet<_> = given.chain(refused).collect();
    lines.into_iter().collect()
}

#[track_caller]
fn check<const N: usize>(facts: &Facts, want: [&str; N], name: &str) {
    assert_eq!(lines(&assign_all(facts, Choice::FirstFree)), want, "{name}");
}

/// A pool for some namespaces, by priority.
fn pinned(range: &str, priority: i64, namespaces: &[&str]) -> Pool {
    let namespaces = namespaces.iter().map(|name| (*name).to_owned()).collect();
    let allocation = Allocation { priority, namespaces, ..Allocation::default() };
    Pool { allocation: Some(allocation), ..pool([range]) }
}

/// A pool for what some allocation selects.
fn allocated(range: &str, allocation: Allocation) -> Pool {
    Pool { allocation: Some(allocation), ..pool([range]) }
}

fn not_automatic(range: &str) -> Pool {
    Pool { auto_assign: false, ..pool([range]) }
}

#[test]
fn the_lowest_free_address_is_given() {
    let two = || [("main", pool(["192.0.2.0/31"]))];
    let (a, b, c) = (service("a"), service("b"), service("c"));
    check(
        &facts([a, b.clone(), c.clone()], two()),
        ["a 192.0.2.0 main", "b 192.0.2.1 main", "c exhausted"],
        "two addresses for three",
    );
    check(
        &facts([b.has(["192.0.2.1"]), c], two()),
        ["b 192.0.2.1 main", "c 192.0.2.0 main"],
        "the third gets what the first has left",
    );
}

#[test]
fn sharing_takes_the_first_address_that_is_free_or_shared() {
    let a = || service("a").shares("k");
    let rows = [
        ("another port", service("b").shares("k").ports(["TCP/443"]), "b 192.0.2.0 main"),
        ("the same port", service("b").shares("k"), "b 192.0.2.1 main"),
        (
            "other backends",
            service("b").shares("k").ports(["TCP/443"]).local([("app", "x")]),
            "b 192.0.2.1 main",
        ),
        (
            "a free one before",
            service("b").shares("k").ports(["TCP/443"]).asks_for(["192.0.2.2"]),
            "b 192.0.2.2 main",
        ),
    ];
    for (name, b, want) in rows {
        let facts = facts([a(), b], [("main", pool(["192.0.2.0/30"]))]);
        assert_eq!(lines(&assign_all(&facts, Choice::FirstFree)).last().unwrap(), want, "{name}");
    }
}

#[test]
fn pools_are_tried_in_order() {
    let pools = || {
        [
            ("p1", pinned("192.0.2.1/32", 10, &["n1"])),
            ("p2", pinned("192.0.2.2/32", 5, &["n1"])),
            ("p3", pool(["192.0.2.3/32"])),
            ("p0", pinned("192.0.2.0/32", 0, &["n1"])),
        ]
    };
    check(
        &facts(["n1/a", "n1/b", "n1/c", "n1/d", "n1/e"].map(service), pools()),
        ["a 192.0.2.2 p2", "b 192.0.2.1 p1", "c 192.0.2.0 p0", "d 192.0.2.3 p3", "e exhausted"],
        "by priority, zero last, then those for everyone",
    );
    check(
        &facts([service("n2/a"), service("n2/b").asks_for_pool("p1")], pools()),
        ["a 192.0.2.3 p3", "b namespaceNotSelected"],
        "another namespace",
    );
}

#[test]
fn a_pool_is_for_those_that_its_allocation_selects() {
    let by_name = || Allocation { namespaces: ["shop".into()].into(), ..Allocation::default() };
    let by_label = |key, value| Allocation {
        namespace_selectors: vec![selector([(key, value)])],
        ..Allocation::default()
    };
    let service_selectors = || vec![selector([("tier", "gold")])];
    let rows = [
        ("its name", by_name(), Ok(())),
        ("its label", by_label("team", "a"), Ok(())),
        ("the label that is its name", by_label("kubernetes.io/metadata.name", "shop"), Ok(())),
        ("a label of no namespace", by_label("team", "b"), Err("namespaceNotSelected")),
        ("only a priority", Allocation { priority: 3, ..Allocation::default() }, Ok(())),
        (
            "its own label",
            Allocation { service_selectors: service_selectors(), ..Allocation::default() },
            Ok(()),
        ),
        (
            "its namespace but another label",
            Allocation { service_selectors: vec![selector([("tier", "tin")])], ..by_name() },
            Err("serviceNotSelected"),
        ),
        (
            "its label but another namespace",
            Allocation { service_selectors: service_selectors(), ..by_label("team", "b") },
            Err("namespaceNotSelected"),
        ),
    ];
    for (name, allocation, want) in rows {
        let web = service("shop/web").labels([("tier", "gold")]);
        let mut facts = facts([web], [("main", allocated("192.0.2.0/24", allocation))]);
        let of_shop = labels([("team", "a"), ("kubernetes.io/metadata.name", "shop")]);
        facts.namespaces.insert("shop".into(), of_shop);
        let all = assign_all(&facts, Choice::FirstFree);
        let found = all.refusals.values().next().map_or(Ok(()), |refusal| Err(refusal.label()));
        assert_eq!(found, want, "{name}");
    }
}

#[test]
fn a_namespace_without_labels_has_its_name() {
    let allocation = Allocation {
        namespace_selectors: vec![selector([("kubernetes.io/metadata.name", "shop")])],
        ..Allocation::default()
    };
    let pools = [("main", allocated("192.0.2.0/24", allocation))];
    check(&facts([service("shop/web")], pools), ["web 192.0.2.0 main"], "by its name");
}

#[test]
fn a_request_is_met_or_refused() {
    let pools = || {
        [
            ("auto", pool(["192.0.2.0/24", "fc00::/120"])),
            ("manual", not_automatic("198.51.100.0/24")),
            ("v6", pool(["fc00:1::/120"])),
            ("other", pinned("203.0.113.0/24", 1, &["elsewhere"])),
        ]
    };
    let a = || service("a");
    let dual = || service("a").needs(RequireDual);
    let rows = [
        ("an address", a().asks_for(["192.0.2.9"]), "a 192.0.2.9 auto"),
        (
            "of a pool that is not automatic",
            a().asks_for(["198.51.100.9"]),
            "a 198.51.100.9 manual",
        ),
        ("in no pool", a().asks_for(["10.0.0.1"]), "a ipNotAllowed"),
        ("in a pool for others", a().asks_for(["203.0.113.1"]), "a namespaceNotSelected"),
        ("of the wrong family", a().asks_for(["fc00::1"]), "a ipFamilyMismatch"),
        ("a pool", a().asks_for_pool("manual"), "a 198.51.100.0 manual"),
        ("a pool without the family", a().asks_for_pool("v6"), "a noSuchFamily"),
        ("no such pool", a().asks_for_pool("x"), "a unknownPool"),
        (
            "an address and its pool",
            a().asks_for_pool("manual").asks_for(["198.51.100.9"]),
            "a 198.51.100.9 manual",
        ),
        (
            "an address and another pool",
            a().asks_for_pool("manual").asks_for(["192.0.2.9"]),
            "a differentPoolRequested",
        ),
        (
            "both families, in the order asked for",
            dual().asks_for(["fc00::1", "192.0.2.9"]),
            "a fc00::1,192.0.2.9 auto",
        ),
        (
            "both families from two pools",
            dual().asks_for(["fc00:1::1", "192.0.2.9"]),
            "a ipsInDifferentPools",
        ),
        ("one address for dual stack", dual().asks_for(["192.0.2.9"]), "a ipFamilyMismatch"),
        (
            "one address where dual stack is preferred",
            a().needs(PreferDual(V4)).asks_for(["192.0.2.9"]),
            "a ipFamilyMismatch",
        ),
        ("two of one family", dual().asks_for(["192.0.2.9", "192.0.2.10"]), "a ipFamilyMismatch"),
        ("an address that is taken", a().asks_for(["192.0.2.77"]), "a notShared"),
    ];
    for (name, build, want) in rows {
        let holder = service("z").has(["192.0.2.77"]);
        check(&facts([build, holder], pools()), [want, "z 192.0.2.77 auto"], name);
    }
}

#[test]
fn families_come_from_one_pool() {
    let v4 = || ("v4", pool(["192.0.2.0/24"]));
    let v6 = || ("v6", pool(["fc00::/120"]));
    let both = || ("zboth", pool(["198.51.100.0/24", "fc00:1::/120"]));
    let rows = [
        ("one of IPv6", Single(V6), vec![v4(), v6()], "a fc00:: v6"),
        ("both required", RequireDual, vec![v4(), v6(), both()], "a 198.51.100.0,fc00:1:: zboth"),
        ("both required, no pool has both", RequireDual, vec![v4(), v6()], "a noSuchFamily"),
        (
            "both preferred",
            PreferDual(V4),
            vec![v4(), v6(), both()],
            "a 198.51.100.0,fc00:1:: zboth",
        ),
        ("IPv4 preferred", PreferDual(V4), vec![v4(), v6()], "a 192.0.2.0 v4"),
        ("IPv6 preferred", PreferDual(V6), vec![v4(), v6()], "a fc00:: v6"),
        ("the only one", PreferDual(V6), vec![v4()], "a 192.0.2.0 v4"),
    ];
    for (name, families, pools, want) in rows {
        let mut facts = facts([service("a").needs(families)], []);
        facts.pools = pools.into_iter().map(|(name, pool)| (name.into(), pool)).collect();
        check(&facts, [want], name);
    }
}

#[test]
fn a_pool_that_selects_the_service_comes_before_dual_stack() {
    let pools = [
        ("mine", pinned("192.0.2.0/24", 1, &["default"])),
        ("open", pool(["198.51.100.0/24", "fc00::/120"])),
    ];
    check(
        &facts([service("a").needs(PreferDual(V4))], pools),
        ["a 192.0.2.0 mine"],
        "a tier is left only if nothing in it will do",
    );
}

/// A Service, its pool, what it gets, and why it does not keep what it has.
type Kept<'a> = (&'a str, Build, Pool, &'a str, Option<&'a str>);

#[track_caller]
fn check_kept<const N: usize>(rows: [Kept<'_>; N]) {
    for (name, build, pool, want, lost) in rows {
        let all = assign_all(&facts([build], [("p", pool)]), Choice::FirstFree);
        assert_eq!(lines(&all), [want], "{name}");
        assert_eq!(all.lost.values().next().map(Refusal::label), lost, "{name}");
    }
}

#[test]
fn what_a_service_has_it_keeps_if_its_pool_lets_it() {
    let main = || pool(["192.0.2.0/24"]);
    let has = || service("a").has(["192.0.2.9"]);
    let asks = |address| has().asks_for([address]);
    let buggy = || service("a").has(["192.0.2.0"]);
    let avoiding = || Pool { avoid_buggy_ips: true, ..main() };
    let manual = || not_automatic("192.0.2.0/24");
    let small = || pool(["192.0.2.0/29"]);
    let others = || pinned("192.0.2.0/24", 1, &["x"]);
    let not_for_it = "a namespaceNotSelected";
    check_kept([
        ("nothing has changed", has(), main(), "a 192.0.2.9 p", None),
        ("its pool is not automatic any more", has(), manual(), "a 192.0.2.9 p", None),
        ("its pool has shrunk", has(), small(), "a 192.0.2.0 p", Some("ipNotAllowed")),
        ("its pool avoids it", buggy(), avoiding(), "a 192.0.2.1 p", Some("ipAvoided")),
        ("its pool is for others", has(), others(), not_for_it, Some("namespaceNotSelected")),
        ("it asks for what it has", asks("192.0.2.9"), main(), "a 192.0.2.9 p", None),
        (
            "it asks for another",
            asks("192.0.2.7"),
            main(),
            "a 192.0.2.7 p",
            Some("differentIPRequested"),
        ),
    ]);
    let other = pool(["198.51.100.0/24"]);
    let facts = facts([has().asks_for_pool("q")], [("p", main()), ("q", other)]);
    check(&facts, ["a 198.51.100.0 q"], "it asks for another pool");
}

#[test]
fn what_a_service_has_it_keeps_if_the_families_are_right() {
    let v4 = || pool(["192.0.2.0/24"]);
    let both = || pool(["192.0.2.0/24", "fc00::/120"]);
    let has = |needs| service("a").has(["192.0.2.9"]).needs(needs);
    let has_both = |needs| service("a").has(["192.0.2.9", "fc00::9"]).needs(needs);
    let twice = service("a").has(["192.0.2.9", "192.0.2.9"]);
    let mismatch = Some("ipFamilyMismatch");
    check_kept([
        ("it needs IPv6 now", has(Single(V6)), both(), "a fc00:: p", mismatch),
        ("it needs both now", has(RequireDual), both(), "a 192.0.2.0,fc00:: p", mismatch),
        ("it would like both", has(PreferDual(V4)), both(), "a 192.0.2.9,fc00:: p", None),
        ("it would, but has no pool", has(PreferDual(V4)), v4(), "a 192.0.2.9 p", None),
        (
            "it would, but asks for what it has",
            has(PreferDual(V4)).asks_for(["192.0.2.9"]),
            both(),
            "a 192.0.2.9 p",
            None,
        ),
        ("it has both", has_both(PreferDual(V4)), both(), "a 192.0.2.9,fc00::9 p", None),
        ("it needs only one now", has_both(Single(V4)), both(), "a 192.0.2.0 p", mismatch),
        (
            "one of both has left the pool",
            has_both(PreferDual(V4)),
            v4(),
            "a 192.0.2.0 p",
            Some("ipNotAllowed"),
        ),
        ("it has one address twice", twice, v4(), "a 192.0.2.9 p", None),
    ]);
}

#[test]
fn a_service_that_moves_takes_nothing_that_another_has() {
    let moving = service("a").has(["10.0.0.1"]);
    let staying = service("b").has(["192.0.2.0"]);
    let asking = service("c").asks_for(["192.0.2.1"]);
    check(
        &facts([moving, staying, asking], [("p", pool(["192.0.2.0/24"]))]),
        ["a 192.0.2.2 p", "b 192.0.2.0 p", "c 192.0.2.1 p"],
        "those that have and those that ask come first",
    );
}

#[test]
fn an_address_asked_for_comes_before_a_second_family() {
    let growing = service("a").has(["192.0.2.0"]).needs(PreferDual(V4));
    let asking = service("b").needs(Single(V6)).asks_for(["fc00::"]);
    check(
        &facts([growing, asking], [("p", pool(["192.0.2.0/24", "fc00::/127"]))]),
        ["a 192.0.2.0,fc00::1 p", "b fc00:: p"],
        "the lowest is left to the one that asks",
    );
}

#[test]
fn a_refusal_says_what_each_pool_lacks() {
    let pools = [
        ("full", pool(["192.0.2.1/32"])),
        ("manual", not_automatic("198.51.100.0/24")),
        ("other", pinned("203.0.113.0/24", 1, &["elsewhere"])),
        ("v6", pool(["fc00::/64"])),
    ];
    let facts = facts([service("a").has(["192.0.2.1"]), service("b")], pools);
    let all = assign_all(&facts, Choice::FirstFree);
    assert_eq!(
        all.refusals.values().next().unwrap().to_string(),
        "no pool can serve it: `full` has no IPv4 address left, 1 of 1 are in use; \
         `v6` has no IPv4 addresses; `manual` has `autoAssign` off and must be asked for; \
         `other` is not for its namespace"
    );
    let none = Facts { pools: BTreeMap::new(), ..facts };
    check(&none, ["a noPools", "b noPools"], "no pool at all");
}

#[test]
fn a_full_pool_is_the_reason_even_where_dual_stack_is_preferred() {
    let facts = facts(
        [service("a").has(["192.0.2.1"]), service("b").needs(PreferDual(V4))],
        [("p", pool(["192.0.2.1/32"]))],
    );
    check(&facts, ["a 192.0.2.1 p", "b exhausted"], "IPv6 was only preferred");
}

#[test]
fn a_refusal_is_about_what_is_left_in_the_end() {
    // When b is served an IPv4 address is still free, which c gets.
    let dual = |name| service(name).needs(RequireDual);
    let pools = [("p", pool(["192.0.2.0/31", "fc00::1/128"]))];
    let all = assign_all(&facts([dual("a"), dual("b"), service("c")], pools), Choice::FirstFree);
    let refusal = all.refusals.values().next().unwrap().to_string();
    let want = "no pool can serve it: `p` has no IPv4 address left, 2 of 2 are in use";
    assert_eq!(refusal, want);
}

#[test]
fn several_addresses_of_a_family() {
    let small = || pool(["192.0.2.0/30"]);
    let both = || pool(["192.0.2.0/30", "fc00::/126"]);
    let has = |addresses: [&str; 2]| service("a").has(addresses);
    check_kept([
        ("new", service("a").count(3), small(), "a 192.0.2.0,192.0.2.1,192.0.2.2 p", None),
        ("all or nothing when new", service("a").count(5), small(), "a exhausted", None),
        (
            "of both families",
            service("a").count(2).needs(RequireDual),
            both(),
            "a 192.0.2.0,192.0.2.1,fc00::,fc00::1 p",
            None,
        ),
        (
            "growing",
            service("a").has(["192.0.2.2"]).count(2),
            small(),
            "a 192.0.2.2,192.0.2.0 p",
            None,
        ),
        (
            "growing as far as there are some",
            has(["192.0.2.2", "192.0.2.3"]).count(9),
            small(),
            "a 192.0.2.2,192.0.2.3,192.0.2.0,192.0.2.1 p",
            None,
        ),
        (
            "shrinking gives back the last",
            has(["192.0.2.3", "192.0.2.1"]),
            small(),
            "a 192.0.2.3 p",
            None,
        ),
        (
            "only what has left the pool is replaced",
            has(["192.0.2.4", "192.0.2.3"]).count(2),
            small(),
            "a 192.0.2.3,192.0.2.0 p",
            Some("ipNotAllowed"),
        ),
        (
            "a second family is added to it",
            has(["192.0.2.3", "192.0.2.1"]).count(2).needs(PreferDual(V4)),
            both(),
            "a 192.0.2.3,192.0.2.1,fc00::,fc00::1 p",
            None,
        ),
        (
            "asking for all of them",
            service("a").count(2).asks_for(["192.0.2.3", "192.0.2.1"]),
            small(),
            "a 192.0.2.3,192.0.2.1 p",
            None,
        ),
        (
            "asking for too few",
            service("a").count(2).asks_for(["192.0.2.3"]),
            small(),
            "a ipFamilyMismatch",
            None,
        ),
    ]);
    let sharing = || service("a").shares("k").count(2);
    let other = service("b").shares("k").ports(["TCP/443"]).count(2);
    check(
        &facts([sharing().has(["192.0.2.1"]), other], [("p", small())]),
        ["a 192.0.2.1,192.0.2.0 p", "b 192.0.2.0,192.0.2.1 p"],
        "sharing takes none twice",
    );
}

#[test]
fn a_draining_pool_gives_nothing_new() {
    let draining = || Pool { is_draining: true, ..pool(["192.0.2.0/24", "fc00::/120"]) };
    let has = || service("a").has(["192.0.2.9"]);
    let reserving = Pool {
        reservations: [(address("192.0.2.7"), service("a").name)].into_iter().collect(),
        ..draining()
    };
    let twice = "a 192.0.2.9 p";
    check_kept([
        ("what it has it keeps", has(), draining(), twice, None),
        ("no other address of its own", has().count(2), draining(), twice, None),
        ("no other family", has().needs(PreferDual(V4)), draining(), twice, None),
        ("new", service("a"), draining(), "a poolDraining", None),
        ("reserved", service("a"), reserving, "a poolDraining", None),
        ("by pool", service("a").asks_for_pool("p"), draining(), "a poolDraining", None),
        ("by address", service("a").asks_for(["192.0.2.7"]), draining(), "a poolDraining", None),
    ]);
    let facts = facts([has().count(2)], [("p", draining())]);
    let short = assign_all(&facts, Choice::FirstFree).short;
    assert_eq!(short.into_values().collect::<Vec<_>>(), [Obstacle::Draining]);
}

#[test]
fn a_quota_limits_what_a_namespace_gets() {
    let limited =
        |quota| Pool { namespace_quota: Some(quota), ..pool(["192.0.2.0/24", "fc00::/120"]) };
    let shares = |name: &str, port| service(name).shares("k").ports([port]);
    check(
        &facts([service("a"), service("b"), service("other/c")], [("p", limited(1))]),
        ["a 192.0.2.0 p", "b quotaReached", "c 192.0.2.1 p"],
        "each namespace has its own",
    );
    check(
        &facts(
            [service("a").has(["192.0.2.7"]), service("b").has(["192.0.2.8"])],
            [("p", limited(1))],
        ),
        ["a 192.0.2.7 p", "b 192.0.2.8 p"],
        "a lower quota takes nothing away",
    );
    check(
        &facts(
            [shares("a", "TCP/80"), shares("b", "TCP/443"), shares("c", "TCP/80")],
            [("p", limited(1))],
        ),
        ["a 192.0.2.0 p", "b 192.0.2.0 p", "c quotaReached"],
        "what the namespace shares counts once",
    );
    check(
        &facts(
            [shares("x/a", "TCP/80").has(["192.0.2.0"]), shares("b", "TCP/443")],
            [("p", limited(0))],
        ),
        ["a 192.0.2.0 p", "b quotaReached"],
        "what another namespace shares counts for both",
    );
    check(
        &facts(
            [service("a").needs(RequireDual), service("b").needs(PreferDual(V6))],
            [("p", limited(1))],
        ),
        ["a quotaReached", "b fc00:: p"],
        "both families count",
    );
    check(
        &facts(
            [service("a").has(["192.0.2.7"]), service("b").asks_for(["192.0.2.8"])],
            [("p", limited(1))],
        ),
        ["a 192.0.2.7 p", "b quotaReached"],
        "also for who asks",
    );
    let all = facts([service("a").has(["192.0.2.7"]), service("b")], [("p", limited(1))]);
    assert_eq!(
        assign_all(&all, Choice::Hashed).refusals.into_values().next().unwrap().to_string(),
        "no pool can serve it: `p` lets a namespace have 1 of its addresses, \
         and `default` has 1 already"
    );
}

#[test]
fn a_reserved_address_is_for_its_service_alone() {
    let reserving = |of: &[(&str, &str)]| Pool {
        reservations: of.iter().map(|(at, name)| (address(at), service(name).name)).collect(),
        ..pool(["192.0.2.0/30"])
    };
    let for_a = || reserving(&[("192.0.2.2", "a")]);
    let two = || [("open", pool(["10.0.0.0/24"])), ("p", for_a())];
    check(
        &facts([service("b"), service("a")], two()),
        ["a 192.0.2.2 p", "b 10.0.0.0 open"],
        "its pool comes first for it",
    );
    check(
        &facts([service("a").has(["10.0.0.9"])], two()),
        ["a 10.0.0.9 open"],
        "what it has it keeps",
    );
    check(
        &facts([service("a").needs(Single(V6))], two()),
        ["a noSuchFamily"],
        "a family that it does not need",
    );
    let manual = Pool { auto_assign: false, ..for_a() };
    check(
        &facts([service("a"), service("b")], [("p", manual)]),
        ["a 192.0.2.2 p", "b autoAssignOff"],
        "a reservation is as good as asking",
    );
    let names = ["b", "c", "d", "e"].map(service);
    let all = facts(names, [("p", for_a())]);
    check(
        &all,
        ["b 192.0.2.0 p", "c 192.0.2.1 p", "d 192.0.2.3 p", "e exhausted"],
        "nobody else gets it, whether its Service exists or not",
    );
    assert_eq!(
        assign_all(&all, Choice::FirstFree).refusals.into_values().next().unwrap().to_string(),
        "no pool can serve it: `p` has no IPv4 address left, 3 of 4 are in use and 1 reserved"
    );
    check(
        &facts([service("b").asks_for(["192.0.2.2"])], [("p", for_a())]),
        ["b reservedForOther"],
        "not for asking either",
    );
    check(
        &facts([service("a"), service("b").has(["192.0.2.2"])], [("p", for_a())]),
        ["a 192.0.2.2 p", "b 192.0.2.0 p"],
        "who has it moves",
    );
    check(
        &facts(
            [service("a").shares("k"), service("b").shares("k").ports(["TCP/443"])],
            [("p", for_a())],
        ),
        ["a 192.0.2.2 p", "b 192.0.2.0 p"],
        "it is not shared",
    );
    check(
        &facts(
            [service("a").count(3)],
            [("p", reserving(&[("192.0.2.3", "a"), ("192.0.2.1", "a")]))],
        ),
        ["a 192.0.2.1,192.0.2.3,192.0.2.0 p"],
        "reserved ones first, then others of the pool",
    );
}

#[test]
fn hashed_addresses_are_part_of_the_contract() {
    // Changing these lines means that nodes of two versions disagree: do it in two releases.
    let builds = [
        service("shop/web"),
        service("shop/api"),
        service("shop/b").shares("k"),
        service("shop/c").shares("k").ports(["TCP/443"]),
        service("d").needs(RequireDual),
    ];
    let pools = [("p", pool(["192.0.2.0/25", "198.51.100.128/25", "fc00::/64"]))];
    let all = assign_all(&facts(builds, pools), Choice::Hashed);
    assert_eq!(lines(&all), HASHED);
}

const HASHED: [&str; 5] = [
    "api 198.51.100.222 p",
    "b 198.51.100.238 p",
    "c 198.51.100.238 p",
    "d 192.0.2.110,fc00::1cf:65bd:77e:c6e p",
    "web 192.0.2.53 p",
];

#[test]
fn hashing_goes_round_the_pool_and_fills_it() {
    let names: Vec<_> = (0..8).map(|number| format!("s{number}")).collect();
    let pools = [("p", pool(["192.0.2.0/30", "192.0.2.8/30"]))];
    let all = assign_all(&facts(names.iter().map(|name| service(name)), pools), Choice::Hashed);
    assert!(all.refusals.is_empty());
    let given: BTreeSet<_> = all.given.values().flat_map(|given| &given.addresses).collect();
    assert_eq!(given.len(), 8);
}

fn plain(names: &BTreeSet<u16>) -> Vec<Build> {
    names.iter().map(|number| service(&format!("n{}/s{number}", number % 7))).collect()
}

fn hashed(names: &BTreeSet<u16>) -> BTreeMap<ServiceName, IpAddr> {
    let facts = facts(plain(names), [("p", pool(["192.0.2.0/25", "198.51.100.0/25"]))]);
    let all = assign_all(&facts, Choice::Hashed);
    all.given.into_iter().map(|(name, given)| (name, given.addresses[0])).collect()
}

/// Services other than the newcomer whose address is not what it was.
fn moved(
    before: &BTreeMap<ServiceName, IpAddr>,
    after: &BTreeMap<ServiceName, IpAddr>,
) -> BTreeSet<ServiceName> {
    let is_moved = |(name, address): &(&ServiceName, &IpAddr)| after.get(*name) != Some(*address);
    before.iter().filter(is_moved).map(|(name, _)| name.clone()).collect()
}

#[test]
fn a_newcomer_moves_less_than_one_in_a_pool_four_times_as_large() {
    let names: BTreeSet<_> = (0..63).collect();
    let before = hashed(&names);
    let newcomers = 1000..1400;
    let count = newcomers.len();
    let total: usize = newcomers
        .map(|newcomer| {
            let mut names = names.clone();
            names.insert(newcomer);
            moved(&before, &hashed(&names)).len()
        })
        .sum();
    assert!(total < count, "{total} moves for {count} newcomers");
}

#[test]
fn pools_that_come_before_are_passed_over_for_a_reason() {
    let no_others = Allocation { priority: 1, ..Allocation::default() };
    let pools = || {
        [
            ("a-full", pool(["192.0.2.1/32"])),
            ("b-asked-for", not_automatic("192.0.2.2/32")),
            ("c-six", pool(["fc00::/120"])),
            ("d-good", pool(["198.51.100.0/24"])),
            ("e-first", allocated("fc00:1::/120", no_others.clone())),
            ("f-after", pool(["203.0.113.0/24"])),
        ]
    };
    let rows = [
        (
            "chosen",
            service("web"),
            vec!["e-first noSuchFamily", "a-full exhausted", "c-six noSuchFamily"],
        ),
        ("it asks for the pool", service("web").asks_for_pool("f-after"), vec![]),
        ("it asks for the address", service("web").asks_for(["203.0.113.7"]), vec![]),
        ("it has none", service("web").asks_for_pool("none"), vec![]),
    ];
    for (name, web, want) in rows {
        let facts = facts([service("old").has(["192.0.2.1"]), web], pools());
        let all = assign_all(&facts, Choice::Hashed);
        let web = "web".parse().unwrap();
        let passed = passed_over(&web, &facts.services[&web], Pools::of(&facts), &all);
        let passed: Vec<_> =
            passed.iter().map(|(pool, why)| format!("{pool} {}", why.label())).collect();
        assert_eq!(passed, want, "{name}");
    }
}

#[test]
fn filled_facts_hold_what_was_given_and_nothing_else() {
    let services = [service("a"), service("b").has(["198.51.100.1"])];
    let mut facts = facts(services, [("main", pool(["192.0.2.1/32"]))]);
    assign_all(&facts, Choice::FirstFree).fill(&mut facts);
    let addresses: Vec<_> = facts.services.values().map(|one| one.addresses.clone()).collect();
    assert_eq!(addresses, [vec![address("192.0.2.1")], vec![]]);
}

#[test]
fn of_two_with_the_same_address_the_one_created_later_gives_it_up() {
    let has = |name: &str| service(name).has(["192.0.2.1"]);
    let rows = [
        ("the older has the later name", has("a").created(2), has("b").created(1), "b"),
        ("the older has the earlier name", has("a").created(1), has("b").created(2), "a"),
        ("created at once", has("a").created(1), has("b").created(1), "a"),
        ("one is not created yet", has("a"), has("b").created(9), "b"),
        ("neither is", has("a"), has("b"), "a"),
    ];
    for (name, a, b, keeps) in rows {
        let facts = facts([a, b], [("p", pool(["192.0.2.0/29"]))]);
        let all = assign_all(&facts, Choice::FirstFree);
        let addresses =
            |name: &str| all.given[&name.parse::<ServiceName>().unwrap()].addresses.clone();
        let other = if keeps == "a" { "b" } else { "a" };
        assert_eq!(addresses(keeps), [address("192.0.2.1")], "{name}");
        assert_eq!(addresses(other), [address("192.0.2.0")], "{name}");
        assert_eq!(all.lost.len(), 1, "{name}");
    }
}
