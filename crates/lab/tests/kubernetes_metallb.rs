//! ferrolb beside a MetalLB that still runs.
//!
//! ```text
//!   client ────┬──── node-a: kube-proxy, speaker ──── pod-a
//!   .100       ├──── node-b: kube-proxy, speaker ──── pod-b
//!              ├──── control-plane .90: etcd, kube-apiserver
//!              └──── controller-0 .91
//! ```
//!
//! MetalLB is not here: its Pods and what it would write are objects only. That is all that ferrolb
//! knows of it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lab::http;
use lab::kube::Installed;
use serde_json::{Value, json};

/// For what takes milliseconds on a machine at rest.
const SOON: Duration = Duration::from_secs(30);

/// For what waits for a lease to run out.
const LEASE: Duration = Duration::from_secs(40);

const SERVICES: &str = "/api/v1/namespaces/default/services";
const PODS: &str = "/api/v1/namespaces/metallb-system/pods";
const EVENTS: &str = "/api/v1/namespaces/metallb-system/events";
const STATUSES: &str = "/apis/metallb.io/v1beta1/namespaces/metallb-system/servicel2statuses";

const SETTINGS: &str = "
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata:
  name: lan
  namespace: metallb-system
spec:
  addresses: [192.0.2.200-192.0.2.209]
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata:
  name: lan
  namespace: metallb-system
spec:
  ipAddressPools: [lan]
";

/// Two nodes with a speaker each, settings that give addresses from 192.0.2.200 on, and no
/// controller.
fn installed() -> Result<Installed> {
    let installed = Installed::start(2, 0)?;
    let plane = &installed.cluster.plane;
    // Settings are let in without webhooks, which nobody answers yet.
    plane.delete("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/metallb-webhook-configuration")?;
    plane.apply(SETTINGS)?;
    Ok(installed)
}

fn start_controller(installed: &mut Installed, extra: &[&str]) {
    let Installed { controllers, installation, cluster, .. } = installed;
    let started = installation.start_controller(&cluster.plane, &cluster.lan, 0, extra);
    controllers.push(started.unwrap());
}

fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "type": "LoadBalancer",
            "ports": [
                {"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"},
                {"name": "echo", "port": 9000, "targetPort": 8080, "protocol": "UDP"},
            ],
        },
    })
}

fn create(installed: &Installed, name: &str) -> Result<()> {
    installed.cluster.plane.api().create(SERVICES, &service(name))?;
    installed.cluster.set_endpoints(name, &["a", "b"])
}

/// A Pod of MetalLB that runs on a node, with the labels of its chart or of its manifests.
fn start_metallb(installed: &Installed, component: &str, node: &str, labels: &Value) -> String {
    let plane = &installed.cluster.plane;
    let name = format!("metallb-{component}-{node}");
    let image = format!("quay.io/metallb/{component}:v0.15.3");
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "metallb-system", "labels": labels},
        "spec": {"nodeName": node, "containers": [{"name": component, "image": image}]},
    });
    plane.api().put(&pod).unwrap();
    let conditions = [json!({"type": "Ready", "status": "True"})];
    let status = json!({"status": {"phase": "Running", "conditions": conditions}});
    plane.patch(&format!("{PODS}/{name}/status"), &status).unwrap();
    plane.get(&format!("{PODS}/{name}")).unwrap()["metadata"]["uid"].as_str().unwrap().to_owned()
}

fn stop_metallb(installed: &Installed, component: &str, node: &str) {
    let path = format!("{PODS}/metallb-{component}-{node}");
    installed.cluster.plane.delete(&format!("{path}?gracePeriodSeconds=0")).unwrap();
}

fn manifests(component: &str) -> Value {
    json!({"app": "metallb", "component": component})
}

fn chart(component: &str) -> Value {
    json!({"app.kubernetes.io/name": "metallb", "app.kubernetes.io/component": component})
}

/// What the speaker of MetalLB in a Pod writes of a Service that it announces.
fn say_announced(installed: &Installed, service: &str, node: &str, uid: &str) {
    let name = format!("l2-{service}");
    let object = json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "ServiceL2Status",
        "metadata": {
            "name": name, "namespace": "metallb-system",
            "labels": {
                "metallb.io/node": node,
                "metallb.io/service-name": service,
                "metallb.io/service-namespace": "default",
            },
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "Pod", "name": format!("metallb-speaker-{node}"),
                "uid": uid,
            }],
        },
    });
    let plane = &installed.cluster.plane;
    plane.api().put(&object).unwrap();
    let status = json!({"node": node, "serviceName": service, "serviceNamespace": "default"});
    plane.patch(&format!("{STATUSES}/{name}/status"), &json!({"status": status})).unwrap();
}

