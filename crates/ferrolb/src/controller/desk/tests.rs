//! A desk against a simulated API server, whose watch may lag behind.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::api::{IPAddressPool, IPAddressPoolSpec};
use crate::parse;
use crate::source::object::Objects;

/// Services on an API server, and a desk that follows them.
#[derive(Default)]
struct World {
    desk: Desk,
    server: BTreeMap<ServiceName, core::Service>,
    version: u64,
    /// What the watch has not shown yet.
    events: Vec<(ServiceName, Option<core::Service>)>,
    news: Vec<String>,
}

fn name(text: &str) -> ServiceName {
    ServiceName::new("shop", text)
}

impl World {
    /// A desk that leads, with one pool.
    fn new(addresses: &[&str]) -> Self {
        let mut world = Self::default();
        world.pool("main", addresses);
        world.desk.lead();
        world.decide();
        world
    }

    fn pool(&mut self, name: &str, addresses: &[&str]) {
        let addresses: Vec<_> = addresses.iter().map(|text| (*text).to_owned()).collect();
        let spec = IPAddressPoolSpec { addresses, auto_assign: true, ..Default::default() };
        let mut pool = IPAddressPool::new(name, spec);
        pool.metadata.namespace = Some("metallb-system".to_owned());
        let objects = Objects { pools: vec![Arc::new(pool)], ..Objects::default() };
        let pool = parse::facts(&objects).facts.pools.remove(&name.into()).map(Box::new);
        self.desk.change(Change::Pool(name.into(), pool));
    }

    /// Creates or edits a Service: `spec` and `annotations` are put in place of what was there.
    fn put(&mut self, text: &str, spec: Value, annotations: Value) {
        let mut whole = json!({
            "metadata": {"name": text, "namespace": "shop", "uid": text, "annotations": annotations},
            "spec": {"type": "LoadBalancer", "ports": [{"port": 80}], "clusterIPs": ["10.0.0.1"]},
        });
        for (key, value) in spec.as_object().unwrap() {
            whole["spec"][key] = value.clone();
        }
        let mut service: core::Service = serde_json::from_value(whole).unwrap();
        let before = self.server.get(&name(text));
        service.status = before.and_then(|before| before.status.clone());
        let created = Timestamp::from_second(100 + self.server.len() as i64).unwrap();
        let created = before.map_or(Some(Time(created)), |b| b.metadata.creation_timestamp.clone());
        service.metadata.creation_timestamp = created;
        self.store(name(text), service);
    }

    fn create(&mut self, text: &str) {
        self.put(text, json!({}), json!({}));
    }

    fn delete(&mut self, text: &str) {
        self.server.remove(&name(text));
        self.events.push((name(text), None));
    }

    /// Writes a status as another controller would.
    fn set(&mut self, text: &str, addresses: &[&str]) {
        let mut service = self.server[&name(text)].clone();
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        let assignment = Assignment { addresses, pool: "main".into() };
        service_status::fill(&mut service, Some(&assignment));
        self.store(name(text), service);
    }

    fn store(&mut self, name: ServiceName, mut service: core::Service) -> core::Service {
        self.version += 1;
        service.metadata.resource_version = Some(self.version.to_string());
        self.server.insert(name.clone(), service.clone());
        self.events.push((name, Some(service.clone())));
        service
    }

    /// Shows the desk what has happened.
    fn watch(&mut self) {
        for (name, service) in mem::take(&mut self.events) {
            if self.desk.see(&name, service.as_ref()) == Freshness::New {
                self.mean(&name, service.as_ref());
            }
        }
        self.decide();
    }

    fn mean(&mut self, name: &ServiceName, service: Option<&core::Service>) {
        let services = service.into_iter().map(|service| Arc::new(service.clone())).collect();
        let mut parsed = parse::facts(&Objects { services, ..Objects::default() });
        let fact = parsed.facts.services.remove(name).map(Box::new);
        self.desk.change(Change::Service(name.clone(), fact));
    }

    fn decide(&mut self) {
        let news = self.desk.decide();
        let line = |(name, news): (ServiceName, News)| format!("{} {}", name.name, news.label());
        self.news.extend(news.into_iter().map(line));
        assert_eq!(self.desk.decide(), [], "what is decided is decided");
    }

    /// Starts all writes that may start.
    fn send(&mut self) -> Vec<(ServiceName, core::Service)> {
        let ready: Vec<_> = self.desk.ready().cloned().collect();
        let begin = |name: ServiceName| (name.clone(), self.desk.begin(&name).unwrap());
        ready.into_iter().map(begin).collect()
    }

