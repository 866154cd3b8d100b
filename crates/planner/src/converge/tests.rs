//! Tables for one Service, and a story on one state.

use proptest::prelude::*;

use super::*;
use crate::build::{Build, address, facts, pool, service};
use crate::facts::Families::{PreferDual, RequireDual, Single};
use crate::facts::Family::{V4, V6};
use crate::facts::{Allocation, Pool};

/// The decision and the Events: `give 192.0.2.0 p; IPAllocated`.
fn line(convergence: &Convergence) -> String {
    let addresses = |given: &Assignment| {
        let addresses: Vec<_> = given.addresses.iter().map(ToString::to_string).collect();
        format!("{} {}", addresses.join(","), given.pool)
    };
    let decision = match &convergence.decision {
        Decision::Keep(given) => format!("keep {}", addresses(given)),
        Decision::Give(given) => format!("give {}", addresses(given)),
        Decision::Clear => "clear".to_owned(),
        Decision::Wait => "wait".to_owned(),
        Decision::Leave => "leave".to_owned(),
    };
    let news = convergence.news.iter().map(|news| match news {
        News::Cleared { refusal, .. } => format!("{} {}", news.label(), refusal.label()),
        News::Refused { refusal, .. } => format!("{} {}", news.label(), refusal.label()),
        News::NotAdded { obstacle, .. } => format!("{} {}", news.label(), obstacle.label()),
        News::Assigned { .. } | News::Added { .. } | News::GivenBack { .. } => {
            news.label().to_owned()
        }
    });
    [decision].into_iter().chain(news).collect::<Vec<_>>().join("; ")
}

#[track_caller]
fn check<const N: usize, const P: usize>(pools: [(&str, Pool); P], rows: [(&str, Build, &str); N]) {
    let facts = facts([], pools);
    for (name, build, want) in rows {
        let mut ledger = Ledger::default();
        let Build { name: service, service: fact } = build;
        let found = one(&service, Some(&fact), Pools::of(&facts), &mut ledger, Choice::FirstFree);
        assert_eq!(line(&found), want, "{name}");
        // What it has got is what it keeps from then on, without a word.
        let (Decision::Keep(given) | Decision::Give(given)) = found.decision else { continue };
        let fact = Service { addresses: given.addresses.clone(), ..fact };
        let again = one(&service, Some(&fact), Pools::of(&facts), &mut ledger, Choice::FirstFree);
        assert_eq!(again.decision, Decision::Keep(given), "{name}, again");
        assert!(again.freed.is_empty(), "{name}, again");
    }
}

#[test]
fn a_service_without_addresses() {
    let pools = [("p1", pool(["1.2.3.0/24"])), ("p2", pool(["3.4.5.6/32", "1000::/127"]))];
    let a = || service("a");
    check(
        pools,
        [
            ("gets one", a(), "give 1.2.3.0 p1; IPAllocated"),
            ("of IPv6", a().needs(Single(V6)), "give 1000:: p2; IPAllocated"),
            ("of both", a().needs(RequireDual), "give 3.4.5.6,1000:: p2; IPAllocated"),
            ("by address", a().asks_for(["1.2.3.9"]), "give 1.2.3.9 p1; IPAllocated"),
            ("by pool", a().asks_for_pool("p2"), "give 3.4.5.6 p2; IPAllocated"),
            ("no such pool", a().asks_for_pool("p3"), "wait; AllocationFailed unknownPool"),
            ("no such address", a().asks_for(["9.9.9.9"]), "wait; AllocationFailed ipNotAllowed"),
            (
                "of the wrong family",
                a().asks_for(["1000::"]),
                "wait; AllocationFailed ipFamilyMismatch",
            ),
            (
                "in the order asked for",
                a().needs(RequireDual).asks_for(["1000::1", "3.4.5.6"]),
                "give 1000::1,3.4.5.6 p2; IPAllocated",
            ),
        ],
    );
}

