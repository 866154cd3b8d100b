//! Telling the API server which authority to believe: the `caBundle` of webhooks and of a CRD.

use anyhow::{Context as _, bail};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::FIELD_MANAGER;

/// The configuration of MetalLB's webhooks.
pub(super) const CONFIGURATION: &str = "metallb-webhook-configuration";

/// The CRD whose objects are converted.
pub(super) const CRD: &str = "bgppeers.metallb.io";

/// Writes the authority wherever another one is written. What is not installed needs none.
pub(super) async fn tell(client: &Client, ca: &[u8]) -> anyhow::Result<()> {
    let (one, other) = tokio::join!(tell_webhooks(client, ca), tell_crd(client, ca));
    match (one, other) {
        (Ok(()), Ok(())) => Ok(()),
        (Err(one), Err(other)) => bail!("{one:#}; {other:#}"),
        (Err(error), Ok(())) | (Ok(()), Err(error)) => Err(error),
    }
}

async fn tell_webhooks(client: &Client, ca: &[u8]) -> anyhow::Result<()> {
    let api = Api::<ValidatingWebhookConfiguration>::all(client.clone());
    let about =
        || format!("telling ValidatingWebhookConfiguration `{CONFIGURATION}` its authority");
    let Some(configuration) = api.get_opt(CONFIGURATION).await.with_context(about)? else {
        return Ok(());
    };
    let webhooks = configuration.webhooks.iter().flatten().enumerate();
    let paths = webhooks
        .filter(|(_, webhook)| !is_told(webhook.client_config.ca_bundle.as_ref(), ca))
        .map(|(index, _)| format!("/webhooks/{index}/clientConfig/caBundle"));
    let version = configuration.metadata.resource_version.as_ref();
    patch(&api, CONFIGURATION, edits(version, paths, ca)).await.with_context(about)
}

async fn tell_crd(client: &Client, ca: &[u8]) -> anyhow::Result<()> {
    let api = Api::<CustomResourceDefinition>::all(client.clone());
    let about = || format!("telling CustomResourceDefinition `{CRD}` its authority");
    let Some(definition) = api.get_opt(CRD).await.with_context(about)? else { return Ok(()) };
    let conversion = definition.spec.conversion.and_then(|conversion| conversion.webhook);
    let config = conversion.and_then(|webhook| webhook.client_config);
    let path = config
        .filter(|config| !is_told(config.ca_bundle.as_ref(), ca))
        .map(|_| "/spec/conversion/webhook/clientConfig/caBundle".to_owned());
    let version = definition.metadata.resource_version.as_ref();
    patch(&api, CRD, edits(version, path.into_iter(), ca)).await.with_context(about)
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

async fn patch<K>(api: &Api<K>, name: &str, edits: Vec<Value>) -> anyhow::Result<()>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    if edits.is_empty() {
        return Ok(());
    }
    let edits = serde_json::from_value(Value::Array(edits)).context("writing a JSON patch")?;
    let params =
        PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    api.patch(name, &params, &Patch::Json::<()>(edits)).await?;
    tracing::info!(object = name, "authority of the webhooks written");
    Ok(())
}
