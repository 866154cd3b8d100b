//! The planner against the plan that it stands for, and what its diffs say.

use proptest::prelude::*;

use super::*;
use crate::announce::build::everything;
use crate::announce::lan::tests::any_advertisement as any_l2_advertisement;
use crate::announce::plan;
use crate::announce::routes::properties::{
    NODES, PEERS, any_advertisement as any_bgp_advertisement, any_facts, any_node, any_peer,
    any_service,
};
use crate::build::{address, endpoint, facts, labels, pool, service};
use crate::facts::{Endpoint, L2Advertisement, Service};
use crate::plan::Edits;
use crate::selector::Labels;

proptest! {
    #[test]
    fn after_each_change_the_plan_is_that_of_the_facts(
        facts in any_facts(),
        is_lan_used: bool,
        node in any_node(),
        changes in prop::collection::vec(any_change(), 1..12),
    ) {
        let mut facts = facts;
        if is_lan_used {
            facts = facts.advertised("everything", L2Advertisement::default());
        }
        let mut planner = Planner::new(node.clone(), facts.clone());
        for change in changes {
            let before = planner.plan().clone();
            facts.apply(change.clone());
            let diff = planner.apply(change.clone());
            let want = plan(&facts, &node);
            prop_assert_eq!(planner.facts(), &facts);
            prop_assert_eq!(planner.plan(), &want, "after {:?}", &change);
            prop_assert_eq!(&diff, &PlanDiff::between(&before, &want), "nothing more");
            prop_assert_eq!(diff.is_empty(), before == want);
            let mut patched = before;
            patched.apply(diff);
            prop_assert_eq!(&patched, &want, "by the diff after {:?}", &change);
        }
    }
}

proptest! {
    #[test]
    fn many_changes_at_once_are_the_same_as_one_after_another(
        before in any_facts(),
        after in any_facts(),
        node in any_node(),
        changes in prop::collection::vec(any_change(), 1..12),
    ) {
        let mut facts = before.clone();
        let mut planner = Planner::new(node.clone(), before.clone());
        let mut patched = planner.plan().clone();
        for batch in [changes, before.changes_to(&after)] {
            batch.iter().cloned().for_each(|change| facts.apply(change));
            planner.apply_all(batch).into_iter().for_each(|diff| patched.apply(diff));
            let want = plan(&facts, &node);
            prop_assert_eq!(planner.facts(), &facts);
            prop_assert_eq!(planner.plan(), &want);
            prop_assert_eq!(&patched, &want, "by the diffs");
        }
        let mut replaced = before.clone();
        before.changes_to(&after).into_iter().for_each(|change| replaced.apply(change));
        prop_assert_eq!(&replaced, &after);
        prop_assert_eq!(after.changes_to(&after), []);
    }
}

/// Any one fact, put or taken away; the names are those of [`any_facts`] and a few others.
fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        8 => (any_service_name(), prop::option::weighted(0.8, any_sharing_service()))
            .prop_map(|(name, service)| Change::Service(name, service.map(Box::new))),
        6 => (any_service_name(), prop::option::weighted(0.8, any_endpoints()))
            .prop_map(|(name, endpoints)| Change::Endpoints(name, endpoints)),
        2 => (any_node(), prop::option::weighted(0.8, any_condition()))
            .prop_map(|(name, node)| Change::Node(name, node)),
        1 => prop::option::of(any_labels())
            .prop_map(|labels| Change::Namespace("shop".into(), labels)),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(is_there, is_large)| {
            let range = if is_large { "192.0.2.0/24" } else { "192.0.2.0/30" };
            Change::Pool("main".into(), is_there.then(|| Box::new(pool([range, "fc00::/120"]))))
        }),
        2 => (0..3_u8, prop::option::of(any_l2_advertisement())).prop_map(|(index, spec)| {
            Change::L2Advertisement(format!("ad{index}").as_str().into(), spec.map(Box::new))
        }),
        2 => (0..3_u8, prop::option::of(any_bgp_advertisement())).prop_map(|(index, spec)| {
            Change::BgpAdvertisement(format!("ad{index}").as_str().into(), spec.map(Box::new))
        }),
        1 => (prop::sample::select(PEERS.to_vec()), prop::option::of(any_peer()))
            .prop_map(|(name, spec)| Change::Peer(name.into(), spec.map(Box::new))),
        1 => prop::option::of(prop::collection::btree_set(any_node(), 0..3))
            .prop_map(Change::Speakers),
        1 => any::<bool>().prop_map(Change::IgnoreExcludeLabel),
        2 => (any_service_name(), prop::option::of(any_node()))
            .prop_map(|(name, rival)| Change::Rival(name, rival)),
    ]
}

fn any_service_name() -> impl Strategy<Value = ServiceName> {
    (0..6_u8).prop_map(|index| ServiceName::new("shop", format!("s{index}")))
}

fn any_sharing_service() -> impl Strategy<Value = Service> {
    (any_service(), any::<bool>()).prop_map(|((service, _), shares)| Service {
        sharing_key: shares.then(|| "k".to_owned()),
        ..service
    })
}

fn any_endpoints() -> impl Strategy<Value = Vec<Endpoint>> {
    any_service().prop_map(|(_, endpoints)| endpoints)
}

fn any_labels() -> impl Strategy<Value = Labels> {
    prop::sample::select(NODES.to_vec()).prop_map(|name| labels([("name", name)]))
}

fn any_condition() -> impl Strategy<Value = Node> {
    let conditions = any::<[bool; 3]>();
    let departures = prop::sample::subsequence(Departure::ALL.to_vec(), 0..=2);
    (any_labels(), conditions, departures).prop_map(
        |(labels, [is_excluded, is_network_unavailable, moves], departures)| {
            let internal_ips = if moves { vec![address("10.9.0.1")] } else { Vec::new() };
            let departures = departures.into_iter().collect();
            Node { labels, internal_ips, is_network_unavailable, is_excluded, departures }
        },
    )
}

