//! The CustomResourceDefinitions of all our kinds, as files.
//!
//! The derived ones are close to what MetalLB's users have installed; what is done to them here
//! makes them equal in everything that the API server acts on, so that either can replace the other
//! under stored objects.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceConversion, CustomResourceDefinition, ServiceReference, WebhookClientConfig,
    WebhookConversion,
};
use kube::CustomResourceExt;
use kube::core::crd::{MergeError, merge_crds};
use serde_json::{Map, Value, json};

use super::bgp_peer_v1beta1::BGPPeerV1Beta1;
use super::{
    BFDProfile, BGPAdvertisement, BGPPeer, Community, ConfigurationState, IPAddressPool,
    L2Advertisement, ServiceBGPStatus, ServiceL2Status,
};

/// The first line of every file.
const HEADER: &str =
    "# Made from crates/ferrolb/src/api by `cargo xtask codegen`: change it there.\n---\n";

/// A CustomResourceDefinition as it is in `deploy/crds/`.
pub struct CrdFile {
    /// The name of the file, such as `metallb.io_bgppeers.yaml`.
    pub name: String,
    /// The object itself.
    pub definition: Value,
}

impl CrdFile {
    /// What is in the file.
    ///
    /// # Errors
    ///
    /// A value that YAML cannot say.
    pub fn yaml(&self) -> Result<String, serde_saphyr::ser::Error> {
        serde_saphyr::to_string(&self.definition).map(|yaml| format!("{HEADER}{yaml}"))
    }
}

/// The CustomResourceDefinitions of all kinds, by file name.
///
/// # Errors
///
/// The versions of BGPPeer do not belong together, or a definition is no JSON: a defect of ours.
pub fn crds() -> anyhow::Result<Vec<CrdFile>> {
    [
        BFDProfile::crd(),
        BGPAdvertisement::crd(),
        bgp_peers()?,
        Community::crd(),
        ConfigurationState::crd(),
        IPAddressPool::crd(),
        L2Advertisement::crd(),
        ServiceBGPStatus::crd(),
        ServiceL2Status::crd(),
    ]
    .into_iter()
    .map(file)
    .collect()
}

fn bgp_peers() -> Result<CustomResourceDefinition, MergeError> {
    let mut crd = merge_crds(vec![BGPPeerV1Beta1::crd(), BGPPeer::crd()], "v1beta2")?;
    crd.spec.versions.sort_by(|a, b| a.name.cmp(&b.name));
    crd.spec.conversion = Some(CustomResourceConversion {
        strategy: "Webhook".to_owned(),
        webhook: Some(WebhookConversion {
            client_config: Some(WebhookClientConfig {
                service: Some(ServiceReference {
                    name: "metallb-webhook-service".to_owned(),
                    namespace: "metallb-system".to_owned(),
                    path: Some("/convert".to_owned()),
                    port: None,
                }),
                ..WebhookClientConfig::default()
            }),
            conversion_review_versions: vec!["v1beta1".to_owned(), "v1beta2".to_owned()],
        }),
    });
    Ok(crd)
}

fn file(mut crd: CustomResourceDefinition) -> anyhow::Result<CrdFile> {
    crd.spec.names.list_kind = Some(format!("{}List", crd.spec.names.kind));
    let name = format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural);
    let mut definition = serde_json::to_value(crd)?;
    if let Some(Value::Array(versions)) = definition.pointer_mut("/spec/versions") {
        for version in versions {
            if let Some(root) = version.pointer_mut("/schema/openAPIV3Schema") {
                root_of_object(root);
                settle(root);
            }
        }
    }
    // The order must not depend on which features of serde_json a build has.
    definition.sort_all_objects();
    Ok(CrdFile { name, definition })
}

