use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::parse;

const KINDS: [Kind; 4] =
    [Kind::IpAddressPool, Kind::Service, Kind::EndpointSlice, Kind::SpeakerPod];

/// A setting as the API server has it.
fn put(kind: &str, name: &str, spec: &Value) -> Seen {
    let version = "metallb.io/v1beta1";
    let value = json!({
        "apiVersion": version, "kind": kind,
        "metadata": {"namespace": "metallb-system", "name": name}, "spec": spec,
    });
    Seen::Put(Object::read(version, kind, value, &mut Vec::new()).unwrap().unwrap())
}

fn pool(name: &str, range: &str) -> Seen {
    put("IPAddressPool", name, &json!({"addresses": [range]}))
}

fn gone(kind: &'static str, name: &str) -> Seen {
    let namespace = Some("metallb-system".to_owned());
    Seen::Gone(ObjectName { kind, namespace, name: name.to_owned() })
}

fn name(name: &str) -> ServiceName {
    ServiceName::new("shop", name)
}

fn service(service: &str, spec: Value) -> Seen {
    let value = json!({"metadata": {"namespace": "shop", "name": service}, "spec": spec});
    Seen::Service(name(service), Some(Arc::new(serde_json::from_value(value).unwrap())))
}

fn balanced(of: &str) -> Seen {
    service(of, json!({"type": "LoadBalancer", "ports": [{"port": 80}]}))
}

fn slice(of: &str, slice: &str, nodes: &[&str]) -> Seen {
    let endpoint = |node: &&str| Endpoint {
        node: Some(NodeName::from(*node)),
        is_healthy: true,
        has_address: true,
    };
    Seen::Slice {
        service: name(of),
        slice: slice.to_owned(),
        endpoints: Some(nodes.iter().map(endpoint).collect()),
    }
}

/// Everything known, with nothing there.
fn synced(class: &str) -> Live {
    let mut live = Live::new(class, KINDS);
    KINDS.iter().for_each(|kind| live.take(&Seen::Synced(*kind)));
    live
}

/// What is so after more was seen.
fn see(live: &mut Live, facts: &mut Facts, seen: &[Seen]) {
    seen.iter().for_each(|seen| live.take(seen));
    live.changes().into_iter().for_each(|change| facts.apply(change));
}

#[test]
fn nothing_is_said_before_all_is_known() {
    let mut live = Live::new("", KINDS);
    for seen in [pool("main", "192.0.2.0/24"), balanced("web"), slice("web", "web-1", &["a"])] {
        live.take(&seen);
    }
    for kind in KINDS {
        assert_eq!((live.changes(), live.is_synced()), (Vec::new(), false), "before {kind}");
        live.take(&Seen::Synced(kind));
    }
    let mut facts = Facts::default();
    see(&mut live, &mut facts, &[]);
    assert_eq!(facts.services.len() + facts.pools.len() + facts.endpoints.len(), 3);
    assert_eq!(facts.speakers, Some(BTreeSet::new()), "no speaker runs");
}

#[test]
fn a_service_is_ours_while_it_is_of_our_class() {
    let of = |class: Value| {
        service(
            "web",
            json!({"type": "LoadBalancer", "loadBalancerClass": class, "ports": [{"port": 80}]}),
        )
    };
    let other_type = || service("web", json!({"type": "ClusterIP", "ports": [{"port": 80}]}));
    let deleted = || Seen::Service(name("web"), None);
    // (our class, what the Service becomes, whether it is ours)
    let steps = [
        ("", of(Value::Null), true),
        ("", of(json!("")), true),
        ("", of(json!("other")), false),
        ("", other_type(), false),
        ("", deleted(), false),
        ("mine", of(json!("mine")), true),
        ("mine", other_type(), false),
        ("mine", of(json!("")), false),
        ("mine", of(Value::Null), false),
    ];
    let mut lives = BTreeMap::from([("", synced("")), ("mine", synced("mine"))]);
    let mut facts = Facts::default();
    for (index, (class, seen, is_ours)) in steps.into_iter().enumerate() {
        let live = lives.get_mut(class).unwrap();
        see(live, &mut facts, &[seen, slice("web", "web-1", &["a"])]);
        assert_eq!(facts.services.contains_key(&name("web")), is_ours, "step {index}");
        assert_eq!(facts.endpoints.contains_key(&name("web")), is_ours, "step {index}");
    }
}

