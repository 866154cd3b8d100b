//! One step of a command: a headline, a program, the time it took.

use std::io;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

/// Prints a headline, runs the program and prints the time it took. All of it goes to standard
/// error, the program's own output too: standard output belongs to results.
///
/// # Errors
///
/// If the program cannot be started or fails; `mend` says what to do then.
pub(crate) fn run(name: &str, command: &mut Command, mend: &str) -> Result<()> {
    timed(name, || {
        eprintln!("    {}", shown(command));
        let status = command
            .stdout(io::stderr())
            .status()
            .with_context(|| format!("starting `{}`", shown(command)))?;
        if status.success() {
            return Ok(());
        }
        bail!("step `{name}` failed with {status}: {mend}");
    })
}

/// Prints a headline, runs `body` and prints the time it took.
///
/// # Errors
///
/// Those of `body`.
pub(crate) fn timed<T>(name: &str, body: impl FnOnce() -> Result<T>) -> Result<T> {
    eprintln!("==> {name}");
    let start = Instant::now();
    let result = body();
    let outcome = if result.is_ok() { "done" } else { "failed" };
    eprintln!("    {name}: {outcome} in {:.1} s", start.elapsed().as_secs_f64());
    result
}

/// The command line, without the directories of the program.
fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str());
    std::iter::once(program)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_program_says_how_to_mend_it() {
        let error = run("example", &mut Command::new("false"), "make it true").unwrap_err();
        assert_eq!(error.to_string(), "step `example` failed with exit status: 1: make it true");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run("example", Command::new("/nowhere/tool").arg("go"), "").unwrap_err();
        assert_eq!(error.to_string(), "starting `tool go`");
    }
}
