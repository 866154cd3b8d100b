//! ferrolb in a real cluster, with a client outside of it.
//!
//! ```text
//!   client ────┬──── node-a: kube-proxy, speaker ──── pod-a
//!   .100       ├──── node-b: kube-proxy, speaker ──── pod-b
//!              ├──── control-plane .90: etcd, kube-apiserver
//!              └──── controller-0 .91, controller-1 .92
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use lab::kube::kills::{Outcome, kill_controllers};
use lab::kube::services::{LIMIT, SERVICES, address_of, service};
use lab::kube::{Cluster, Installation, Installed};
use lab::{Probe, http};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// For what takes milliseconds on a machine at rest.
const SOON: Duration = Duration::from_secs(20);

const POOL: &str = "/apis/metallb.io/v1beta1/namespaces/metallb-system/ipaddresspools/lan";

const RANGE: &str = "192.0.2.200-192.0.2.209";

/// A cluster of two nodes with settings that give addresses from 192.0.2.200 on.
fn installed(controllers: u8) -> Result<Installed> {
    let installed = Installed::start(2, controllers)?;
    installed.configure(RANGE)?;
    Ok(installed)
}

/// The answers of pods to a client, a connection each.
fn answers(cluster: &Cluster, address: IpAddr) -> BTreeSet<String> {
    let server = SocketAddr::new(address, 80);
    let limit = Duration::from_millis(500);
    let get = |_| http::get(&cluster.lan.client, server, "/", limit).ok();
    (0..10).filter_map(get).map(|answer| answer.body.trim().to_owned()).collect()
}

/// The node to which the client sends what is for an address, asked anew.
fn owner(cluster: &Cluster, address: IpAddr) -> Option<String> {
    let client = &cluster.lan.client;
    client.forget_neighbour(address).ok()?;
    let _ = http::get(client, SocketAddr::new(address, 80), "/", Duration::from_millis(500));
    let (mac, _) = client.neighbour(address).ok()??;
    let owner = cluster.lan.nodes.iter().find(|node| node.host.mac == mac)?;
    Some(owner.host.name.clone())
}

fn hello(letters: &[&str]) -> BTreeSet<String> {
    letters.iter().map(|letter| format!("hello from pod-{letter} on node-{letter}")).collect()
}

#[test]
fn a_client_reaches_a_service_as_its_endpoints_and_the_pool_change() {
    lab::require!(kubernetes);
    let installed = installed(1).unwrap();
    let (cluster, plane) = (&installed.cluster, &installed.cluster.plane);
    let address = installed.create("web", "Cluster").unwrap();
    assert_eq!(address.to_string(), "192.0.2.200");
    let is_counted = |pool: &Value| pool["status"]["assignedIPv4"] == 1;
    plane.wait(POOL, "its status counts the address", SOON, is_counted).unwrap();

    cluster.set_endpoints("web", &["a", "b"]).unwrap();
    let both = || answers(cluster, address) == hello(&["a", "b"]);
    installed.until("both pods answer", both).unwrap();
    let node = owner(cluster, address).unwrap();
    let statuses = "/apis/metallb.io/v1beta1/namespaces/metallb-system/servicel2statuses";
    let is_owner = |list: &Value| list["items"][0]["status"]["node"] == node;
    plane.wait(statuses, "the status names the node", SOON, is_owner).unwrap();

    let path = format!("{SERVICES}/web");
    plane.patch(&path, &json!({"spec": {"externalTrafficPolicy": "Local"}})).unwrap();
    for letter in ["b", "a"] {
        cluster.set_endpoints("web", &[letter]).unwrap();
        let moved = || {
            owner(cluster, address) == Some(format!("node-{letter}"))
                && answers(cluster, address) == hello(&[letter])
        };
        installed.until("the node with the pod answers", moved).unwrap();
    }

    let spec = json!({"spec": {"addresses": ["192.0.2.220-192.0.2.229"]}});
    plane.patch(POOL, &spec).unwrap();
    let is_new =
        |service: &Value| service["status"]["loadBalancer"]["ingress"][0]["ip"] == "192.0.2.220";
    plane.wait(&path, "it has an address of the new range", LIMIT, is_new).unwrap();
    let new: IpAddr = [192, 0, 2, 220].into();
    installed.until("the new address answers", || answers(cluster, new) == hello(&["a"])).unwrap();
    installed.until("nobody holds the old one", || owner(cluster, address).is_none()).unwrap();

    plane.delete(&path).unwrap();
    installed.until("nobody holds the new one", || owner(cluster, new).is_none()).unwrap();
    let is_empty = |list: &Value| list["items"].as_array().is_some_and(Vec::is_empty);
    plane.wait(statuses, "no status is left", SOON, is_empty).unwrap();
}

