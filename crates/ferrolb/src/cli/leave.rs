//! `ferrolb leave`: the speaker of this node hands over at once, before it is uninstalled.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::speaker::control;

/// Runs `ferrolb leave`. When it returns, other nodes have taken over what they can.
///
/// # Errors
///
/// If no speaker on this node could be told.
pub fn run() -> Result<ExitCode> {
    control::leave()?;
    let said = "handed over; nothing is announced here until the speaker is started again";
    writeln!(io::stdout(), "{said}").context("writing the answer")?;
    Ok(ExitCode::SUCCESS)
}
