//! etcd, the API server, the controller manager and the scheduler, on a host of their own.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::place::{self, Host, PORT, SERVICE_CIDRS};
use super::process::{self, inside};

/// How long the API server may take to be ready. It takes about five seconds.
const READY: Duration = Duration::from_secs(90);

/// Starts the control plane with the programs of this directory.
///
/// # Errors
///
/// When one cannot be started or the API server does not become ready.
pub(super) fn start(programs: &Path) -> Result<()> {
    start_etcd(programs)?;
    start_api_server(programs)?;
    let what = format!("the API server is ready; see `{}`", place::log().display());
    process::wait(&what, READY, || {
        process::quietly(kubectl(programs).args(["get", "--raw", "/readyz"])).is_ok()
    })?;
    start_controller_manager(programs)?;
    start_scheduler(programs)
}

/// `kubectl` with all rights.
pub(super) fn kubectl(programs: &Path) -> Command {
    let mut kubectl = inside(Host::ControlPlane, programs.join("kubectl"));
    kubectl.arg("--kubeconfig").arg(place::admin_kubeconfig());
    // Its cache would otherwise be in the user's home.
    kubectl.arg("--cache-dir").arg(place::directory().join("kubectl"));
    kubectl
}

fn start_etcd(programs: &Path) -> Result<()> {
    let mut etcd = inside(Host::ControlPlane, programs.join("etcd"));
    etcd.arg("--data-dir").arg(place::directory().join("etcd"));
    etcd.args(["--listen-client-urls", "http://127.0.0.1:2379"]);
    etcd.args(["--advertise-client-urls", "http://127.0.0.1:2379"]);
    etcd.args(["--listen-peer-urls", "http://127.0.0.1:2380"]);
    etcd.args(["--unsafe-no-fsync", "--log-level", "warn"]);
    process::start("etcd", &mut etcd)
}

fn start_api_server(programs: &Path) -> Result<()> {
    let mut server = inside(Host::ControlPlane, programs.join("kube-apiserver"));
    for (flag, file) in [
        ("client-ca-file", "ca.crt"),
        ("tls-cert-file", "kube-apiserver.crt"),
        ("tls-private-key-file", "kube-apiserver.key"),
        ("service-account-key-file", "service-accounts.pub"),
        ("service-account-signing-key-file", "service-accounts.key"),
        ("kubelet-client-certificate", "admin.crt"),
        ("kubelet-client-key", "admin.key"),
    ] {
        server.arg(format!("--{flag}={}", place::pki().join(file).display()));
    }
    server.args([
        "--etcd-servers=http://127.0.0.1:2379",
        "--bind-address=::",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        "--allow-privileged=true",
        // Webhooks are called at their Pods: there is no kube-proxy on this host.
        "--enable-aggregator-routing=true",
        // For `kubectl logs` and `exec`: nobody knows the nodes' names.
        "--kubelet-preferred-address-types=InternalIP",
    ]);
    server.arg(format!("--secure-port={PORT}"));
    server.arg(format!("--advertise-address={}", Host::ControlPlane.ipv4()));
    server.arg(format!("--service-cluster-ip-range={SERVICE_CIDRS}"));
    process::start("kube-apiserver", &mut server)
}

fn start_controller_manager(programs: &Path) -> Result<()> {
    let mut manager = inside(Host::ControlPlane, programs.join("kube-controller-manager"));
    let kubeconfig = place::pki().join("controller-manager.kubeconfig");
    manager.arg(format!("--kubeconfig={}", kubeconfig.display()));
    for (flag, file) in
        [("service-account-private-key-file", "service-accounts.key"), ("root-ca-file", "ca.crt")]
    {
        manager.arg(format!("--{flag}={}", place::pki().join(file).display()));
    }
    let plugins = place::directory().join("volume-plugins");
    manager.arg(format!("--flex-volume-plugin-dir={}", plugins.display()));
    manager.arg(format!("--service-cluster-ip-range={SERVICE_CIDRS}"));
    manager.args([
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        "--allocate-node-cidrs=false",
        "--bind-address=127.0.0.1",
        // A dead node is seen in seconds.
        "--node-monitor-period=1s",
        "--node-monitor-grace-period=12s",
    ]);
    process::start("kube-controller-manager", &mut manager)
}

fn start_scheduler(programs: &Path) -> Result<()> {
    let mut scheduler = inside(Host::ControlPlane, programs.join("kube-scheduler"));
    let kubeconfig = place::pki().join("scheduler.kubeconfig");
    scheduler.arg(format!("--kubeconfig={}", kubeconfig.display()));
    scheduler.args(["--leader-elect=false", "--bind-address=127.0.0.1"]);
    process::start("kube-scheduler", &mut scheduler).context("starting the control plane")
}
