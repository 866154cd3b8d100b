//! `cargo xtask bench NAME`: every figure of ferrolb, measured here.
//!
//! A benchmark of the program starts it as separate processes with default flags, and what measures
//! shares neither code nor clock with it. One of decisions runs in one process.
//! A sample that failed counts as the worst there can be.

mod bfd;
mod kube;
mod l2;
mod planner;
mod row;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use crate::output::Format;
use crate::program::{self, Profile};
use crate::{image, packages, rights};

/// Measure what ferrolb promises; fails when a goal is missed
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What to measure
    #[arg(value_enum)]
    name: Bench,
    /// How often each figure is sampled
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// For people or for programs
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
    /// Of `kube`: only this part
    #[arg(long, value_enum)]
    only: Option<kube::Part>,
    /// Of `kube`: a tenth of the Services, samples and kills
    #[arg(long)]
    quick: bool,
    /// Of `bfd` and `kube`: measure this program instead of building one
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

/// The benchmarks.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Bench {
    /// Whether BFD holds at 10 ms x 3, and how fast it notices a crash
    Bfd,
    /// How fast and how large controller and speaker are with a real API server
    Kube,
    /// How long an address on the LAN is away when something happens to its owner
    L2,
    /// How fast decisions are, and how large the facts that they are made from
    Planner,
}

/// Runs a benchmark and prints its rows. Fails when a goal is missed.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let rows = match arguments.name {
        Bench::Bfd => {
            packages::bring(packages::LAB)?;
            let binary = match &arguments.program {
                Some(program) => fs::canonicalize(program).context("looking for the program")?,
                None => program::build(Profile::Release)?,
            };
            if let Some(code) = rights::again_with_rights()? {
                return Ok(code);
            }
            bfd::run(arguments.runs, &binary)?
        }
        Bench::L2 => {
            packages::bring(packages::LAB)?;
            let binary = program::build(Profile::Release)?;
            if let Some(code) = rights::again_with_rights()? {
                return Ok(code);
            }
            l2::run(arguments.runs, &binary)?
        }
        Bench::Kube => {
            if let Some(code) = rights::again_with_rights()? {
                return Ok(code);
            }
            if !kube::is_told() {
                packages::bring(packages::LAB)?;
                let programs = crate::kube::bring()?;
                let program = match &arguments.program {
                    Some(program) => {
                        fs::canonicalize(program).context("looking for the program")?
                    }
                    None => image::build_program()?,
                };
                return kube::again(&programs, &program);
            }
            kube::run(&kube::Sizes::of(arguments.quick), arguments.only)?
        }
        Bench::Planner => planner::run(arguments.runs)?,
    };
    match arguments.output {
        Format::Json => {
            for row in &rows {
                println!("{}", serde_json::to_string(row)?);
            }
        }
        Format::Text => print!("{}", row::table(&rows)),
    }
    let is_met = rows.iter().all(|row| row.ok);
    Ok(if is_met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
