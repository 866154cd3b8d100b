//! A lab leaves nothing behind, however its process dies.
//!
//! ```text
//!   this test ── link ── a namespace of the victim's lab, with `sleep` in it
//!                        the victim: this same executable, started anew and killed
//! ```
//!
//! The test puts one end of a link into the victim's namespace. When the kernel takes a namespace
//! away, it takes the links in it, both ends: ours vanishes with it.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use lab::{Lan, Netns};
use nix::net::if_::if_nametoindex;
use nix::sys::signal::Signal;
use rtnetlink::packet_route::link::{InfoData, InfoKind, InfoVeth};
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec, LinkVeth};

const VICTIM: &str = "LAB_VICTIM";
const SOON: Duration = Duration::from_secs(10);

/// Makes a lab with a program in it, says so, and waits for its end.
fn be_the_victim() -> anyhow::Result<()> {
    let lan = Lan::with_nodes(1)?;
    let host = &lan.node("a").host;
    let sleep = host.netns.spawn(Command::new("sleep").arg("1000"))?;
    println!("\nvictim {} {} {}", std::process::id(), host.netns.fd(), sleep.id());
    loop {
        thread::park();
    }
}

/// Starts the victim; its process, its namespace, the id of its program.
fn victim() -> anyhow::Result<(Child, File, u32)> {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(std::env::current_exe()?);
    command.args(["--exact", "a_killed_process_takes_its_lab_along", "--nocapture"]);
    let mut child = command.env(VICTIM, "1").stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().context("it has a pipe")?;
    for line in BufReader::new(output).lines() {
        let line = line?;
        let Some(numbers) = line.strip_prefix("victim ") else { continue };
        let numbers = numbers.split(' ').map(str::parse).collect::<Result<Vec<u32>, _>>()?;
        let [id, fd, sleep] = numbers[..] else { bail!("three numbers, not `{line}`") };
        return Ok((child, File::open(format!("/proc/{id}/fd/{fd}"))?, sleep));
    }
    bail!("the victim ended early")
}

/// Whether there is a process with this id, and it is `sleep`.
fn is_sleeping(id: u32) -> bool {
    fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default().starts_with(b"sleep\0")
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < SOON, "not in time: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_killed_process_takes_its_lab_along() {
    if std::env::var_os(VICTIM).is_some() {
        be_the_victim().unwrap();
    }
    lab::require!();
    let (mut victim, namespace, sleep) = victim().unwrap();
    let here = Netns::new("here").unwrap();
    let there = namespace.as_raw_fd();
    let link = here.netlink(async move |handle: Handle| {
        let far = LinkUnspec::new_with_name("far").setns_by_fd(there).build();
        let link = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
            .name("near")
            .set_info_data(InfoData::Veth(InfoVeth::Peer(far)));
        Ok(handle.link().add(link.build()).execute().await?)
    });
    link.unwrap();
    let mounted = format!("net:[{}]", namespace.metadata().unwrap().ino());
    drop(namespace);
    let has_link = move || here.run(|| if_nametoindex("near").is_ok());
    wait_until("the start of the program", || is_sleeping(sleep));
    assert!(has_link(), "the namespace is there");

    victim.kill().unwrap();
    victim.wait().unwrap();
    wait_until("the end of the program", || !is_sleeping(sleep));
    wait_until("the end of the namespace", || !has_link());
    let named = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!named.contains(&mounted), "the namespace has no name:\n{named}");
}

#[test]
fn a_program_ends_with_its_children_and_its_output_is_kept() {
    lab::require!();
    let netns = Netns::new("host").unwrap();
    let mut shell = Command::new("sh");
    let script = "echo $GREETING; echo trouble >&2; sleep 1000 & echo $!; wait";
    shell.args(["-c", script]).env("GREETING", "hello");
    let mut process = netns.spawn(&shell).unwrap();
    process.wait_for_log("trouble\n", SOON).unwrap();
    wait_until("the third line", || process.log().lines().count() == 3);
    let log = process.log();
    let child: u32 = log.strip_prefix("hello\ntrouble\n").unwrap().trim().parse().unwrap();
    wait_until("the start of the shell's child", || is_sleeping(child));

    process.wait(Duration::from_millis(20)).unwrap_err();
    process.signal(Signal::SIGTERM).unwrap();
    let status = process.wait(SOON).unwrap();
    assert_eq!(status.signal(), Some(15), "it was asked, not killed");
    wait_until("the end of the shell's child", || !is_sleeping(child));

    let sleep = netns.spawn(Command::new("sleep").arg("1000")).unwrap();
    let path = format!("/proc/{}", sleep.id());
    assert!(fs::exists(&path).unwrap());
    drop(sleep);
    assert!(!fs::exists(&path).unwrap(), "killed and reaped");
}
