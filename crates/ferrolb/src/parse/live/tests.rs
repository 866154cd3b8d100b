//! Sequences of events. Whatever their order, what comes out is what the objects mean.

use std::collections::BTreeMap;

use k8s_openapi::api::discovery::v1 as discovery;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::parse;
use crate::source::object::Misfit;

/// A follower of everything, and the facts that its changes were applied to.
struct Desk {
    live: Live,
    facts: Facts,
}

impl Desk {
    fn new(class: &str) -> Self {
        let scope = Scope::speaker("metallb-system", "node-1", Some("component=speaker"));
        Self { live: Live::new(class, &scope), facts: Facts::default() }
    }

    /// All is known, and `seen` after that.
    fn synced(class: &str, seen: impl IntoIterator<Item = Seen>) -> Self {
        let mut desk = Self::new(class);
        desk.sync();
        desk.take(seen);
        desk
    }

    fn sync(&mut self) {
        self.take(Kind::ALL.map(Seen::Synced));
    }

    fn take(&mut self, seen: impl IntoIterator<Item = Seen>) -> usize {
        seen.into_iter().for_each(|seen| self.live.take(&seen));
        let changes = self.live.changes();
        let count = changes.len();
        changes.into_iter().for_each(|change| self.facts.apply(change));
        count
    }

    fn problems(&self) -> Vec<String> {
        self.live.problems().map(ToString::to_string).collect()
    }

    fn has_web(&self) -> bool {
        self.facts.services.contains_key(&web())
    }
}

fn web() -> ServiceName {
    ServiceName::new("shop", "web")
}

fn object(api_version: &str, kind: &str, value: Value) -> Object {
    Object::read(api_version, kind, value, &mut Vec::new()).unwrap().unwrap()
}

fn pool(name: &str, addresses: &str) -> Object {
    let metadata = json!({"name": name, "namespace": "metallb-system"});
    let value = json!({"metadata": metadata, "spec": {"addresses": [addresses]}});
    object("metallb.io/v1beta1", "IPAddressPool", value)
}

fn gone_pool(name: &str) -> Seen {
    let namespace = Some("metallb-system".to_owned());
    Seen::Gone(ObjectName { kind: "IPAddressPool", namespace, name: name.to_owned() })
}

fn service(name: &str, spec: Value) -> Arc<core::Service> {
    let value = json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec});
    let Object::Service(service) = object("v1", "Service", value) else { unreachable!() };
    service
}

fn balanced(class: Option<&str>) -> Value {
    json!({"type": "LoadBalancer", "loadBalancerClass": class, "ports": [{"port": 80}]})
}

fn put(service: Arc<core::Service>) -> Seen {
    Seen::Service(parse::service_name(&service), Some(service))
}

fn endpoint(node: &str) -> Endpoint {
    Endpoint { node: Some(node.into()), is_healthy: true, has_address: true }
}

fn slice(service: &str, slice: &str, nodes: &[&str]) -> Seen {
    let endpoints = Some(nodes.iter().map(|node| endpoint(node)).collect());
    Seen::Slice { service: ServiceName::new("shop", service), slice: slice.to_owned(), endpoints }
}

fn gone_slice(service: &str, slice: &str) -> Seen {
    let service = ServiceName::new("shop", service);
    Seen::Slice { service, slice: slice.to_owned(), endpoints: None }
}

#[test]
fn nothing_counts_before_every_kind_was_seen() {
    let mut desk = Desk::new("");
    desk.take([Seen::Put(pool("main", "192.0.2.0/24")), put(service("web", balanced(None)))]);
    for kind in Kind::ALL {
        assert_eq!(desk.facts, Facts::default(), "before {kind}");
        desk.take([Seen::Unavailable(kind, "away".to_owned())]);
        assert_eq!(desk.facts, Facts::default(), "{kind} is away");
        if kind.is_for_facts() {
            assert!(!desk.live.is_synced(), "before {kind}");
        }
        desk.take([Seen::Synced(kind)]);
    }
    assert!(desk.live.is_synced() && desk.has_web());
    assert!(desk.facts.pools.contains_key(&"main".into()));
}

