//! The Pod that this process runs in: what is written about it goes with it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Api, Client};

use super::pod::Pod;
use super::retry::keep_trying;

/// The Pod `name`, as owner of what is written. Asked for until there is an answer.
pub async fn own_pod(client: &Client, namespace: &str, name: &str) -> OwnerReference {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let say = |cause: &str| {
        tracing::warn!(
            "asking for the Pod {namespace}/{name} of `--pod-name`: {cause}; trying again, and no \
             status is written until then"
        );
    };
    let pod = keep_trying(
        (pods, name),
        |(pods, name)| Box::pin(async { Ok(pods.get_metadata(name).await?) }),
        say,
    )
    .await;
    OwnerReference {
        api_version: String::from("v1"),
        kind: String::from("Pod"),
        name: name.to_owned(),
        uid: pod.metadata.uid.unwrap_or_default(),
        ..OwnerReference::default()
    }
}
