//! Manifests of a test's own, made from the examples.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::cluster::examples;

/// A pool that is announced to routers alone.
const ROUTED_POOL: &str = "\
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata:
  name: routed
  namespace: ferrolb-system
spec:
  addresses:
  - 198.51.100.0/24
---
apiVersion: metallb.io/v1beta1
kind: BGPAdvertisement
metadata:
  name: routed
  namespace: ferrolb-system
spec:
  ipAddressPools:
  - routed
";

/// A directory with a copy of the examples, to be changed. It goes with the value.
#[derive(Debug)]
pub struct Manifests(TempDir);

impl Manifests {
    /// The examples as they are.
    pub fn of_examples() -> Result<Self> {
        let directory = TempDir::new().context("making a directory")?;
        for file in fs::read_dir(examples()).context("listing the examples")? {
            let file = file?;
            fs::copy(file.path(), directory.path().join(file.file_name()))?;
        }
        Ok(Self(directory))
    }

    /// The examples with addresses of both families for the Service: 192.0.2.200 and `fd00::200`.
    pub fn dual_stack() -> Result<Self> {
        let manifests = Self::of_examples()?;
        manifests.edit("pool.yaml", |text| {
            let v4 = "  - 192.0.2.200-192.0.2.250\n";
            text.replace(v4, &format!("{v4}  - fd00::200-fd00::250\n"))
        })?;
        manifests.edit("web.yaml", |text| {
            let kind = "  type: LoadBalancer\n";
            let text = text.replace(kind, &format!("{kind}  ipFamilyPolicy: RequireDualStack\n"));
            ask_for(&text, "192.0.2.200,fd00::200")
        })?;
        Ok(manifests)
    }

    /// The examples with the Service at 198.51.100.1 of no LAN, told to routers: to those of `peers`,
    /// which are BGPPeers and whatever else belongs to them.
    pub fn routed(peers: &str) -> Result<Self> {
        let manifests = Self::of_examples()?;
        manifests.edit("pool.yaml", |_| String::from(ROUTED_POOL))?;
        manifests.edit("web.yaml", |text| ask_for(&text, "198.51.100.1"))?;
        manifests.write("peers.yaml", peers)?;
        Ok(manifests)
    }

    /// The same with a second address for the Service, `2001:db8::1`.
    pub fn routed_dual_stack(peers: &str) -> Result<Self> {
        let manifests = Self::routed(peers)?;
        manifests.edit("pool.yaml", |text| {
            let v4 = "  - 198.51.100.0/24\n";
            text.replace(v4, &format!("{v4}  - 2001:db8::1-2001:db8::99\n"))
        })?;
        manifests.edit("web.yaml", |text| {
            let kind = "  type: LoadBalancer\n";
            let text = text.replace(kind, &format!("{kind}  ipFamilyPolicy: RequireDualStack\n"));
            text.replace("198.51.100.1\n", "198.51.100.1,2001:db8::1\n")
        })?;
        Ok(manifests)
    }

    /// Where they are.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Changes a file, at once for those who read it.
    pub fn edit(&self, file: &str, change: impl FnOnce(String) -> String) -> Result<()> {
        let path = self.path().join(file);
        let text = fs::read_to_string(&path).with_context(|| format!("reading `{file}`"))?;
        self.write(file, &change(text))
    }

    /// Writes a file, at once for those who read it.
    pub fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.path().join(file);
        let new = self.path().join(".new");
        fs::write(&new, text).context("writing `.new`")?;
        fs::rename(new, path).with_context(|| format!("replacing `{file}`"))
    }
}

/// Makes the Service want these addresses.
fn ask_for(text: &str, addresses: &str) -> String {
    let metadata = "  name: web\n";
    let wanted = format!("    metallb.io/loadBalancerIPs: {addresses}\n");
    text.replacen(metadata, &format!("{metadata}  annotations:\n{wanted}"), 1)
}