#[test]
fn a_lost_watch_takes_nothing_away() {
    let mut desk = Desk::synced("", [put(service("web", balanced(None)))]);
    let before = desk.facts.clone();
    desk.take([Seen::Unavailable(Kind::Service, "away".to_owned())]);
    assert_eq!(desk.facts, before, "away");
    desk.take([put(service("web", balanced(None))), Seen::Synced(Kind::Service)]);
    assert_eq!(desk.facts, before, "listed anew");
    desk.take([Seen::Service(web(), None), Seen::Synced(Kind::Service)]);
    assert!(!desk.has_web(), "left out of the list");
}

#[test]
fn only_services_of_the_class_are_served() {
    let rows = [
        ("no class, none served", "", balanced(None), true),
        ("an empty class", "", balanced(Some("")), true),
        ("another class", "", balanced(Some("x")), false),
        ("the class", "x", balanced(Some("x")), true),
        ("no class, one served", "x", balanced(None), false),
        ("another type", "", json!({"type": "ClusterIP"}), false),
    ];
    for (row, class, spec, want) in rows {
        let desk = Desk::synced(class, [put(service("web", spec))]);
        assert_eq!(desk.has_web(), want, "{row}");
        assert_eq!(desk.live.warnings().count(), 0, "{row}");
    }
}

#[test]
fn a_service_that_stops_being_ours_is_gone_with_its_endpoints() {
    let rows = [
        ("another type", Some(service("web", json!({"type": "ClusterIP"})))),
        ("another class", Some(service("web", balanced(Some("y"))))),
        ("deleted", None),
    ];
    for (row, after) in rows {
        let mut desk = Desk::synced(
            "x",
            [put(service("web", balanced(Some("x")))), slice("web", "a", &["n"])],
        );
        assert!(desk.has_web() && desk.facts.endpoints.contains_key(&web()), "{row}");
        desk.take([Seen::Service(web(), after)]);
        assert!(!desk.has_web() && desk.facts.endpoints.is_empty(), "{row}");
        desk.take([put(service("web", balanced(Some("x"))))]);
        assert!(desk.has_web() && desk.facts.endpoints.contains_key(&web()), "{row}: back");
    }
}

#[test]
fn slices_of_one_service_are_put_together() {
    let mut desk = Desk::synced("", [put(service("web", balanced(None)))]);
    let steps = [
        ("one", slice("web", "b", &["two"]), Some(vec!["two"])),
        ("another", slice("web", "a", &["three", "one"]), Some(vec!["one", "three", "two"])),
        ("one is empty", slice("web", "b", &[]), Some(vec!["one", "three"])),
        ("another Service's", slice("else", "c", &["four"]), Some(vec!["one", "three"])),
        ("one is gone", gone_slice("web", "a"), Some(vec![])),
        ("none is left", gone_slice("web", "b"), None),
    ];
    for (step, seen, want) in steps {
        desk.take([seen]);
        let want = want.map(|nodes| nodes.into_iter().map(endpoint).collect::<Vec<_>>());
        assert_eq!(desk.facts.endpoints.get(&web()), want.as_ref(), "{step}");
    }
}

#[test]
fn what_changes_nothing_is_no_change() {
    let node = || Seen::Put(object("v1", "Node", json!({"metadata": {"name": "n"}})));
    let Object::IPAddressPool(mut used) = pool("main", "192.0.2.0/24") else { unreachable!() };
    Arc::make_mut(&mut used).status = Some(Default::default());
    let mut desk = Desk::synced(
        "",
        [
            Seen::Put(pool("main", "192.0.2.0/24")),
            node(),
            put(service("web", balanced(None))),
            slice("web", "a", &["n"]),
            Seen::SpeakerPod { pod: "p".to_owned(), node: Some("n".into()) },
        ],
    );
    let rows = [
        ("a Node", node()),
        ("how much of a pool is used", Seen::Put(Object::IPAddressPool(used))),
        ("a slice", slice("web", "a", &["n"])),
        ("a speaker", Seen::SpeakerPod { pod: "p".to_owned(), node: Some("n".into()) }),
        ("a Service of another type", put(service("other", json!({"type": "ClusterIP"})))),
        ("its slice", slice("other", "b", &["n"])),
    ];
    for (row, seen) in rows {
        assert_eq!(desk.take([seen]), 0, "{row}");
    }
}

