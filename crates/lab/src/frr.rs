//! FRR's daemons on a host: zebra, and one that it tells of interfaces.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use nix::unistd::{User, chown};

use crate::netns::Netns;
use crate::process::{Process, wait_for_socket};

/// The user that they become.
const USER: &str = "frr";

/// The daemon that zebra is for.
pub(crate) struct Daemon<'a> {
    /// Its name, such as `bgpd`.
    pub(crate) name: &'a str,
    /// What is in its file of settings.
    pub(crate) settings: String,
    /// More arguments.
    pub(crate) arguments: &'a [&'a str],
}

/// Starts zebra and then `daemon`. Their files and sockets are in `directory`.
pub(crate) fn start(netns: &Netns, directory: &Path, daemon: &Daemon<'_>) -> Result<Vec<Process>> {
    let user = User::from_name(USER)?.context("there is no user `frr`")?;
    for (name, text) in [(daemon.name, &*daemon.settings), ("zebra", "")] {
        fs::write(directory.join(format!("{name}.conf")), text).context("writing its settings")?;
    }
    chown(directory, Some(user.uid), Some(user.gid)).context("giving it its directory")?;
    let mut daemons = vec![netns.spawn(&command(directory, "zebra", &[]))?];
    // It asks zebra for interfaces once, when it starts.
    wait_for_socket(&directory.join("zserv"), &daemons)?;
    daemons.push(netns.spawn(&command(directory, daemon.name, daemon.arguments))?);
    wait_for_socket(&directory.join(format!("{}.vty", daemon.name)), &daemons)?;
    Ok(daemons)
}

fn command(directory: &Path, name: &str, more: &[&str]) -> Command {
    let path = |end: &str| directory.join(end);
    let mut command = Command::new(format!("/usr/lib/frr/{name}"));
    command.arg("-f").arg(path(&format!("{name}.conf")));
    command.arg("-i").arg(path(&format!("{name}.pid")));
    command.arg("-z").arg(path("zserv"));
    command.arg("--vty_socket").arg(directory);
    // No TCP port for people.
    command.args(["-u", USER, "-g", USER, "-P", "0", "--log", "stdout"]).args(more);
    command
}
