//! What differs between the two kinds of objects.

use std::fmt;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Object, Said};
use crate::api::{ServiceBGPStatus, ServiceL2Status};

/// A kind of objects by which a node says how it announces a Service.
pub trait Kind:
    Clone
    + fmt::Debug
    + Default
    + DeserializeOwned
    + Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Send
    + Serialize
    + Sync
    + 'static
{
    /// What names of objects begin with.
    const PREFIX: &'static str;

    /// An object that says nothing yet.
    fn empty(metadata: ObjectMeta) -> Self {
        let mut empty = Self::default();
        *empty.meta_mut() = metadata;
        empty
    }

    /// What is compared of an object.
    fn reduce(self) -> Object;

    /// The field of the status that has the names, and these.
    fn list(names: &[String]) -> (&'static str, Value);
}

impl Kind for ServiceL2Status {
    const PREFIX: &'static str = "l2-";

    fn reduce(self) -> Object {
        let status = self.status.unwrap_or_default();
        let said = Said {
            node: status.node,
            service_name: status.service_name,
            service_namespace: status.service_namespace,
            names: status.interfaces.into_iter().map(|interface| interface.name).collect(),
        };
        Object { metadata: self.metadata, said }
    }

    fn list(names: &[String]) -> (&'static str, Value) {
        ("interfaces", names.iter().map(|name| json!({ "name": name })).collect())
    }
}

impl Kind for ServiceBGPStatus {
    const PREFIX: &'static str = "bgp-";

    fn reduce(self) -> Object {
        let status = self.status.unwrap_or_default();
        let said = Said {
            node: status.node,
            service_name: status.service_name,
            service_namespace: status.service_namespace,
            names: status.peers,
        };
        Object { metadata: self.metadata, said }
    }

    fn list(names: &[String]) -> (&'static str, Value) {
        ("peers", json!(names))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        fn check<K: Kind>(wanted: &str) {
            let names = ["a".to_owned(), "b".to_owned()];
            let (field, list) = K::list(&names);
            let status = json!({
                "node": "n1", "serviceName": "web", "serviceNamespace": "shop", field: list,
            });
            assert_eq!(status[wanted].as_array().map(Vec::len), Some(2), "{wanted}");
            let object = json!({ "metadata": {}, "spec": {}, "status": status });
            let object: K = serde_json::from_value(object).unwrap();
            let said = Said {
                node: "n1".to_owned(),
                service_name: "web".to_owned(),
                service_namespace: "shop".to_owned(),
                names: names.to_vec(),
            };
            assert_eq!(object.reduce().said, said, "{wanted}");
        }
        check::<ServiceL2Status>("interfaces");
        check::<ServiceBGPStatus>("peers");
    }
}
