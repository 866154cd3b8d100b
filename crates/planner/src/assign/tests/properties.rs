//! What must hold for any Services.

use proptest::prelude::*;

use super::*;

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
            let distinct: BTreeSet<_> = addresses.iter().collect();
            prop_assert_eq!(distinct.len(), addresses.len(), "no address twice");
            for family in [V4, V6] {
                let of_family = addresses.iter().filter(|one| Family::of(**one) == family);
                prop_assert!(of_family.count() <= service.address_count.into());
            }
            for address in addresses {
                prop_assert!(facts.pools[pool].contains(*address));
                prop_assert!(facts.pools[pool].offers(*address, name));
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
        let second = assign_all(&settled(&facts, choice), choice);
        prop_assert_eq!(&first.given, &second.given);
        // Why there is nothing may change: of several in the way, another may be the first.
        prop_assert!(first.refusals.keys().eq(second.refusals.keys()));
        prop_assert!(second.lost.is_empty());
    }

    #[test]
    fn a_quota_is_exceeded_only_by_what_was_there_before(
        facts in any_facts(),
        choice in any_choice(),
    ) {
        let all = assign_all(&facts, choice);
        for (name, pool) in &facts.pools {
            let Some(quota) = pool.namespace_quota else { continue };
            for namespace in ["shop", "default"] {
                let mut has: BTreeSet<IpAddr> = BTreeSet::new();
 let mut had = has.clone();
                for (service, given) in &all.given {
                    if *service.namespace == *namespace && given.pool == *name {
                        let before = &facts.services[service].addresses;
                        has.extend(&given.addresses);
                        had.extend(given.addresses.iter().filter(|one| before.contains(*one)));
                    }
                }
                let has = has.len() as u64;
                prop_assert!(has <= quota || has == had.len() as u64, "{name} {namespace}");
            }
        }
    }

    #[test]
    fn a_draining_pool_gains_no_holder(facts in any_facts(), choice in any_choice()) {
        for (name, given) in assign_all(&facts, choice).given {
            let before = &facts.services[&name].addresses;
            if facts.pools[&given.pool].is_draining {
                prop_assert!(given.addresses.iter().all(|address| before.contains(address)));
            }
        }
    }

    #[test]
    fn a_newcomer_takes_nothing_from_anyone(
        facts in any_facts(),
        newcomer in any_service(),
        choice in any_choice(),
    ) {
        let mut facts = settled(&facts, choice);
        let before = assign_all(&facts, choice).given;
        let newcomer = Service { addresses: Vec::new(), ..newcomer };
        facts.services.insert(service("shop/newcomer").name, newcomer);
        let after = assign_all(&facts, choice).given;
        for (name, given) in before {
            prop_assert_eq!(&given, &after[&name]);
        }
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

/// The facts once everyone has what it gets.
fn settled(facts: &Facts, choice: Choice) -> Facts {
    let all = assign_all(facts, choice);
    let mut facts = facts.clone();
    for (name, service) in &mut facts.services {
        let given = all.given.get(name);
        service.addresses = given.map_or_else(Vec::new, |given| given.addresses.clone());
    }
    facts
}

fn any_choice() -> impl Strategy<Value = Choice> {
    prop_oneof![Just(Choice::FirstFree), Just(Choice::Hashed)]
}

/// Up to a dozen Services that get in each other's way, with small pools.
fn any_facts() -> impl Strategy<Value = Facts> {
    let extras = (any::<[bool; 3]>(), prop::option::of(0u64..4), any::<bool>());
    (prop::collection::vec(any_service(), 0..12), extras).prop_map(|(services, extras)| {
        let (draining, quota, is_reserving) = extras;
        let mut pools = [
            ("a", pool(["192.0.2.254-192.0.3.1", "fc00::/127"])),
            ("b", pinned("198.51.100.0/31", 1, &["shop"])),
            ("c", pool(["fc00:1::/126"])),
        ];
        pools[0].1.avoid_buggy_ips = true;
        pools[0].1.namespace_quota = quota;
        for ((_, pool), is_draining) in pools.iter_mut().zip(draining) {
            pool.is_draining = is_draining;
        }
        if is_reserving {
            pools[0].1.reservations = [
                (address("192.0.2.254"), ServiceName::new("shop", "s0")),
                (address("fc00::1"), ServiceName::new("default", "s1")),
                (address("192.0.3.1"), ServiceName::new("shop", "gone")),
            ]
            .into_iter()
            .collect();
        }
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
    let count = prop::sample::select(vec![1, 1, 1, 2]);
    let flags = any::<[bool; 3]>();
    (families, count, key, port, any_addresses(), any_addresses(), flags).prop_map(
        |(families, count, key, port, has, asks, [is_local, has_some, asks_some])| {
            let mut build = service("s").needs(families).count(count).ports([port]);
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
