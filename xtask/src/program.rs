//! The `ferrolb` binary, built as users get it or as tests run it.

use std::env;
use std::path::PathBuf;

use anyhow::Result;

use crate::step;
use crate::workspace::{cargo, root};

/// How to build.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Profile {
    /// Quick to build.
    Debug,
    /// As users get it.
    Release,
}

/// Builds the program and says where it is.
///
/// # Errors
///
/// When it does not compile.
pub(crate) fn build(profile: Profile) -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--package", "ferrolb"]);
    let directory = match profile {
        Profile::Debug => "debug",
        Profile::Release => {
            build.arg("--release");
            "release"
        }
    };
    step::run("build", &mut build, "mend the errors above")?;
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    Ok(root().join(target).join(directory).join("ferrolb"))
}
