//! ferrolb and an API server that answers badly: overloaded, out of order, or not at all.
//!
//! ```text
//!   client ────┬──── node-a: kube-proxy, speaker ──── pod-a
//!   .100       ├──── node-b: kube-proxy, speaker ──── pod-b
//!              ├──── control-plane .90: etcd, kube-apiserver, and the gateway before it
//!              └──── controller-0 .91, controller-1 .92
//! ```
//!
//! Only ferrolb goes by way of the gateway. The tests and kube-proxy ask the API server itself.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lab::Probe;
use lab::kube::gateway::{Answer, Asked, Fault, status};
use lab::kube::pki::Signed;
use lab::kube::services::{LIMIT, SERVICES, address_of, service};
use lab::kube::{Api, Gateway, Installed, Patch};
use serde_json::{Value, json};

/// How long a fault lasts: some times longer than a client waits before it asks again.
const FAULT: Duration = Duration::from_secs(1);

/// A cluster with a Service `web` that a client hears of all the time.
struct Trial {
    installed: Installed,
    gateway: Gateway,
    address: IpAddr,
    probe: Probe,
}

impl Trial {
    fn start(controllers: u8) -> Self {
        let (installed, gateway) = Installed::start_behind_gateway(2, controllers).unwrap();
        installed.configure("192.0.2.200-192.0.2.249").unwrap();
        let (address, probe) = probed(&installed, "web");
        Self { installed, gateway, address, probe }
    }

    /// A fault from its begin to its end: a Service comes meanwhile and has an address and an
    /// announcing node soon after. Nobody asks much more often than when all is well.
    fn suffer(&self, name: &str, is_for: fn(&Asked) -> bool, fault: Fault) {
        let plane = &self.installed.cluster.plane;
        let begin = Instant::now();
        self.gateway.when(is_for, fault);
        self.gateway.cut_watches();
        drop(self.gateway.take_asked());
        plane.api().create(SERVICES, &service(name, "Cluster")).unwrap();
        self.installed.cluster.set_endpoints(name, &["a", "b"]).unwrap();
        thread::sleep(FAULT);
        let asked = self.gateway.take_asked();
        self.gateway.heal();
        assert_calm(name, &asked, begin.elapsed());
        let address = self.installed.cluster.ingress(name, LIMIT);
        let address =
            address.unwrap_or_else(|error| panic!("{name}: {error:#}\n{}", self.installed.logs()));
        self.wait_announced(name, address);
    }

    /// Waits until a speaker answers ARP for an address.
    fn wait_announced(&self, name: &str, address: IpAddr) {
        let client = &self.installed.cluster.lan.client;
        let is_announced = || {
            let server = SocketAddr::new(address, 80);
            let _ = lab::http::get(client, server, "/", Duration::from_millis(200));
            matches!(client.neighbour(address), Ok(Some(_)))
        };
        self.installed.until(&format!("{name} is announced"), is_announced).unwrap();
    }

    /// The client heard of `web` all the time, and no address was given twice.
    fn end(self) {
        let addresses = self.installed.addresses().unwrap();
        assert_eq!(addresses[&self.address], "web", "{}", self.installed.logs());
        assert_kept(&self.installed, self.address, self.probe);
    }
}

/// No speaker has let go of an address. By its own word: on a machine that has much to do nodes fall
/// silent, and a client notices that others take over.
fn assert_kept(installed: &Installed, address: IpAddr, probe: Probe) {
    let is_ours = |line: &&str| line.contains(&format!("\"{address}\""));
    let logs = installed.logs();
    let let_go = |line: &&str| line.contains("dropped: no node") || line.contains("released: ");
    let lost = logs.lines().filter(is_ours).find(let_go);
    assert_eq!(lost, None, "{logs}");
    let outage = probe.finish().longest_outage;
    assert!(outage < Duration::from_secs(10), "away for {outage:?}\n{logs}");
}

