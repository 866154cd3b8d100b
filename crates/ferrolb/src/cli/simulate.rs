//! `ferrolb simulate`: what moves when a node fails, is drained, or manifests change.
//!
//! Both sides are planned as `ferrolb plan` does it; the difference is told. Nothing is announced.
//!
//! - A node that fails takes its speaker and its endpoints with it.
//! - A node that is drained loses its endpoints. Its speaker stays, as `kubectl drain` leaves
//!   DaemonSets alone and a cordoned node may announce, so it goes on announcing what forwards to
//!   other nodes. Where the pods come up again is not known, so the state before that is shown.
//! - Manifests are applied as `kubectl apply` does it: they add objects and take the place of those
//!   with the same name, but a Service keeps its status.

mod difference;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ArgGroup;
use planner::facts::Facts;
use planner::names::NodeName;

use super::given::{EXIT_COULD_NOT_RUN, Given, refuse};
use super::outcome::Outcome;
use super::plan::Output;

pub use difference::Difference;

/// Some Service is left without anyone who announces it.
const EXIT_UNANNOUNCED: u8 = 1;

/// Arguments of `ferrolb simulate`.
#[derive(Clone, Debug, clap::Args)]
#[command(group(
    ArgGroup::new("change").required(true).multiple(true).args(["fail", "drain", "apply"])
))]
pub struct Args {
    /// What to work on.
    #[command(flatten)]
    pub given: Given,

    /// Node that fails, with its speaker and its endpoints; may be given several times.
    #[arg(long, value_name = "NODE")]
    pub fail: Vec<String>,

    /// Node that loses its endpoints, as with `kubectl drain`; may be given several times.
    #[arg(long, value_name = "NODE")]
    pub drain: Vec<String>,

    /// Manifest, or directory of manifests, that is applied; may be given several times.
    #[arg(long, value_name = "PATH")]
    pub apply: Vec<PathBuf>,

    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Runs `ferrolb simulate`. The exit code is 0 if everything that was announced still is, 1 if
/// something is left that nobody announces any more, 2 if manifests or nodes are not there.
///
/// # Errors
///
/// If the output cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let Some(difference) = difference(args, &mut io::stderr().lock())? else {
        return Ok(ExitCode::from(EXIT_COULD_NOT_RUN));
    };
    let mut out = io::stdout().lock();
    match args.output {
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&difference)?),
        Output::Text => write!(out, "{difference}"),
    }
    .context("writing what changes")?;
    let is_good = difference.unannounced.is_empty();
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::from(EXIT_UNANNOUNCED) })
}

/// What changes. Findings go to `said`; if it cannot be said what changes, the reason does.
///
/// # Errors
///
/// If `said` cannot be written.
pub fn difference(args: &Args, said: &mut impl io::Write) -> io::Result<Option<Difference>> {
    let source = match args.given.source() {
        Ok(source) => source,
        Err(cause) => return refuse(said, &format!("{cause:#}")).map(|()| None),
    };
    let before = args.given.read(&source, &[]);
    write!(said, "{}", before.findings())?;
    let after = args.given.read(&source, &args.apply);
    write!(said, "{}", after.findings().beyond(&before.findings()))?;
    if after.is_unreadable() {
        return Ok(None);
    }
    let nodes = |names: &[String]| {
        names.iter().map(|name| after.node(name)).collect::<Result<BTreeSet<_>, _>>()
    };
    let (failed, drained) = match (nodes(&args.fail), nodes(&args.drain)) {
        (Ok(failed), Ok(drained)) => (failed, drained),
        (Err(cause), _) | (_, Err(cause)) => return refuse(said, &cause).map(|()| None),
    };
    let mut facts = after.parsed.facts;
    keep_statuses(&before.parsed.facts, &mut facts);
    drain(&drained, &mut facts);
    fail(&failed, &mut facts);
    let choice = after.choice;
    let before = Outcome::of(before.parsed.facts, choice);
    Ok(Some(Difference::between(&before, &Outcome::of(facts, choice))))
}

/// Gives Services whose manifest was applied the addresses that they had.
fn keep_statuses(before: &Facts, after: &mut Facts) {
    for (name, service) in &mut after.services {
        if let Some(old) = before.services.get(name).filter(|_| service.addresses.is_empty()) {
            service.addresses.clone_from(&old.addresses);
        }
    }
}

fn drain(nodes: &BTreeSet<NodeName>, facts: &mut Facts) {
    let is_on = |node: &Option<NodeName>| node.as_ref().is_some_and(|node| nodes.contains(node));
    for endpoints in facts.endpoints.values_mut() {
        endpoints.retain(|endpoint| !is_on(&endpoint.node));
    }
}

/// Endpoints on the nodes are not ready any more, and the speakers are gone.
fn fail(nodes: &BTreeSet<NodeName>, facts: &mut Facts) {
    if nodes.is_empty() {
        return;
    }
    let all = || facts.nodes.keys().cloned().collect();
    let mut speakers: BTreeSet<_> = facts.speakers.take().unwrap_or_else(all);
    speakers.retain(|node| !nodes.contains(node));
    facts.speakers = Some(speakers);
    for endpoint in facts.endpoints.values_mut().flatten() {
        let is_gone = endpoint.node.as_ref().is_some_and(|node| nodes.contains(node));
        endpoint.is_healthy &= !is_gone;
    }
}
