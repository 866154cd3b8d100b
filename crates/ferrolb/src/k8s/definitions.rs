//! Whether the CustomResourceDefinitions of the cluster have all our fields. Those of MetalLB have
//! not: the API server drops what users write there, and nobody sees that it was there.

use anyhow::Context as _;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client, Error};
use serde_json::Value;

use super::retry::keep_trying;
use super::said::Said;
use crate::api::crds::crds;

/// How many fields a sentence names.
const NAMED: usize = 3;

/// Looks once, and says which fields are dropped.
pub async fn warn(client: Client) {
    let say = |cause: &str| tracing::debug!("{cause}; trying again");
    let found = keep_trying(client, |client| Box::pin(lacking(client)), say).await;
    for sentence in found {
        tracing::warn!("{sentence}");
    }
}

/// A sentence for each definition that lacks fields of ours. One that is not installed lacks
/// nothing, and one that we may not see is not looked at.
///
/// # Errors
///
/// The API server does not answer.
pub async fn lacking(client: &Client) -> anyhow::Result<Vec<String>> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let mut sentences = Vec::new();
    for ours in crds()? {
        let name = ours.definition["metadata"]["name"].as_str().unwrap_or_default();
        let theirs = match definitions.get_opt(name).await {
            Ok(Some(theirs)) => serde_json::to_value(theirs)?,
            Ok(None) => continue,
            Err(Error::Api(status)) if status.code == 403 => {
                tracing::debug!("{}", Said(&Error::Api(status)));
                continue;
            }
            Err(error) => return Err(error).with_context(|| format!("reading the CRD `{name}`")),
        };
        sentences.extend(sentence(name, &missing(&ours.definition, &theirs)));
    }
    Ok(sentences)
}

fn sentence(name: &str, missing: &[String]) -> Option<String> {
    let (first, others) = missing.split_at(missing.len().min(NAMED));
    let named: Vec<_> = first.iter().map(|field| format!("`{field}`")).collect();
    let more = match others.len() {
        0 => String::new(),
        count => format!(" and {count} more"),
    };
    (!missing.is_empty()).then(|| {
        format!(
            "the CRD `{name}` of the cluster lacks {}{more}: what users write there is dropped; \
             apply deploy/crds",
            named.join(", ")
        )
    })
}

/// Fields that a definition of ours has and the other has not, by the versions that both have.
fn missing(ours: &Value, theirs: &Value) -> Vec<String> {
    let mut missing = Vec::new();
    for version in versions(ours) {
        let same = |other: &&Value| other["name"] == version["name"];
        if let Some(other) = versions(theirs).find(same) {
            let schema = |version: &Value| version["schema"]["openAPIV3Schema"].clone();
            compare("", &schema(version), &schema(other), &mut missing);
        }
    }
    missing.sort();
    missing.dedup();
    missing
}

fn versions(definition: &Value) -> impl Iterator<Item = &Value> {
    definition["spec"]["versions"].as_array().into_iter().flatten()
}

fn compare(path: &str, ours: &Value, theirs: &Value, missing: &mut Vec<String>) {
    if theirs["x-kubernetes-preserve-unknown-fields"] == true {
        return;
    }
    for (name, field) in ours["properties"].as_object().into_iter().flatten() {
        // What every object has.
        if path.is_empty() && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
            continue;
        }
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match theirs["properties"].get(name) {
            Some(other) => compare(&path, field, other, missing),
            None => missing.push(path),
        }
    }
    if ours["items"].is_object() {
        compare(&format!("{path}[]"), &ours["items"], &theirs["items"], missing);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn definition(version: &str, spec: &Value) -> Value {
        let schema = json!({"openAPIV3Schema": {"properties": {"kind": {}, "spec": spec}}});
        json!({"spec": {"versions": [{"name": version, "schema": schema}]}})
    }

    #[test]
    fn a_field_that_only_ours_has_is_told_by_its_path() {
        let spec = |fields: Value| json!({"properties": fields});
        let ours = spec(json!({
            "addresses": {}, "quota": {"properties": {"perNamespace": {}}},
            "peers": {"items": {"properties": {"name": {}, "weight": {}}}},
        }));
        let rows: [(&str, Value, &[&str]); 5] = [
            ("the same", ours.clone(), &[]),
            ("nothing", spec(json!({})), &["spec.addresses", "spec.peers", "spec.quota"]),
            (
                "all but what is within",
                spec(json!({
                    "addresses": {}, "quota": {"properties": {}},
                    "peers": {"items": {"properties": {"name": {}}}},
                })),
                &["spec.peers[].weight", "spec.quota.perNamespace"],
            ),
            (
                "more",
                spec(json!({"more": {}, "addresses": {}, "peers": {}})),
                &["spec.peers[].name", "spec.peers[].weight", "spec.quota"],
            ),
            ("anything", json!({"x-kubernetes-preserve-unknown-fields": true}), &[]),
        ];
        for (row, theirs, want) in rows {
            let (ours, theirs) = (definition("v1", &ours), definition("v1", &theirs));
            assert_eq!(missing(&ours, &theirs), want, "{row}");
        }
        let other = definition("v2", &json!({}));
        assert_eq!(missing(&definition("v1", &ours), &other), [""; 0], "another version");
    }

    #[test]
    fn a_sentence_names_a_few_fields() {
        assert_eq!(sentence("a.metallb.io", &[]), None);
        let fields: Vec<_> = (0..5).map(|number| format!("spec.f{number}")).collect();
        let want = "the CRD `a.metallb.io` of the cluster lacks `spec.f0`, `spec.f1`, `spec.f2` and 2 \
                    more: what users write there is dropped; apply deploy/crds";
        assert_eq!(sentence("a.metallb.io", &fields).as_deref(), Some(want));
    }

    #[test]
    fn our_own_definitions_lack_nothing() {
        for ours in crds().unwrap() {
            assert_eq!(missing(&ours.definition, &ours.definition), [""; 0], "{}", ours.name);
        }
    }
}