/// Two Services at one address and a third at another one, announced in both ways.
fn shop() -> Facts {
    let web = service("shop/web").has(["192.0.2.10"]).shares("k");
    let api = service("shop/api").has(["192.0.2.10"]).shares("k").ports(["TCP/443"]);
    let mail = service("shop/mail").has(["192.0.2.25"]);
    facts([web, api, mail], [("main", pool(["192.0.2.0/24"]))])
        .node("a", [])
        .node("b", [])
        .healthy("shop/web", ["a"])
        .healthy("shop/api", ["b"])
        .healthy("shop/mail", ["b"])
        .advertised("lan", L2Advertisement::default())
        .told("routers", everything())
        .peer("tor", crate::announce::build::external())
}

const NOTHING: &str = "";

/// Each entry, with `+` if it was added, `~` if changed, `-` if removed.
fn touched<K: std::fmt::Display, V>(edits: &Edits<K, V>) -> String {
    let added = edits.added.keys().map(|key| format!("+{key}"));
    let changed = edits.changed.keys().map(|key| format!("~{key}"));
    let removed = edits.removed.iter().map(|key| format!("-{key}"));
    added.chain(changed).chain(removed).collect::<Vec<_>>().join(" ")
}

/// What a change does to node `a` of [`shop`]: candidacies, routes to `tor`, new silences.
fn check(row: &str, change: Change, candidacies: &str, routes: &str, silences: usize) {
    let mut planner = Planner::new("a".into(), shop());
    let diff = planner.apply(change);
    let told = diff.routes.get(&"tor".into()).map_or_else(|| NOTHING.to_owned(), touched);
    let found = (touched(&diff.candidacies), told, diff.silences_added.len());
    assert_eq!(found, (candidacies.to_owned(), routes.to_owned(), silences), "{row}");
    assert_eq!(planner.plan(), &plan(planner.facts(), &"a".into()), "{row}");
}

fn down(name: &str, node: &str) -> Change {
    Change::Endpoints(name.parse().unwrap(), Some(vec![endpoint(node, false)]))
}

fn mail(service: Option<Service>) -> Change {
    Change::Service("shop/mail".parse().unwrap(), service.map(Box::new))
}

#[test]
fn a_changed_service_is_all_that_is_different() {
    let known = service("shop/mail").has(["192.0.2.25"]).service;
    let moved = service("shop/mail").has(["192.0.2.26"]).service;
    let rows = [
        // (change, candidacies, routes, new silences)
        ("nothing new", mail(Some(known)), NOTHING, NOTHING, 0),
        ("endpoints of nobody", down("shop/other", "a"), NOTHING, NOTHING, 0),
        ("one sharer is down", down("shop/web", "a"), "~192.0.2.10", "~192.0.2.10/32", 2),
        ("one by itself is down", down("shop/mail", "b"), "-192.0.2.25", "-192.0.2.25/32", 2),
        ("one goes away", mail(None), "-192.0.2.25", "-192.0.2.25/32", 0),
        (
            "one moves",
            mail(Some(moved)),
            "+192.0.2.26 -192.0.2.25",
            "+192.0.2.26/32 -192.0.2.25/32",
            0,
        ),
    ];
    for (row, change, candidacies, routes, silences) in rows {
        check(row, change, candidacies, routes, silences);
    }
}

#[test]
fn what_is_about_every_service_still_names_only_differences() {
    let node = |node| Change::Node("b".into(), node);
    let known = shop().nodes.remove(&"b".into());
    let moved = Node { internal_ips: vec![address("10.9.0.1")], ..known.clone().unwrap() };
    let named = Change::Namespace("shop".into(), Some(labels([("tier", "gold")])));
    let both = "~192.0.2.10 ~192.0.2.25";
    let gone = ("-192.0.2.10 -192.0.2.25", "-192.0.2.10/32 -192.0.2.25/32");
    let rows = [
        // (change, candidacies, routes, new silences)
        ("a node appears again", node(known), NOTHING, NOTHING, 0),
        ("a node has another address", node(Some(moved)), NOTHING, NOTHING, 0),
        ("a namespace has labels", named, NOTHING, NOTHING, 0),
        ("a candidate less", node(None), both, NOTHING, 0),
        ("no pool", Change::Pool("main".into(), None), gone.0, gone.1, 6),
    ];
    for (row, change, candidacies, routes, silences) in rows {
        check(row, change, candidacies, routes, silences);
    }
}

#[test]
fn a_session_begins_and_ends_with_its_peer() {
    let mut planner = Planner::new("a".into(), shop());
    let ended = planner.apply(Change::Peer("tor".into(), None));
    assert_eq!(ended.peers_removed, ["tor".into()].into());
    assert_eq!(ended.routes, [].into(), "a session that is over needs no withdrawals");
    let peer = Box::new(crate::announce::build::external());
    let begun = planner.apply(Change::Peer("tor".into(), Some(peer)));
    assert_eq!(begun.peers_added, ["tor".into()].into());
    assert_eq!(touched(&begun.routes[&"tor".into()]), "+192.0.2.10/32 +192.0.2.25/32");
}

#[test]
fn an_order_that_stays_is_not_made_again() {
    let mut planner = Planner::new("a".into(), shop());
    let first =
        |planner: &Planner| planner.plan().candidacies[&address("192.0.2.25")].order.as_ptr();
    let before = first(&planner);
    planner.apply(Change::Service("shop/web".parse().unwrap(), None));
    assert_eq!(first(&planner), before);
}
