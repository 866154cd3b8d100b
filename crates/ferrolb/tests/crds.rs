//! The CustomResourceDefinitions in `deploy/crds/`: fresh, of the shape that MetalLB's users have
//! installed, and with rules that refuse what they shall refuse.

#![expect(clippy::unwrap_used, reason = "the helpers are part of the tests")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::{env, fs};

use ferrolb::api::crds::{CrdFile, crds};
use ferrolb::api::{
    BFDProfile, BGPAdvertisement, BGPPeer, Community, ConfigurationState, L2Advertisement,
    ServiceBGPStatus, ServiceL2Status,
};
use kube::core::cel::Validator;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// `UPDATE=1` makes the test write what it otherwise compares; `cargo xtask codegen` sets it.
#[test]
fn deploy_crds_is_fresh() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../deploy/crds");
    let mut wanted: BTreeMap<String, String> =
        crds().unwrap().into_iter().map(|file| (file.name.clone(), file.yaml().unwrap())).collect();
    wanted.insert("Kustomization".to_owned(), kustomization(wanted.keys()));
    if env::var_os("UPDATE").is_some() {
        // A file of a kind that is gone must go too.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        for (name, yaml) in &wanted {
            fs::write(folder.join(name), yaml).unwrap();
        }
    }
    let found: BTreeMap<String, String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let text = fs::read_to_string(entry.path()).unwrap();
            (entry.file_name().into_string().unwrap(), text)
        })
        .collect();
    let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(&wanted), "run `cargo xtask codegen` and commit deploy/crds");
    for (name, yaml) in &wanted {
        assert!(found[name] == *yaml, "{name} is stale: run `cargo xtask codegen` and commit it");
    }
}

/// What lets `deploy/base` refer to all files at once. `kubectl apply -f deploy/crds` works too: it
/// passes over a file without extension.
fn kustomization<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: String = names.map(|name| format!("- {name}\n")).collect();
    format!(
        "# Made from crates/ferrolb/src/api by `cargo xtask codegen`.\n\
         apiVersion: kustomize.config.k8s.io/v1beta1\n\
         kind: Kustomization\n\
         resources:\n{names}"
    )
}

#[test]
fn a_file_reads_back_as_what_it_was_made_from() {
    for file in crds().unwrap() {
        let read: Value = serde_saphyr::from_str(&file.yaml().unwrap()).unwrap();
        assert_eq!(read, file.definition, "{}", file.name);
    }
}

#[test]
fn every_kind_has_the_names_and_versions_of_metallb() {
    // kind, plural, versions: `*` is stored, `!` is deprecated
    let kinds = [
        "BFDProfile bfdprofiles v1beta1*",
        "BGPAdvertisement bgpadvertisements v1beta1*",
        "BGPPeer bgppeers v1beta1! v1beta2*",
        "Community communities v1beta1*",
        "ConfigurationState configurationstates v1beta1*",
        "IPAddressPool ipaddresspools v1beta1*",
        "L2Advertisement l2advertisements v1beta1*",
        "ServiceBGPStatus servicebgpstatuses v1beta1*",
        "ServiceL2Status servicel2statuses v1beta1*",
    ];
    let found: Vec<String> = crds().unwrap().iter().map(summary).collect();
    assert_eq!(found, kinds);
}

fn summary(file: &CrdFile) -> String {
    let spec = &file.definition["spec"];
    let names = &spec["names"];
    let kind = names["kind"].as_str().unwrap();
    let plural = names["plural"].as_str().unwrap();
    assert_eq!(file.name, format!("metallb.io_{plural}.yaml"));
    assert_eq!(file.definition["metadata"], json!({"name": format!("{plural}.metallb.io")}));
    assert_eq!(
        *names,
        json!({
            "kind": kind, "listKind": format!("{kind}List"),
            "plural": plural, "singular": kind.to_lowercase(),
        })
    );
    assert_eq!(spec["group"], "metallb.io");
    assert_eq!(spec["scope"], "Namespaced");
    let mut summary = format!("{kind} {plural}");
    for version in spec["versions"].as_array().unwrap() {
        assert_eq!(version["served"], true, "{kind}");
        assert_eq!(version["subresources"], json!({"status": {}}), "{kind}");
        let stored = if version["storage"] == true { "*" } else { "" };
        let deprecated = if version["deprecated"] == true { "!" } else { "" };
        summary += &format!(" {}{stored}{deprecated}", version["name"].as_str().unwrap());
    }
    summary
}