#[test]
fn clients_do_not_notice_that_the_api_server_and_etcd_are_away() {
    lab::require!(kubernetes);
    let mut installed = installed(1).unwrap();
    let address = installed.create("web", "Cluster").unwrap();
    installed.cluster.set_endpoints("web", &["a", "b"]).unwrap();
    let cluster = &installed.cluster;
    let both = || answers(cluster, address) == hello(&["a", "b"]);
    installed.until("both pods answer", both).unwrap();
    let owner_before = owner(&installed.cluster, address);

    installed.cluster.plane.stop_api_server().unwrap();
    let probe =
        Probe::start(&installed.cluster.lan.client, SocketAddr::new(address, 9000)).unwrap();
    probe.wait_answered(SOON).unwrap();
    // As long as watches, leases and patience would need to notice.
    thread::sleep(Duration::from_secs(30));
    installed.cluster.plane.start_api_server().unwrap();
    let next = installed.create("next", "Cluster").unwrap();
    assert_eq!(next.to_string(), "192.0.2.201");
    installed.cluster.plane.stop_etcd().unwrap();
    installed.cluster.plane.start_etcd().unwrap();
    let third = installed.create("third", "Cluster").unwrap();
    assert_eq!(third.to_string(), "192.0.2.202");

    let report = probe.finish();
    let outage = report.longest_outage;
    assert!(outage < Duration::from_secs(1), "away for {outage:?}\n{}", installed.logs());
    assert_eq!(owner(&installed.cluster, address), owner_before);
}

#[test]
fn a_speaker_started_while_the_api_server_is_away_announces_later() {
    lab::require!(kubernetes);
    let mut installed = installed(1).unwrap();
    let address = installed.create("web", "Cluster").unwrap();
    installed.cluster.set_endpoints("web", &["a", "b"]).unwrap();
    let cluster = &installed.cluster;
    installed.until("somebody answers", || owner(cluster, address).is_some()).unwrap();

    installed.cluster.plane.stop_api_server().unwrap();
    let Installed { speakers, installation, cluster, .. } = &mut installed;
    for (speaker, node) in speakers.iter_mut().zip(&cluster.lan.nodes) {
        speaker.process.kill().unwrap();
        installation.restart_speaker(speaker, node, &[]).unwrap();
    }
    cluster.lan.client.forget_neighbour(address).unwrap();
    cluster.plane.start_api_server().unwrap();
    let cluster = &installed.cluster;
    let both = || answers(cluster, address) == hello(&["a", "b"]);
    installed.until("both pods answer", both).unwrap();
}