#[test]
fn a_service_with_addresses() {
    let pools = [("p1", pool(["1.2.3.0/24"])), ("p2", pool(["3.4.5.6/32", "1000::/127"]))];
    let has = || service("a").has(["1.2.3.9"]);
    let has_both = || service("a").has(["1000::1", "3.4.5.6"]);
    check(
        pools,
        [
            ("keeps it", has(), "keep 1.2.3.9 p1"),
            ("asks for it", has().asks_for(["1.2.3.9"]), "keep 1.2.3.9 p1"),
            (
                "asks for another",
                has().asks_for(["1.2.3.7"]),
                "give 1.2.3.7 p1; ClearAssignment differentIPRequested; IPAllocated",
            ),
            (
                "asks for another pool",
                has().asks_for_pool("p2"),
                "give 3.4.5.6 p2; ClearAssignment differentPoolRequested; IPAllocated",
            ),
            (
                "asks for a pool that is not there",
                has().asks_for_pool("p3"),
                "clear; ClearAssignment differentPoolRequested; AllocationFailed unknownPool",
            ),
            (
                "not in a pool",
                service("a").has(["9.9.9.9"]),
                "give 1.2.3.0 p1; ClearAssignment ipNotAllowed; IPAllocated",
            ),
            (
                "of the wrong family",
                has().needs(Single(V6)),
                "give 1000:: p2; ClearAssignment ipFamilyMismatch; IPAllocated",
            ),
            ("keeps the order", has_both().needs(RequireDual), "keep 1000::1,3.4.5.6 p2"),
            (
                "keeps its own order, not that of the request",
                has_both().needs(RequireDual).asks_for(["3.4.5.6", "1000::1"]),
                "keep 1000::1,3.4.5.6 p2",
            ),
            (
                "has more than it needs",
                service("a").has(["1.2.3.9", "1.2.3.7", "1.2.3.8"]),
                "give 1.2.3.9 p1; IPReleased",
            ),
        ],
    );
}

#[test]
fn dual_stack_where_it_is_preferred() {
    let prefers = || service("a").needs(PreferDual(V4));
    let single = || pool(["1.2.3.0/24"]);
    let both = || pool(["1.2.3.0/24", "1000::/120"]);
    check(
        [("p", both())],
        [
            ("both", prefers(), "give 1.2.3.0,1000:: p; IPAllocated"),
            ("the other one", prefers().has(["1.2.3.9"]), "give 1.2.3.9,1000:: p; IPAllocated"),
            (
                "the other one, of IPv4, is behind",
                prefers().has(["1000::9"]),
                "give 1000::9,1.2.3.0 p; IPAllocated",
            ),
            (
                "with one cluster address it never gets a second",
                service("a").needs(Single(V4)).has(["1.2.3.9"]),
                "keep 1.2.3.9 p",
            ),
        ],
    );
    check(
        [("p", single())],
        [
            ("one", prefers(), "give 1.2.3.0 p; IPAllocated"),
            ("one is no failure", prefers().has(["1.2.3.9"]), "keep 1.2.3.9 p"),
            (
                "Prefer becomes Require",
                service("a").needs(RequireDual).has(["1.2.3.9"]),
                "clear; ClearAssignment ipFamilyMismatch; AllocationFailed noSuchFamily",
            ),
            (
                "the pool has lost a family",
                prefers().has(["1.2.3.9", "1000::9"]),
                "give 1.2.3.0 p; ClearAssignment ipNotAllowed; IPAllocated",
            ),
        ],
    );
    check(
        [("p", single()), ("q", pool(["5.6.7.0/24", "2000::/120"]))],
        [
            ("a better pool moves nothing", prefers().has(["1.2.3.9"]), "keep 1.2.3.9 p"),
            ("who has none gets both", prefers(), "give 5.6.7.0,2000:: q; IPAllocated"),
        ],
    );
    let full = Pool { is_draining: true, ..both() };
    check(
        [("p", full)],
        [(
            "the reason is told",
            prefers().has(["1.2.3.9"]),
            "keep 1.2.3.9 p; AdditionalAssignFailed poolDraining",
        )],
    );
}

