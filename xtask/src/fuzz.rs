//! `cargo xtask fuzz`: looks for bytes that break what must hold for any.
//!
//! The checks are in `fuzz/src`; the tests replay `fuzz/corpus` without any of this.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};

use crate::step;
use crate::tools;
use crate::workspace::{at_root, root};

/// Feed the fuzz targets with bytes that nobody thought of
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How long to feed each target
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// Only this target
    target: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let tool = step::timed("tools", || tools::FUZZ.bring())?;
    let mut targets = targets(&root().join("fuzz/corpus"))?;
    if let Some(name) = &arguments.target {
        ensure!(
            targets.contains(name),
            "no target is called `{name}`, there are: {}",
            targets.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
        );
        targets.retain(|target| target == name);
    }
    let mut broken = Vec::new();
    for target in &targets {
        if let Err(error) = feed(&tool, target, arguments.seconds) {
            println!("FAILED: {error:#}");
            broken.push(target.as_str());
        }
    }
    if !broken.is_empty() {
        bail!("{} of {} targets broke: {}", broken.len(), targets.len(), broken.join(", "));
    }
    println!("{} targets, each {} s without a finding", targets.len(), arguments.seconds);
    Ok(ExitCode::SUCCESS)
}

/// The targets are the directories of the corpus; a test of `fuzz` holds the three lists together.
fn targets(corpus: &Path) -> Result<BTreeSet<String>> {
    let reading = || format!("reading `{}`", corpus.display());
    let entries = fs::read_dir(corpus).with_context(reading)?;
    let name = |entry: std::io::Result<fs::DirEntry>| -> Result<String> {
        Ok(entry.with_context(reading)?.file_name().to_string_lossy().into_owned())
    };
    entries.map(name).collect()
}

/// What libFuzzer finds interesting stays in `target/fuzz/corpus`, what breaks a target in
/// `target/fuzz/artifacts`.
fn feed(tool: &Path, target: &str, seconds: u32) -> Result<()> {
    let home = root().join("target/fuzz");
    let (grown, artifacts) =
        (home.join("corpus").join(target), home.join("artifacts").join(target));
    for directory in [&grown, &artifacts] {
        fs::create_dir_all(directory)
            .with_context(|| format!("making `{}`", directory.display()))?;
    }
    let mut command = at_root(tool);
    command.args(["fuzz", "run", "--fuzz-dir", "fuzz/libfuzzer", "--target-dir"]).arg(&home);
    command.arg(target).arg(&grown).arg(root().join("fuzz/corpus").join(target));
    command.args(["--", "-timeout=10", "-print_final_stats=1", "-verbosity=0", "-max_len=4096"]);
    command.arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    // The sanitizer's flags are unstable ones, and the stable compiler has them too.
    command.env("RUSTC_BOOTSTRAP", "1").stdin(std::process::Stdio::null());
    let mend = format!(
        "mend what it names above, and put the input from `{}` into `fuzz/corpus/{target}`",
        artifacts.display()
    );
    step::run(&format!("fuzz {target}"), &mut command, &mend)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_targets_are_those_with_a_corpus() {
        let targets = targets(&root().join("fuzz/corpus")).unwrap();
        assert!(targets.contains("range") && targets.contains("engine"), "{targets:?}");
        assert!(targets.len() >= 7, "{targets:?}");
    }
}