/// Makes the top of a schema what an object is for its reader.
fn root_of_object(root: &mut Value) {
    // A pool without `spec` is nothing; an advertisement without one announces everything.
    let is_pool = root.pointer("/properties/spec/properties/addresses").is_some();
    let spec = root.pointer_mut("/properties/spec").and_then(Value::as_object_mut);
    let about = spec.and_then(|spec| {
        // The default is that of the Rust object; the API server adds no `spec` on its own.
        spec.remove("default");
        spec.remove("description")
    });
    let Value::Object(root) = root else { return };
    // What the kind is for belongs to the kind: the derive has it at `spec`.
    if let Some(about) = about {
        root.insert("description".to_owned(), about);
    }
    root.remove("title");
    if is_pool {
        root.insert("required".to_owned(), json!(["spec"]));
    } else {
        root.remove("required");
    }
}

/// Makes a schema, and all in it, what the API server has known so far.
fn settle(schema: &mut Value) {
    let schema = match schema {
        Value::Object(schema) => schema,
        Value::Array(parts) => return parts.iter_mut().for_each(settle),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return,
    };
    // Without it, the API server drops a `null`, which then means the same as no value.
    schema.remove("nullable");
    settle_format(schema);
    for bound in ["minimum", "maximum"] {
        settle_bound(schema, bound);
    }
    if is_label_selector(schema) {
        label_selector(schema);
    }
    schema.values_mut().for_each(settle);
}

/// OpenAPI has two sizes of integers.
fn settle_format(schema: &mut Map<String, Value>) {
    match schema.get("format").and_then(Value::as_str) {
        Some("uint8" | "uint16") => {
            schema.remove("format");
        }
        Some("uint32") => {
            schema.insert("format".to_owned(), json!("int32"));
        }
        Some(_) | None => (),
    }
}

/// `k8s-openapi` has bounds as floating point numbers; those of integers look odd so.
fn settle_bound(schema: &mut Map<String, Value>, bound: &str) {
    let Some(Value::Number(number)) = schema.get_mut(bound) else { return };
    let text = number.to_string();
    if let Some(whole) = text.strip_suffix(".0").and_then(|whole| whole.parse::<i64>().ok()) {
        *number = whole.into();
    }
}

/// Whether it is that of `k8s-openapi`; the legacy one of `v1beta1` requires `values` too.
fn is_label_selector(schema: &Map<String, Value>) -> bool {
    schema
        .get("properties")
        .and_then(|properties| properties.pointer("/matchExpressions/items/required"))
        .is_some_and(|required| *required == json!(["key", "operator"]))
}

/// Says that `matchExpressions` and `matchLabels` are one value, which two writers never share.
///
/// `k8s-openapi` leaves that out. The words of the field stay, those of the type are ours.
fn label_selector(schema: &mut Map<String, Value>) {
    let of_the_type =
        |text: &Value| text.as_str().is_some_and(|t| t.starts_with("A label selector"));
    let description = match schema.remove("description") {
        Some(text) if !of_the_type(&text) => text,
        Some(_) | None => json!("Selects by labels; all must match. `{}` matches everything."),
    };
    let selector = json!({
        "type": "object",
        "description": description,
        "x-kubernetes-map-type": "atomic",
        "properties": {
            "matchLabels": {
                "type": "object",
                "description": "Labels with the values that they must have.",
                "additionalProperties": {"type": "string"},
            },
            "matchExpressions": {
                "type": "array",
                "description": "Requirements on labels; all must be met.",
                "x-kubernetes-list-type": "atomic",
                "items": {
                    "type": "object",
                    "description": "A requirement on one label.",
                    "required": ["key", "operator"],
                    "properties": {
                        "key": {"type": "string", "description": "The name of the label."},
                        "operator": {
                            "type": "string",
                            "description": "`In`, `NotIn`, `Exists` or `DoesNotExist`.",
                        },
                        "values": {
                            "type": "array",
                            "description": "At least one for `In` and `NotIn`, else none.",
                            "items": {"type": "string"},
                            "x-kubernetes-list-type": "atomic",
                        },
                    },
                },
            },
        },
    });
    if let Value::Object(selector) = selector {
        *schema = selector;
    }
}