    /// Lets writes reach the server, and the answers the desk.
    fn arrive(&mut self, writes: Vec<(ServiceName, core::Service)>) -> usize {
        let count = writes.len();
        for (name, service) in writes {
            let version = &service.metadata.resource_version;
            let is_current =
                self.server.get(&name).is_some_and(|now| now.metadata.resource_version == *version);
            let stored = is_current.then(|| self.store(name.clone(), service));
            if self.desk.written(&name, stored.as_ref()) == Freshness::New {
                self.mean(&name, stored.as_ref());
            }
            self.decide();
        }
        count
    }

    /// Shows the desk a Service as it is, before the watch does.
    fn look(&mut self, text: &str) {
        let name = name(text);
        let Some(service) = self.server.get(&name).cloned() else { return };
        if self.desk.is_same(&name, &service)
            && self.desk.see(&name, Some(&service)) == Freshness::New
        {
            self.mean(&name, Some(&service));
        }
        self.decide();
    }

    /// Watches and writes until nothing is left to do; returns the number of writes.
    fn settle(&mut self) -> usize {
        let mut count = 0;
        loop {
            self.watch();
            let writes = self.send();
            if writes.is_empty() {
                return count;
            }
            count += self.arrive(writes);
            assert!(count < 100, "writes without end");
        }
    }

    /// What Services show: `web 192.0.2.1`.
    fn shown(&self) -> Vec<String> {
        let line = |(name, service): (&ServiceName, &core::Service)| {
            let shown = service_status::Shown::of(service);
            let addresses = shown.addresses.iter().map(ToString::to_string);
            let words = [name.name.to_string()].into_iter().chain(addresses).chain(shown.pool);
            words.collect::<Vec<_>>().join(" ")
        };
        self.server.iter().map(line).collect()
    }
}

#[test]
fn a_service_costs_one_write() {
    let mut world = World::new(&["192.0.2.1-192.0.2.2"]);
    world.create("a");
    assert_eq!(world.settle(), 1);
    assert_eq!(world.shown(), ["a 192.0.2.1 main"]);
    assert_eq!(world.news, ["a IPAllocated"]);

    world.put("a", json!({}), json!({"metallb.io/ip-allocated-from-pool": "main", "x": "y"}));
    assert_eq!(world.settle(), 0, "an edit that means nothing to us");
    world.put("a", json!({}), json!({}));
    assert_eq!(world.settle(), 1, "the annotation is put back");
    assert_eq!(world.news, ["a IPAllocated"]);
}

#[test]
fn what_is_under_way_counts_as_held() {
    let mut world = World::new(&["192.0.2.1-192.0.2.2"]);
    world.create("a");
    world.watch();
    let first = world.send();
    assert_eq!(first.len(), 1);
    // An edit meanwhile: what is under way is no longer the latest version.
    world.put("a", json!({}), json!({"x": "y"}));
    world.create("b");
    world.watch();
    let second = world.send();
    assert_eq!(second.len(), 1, "one write at a time for each Service");
    assert_eq!(world.arrive(first), 1);
    assert_eq!(world.arrive(second), 1);
    assert_eq!(world.shown(), ["a", "b 192.0.2.2 main"], "a conflict");
    assert_eq!(world.settle(), 1);
    assert_eq!(world.shown(), ["a 192.0.2.1 main", "b 192.0.2.2 main"]);
    assert_eq!(world.news, ["a IPAllocated", "b IPAllocated"], "said once");
}

#[test]
fn after_a_race_that_was_lost_it_is_decided_anew_what_is_written() {
    type Edit = fn(&mut World);
    // (what somebody else did just before the write, what is shown once it is looked at and written)
    let rows: [(&str, Edit, &[&str]); 8] = [
        ("nothing", |_| (), &["web 192.0.2.1 main"]),
        ("an edit", |it| it.put("web", json!({}), json!({"x": "y"})), &["web 192.0.2.1 main"]),
        (
            "another address is asked for",
            |it| it.put("web", json!({"loadBalancerIP": "192.0.2.2"}), json!({})),
            &["web 192.0.2.2 main"],
        ),
        (
            "another pool is asked for",
            |it| it.put("web", json!({}), json!({"metallb.io/address-pool": "x"})),
            &["web"],
        ),
        ("another type", |it| it.put("web", json!({"type": "ClusterIP"}), json!({})), &["web"]),
        (
            "another class",
            |it| it.put("web", json!({"loadBalancerClass": "x"}), json!({})),
            &["web"],
        ),
        ("another controller wrote", |it| it.set("web", &["192.0.2.2"]), &["web 192.0.2.2 main"]),
        ("it is gone", |it| it.delete("web"), &[]),
    ];
    for (row, edit, shown) in rows {
        let mut world = World::new(&["192.0.2.1-192.0.2.2"]);
        world.create("web");
        world.watch();
        let writes = world.send();
        edit(&mut world);
        // What a watch that lags shows later must not matter.
        let late = mem::take(&mut world.events);
        world.arrive(writes);
        world.look("web");
        let writes = world.send();
        world.arrive(writes);
        assert_eq!(world.shown(), shown, "{row}");
        world.events.splice(0..0, late);
        assert_eq!(world.settle(), 0, "{row}");
        assert_eq!(world.shown(), shown, "{row}");
    }
}

