//! Objects that carry more than is read of them, reduced as they are decoded.
//!
//! A Node lists every image on its disk and an EndpointSlice is mostly addresses of pods; with many
//! of them, and again each time one changes, that is most of what a watch costs.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{self as core, NodeAddress, NodeCondition, NodeStatus};
use k8s_openapi::api::discovery::v1::{self as discovery, EndpointConditions};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use planner::facts::Endpoint;
use planner::names::NodeName;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use crate::parse;

/// A Node as far as it is read.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Node {
    #[serde(deserialize_with = "metadata")]
    metadata: ObjectMeta,
    #[serde(default)]
    status: ReducedStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct ReducedStatus {
    addresses: Option<Vec<NodeAddress>>,
    conditions: Option<Vec<NodeCondition>>,
}

impl From<Node> for core::Node {
    fn from(node: Node) -> Self {
        let ReducedStatus { addresses, conditions } = node.status;
        let status = NodeStatus { addresses, conditions, ..NodeStatus::default() };
        Self { metadata: node.metadata, status: Some(status), spec: None }
    }
}

/// An EndpointSlice as far as it is read.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Slice {
    #[serde(deserialize_with = "metadata")]
    pub(super) metadata: ObjectMeta,
    #[serde(default, deserialize_with = "endpoints")]
    pub(super) endpoints: Vec<Endpoint>,
}

/// A Pod as far as it is read.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Pod {
    #[serde(deserialize_with = "metadata")]
    pub(super) metadata: ObjectMeta,
    #[serde(default)]
    pub(super) spec: PodSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodSpec {
    pub(super) node_name: Option<String>,
}

/// What is read of `metadata`. Above all not `managedFields`, which is often half of an object.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    resource_version: Option<String>,
    labels: Option<BTreeMap<String, String>>,
}

fn metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let Metadata { name, namespace, resource_version, labels } =
        Metadata::deserialize(deserializer)?;
    Ok(ObjectMeta { name, namespace, resource_version, labels, ..ObjectMeta::default() })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReducedEndpoint {
    #[serde(default)]
    addresses: Vec<IgnoredAny>,
    conditions: Option<EndpointConditions>,
    node_name: Option<String>,
}

fn endpoints<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Endpoint>, D::Error> {
    let endpoints = Option::<Vec<ReducedEndpoint>>::deserialize(deserializer)?;
    let endpoint = |endpoint: ReducedEndpoint| Endpoint {
        node: endpoint.node_name.map(NodeName),
        is_healthy: parse::is_healthy(endpoint.conditions.as_ref()),
        has_address: !endpoint.addresses.is_empty(),
    };
    Ok(endpoints.unwrap_or_default().into_iter().map(endpoint).collect())
}

/// Makes a reduced object stand for the whole one in requests.
macro_rules! stands_for {
    ($reduced:ty, $whole:ty) => {
        impl Resource for $reduced {
            type DynamicType = ();
            type Scope = <$whole as Resource>::Scope;

            fn kind((): &()) -> Cow<'_, str> {
                <$whole as Resource>::kind(&())
            }

            fn group((): &()) -> Cow<'_, str> {
                <$whole as Resource>::group(&())
            }

            fn version((): &()) -> Cow<'_, str> {
                <$whole as Resource>::version(&())
            }

            fn plural((): &()) -> Cow<'_, str> {
                <$whole as Resource>::plural(&())
            }

            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

stands_for!(Node, core::Node);
stands_for!(Pod, core::Pod);
stands_for!(Slice, discovery::EndpointSlice);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_keeps_labels_addresses_and_conditions() {
        let node: Node = serde_json::from_value(json!({
            "metadata": {"name": "a", "labels": {"rack": "1"}, "managedFields": [{"manager": "kubelet"}]},
            "spec": {"podCIDR": "10.244.0.0/24"},
            "status": {
                "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}],
                "conditions": [{"type": "Ready", "status": "True"}],
                "images": [{"names": ["registry/large"], "sizeBytes": 1}],
            },
        }))
        .unwrap();
        let node = core::Node::from(node);
        let status = node.status.unwrap();
        assert_eq!(node.metadata.labels.unwrap()["rack"], "1");
        assert_eq!(status.addresses.unwrap()[0].address, "192.0.2.1");
        assert_eq!(status.conditions.unwrap()[0].type_, "Ready");
        assert_eq!((status.images, node.metadata.managed_fields), (None, None));
    }

    #[test]
    fn a_slice_keeps_where_endpoints_are_and_whether_they_serve() {
        let slice: Slice = serde_json::from_value(json!({
            "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4",
            "endpoints": [
                {"addresses": ["10.0.0.1"], "nodeName": "a", "conditions": {"ready": true}},
                {"addresses": ["10.0.0.2"], "conditions": {"ready": false, "serving": true}},
                {"addresses": [], "nodeName": "b", "conditions": {"ready": false}},
            ],
        }))
        .unwrap();
        let endpoint = |node: Option<&str>, is_healthy, has_address| Endpoint {
            node: node.map(NodeName::from),
            is_healthy,
            has_address,
        };
        let want = [
            endpoint(Some("a"), true, true),
            endpoint(None, true, true),
            endpoint(Some("b"), false, false),
        ];
        assert_eq!(slice.endpoints, want);
        let empty = json!({"metadata": {"name": "web-1"}, "endpoints": null});
        assert!(serde_json::from_value::<Slice>(empty).unwrap().endpoints.is_empty());
    }
}
