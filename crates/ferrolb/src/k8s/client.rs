//! How the API server is reached.

mod later;

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use axum::http::header::{HeaderValue, USER_AGENT};
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use tower::util::AndThenLayer;

/// How long a connection to the API server may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

const MAKING: &str = "making a client for the API server";

/// How long the answer to a write may take. Whether it was carried out is unknown then.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// A client for the cluster, and the namespace that it is in. It waits where the API server says when
/// to ask again.
///
/// Within a Pod that is the Pod's service account; else `KUBECONFIG`, or `~/.kube/config`.
/// `kubeconfig` comes before all of them. Nothing is sent yet.
///
/// # Errors
///
/// When no cluster is named anywhere, or what names it cannot be read.
pub async fn connect(kubeconfig: Option<&Path>) -> anyhow::Result<(Client, String)> {
    let config = configure(kubeconfig, None).await?;
    let namespace = config.default_namespace.clone();
    let builder = ClientBuilder::try_from(config).context(MAKING)?;
    Ok((builder.with_layer(&AndThenLayer::new(later::hold)).build(), namespace))
}

/// A client for a command that a person waits for, with a context of the kubeconfig other than its
/// current one. Whatever is the answer, it is told at once.
///
/// # Errors
///
/// As [`connect`], and when there is no such context.
pub async fn connect_to(
    kubeconfig: Option<&Path>,
    context: Option<&str>,
) -> anyhow::Result<Client> {
    let config = configure(kubeconfig, context).await?;
    Client::try_from(config).context(MAKING)
}

async fn configure(kubeconfig: Option<&Path>, context: Option<&str>) -> anyhow::Result<Config> {
    let mut config = match (kubeconfig, context) {
        (None, None) => Config::infer().await.context(
            "finding the cluster: run this in a Pod with a service account, or set KUBECONFIG",
        )?,
        (None, Some(_)) => {
            let file = Kubeconfig::read().context("reading the kubeconfig: set KUBECONFIG")?;
            chosen(file, context).await.context("using the kubeconfig")?
        }
        (Some(path), _) => {
            let file = Kubeconfig::read_from(path)
                .with_context(|| format!("reading the kubeconfig {}", path.display()))?;
            let using = || format!("using the kubeconfig {}", path.display());
            chosen(file, context).await.with_context(using)?
        }
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    // A write that the client repeated by itself would leave without a look at the lease.
    config.default_retry = false;
    let name = concat!("ferrolb/", env!("CARGO_PKG_VERSION"));
    config.headers.push((USER_AGENT, HeaderValue::from_static(name)));
    Ok(config)
}

async fn chosen(file: Kubeconfig, context: Option<&str>) -> Result<Config, KubeconfigError> {
    let context = context.map(str::to_owned);
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    Config::from_custom_kubeconfig(file, &options).await
}
