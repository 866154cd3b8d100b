//! What an object comes to: only what is read of it.

use std::mem;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PartialObjectMeta;
use planner::names::{NodeName, ServiceName};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::raw::Raw;
use super::{Kind, Seen, StatusObject};
use crate::parse::{self, DRAIN_ANNOTATION, SERVICE_LABEL};
use crate::source::object::{self, Misfit, Object};

/// Fields of the metadata that are read; each change of another one is none.
const METADATA: [&str; 7] =
    ["annotations", "creationTimestamp", "generation", "labels", "name", "namespace", "uid"];

/// What is seen of an object; [`None`] if it does not concern us.
pub(super) fn object(kind: Kind, raw: Raw) -> Result<Option<Seen>, Misfit> {
    let Raw { metadata, mut value } = raw;
    match kind {
        Kind::Service => return service(value),
        Kind::EndpointSlice => return slice(&metadata, value),
        Kind::SpeakerPod => return speaker_pod(metadata, value),
        Kind::ConfigurationState => return status(value, StatusObject::Configuration),
        Kind::ServiceBGPStatus => return status(value, StatusObject::Bgp),
        Kind::ServiceL2Status => return status(value, StatusObject::L2),
        Kind::Node => value = node(&value),
        Kind::BFDProfile
        | Kind::BGPAdvertisement
        | Kind::BGPPeer
        | Kind::Community
        | Kind::IPAddressPool
        | Kind::L2Advertisement
        | Kind::Namespace
        | Kind::Secret => {
            let read = picked(&value["metadata"], &METADATA);
            value["metadata"] = read;
        }
    }
    let api_version = match kind.group() {
        "" => kind.version().to_owned(),
        group => format!("{group}/{}", kind.version()),
    };
    // The server has seen these fields and knows them, or a later version of the kind has them.
    let unknown = &mut Vec::new();
    Ok(Object::read(&api_version, kind.as_str(), value, unknown)?.map(Seen::Put))
}

/// Only metadata was asked for.
pub(super) fn namespace(object: PartialObjectMeta<Namespace>) -> Result<Option<Seen>, Misfit> {
    let PartialObjectMeta { metadata, .. } = object;
    let metadata =
        ObjectMeta { name: metadata.name, labels: metadata.labels, ..ObjectMeta::default() };
    let namespace = Namespace { metadata, ..Namespace::default() };
    Ok(Some(Seen::Put(Object::Namespace(Arc::new(namespace)))))
}

fn service(value: Value) -> Result<Option<Seen>, Misfit> {
    let service = typed(value)?;
    let name = parse::service_name(&service);
    Ok(Some(Seen::Service(name, Some(service))))
}

fn slice(metadata: &ObjectMeta, mut value: Value) -> Result<Option<Seen>, Misfit> {
    let label = value["metadata"]["labels"][SERVICE_LABEL].as_str().unwrap_or_default();
    if label.is_empty() {
        return Ok(None);
    }
    let service = ServiceName::new(metadata.namespace.clone().unwrap_or_default(), label);
    let endpoints: Option<Vec<discovery::Endpoint>> = field(&mut value, "endpoints")?;
    let endpoints = endpoints.iter().flatten().map(parse::endpoint).collect();
    let slice = metadata.name.clone().unwrap_or_default();
    Ok(Some(Seen::Slice { service, slice, endpoints: Some(endpoints) }))
}

fn speaker_pod(metadata: ObjectMeta, mut value: Value) -> Result<Option<Seen>, Misfit> {
    let node: Option<String> = match value.get_mut("spec") {
        Some(spec) => field(spec, "nodeName")?,
        None => None,
    };
    let node = node.filter(|node| !node.is_empty()).map(NodeName);
    Ok(Some(Seen::SpeakerPod { pod: metadata.name.unwrap_or_default(), node }))
}

fn status<T: DeserializeOwned>(
    value: Value,
    make: fn(T) -> StatusObject,
) -> Result<Option<Seen>, Misfit> {
    let status: Arc<T> = typed(value)?;
    Ok(Arc::into_inner(status).map(|status| Seen::Status(Box::new(make(status)))))
}

/// Reads an object of a kind that there may be thousands of. Finding out which field does not fit
/// takes twice the time, and all but a few fit.
fn typed<T: DeserializeOwned>(value: Value) -> Result<Arc<T>, Misfit> {
    match T::deserialize(&value) {
        Ok(object) => Ok(Arc::new(object)),
        Err(_) => object::typed(value, &mut Vec::new()),
    }
}

/// Labels, addresses, taints, and what counts of annotations and conditions: these change with
/// every heartbeat and whenever a network plugin has something to note.
fn node(value: &Value) -> Value {
    let conditions = value["status"]["conditions"].as_array();
    let counts = |c: &&Value| c["type"] == "NetworkUnavailable" || c["type"] == "Ready";
    let conditions = conditions.into_iter().flatten().filter(counts);
    let conditions: Vec<_> =
        conditions.map(|c| picked(c, &["type", "status", "message"])).collect();
    let mut status = picked(&value["status"], &["addresses"]);
    status["conditions"] = json!(conditions);
    let mut metadata = picked(&value["metadata"], &["name", "uid", "labels"]);
    metadata["annotations"] = picked(&value["metadata"]["annotations"], &[DRAIN_ANNOTATION]);
    json!({
        "metadata": metadata,
        "spec": picked(&value["spec"], &["unschedulable", "taints"]),
        "status": status,
    })
}

