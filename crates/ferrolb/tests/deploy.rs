//! The manifests in `deploy/`: complete, and in agreement with one another and with the program.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use ferrolb::api::crds::crds;
use ferrolb::metrics;
use planner::names::PoolName;
use planner::usage::Usage;
use regex::Regex;
use serde_json::Value;

fn deploy() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

/// The documents of one file.
fn documents(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    let documents = serde_saphyr::from_multiple(&text);
    documents.unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// All objects of `deploy/base`.
fn objects() -> Vec<Value> {
    let files = fs::read_dir(deploy().join("base")).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|file| !file.ends_with("kustomization.yaml"));
    files.flat_map(|file| documents(&file)).collect()
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_else(|| panic!("no {path} in {value}"))
}

fn name(object: &Value) -> (&str, &str) {
    (text(object, "/kind"), text(object, "/metadata/name"))
}

/// The object of this kind and name.
fn find<'a>(objects: &'a [Value], kind: &str, named: &str) -> &'a Value {
    let mut found = objects.iter().filter(|object| name(object) == (kind, named));
    let object = found.next().unwrap_or_else(|| panic!("no {kind}/{named}"));
    assert_eq!(found.next(), None, "{kind}/{named} is there twice");
    object
}

fn list<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    value.pointer(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn container<'a>(objects: &'a [Value], kind: &str, named: &str) -> &'a Value {
    let workload = find(objects, kind, named);
    let containers = list(workload, "/spec/template/spec/containers");
    assert_eq!(containers.len(), 1);
    assert_eq!(text(&containers[0], "/name"), named);
    &containers[0]
}

const WORKLOADS: [(&str, &str); 2] = [("Deployment", "controller"), ("DaemonSet", "speaker")];

#[test]
fn every_file_is_part_of_what_is_applied() {
    let kustomization = documents(&deploy().join("base/kustomization.yaml")).remove(0);
    let listed: BTreeSet<_> = list(&kustomization, "/resources")
        .iter()
        .map(|file| file.as_str().unwrap().to_owned())
        .collect();
    let files = fs::read_dir(deploy().join("base")).unwrap();
    let files = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut wanted: BTreeSet<_> = files.filter(|file| file != "kustomization.yaml").collect();
    wanted.insert("../crds".to_owned());
    assert_eq!(listed, wanted);
    for overlay in fs::read_dir(deploy().join("overlays")).unwrap() {
        let overlay = overlay.unwrap().path();
        let kustomization = documents(&overlay.join("kustomization.yaml")).remove(0);
        let listed: BTreeSet<_> =
            list(&kustomization, "/resources").iter().map(|path| path.as_str().unwrap()).collect();
        for path in &listed {
            assert!(overlay.join(path).exists(), "{path}");
        }
        for file in fs::read_dir(&overlay).unwrap() {
            let file = file.unwrap().file_name().into_string().unwrap();
            assert!(file == "kustomization.yaml" || listed.contains(file.as_str()), "{file}");
        }
    }
}

#[test]
fn everything_is_in_one_namespace() {
    let objects = objects();
    let cluster_wide =
        ["ClusterRole", "ClusterRoleBinding", "Namespace", "ValidatingWebhookConfiguration"];
    for object in &objects {
        let (kind, _) = name(object);
        let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str);
        let want = (!cluster_wide.contains(&kind)).then_some("metallb-system");
        assert_eq!(namespace, want, "{:?}", name(object));
    }
    find(&objects, "Namespace", "metallb-system");
}

#[test]
fn whatever_is_named_is_there() {
    let objects = objects();
    for object in &objects {
        for kind in ["RoleBinding", "ClusterRoleBinding"] {
            if name(object).0 == kind {
                find(&objects, text(object, "/roleRef/kind"), text(object, "/roleRef/name"));
                for subject in list(object, "/subjects") {
                    assert_eq!(text(subject, "/namespace"), "metallb-system");
                    find(&objects, "ServiceAccount", text(subject, "/name"));
                }
            }
        }
    }
    for (kind, named) in WORKLOADS {
        let pod = find(&objects, kind, named).pointer("/spec/template/spec").unwrap();
        find(&objects, "ServiceAccount", text(pod, "/serviceAccountName"));
        let volumes: BTreeSet<_> =
            list(pod, "/volumes").iter().map(|volume| text(volume, "/name")).collect();
        let mounts = list(container(&objects, kind, named), "/volumeMounts");
        let mounts: BTreeSet<_> = mounts.iter().map(|mount| text(mount, "/name")).collect();
        assert_eq!(volumes, mounts);
        for volume in list(pod, "/volumes") {
            if let Some(name) = volume.pointer("/configMap/name").and_then(Value::as_str) {
                find(&objects, "ConfigMap", name);
            }
            // The controller makes this one.
            let secret = volume.pointer("/secret/secretName").and_then(Value::as_str);
            if let Some(secret) = secret.filter(|name| *name != "memberlist") {
                find(&objects, "Secret", secret);
            }
        }
    }
}

#[test]
fn selectors_and_ports_meet_the_pods() {
    let objects = objects();
    for (kind, named) in WORKLOADS {
        let workload = find(&objects, kind, named);
        let labels = workload.pointer("/spec/template/metadata/labels").unwrap();
        assert_eq!(labels, &serde_json::json!({"app": "metallb", "component": named}));
        assert_eq!(workload.pointer("/spec/selector/matchLabels"), Some(labels));
        let ports = list(container(&objects, kind, named), "/ports");
        let ports: BTreeSet<_> = ports.iter().map(|port| text(port, "/name")).collect();
        for probe in ["livenessProbe", "readinessProbe"] {
            let probe = container(&objects, kind, named).pointer(&format!("/{probe}")).unwrap();
            assert!(ports.contains(text(probe, "/httpGet/port")));
        }
        assert!(ports.contains("metricshttps"));
    }
    let controller = find(&objects, "Deployment", "controller");
    let labels = controller.pointer("/spec/template/metadata/labels");
    let service = find(&objects, "Service", "metallb-webhook-service");
    assert_eq!(service.pointer("/spec/selector"), labels);
    let budget = find(&objects, "PodDisruptionBudget", "controller");
    assert_eq!(budget.pointer("/spec/selector/matchLabels"), labels);
    let target = text(service, "/spec/ports/0/targetPort");
    let ports = list(container(&objects, "Deployment", "controller"), "/ports");
    assert!(ports.iter().any(|port| text(port, "/name") == target));
}

