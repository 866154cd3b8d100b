//! Programs that outlive the command that starts them, and how they are found and ended.
//!
//! Nothing notes what was started: what is in a namespace of the cluster belongs to it. So nothing
//! is missed after a start that failed half-way, and nothing of others is ever ended.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use super::place::{self, Host};

/// How long killed programs may take to be gone.
const GONE: Duration = Duration::from_secs(20);

/// How often something awaited is looked at.
pub(super) const LOOK: Duration = Duration::from_millis(50);

/// A program with nothing on its standard input.
pub(super) fn program(name: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(name);
    command.stdin(Stdio::null());
    command
}

/// A program in the network namespace of a host.
pub(super) fn inside(host: Host, name: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = program("nsenter");
    command.arg(format!("--net=/run/netns/{}", host.netns())).arg("--").arg(name);
    command
}

/// Starts a program that stays. What it says goes to a file in the cluster's `log`.
///
/// # Errors
///
/// When it cannot be started.
pub(super) fn start(log: &str, command: &mut Command) -> Result<()> {
    let path = place::log().join(format!("{log}.log"));
    let file = File::options().create(true).append(true).open(&path);
    let file = file.with_context(|| format!("opening `{}`", path.display()))?;
    // Ctrl-C at the command that starts it is not meant for it.
    command.process_group(0).stdout(file.try_clone()?).stderr(file);
    command.spawn().with_context(|| format!("starting `{log}`")).map(drop)
}

/// Runs a program whose words matter only when it fails.
///
/// # Errors
///
/// When it fails, with its words.
pub(super) fn quietly(command: &mut Command) -> Result<()> {
    said(command).map(drop)
}

/// Runs a program and returns what it printed.
///
/// # Errors
///
/// When it fails, with its words.
pub(super) fn said(command: &mut Command) -> Result<String> {
    let shown = || {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    };
    let shown = shown();
    let output = command.output().with_context(|| format!("starting `{shown}`"))?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{shown}`: {}: {}", output.status, words.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Waits for something.
///
/// # Errors
///
/// When it is not so within `limit`; `what` says what was awaited.
pub(super) fn wait(what: &str, limit: Duration, mut so: impl FnMut() -> bool) -> Result<Duration> {
    let start = Instant::now();
    while !so() {
        if start.elapsed() > limit {
            bail!("{what}: not within {limit:?}");
        }
        thread::sleep(LOOK);
    }
    Ok(start.elapsed())
}

/// The processes in a network namespace, which is given by its name in the file system.
pub(super) fn all_in(netns: &Path) -> Vec<Pid> {
    let Ok(wanted) = fs::metadata(netns).map(|netns| netns.ino()) else { return Vec::new() };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_in = |number: &i32| {
        let netns = fs::metadata(format!("/proc/{number}/ns/net"));
        netns.is_ok_and(|netns| netns.ino() == wanted)
    };
    numbers.filter(is_in).map(Pid::from_raw).collect()
}

/// The process 1 of a node, which is on.
pub(super) fn init_of(node: u8) -> Option<Pid> {
    let netns = Path::new("/run/netns").join(Host::Node(node).netns());
    all_in(&netns).into_iter().find(|process| {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        is_init(&status)
    })
}

/// Whether a process is number 1 of a namespace right below ours.
fn is_init(status: &str) -> bool {
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let numbers: Vec<_> = numbers.unwrap_or_default().split_whitespace().collect();
    matches!(numbers[..], [_, "1"])
}

/// Kills all processes in a network namespace, and waits until they are gone.
///
/// # Errors
///
/// When one stays.
pub(super) fn kill_all_in(netns: &Path) -> Result<()> {
    let what = format!("the processes in `{}` are gone", netns.display());
    wait(&what, GONE, || {
        let processes = all_in(netns);
        for process in &processes {
            // One that is gone already is what we want.
            let _ = kill(*process, Signal::SIGKILL);
            bury(*process);
        }
        processes.is_empty()
    })
    .map(drop)
}

/// A child of ours stays a zombie until it is waited for.
fn bury(process: Pid) {
    // Most are not our children.
    let _ = waitpid(process, Some(WaitPidFlag::WNOHANG));
}

/// What the kernel lets a process do.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Status {
    /// Its effective capabilities, a bit for each.
    pub(super) effective: u64,
    /// 2 if system calls are filtered.
    pub(super) seccomp: u64,
    /// 1 if no program that it runs can have more rights.
    pub(super) no_new_privileges: u64,
}

impl Status {
    fn parse(status: &str) -> Option<Self> {
        let find = |key| {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            u64::from_str_radix(line.trim(), 16).ok()
        };
        Some(Self {
            effective: find("CapEff:")?,
            seccomp: find("Seccomp:")?,
            no_new_privileges: find("NoNewPrivs:")?,
        })
    }
}

/// The processes of this name in containers of the cluster.
pub(super) fn in_containers(name: &str) -> Vec<Status> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let read = |entry: &fs::DirEntry, file| {
        fs::read_to_string(entry.path().join(file)).unwrap_or_default()
    };
    entries
        .filter(|entry| read(entry, "comm").trim_end() == name)
        .filter(|entry| read(entry, "cgroup").contains(place::PREFIX))
        .filter_map(|entry| Status::parse(&read(&entry, "status")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rights_of_a_process_are_read() {
        let status = "CapEff:\t0000000000002000\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1";
        let want = Status { effective: 0x2000, seccomp: 2, no_new_privileges: 1 };
        assert_eq!(Status::parse(status), Some(want));
        assert_eq!(Status::parse("CapEff:\t0"), None);
    }

    #[test]
    fn a_node_is_known_by_its_process_1() {
        let rows = [
            ("a node's", "Name:\tbash\nNSpid:\t4711\t1\nNSsid:\t1", true),
            ("another of the node", "NSpid:\t4711\t12", false),
            ("a container's, on the node's network", "NSpid:\t4711\t12\t1", false),
            ("one that is in no node", "NSpid:\t1", false),
            ("one that has ended", "", false),
        ];
        for (row, status, want) in rows {
            assert_eq!(is_init(status), want, "{row}");
        }
    }
}
