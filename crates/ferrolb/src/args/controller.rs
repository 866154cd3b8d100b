//! `ferrolb controller`: MetalLB's flags and variables under their names.

use std::path::PathBuf;

use clap::{ArgAction, ValueEnum};

use super::tls::Tls;

/// `ferrolb controller`.
#[derive(Debug, clap::Args)]
#[command(args_override_self = true)]
pub struct Controller {
    /// How to reach the API server; by default as the Pod that this runs in, or as `kubectl` does.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Namespace of the settings; by default the one that this runs in.
    #[arg(long, value_name = "NAME", env = "METALLB_NAMESPACE")]
    pub namespace: Option<String>,
    /// Name of the Pod that this runs in; owner of what is written about this process.
    #[arg(long, value_name = "NAME", env = "METALLB_POD_NAME")]
    pub pod_name: String,
    /// Only Services of this `spec.loadBalancerClass`; by default those without one.
    #[arg(long, value_name = "CLASS", default_value = "")]
    pub lb_class: String,
    /// TCP port of the metrics, over TLS; 0 for none.
    #[arg(long, value_name = "PORT", default_value_t = 9120)]
    pub port: u16,
    /// TCP port of `/healthz` and `/readyz`.
    #[arg(long, value_name = "PORT", default_value_t = 17472)]
    pub health_probe_port: u16,
    /// Secret to make for speakers to know each other by; empty for none.
    #[arg(long, value_name = "NAME", default_value = "", env = "METALLB_ML_SECRET_NAME")]
    pub ml_secret_name: String,
    /// Deployment that owns that Secret.
    #[arg(long, value_name = "NAME", default_value = "", env = "METALLB_DEPLOYMENT")]
    pub deployment: String,
    /// Whether to check settings on their way into the API server.
    #[arg(long, value_enum, default_value = "enabled")]
    pub webhook_mode: WebhookMode,
    /// Secret that holds the certificates of the webhooks.
    #[arg(long, value_name = "NAME", default_value = "metallb-webhook-cert")]
    pub webhook_secret: String,
    /// Service through which the API server reaches the webhooks.
    #[arg(long, value_name = "NAME", default_value = "metallb-webhook-service")]
    pub cert_service_name: String,
    /// Directory of `tls.crt` and `tls.key` of the webhooks, where others make them.
    #[arg(long, value_name = "DIR", default_value = "/tmp/k8s-webhook-server/serving-certs")]
    pub cert_dir: PathBuf,
    /// Leave it to others to make the certificates of the webhooks, in `--cert-dir`.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
    pub disable_cert_rotation: bool,
    /// Serve webhooks over HTTP/2 too.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
    pub webhook_http2: bool,
    /// TLS of metrics and webhooks.
    #[command(flatten)]
    pub tls: Tls,
    /// MetalLB's choice of who speaks BGP: `native`, `frr` or `frr-k8s`. ferrolb does itself.
    #[arg(long, value_name = "TYPE", env = "METALLB_BGP_TYPE", hide = true)]
    pub bgp_type: Option<String>,
    /// Accepted from MetalLB's manifests; there is no Go profiler here.
    #[arg(long, value_name = "ADDRESS", default_value = "", hide = true)]
    pub pprof_bind_address: String,
}

/// Whether the controller checks settings on their way into the API server.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum WebhookMode {
    /// It does not.
    Disabled,
    /// It does.
    Enabled,
    /// It does, and gives no addresses.
    #[value(name = "onlywebhook")]
    OnlyWebhook,
}