#[test]
fn the_old_bgp_peer_is_converted_by_the_webhook_and_warns() {
    let crd = crd("bgppeers");
    assert_eq!(
        crd["spec"]["conversion"],
        json!({"strategy": "Webhook", "webhook": {
            "clientConfig": {"service": {
                "name": "metallb-webhook-service", "namespace": "metallb-system", "path": "/convert",
            }},
            "conversionReviewVersions": ["v1beta1", "v1beta2"],
        }})
    );
    let version = version("bgppeers", "v1beta1");
    assert_eq!(version["deprecationWarning"], "v1beta1 is deprecated, please use v1beta2");
}

#[test]
fn kubectl_get_shows_the_columns_of_metallb() {
    let peer = "Address string .spec.peerAddress, ASN string .spec.peerASN, \
         BFD Profile string .spec.bfdProfile, Multi Hops string .spec.ebgpMultiHop";
    let cases = [
        (
            "ipaddresspools",
            "v1beta1",
            "Auto Assign boolean .spec.autoAssign, Avoid Buggy IPs boolean .spec.avoidBuggyIPs, \
             Addresses string .spec.addresses",
        ),
        (
            "l2advertisements",
            "v1beta1",
            "IPAddressPools string .spec.ipAddressPools, \
             IPAddressPool Selectors string .spec.ipAddressPoolSelectors, \
             Interfaces string .spec.interfaces, \
             Node Selectors string .spec.nodeSelectors priority 10",
        ),
        (
            "bgpadvertisements",
            "v1beta1",
            "IPAddressPools string .spec.ipAddressPools, \
             IPAddressPool Selectors string .spec.ipAddressPoolSelectors, \
             Peers string .spec.peers, Node Selectors string .spec.nodeSelectors priority 10",
        ),
        ("bgppeers", "v1beta1", peer),
        ("bgppeers", "v1beta2", peer),
        (
            "bfdprofiles",
            "v1beta1",
            "Passive Mode boolean .spec.passiveMode, \
             Transmit Interval integer .spec.transmitInterval, \
             Receive Interval integer .spec.receiveInterval, \
             Multiplier integer .spec.detectMultiplier",
        ),
        ("communities", "v1beta1", ""),
        (
            "servicel2statuses",
            "v1beta1",
            "Allocated Node string .status.node, Service Name string .status.serviceName, \
             Service Namespace string .status.serviceNamespace",
        ),
        (
            "servicebgpstatuses",
            "v1beta1",
            "Node string .status.node, Service Name string .status.serviceName, \
             Service Namespace string .status.serviceNamespace",
        ),
        (
            "configurationstates",
            "v1beta1",
            "Result string .status.result, ErrorSummary string .status.errorSummary, \
             Age date .metadata.creationTimestamp",
        ),
    ];
    for (plural, name, columns) in cases {
        let version = version(plural, name);
        let found: Vec<String> = version["additionalPrinterColumns"]
            .as_array()
            .into_iter()
            .flatten()
            .map(column)
            .collect();
        assert_eq!(found.join(", "), columns, "{plural} {name}");
    }
}

fn column(column: &Value) -> String {
    let part = |field: &str| column[field].as_str().unwrap();
    let priority = column.get("priority").map(|p| format!(" priority {p}")).unwrap_or_default();
    format!("{} {} {}{priority}", part("name"), part("type"), part("jsonPath"))
}

