//! Telling the API server which authority to believe: the `caBundle` of webhooks and of a CRD.
//!
//! Both are there once in a cluster. What names a Service in another namespace is somebody else's,
//! who writes his own authority there: it is left alone, and who it is is told.

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingWebhook, ValidatingWebhookConfiguration,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::{FIELD_MANAGER, failed, unread};

/// The configuration of MetalLB's webhooks.
pub(super) const CONFIGURATION: &str = "metallb-webhook-configuration";

/// The CRD whose objects are converted.
pub(super) const CRD: &str = "bgppeers.metallb.io";

/// Writes the authority wherever another one is written, for Services in `namespace`. What is not
/// installed needs none. Returns the namespace that is asked instead, if there is one.
pub(super) async fn tell(
    client: &Client,
    namespace: &str,
    ca: &[u8],
) -> anyhow::Result<Option<String>> {
    let (one, other) =
        tokio::join!(tell_webhooks(client, namespace, ca), tell_crd(client, namespace, ca));
    Ok(one?.or(other?))
}

async fn tell_webhooks(
    client: &Client,
    namespace: &str,
    ca: &[u8],
) -> anyhow::Result<Option<String>> {
    let api = Api::<ValidatingWebhookConfiguration>::all(client.clone());
    let read = api.get_opt(CONFIGURATION).await;
    let read =
        read.map_err(|error| unread(&error, "ValidatingWebhookConfiguration", CONFIGURATION));
    let Some(configuration) = read? else { return Ok(None) };
    let (paths, elsewhere) = places(configuration.webhooks.as_deref(), namespace, ca);
    let version = configuration.metadata.resource_version.as_ref();
    let patched = patch(&api, CONFIGURATION, edits(version, paths.into_iter(), ca)).await;
    patched.map_err(|error| failed(&error, "ValidatingWebhookConfiguration", CONFIGURATION))?;
    Ok(elsewhere)
}

/// Where the authority is missing, and who is asked instead of a Service in `namespace`.
fn places(
    webhooks: Option<&[ValidatingWebhook]>,
    namespace: &str,
    ca: &[u8],
) -> (Vec<String>, Option<String>) {
    let (mut paths, mut elsewhere) = (Vec::new(), None);
    for (index, webhook) in webhooks.into_iter().flatten().enumerate() {
        let config = &webhook.client_config;
        match config.service.as_ref().filter(|service| service.namespace != namespace) {
            Some(service) => elsewhere = Some(service.namespace.clone()),
            None if is_told(config.ca_bundle.as_ref(), ca) => (),
            None => paths.push(format!("/webhooks/{index}/clientConfig/caBundle")),
        }
    }
    (paths, elsewhere)
}

async fn tell_crd(client: &Client, namespace: &str, ca: &[u8]) -> anyhow::Result<Option<String>> {
    let api = Api::<CustomResourceDefinition>::all(client.clone());
    let read = api.get_opt(CRD).await;
    let read = read.map_err(|error| unread(&error, "CustomResourceDefinition", CRD));
    let Some(definition) = read? else { return Ok(None) };
    let conversion = definition.spec.conversion.and_then(|conversion| conversion.webhook);
    let config = conversion.and_then(|webhook| webhook.client_config);
    let service = config.as_ref().and_then(|config| config.service.as_ref());
    if let Some(service) = service.filter(|service| service.namespace != namespace) {
        return Ok(Some(service.namespace.clone()));
    }
    let path = config
        .filter(|config| !is_told(config.ca_bundle.as_ref(), ca))
        .map(|_| "/spec/conversion/webhook/clientConfig/caBundle".to_owned());
    let version = definition.metadata.resource_version.as_ref();
    let patched = patch(&api, CRD, edits(version, path.into_iter(), ca)).await;
    patched.map_err(|error| failed(&error, "CustomResourceDefinition", CRD))?;
    Ok(None)
}

fn is_told(bundle: Option<&ByteString>, ca: &[u8]) -> bool {
    bundle.is_some_and(|bundle| bundle.0 == ca)
}

/// The edits of one version of an object, as their places are counted in it.
fn edits(version: Option<&String>, paths: impl Iterator<Item = String>, ca: &[u8]) -> Vec<Value> {
    let bundle = json!(ByteString(ca.to_vec()));
    let mut edits: Vec<_> =
        paths.map(|path| json!({"op": "add", "path": path, "value": bundle})).collect();
    if !edits.is_empty() {
        edits.insert(
            0,
            json!({"op": "test", "path": "/metadata/resourceVersion", "value": version}),
        );
    }
    edits
}

async fn patch<K>(api: &Api<K>, name: &str, edits: Vec<Value>) -> kube::Result<()>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    if edits.is_empty() {
        return Ok(());
    }
    let edits = serde_json::from_value(Value::Array(edits)).map_err(kube::Error::SerdeError)?;
    let params =
        PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    api.patch(name, &params, &Patch::Json::<()>(edits)).await?;
    tracing::info!(object = name, "authority of the webhooks written");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_asks_another_namespace_is_left_alone() {
        let webhook = |service: Value, bundle: &str| -> ValidatingWebhook {
            let bundle = ByteString(bundle.as_bytes().to_vec());
            serde_json::from_value(json!({
                "name": "a", "admissionReviewVersions": ["v1"], "sideEffects": "None",
                "clientConfig": {"service": service, "caBundle": bundle},
            }))
            .unwrap()
        };
        let at =
            |namespace: &str| json!({"name": "metallb-webhook-service", "namespace": namespace});
        let rows = [
            ("as it should be", vec![webhook(at("ours"), "ca")], vec![], None),
            (
                "one of two is not told",
                vec![webhook(at("ours"), "ca"), webhook(at("ours"), "old")],
                vec!["/webhooks/1/clientConfig/caBundle"],
                None,
            ),
            (
                "a URL",
                vec![webhook(Value::Null, "")],
                vec!["/webhooks/0/clientConfig/caBundle"],
                None,
            ),
            (
                "others' and ours",
                vec![webhook(at("theirs"), "their ca"), webhook(at("ours"), "")],
                vec!["/webhooks/1/clientConfig/caBundle"],
                Some("theirs"),
            ),
        ];
        for (name, webhooks, paths, elsewhere) in rows {
            let got = places(Some(&webhooks), "ours", b"ca");
            let paths = paths.into_iter().map(str::to_owned).collect();
            assert_eq!(got, (paths, elsewhere.map(str::to_owned)), "{name}");
        }
    }
}
