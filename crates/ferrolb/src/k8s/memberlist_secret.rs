//! The Secret that speakers know each other by, where nobody else has made one.

use std::collections::BTreeMap;

use anyhow::{Context as _, anyhow};
use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{Api, PostParams};
use kube::{Client, Error};
use rustls::crypto::ring;

use super::retry::keep_trying;

/// The entry that holds the key.
const ENTRY: &str = "secretkey";

/// Makes the Secret `name` in `namespace`, owned by the Deployment `owner`, unless it is there. What
/// keeps that from being done is said once.
pub async fn make(client: &Client, namespace: &str, name: &str, owner: &str) {
    let say = |cause: &str| tracing::error!("{cause}; trying again");
    let what = (client, namespace, name, owner);
    keep_trying(
        what,
        |(client, namespace, name, owner)| Box::pin(ensure(client, namespace, name, owner)),
        say,
    )
    .await;
}

async fn ensure(client: &Client, namespace: &str, name: &str, owner: &str) -> anyhow::Result<()> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let found = secrets.get_metadata_opt(name).await;
    if found.with_context(|| format!("reading the Secret `{name}`"))?.is_some() {
        return Ok(());
    }
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let owner = deployments.get_metadata(owner).await.with_context(|| {
        format!(
            "making the Secret `{name}`: reading the Deployment `{owner}` that is to own it; \
             `--deployment` names it"
        )
    })?;
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            owner_references: Some(vec![OwnerReference {
                api_version: "apps/v1".to_owned(),
                kind: "Deployment".to_owned(),
                name: owner.metadata.name.unwrap_or_default(),
                uid: owner.metadata.uid.unwrap_or_default(),
                ..OwnerReference::default()
            }]),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(ENTRY.to_owned(), ByteString(key()?))])),
        ..Secret::default()
    };
    match secrets.create(&PostParams::default(), &secret).await {
        // Another controller was quicker.
        Err(Error::Api(status)) if status.code == 409 => Ok(()),
        made => made.map(|_| ()).with_context(|| format!("making the Secret `{name}`")),
    }
}

/// 16 random bytes as MetalLB writes them: in base64 without padding.
fn key() -> anyhow::Result<Vec<u8>> {
    let mut bytes = [0; 16];
    let random = ring::default_provider().secure_random.fill(&mut bytes);
    random.map_err(|_| anyhow!("the system has no random numbers"))?;
    Ok(base64(&bytes))
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = |chunk: &[u8]| {
        let at = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        let digit = move |place: usize| ALPHABET[(bits >> (18 - 6 * place)) as usize & 63];
        (0..=chunk.len()).map(digit).collect::<Vec<_>>()
    };
    bytes.chunks(3).flat_map(digits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_base64_without_padding() {
        let rows = [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (bytes, want) in rows {
            assert_eq!(base64(bytes.as_bytes()), want.as_bytes(), "{bytes:?}");
        }
        assert_eq!(key().unwrap().len(), 22);
    }
}