/// Waits until something holds; says what the programs logged if it does not.
fn until(installed: &Installed, what: &str, holds: impl Fn() -> bool) -> Result<()> {
    let end = Instant::now() + LEASE;
    while !holds() {
        ensure!(Instant::now() < end, "not in time: {what}\n{}", installed.logs());
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Whether a node answers for an address.
fn is_answered(installed: &Installed, address: IpAddr) -> bool {
    let client = &installed.cluster.lan.client;
    client.forget_neighbour(address).unwrap();
    let _ = http::get(client, SocketAddr::new(address, 80), "/", Duration::from_millis(500));
    client.neighbour(address).is_ok_and(|neighbour| neighbour.is_some())
}

/// Whether an Event about a Pod says that MetalLB still runs.
fn is_told(pod: &str) -> impl Fn(&Value) -> bool {
    move |list| {
        let events = list["items"].as_array().into_iter().flatten();
        let about = |event: &Value| {
            event["involvedObject"]["name"] == pod && event["reason"] == "MetalLBStillRuns"
        };
        events.filter(|event| about(event)).count() == 1
    }
}

#[test]
fn no_address_is_given_while_a_controller_of_metallb_runs() {
    lab::require!(kubernetes);
    let mut installed = installed().unwrap();
    start_metallb(&installed, "controller", "node-a", &manifests("controller"));
    start_metallb(&installed, "controller", "node-b", &chart("controller"));
    create(&installed, "web").unwrap();
    start_controller(&mut installed, &[]);
    let cluster = &installed.cluster;
    let log = &installed.controllers[0].process;
    log.wait_for_log("a MetalLB still runs beside this controller", SOON).unwrap();
    cluster.plane.wait(EVENTS, "an Event says so", SOON, is_told("controller-0")).unwrap();

    stop_metallb(&installed, "controller", "node-a");
    let web = cluster.plane.get(&format!("{SERVICES}/web")).unwrap();
    assert!(web["status"]["loadBalancer"]["ingress"].is_null(), "one of the two still runs");
    stop_metallb(&installed, "controller", "node-b");
    assert_eq!(cluster.ingress("web", LEASE).unwrap().to_string(), "192.0.2.200");

    // MetalLB comes back: what is given stays, nothing more is given.
    start_metallb(&installed, "controller", "node-a", &manifests("controller"));
    log.wait_for_log("this controller gives way to MetalLB's", SOON).unwrap();
    create(&installed, "next").unwrap();
    stop_metallb(&installed, "controller", "node-a");
    cluster.ingress("next", LEASE).unwrap();
    assert_eq!(log.log().matches("a MetalLB still runs").count(), 2, "once each time");
}

#[test]
fn with_a_class_of_its_own_ferrolb_waits_for_nobody() {
    lab::require!(kubernetes);
    let mut installed = installed().unwrap();
    start_metallb(&installed, "controller", "node-a", &manifests("controller"));
    start_controller(&mut installed, &["--lb-class", "example.com/ours"]);
    let mut service = service("web");
    service["spec"]["loadBalancerClass"] = "example.com/ours".into();
    installed.cluster.plane.api().create(SERVICES, &service).unwrap();
    installed.cluster.ingress("web", LEASE).unwrap();
    let log = installed.controllers[0].process.log();
    assert!(!log.contains("a MetalLB still runs"), "{log}");
}

#[test]
fn what_a_speaker_of_metallb_announces_is_left_to_it() {
    lab::require!(kubernetes);
    let mut installed = installed().unwrap();
    for speaker in &mut installed.speakers {
        speaker.process.kill().unwrap();
    }
    let [theirs, ours]: [IpAddr; 2] = [[192, 0, 2, 200].into(), [192, 0, 2, 201].into()];
    for (service, address) in [("theirs", theirs), ("ours", ours)] {
        create(&installed, service).unwrap();
        installed.cluster.set_ingress(service, &address.to_string()).unwrap();
    }
    let on_a = start_metallb(&installed, "speaker", "node-a", &chart("speaker"));
    say_announced(&installed, "theirs", "node-a", &on_a);
    let Installed { speakers, installation, cluster, .. } = &mut installed;
    for (speaker, node) in speakers.iter_mut().zip(&cluster.lan.nodes) {
        installation.restart_speaker(speaker, node, &[]).unwrap();
    }
    let plane = &installed.cluster.plane;
    until(&installed, "the one is announced", || is_answered(&installed, ours)).unwrap();
    assert!(!is_answered(&installed, theirs), "{}", installed.logs());
    for speaker in &installed.speakers {
        let warning = "a MetalLB still runs beside this speaker";
        speaker.process.wait_for_log(warning, SOON).unwrap();
        plane.wait(EVENTS, "an Event says so", SOON, is_told(&speaker.name)).unwrap();
    }

    // What ours holds is given up when MetalLB says that it announces it.
    let on_b = start_metallb(&installed, "speaker", "node-b", &manifests("speaker"));
    say_announced(&installed, "ours", "node-b", &on_b);
    until(&installed, "the other is silent too", || !is_answered(&installed, ours)).unwrap();
    assert!(!is_answered(&installed, theirs), "{}", installed.logs());
    let status = plane.get(&format!("{STATUSES}/l2-ours")).unwrap();
    assert_eq!(status["metadata"]["ownerReferences"][0]["uid"], on_b.as_str(), "left alone");

    // Node by node it goes; its statuses stay, as nobody collects garbage here.
    stop_metallb(&installed, "speaker", "node-a");
    until(&installed, "the first is announced", || is_answered(&installed, theirs)).unwrap();
    assert!(!is_answered(&installed, ours), "{}", installed.logs());
    stop_metallb(&installed, "speaker", "node-b");
    until(&installed, "both are announced", || is_answered(&installed, ours)).unwrap();
}

#[test]
fn what_was_made_for_metallb_and_has_no_effect_is_told_at_start() {
    lab::require!(kubernetes);
    let mut installed = installed().unwrap();
    let plane = &installed.cluster.plane;
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/ipaddresspools.metallb.io";
    let mut definition = plane.get(path).unwrap();
    let fields = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let fields = definition.pointer_mut(fields).and_then(Value::as_object_mut).unwrap();
    fields.remove("drain").unwrap();
    plane.api().replace(path, &definition).unwrap();
    let extras = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "bgpextras", "namespace": "metallb-system"},
        "data": {"extras": "router bgp 64512\n neighbor 192.0.2.1 password swordfish\n"},
    });
    plane.api().put(&extras).unwrap();

    start_controller(&mut installed, &[]);
    let controller = &installed.controllers[0].process;
    controller.wait_for_log("the CRD `ipaddresspools.metallb.io` of the cluster", SOON).unwrap();
    assert!(controller.log().contains("lacks `spec.drain`: "), "{}", controller.log());

    let Installed { speakers, installation, cluster, .. } = &mut installed;
    speakers[0].process.kill().unwrap();
    installation.restart_speaker(&mut speakers[0], &cluster.lan.nodes[0], &[]).unwrap();
    speakers[0].process.wait_for_log("`passwordSecret` of the BGPPeer", SOON).unwrap();
}

