//! `cargo xtask codegen`: writes the files of the repository that are made from code.

use std::process::ExitCode;

use anyhow::Result;

use crate::{step, workspace};

/// Write the files that are made from code, such as deploy/crds
#[derive(clap::Args)]
pub(crate) struct Arguments {}

/// The tests of ferrolb that compare such files, and write them if `UPDATE` is set: one piece of
/// code knows what is in a file, and this program need not be built with all of ferrolb in it.
const TESTS: &[&str] = &["crds"];

pub(crate) fn run(_: &Arguments) -> Result<ExitCode> {
    for test in TESTS {
        let mut cargo = workspace::cargo();
        cargo.args(["test", "--quiet", "--package", "ferrolb", "--test", test]).env("UPDATE", "1");
        step::run(test, &mut cargo, "mend what the test names")?;
    }
    Ok(ExitCode::SUCCESS)
}