/// Here and below: every field of every kind, one a line, with all that the API server checks or
/// fills in. A field that is not here, or not there, fails the test: others read the same objects.
#[test]
fn pools_have_the_shape_of_metallb() {
    check_shape(
        "ipaddresspools",
        "v1beta1",
        "
        . object required [spec]
        spec object required [addresses]
        spec.addresses array
        spec.addresses[] string
        spec.autoAssign boolean default true
        spec.avoidBuggyIPs boolean default false
        spec.drain boolean
        spec.quota object required [perNamespace]
        spec.quota.perNamespace integer minimum 0
        spec.reservations array maxItems 1024
        spec.reservations[] object required [address, service]
        spec.reservations[].address string minLength 1
        spec.reservations[].service string minLength 3 maxLength 317
        spec.serviceAllocation object
        spec.serviceAllocation.namespaceSelectors array
        spec.serviceAllocation.namespaceSelectors[] selector
        spec.serviceAllocation.namespaces array
        spec.serviceAllocation.namespaces[] string
        spec.serviceAllocation.priority integer default 0
        spec.serviceAllocation.serviceSelectors array
        spec.serviceAllocation.serviceSelectors[] selector
        status object required [assignedIPv4, assignedIPv6, availableIPv4, availableIPv6]
        status.assignedIPv4 integer int64
        status.assignedIPv6 integer int64
        status.availableIPv4 integer int64
        status.availableIPv6 integer int64
        ",
    );
}

#[test]
fn l2_advertisements_have_the_shape_of_metallb() {
    check_shape(
        "l2advertisements",
        "v1beta1",
        "
        . object
        spec object
        spec.announcements object
        spec.announcements.count integer int32 minimum 1 maximum 20
        spec.announcements.interval string
        spec.announcements.refreshInterval string
        spec.closeWatch object
        spec.closeWatch.interval string
        spec.closeWatch.multiplier integer int32 minimum 2 maximum 10
        spec.conflictPolicy string enum [defend, yield]
        spec.duplicateProbe string enum [optimistic, strict, none]
        spec.fencing string enum [none, quorum]
        spec.interfaces array
        spec.interfaces[] string
        spec.ipAddressPoolSelectors array
        spec.ipAddressPoolSelectors[] selector
        spec.ipAddressPools array
        spec.ipAddressPools[] string
        spec.nodeSelectors array
        spec.nodeSelectors[] selector
        spec.plannedMoves object
        spec.plannedMoves.cordon string enum [stay, move]
        spec.plannedMoves.drain string enum [stay, move]
        spec.plannedMoves.excludeLabel string enum [stay, move]
        spec.plannedMoves.notReady string enum [stay, move]
        spec.plannedMoves.outOfService string enum [stay, move]
        spec.plannedMoves.shutdown string enum [stay, move]
        spec.preferredNodeSelectors array
        spec.preferredNodeSelectors[] object required [preference, weight]
        spec.preferredNodeSelectors[].preference selector
        spec.preferredNodeSelectors[].weight integer int32 minimum 1 maximum 100
        spec.requireSubnet boolean
        spec.serviceSelectors array
        spec.serviceSelectors[] selector
        spec.standInTime string
        spec.sticky boolean
        spec.virtualMAC boolean
        status object
        ",
    );
}

