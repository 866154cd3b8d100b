//! `cargo xtask install`: brings what the other commands would bring when they need it.

use std::process::ExitCode;

use anyhow::Result;

use crate::{kube, packages, step, tools};

/// Install what the other commands need, and no more
#[derive(clap::Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(_: &Arguments) -> Result<ExitCode> {
    step::timed("install", || {
        tools::require_components()?;
        packages::bring(packages::LAB)?;
        packages::bring(packages::ROUTERS)?;
        for tool in [tools::NEXTEST, tools::DENY, tools::FUZZ] {
            eprintln!("    `{}` is `{}`", tool.name, tool.bring()?.display());
        }
        kube::bring().map(drop)
    })?;
    Ok(ExitCode::SUCCESS)
}
