//! What is told about one object.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::{DynamicObject, PartialObjectMeta};
use planner::names::{NodeName, ServiceName};
use serde::de::DeserializeOwned;

use super::reduced::{Node, Pod, Slice};
use super::{Seen, StatusObject};
use crate::api::{ConfigurationState, ServiceBGPStatus, ServiceL2Status};
use crate::parse::SERVICE_LABEL;
use crate::source::object::{Object, ObjectName};
use crate::source::secret::Secret;

/// An object that can be watched.
pub(super) trait Watched:
    Clone + DeserializeOwned + fmt::Debug + Resource + Send + 'static
{
}

impl<K: Clone + DeserializeOwned + fmt::Debug + Resource + Send + 'static> Watched for K {}

/// Reads the objects of one kind.
pub(super) trait Reader: Send + 'static {
    /// The object as it is decoded.
    type Object: Watched;
    /// What has to be kept of an object to say what is gone with it.
    type Trace: PartialEq + Send + 'static;

    /// What is kept of the object; [`None`] for one that is of no concern.
    fn trace(&self, object: &Self::Object) -> Option<Self::Trace>;

    /// That the object is there, or is different.
    fn put(&self, object: Self::Object) -> Seen;

    /// That it is gone.
    fn gone(&self, namespace: Option<String>, name: String, trace: Self::Trace) -> Seen;
}

/// `namespace/name` of a Service, as objects in its namespace name it.
fn service(namespace: Option<String>, name: impl Into<String>) -> ServiceName {
    ServiceName::new(namespace.unwrap_or_default(), name)
}

fn named(metadata: &ObjectMeta) -> String {
    metadata.name.clone().unwrap_or_default()
}

/// Services, whole: who gives an address writes the object back.
pub(super) struct Services;

impl Reader for Services {
    type Object = core::Service;
    type Trace = ();

    fn trace(&self, _: &core::Service) -> Option<()> {
        Some(())
    }

    fn put(&self, mut object: core::Service) -> Seen {
        object.metadata.managed_fields = None;
        let name = service(object.metadata.namespace.clone(), named(&object.metadata));
        Seen::Service(name, Some(Arc::new(object)))
    }

    fn gone(&self, namespace: Option<String>, name: String, (): ()) -> Seen {
        Seen::Service(service(namespace, name), None)
    }
}

/// EndpointSlices; the trace is the Service that they are of.
pub(super) struct Slices;

impl Reader for Slices {
    type Object = Slice;
    type Trace = Box<str>;

    fn trace(&self, slice: &Slice) -> Option<Box<str>> {
        Some(slice.metadata.labels.as_ref()?.get(SERVICE_LABEL)?.as_str().into())
    }

    fn put(&self, slice: Slice) -> Seen {
        let of = self.trace(&slice).unwrap_or_default();
        Seen::Slice {
            service: service(slice.metadata.namespace, of),
            slice: slice.metadata.name.unwrap_or_default(),
            endpoints: Some(slice.endpoints),
        }
    }

    fn gone(&self, namespace: Option<String>, name: String, of: Box<str>) -> Seen {
        Seen::Slice { service: service(namespace, of), slice: name, endpoints: None }
    }
}

/// Nodes.
pub(super) struct Nodes;

impl Reader for Nodes {
    type Object = Node;
    type Trace = ();

    fn trace(&self, _: &Node) -> Option<()> {
        Some(())
    }

    fn put(&self, node: Node) -> Seen {
        Seen::Put(Object::Node(Arc::new(node.into())))
    }

    fn gone(&self, _: Option<String>, name: String, (): ()) -> Seen {
        Seen::Gone(ObjectName { kind: "Node", namespace: None, name })
    }
}

/// Namespaces, of which only the metadata is asked for.
pub(super) struct Namespaces;

impl Reader for Namespaces {
    type Object = PartialObjectMeta<core::Namespace>;
    type Trace = ();

    fn trace(&self, _: &Self::Object) -> Option<()> {
        Some(())
    }