/// Leaves speakers what MetalLB's own roles grant: to list Pods, and not to watch them.
fn take_watch_of_pods(installed: &Installed) {
    let plane = &installed.cluster.plane;
    let path = "/apis/rbac.authorization.k8s.io/v1/namespaces/metallb-system/roles/pod-lister";
    let mut rules = plane.get(path).unwrap()["rules"].clone();
    let rule = rules.as_array_mut().unwrap().iter_mut().find(|rule| rule["resources"][0] == "pods");
    rule.unwrap()["verbs"] = json!(["get", "list"]);
    plane.patch(path, &json!({"rules": rules})).unwrap();
    let speaker = "system:serviceaccount:metallb-system:speaker";
    let asked =
        ["auth", "can-i", "watch", "pods", "--namespace", "metallb-system", "--as", speaker];
    // It fails when the answer is no.
    until(installed, "Pods may not be watched", || plane.kubectl(&asked).is_err()).unwrap();
}

#[test]
fn with_the_rights_that_metallb_has_speakers_find_one_another() {
    lab::require!(kubernetes);
    let mut installed = installed().unwrap();
    take_watch_of_pods(&installed);
    let Installed { speakers, installation, cluster, .. } = &mut installed;
    for (pod, node) in speakers.iter_mut().zip(&cluster.lan.nodes) {
        pod.process.kill().unwrap();
        installation.restart_speaker(pod, node, &[]).unwrap();
    }
    create(&installed, "web").unwrap();
    start_controller(&mut installed, &[]);
    let address = installed.cluster.ingress("web", LEASE).unwrap();
    until(&installed, "one of them answers", || is_answered(&installed, address)).unwrap();
}
