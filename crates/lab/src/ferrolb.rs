//! The program under test, on a node.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use crate::process::Process;
use crate::topology::Host;

/// How long the program may take to end when asked.
pub const STOP_LIMIT: Duration = Duration::from_secs(10);

/// `ferrolb standalone` on a host. It is killed on drop; a test that fails prints its log.
#[derive(Debug)]
pub struct Ferrolb {
    process: Process,
}

/// The program: the file that `FERROLB_BIN` names, or else what `cargo build` made in the target
/// directory of the running executable.
pub fn binary() -> Result<PathBuf> {
    let path = match std::env::var_os("FERROLB_BIN") {
        Some(path) => PathBuf::from(path),
        None => sibling(&std::env::current_exe().context("looking for the running executable")?)?,
    };
    ensure!(
        path.is_file(),
        "there is no `{}`: run `cargo build -p ferrolb`, or set `FERROLB_BIN` to the program",
        path.display()
    );
    Ok(path)
}

/// Tests are in `target/debug/deps`, programs in `target/debug`.
fn sibling(executable: &Path) -> Result<PathBuf> {
    let directory = executable.parent().context("an executable is in a directory")?;
    let above = directory.parent().filter(|_| directory.ends_with("deps"));
    Ok(above.unwrap_or(directory).join("ferrolb"))
}

impl Ferrolb {
    /// Starts the program on `host`, for the node of the host's name, with the manifests in a
    /// directory. `extra` arguments come last.
    pub fn start(host: &Host, binary: &Path, manifests: &Path, extra: &[&str]) -> Result<Self> {
        let mut command = Command::new(binary);
        command.arg("standalone");
        command.args([OsStr::new("--manifests"), manifests.as_os_str()]);
        command.args(["--node-name", &host.name]).args(extra);
        Ok(Self { process: host.netns.spawn(&command)? })
    }

    /// The program, for its id, its log and other signals.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// What it has written so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// `ferrolb leave` on `host`; waits for its end.
    pub fn leave(host: &Host, binary: &Path) -> Result<ExitStatus> {
        let mut command = Command::new(binary);
        command.arg("leave");
        host.netns.spawn(&command)?.wait(STOP_LIMIT)
    }

    /// `ferrolb status --node` on `host`: what it says.
    pub fn status(host: &Host, binary: &Path) -> Result<String> {
        let mut command = Command::new(binary);
        command.args(["status", "--node"]);
        let mut process = host.netns.spawn(&command)?;
        process.wait(STOP_LIMIT)?;
        Ok(process.log())
    }

    /// SIGTERM, as Kubernetes sends it; waits for the end, at most [`STOP_LIMIT`].
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.process.signal(Signal::SIGTERM)?;
        self.process.wait(STOP_LIMIT)
    }

    /// SIGKILL: a crash of the program, on a node that lives on.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_beside_or_above_the_executable() {
        let find = |executable: &str| sibling(Path::new(executable)).unwrap();
        assert_eq!(find("/t/debug/deps/lan-0123"), Path::new("/t/debug/ferrolb"));
        assert_eq!(find("/t/debug/xtask"), Path::new("/t/debug/ferrolb"));
    }
}
