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
use crate::parse::{self, SERVICE_LABEL};
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
    let read = Object::read("v1", "Service", value, &mut Vec::new())?;
    let Some(Object::Service(service)) = read else { return Ok(None) };
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
    let status: Arc<T> = object::typed(value, &mut Vec::new())?;
    Ok(Arc::into_inner(status).map(|status| Seen::Status(Box::new(make(status)))))
}

/// Labels, addresses, and the one condition that counts, without the time of its last heartbeat.
fn node(value: &Value) -> Value {
    let conditions = value["status"]["conditions"].as_array();
    let network = conditions.into_iter().flatten().filter(|c| c["type"] == "NetworkUnavailable");
    let conditions: Vec<_> = network.map(|c| picked(c, &["type", "status"])).collect();
    let mut status = picked(&value["status"], &["addresses"]);
    status["conditions"] = json!(conditions);
    json!({"metadata": picked(&value["metadata"], &["name", "uid", "labels"]), "status": status})
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