#[test]
fn endpoints_are_those_of_all_slices() {
    let (mut live, mut facts) = (synced(""), Facts::default());
    see(&mut live, &mut facts, &[slice("web", "web-2", &["b"]), slice("web", "web-1", &["a"])]);
    assert!(facts.endpoints.is_empty(), "there is no such Service yet");
    let nodes = |facts: &Facts| -> Vec<String> {
        let endpoints = facts.endpoints.get(&name("web")).into_iter().flatten();
        endpoints.filter_map(|endpoint| endpoint.node.as_ref().map(ToString::to_string)).collect()
    };
    see(&mut live, &mut facts, &[balanced("web")]);
    assert_eq!(nodes(&facts), ["a", "b"]);
    see(&mut live, &mut facts, &[slice("web", "web-1", &[])]);
    assert_eq!(nodes(&facts), ["b"]);
    let deleted = |slice: &str| Seen::Slice {
        service: name("web"),
        slice: slice.to_owned(),
        endpoints: None,
    };
    see(&mut live, &mut facts, &[deleted("web-2")]);
    assert_eq!((nodes(&facts).len(), facts.endpoints.len()), (0, 1), "an empty slice is left");
    see(&mut live, &mut facts, &[deleted("web-1")]);
    assert!(facts.endpoints.is_empty());
}

#[test]
fn what_is_broken_counts_as_it_was_before() {
    let (mut live, mut facts) = (synced(""), Facts::default());
    let misfit = || {
        let name = ObjectName {
            kind: "IPAddressPool",
            namespace: Some("metallb-system".to_owned()),
            name: "main".to_owned(),
        };
        let misfit = Misfit { field: "spec.addresses".to_owned(), message: "odd".to_owned() };
        Seen::Misfit(name, misfit)
    };
    let unreadable =
        || service("web", json!({"type": "LoadBalancer", "ipFamilyPolicy": "Odd", "ports": []}));
    // (what is seen, whether there is a pool, whether there is a Service, how many problems)
    let steps = [
        (pool("main", "192.0.2.0/24"), true, false, 0),
        (pool("main", "192.0.2.0"), true, false, 1),
        (misfit(), true, false, 1),
        (unreadable(), true, false, 2),
        (balanced("web"), true, true, 1),
        (unreadable(), true, true, 2),
        (gone("IPAddressPool", "main"), false, true, 1),
        (Seen::Service(name("web"), None), false, false, 0),
    ];
    for (index, (seen, has_pool, has_service, problems)) in steps.into_iter().enumerate() {
        see(&mut live, &mut facts, &[seen]);
        let found = (facts.pools.len() == 1, facts.services.len() == 1, live.problems().count());
        assert_eq!(found, (has_pool, has_service, problems), "step {index}");
    }
}

/// Objects of two pools and three Services, as they may come.
fn any_seen() -> impl Strategy<Value = Seen> {
    let services = prop_oneof![Just("web"), Just("api"), Just("db")];
    let nodes = proptest::sample::subsequence(vec!["a", "b", "c"], 0..3);
    prop_oneof![
        Just(pool("main", "192.0.2.0/24")),
        Just(pool("main", "198.51.100.0/24")),
        Just(pool("other", "203.0.113.0/28")),
        Just(gone("IPAddressPool", "main")),
        services.clone().prop_map(balanced),
        services.clone().prop_map(|of| service(of, json!({"type": "ClusterIP"}))),
        services.clone().prop_map(|of| Seen::Service(name(of), None)),
        (services.clone(), nodes).prop_map(|(of, nodes)| slice(of, &format!("{of}-1"), &nodes)),
        services.prop_map(|of| Seen::Slice {
            service: name(of),
            slice: format!("{of}-1"),
            endpoints: None,
        }),
    ]
}

/// What is there after `seen`, all at once; slices are facts already.
fn at_once(seen: &[Seen]) -> Facts {
    let (mut settings, mut services, mut slices) =
        (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for seen in seen {
        match seen.clone() {
            Seen::Put(object) => _ = settings.insert(object.name().unwrap(), object),
            Seen::Gone(name) => _ = settings.remove(&name),
            Seen::Service(name, Some(service)) => _ = services.insert(name, service),
            Seen::Service(name, None) => _ = services.remove(&name),
            Seen::Slice { service, endpoints: Some(endpoints), .. } => {
                slices.insert(service, endpoints);
            }
            Seen::Slice { service, .. } => _ = slices.remove(&service),
            other => panic!("{other:?} is not expected"),
        }
    }
    let mut objects = Objects::default();
    settings.into_values().for_each(|object| objects.add(object));
    objects.services.extend(services.into_values());
    let mut facts = parse::facts(&objects).facts;
    slices.retain(|name, _| facts.services.contains_key(name));
    Facts { speakers: Some(BTreeSet::new()), endpoints: slices, ..std::mem::take(&mut facts) }
}

proptest! {
    #[test]
    fn one_at_a_time_means_the_same_as_all_at_once(
        seen in proptest::collection::vec(any_seen(), 0..40),
        pause in 1..5_usize,
    ) {
        let (mut live, mut facts) = (synced(""), Facts::default());
        seen.chunks(pause).for_each(|seen| see(&mut live, &mut facts, seen));
        see(&mut live, &mut facts, &[]);
        prop_assert_eq!(facts, at_once(&seen));
    }
}
