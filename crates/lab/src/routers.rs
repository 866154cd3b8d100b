//! Other people's routers: the daemons of Debian's packages, each on a host of its own.
//!
//! A [`Router`] is told what a test wants of it by a [`Setup`], whichever daemon it is, and says what
//! it has learned in one form, the [`Table`].
//!
//! | file | daemon |
//! | --- | --- |
//! | `frr` | FRR: bgpd, with zebra that hands routes to the kernel |
//! | `gobgp` | GoBGP; it keeps its routes to itself |

mod frr;
mod gobgp;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::needs::{self, Missing};
use crate::process::Process;
use crate::topology::{Host, Lan};

/// How often a router is asked again for what is awaited.
const LOOK: Duration = Duration::from_millis(50);

/// Whose program a router is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// FRR, which hands its routes to the kernel.
    Frr,
    /// GoBGP, which does not.
    Gobgp,
}

impl Kind {
    /// The programs that it needs, and the Debian packages that have them.
    fn programs(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Frr => &[("/usr/lib/frr/bgpd", "frr"), ("vtysh", "frr"), ("ip", "iproute2")],
            Self::Gobgp => &[("gobgpd", "gobgpd"), ("gobgp", "gobgpd")],
        }
    }
}

/// Says whether this machine can run a lab with this router in it, and if not, the first thing that
/// it lacks.
pub fn needs(kind: Kind) -> Result<(), Missing> {
    needs::needs()?;
    needs::installed(kind.programs())
}

/// What a router is to do.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Its AS.
    pub asn: u32,
    /// Whom it speaks with.
    pub neighbors: Vec<Neighbor>,
}

/// Somebody that a router speaks with.
#[derive(Clone, Debug)]
pub struct Neighbor {
    /// Its address.
    pub address: IpAddr,
    /// Its AS.
    pub asn: u32,
    /// Families of its routes.
    pub families: BTreeSet<Family>,
    /// The key of TCP MD5.
    pub password: Option<&'static str>,
    /// How many hops it may be away (GTSM); `None` does not look.
    pub ttl_security: Option<u8>,
    /// Whether its routes are kept while it restarts.
    pub graceful_restart: GracefulRestart,
    /// Who connects.
    pub opens: Opens,
}

/// An address family of routes.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Whether a router keeps the routes of one that restarts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum GracefulRestart {
    /// It does.
    Helps,
    /// It does not know how.
    Unknown,
}

/// Who connects to whom.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Opens {
    /// The router waits.
    Other,
    /// The router connects too.
    Either,
}

impl Neighbor {
    /// One that is spoken with about routes of its own family, and nothing else asked for.
    #[must_use]
    pub fn new(address: IpAddr, asn: u32) -> Self {
        let family = if address.is_ipv4() { Family::V4 } else { Family::V6 };
        Self {
            address,
            asn,
            families: [family].into(),
            password: None,
            ttl_security: None,
            graceful_restart: GracefulRestart::Unknown,
            opens: Opens::Other,
        }
    }
}

/// What a router has learned: for each prefix, from whom what.
pub type Table = BTreeMap<String, Vec<Learned>>;

/// A route that a router has learned.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Learned {
    /// Where packets go.
    pub next_hop: Option<IpAddr>,
    /// The AS path, as it is printed.
    pub as_path: Vec<u32>,
    /// `LOCAL_PREF`.
    pub local_pref: Option<u32>,
    /// `MULTI_EXIT_DISC`.
    pub med: Option<u32>,
    /// Communities of RFC 1997.
    pub communities: BTreeSet<String>,
    /// Communities of RFC 8092.
    pub large_communities: BTreeSet<String>,
    /// Kept although its speaker is gone.
    pub is_stale: bool,
}

/// How a session is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Session {
    /// Whether it is established.
    pub is_established: bool,
    /// How often it was established before and lost.
    pub drops: u64,
    /// Why it ended last, in the router's words.
    pub last_reset: String,
}

/// A running router. Dropping it ends it.
#[derive(Debug)]
pub struct Router {
    /// The machine that it is on.
    pub host: Host,
    kind: Kind,
    directory: TempDir,
    /// Before the directory that they write to.
    processes: Vec<Process>,
}