#[test]
fn without_pools_nothing_is_taken_away() {
    check(
        [],
        [
            ("it has one", service("a").has(["1.2.3.9"]), "leave"),
            ("it has none", service("a"), "wait; AllocationFailed noPools"),
        ],
    );
    let facts = facts([service("a").has(["1.2.3.9"]), service("b")], []);
    let (all, _) = all(&facts, Choice::FirstFree);
    let lines: Vec<_> = all.values().map(line).collect();
    assert_eq!(lines, ["leave", "wait; AllocationFailed noPools"]);
}

/// A cluster whose Services have what was decided last.
struct Story {
    facts: Facts,
    ledger: Ledger,
}

impl Story {
    fn pools<const N: usize>(&mut self, pools: [(&str, Pool); N]) -> String {
        self.facts.pools = pools.map(|(name, pool)| (name.into(), pool)).into();
        let (all, ledger) = all(&self.facts, Choice::FirstFree);
        self.ledger = ledger;
        let mut lines = Vec::new();
        for (name, convergence) in all {
            lines.push(format!("{} {}", name.name, line(&convergence)));
            self.write(&name, &convergence);
        }
        lines.join(" | ")
    }

    fn service(&mut self, build: Build) -> String {
        let Build { name, mut service } = build;
        if let Some(known) = self.facts.services.get(&name) {
            service.addresses.clone_from(&known.addresses);
        }
        self.facts.services.insert(name.clone(), service);
        self.converge(&name)
    }

    fn gone(&mut self, name: &str) -> String {
        let name = service(name).name;
        self.facts.services.remove(&name);
        self.converge(&name)
    }

    /// The line, and what was freed.
    fn converge(&mut self, name: &ServiceName) -> String {
        let service = self.facts.services.get(name);
        let pools = Pools::of(&self.facts);
        let found = one(name, service, pools, &mut self.ledger, Choice::FirstFree);
        self.write(name, &found);
        let freed: Vec<_> = found.freed.iter().map(ToString::to_string).collect();
        match freed.is_empty() {
            true => line(&found),
            false => format!("{}; freed {}", line(&found), freed.join(",")),
        }
    }

    fn write(&mut self, name: &ServiceName, found: &Convergence) {
        let Some(service) = self.facts.services.get_mut(name) else { return };
        match &found.decision {
            Decision::Give(given) => service.addresses.clone_from(&given.addresses),
            Decision::Clear => service.addresses.clear(),
            Decision::Keep(_) | Decision::Wait | Decision::Leave => (),
        }
    }
}

#[test]
fn pools_are_edited_under_services() {
    let mut story = Story { facts: facts([], []), ledger: Ledger::default() };
    let p = |text| ("p", pool([text]));
    let (a, b) = (|| service("a"), || service("b"));
    assert_eq!(story.service(a()), "wait; AllocationFailed noPools");
    assert_eq!(story.pools([p("1.2.3.0/31")]), "a give 1.2.3.0 p; IPAllocated");
    assert_eq!(story.service(b()), "give 1.2.3.1 p; IPAllocated");
    assert_eq!(story.service(service("c")), "wait; AllocationFailed exhausted");
    assert_eq!(story.gone("a"), "clear; freed 1.2.3.0");
    assert_eq!(story.converge(&service("c").name), "give 1.2.3.0 p; IPAllocated");
    let kept = "b keep 1.2.3.1 q | c keep 1.2.3.0 q";
    assert_eq!(story.pools([("q", pool(["1.2.3.0/24"]))]), kept, "renamed and grown");
    assert_eq!(
        story.pools([("q", pool(["1.2.3.1-1.2.3.9"])), ("r", pool(["1.2.3.0/32"]))]),
        "b keep 1.2.3.1 q | c keep 1.2.3.0 r",
        "split"
    );
    let avoiding = Pool { avoid_buggy_ips: true, ..pool(["1.2.3.0/24"]) };
    assert_eq!(
        story.pools([("q", avoiding)]),
        "b keep 1.2.3.1 q | c give 1.2.3.2 q; ClearAssignment ipAvoided; IPAllocated"
    );
    let manual = Pool { auto_assign: false, ..pool(["1.2.3.0/24"]) };
    assert_eq!(story.pools([("q", manual)]), "b keep 1.2.3.1 q | c keep 1.2.3.2 q");
    assert_eq!(story.pools([]), "b leave | c leave");
    assert_eq!(
        story.pools([("p", pool(["1.2.3.2-1.2.3.9"]))]),
        "b give 1.2.3.3 p; ClearAssignment ipNotAllowed; IPAllocated | c keep 1.2.3.2 p"
    );
    let allocation = Allocation { namespaces: ["x".into()].into(), ..Allocation::default() };
    let others = Pool { allocation: Some(allocation), ..pool(["1.2.3.0/24"]) };
    let lost = "clear; ClearAssignment namespaceNotSelected; AllocationFailed namespaceNotSelected";
    assert_eq!(story.pools([("p", others)]), format!("b {lost} | c {lost}"));
}

