//! Tables from MetalLB's behaviour, and what must hold for any Services.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::build::{Build, address, facts, labels, pool, selector, service};
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
        ("it has one address twice", twice, v4(), "a 192.0.2.0 p", mismatch),
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
fn released_first_a_service_can_be_given_its_own_address_again() {
    let shrinking = service("a").has(["192.0.2.1", "fc00::1"]);
    let facts = facts([shrinking], [("p", pool(["192.0.2.1/32", "fc00::1/128"]))]);
    let (name, service) = facts.services.first_key_value().unwrap();
    let mut ledger = Ledger::default();
    ledger.book(&service.addresses, &Claim::new(name, service)).unwrap();
    ledger.release(name);
    let found = assign(name, service, Pools::of(&facts), &ledger, Choice::FirstFree).unwrap();
    assert_eq!(found.addresses, [address("192.0.2.1")]);
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_newcomer_moves_only_the_chain_that_it_pushes(
        mut names in prop::collection::btree_set(0u16..2000, 0..200),
        newcomer in 2000u16..3000,
    ) {
        let before = hashed(&names);
        names.insert(newcomer);
        let after = hashed(&names);
        let newcomer: ServiceName = format!("n{}/s{newcomer}", newcomer % 7).parse().unwrap();
        let mut pushed = BTreeSet::new();
        let mut address = after[&newcomer];
        while let Some((name, _)) = before.iter().find(|(_, had)| **had == address) {
            address = after[name];
            prop_assert!(pushed.insert(name.clone()), "nobody is pushed twice");
            prop_assert!(hash(&name.to_string()) > hash(&newcomer.to_string()));
        }
        prop_assert_eq!(moved(&before, &after), pushed);
    }

    #[test]
    fn whatever_is_given_is_allowed(facts in any_facts(), choice in any_choice()) {
        let all = assign_all(&facts, choice);
        let mut holders: BTreeMap<IpAddr, Vec<&ServiceName>> = BTreeMap::new();
        for (name, service) in &facts.services {
            prop_assert!(all.given.contains_key(name) != all.refusals.contains_key(name));
            let Some(Assignment { addresses, pool }) = all.given.get(name) else { continue };
            prop_assert!(service.families.allow(addresses));
            for address in addresses {
                prop_assert!(facts.pools[pool].contains(*address));
                holders.entry(*address).or_default().push(name);
            }
        }
        for (address, names) in holders {
            for (index, one) in names.iter().enumerate() {
                for other in &names[..index] {
                    let (one, other) = (&facts.services[*one], &facts.services[*other]);
                    prop_assert!(one.sharing_key.is_some(), "{address} is shared");
                    prop_assert_eq!(&one.sharing_key, &other.sharing_key);
                    prop_assert!(one.ports.is_disjoint(&other.ports));
                    prop_assert_eq!(one.traffic_policy, other.traffic_policy);
                }
            }
        }
    }

    #[test]
    fn a_restart_changes_nothing(facts in any_facts(), choice in any_choice()) {
        let first = assign_all(&facts, choice);
        let mut facts = facts;
        for (name, service) in &mut facts.services {
            let given = first.given.get(name);
            service.addresses = given.map_or_else(Vec::new, |given| given.addresses.clone());
        }
        let second = assign_all(&facts, choice);
        prop_assert_eq!(lines(&first), lines(&second));
        prop_assert!(second.lost.is_empty());
    }

    #[test]
    fn the_ledger_says_what_was_given(facts in any_facts(), choice in any_choice()) {
        let all = assign_all(&facts, choice);
        for name in facts.services.keys() {
            let given = all.given.get(name).map_or(&[][..], |given| &given.addresses);
            prop_assert_eq!(all.ledger.addresses(name), given);
        }
        for family in [V4, V6] {
            let addresses = all.given.values().flat_map(|given| &given.addresses);
            let distinct: BTreeSet<_> =
                addresses.filter(|address| Family::of(**address) == family).collect();
            let used: u128 = facts.pools.values().map(|pool| all.ledger.used(pool, family)).sum();
            prop_assert_eq!(used, distinct.len() as u128);
        }
    }
}

fn any_choice() -> impl Strategy<Value = Choice> {
    prop_oneof![Just(Choice::FirstFree), Just(Choice::Hashed)]
}

/// Up to a dozen Services that get in each other's way, with small pools.
fn any_facts() -> impl Strategy<Value = Facts> {
    prop::collection::vec(any_service(), 0..12).prop_map(|services| {
        let mut pools = [
            ("a", pool(["192.0.2.254-192.0.3.1", "fc00::/127"])),
            ("b", pinned("198.51.100.0/31", 1, &["shop"])),
            ("c", pool(["fc00:1::/126"])),
        ];
        pools[0].1.avoid_buggy_ips = true;
        let builds = services.into_iter().enumerate().map(|(index, service)| {
            let namespace = if index % 2 == 0 { "shop" } else { "default" };
            Build { name: ServiceName::new(namespace, format!("s{index}")), service }
        });
        facts(builds, pools)
    })
}

fn any_service() -> impl Strategy<Value = Service> {
    let families = prop::sample::select(vec![
        Single(V4),
        Single(V6),
        PreferDual(V4),
        PreferDual(V6),
        RequireDual,
    ]);
    let key = prop::sample::select(vec![None, Some("k"), Some("l")]);
    let port = prop::sample::select(vec!["TCP/80", "TCP/443", "UDP/80"]);
    (families, key, port, any_addresses(), any_addresses(), any::<[bool; 3]>()).prop_map(
        |(families, key, port, has, asks, [is_local, has_some, asks_some])| {
            let mut build = service("s").needs(families).ports([port]);
            build.service.sharing_key = key.map(str::to_owned);
            if is_local {
                build = build.local([("app", "x")]);
            }
            let some = |is_some, addresses| if is_some { addresses } else { Vec::new() };
            build.service.addresses = some(has_some, has);
            build.service.requested_addresses = some(asks_some, asks);
            build.service
        },
    )
}

fn any_addresses() -> impl Strategy<Value = Vec<IpAddr>> {
    let known = [
        "192.0.2.254",
        "192.0.2.255",
        "192.0.3.1",
        "198.51.100.1",
        "fc00::",
        "fc00:1::2",
        "10.0.0.1",
    ];
    prop::collection::vec(prop::sample::select(known.map(address).to_vec()), 1..3)
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