#[test]
fn the_kinds_of_bgp_have_the_shape_of_metallb() {
    check_shape(
        "bgpadvertisements",
        "v1beta1",
        "
        . object
        spec object rules 1
        spec.aggregationLength integer int32 minimum 1 default 32
        spec.aggregationLengthV6 integer int32 default 128
        spec.communities array
        spec.communities[] string
        spec.ipAddressPoolSelectors array
        spec.ipAddressPoolSelectors[] selector
        spec.ipAddressPools array
        spec.ipAddressPools[] string
        spec.localPref integer int32 minimum 0
        spec.nodeSelectors array
        spec.nodeSelectors[] selector
        spec.peers array
        spec.peers[] string
        spec.serviceSelectors array
        spec.serviceSelectors[] selector
        status object
        ",
    );
    check_shape(
        "bfdprofiles",
        "v1beta1",
        "
        . object
        spec object
        spec.authentication object required [keyID, secret, type]
        spec.authentication.keyID integer int32 minimum 0 maximum 255
        spec.authentication.secret object required [key, name]
        spec.authentication.secret.key string
        spec.authentication.secret.name string
        spec.authentication.type string enum [simplePassword, keyedMD5, meticulousKeyedMD5, keyedSHA1, meticulousKeyedSHA1]
        spec.detectMultiplier integer int32 minimum 2 maximum 255
        spec.echoInterval integer int32 minimum 10 maximum 60000
        spec.echoMode boolean
        spec.minimumTtl integer int32 minimum 1 maximum 254
        spec.passiveMode boolean
        spec.receiveInterval integer int32 minimum 10 maximum 60000
        spec.transmitInterval integer int32 minimum 10 maximum 60000
        status object
        ",
    );
    check_shape(
        "communities",
        "v1beta1",
        "
        . object
        spec object
        spec.communities array
        spec.communities[] object
        spec.communities[].name string
        spec.communities[].value string
        status object
        ",
    );
}

#[test]
fn both_versions_of_the_bgp_peer_have_the_shape_of_metallb() {
    check_shape(
        "bgppeers",
        "v1beta1",
        "
        . object
        spec object required [myASN, peerASN, peerAddress]
        spec.bfdProfile string
        spec.ebgpMultiHop boolean
        spec.holdTime string
        spec.keepaliveTime string
        spec.myASN integer int64 minimum 0 maximum 4294967295
        spec.nodeSelectors array
        spec.nodeSelectors[] object
        spec.nodeSelectors[].matchExpressions array
        spec.nodeSelectors[].matchExpressions[] object required [key, operator, values]
        spec.nodeSelectors[].matchExpressions[].key string
        spec.nodeSelectors[].matchExpressions[].operator string
        spec.nodeSelectors[].matchExpressions[].values array minItems 1
        spec.nodeSelectors[].matchExpressions[].values[] string
        spec.nodeSelectors[].matchLabels object
        spec.nodeSelectors[].matchLabels{} string
        spec.password string
        spec.peerASN integer int64 minimum 0 maximum 4294967295
        spec.peerAddress string
        spec.peerPort integer minimum 0 maximum 16384
        spec.routerID string
        spec.sourceAddress string
        status object
        ",
    );
    check_shape(
        "bgppeers",
        "v1beta2",
        "
        . object
        spec object required [myASN]
        spec.bfdProfile string
        spec.connectTime string rules 2
        spec.disableMP boolean default false
        spec.dualStackAddressFamily boolean default false
        spec.dynamicASN string enum [external, internal]
        spec.ebgpMultiHop boolean
        spec.enableGracefulRestart boolean rules 1
        spec.holdTime string
        spec.interface string
        spec.keepaliveTime string
        spec.localASN integer int64 minimum 1 maximum 4294967295
        spec.myASN integer int64 minimum 0 maximum 4294967295
        spec.nodeSelectors array
        spec.nodeSelectors[] selector
        spec.passive boolean
        spec.password string
        spec.passwordSecret object map atomic
        spec.passwordSecret.name string
        spec.passwordSecret.namespace string
        spec.peerASN integer int64 minimum 0 maximum 4294967295
        spec.peerAddress string
        spec.peerPort integer minimum 1 maximum 16384 default 179
        spec.routerID string
        spec.sourceAddress string
        spec.ttlSecurity integer int32 minimum 1 maximum 254
        spec.vrf string
        status object
        ",
    );
}

