//! How the API server is reached.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use axum::http::header::{HeaderValue, USER_AGENT};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// How long a connection to the API server may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the answer to a write may take. Whether it was carried out is unknown then.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// A client for the cluster, and the namespace that it is in.
///
/// Within a Pod that is the Pod's service account; else `KUBECONFIG`, or `~/.kube/config`.
/// `kubeconfig` comes before all of them. Nothing is sent yet.
///
/// # Errors
///
/// When no cluster is named anywhere, or what names it cannot be read.
pub async fn connect(kubeconfig: Option<&Path>) -> anyhow::Result<(Client, String)> {
    let mut config = match kubeconfig {
        None => Config::infer().await.context(
            "finding the cluster: run this in a Pod with a service account, or set KUBECONFIG",
        )?,
        Some(path) => {
            let file = Kubeconfig::read_from(path)
                .with_context(|| format!("reading the kubeconfig {}", path.display()))?;
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                .await
                .with_context(|| format!("using the kubeconfig {}", path.display()))?
        }
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    // A write that the client repeated by itself would leave without a look at the lease.
    config.default_retry = false;
    let name = concat!("ferrolb/", env!("CARGO_PKG_VERSION"));
    config.headers.push((USER_AGENT, HeaderValue::from_static(name)));
    let namespace = config.default_namespace.clone();
    let client = Client::try_from(config).context("making a client for the API server")?;
    Ok((client, namespace))
}
