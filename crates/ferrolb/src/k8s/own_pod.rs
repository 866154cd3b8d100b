//! The Pod that this process runs in: what is written about it goes with it.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Api, Client};
use tokio::time;

use super::client::WRITE_TIMEOUT;
use super::retry::{Backoff, chance};
use crate::net::clock::Clock;
use crate::told::Told;

/// The Pod `name`, as owner of what is written. Asked for until there is an answer.
pub async fn own_pod(client: &Client, namespace: &str, name: &str) -> OwnerReference {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let clock = Clock::start();
    let (mut backoff, mut told) = (Backoff::default(), Told::default());
    loop {
        let answer = time::timeout(WRITE_TIMEOUT, pods.get_metadata(name)).await;
        let cause = match answer {
            Ok(Ok(pod)) => {
                return OwnerReference {
                    api_version: String::from("v1"),
                    kind: String::from("Pod"),
                    name: name.to_owned(),
                    uid: pod.metadata.uid.unwrap_or_default(),
                    ..OwnerReference::default()
                };
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => String::from("no answer in time"),
        };
        for cause in told.news([cause]) {
            tracing::warn!(
                "asking for the Pod {namespace}/{name} of `--pod-name`: {cause}; trying again, and \
                 no status is written until then"
            );
        }
        backoff.failed(&(), clock.now(), chance());
        let pause = clock.until(backoff.deadline(clock.now())).unwrap_or(Duration::ZERO);
        time::sleep(pause).await;
    }
}