#[test]
fn what_becomes_wrong_keeps_meaning_what_it_meant() {
    let (main, web_object) = (pool("main", "192.0.2.0/24"), service("web", balanced(None)));
    let misfit = || Misfit { field: "spec".to_owned(), message: "no".to_owned() };
    let wrong = json!({"type": "LoadBalancer", "ports": [{"port": 0}]});
    let service_name = ObjectName::of("Service", &web_object.metadata);
    let rows = [
        ("a pool", Seen::Put(pool("main", "x"))),
        ("a pool that cannot be read", Seen::Misfit(main.name().unwrap(), misfit())),
        ("a Service", put(service("web", wrong))),
        ("a Service that cannot be read", Seen::Misfit(service_name, misfit())),
    ];
    for (row, seen) in rows {
        let mut desk = Desk::synced("", [Seen::Put(main.clone()), put(Arc::clone(&web_object))]);
        let before = desk.facts.clone();
        desk.take([seen]);
        assert_eq!(desk.facts, before, "{row}");
        assert_eq!(desk.problems().len(), 1, "{row}: {:?}", desk.problems());
        // Something else changes meanwhile.
        desk.take([Seen::Put(pool("other", "198.51.100.0/24"))]);
        assert!(desk.facts.pools.contains_key(&"main".into()) && desk.has_web(), "{row}: later");
        desk.take([Seen::Put(main.clone()), put(Arc::clone(&web_object))]);
        assert_eq!(desk.problems(), [""; 0], "{row}: mended");
        desk.take([gone_pool("main"), Seen::Service(web(), None)]);
        assert!(!desk.facts.pools.contains_key(&"main".into()) && !desk.has_web(), "{row}: gone");
    }
}

#[test]
fn speakers_are_known_only_where_they_are_followed() {
    let pod = |pod: &str, node: Option<&str>| Seen::SpeakerPod {
        pod: pod.to_owned(),
        node: node.map(NodeName::from),
    };
    let mut desk = Desk::synced("", []);
    assert_eq!(desk.facts.speakers, Some(BTreeSet::new()), "followed");
    desk.take([pod("p", Some("n")), pod("q", Some("n")), pod("r", None)]);
    assert_eq!(desk.facts.speakers, Some(BTreeSet::from(["n".into()])));
    desk.take([pod("p", None)]);
    assert_eq!(desk.facts.speakers, Some(BTreeSet::from(["n".into()])), "one of two left");
    desk.take([pod("q", None)]);
    assert_eq!(desk.facts.speakers, Some(BTreeSet::new()), "none left");

    let scope = Scope::speaker("metallb-system", "node-1", Some(""));
    let mut live = Live::new("", &scope);
    let _ = Kind::ALL.map(|kind| live.take(&Seen::Synced(kind)));
    assert!(!live.changes().iter().any(|change| matches!(change, Change::Speakers(_))));
}

#[test]
fn a_pool_alone_is_no_warning_for_who_does_not_know_advertisements() {
    let rows = [
        ("controller", Scope::controller("metallb-system"), 0),
        ("speaker", Scope::speaker("metallb-system", "n", None), 1),
    ];
    for (row, scope, want) in rows {
        let mut live = Live::new("", &scope);
        live.take(&Seen::Put(pool("main", "192.0.2.0/24")));
        let _ = Kind::ALL.map(|kind| live.take(&Seen::Synced(kind)));
        live.changes();
        assert_eq!(live.warnings().count(), want, "{row}");
    }
}

/// What may happen, each from a small choice so that it meets its like.
#[derive(Clone, Debug)]
enum Step {
    Pool(u8, Option<u8>),
    Advertisement(u8, Option<u8>),
    Node(u8, Option<u8>),
    Service(u8, Option<u8>),
    Slice(u8, u8, Option<u8>),
    /// The consumer asks.
    Changes,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let some = || proptest::option::weighted(0.7, 0u8..3);
    let step = prop_oneof![
        (0u8..3, some()).prop_map(|(name, value)| Step::Pool(name, value)),
        (0u8..2, some()).prop_map(|(name, value)| Step::Advertisement(name, value)),
        (0u8..2, some()).prop_map(|(name, value)| Step::Node(name, value)),
        (0u8..3, some()).prop_map(|(name, value)| Step::Service(name, value)),
        (0u8..3, 0u8..2, some()).prop_map(|(name, slice, value)| Step::Slice(name, slice, value)),
        Just(Step::Changes),
    ];
    proptest::collection::vec(step, 0..40)
}