/// The fields of an object that have these names.
fn picked(value: &Value, names: &[&str]) -> Value {
    let fields = names.iter().filter_map(|name| Some(((*name).to_owned(), value.get(name)?)));
    Value::Object(fields.map(|(name, value)| (name, value.clone())).collect::<Map<_, _>>())
}

/// One field of an object.
fn field<T: for<'de> Deserialize<'de>>(value: &mut Value, name: &str) -> Result<Option<T>, Misfit> {
    let Some(field) = value.get_mut(name) else { return Ok(None) };
    serde_json::from_value(mem::take(field))
        .map_err(|error| Misfit { field: name.to_owned(), message: error.to_string() })
}

#[cfg(test)]
mod tests {
    use planner::facts::Endpoint;

    use super::*;

    fn read(kind: Kind, value: Value) -> Result<Option<Seen>, Misfit> {
        object(kind, serde_json::from_value(value).unwrap())
    }

    #[test]
    fn a_heartbeat_of_a_node_is_no_difference() {
        let node = |heartbeat: &str, network: &str| {
            let conditions = json!([
                {"type": "Ready", "status": "True", "lastHeartbeatTime": heartbeat},
                {"type": "NetworkUnavailable", "status": network, "lastHeartbeatTime": heartbeat},
            ]);
            let metadata = json!({"name": "n", "resourceVersion": heartbeat});
            let status = json!({"conditions": conditions, "images": [{"names": [heartbeat]}]});
            read(Kind::Node, json!({"metadata": metadata, "status": status})).unwrap().unwrap()
        };
        assert_eq!(node("2026-01-01T00:00:00Z", "False"), node("2026-01-01T00:00:10Z", "False"));
        assert_ne!(node("2026-01-01T00:00:00Z", "False"), node("2026-01-01T00:00:00Z", "True"));
    }

    #[test]
    fn of_a_slice_only_its_endpoints_are_kept() {
        let labels = json!({SERVICE_LABEL: "web"});
        let endpoints = json!([{"addresses": ["192.0.2.1"], "nodeName": "n"}, {"addresses": []}]);
        let rows = [
            ("two", labels.clone(), endpoints, 2),
            ("an empty list", labels.clone(), json!([]), 0),
            ("null", labels, Value::Null, 0),
        ];
        for (row, labels, endpoints, want) in rows {
            let metadata = json!({"name": "web-1", "namespace": "shop", "labels": labels});
            let value = json!({"metadata": metadata, "endpoints": endpoints});
            let Some(Seen::Slice { service, slice, endpoints: Some(found) }) =
                read(Kind::EndpointSlice, value).unwrap()
            else {
                panic!("{row}");
            };
            assert_eq!((service.to_string().as_str(), slice.as_str()), ("shop/web", "web-1"));
            assert_eq!(found.len(), want, "{row}");
            if let Some(first) = found.first() {
                let node = Some("n".into());
                assert_eq!(*first, Endpoint { node, is_healthy: true, has_address: true });
            }
        }
        let nobody = json!({"metadata": {"name": "a", "labels": {SERVICE_LABEL: ""}}});
        assert_eq!(read(Kind::EndpointSlice, nobody), Ok(None));
    }

    #[test]
    fn what_does_not_fit_is_told_by_its_field() {
        let rows = [
            (Kind::IPAddressPool, json!({"spec": {"addresses": 1}}), "spec.addresses"),
            (Kind::Service, json!({"spec": {"ports": 1}}), "spec.ports"),
            (Kind::EndpointSlice, json!({"endpoints": 1}), "endpoints"),
            (Kind::SpeakerPod, json!({"spec": {"nodeName": 1}}), "nodeName"),
            (Kind::ServiceL2Status, json!({"status": {"node": 1}}), "status.node"),
        ];
        for (kind, mut value, want) in rows {
            let labels = json!({SERVICE_LABEL: "web"});
            value["metadata"] = json!({"name": "a", "namespace": "shop", "labels": labels});
            assert_eq!(read(kind, value).unwrap_err().field, want, "{kind}");
        }
    }

    #[test]
    fn who_wrote_an_object_last_is_no_difference() {
        let pool = |version: &str| {
            let metadata = json!({
                "name": "main", "namespace": "metallb-system", "resourceVersion": version,
                "managedFields": [{"time": version}],
            });
            let value = json!({"metadata": metadata, "spec": {"addresses": ["192.0.2.0/24"]}});
            read(Kind::IPAddressPool, value).unwrap()
        };
        assert_eq!(pool("1"), pool("2"));
    }
}
