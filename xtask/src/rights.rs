//! The right to make network namespaces: root has it, others get it in a user namespace.

use std::env;
use std::ffi::OsStr;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::workspace::{at_root, is_root};

/// Namespaces of our own give an ordinary user what the lab needs.
const UNSHARE: [&str; 4] = ["--user", "--map-root-user", "--net", "--mount"];

/// What to say to someone for whom there is no way.
pub(crate) const AS_ROOT: &str = "run it as root: `sudo --preserve-env=PATH,HOME cargo xtask ..`";

/// `program` with the right to make network namespaces, or `None` if that cannot be had.
pub(crate) fn with_rights(program: impl AsRef<OsStr>) -> Option<Command> {
    if is_root() {
        return Some(at_root(program));
    }
    let mut unshare = at_root("unshare");
    unshare.args(UNSHARE);
    can_unshare().then(|| {
        eprintln!("    not root: going on in a user namespace");
        unshare.arg(program);
        unshare
    })
}

/// Runs this very command again where it has the right, and returns how that ended; `None` when it
/// has it already.
///
/// # Errors
///
/// When there is no way to have it.
pub(crate) fn again_with_rights() -> Result<Option<ExitCode>> {
    if is_root() {
        return Ok(None);
    }
    let program = env::current_exe().context("looking for this program")?;
    let Some(mut command) = with_rights(program) else {
        bail!(
            "making network namespaces needs root or user namespaces, and has neither; {AS_ROOT}"
        );
    };
    let status = command.args(env::args_os().skip(1)).status().context("starting `unshare`")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(Some(code.map_or(ExitCode::FAILURE, ExitCode::from)))
}

fn can_unshare() -> bool {
    let mut probe = Command::new("unshare");
    probe.args(UNSHARE).arg("true");
    probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}
