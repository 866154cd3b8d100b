//! `ferrolb plan`: who would get which address and which node would announce it, from manifests.
//!
//! The same code as in the running system, with the disk in place of the network: nothing is
//! announced. Findings go to standard error, the plan goes to standard output.

mod status;
#[cfg(test)]
mod tests;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ValueEnum;

use super::given::{EXIT_COULD_NOT_RUN, EXIT_PROBLEMS, Given, refuse};
use super::node_plan::NodePlan;
use super::outcome::Outcome;

/// Arguments of `ferrolb plan`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What to work on; if nothing is named, the directory of `write_status`.
    #[command(flatten)]
    pub given: Given,

    /// Plan of this node; of all nodes without it.
    #[arg(long, value_name = "NODE")]
    pub node: Option<String>,

    /// Writes the addresses that were chosen into the Services in this directory.
    ///
    /// Only `status.loadBalancer.ingress` changes; comments and order stay. From then on these
    /// Services keep their addresses whatever else changes.
    #[arg(long, value_name = "DIR")]
    pub write_status: Option<PathBuf>,

    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Form of the output.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Output {
    /// For programs.
    Json,
    /// For people.
    Text,
}

/// Runs `ferrolb plan`. The exit code is 0 if all is well, 1 if the manifests have problems, 2 if
/// the manifests or the node are not there.
///
/// # Errors
///
/// If the output cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut given = args.given.clone();
    if given.filename.is_empty() {
        given.filename.extend(args.write_status.clone());
    }
    let manifests = given.read(&given.source()?, &[]);
    let mut errors = io::stderr().lock();
    write!(errors, "{}", manifests.findings())?;
    if manifests.is_unreadable() {
        return Ok(ExitCode::from(EXIT_COULD_NOT_RUN));
    }
    let nodes = match args.node.as_ref().map(|name| manifests.node(name)) {
        Some(Ok(node)) => vec![node],
        Some(Err(cause)) => {
            refuse(&mut errors, &cause)?;
            return Ok(ExitCode::from(EXIT_COULD_NOT_RUN));
        }
        None => manifests.parsed.facts.nodes.keys().cloned().collect(),
    };
    let mut is_good = !manifests.has_problems();
    let outcome = Outcome::of(manifests.parsed.facts, manifests.choice);
    write!(errors, "{outcome}")?;
    let plans: Vec<_> = nodes.iter().map(|node| outcome.plan(node)).collect();
    print(args, &outcome, &plans)?;
    if let Some(directory) = &args.write_status {
        is_good &= status::write_status(directory, &outcome, &mut errors)?;
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::from(EXIT_PROBLEMS) })
}

fn print(args: &Args, outcome: &Outcome, plans: &[NodePlan]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let json = match (args.output, plans, &args.node) {
        (Output::Json, [plan], Some(_)) => serde_json::to_string_pretty(plan),
        (Output::Json, plans, _) => serde_json::to_string_pretty(plans),
        (Output::Text, ..) => {
            write!(out, "{}", outcome.table())?;
            for plan in plans {
                write!(out, "\n{}\n{}", plan.node, plan.table())?;
            }
            return out.flush().context("writing the plan");
        }
    };
    writeln!(out, "{}", json?).context("writing the plan")
}