    fn put(&self, object: Self::Object) -> Seen {
        let ObjectMeta { name, labels, .. } = object.metadata;
        let metadata = ObjectMeta { name, labels, ..ObjectMeta::default() };
        let namespace = core::Namespace { metadata, ..core::Namespace::default() };
        Seen::Put(Object::Namespace(Arc::new(namespace)))
    }

    fn gone(&self, _: Option<String>, name: String, (): ()) -> Seen {
        Seen::Gone(ObjectName { kind: "Namespace", namespace: None, name })
    }
}

/// Secrets, reduced to passwords.
pub(super) struct Secrets;

impl Reader for Secrets {
    type Object = core::Secret;
    type Trace = ();

    fn trace(&self, _: &core::Secret) -> Option<()> {
        Some(())
    }

    fn put(&self, secret: core::Secret) -> Seen {
        Seen::Put(Object::Secret(Arc::new(Secret::from(secret))))
    }

    fn gone(&self, namespace: Option<String>, name: String, (): ()) -> Seen {
        Seen::Gone(ObjectName { kind: "Secret", namespace, name })
    }
}

/// Pods that are speakers.
pub(super) struct SpeakerPods;

impl Reader for SpeakerPods {
    type Object = Pod;
    type Trace = ();

    fn trace(&self, _: &Pod) -> Option<()> {
        Some(())
    }

    fn put(&self, pod: Pod) -> Seen {
        let node = pod.spec.node_name.filter(|node| !node.is_empty()).map(NodeName);
        Seen::SpeakerPod { pod: named(&pod.metadata), node }
    }

    fn gone(&self, _: Option<String>, name: String, (): ()) -> Seen {
        Seen::SpeakerPod { pod: name, node: None }
    }
}

/// Settings of one kind. They are decoded without types first: definitions that are older than ours
/// let objects through that do not fit, and one of them must not hide the others.
pub(super) struct Settings {
    pub(super) api_version: &'static str,
    pub(super) kind: &'static str,
}

impl Reader for Settings {
    type Object = DynamicObject;
    type Trace = ();

    fn trace(&self, _: &DynamicObject) -> Option<()> {
        Some(())
    }

    fn put(&self, object: DynamicObject) -> Seen {
        let name = ObjectName::of(self.kind, &object.metadata);
        let value = match serde_json::to_value(object) {
            Ok(value) => value,
            // It has just been made of such a value.
            Err(_) => return Seen::Gone(name),
        };
        match Object::read(self.api_version, self.kind, value, &mut Vec::new()) {
            Ok(Some(setting)) => Seen::Put(setting),
            Ok(None) => Seen::Gone(name),
            Err(misfit) => Seen::Misfit(name, misfit),
        }
    }

    fn gone(&self, namespace: Option<String>, name: String, (): ()) -> Seen {
        Seen::Gone(ObjectName { kind: self.kind, namespace, name })
    }
}

/// Objects that a component of ours writes.
pub(super) struct Statuses<K>(pub(super) PhantomData<K>);

/// A kind of such objects.
pub(super) trait Status: Watched {
    /// The object, or that it is gone.
    fn told(name: String, object: Option<Arc<Self>>) -> StatusObject;
}

impl Status for ConfigurationState {
    fn told(name: String, object: Option<Arc<Self>>) -> StatusObject {
        StatusObject::Configuration(name, object)
    }
}

impl Status for ServiceBGPStatus {
    fn told(name: String, object: Option<Arc<Self>>) -> StatusObject {
        StatusObject::Bgp(name, object)
    }
}

impl Status for ServiceL2Status {
    fn told(name: String, object: Option<Arc<Self>>) -> StatusObject {
        StatusObject::L2(name, object)
    }
}

impl<K: Status + Sync> Reader for Statuses<K> {
    type Object = K;
    type Trace = ();

    fn trace(&self, _: &K) -> Option<()> {
        Some(())
    }

    fn put(&self, object: K) -> Seen {
        Seen::Status(K::told(named(object.meta()), Some(Arc::new(object))))
    }

    fn gone(&self, _: Option<String>, name: String, (): ()) -> Seen {
        Seen::Status(K::told(name, None))
    }
}
