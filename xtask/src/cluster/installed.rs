//! ferrolb in a cluster, as its users install it, and a Service to look at.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lab::{Mac, Probe, http};

use super::place::{self, Host};
use super::process;
use super::session::Session;
use crate::workspace::root;

/// The namespace that ferrolb is in.
pub(crate) const NAMESPACE: &str = "metallb-system";

/// Where Services get their addresses.
const SETTINGS: &str = "
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: lan, namespace: metallb-system}
spec: {addresses: [10.95.0.200-10.95.0.219]}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: lan, namespace: metallb-system}
";

/// How long Pods may take to be ready, images being there.
pub(crate) const READY: Duration = Duration::from_secs(120);

/// How long the controller may take to have its webhooks answer, or to give an address.
const SOON: Duration = Duration::from_secs(30);

/// How long one request of a client may take.
const REQUEST: Duration = Duration::from_secs(2);

/// Ports of the Service.
const HTTP: u16 = 80;
const ECHO: u16 = 7;

/// Does what a user does first: `kubectl apply -k deploy/base`.
///
/// # Errors
///
/// When the API server refuses something.
pub(crate) fn apply_base(session: &Session) -> Result<()> {
    session.kubectl(&["apply", "--kustomize", &base()]).map(drop)
}

/// Takes back what [`apply_base`] did, and waits until it is gone.
///
/// # Errors
///
/// When something stays.
pub(crate) fn delete_base(session: &Session) -> Result<()> {
    let limit = format!("--timeout={}s", READY.as_secs());
    session.kubectl(&["delete", "--kustomize", &base(), "--wait", &limit]).map(drop)
}

/// Waits until the Deployment and the DaemonSet are ready.
///
/// # Errors
///
/// When they are not in time.
pub(crate) fn wait_ready(session: &Session) -> Result<()> {
    ["deployment/controller", "daemonset/speaker"]
        .into_iter()
        .try_for_each(|object| session.wait_rolled_out(object, NAMESPACE, READY))
}

/// Gives ferrolb addresses to give.
///
/// # Errors
///
/// When the settings are refused.
pub(crate) fn apply_settings(session: &Session) -> Result<()> {
    // Ready Pods are called only once the API server has seen their endpoints.
    let mut last = Ok(());
    let waited = process::wait("the settings are taken", SOON, || {
        last = session.apply(SETTINGS);
        last.is_ok()
    });
    last?;
    waited.map(drop)
}

/// Makes the Service, with a Pod on every node, and returns its address.
///
/// # Errors
///
/// When there is none in time.
pub(crate) fn expose(session: &Session) -> Result<IpAddr> {
    let manifest = place::sources().join("web.yaml");
    let yaml = fs::read_to_string(&manifest);
    session.apply(&yaml.with_context(|| format!("reading `{}`", manifest.display()))?)?;
    session.wait_rolled_out("deployment/web", "default", READY)?;
    process::wait("the Service has an address", SOON, || address(session).is_ok())?;
    address(session)
}

/// Removes the Service and its Pods.
///
/// # Errors
///
/// When they stay.
pub(crate) fn hide(session: &Session) -> Result<()> {
    let manifest = place::sources().join("web.yaml");
    session.kubectl(&["delete", "--filename", &manifest.to_string_lossy(), "--wait"]).map(drop)
}

/// The Service's address.
///
/// # Errors
///
/// When it has none.
pub(crate) fn address(session: &Session) -> Result<IpAddr> {
    let path = "jsonpath={.status.loadBalancer.ingress[0].ip}";
    let said = session.kubectl(&["get", "service", "web", "--output", path])?;
    said.parse().with_context(|| format!("the Service has `{said}` for an address"))
}

/// One request of the client: what the Pod says.
///
/// # Errors
///
/// When there is no answer.
pub(crate) fn fetch(session: &Session, address: IpAddr) -> Result<String> {
    let response = http::get(&session.client, SocketAddr::new(address, HTTP), "/", REQUEST)?;
    ensure!(response.status == 200, "the Service answered {}", response.status);
    Ok(response.body.trim_end().to_owned())
}

/// Asks until there is an answer.
///
/// # Errors
///
/// When there is none in time.
pub(crate) fn wait_fetched(session: &Session, address: IpAddr) -> Result<String> {
    let what = format!("a client is answered at {address}");
    process::wait(&what, SOON, || fetch(session, address).is_ok())?;
    fetch(session, address)
}

/// Packets of the client, one a millisecond, that the Pods send back.
///
/// # Errors
///
/// When none is answered in time.
pub(crate) fn probe(session: &Session, address: IpAddr) -> Result<Probe> {
    let probe = Probe::start(&session.client, SocketAddr::new(address, ECHO))?;
    probe.wait_answered(SOON)?;
    Ok(probe)
}

/// The node that the client sends to, when it sends to this address.
///
/// # Errors
///
/// When it sends to none of the cluster.
pub(crate) fn holder(session: &Session, address: IpAddr) -> Result<u8> {
    let (mac, _) = session
        .client
        .neighbour(address)?
        .with_context(|| format!("nobody has answered the client's ARP for {address}"))?;
    let is_its = |node: &u8| Mac::of(Host::Node(*node).ipv4()) == mac;
    place::nodes()?
        .into_iter()
        .find(is_its)
        .with_context(|| format!("the client sends to {mac}, which is no node"))
}

fn base() -> String {
    root().join("deploy/base").display().to_string()
}