#[test]
fn the_kinds_that_speakers_write_have_the_shape_of_metallb() {
    check_shape(
        "servicel2statuses",
        "v1beta1",
        "
        . object
        spec object
        status object
        status.interfaces array
        status.interfaces[] object
        status.interfaces[].name string
        status.node string rules 1
        status.serviceName string rules 1
        status.serviceNamespace string rules 1
        ",
    );
    check_shape(
        "servicebgpstatuses",
        "v1beta1",
        "
        . object
        spec object
        status object
        status.node string rules 1
        status.peers array
        status.peers[] string
        status.serviceName string rules 1
        status.serviceNamespace string rules 1
        ",
    );
    check_shape(
        "configurationstates",
        "v1beta1",
        "
        . object
        status object
        status.conditions array list map keys [type]
        status.conditions[] object required [lastTransitionTime, message, reason, status, type]
        status.conditions[].lastTransitionTime string date-time
        status.conditions[].message string maxLength 32768
        status.conditions[].observedGeneration integer int64 minimum 0
        status.conditions[].reason string minLength 1 maxLength 1024 pattern
        status.conditions[].status string enum [True, False, Unknown]
        status.conditions[].type string maxLength 316 pattern
        status.errorSummary string
        status.result string enum [Valid, Invalid, Unknown]
        ",
    );
}

#[track_caller]
fn check_shape(plural: &str, version: &str, shape: &str) {
    let mut found = Vec::new();
    describe(".", &schema(plural, version), &mut found);
    let shape: Vec<&str> = shape.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(found, shape, "{plural} {version}");
}

fn describe(path: &str, schema: &Value, lines: &mut Vec<String>) {
    assert!(
        path == "spec" || path.contains(['[', '{']) || schema["description"].is_string(),
        "{path}"
    );
    if is_stock_selector(schema) {
        lines.push(format!("{path} selector"));
        return;
    }
    lines.push(format!("{path} {}", facts(schema)));
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let child = if path == "." { name.clone() } else { format!("{path}.{name}") };
        describe(&child, property, lines);
    }
    if let Some(items) = schema.get("items") {
        describe(&format!("{path}[]"), items, lines);
    }
    if let Some(values) = schema.get("additionalProperties") {
        describe(&format!("{path}{{}}"), values, lines);
    }
}

