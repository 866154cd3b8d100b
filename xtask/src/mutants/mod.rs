//! `cargo xtask mutants`: each property has a changed line under which its test fails.
//!
//! A property test that cannot fail proves nothing and looks like one that does. So `mutations/` has a
//! one-line defect for each property, and here each is built and its test seen to fail.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail, ensure};

use crate::workspace::root;
use bench::Bench;
use mutation::Mutation;

mod bench;
mod mutation;
mod outcome;

/// Check that the tests of properties notice the defects in `mutations/`
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only mutations whose name contains this
    name: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut mutations = mutation::read_all(&root().join("mutations"))?;
    if let Some(name) = &arguments.name {
        mutations.retain(|mutation| mutation.name.contains(name));
        ensure!(!mutations.is_empty(), "no file of `mutations` has a name with `{name}` in it");
    }
    attempt(&mutations)?;
    println!("{} mutations, each noticed", mutations.len());
    Ok(ExitCode::SUCCESS)
}

/// Tries all mutations.
///
/// # Errors
///
/// If one is not noticed, or cannot be tried.
pub(crate) fn check() -> Result<()> {
    attempt(&mutation::read_all(&root().join("mutations"))?)
}

fn attempt(mutations: &[Mutation]) -> Result<()> {
    let bench = Bench::new(root())?;
    bench.prove(mutations)?;
    let mut bad = 0;
    for mutation in mutations {
        let Mutation { name, test, .. } = mutation;
        let start = Instant::now();
        let (what, mend) = match bench.attempt(mutation) {
            Ok(outcome) => (outcome.to_string(), outcome.mend()),
            Err(error) => (format!("{error:#}"), Some("bring it up to date")),
        };
        match mend {
            None => {
                let seconds = start.elapsed().as_secs_f64();
                eprintln!("    {name}: {what} in {seconds:.1} s by `{test}`");
            }
            Some(mend) => {
                bad += 1;
                println!("mutations/{name}.mutation: `{test}`: {what}: {mend}");
            }
        }
    }
    match bad {
        0 => Ok(()),
        _ => bail!("{bad} of {} mutations were not noticed", mutations.len()),
    }
}