#[test]
fn speakers_say_whether_they_know_each_other_by_the_secret_of_the_controller() {
    lab::require!(kubernetes);
    let mut installed = installed(1).unwrap();
    let node = installed.cluster.lan.nodes[0].host.name.clone();
    let path = format!(
        "/apis/metallb.io/v1beta1/namespaces/metallb-system/configurationstates/speaker-{node}"
    );
    let is_authenticated = |installed: &Installed, want: &str| {
        let state = installed.cluster.plane.api().find(&path).unwrap().unwrap_or_default();
        let conditions = state["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|one| one["type"] == "meshAuthenticated" && one["status"] == want)
    };
    installed
        .until("it says that it has no key", || is_authenticated(&installed, "False"))
        .unwrap();

    let secret = "/api/v1/namespaces/metallb-system/secrets/metallb-memberlist";
    let secret = installed.cluster.plane.api().get(secret).unwrap();
    // In base64 of base64: what it says is no matter here, and long enough.
    let text = secret["data"]["secretkey"].as_str().unwrap();
    let mounted = tempfile::tempdir().unwrap();
    fs::write(mounted.path().join("secretkey"), text).unwrap();
    let directory = mounted.path().display().to_string();
    let Installed { speakers, installation, cluster, .. } = &mut installed;
    for (speaker, node) in speakers.iter_mut().zip(&cluster.lan.nodes) {
        speaker.process.kill().unwrap();
        let flag = ["--ml-secret-key-path", &directory];
        installation.restart_speaker(speaker, node, &flag).unwrap();
    }
    installed.until("it says that it has one", || is_authenticated(&installed, "True")).unwrap();
    let heard = || installed.speakers.iter().all(|one| one.process.log().contains("\"heard\""));
    installed.until("they hear each other", heard).unwrap();
}

#[test]
fn the_other_controller_takes_over_when_one_is_killed_or_stopped_and_woken() {
    lab::require!(kubernetes);
    let mut installed = installed(2).unwrap();
    installed.create("first", "Cluster").unwrap();
    let before = installed.addresses().unwrap();
    let old = installed.leader().unwrap();

    // Past its lease: it does not know that it is not in charge any more when it wakes.
    let stopped = &installed.controllers[old].process;
    stopped.signal(Signal::SIGSTOP).unwrap();
    installed.create("second", "Cluster").unwrap();
    assert_ne!(installed.leader(), Some(old));
    stopped.signal(Signal::SIGCONT).unwrap();
    installed.create("third", "Cluster").unwrap();
    assert_eq!(installed.addresses().unwrap().len(), 3);

    let new = installed.leader().unwrap();
    installed.controllers[new].process.kill().unwrap();
    installed.create("fourth", "Cluster").unwrap();
    assert_eq!(installed.leader(), Some(1 - new));

    // One that is asked to go hands over at once.
    installed.installation.restart_controller(&mut installed.controllers[new], &[]).unwrap();
    installed.controllers[1 - new].process.signal(Signal::SIGTERM).unwrap();
    installed.create("fifth", "Cluster").unwrap();
    let after = installed.addresses().unwrap();
    assert_eq!(after.len(), 5);
    assert!(before.iter().all(|(ip, had)| after.get(ip) == Some(had)), "{before:?} {after:?}");
}

#[test]
fn no_address_is_given_twice_or_changed_however_often_controllers_are_killed() {
    lab::require!(kubernetes);
    let mut installed = installed(2).unwrap();
    let wide = json!({"spec": {"addresses": ["198.51.100.0/24"]}});
    installed.cluster.plane.patch(POOL, &wide).unwrap();
    let outcome = kill_controllers(&mut installed, 20, 1).unwrap();
    assert!(outcome.services > 20, "{outcome:?}");
    let Outcome { given_twice, changed, .. } = outcome;
    assert_eq!((given_twice, changed), (Vec::new(), Vec::new()), "{}", installed.logs());
}

#[test]
fn a_service_that_cannot_be_served_holds_up_no_other() {
    lab::require!(kubernetes);
    let mut installed = installed(1).unwrap();
    let mut garbage = service("garbage", "Cluster");
    garbage["metadata"]["annotations"] = json!({
        "metallb.io/loadBalancerIPs": "three apples",
        "metallb.io/allow-shared-ip": "\u{1f600}",
    });
    installed.cluster.plane.api().create(SERVICES, &garbage).unwrap();
    let address = installed.create("web", "Cluster").unwrap();
    assert_eq!(address.to_string(), "192.0.2.200");
    let is_told = |times: usize| {
        move |list: &Value| {
            let events = list["items"].as_array().into_iter().flatten();
            let about = |event: &&Value| {
                event["involvedObject"]["name"] == "garbage" && event["type"] == "Warning"
            };
            events.filter(about).count() == times
        }
    };
    let events = "/api/v1/namespaces/default/events";
    installed.cluster.plane.wait(events, "an Event says why", SOON, is_told(1)).unwrap();

    // The next controller has seen it before its turn comes, and tells it all the same.
    let Installed { controllers, installation, .. } = &mut installed;
    installation.restart_controller(&mut controllers[0], &[]).unwrap();
    installed.cluster.plane.wait(events, "it says so again", SOON, is_told(2)).unwrap();
}

#[test]
fn whoever_deletes_all_pools_gets_the_addresses_back() {
    lab::require!(kubernetes);
    let installed = installed(1).unwrap();
    installed.create("web", "Cluster").unwrap();
    let (plane, path) = (&installed.cluster.plane, format!("{SERVICES}/web"));
    plane.delete(POOL).unwrap();
    let is_bare = |service: &Value| {
        let annotations = &service["metadata"]["annotations"];
        address_of(service).is_none() && annotations["metallb.io/ip-allocated-from-pool"].is_null()
    };
    // MetalLB's own tests wait a minute.
    plane.wait(&path, "it has no address any more", Duration::from_secs(60), is_bare).unwrap();
    installed.configure(RANGE).unwrap();
    plane.wait(&path, "it has one again", SOON, |web| address_of(web).is_some()).unwrap();
}

/// Removes two definitions, and with them all objects of their kinds.
fn remove_definitions(cluster: &Cluster) -> Result<()> {
    for kind in ["ipaddresspools", "l2advertisements"] {
        let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        let path = format!("{definitions}/{kind}.metallb.io");
        cluster.plane.delete(&path)?;
        // One that is still on its way out would take what comes in its place with it.
        cluster.plane.wait(&path, "it is gone", SOON, Value::is_null)?;
    }
    Ok(())
}

#[test]
fn definitions_may_come_late_and_go_and_come_again() {
    lab::require!(kubernetes);
    let cluster = Cluster::start(2).unwrap();
    let binary = lab::ferrolb::binary().unwrap();
    let installation = Installation::new(&cluster.plane, &binary).unwrap();
    remove_definitions(&cluster).unwrap();
    let start = |node| installation.start_speaker(&cluster.plane, node, &[]);
    let speakers = cluster.lan.nodes.iter().map(start).collect::<Result<_>>().unwrap();
    let controller = installation.start_controller(&cluster.plane, &cluster.lan, 0, &[]).unwrap();
    controller.process.wait_for_log("ipaddresspools", SOON).unwrap();
    let crds = lab::kube::ferrolb::deploy().join("crds");
    cluster.plane.apply_directory(&crds).unwrap();
    let installed = Installed { speakers, controllers: vec![controller], installation, cluster };
    installed.configure(RANGE).unwrap();
    let address = installed.create("web", "Cluster").unwrap();

    let cluster = &installed.cluster;
    cluster.set_endpoints("web", &["a", "b"]).unwrap();
    installed.until("somebody answers", || owner(cluster, address).is_some()).unwrap();
    let probe = Probe::start(&cluster.lan.client, SocketAddr::new(address, 9000)).unwrap();
    probe.wait_answered(SOON).unwrap();
    remove_definitions(cluster).unwrap();
    cluster.plane.apply_directory(&crds).unwrap();
    installed.configure(RANGE).unwrap();
    installed.create("next", "Cluster").unwrap();
    assert_eq!(cluster.ingress("web", SOON).unwrap(), address);
    let outage = probe.finish().longest_outage;
    assert!(outage < Duration::from_secs(1), "away for {outage:?}\n{}", installed.logs());
}