/// What is checked or filled in, in this order; a keyword that is not known here is a failure.
fn facts(schema: &Value) -> String {
    let known = [
        ("type", ""),
        ("format", ""),
        ("x-kubernetes-map-type", "map "),
        ("x-kubernetes-list-type", "list "),
        ("x-kubernetes-list-map-keys", "keys "),
        ("minItems", "minItems "),
        ("maxItems", "maxItems "),
        ("minLength", "minLength "),
        ("maxLength", "maxLength "),
        ("minimum", "minimum "),
        ("maximum", "maximum "),
        ("default", "default "),
        ("enum", "enum "),
        ("required", "required "),
    ];
    let silent = ["description", "properties", "items", "additionalProperties"];
    let mut facts: Vec<String> = known
        .iter()
        .filter_map(|(keyword, word)| Some(format!("{word}{}", plain(schema.get(keyword)?))))
        .collect();
    for (keyword, value) in schema.as_object().unwrap() {
        match keyword.as_str() {
            "x-kubernetes-validations" => {
                facts.push(format!("rules {}", value.as_array().unwrap().len()));
            }
            "pattern" => facts.push("pattern".to_owned()),
            other => assert!(
                silent.contains(&other) || known.iter().any(|(keyword, _)| *keyword == other),
                "`{other}` is new"
            ),
        }
    }
    facts.join(" ")
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            format!("[{}]", parts.iter().map(plain).collect::<Vec<_>>().join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

fn is_stock_selector(schema: &Value) -> bool {
    let expression = &schema["properties"]["matchExpressions"];
    schema["x-kubernetes-map-type"] == "atomic"
        && schema["properties"]["matchLabels"]["additionalProperties"]["type"] == "string"
        && expression["x-kubernetes-list-type"] == "atomic"
        && expression["items"]["required"] == json!(["key", "operator"])
        && expression["items"]["properties"]["values"]["x-kubernetes-list-type"] == "atomic"
}

/// The API server runs these rules; here, the same rules run in the same order.
#[test]
fn rules_refuse_what_they_shall_refuse() {
    const AGGREGATION: &str = "serviceSelectors and aggregationLength are mutually exclusive, can \
        only be used together with default aggregationLength (32) and aggregationLengthV6 (128)";
    const SECONDS: &str = "connect time should contain a whole number of seconds";
    const BOUNDS: &str = "connect time should be between 1 seconds to 65535";
    let advertisement = "bgpadvertisements v1beta1";
    let peer = "bgppeers v1beta2";
    // (kind, spec, what is wrong with it)
    let cases: [(&str, Value, &[&str]); 18] = [
        (advertisement, json!({}), &[]),
        (advertisement, json!({"serviceSelectors": [{}]}), &[]),
        (advertisement, json!({"aggregationLength": 24, "aggregationLengthV6": 64}), &[]),
        (advertisement, json!({"serviceSelectors": [], "aggregationLength": 24}), &[]),
        (
            advertisement,
            json!({"serviceSelectors": [{}], "aggregationLength": 32, "aggregationLengthV6": 128}),
            &[],
        ),
        (advertisement, json!({"serviceSelectors": [{}], "aggregationLength": 24}), &[AGGREGATION]),
        (
            advertisement,
            json!({"serviceSelectors": [{}], "aggregationLengthV6": 64}),
            &[AGGREGATION],
        ),
        (
            advertisement,
            json!({"serviceSelectors": [{}], "aggregationLength": 32, "aggregationLengthV6": 127}),
            &[AGGREGATION],
        ),
        (peer, json!({}), &[]),
        (peer, json!({"connectTime": "1s"}), &[]),
        (peer, json!({"connectTime": "1m30s"}), &[]),
        (peer, json!({"connectTime": "65535s"}), &[]),
        (peer, json!({"connectTime": "65536s"}), &[BOUNDS]),
        (peer, json!({"connectTime": "0s"}), &[BOUNDS]),
        (peer, json!({"connectTime": "-1s"}), &[BOUNDS]),
        (peer, json!({"connectTime": "1.5s"}), &[SECONDS]),
        (peer, json!({"connectTime": "500ms"}), &[BOUNDS, SECONDS]),
        (peer, json!({"enableGracefulRestart": true}), &[]),
    ];
    for (kind, spec, wrong) in cases {
        assert_eq!(broken_rules(kind, &json!({"spec": spec}), None), wrong, "{kind} {spec}");
    }
}

#[test]
fn rules_refuse_changes_of_what_is_fixed() {
    const FIXED: &str = "EnableGracefulRestart cannot be changed after creation";
    const STATUS: &str = "Value is immutable";
    let peer = "bgppeers v1beta2";
    let restart = |value: bool| json!({"spec": {"enableGracefulRestart": value}});
    let absent = json!({"spec": {}});
    let cases = [
        (peer, restart(true), restart(true), None),
        (peer, restart(true), restart(false), Some(FIXED)),
        (peer, restart(false), restart(true), Some(FIXED)),
        // The API server compares only what is there before and after.
        (peer, absent.clone(), restart(true), None),
        (peer, restart(true), absent, None),
    ];
    for (kind, before, after, wrong) in cases {
        let found = broken_rules(kind, &after, Some(&before));
        assert_eq!(found, wrong.into_iter().collect::<Vec<_>>(), "{kind} {before} -> {after}");
    }
    for kind in ["servicel2statuses v1beta1", "servicebgpstatuses v1beta1"] {
        for field in ["node", "serviceName", "serviceNamespace"] {
            let status = |value: &str| json!({"status": {field: value}});
            assert!(broken_rules(kind, &status("a"), Some(&status("a"))).is_empty(), "{field}");
            let found = broken_rules(kind, &status("b"), Some(&status("a")));
            assert_eq!(found, [STATUS], "{kind} {field}");
        }
    }
}

fn broken_rules(kind: &str, object: &Value, old: Option<&Value>) -> Vec<String> {
    let (plural, version) = kind.split_once(' ').unwrap();
    match Validator::new().validate(&schema(plural, version), object, old) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.into_vec().into_iter().map(|error| error.message).collect(),
    }
}

/// What is written back is what was read, with the defaults of the schema.
#[test]
fn objects_read_as_the_api_server_stores_them() {
    reads::<BFDProfile>("v1beta1 BFDProfile", json!({}), json!({}));
    reads::<BGPAdvertisement>(
        "v1beta1 BGPAdvertisement",
        json!({}),
        json!({"aggregationLength": 32, "aggregationLengthV6": 128}),
    );
    reads::<Community>("v1beta1 Community", json!({}), json!({}));
    reads::<ServiceBGPStatus>("v1beta1 ServiceBGPStatus", json!({}), json!({}));
    reads::<ServiceL2Status>("v1beta1 ServiceL2Status", json!({}), json!({}));
    let minimal = json!({"myASN": 64512});
    let stored = json!({
        "myASN": 64512, "peerPort": 179, "disableMP": false, "dualStackAddressFamily": false,
    });
    reads::<BGPPeer>("v1beta2 BGPPeer", minimal, stored);
    let full = json!({
        "myASN": 64512, "peerASN": 4_200_000_000_u32, "localASN": 65000, "dynamicASN": "internal",
        "peerAddress": "2001:db8::1", "interface": "eth0", "sourceAddress": "2001:db8::2",
        "peerPort": 1179, "holdTime": "1m30s", "keepaliveTime": "30s", "connectTime": "10s",
        "routerID": "10.0.0.1", "nodeSelectors": [{"matchLabels": {"rack": "1"}}],
        "password": "x", "passwordSecret": {"name": "tor", "namespace": "metallb-system"},
        "bfdProfile": "fast", "enableGracefulRestart": false, "ebgpMultiHop": false, "vrf": "red",
        "disableMP": true, "dualStackAddressFamily": true,
    });
    reads::<BGPPeer>("v1beta2 BGPPeer", full.clone(), full);
}

#[track_caller]
fn reads<T: DeserializeOwned + Serialize>(kind: &str, spec: Value, stored: Value) {
    let (version, kind) = kind.split_once(' ').unwrap();
    let object = |spec: Value| {
        json!({
            "apiVersion": format!("metallb.io/{version}"), "kind": kind,
            "metadata": {"name": "a"}, "spec": spec,
        })
    };
    let read: T = serde_json::from_value(object(spec)).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), object(stored), "{kind}");
}

