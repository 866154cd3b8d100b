//! A cluster in a LAN: a speaker on every node, pods, forwarding, and one Service to look at.
//!
//! What the demo shows, the benchmarks measure and the failover tests check is all the same set-up.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::capture::{ArpKind, Capture};
use crate::ferrolb::Ferrolb;
use crate::kube_proxy::{self, Policy, Protocol, ServicePort};
use crate::mac::Mac;
use crate::pod::Backend;
use crate::probe::{Probe, until_answered};
use crate::topology::{Lan, Node};

/// The port of the Service's HTTP server.
pub const HTTP_PORT: u16 = 80;

/// The port of the Service's UDP echo.
pub const ECHO_PORT: u16 = 9000;

/// How long answers of all who give one are awaited.
const ANSWERS: Duration = Duration::from_millis(50);

/// How often something awaited is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// A running cluster. Dropping it ends all of it.
#[derive(Debug)]
pub struct Cluster {
    /// The network.
    pub lan: Lan,
    /// One speaker a node, in the order of the nodes.
    pub speakers: Vec<Ferrolb>,
    /// What is said by ARP on the switch.
    pub capture: Capture,
    /// The Service's first address.
    pub address: IpAddr,
    /// All of its addresses.
    pub addresses: Vec<IpAddr>,
    /// How the speaker of each node is started.
    commands: Vec<Vec<String>>,
    binary: PathBuf,
    manifests: PathBuf,
    _backends: Vec<Backend>,
}

impl Cluster {
    /// Starts `nodes` nodes that all read `manifests`, where `service` is given an address.
    ///
    /// # Errors
    ///
    /// What could not be started, or that the manifests give the Service no address.
    pub fn start(nodes: u8, binary: &Path, manifests: &Path, service: &str) -> Result<Self> {
        Self::start_with(nodes, binary, manifests, service, |_| Vec::new())
    }

    /// The same, with these further arguments for the speaker of each node.
    ///
    /// # Errors
    ///
    /// As for [`Cluster::start`].
    pub fn start_with(
        nodes: u8,
        binary: &Path,
        manifests: &Path,
        service: &str,
        arguments: impl Fn(&Node) -> Vec<String>,
    ) -> Result<Self> {
        let lan = Lan::with_nodes(nodes)?;
        let capture = Capture::start(&lan)?;
        let addresses = planned_addresses(binary, manifests, service)?;
        let address = *addresses.first().context("the Service gets no address")?;
        let backends = lan.nodes.iter().map(Backend::start).collect::<Result<Vec<_>>>()?;
        let ports: Vec<_> = addresses.iter().flat_map(|at| forwarded(*at, &backends)).collect();
        lan.nodes.iter().try_for_each(|node| kube_proxy::apply(node, &ports))?;
        let mut cluster = Self {
            speakers: Vec::new(),
            capture,
            address,
            addresses,
            commands: lan.nodes.iter().map(arguments).collect(),
            lan,
            binary: binary.to_owned(),
            manifests: manifests.to_owned(),
            _backends: backends,
        };
        for index in 0..cluster.lan.nodes.len() {
            cluster.speakers.push(cluster.new_speaker(index)?);
        }
        Ok(cluster)
    }

    fn new_speaker(&self, index: usize) -> Result<Ferrolb> {
        let node = self.lan.nodes.get(index).context("there is no such node")?;
        let arguments: Vec<_> = self.commands[index].iter().map(String::as_str).collect();
        Ferrolb::start(&node.host, &self.binary, &self.manifests, &arguments)
    }

    /// Starts the speaker of a node anew, which has ended.
    ///
    /// # Errors
    ///
    /// When the program cannot be started.
    pub fn restart(&mut self, index: usize) -> Result<()> {
        self.speakers[index] = self.new_speaker(index)?;
        Ok(())
    }

    /// Where a node is among the nodes, and its speaker among the speakers.
    ///
    /// # Errors
    ///
    /// When there is no node of this name.
    pub fn index_of(&self, node: &str) -> Result<usize> {
        let mut nodes = self.lan.nodes.iter();
        let index = nodes.position(|other| other.host.name == node);
        index.with_context(|| format!("there is no node `{node}`"))
    }

    /// Where the Service's UDP echo is.
    #[must_use]
    pub fn echo(&self) -> SocketAddr {
        SocketAddr::new(self.address, ECHO_PORT)
    }

    /// A probe of the Service, which was reached before it began and has been answered since.
    ///
    /// While the client asks for the address, its packets wait, and then come to a node all at once.
    /// Of those that begin a flow, connection tracking may drop one: whoever counts what is lost
    /// must not count that.
    ///
    /// # Errors
    ///
    /// When the Service does not answer within `limit`.
    pub fn probe(&self, limit: Duration) -> Result<Probe> {
        until_answered(&self.lan.client, self.echo(), limit).with_context(|| self.logs())?;
        let probe = Probe::start(&self.lan.client, self.echo())?;
        probe.wait_answered(limit).with_context(|| self.logs())?;
        Ok(probe)
    }