#[test]
fn a_service_made_anew_by_the_same_name_is_not_taken_for_the_one_that_was_written() {
    let mut world = World::new(&["192.0.2.1/32"]);
    world.create("web");
    world.settle();
    world.delete("web");
    world.create("web");
    world.server.get_mut(&name("web")).unwrap().metadata.uid = Some("web-2".to_owned());
    let (_, created) = world.events.last_mut().unwrap();
    created.as_mut().unwrap().metadata.uid = Some("web-2".to_owned());
    world.look("web");
    assert!(world.send().is_empty(), "the watch shows first that the other is gone");
    world.settle();
    assert_eq!(world.shown(), ["web 192.0.2.1 main"]);
}

#[test]
fn an_old_event_after_an_own_write_is_ignored() {
    let mut world = World::new(&["192.0.2.1-192.0.2.2"]);
    world.create("a");
    let late = world.events.clone();
    world.settle();
    world.events = late;
    assert_eq!(world.settle(), 0);
}

#[test]
fn a_restart_changes_nothing_and_gives_nothing_twice() {
    let mut world = World::new(&["192.0.2.1-192.0.2.4"]);
    for service in ["a", "b", "c"] {
        world.create(service);
    }
    world.settle();
    world.delete("a");
    world.settle();
    let shown = world.shown();
    let mut anew = World { server: mem::take(&mut world.server), version: 99, ..World::default() };
    anew.pool("main", &["192.0.2.1-192.0.2.4"]);
    anew.events =
        anew.server.iter().map(|(n, service)| (n.clone(), Some(service.clone()))).collect();
    // One that is new, and that would come first.
    anew.create("0");
    anew.watch();
    assert!(anew.send().is_empty(), "who follows writes nothing");
    anew.desk.lead();
    assert_eq!(anew.settle(), 1);
    assert_eq!(anew.shown()[0], "0 192.0.2.1 main");
    assert_eq!(anew.shown()[1..], shown);
}

#[test]
fn of_two_with_the_same_address_the_one_created_later_gives_it_up() {
    let mut world = World::new(&["192.0.2.1-192.0.2.4"]);
    world.create("z");
    world.settle();
    world.create("a");
    world.settle();
    assert_eq!(world.shown(), ["a 192.0.2.2 main", "z 192.0.2.1 main"]);
    world.news.clear();
    world.set("a", &["192.0.2.1"]);
    assert_eq!(world.settle(), 1);
    assert_eq!(world.shown(), ["a 192.0.2.2 main", "z 192.0.2.1 main"]);
    assert_eq!(world.news, ["a ClearAssignment", "a IPAllocated"]);
    world.set("z", &["192.0.2.2"]);
    world.settle();
    assert_eq!(world.shown(), ["a 192.0.2.1 main", "z 192.0.2.2 main"], "the older one keeps it");
}

#[test]
fn what_is_freed_goes_to_those_that_wait_once_it_is_free() {
    let mut world = World::new(&["192.0.2.1/32"]);
    for service in ["a", "b", "c"] {
        world.create(service);
    }
    assert_eq!(world.settle(), 1);
    assert_eq!(world.news, ["a IPAllocated", "b AllocationFailed", "c AllocationFailed"]);
    world.put("b", json!({}), json!({"x": "y"}));
    world.settle();
    assert_eq!(world.news.len(), 3, "the same is not said again");
    world.news.clear();
    // It asks for something that does not exist: it keeps nothing and gets nothing.
    let annotations = json!({"metallb.io/address-pool": "x"});
    world.put("a", json!({}), annotations);
    world.watch();
    let writes = world.send();
    assert_eq!(writes.len(), 1, "b waits until a has given it up: {writes:?}");
    world.arrive(writes);
    assert_eq!(world.shown(), ["a", "b", "c"]);
    world.settle();
    assert_eq!(world.shown(), ["a", "b 192.0.2.1 main", "c"]);
    world.delete("b");
    world.settle();
    assert_eq!(world.shown(), ["a", "c 192.0.2.1 main"]);
}