/// The schema asks for `spec` in pools only, so the API server stores the others without it.
#[test]
fn an_object_without_spec_reads() {
    fn reads<T: DeserializeOwned>() {
        serde_json::from_value::<T>(json!({"metadata": {"name": "a"}})).unwrap();
    }
    reads::<BFDProfile>();
    reads::<BGPAdvertisement>();
    reads::<BGPPeer>();
    reads::<Community>();
    reads::<ConfigurationState>();
    reads::<L2Advertisement>();
    reads::<ServiceBGPStatus>();
    reads::<ServiceL2Status>();
}

#[test]
fn a_configuration_state_is_all_status() {
    let object = json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "ConfigurationState",
        "metadata": {"name": "controller"},
        "status": {"result": "Invalid", "errorSummary": "no", "conditions": [{
            "type": "poolReconcilerValid", "status": "False", "reason": "ConfigurationError",
            "message": "no", "lastTransitionTime": "2025-01-01T00:00:00Z",
        }]},
    });
    let read: ConfigurationState = serde_json::from_value(object.clone()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), object);
}

fn crd(plural: &str) -> Value {
    let name = format!("metallb.io_{plural}.yaml");
    crds().unwrap().into_iter().find(|file| file.name == name).unwrap().definition
}

fn version(plural: &str, name: &str) -> Value {
    let crd = crd(plural);
    let versions = crd["spec"]["versions"].as_array().unwrap();
    versions.iter().find(|version| version["name"] == name).unwrap().clone()
}

fn schema(plural: &str, name: &str) -> Value {
    version(plural, name)["schema"]["openAPIV3Schema"].clone()
}