    /// Where the Service's HTTP server is.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        SocketAddr::new(self.address, HTTP_PORT)
    }

    /// The node to which the client's kernel sends frames for the address.
    ///
    /// # Errors
    ///
    /// When the client knows no Ethernet address for it, or one that is no node's.
    pub fn owner(&self) -> Result<&Node> {
        self.owner_of(self.address)
    }

    /// The same for another of the Service's addresses.
    ///
    /// # Errors
    ///
    /// As for [`Cluster::owner`].
    pub fn owner_of(&self, address: IpAddr) -> Result<&Node> {
        let known = self.lan.client.neighbour(address)?;
        let (mac, _) = known.with_context(|| format!("nobody answers for {address}"))?;
        let mut nodes = self.lan.nodes.iter();
        let owner = nodes.find(|node| node.host.mac == mac);
        owner.with_context(|| format!("{mac} answers for {address}, which is no node"))
    }

    /// Who answers when the client asks everybody for the address: the Ethernet address in each
    /// answer. Those who answer for one another give the same.
    ///
    /// # Errors
    ///
    /// When the client cannot ask.
    pub fn answers(&self) -> Result<BTreeSet<Mac>> {
        let seen = self.capture.seen().len();
        self.lan.client.forget_neighbour(self.address)?;
        let socket = self.lan.client.netns.udp((Ipv4Addr::UNSPECIFIED, 0).into())?;
        // It is refused while nobody answers.
        let _ = socket.send_to(b"who has it?", self.echo());
        thread::sleep(ANSWERS);
        let heard = self.capture.seen_after(seen);
        let to_client = heard.iter().filter(|arp| {
            arp.kind == ArpKind::Reply && arp.delivered && arp.target_mac == self.lan.client.mac
        });
        let about_it = to_client.filter(|arp| IpAddr::V4(arp.sender_ip) == self.address);
        Ok(about_it.map(|arp| arp.sender_mac).collect())
    }

    /// Waits until `condition` holds.
    ///
    /// # Errors
    ///
    /// With `what` and the speakers' logs, when it does not within `limit`.
    pub fn until(
        &self,
        what: &str,
        limit: Duration,
        mut condition: impl FnMut(&Self) -> bool,
    ) -> Result<()> {
        let end = Instant::now() + limit;
        while !condition(self) {
            if Instant::now() > end {
                bail!("{what}: not within {limit:?}\n{}", self.logs());
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// What every speaker has logged.
    #[must_use]
    pub fn logs(&self) -> String {
        let nodes = self.lan.nodes.iter().zip(&self.speakers);
        nodes.map(|(node, speaker)| format!("--- {}\n{}", node.host.name, speaker.log())).collect()
    }
}

/// What the binary itself says the Service's addresses will be.
fn planned_addresses(binary: &Path, manifests: &Path, service: &str) -> Result<Vec<IpAddr>> {
    let mut plan = Command::new(binary);
    let output = plan.args(["plan", "-o", "json", "-f"]).arg(manifests).output();
    let output = output.with_context(|| format!("running `{}`", binary.display()))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`ferrolb plan` failed: {errors}");
    let plans: Value = serde_json::from_slice(&output.stdout).context("reading the plan")?;
    let assignments = plans[0]["assignments"].as_array().context("the plan has no assignments")?;
    let mine = assignments.iter().find(|assignment| assignment["service"] == service);
    let addresses = mine.and_then(|assignment| assignment["addresses"].as_array());
    let addresses = addresses.with_context(|| format!("`{service}` gets no address: {plans}"))?;
    let read = |address: &Value| {
        let text = address.as_str().unwrap_or_default();
        text.parse().with_context(|| format!("`{text}` is no address"))
    };
    addresses.iter().map(read).collect()
}

/// What kube-proxy would make of the Service: both ports lead to the node's own pod.
fn forwarded(address: IpAddr, backends: &[Backend]) -> Vec<ServicePort> {
    let pods: Vec<_> = backends.iter().map(|backend| backend.address(address)).collect();
    let port = |number, protocol| ServicePort {
        address: SocketAddr::new(address, number),
        protocol,
        policy: Policy::Local,
        pods: pods.clone(),
    };
    vec![port(HTTP_PORT, Protocol::Tcp), port(ECHO_PORT, Protocol::Udp)]
}

/// The manifests of the examples, found from the source tree that this was built in.
#[must_use]
pub fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}