/// Creates a Service, and has its client send to it all the time once it is answered by both pods.
fn probed(installed: &Installed, name: &str) -> (IpAddr, Probe) {
    let address = installed.create(name, "Cluster").unwrap();
    installed.cluster.set_endpoints(name, &["a", "b"]).unwrap();
    let client = &installed.cluster.lan.client;
    let answer = |_| {
        let server = SocketAddr::new(address, 80);
        Some(lab::http::get(client, server, "/", Duration::from_millis(500)).ok()?.body)
    };
    let both = || (0..10).filter_map(answer).collect::<BTreeSet<_>>().len() == 2;
    installed.until("both pods answer", both).unwrap();
    let probe = Probe::start(client, SocketAddr::new(address, 9000)).unwrap();
    probe.wait_answered(LIMIT).unwrap();
    (address, probe)
}

/// Each program asks the same thing only now and then: at first soon after a failure, then less and
/// less often.
fn assert_calm(name: &str, asked: &[Asked], time: Duration) {
    let mut counts: BTreeMap<_, usize> = BTreeMap::new();
    for one in asked {
        let kind = if one.is_write() { "write" } else { "read" };
        *counts.entry((one.from, one.path.clone(), kind)).or_default() += 1;
    }
    let seconds = usize::try_from(time.as_secs()).unwrap() + 1;
    let hot: Vec<_> = counts.iter().filter(|(_, count)| **count > 5 + 3 * seconds).collect();
    assert!(hot.is_empty(), "{name}: in {time:?} {hot:?}");
}

fn answer(code: u16, reason: &str, message: &str) -> Fault {
    Fault::Answer(Answer::status(code, reason, message))
}

const HTML: &str = "<html><body><h1>503 Service Unavailable</h1></body></html>";

#[test]
fn an_api_server_that_is_overloaded_is_waited_for() {
    lab::require!(kubernetes);
    let trial = Trial::start(1);
    let text = |code, retry_after, body: &str| {
        Fault::Answer(Answer { code, retry_after, body: body.to_owned() })
    };
    trial.suffer(
        "too-many",
        |_| true,
        text(429, Some(1), "Too many requests, please try again later.\n"),
    );
    trial.suffer("unavailable", |_| true, text(503, None, HTML));
    trial.suffer("html-later", |_| true, text(503, Some(1), HTML));
    trial.suffer("html", |_| true, text(200, None, HTML));
    trial.suffer("slow", |_| true, Fault::Delay(Duration::from_millis(700)));
    trial.end();
}

#[test]
fn an_api_server_that_says_when_to_ask_again_is_not_asked_before() {
    lab::require!(kubernetes);
    let trial = Trial::start(1);
    let later = Duration::from_secs(6);
    let body = "Too many requests, please try again later.\n".to_owned();
    let too_many = Answer { code: 429, retry_after: Some(6), body };
    trial.gateway.when(|_| true, Fault::Answer(too_many));
    drop(trial.gateway.take_asked());
    let begin = Instant::now();
    trial.gateway.cut_watches();
    thread::sleep(later * 2 / 3);
    let asked = trial.gateway.take_asked();
    let rounds = 1 + begin.elapsed().as_secs() / later.as_secs();
    trial.gateway.heal();
    // Pods are followed by two tasks, which may ask the same.
    let waits = |asked: &&Asked| asked.is_watch() && !asked.is_about("pods");
    let mut counts: BTreeMap<_, u64> = BTreeMap::new();
    for one in asked.iter().filter(waits) {
        *counts.entry((one.from, &one.path, &one.query)).or_default() += 1;
    }
    assert!(!counts.is_empty(), "watches that were cut are opened again");
    let early: Vec<_> = counts.iter().filter(|(_, count)| **count > rounds).collect();
    assert!(early.is_empty(), "more than {rounds} of {early:?}");
    trial.suffer("after", |_| false, Fault::Hold);
    trial.end();
}

