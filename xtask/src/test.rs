//! `cargo xtask test`: all that must hold before a change is merged, the same here and in CI.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result};

use crate::cluster::{self, trial};
use crate::kube::{self, Programs};
use crate::report::Report;
use crate::step;
use crate::workspace::{at_root, cargo, is_ci, root};
use crate::{mutants, packages, rights, tidy, tools};

/// Check and test everything; what is missing on this machine is installed
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Leave out documentation, licences, mutations and the lab
    #[arg(long)]
    fast: bool,
    /// Try ferrolb in a whole cluster on this machine, and no more
    #[arg(long, conflicts_with_all = ["all", "fast", "filter"])]
    cluster: bool,
    /// Check and test everything, in a whole cluster too
    #[arg(long, conflicts_with_all = ["fast", "filter"])]
    all: bool,
    /// Run only tests whose name contains this, and no checks
    filter: Option<String>,
}

/// Tests that build networks; they are the slow ones.
const NO_LAB: &str = "not (package(lab) & kind(test))";

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.cluster {
        return Ok(conclude(&try_cluster()?));
    }
    let nextest = step::timed("tools", || {
        tools::require_components()?;
        if !arguments.fast {
            packages::bring(packages::LAB)?;
            packages::bring(packages::ROUTERS)?;
        }
        tools::NEXTEST.bring()
    })?;
    if arguments.filter.is_none() {
        check(arguments.fast)?;
    }
    build(&nextest)?;
    let programs = match arguments.fast {
        true => None,
        false => Some(step::timed("kubernetes", kube::bring)?),
    };
    let mut report = test(&nextest, arguments, programs.as_ref())?;
    if arguments.all {
        report.add(try_cluster()?);
    }
    Ok(conclude(&report))
}

/// The last line is the count, alone, for people and programs that look for it.
fn conclude(report: &Report) -> ExitCode {
    report.skips().inspect(|skips| println!("{skips}"));
    println!("{report}");
    if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the trial in a whole cluster, where one can be had.
fn try_cluster() -> Result<Report> {
    match step::timed("cluster", cluster::bring) {
        Ok(programs) => Ok(Report::of_steps(trial::run(programs), trial::COUNT)),
        Err(error) if is_ci() => Err(error),
        Err(error) => Ok(Report::skipped("cluster", &format!("{error:#}"))),
    }
}

/// What needs no test to run.
fn check(fast: bool) -> Result<()> {
    step::run("fmt", cargo().args(["fmt", "--all", "--check"]), "run `cargo fmt`")?;
    let mut clippy = cargo();
    clippy.args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    step::run("clippy", &mut clippy, "mend what it names above")?;
    step::timed("tidy", tidy::check)?;
    if fast {
        return Ok(());
    }
    let mut doc = cargo();
    doc.args(["doc", "--workspace", "--no-deps", "--document-private-items"]);
    step::run("rustdoc", doc.env("RUSTDOCFLAGS", "-D warnings"), "mend what it names above")?;
    let mut deny = at_root(tools::DENY.bring()?);
    deny.args(["check", "licenses", "bans", "sources"]).stdin(Stdio::null());
    step::run("deny", &mut deny, "take another crate, or say in deny.toml why this one is fine")?;
    let mut doctests = cargo();
    doctests.args(["test", "--doc", "--workspace", "--quiet"]);
    step::run("doctests", &mut doctests, "mend the examples it names above")?;
    step::timed("mutations", mutants::check)
}

/// Compiles outside of any namespace: inside there is no network to fetch crates from.
fn build(nextest: &Path) -> Result<()> {
    // The lab runs the program as users do, from where cargo leaves it.
    step::run("build", cargo().args(["build", "--workspace", "--bins"]), "mend the errors above")?;
    let mut tests = at_root(nextest);
    tests.args(["nextest", "run", "--workspace", "--no-run"]).stdin(Stdio::null());
    step::run("build tests", &mut tests, "mend the errors above")
}

/// Runs the tests.
fn test(nextest: &Path, arguments: &Arguments, kube: Option<&Programs>) -> Result<Report> {
    let profile = if is_ci() { "ci" } else { "default" };
    let junit = root().join("target/nextest").join(profile).join("junit.xml");
    // A run that dies must not be judged by the report of the one before.
    let _ = std::fs::remove_file(&junit);
    let mut command = with_rights(nextest);
    if let Some(programs) = kube {
        programs.tell(&mut command);
    }
    command.args(["nextest", "run", "--workspace", "--profile", profile]);
    if arguments.fast {
        command.args(["--filterset", NO_LAB]);
    }
    command.args(&arguments.filter).stdin(Stdio::null());
    let result = step::run("tests", &mut command, "mend the tests it names above");
    let mut report = match read(&junit) {
        Ok(report) => report,
        Err(error) => return Err(result.err().unwrap_or(error)),
    };
    if let Err(error) = &result {
        println!("FAILED: {error:#}");
        // nextest itself may fail when no test did.
        report.failed = report.failed.max(1);
    }
    Ok(report)
}

fn read(junit: &PathBuf) -> Result<Report> {
    let xml = std::fs::read_to_string(junit)
        .with_context(|| format!("nextest left no report in `{}`", junit.display()))?;
    Report::read(&xml)
}

/// nextest with the right to make network namespaces, if that can be had.
fn with_rights(nextest: &Path) -> Command {
    rights::with_rights(nextest).unwrap_or_else(|| {
        eprintln!("    NOT ROOT, AND NO USER NAMESPACES HERE: TESTS OF THE LAB WILL BE SKIPPED");
        eprintln!("    to run them, {}", rights::AS_ROOT);
        at_root(nextest)
    })
}
