//! Where the repository is, and how its cargo is called.

use std::path::Path;
use std::process::Command;

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a directory of the repository")
}

/// The cargo that runs this program, at the root of the repository.
pub(crate) fn cargo() -> Command {
    let mut command = at_root(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.stdin(std::process::Stdio::null());
    // It was told these about xtask. A package that is built again when they change, as ring is,
    // would be built with all that needs it whenever cargo is called by hand in between.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    command
}

/// A program at the root of the repository.
pub(crate) fn at_root(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

/// Whether this process has the user id 0, which may also be that of a user namespace.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Whether the run counts as one of continuous integration, where nothing may be skipped.
pub(crate) fn is_ci() -> bool {
    std::env::var("CI").as_deref() == Ok("true")
}