impl Router {
    /// Starts a router at `192.0.2.NUMBER` of the LAN, which forwards what comes in.
    pub fn start(lan: &Lan, number: u8, kind: Kind, setup: &Setup) -> Result<Self> {
        let host = lan.attach(&format!("router-{number}"), number)?;
        for (key, value) in [
            ("net/ipv4/ip_forward", "1"),
            ("net/ipv6/conf/all/forwarding", "1"),
            ("net/ipv4/conf/all/rp_filter", "0"),
            // Clients are to send by the router, which on the same LAN is a detour.
            ("net/ipv4/conf/all/send_redirects", "0"),
            ("net/ipv4/conf/eth0/send_redirects", "0"),
            // By addresses and ports: each connection may take another way.
            ("net/ipv4/fib_multipath_hash_policy", "1"),
        ] {
            host.netns.sysctl(key, value)?;
        }
        let directory = TempDir::new().context("making a directory")?;
        let processes = match kind {
            Kind::Frr => frr::start(&host, directory.path(), setup)?,
            Kind::Gobgp => gobgp::start(&host, directory.path(), setup)?,
        };
        Ok(Self { host, kind, directory, processes })
    }

    /// Its BGP identifier: its IPv4 address.
    #[must_use]
    pub fn identifier(&self) -> Ipv4Addr {
        self.host.ipv4
    }

    /// What it has learned of a family.
    pub fn table(&self, family: Family) -> Result<Table> {
        match self.kind {
            Kind::Frr => frr::table(self, family),
            Kind::Gobgp => gobgp::table(self, family),
        }
    }

    /// How its sessions are, by neighbor.
    pub fn sessions(&self) -> Result<BTreeMap<IpAddr, Session>> {
        match self.kind {
            Kind::Frr => frr::sessions(self),
            Kind::Gobgp => gobgp::sessions(self),
        }
    }

    /// Where its kernel sends packets for `prefix`.
    pub fn kernel_next_hops(&self, prefix: &str) -> Result<BTreeSet<IpAddr>> {
        let family = if prefix.contains(':') { "-6" } else { "-4" };
        let mut command = Command::new("ip");
        command.args(["-json", family, "route", "show", prefix]);
        let routes: Value = serde_json::from_str(&self.output(command)?)?;
        let routes = routes.as_array().into_iter().flatten();
        let hops = routes.flat_map(|route| {
            let several = route["nexthops"].as_array().into_iter().flatten();
            several.chain(std::iter::once(route)).filter_map(gateway).collect::<Vec<_>>()
        });
        Ok(hops.collect())
    }

    /// Waits until `condition` holds.
    ///
    /// # Errors
    ///
    /// With `what` and the router's log, when it does not within `limit`.
    pub fn until(
        &self,
        what: &str,
        limit: Duration,
        mut condition: impl FnMut(&Self) -> Result<bool>,
    ) -> Result<()> {
        let end = Instant::now() + limit;
        loop {
            let held = condition(self);
            if matches!(held, Ok(true)) {
                return Ok(());
            }
            if Instant::now() > end {
                let failed = held.err().map(|error| format!("{error:#}\n")).unwrap_or_default();
                bail!("{what}: not within {limit:?}\n{failed}{}", self.log());
            }
            thread::sleep(LOOK);
        }
    }

    /// What its programs have logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.processes.iter().map(Process::log).collect()
    }

    /// Runs a program on its machine, and gives its output.
    fn output(&self, mut command: Command) -> Result<String> {
        let name = format!("{command:?}");
        let output = self.host.netns.run(move || command.output());
        let output = output.with_context(|| format!("running `{name}`"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`{name}` failed: {text}{errors}");
        Ok(text)
    }
}

/// The gateway of a next hop as `ip` prints it.
fn gateway(hop: &Value) -> Option<IpAddr> {
    let plain = hop["gateway"].as_str();
    plain.or_else(|| hop["via"]["host"].as_str())?.parse().ok()
}

/// A number of JSON.
fn number(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|number| u32::try_from(number).ok())
}
