//! Certificates and kubeconfigs. Whoever needs one has it in a directory of its own, and the
//! kubeconfig names files beside itself: a node sees its directory at another place.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use anyhow::{Context as _, Result};
use lab::kube::pki::{Authority, make_account_key};
use serde_json::json;

use super::place::{self, Host, PORT};

/// The API server's own Service.
const KUBERNETES: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x96, 0, 0, 0, 0, 0, 1)),
];

/// The group of those who may do everything.
const MASTERS: &str = "system:masters";

/// Users of the control plane: the name of the kubeconfig, the user, the group.
const USERS: [(&str, &str, Option<&str>); 3] = [
    ("admin", "admin", Some(MASTERS)),
    ("controller-manager", "system:kube-controller-manager", None),
    ("scheduler", "system:kube-scheduler", None),
];

/// Writes all that the cluster needs.
///
/// # Errors
///
/// When a file cannot be written.
pub(super) fn write(nodes: u8) -> Result<()> {
    let directory = place::pki();
    let authority = Authority::new(&directory)?;
    let [ipv4, ipv6] = KUBERNETES;
    let host = Host::ControlPlane;
    let addresses = [host.ipv4().into(), host.ipv6().into(), ipv4, ipv6];
    let names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"];
    authority.server(&directory, &addresses, &names)?;
    make_account_key(&directory)?;
    for (name, user, group) in USERS {
        add_user(&authority, &directory, name, (user, group))?;
    }
    for node in 1..=nodes {
        let directory = place::node_directory(node).join("conf");
        fs::create_dir_all(&directory)
            .with_context(|| format!("making `{}`", directory.display()))?;
        fs::copy(place::pki().join("ca.crt"), directory.join("ca.crt"))?;
        let user = format!("system:node:{}", Host::Node(node).name());
        add_user(&authority, &directory, "kubelet", (&user, Some("system:nodes")))?;
        add_user(&authority, &directory, "kube-proxy", ("system:kube-proxy", None))?;
    }
    Ok(())
}

/// A certificate, and a kubeconfig beside it.
fn add_user(
    authority: &Authority,
    directory: &Path,
    name: &str,
    (user, group): (&str, Option<&str>),
) -> Result<()> {
    let identity = authority.client(directory, user, group)?;
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "cluster",
        "contexts": [{"name": "cluster", "context": {"cluster": "cluster", "user": user}}],
        "clusters": [{"name": "cluster", "cluster": {
            "server": format!("https://{}:{PORT}", Host::ControlPlane.ipv4()),
            "certificate-authority": "ca.crt",
        }}],
        "users": [{"name": user, "user": {
            "client-certificate": identity.certificate.file_name().map(Path::new),
            "client-key": identity.key.file_name().map(Path::new),
        }}],
    });
    let path = directory.join(format!("{name}.kubeconfig"));
    fs::write(&path, config.to_string()).with_context(|| format!("writing `{}`", path.display()))
}
