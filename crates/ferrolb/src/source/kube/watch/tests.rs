use kube::runtime::watcher::Event;
use serde_json::json;

use super::*;
use crate::source::kube::reduced::Slice;

/// A slice of a Service with one endpoint on a node.
fn slice(name: &str, service: &str) -> Slice {
    serde_json::from_value(json!({
        "metadata": {"namespace": "shop", "name": name, "labels": {SERVICE_LABEL: service}},
        "endpoints": [{"addresses": ["10.0.0.1"], "nodeName": "a"}],
    }))
    .unwrap()
}

/// What is told, one word each.
fn words(seen: Vec<Seen>) -> Vec<String> {
    let word = |seen| match seen {
        Seen::Slice { service, slice, endpoints } => {
            let sign = if endpoints.is_some() { '+' } else { '-' };
            format!("{sign}{slice}@{service}")
        }
        Seen::Synced(kind) => format!("synced {kind}"),
        other => panic!("{other:?} is not expected"),
    };
    seen.into_iter().map(word).collect()
}

#[test]
fn what_is_gone_is_what_a_whole_list_does_not_have() {
    let mut known = Known { traces: BTreeMap::new(), listed: None };
    let mut take = |event| words(known.take(event, &Slices, Kind::EndpointSlice));
    let synced = "synced EndpointSlices";
    // Each line is one event, and what is told.
    let steps: [(Event<Slice>, &[&str]); 14] = [
        (Event::Init, &[]),
        (Event::InitApply(slice("web-1", "web")), &["+web-1@shop/web"]),
        (Event::InitApply(slice("api-1", "api")), &["+api-1@shop/api"]),
        (Event::InitDone, &[synced]),
        (Event::Apply(slice("web-2", "web")), &["+web-2@shop/web"]),
        (Event::Delete(slice("web-2", "web")), &["-web-2@shop/web"]),
        (Event::Delete(slice("web-2", "web")), &[]),
        // A list that is broken off says nothing about what was not in it.
        (Event::Init, &[]),
        (Event::InitApply(slice("web-1", "web")), &["+web-1@shop/web"]),
        (Event::Init, &[]),
        (Event::InitApply(slice("web-3", "web")), &["+web-3@shop/web"]),
        (Event::InitApply(slice("api-1", "web")), &["-api-1@shop/api", "+api-1@shop/web"]),
        (Event::InitDone, &["-web-1@shop/web", synced]),
        (Event::Delete(slice("api-1", "web")), &["-api-1@shop/web"]),
    ];
    for (index, (event, want)) in steps.into_iter().enumerate() {
        assert_eq!(take(event), want, "step {index}");
    }
}

#[test]
fn settings_are_asked_for_by_their_names_in_the_api() {
    let rows = [
        ("BFDProfile", "bfdprofiles"),
        ("BGPPeer", "bgppeers"),
        ("Community", "communities"),
        ("IPAddressPool", "ipaddresspools"),
    ];
    for (kind, plural) in rows {
        let resource = resource(&Settings { api_version: "metallb.io/v1beta1", kind });
        assert_eq!((resource.plural.as_str(), resource.group.as_str()), (plural, "metallb.io"));
    }
}