#[test]
fn a_watch_that_breaks_off_goes_on_and_one_that_is_too_old_begins_anew() {
    lab::require!(kubernetes);
    let trial = Trial::start(1);
    let event =
        |code, reason| Fault::Event(json!({"type": "ERROR", "object": status(code, reason, "no")}));
    trial.suffer("gone", Asked::is_watch, answer(410, "Expired", "too old resource version"));
    trial.suffer("gone-event", Asked::is_watch, event(410, "Expired"));
    trial.suffer("error-event", Asked::is_watch, event(500, "InternalError"));
    trial.suffer("ends", Asked::is_watch, Fault::End(0));
    trial.suffer("half", Asked::is_watch, Fault::End(700));
    trial.suffer("cut", Asked::is_watch, Fault::Cut(700));
    trial.end();
}

/// A watch that goes on after what was seen before.
fn is_resumed(asked: &Asked) -> bool {
    asked.is_watch() && !asked.is_streamed_list()
}

/// What a replica may answer from what it has: one that is asked for nothing newer.
fn may_be_old(asked: &Asked) -> bool {
    asked.is_streamed_list() && asked.query.contains("resourceVersion=0")
}

#[test]
fn lists_that_are_old_or_break_off_make_nothing_disappear() {
    lab::require!(kubernetes);
    let trial = Trial::start(1);
    let plane = &trial.installed.cluster.plane;
    let old = ["/api/v1/services", "/apis/discovery.k8s.io/v1/endpointslices"]
        .map(|path| (path, plane.get(path).unwrap()));
    let (later, probe) = probed(&trial.installed, "later");
    for (path, list) in old {
        trial
            .gateway
            .when(move |asked| asked.path == path && may_be_old(asked), Fault::Stale(list));
    }
    trial.suffer("lagging", is_resumed, answer(410, "Expired", "too old resource version"));

    // More than a page, in which `web` comes last.
    for number in 0..110 {
        let mut other = service(&format!("other-{number:03}"), "Cluster");
        other["spec"]["type"] = "ClusterIP".into();
        other["spec"].as_object_mut().unwrap().remove("externalTrafficPolicy");
        plane.api().create(SERVICES, &other).unwrap();
    }
    trial.gateway.when(Asked::is_streamed_list, answer(400, "BadRequest", "streams no lists"));
    let is_rest = |asked: &Asked| asked.query.contains("continue=");
    trial
        .gateway
        .when(is_rest, answer(410, "Expired", "the provided continue parameter is too old"));
    trial.suffer("pages", is_resumed, answer(410, "Expired", "too old resource version"));

    // Neither a watch nor a second page, ever: what is there is listed at once.
    let gateway = &trial.gateway;
    gateway.when(Asked::is_streamed_list, answer(400, "BadRequest", "streams no lists"));
    gateway.when(is_rest, answer(410, "Expired", "the provided continue parameter is too old"));
    gateway.when(is_resumed, answer(410, "Expired", "too old resource version"));
    gateway.cut_watches();
    plane.api().create(SERVICES, &service("at-once", "Cluster")).unwrap();
    trial.installed.cluster.set_endpoints("at-once", &["a", "b"]).unwrap();
    let address = trial.installed.cluster.ingress("at-once", LIMIT);
    let logs = |error| panic!("{error:#}\n{}", trial.installed.logs());
    trial.wait_announced("at-once", address.unwrap_or_else(logs));
    gateway.heal();
    assert_kept(&trial.installed, later, probe);
    trial.end();
}

/// A pool of its own for a namespace, a Service there that asks for it, and its endpoints.
fn tenant(name: &str, range: &str) -> Vec<Value> {
    let mut service = service(name, "Cluster");
    service["metadata"]["namespace"] = name.into();
    service["metadata"]["annotations"] = json!({"metallb.io/address-pool": name});
    let ours = json!({"name": name, "namespace": "metallb-system"});
    vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"team": name}}}),
        json!({
            "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": ours,
            "spec": {"addresses": [range], "serviceAllocation": {
                "namespaceSelectors": [{"matchLabels": {"team": name}}],
            }},
        }),
        json!({
            "apiVersion": "metallb.io/v1beta1", "kind": "L2Advertisement", "metadata": ours,
            "spec": {"ipAddressPools": [name]},
        }),
        service,
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": name, "namespace": name, "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.244.1.2"], "nodeName": "node-a", "conditions": {"ready": true}}],
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        }),
    ]
}

