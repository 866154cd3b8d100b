//! What tests do with Services of a cluster with ferrolb in it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::ferrolb::Installed;

/// Where the Services of tests are.
pub const SERVICES: &str = "/api/v1/namespaces/default/services";

/// How long anything may take: a lease runs out, and the machine has much to do.
pub const LIMIT: Duration = Duration::from_secs(40);

/// What says who of the controllers decides.
const LEASE: &str =
    "/apis/coordination.k8s.io/v1/namespaces/metallb-system/leases/metallb-controller";

const LOOK: Duration = Duration::from_millis(20);

/// A Service of type LoadBalancer for the servers of [`crate::pod::Backend`].
#[must_use]
pub fn service(name: &str, policy: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "type": "LoadBalancer", "externalTrafficPolicy": policy,
            "ports": [
                {"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"},
                {"name": "echo", "port": 9000, "targetPort": 8080, "protocol": "UDP"},
            ],
        },
    })
}

/// The first address in the status of a Service.
#[must_use]
pub fn address_of(service: &Value) -> Option<IpAddr> {
    service["status"]["loadBalancer"]["ingress"][0]["ip"].as_str()?.parse().ok()
}

impl Installed {
    /// Brings a pool `lan` with the addresses of `range`, and lets them be announced. Webhooks may
    /// not be reachable yet: what they do not let in is brought again.
    ///
    /// # Errors
    ///
    /// When they are not let in for long.
    pub fn configure(&self, range: &str) -> Result<()> {
        let settings = format!(
            "
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {{name: lan, namespace: metallb-system}}
spec: {{addresses: [{range}]}}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {{name: lan, namespace: metallb-system}}
spec: {{ipAddressPools: [lan]}}
"
        );
        let mut last = None;
        let applied = || match self.cluster.plane.apply(&settings) {
            Ok(()) => true,
            Err(error) => {
                last = Some(error);
                false
            }
        };
        let done = self.until("settings are let in", applied);
        done.with_context(|| format!("{last:?}"))
    }

    /// Waits until something holds.
    ///
    /// # Errors
    ///
    /// When it does not within [`LIMIT`], with what the programs have logged.
    pub fn until(&self, what: &str, mut holds: impl FnMut() -> bool) -> Result<()> {
        let end = Instant::now() + LIMIT;
        while !holds() {
            ensure!(Instant::now() < end, "{what}: not within {LIMIT:?}\n{}", self.logs());
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Creates a Service and waits for its address.
    ///
    /// # Errors
    ///
    /// When it gets none within [`LIMIT`], with what the programs have logged.
    pub fn create(&self, name: &str, policy: &str) -> Result<IpAddr> {
        self.cluster.plane.api().create(SERVICES, &service(name, policy))?;
        self.cluster.ingress(name, LIMIT).with_context(|| self.logs())
    }

    /// The Services that have an address, by that address.
    ///
    /// # Errors
    ///
    /// When two have the same one.
    pub fn addresses(&self) -> Result<BTreeMap<IpAddr, String>> {
        let list = self.cluster.plane.get(SERVICES)?;
        let mut found = BTreeMap::new();
        for service in list["items"].as_array().context("a list has items")? {
            let Some(address) = address_of(service) else { continue };
            let name = service["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            if let Some(other) = found.insert(address, name.clone()) {
                anyhow::bail!("{address} is `{other}`'s and `{name}`'s\n{}", self.logs());
            }
        }
        Ok(found)
    }

    /// The controller that decides, by its place among them.
    #[must_use]
    pub fn leader(&self) -> Option<usize> {
        let lease = self.cluster.plane.get(LEASE).ok()?;
        let holder = lease["spec"]["holderIdentity"].as_str()?;
        self.controllers.iter().position(|pod| holder.starts_with(&pod.name))
    }
}
