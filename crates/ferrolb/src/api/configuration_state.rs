//! `ConfigurationState`: whether a component could use what was configured.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Nothing is wished for: components only report.
#[derive(
    Clone, CustomResource, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize,
)]
#[kube(
    group = "metallb.io",
    version = "v1beta1",
    kind = "ConfigurationState",
    plural = "configurationstates",
    doc = "Whether a component could use what was configured; written by that component.\n\nThe controller writes the object `controller`, the speaker of a node `speaker-` and the node's name.\nWhat you write here is overwritten.",
    namespaced,
    no_spec,
    status = "ConfigurationStateStatus",
    derive = "Default",
    derive = "PartialEq",
    printcolumn = r#"{"name": "Result", "type": "string", "jsonPath": ".status.result"}"#,
    printcolumn = r#"{"name": "ErrorSummary", "type": "string", "jsonPath": ".status.errorSummary"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
pub struct ConfigurationStateSpec {}

/// What a component reports.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigurationStateStatus {
    /// All conditions in one word: `Valid`, `Invalid`, or `Unknown` before the first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<ConfigurationResult>,

    /// The messages of the conditions that say `Invalid`, one a line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error_summary: String,

    /// One condition for each part of the component that reads configuration.
    ///
    /// `configReconcilerValid` in speakers, `poolReconcilerValid` in the controller.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
}

/// Whether the configuration could be used.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ConfigurationResult {
    /// All of it is in use.
    Valid,
    /// Something is wrong with it; `errorSummary` says what.
    Invalid,
    /// It was not read yet.
    Unknown,
}

/// The schema of Kubernetes' own condition type, with the bounds that `k8s-openapi` leaves out.
fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "lastTransitionTime": {
                    "description": "When the component last looked at its configuration.",
                    "type": "string",
                    "format": "date-time",
                },
                "message": {
                    "description": "What is wrong. Empty if nothing is.",
                    "type": "string",
                    "maxLength": 32768,
                },
                "observedGeneration": {
                    "description": "The `metadata.generation` that the condition is about.",
                    "type": "integer",
                    "format": "int64",
                    "minimum": 0,
                },
                "reason": {
                    "description": "`Reconciled`, `ConfigurationError` or `UnknownError`.",
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 1024,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                },
                "status": {
                    "description": "`True` if the configuration is in use, `False` if not.",
                    "type": "string",
                    "enum": ["True", "False", "Unknown"],
                },
                "type": {
                    "description": "Which part of the component reports.",
                    "type": "string",
                    "maxLength": 316,
                    "pattern": CONDITION_TYPE,
                },
            },
        },
    })
}

/// A CamelCase word, after an optional DNS name and a slash.
const CONDITION_TYPE: &str = "^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?\
    (([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$";
