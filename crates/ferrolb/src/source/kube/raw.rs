//! An object before it is read.
//!
//! The client reads a whole page or a whole watch event at once and fails as a whole. Here it has
//! nothing to fail at: every JSON value is an object, and it is read one by one afterwards.

use std::borrow::Cow;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::DynamicResourceScope;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

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
        let value = Level::Object.deserialize(deserializer)?;
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

/// Where in an object a value is. What is [`NEEDLESS`] there is read over.
#[derive(Clone, Copy)]
enum Level {
    Object,
    Metadata,
}

impl<'de> DeserializeSeed<'de> for Level {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            let value = match (self, name.as_str()) {
                (Self::Metadata, NEEDLESS) => {
                    fields.next_value::<IgnoredAny>()?;
                    continue;
                }
                (Self::Object, "metadata") => fields.next_value_seed(Self::Metadata)?,
                (Self::Object | Self::Metadata, _) => fields.next_value()?,
            };
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Value, A::Error> {
        Value::deserialize(SeqAccessDeserializer::new(items))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
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
            ("a number", json!(1), None),
            ("nothing", json!(null), None),
        ];
        for (row, value, want) in rows {
            let text = value.to_string();
            for raw in [serde_json::from_value(value), serde_json::from_str::<Raw>(&text)] {
                assert_eq!(raw.unwrap().metadata.name.as_deref(), want, "{row}");
            }
        }
    }

    #[test]
    fn all_is_kept_but_who_wrote_which_field() {
        let mut value = json!({
            "metadata": {"name": "a", "labels": {NEEDLESS: "b"}, NEEDLESS: [{"manager": "c"}]},
            "spec": {NEEDLESS: [null, true, -1, 1, 1.5, "text", {}]},
            "status": null,
        });
        let raw: Raw = serde_json::from_str(&value.to_string()).unwrap();
        value["metadata"].as_object_mut().unwrap().remove(NEEDLESS);
        assert_eq!(raw.value, value);
    }

    #[test]
    fn what_it_holds_is_not_shown() {
        let raw: Raw = serde_json::from_value(json!({"data": {"password": "swordfish"}})).unwrap();
        assert!(!format!("{raw:?}").contains("swordfish"));
    }
}