/// The object of a step, and what is seen of it.
fn happen(step: &Step) -> Option<(ObjectName, Option<Object>, Seen)> {
    let seen = |object: Object| (object.name().unwrap(), Some(object.clone()), Seen::Put(object));
    let gone = |object: Object| {
        let name = object.name().unwrap();
        (name.clone(), None, Seen::Gone(name))
    };
    let either = |object: Object, value: Option<u8>| match value {
        Some(_) => seen(object),
        None => gone(object),
    };
    Some(match *step {
        Step::Pool(name, value) => {
            // Names have addresses of their own: which of two overlapping ones stays depends on age.
            let addresses = format!("192.0.{name}.{}/32", value.unwrap_or_default());
            either(pool(&format!("pool-{name}"), &addresses), value)
        }
        Step::Advertisement(name, value) => {
            let metadata = json!({"name": format!("l2-{name}"), "namespace": "metallb-system"});
            let spec = json!({"ipAddressPools": [format!("pool-{}", value.unwrap_or_default())]});
            let value_ = json!({"metadata": metadata, "spec": spec});
            either(object("metallb.io/v1beta1", "L2Advertisement", value_), value)
        }
        Step::Node(name, value) => {
            let labels = json!({"zone": format!("{}", value.unwrap_or_default())});
            let value_ = json!({"metadata": {"name": format!("node-{name}"), "labels": labels}});
            either(object("v1", "Node", value_), value)
        }
        Step::Service(name, value) => {
            let spec = match value {
                Some(0) => json!({"type": "ClusterIP"}),
                _ => balanced(None),
            };
            let service = service(&format!("s{name}"), spec);
            let short = ServiceName::new("shop", format!("s{name}"));
            let name = ObjectName::of("Service", &service.metadata);
            let service = value.map(|_| service);
            (name, service.clone().map(Object::Service), Seen::Service(short, service))
        }
        Step::Slice(service, slice, value) => happen_to_slice(service, slice, value),
        Step::Changes => return None,
    })
}

fn happen_to_slice(
    service: u8,
    slice: u8,
    value: Option<u8>,
) -> (ObjectName, Option<Object>, Seen) {
    let (service, slice) = (format!("s{service}"), format!("s{service}-{slice}"));
    let node = format!("node-{}", value.unwrap_or_default());
    let labels = json!({"kubernetes.io/service-name": service});
    let metadata = json!({"name": slice, "namespace": "shop", "labels": labels});
    let endpoints = json!([{"addresses": ["192.0.2.1"], "nodeName": node}]);
    let value_ = json!({"metadata": metadata, "addressType": "IPv4", "endpoints": endpoints});
    let read = object("discovery.k8s.io/v1", "EndpointSlice", value_);
    let Object::EndpointSlice(typed) = &read else { unreachable!() };
    let endpoints: Vec<discovery::Endpoint> = typed.endpoints.clone().unwrap();
    let endpoints = value.map(|_| endpoints.iter().map(parse::endpoint).collect());
    let seen = Seen::Slice { service: ServiceName::new("shop", service), slice, endpoints };
    (read.name().unwrap(), value.map(|_| read), seen)
}

proptest! {
    /// However objects came to be what they are, they mean what they mean all at once.
    #[test]
    fn facts_that_changed_step_by_step_are_those_of_the_last_objects(
        steps in steps(), synced_at in 0usize..40,
    ) {
        let mut desk = Desk::new("");
        let mut objects = BTreeMap::new();
        for (index, step) in steps.iter().enumerate() {
            if index == synced_at {
                desk.sync();
            }
            match happen(step) {
                None => { desk.take([]); }
                Some((name, object, seen)) => {
                    match object {
                        Some(object) => objects.insert(name, object),
                        None => objects.remove(&name),
                    };
                    desk.live.take(&seen);
                }
            }
        }
        desk.sync();
        let mut whole = Objects::default();
        objects.into_values().for_each(|object| whole.add(object));
        let mut want = parse::facts(&whole).facts;
        want.speakers = Some(BTreeSet::new());
        prop_assert_eq!(&desk.facts, &want);
        prop_assert_eq!(desk.take([]), 0);
    }
}
