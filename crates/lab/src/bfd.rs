//! Other people's BFD: FRR's bfdd and BIRD from Debian's packages, each on a host of the lab.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::frr::{self, Daemon};
use crate::needs::{self, Missing};
use crate::netns::Netns;
use crate::process::{Process, wait_for_socket};
use crate::topology::Host;

/// How often a daemon is asked again for what is awaited.
const LOOK: Duration = Duration::from_millis(50);

/// Whose program it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// FRR: bfdd, and zebra that tells it of interfaces. It cannot authenticate.
    Frr,
    /// BIRD. It has no echo.
    Bird,
}

/// Says whether this machine can run a lab with this program in it, and if not, the first thing
/// that it lacks.
pub fn needs(kind: Kind) -> Result<(), Missing> {
    needs::needs()?;
    needs::installed(match kind {
        Kind::Frr => &[("/usr/lib/frr/bfdd", "frr"), ("vtysh", "frr")],
        Kind::Bird => &[("bird", "bird2"), ("birdc", "bird2")],
    })
}

/// A daemon that watches others. Dropping it ends it.
#[derive(Debug)]
pub struct Watcher {
    netns: Netns,
    kind: Kind,
    // Before the directory that they write to.
    processes: Vec<Process>,
    directory: TempDir,
}

/// What a daemon says of one session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seen {
    /// Whether it is up.
    pub is_up: bool,
    /// How long we may be silent, or how often we say that we send: what the daemon shows.
    pub interval: Duration,
    /// Everything that it says.
    pub words: String,
}

impl Watcher {
    /// Starts a daemon on `host`. `settings` are its own words: the lines of FRR's `bfd` block, or
    /// what is in BIRD's `protocol bfd`.
    pub fn start(host: &Host, kind: Kind, settings: &str) -> Result<Self> {
        let directory = TempDir::new().context("making a directory")?;
        let netns = host.netns.clone();
        let processes = match kind {
            Kind::Frr => start_frr(&netns, directory.path(), settings)?,
            Kind::Bird => vec![start_bird(host, directory.path(), settings)?],
        };
        Ok(Self { netns, kind, processes, directory })
    }

    /// What it says of the session with `peer`; `None` if it has none.
    pub fn seen(&self, peer: IpAddr) -> Result<Option<Seen>> {
        match self.kind {
            Kind::Frr => {
                let all: Value = serde_json::from_str(&self.ask(&["show bfd peers json"])?)
                    .context("reading what bfdd says")?;
                let mut all = all.as_array().into_iter().flatten();
                let seen = all.find(|one| one["peer"].as_str() == Some(&peer.to_string()));
                Ok(seen.map(|one| Seen {
                    is_up: one["status"] == "up",
                    interval: Duration::from_millis(
                        one["remote-transmit-interval"].as_u64().unwrap_or_default(),
                    ),
                    words: one.to_string(),
                }))
            }
            Kind::Bird => {
                let text = self.ask(&["show", "bfd", "sessions"])?;
                let mut words =
                    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
                let seen = words.find(|line| line.first() == Some(&peer.to_string().as_str()));
                Ok(seen.map(|line| Seen {
                    is_up: line.get(2) == Some(&"Up"),
                    interval: line
                        .get(4)
                        .and_then(|text| text.parse().ok())
                        .map(Duration::from_secs_f64)
                        .unwrap_or_default(),
                    words: line.join(" "),
                }))
            }
        }
    }

    /// Waits until the session with `peer` is as wanted.
    pub fn until(
        &self,
        peer: IpAddr,
        limit: Duration,
        wanted: impl Fn(&Seen) -> bool,
    ) -> Result<Seen> {
        let end = Instant::now() + limit;
        loop {
            let seen = self.seen(peer)?;
            if let Some(seen) = seen.clone().filter(|seen| wanted(seen)) {
                return Ok(seen);
            }
            if Instant::now() > end {
                let logs: String = self.processes.iter().map(Process::log).collect();
                bail!("the session with {peer} is not as wanted after {limit:?}: {seen:?}\n{logs}");
            }
            thread::sleep(LOOK);
        }
    }

    /// Puts it before all ordinary programs, as `SCHED_FIFO`.
    pub fn make_real_time(&self) -> Result<()> {
        for process in &self.processes {
            let mut command = Command::new("chrt");
            command.args(["--fifo", "--pid", "1", &process.id().to_string()]);
            let status = command.status().context("running `chrt` (package util-linux)")?;
            ensure!(status.success(), "`chrt` failed: {status}");
        }
        Ok(())
    }

    /// Changes FRR's settings while it runs.
    pub fn configure(&self, lines: &[&str]) -> Result<()> {
        let all: Vec<_> = [&["configure terminal", "bfd"], lines].concat();
        self.ask(&all).map(drop)
    }

    /// What it answers to commands.
    fn ask(&self, commands: &[&str]) -> Result<String> {
        let directory = self.directory.path();
        let mut command = match self.kind {
            Kind::Frr => {
                let mut command = Command::new("vtysh");
                command.arg("--vty_socket").arg(directory);
                command.args(commands.iter().flat_map(|line| ["-c", line]));
                command
            }
            Kind::Bird => {
                let mut command = Command::new("birdc");
                command.arg("-s").arg(directory.join("ctl")).args(commands);
                command
            }
        };
        let output = self.netns.run(move || command.output()).context("asking the daemon")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`{commands:?}` failed: {text}{errors}");
        Ok(text)
    }
}

fn start_frr(netns: &Netns, directory: &Path, settings: &str) -> Result<Vec<Process>> {
    let control = directory.join("control");
    let arguments = ["--bfdctl", &control.to_string_lossy()];
    let settings = format!("bfd\n{settings}\n");
    frr::start(netns, directory, &Daemon { name: "bfdd", settings, arguments: &arguments })
}

fn start_bird(host: &Host, directory: &Path, settings: &str) -> Result<Process> {
    let text = format!(
        "log stderr all;\nrouter id {};\nprotocol device {{}}\nprotocol bfd {{\n{settings}\n}}\n",
        host.ipv4
    );
    fs::write(directory.join("conf"), text).context("writing BIRD's settings")?;
    let mut command = Command::new("bird");
    command.arg("-f").arg("-c").arg(directory.join("conf"));
    command.arg("-s").arg(directory.join("ctl")).arg("-P").arg(directory.join("pid"));
    let process = host.netns.spawn(&command)?;
    wait_for_socket(&directory.join("ctl"), std::slice::from_ref(&process))?;
    Ok(process)
}