#[test]
fn two_that_swap_do_not_wait_for_each_other() {
    let mut world = World::new(&["192.0.2.1-192.0.2.2"]);
    world.create("a");
    world.create("b");
    world.settle();
    let asks = |address: &str| json!({"loadBalancerIP": address});
    world.put("a", asks("192.0.2.2"), json!({}));
    world.put("b", asks("192.0.2.1"), json!({}));
    world.settle();
    assert_eq!(world.shown(), ["a 192.0.2.2 main", "b 192.0.2.1 main"]);
}

#[test]
fn without_pools_nothing_is_taken_away() {
    let mut world = World::new(&["192.0.2.1-192.0.2.2"]);
    world.create("a");
    world.settle();
    world.desk.change(Change::Pool("main".into(), None));
    assert_eq!(world.settle(), 0);
    world.create("b");
    assert_eq!(world.settle(), 0);
    world.pool("renamed", &["192.0.2.0/28"]);
    assert_eq!(world.settle(), 2);
    assert_eq!(world.shown(), ["a 192.0.2.1 renamed", "b 192.0.2.0 renamed"]);
}

#[test]
fn addresses_are_taken_away_when_no_pool_is_wanted_any_more() {
    let mut world = World::new(&["192.0.2.1-192.0.2.2"]);
    world.create("a");
    world.settle();
    world.desk.change(Change::Pool("main".into(), None));
    assert_eq!(world.settle(), 0);
    world.desk.without_pools(Orphans::Clear);
    assert_eq!(world.settle(), 1);
    assert_eq!(world.shown(), ["a"]);
    assert_eq!(world.news, ["a IPAllocated", "a AllocationFailed"], "said once");
    world.set("a", &["192.0.2.1"]);
    assert_eq!(world.settle(), 1, "nor may others give one");
    world.desk.without_pools(Orphans::Leave);
    world.pool("main", &["192.0.2.2/32"]);
    assert_eq!(world.settle(), 1);
    assert_eq!(world.shown(), ["a 192.0.2.2 main"]);
}

#[test]
fn a_service_of_another_type_is_cleaned_and_one_of_another_class_left_alone() {
    let mut world = World::new(&["192.0.2.1/32"]);
    world.create("a");
    world.settle();
    world.create("b");
    world.put("a", json!({"type": "ClusterIP"}), json!({service_status::POOL: "main"}));
    world.settle();
    assert_eq!(world.shown(), ["a", "b 192.0.2.1 main"]);

    world.put("c", json!({"loadBalancerClass": "x"}), json!({}));
    world.set("c", &["192.0.2.1"]);
    assert_eq!(world.settle(), 0);
}

#[test]
fn a_pool_that_shrinks_moves_who_is_outside() {
    let mut world = World::new(&["192.0.2.1-192.0.2.4"]);
    world.create("a");
    world.create("b");
    world.settle();
    world.pool("main", &["192.0.2.2-192.0.2.4"]);
    assert_eq!(world.settle(), 1);
    assert_eq!(world.shown(), ["a 192.0.2.3 main", "b 192.0.2.2 main"]);
}

#[test]
fn who_stops_to_lead_forgets_what_it_wanted() {
    let mut world = World::new(&["192.0.2.1-192.0.2.4"]);
    world.create("a");
    world.watch();
    world.desk.follow();
    assert!(world.send().is_empty());
    world.set("a", &["192.0.2.4"]);
    world.watch();
    world.desk.lead();
    assert_eq!(world.settle(), 0);
    assert_eq!(world.shown(), ["a 192.0.2.4 main"]);
}

#[test]
fn a_service_that_is_gone_when_its_write_is_answered_stays_gone() {
    let mut world = World::new(&["192.0.2.1/32"]);
    world.create("a");
    world.watch();
    let writes = world.send();
    let answer = world.store(name("a"), writes[0].1.clone());
    world.delete("a");
    world.watch();
    assert_eq!(world.desk.written(&name("a"), Some(&answer)), Freshness::Stale);
    world.create("b");
    world.settle();
    assert_eq!(world.shown(), ["b 192.0.2.1 main"]);
}

#[test]
fn only_addresses_that_somebody_else_changes_are_undone() {
    let mut world = World::new(&["192.0.2.0/30"]);
    let is_undone = |world: &World| world.desk.is_undone(&name("web"), &world.server[&name("web")]);
    world.create("web");
    world.watch();
    assert!(!is_undone(&world), "a new one has none");
    let (web, mut written) = world.send().remove(0);
    written = world.store(web.clone(), written);
    assert!(!is_undone(&world), "our own write, seen before its answer");
    world.desk.written(&web, Some(&written));
    world.put("web", json!({}), json!({"note": "x"}));
    assert!(!is_undone(&world), "an annotation");
    world.set("web", &["192.0.2.3"]);
    assert!(is_undone(&world));
}