#[test]
fn it_does_not_matter_which_kind_and_which_object_is_seen_first() {
    lab::require!(kubernetes);
    let trial = Trial::start(1);
    let plane = &trial.installed.cluster.plane;
    let kinds = ["namespaces", "ipaddresspools", "l2advertisements", "services", "endpointslices"];
    for (number, kind) in (1..).zip(kinds) {
        let name = format!("late-{kind}");
        trial.gateway.when(move |asked| asked.is_watch() && asked.is_about(kind), Fault::Hold);
        for object in tenant(&name, &format!("192.0.2.15{number}/32")) {
            plane.api().put(&object).unwrap();
        }
        thread::sleep(FAULT / 4);
        trial.gateway.heal();
        let path = format!("/api/v1/namespaces/{name}/services/{name}");
        let address = format!("192.0.2.15{number}");
        let has =
            |service: &Value| service["status"]["loadBalancer"]["ingress"][0]["ip"] == address;
        plane.wait(&path, "it has the address of its pool", LIMIT, has).unwrap();
        trial.wait_announced(&name, address.parse().unwrap());
    }
    let window = Duration::from_millis(300);
    trial.gateway.when(Asked::is_watch, Fault::Reverse(window));
    for round in 0..3 {
        for number in 0..5 {
            let name = format!("reversed-{number}");
            plane.api().put(&service(&name, "Cluster")).unwrap();
            if round < 2 {
                plane.delete(&format!("{SERVICES}/{name}")).unwrap();
            }
        }
    }
    trial.suffer("reversed", |_| false, Fault::Hold);
    let has_all = || trial.installed.addresses().unwrap().len() == 7;
    trial.installed.until("all have addresses", has_all).unwrap();
    trial.end();
}

#[test]
fn writes_that_are_refused_or_whose_answer_is_lost_come_to_the_same_result() {
    lab::require!(kubernetes);
    let trial = Trial::start(2);
    let conflict = || answer(409, "Conflict", "the object has been modified");
    let html = || Fault::Answer(Answer { code: 500, retry_after: None, body: HTML.to_owned() });
    trial.suffer("conflict", Asked::is_write, conflict());
    trial.suffer("error", Asked::is_write, html());
    trial.suffer("lost", Asked::is_write, Fault::LoseAnswer);
    let statuses = "/apis/metallb.io/v1beta1/namespaces/metallb-system/servicel2statuses";
    let is_one_each = |list: &Value| {
        let label =
            |object: &Value| object["metadata"]["labels"]["metallb.io/service-name"].to_string();
        let mut names: Vec<_> = list["items"].as_array().into_iter().flatten().map(label).collect();
        names.sort();
        names == [r#""conflict""#, r#""error""#, r#""lost""#, r#""web""#]
    };
    let waited =
        trial.installed.cluster.plane.wait(statuses, "one status for each", LIMIT, is_one_each);
    waited.unwrap_or_else(|error| panic!("{error:#}"));
    trial.end();
}

/// Edits a Service as often as the API server lets it, until told to stop.
fn edit(api: &Api, path: &str, what: &str, is_over: &AtomicBool) {
    for number in 0.. {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        let (path, patch) = match what {
            "annotations" => {
                let patch = json!({"metadata": {"annotations": {"edit": number.to_string()}}});
                (path.to_owned(), patch)
            }
            // Takes the address away as soon as there is one.
            _ if address_of(&api.get(path).unwrap()).is_none() => continue,
            _ => {
                let patch = json!({"status": {"loadBalancer": {"ingress": null}}});
                (format!("{path}/status"), patch)
            }
        };
        api.patch(&path, Patch::Merge, &patch).unwrap();
    }
}

#[test]
fn somebody_who_edits_a_service_all_the_time_neither_hinders_nor_hurries_the_controller() {
    lab::require!(kubernetes);
    let trial = Trial::start(1);
    let api = trial.installed.cluster.plane.api();
    for what in ["annotations", "status"] {
        let path = format!("{SERVICES}/{what}");
        let is_over = AtomicBool::new(false);
        api.create(SERVICES, &service(what, "Cluster")).unwrap();
        let (asked, time) = thread::scope(|scope| {
            scope.spawn(|| edit(api, &path, what, &is_over));
            let begin = Instant::now();
            drop(trial.gateway.take_asked());
            thread::sleep(2 * FAULT);
            let seen = (trial.gateway.take_asked(), begin.elapsed());
            // Whoever adds annotations cannot keep the address away.
            let address = trial.installed.cluster.ingress(what, LIMIT);
            is_over.store(true, Ordering::Relaxed);
            address.unwrap();
            seen
        });
        assert_calm(what, &asked, time);
        trial.installed.cluster.ingress(what, LIMIT).unwrap();
    }
    trial.end();
}

const SECRET: &str = "/api/v1/namespaces/metallb-system/secrets/metallb-webhook-cert";
const WEBHOOKS: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/metallb-webhook-configuration";

/// Whether the webhooks say no to a pool that makes no sense: who asks is believed, and believes.
fn is_checked(installed: &Installed) -> bool {
    let pool = json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
        "metadata": {"name": "wrong", "namespace": "metallb-system"},
        "spec": {"addresses": ["192.0.2.9-192.0.2.1"]},
    });
    let refused = installed.cluster.plane.api().put(&pool).unwrap_err();
    format!("{refused:#}").contains("denied the request")
}