#[test]
fn webhooks_are_asked_through_the_service_about_kinds_that_exist() {
    let objects = objects();
    let crds = crds().unwrap();
    let webhooks =
        find(&objects, "ValidatingWebhookConfiguration", "metallb-webhook-configuration");
    for webhook in list(webhooks, "/webhooks") {
        find(&objects, "Service", text(webhook, "/clientConfig/service/name"));
        let rule = webhook.pointer("/rules/0").unwrap();
        let (resource, version) = (text(rule, "/resources/0"), text(rule, "/apiVersions/0"));
        let crd = crds.iter().find(|crd| crd.name == format!("metallb.io_{resource}.yaml"));
        let crd = &crd.unwrap_or_else(|| panic!("no kind {resource}")).definition;
        let versions = list(crd, "/spec/versions");
        assert!(versions.iter().any(|it| text(it, "/name") == version), "{resource} {version}");
        let singular = text(crd, "/spec/names/singular");
        let path = format!("/validate-metallb-io-{version}-{singular}");
        assert_eq!(text(webhook, "/clientConfig/service/path"), path);
    }
    let conversion = crds.iter().find(|crd| crd.name == "metallb.io_bgppeers.yaml").unwrap();
    let service = "/spec/conversion/webhook/clientConfig/service/name";
    find(&objects, "Service", text(&conversion.definition, service));
}

#[test]
fn the_image_is_of_this_version() {
    let objects = objects();
    let image = format!("localhost/ferrolb:{}", env!("CARGO_PKG_VERSION"));
    for (kind, named) in WORKLOADS {
        let container = container(&objects, kind, named);
        assert_eq!(text(container, "/image"), image);
        assert_eq!(text(container, "/command/0"), format!("/{named}"));
    }
}

#[test]
fn the_program_knows_its_arguments() {
    #[derive(clap::Parser)]
    struct OfController {
        #[command(flatten)]
        _args: ferrolb::args::Controller,
        #[arg(long)]
        log_level: String,
    }
    #[derive(clap::Parser)]
    struct OfSpeaker {
        #[command(flatten)]
        _args: ferrolb::args::Speaker,
        #[arg(long)]
        log_level: String,
    }
    let objects = objects();
    let arguments = |kind, named| {
        let container = container(&objects, kind, named);
        let mut all = vec![named.to_owned()];
        all.extend(list(container, "/args").iter().map(|it| it.as_str().unwrap().to_owned()));
        all
    };
    let mut controller = arguments("Deployment", "controller");
    controller.push("--pod-name=controller-1".to_owned());
    assert_eq!(OfController::try_parse_from(controller).unwrap().log_level, "info");
    let mut speaker = arguments("DaemonSet", "speaker");
    speaker.extend(["--pod-name=speaker-1".to_owned(), "--node-name=a".to_owned()]);
    assert_eq!(OfSpeaker::try_parse_from(speaker).unwrap().log_level, "info");
}

#[test]
fn prometheus_scrapes_the_ports_that_show_metrics() {
    let objects = objects();
    let monitors = documents(&deploy().join("overlays/prometheus/monitors.yaml"));
    for (kind, named) in WORKLOADS {
        let monitor = find(&monitors, "ServiceMonitor", &format!("{named}-monitor"));
        let service = find(&monitors, "Service", &format!("{named}-monitor-service"));
        let labels = monitor.pointer("/spec/selector/matchLabels");
        assert_eq!(labels, service.pointer("/metadata/labels"));
        let pods = find(&objects, kind, named).pointer("/spec/selector/matchLabels");
        assert_eq!(service.pointer("/spec/selector"), pods);
        let port = &list(service, "/spec/ports")[0];
        assert_eq!(text(monitor, "/spec/endpoints/0/port"), text(port, "/name"));
        let ports = list(container(&objects, kind, named), "/ports");
        let target = text(port, "/targetPort");
        let target = ports.iter().find(|port| text(port, "/name") == target).unwrap();
        assert_eq!(target.pointer("/containerPort"), port.pointer("/port"));
    }
}

#[test]
fn alerts_are_about_metrics_that_exist() {
    let controller = metrics::Controller::new().unwrap();
    let usage = Usage::default();
    controller.pools(&[(PoolName("lan".to_owned()), usage)].into());
    let page = controller.process().render();
    let exist: BTreeSet<_> =
        page.lines().filter_map(|line| line.split(['{', ' ']).next()).collect();
    let names = Regex::new(r"\b(metallb|ferrolb)_\w+").unwrap();
    let alerts = documents(&deploy().join("overlays/prometheus/alerts.yaml")).remove(0);
    let rules = list(&alerts, "/spec/groups/0/rules");
    assert_eq!(rules.len(), 9);
    for rule in rules {
        let expression = text(rule, "/expr");
        let mut used = names.find_iter(expression).peekable();
        assert!(used.peek().is_some(), "{expression}");
        for name in used {
            assert!(exist.contains(name.as_str()), "there is no metric {}", name.as_str());
        }
    }
}
