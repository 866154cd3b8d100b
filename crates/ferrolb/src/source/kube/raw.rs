//! An object before it is read.
//!
//! The client reads a whole page or a whole watch event at once and fails as a whole. Here it has
//! nothing to fail at: every JSON value is an object, and it is read one by one afterwards.

use std::borrow::Cow;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::DynamicResourceScope;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::Kind;

/// What nobody reads, in the metadata of any kind: who wrote which field takes more room than all
/// the rest.
const NEEDLESS: &str = "managedFields";

/// An object as the server sent it, without `managedFields`.
#[derive(Clone)]
pub(super) struct Raw {
    /// Name, namespace and version, as far as they can be read.
    pub(super) metadata: ObjectMeta,
    /// All of it.
    pub(super) value: Value,
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut value = Value::deserialize(deserializer)?;
        if let Some(Value::Object(metadata)) = value.get_mut("metadata") {
            metadata.remove(NEEDLESS);
        }
        let text = |field: &str| value["metadata"][field].as_str().map(str::to_owned);
        let metadata = ObjectMeta {
            name: text("name"),
            namespace: text("namespace"),
            resource_version: text("resourceVersion"),
            ..ObjectMeta::default()
        };
        Ok(Self { metadata, value })
    }
}

/// Only names: what it holds may be a password.
impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Raw").field("metadata", &self.metadata).finish_non_exhaustive()
    }
}

impl Resource for Raw {
    type DynamicType = Kind;
    type Scope = DynamicResourceScope;

    fn kind(kind: &Kind) -> Cow<'_, str> {
        kind.as_str().into()
    }

    fn group(kind: &Kind) -> Cow<'_, str> {
        kind.group().into()
    }

    fn version(kind: &Kind) -> Cow<'_, str> {
        kind.version().into()
    }

    fn plural(kind: &Kind) -> Cow<'_, str> {
        kind.plural().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn any_value_is_an_object() {
        let rows = [
            ("good", json!({"metadata": {"name": "a", "resourceVersion": "1"}}), Some("a")),
            ("a name of the wrong type", json!({"metadata": {"name": 1}}), None),
            ("no metadata", json!({}), None),
            ("no object", json!([1]), None),
        ];
        for (row, value, want) in rows {
            let raw: Raw = serde_json::from_value(value).unwrap();
            assert_eq!(raw.metadata.name.as_deref(), want, "{row}");
        }
    }

    #[test]
    fn what_it_holds_is_not_shown() {
        let raw: Raw = serde_json::from_value(json!({"data": {"password": "swordfish"}})).unwrap();
        assert!(!format!("{raw:?}").contains("swordfish"));
    }
}
