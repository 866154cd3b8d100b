//! HTTP servers of a process: health for the kubelet, metrics for those who may read them.
//!
//! ```text
//! :17472  /healthz  /readyz         plain; a speaker only at 127.0.0.1
//! :9120   /metrics                  TLS, bearer token, asked of the API server
//! :9443   webhooks, see crate::k8s::webhook
//! ```
//!
//! A port that is taken, as by a MetalLB that still runs here, is tried until it is free.

mod access;
pub mod certificate;
mod listen;
#[cfg(test)]
pub(crate) mod tests;
pub mod tls;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::metrics;

use access::Access;
use certificate::Certificate;
pub use listen::Reach;
pub(crate) use listen::{Server, serve};

/// The media type of the text format of Prometheus.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a process serves.
pub struct Servers {
    /// Who can reach `/healthz` and `/readyz`.
    pub health_reach: Reach,
    /// TCP port of these; 0 for none.
    pub health_port: u16,
    /// Whether `/readyz` says yes. `/healthz` does as soon as it answers.
    pub is_ready: watch::Receiver<bool>,
    /// TCP port of `/metrics`; 0 for none.
    pub metrics_port: u16,
    /// One more TCP port of the same; 0 for none.
    pub more_metrics_port: u16,
    /// What `/metrics` shows.
    pub metrics: metrics::Process,
    /// How `/metrics` speaks TLS.
    pub tls: tls::Settings,
    /// Where its certificate is; without it, it makes one.
    pub metrics_cert_dir: Option<PathBuf>,
    /// Asks who may read `/metrics`.
    pub client: Client,
}

/// Serves health and metrics until what is returned is dropped. To be called on a tokio runtime.
///
/// # Errors
///
/// The flags leave no TLS to speak.
pub fn start(servers: Servers) -> Result<JoinSet<()>, rustls::Error> {
    let mut tasks = JoinSet::new();
    if servers.health_port != 0 {
        tasks.spawn(serve(Server {
            what: "health",
            reach: servers.health_reach,
            port: servers.health_port,
            tls: None,
            router: health(servers.is_ready),
        }));
    }
    if servers.metrics_port != 0 {
        for warning in &servers.tls.warnings {
            tracing::warn!("{warning}");
        }
        let certificate = Arc::new(Certificate::default());
        let tls = servers.tls.server(Arc::clone(&certificate) as _, &["http/1.1"])?;
        let provider = servers.tls.provider().clone();
        match servers.metrics_cert_dir {
            Some(dir) => tasks.spawn(certificate::follow_files(dir, certificate, provider)),
            None => tasks.spawn(certificate::follow_own_making(certificate, provider)),
        };
        let access = Arc::new(Access::new(servers.client));
        let router = Router::new()
            .route("/metrics", get(show_metrics))
            .with_state((servers.metrics, access));
        let ports = [servers.metrics_port, servers.more_metrics_port];
        for port in ports.into_iter().filter(|port| *port != 0) {
            tasks.spawn(serve(Server {
                what: "metrics",
                reach: Reach::Everywhere,
                port,
                tls: Some(tls.clone()),
                router: router.clone(),
            }));
        }
    }
    Ok(tasks)
}

fn health(is_ready: watch::Receiver<bool>) -> Router {
    let readyz = get(async |State(is_ready): State<watch::Receiver<bool>>| {
        if *is_ready.borrow() {
            (StatusCode::OK, "ok")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "not everything has been seen once yet")
        }
    });
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/readyz", readyz)
        .with_state(is_ready)
}

async fn show_metrics(
    State((metrics, access)): State<(metrics::Process, Arc<Access>)>,
    request: Request,
) -> Response {
    let (method, path) = (request.method().as_str(), request.uri().path());
    match access.check(request.headers(), method, path).await {
        Ok(()) => ([(header::CONTENT_TYPE, TEXT_FORMAT)], metrics.render()).into_response(),
        Err(refused) => (refused.status(), format!("{refused}\n")).into_response(),
    }
}