#[test]
fn a_certificate_of_the_webhooks_that_expires_is_replaced_without_a_restart() {
    lab::require!(kubernetes);
    let installed = Installed::start(0, 2).unwrap();
    installed.until("webhooks work", || is_checked(&installed)).unwrap();
    let api = installed.cluster.plane.api();
    let host = "metallb-webhook-service.metallb-system.svc";
    let secret = api.get(SECRET).unwrap();
    let word = |secret: &Value, key: &str| secret["data"][key].as_str().unwrap().to_owned();
    let own = word(&secret, "ca.crt");
    let plain = |key: &str| {
        let template = format!("go-template={{{{index .data \"{key}\" | base64decode}}}}");
        let get =
            ["get", "secret", "metallb-webhook-cert", "-n", "metallb-system", "-o", &template];
        installed.cluster.plane.kubectl(&get).unwrap()
    };
    let (ca, ca_key) = (plain("ca.crt"), plain("ca.key"));
    let rows = [
        ("of another authority, both expired", Signed::until((2021, 1, 1), host, None)),
        ("of the own authority, expired", Signed::until((2021, 1, 1), host, Some((&ca, &ca_key)))),
        (
            "rubbish",
            Ok(Signed {
                ca: "x".into(),
                ca_key: "x".into(),
                certificate: "x".into(),
                key: "x".into(),
            }),
        ),
    ];
    for (name, signed) in rows {
        let Signed { ca, ca_key, certificate, key } = signed.unwrap();
        let data = json!({"ca.crt": ca, "ca.key": ca_key, "tls.crt": certificate, "tls.key": key});
        let put = api.patch(SECRET, Patch::Merge, &json!({"stringData": data})).unwrap();
        let expired = word(&put, "tls.crt");
        let is_new = |secret: &Value| secret["data"]["tls.crt"] != expired;
        let secret = api.wait(SECRET, name, LIMIT, is_new).unwrap();
        let told = |webhooks: &Value| {
            let all = webhooks["webhooks"].as_array().unwrap();
            all.iter().all(|one| one["clientConfig"]["caBundle"] == secret["data"]["ca.crt"])
        };
        api.wait(WEBHOOKS, "the API server is told", LIMIT, told).unwrap();
        installed.until(name, || is_checked(&installed)).unwrap();
        let keeps_authority = name.contains("own");
        assert_eq!(word(&secret, "ca.crt") == own, keeps_authority, "{name}");
    }
}
