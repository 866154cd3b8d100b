//! `ferrolb speaker`: MetalLB's flags and variables under their names.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::ArgAction;

use super::tls::Tls;
use crate::speaker::Check;

/// `ferrolb speaker`.
#[derive(Debug, clap::Args)]
#[command(args_override_self = true)]
pub struct Speaker {
    /// How to reach the API server; by default as the Pod that this runs in, or as `kubectl` does.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Namespace of the settings; by default the one that this runs in.
    #[arg(long, value_name = "NAME", env = "METALLB_NAMESPACE")]
    pub namespace: Option<String>,
    /// Which Node this host is.
    #[arg(long, value_name = "NAME", env = "METALLB_NODE_NAME")]
    pub node_name: String,
    /// Name of the Pod that this runs in; owner of what is written about this node.
    #[arg(long, value_name = "NAME", env = "METALLB_POD_NAME")]
    pub pod_name: String,
    /// Only Services of this `spec.loadBalancerClass`; by default those without one.
    #[arg(long, value_name = "CLASS", default_value = "")]
    pub lb_class: String,
    /// TCP port of the metrics, over TLS; 0 for none.
    #[arg(long, value_name = "PORT", default_value_t = 9120)]
    pub port: u16,
    /// TCP port of `/healthz` and `/readyz`, on the loopback address.
    #[arg(long, value_name = "PORT", default_value_t = 17472)]
    pub health_probe_port: u16,
    /// Address at which speakers hear each other; without it every Node counts as having one.
    #[arg(long, value_name = "ADDRESS", default_value = "", env = "METALLB_ML_BIND_ADDR")]
    pub ml_bindaddr: String,
    /// UDP port on which speakers hear each other; the same on all nodes.
    #[arg(long, value_name = "PORT", default_value_t = 7946, env = "METALLB_ML_BIND_PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub ml_bindport: u16,
    /// Labels of the Pods that are speakers; without them every Node counts as having one.
    #[arg(long, value_name = "SELECTOR", default_value = "", env = "METALLB_ML_LABELS")]
    pub ml_labels: String,
    /// Directory of the file `secretkey` with the secret that speakers know each other by; one in
    /// `secretkey-previous` is accepted too. Both are read again when they change.
    #[arg(long, value_name = "DIR", env = "METALLB_ML_SECRET_KEY_PATH")]
    pub ml_secret_key_path: Option<PathBuf>,
    /// That secret itself, if there is no such directory. Better not on the command line, where all
    /// can see it.
    #[arg(
        long,
        value_name = "SECRET",
        env = "METALLB_ML_SECRET_KEY",
        hide = true,
        hide_env_values = true
    )]
    pub ml_secret_key: Option<String>,
    /// Nodes with the label `node.kubernetes.io/exclude-from-external-load-balancers` announce too.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
    pub ignore_exclude_lb: bool,
    /// How to find out whether this node forwards what comes for addresses of Services. One that
    /// does not leaves them to other nodes.
    #[arg(long, value_enum, default_value_t = Check::Auto, env = "FERROLB_DATA_PLANE_CHECK")]
    pub data_plane_check: Check,
    /// Where the kube-proxy of this node tells at `/healthz` how it is.
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:10256",
        env = "FERROLB_KUBE_PROXY_HEALTHZ"
    )]
    pub kube_proxy_healthz: SocketAddr,
    /// TLS of the metrics.
    #[command(flatten)]
    pub tls: Tls,
    /// What only MetalLB needs.
    #[command(flatten)]
    pub unused: Unused,
}

/// Accepted from MetalLB's manifests, and without effect; said once at start if given.
#[derive(Debug, clap::Args)]
pub struct Unused {
    /// Who speaks BGP: `native`, `frr` or `frr-k8s`. ferrolb does itself.
    #[arg(long, value_name = "TYPE", env = "METALLB_BGP_TYPE", hide = true)]
    pub bgp_type: Option<String>,
    /// Timing of gossip, of which there is none.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", hide = true)]
    pub ml_wan_config: bool,
    /// How long to wait before a changed configuration reaches FRR.
    #[arg(long, value_name = "MS", env = "METALLB_BGP_DEBOUNCE_TIMEOUT", hide = true)]
    pub bgp_debounce_timeout: Option<String>,
    /// Where frr-k8s is.
    #[arg(long, value_name = "NAME", env = "FRRK8S_NAMESPACE", hide = true)]
    pub frrk8s_namespace: Option<String>,
    /// Whether frr-k8s reads passwords itself.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", hide = true)]
    pub frrk8s_secret_passthrough: bool,
    /// The address of the node, of which MetalLB makes no use either.
    #[arg(long, value_name = "ADDRESS", env = "METALLB_HOST", hide = true)]
    pub host: Option<String>,
    /// There is no Go profiler here.
    #[arg(long, value_name = "ADDRESS", default_value = "", hide = true)]
    pub pprof_bind_address: String,
}