#[test]
fn sharing_ends_when_the_keys_do() {
    let mut story = Story { facts: facts([], []), ledger: Ledger::default() };
    story.pools([("p", pool(["1.2.3.0/24"]))]);
    let a = || service("a").shares("k");
    let b = || service("b").shares("k").ports(["TCP/443"]);
    assert_eq!(story.service(a()), "give 1.2.3.0 p; IPAllocated");
    assert_eq!(story.service(a().shares("l")), "keep 1.2.3.0 p", "alone it may change its key");
    assert_eq!(story.service(a()), "keep 1.2.3.0 p");
    assert_eq!(story.service(b()), "give 1.2.3.0 p; IPAllocated");
    assert_eq!(
        story.service(b().shares("l")),
        "give 1.2.3.1 p; ClearAssignment differentSharingKey; IPAllocated; freed 1.2.3.0",
        "its port is free at the address that it had"
    );
}

#[test]
fn an_event_says_what_happened() {
    let addresses = || vec![address("1.2.3.4")];
    let both = vec![address("1.2.3.4"), address("fc00::1")];
    let refusal = || Refusal::InNoPool { address: address("1.2.3.4") };
    let name = || service("shop/web").name;
    let rows = [
        (News::Assigned { addresses: addresses() }, r#"Assigned IP ["1.2.3.4"]"#),
        (News::Assigned { addresses: both }, r#"Assigned IP ["1.2.3.4" "fc00::1"]"#),
        (News::Added { addresses: addresses() }, r#"Assigned additional IP "1.2.3.4""#),
        (
            News::Cleared { service: name(), refusal: refusal() },
            "current IP for \"shop/web\" not allowed by config, will attempt for new IP assignment: \
             `1.2.3.4` is in no pool",
        ),
        (News::GivenBack { addresses: addresses() }, "Released `1.2.3.4`, more than it needs"),
        (
            News::NotAdded { pool: "p".into(), obstacle: Obstacle::Draining },
            "cannot assign additional IP: pool `p` is being drained and gives nothing new",
        ),
        (
            News::Refused { service: name(), refusal: refusal() },
            r#"Failed to allocate IP for "shop/web": `1.2.3.4` is in no pool"#,
        ),
    ];
    for (news, want) in rows {
        assert_eq!(news.to_string(), want);
        assert_eq!(news.is_warning(), news.label() == "AllocationFailed");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn events_in_any_order_move_nobody(
        order in Just((0..8).collect::<Vec<usize>>()).prop_shuffle(),
        counts in prop::collection::vec(1u8..3, 8),
    ) {
        let builds = counts.iter().enumerate().map(|(index, count)| {
            service(&format!("n{}/s{index}", index % 3)).count(*count).needs(PreferDual(V4))
        });
        let mut story = Story { facts: facts(builds, []), ledger: Ledger::default() };
        story.pools([("p", pool(["1.2.3.0/29", "1000::/124"]))]);
        let before = story.facts.clone();
        let names: Vec<_> = before.services.keys().cloned().collect();
        for index in order {
            let said = story.converge(&names[index]);
            prop_assert!(!said.contains("give") && !said.contains("clear"), "{}", said);
        }
        prop_assert_eq!(story.facts, before);
    }
}
