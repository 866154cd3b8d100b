//! `ferrolb explain`: why a Service has its address, why a node announces it, and what is missing.
//!
//! The same decisions as in `ferrolb plan`, told as sentences. Reasons and how to mend them are
//! those of the log and the metrics.

mod explanation;
mod sentences;
#[cfg(test)]
mod tests;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Service;
use planner::names::ServiceName;

use super::given::{EXIT_COULD_NOT_RUN, Given, Manifests, refuse};
use super::nearest;
use super::outcome::Outcome;
use super::plan::Output;
use crate::source::object::ObjectName;

pub use explanation::Explanation;

/// Arguments of `ferrolb explain`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Service to explain; without a namespace it is in `default`.
    #[arg(value_name = "NAMESPACE/NAME")]
    pub service: ServiceName,

    /// What to work on.
    #[command(flatten)]
    pub given: Given,

    /// Only what this node does; what all nodes do without it.
    #[arg(long, value_name = "NODE")]
    pub node: Option<String>,

    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Runs `ferrolb explain`. The exit code is 0 if there is something to explain, whatever it is, and
/// 2 if manifests, Service or node are not there.
///
/// # Errors
///
/// If the output cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let Some(explanation) = explanation(args, &mut io::stderr().lock())? else {
        return Ok(ExitCode::from(EXIT_COULD_NOT_RUN));
    };
    let mut out = io::stdout().lock();
    match args.output {
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&explanation)?),
        Output::Text => write!(out, "{explanation}"),
    }
    .context("writing the explanation")?;
    Ok(ExitCode::SUCCESS)
}

/// Explains what the arguments ask for. Errors, and warnings about the Service, go to `said`; if there is nothing to explain, the
/// reason does.
///
/// # Errors
///
/// If `said` cannot be written.
pub fn explanation(args: &Args, said: &mut impl io::Write) -> io::Result<Option<Explanation>> {
    let source = match args.given.source() {
        Ok(source) => source,
        Err(cause) => return refuse(said, &format!("{cause:#}")).map(|()| None),
    };
    let manifests = args.given.read(&source, &[]);
    write!(said, "{}", manifests.findings().about(&args.service))?;
    if manifests.is_unreadable() {
        return Ok(None);
    }
    let node = args.node.as_ref().map(|name| manifests.node(name)).transpose();
    match find(&args.service, &manifests).and(node) {
        Ok(node) => {
            let outcome = Outcome::of(manifests.parsed.facts, manifests.choice);
            Ok(Some(Explanation::of(&outcome, &args.service, node.as_ref())))
        }
        Err(cause) => refuse(said, &cause).map(|()| None),
    }
}

/// Whether there is such a Service; or why not, and which one may be meant.
fn find(service: &ServiceName, manifests: &Manifests) -> Result<(), String> {
    let services = &manifests.parsed.facts.services;
    if services.contains_key(service) {
        return Ok(());
    }
    let object = ObjectName {
        kind: "Service",
        namespace: Some(service.namespace.to_string()),
        name: service.name.to_string(),
    };
    let is_it = |it: &Arc<Service>| ObjectName::of("Service", &it.metadata) == object;
    if manifests.reading.objects.services.iter().any(is_it) {
        let origin = manifests.reading.origins.get(&object);
        let origin = origin.map_or_else(String::new, |origin| format!(" at {origin}"));
        return Err(format!(
            "Service `{service}`{origin} gets no address from ferrolb: it is not of the type \
             LoadBalancer, of another class, or has problems that are told above"
        ));
    }
    let names: Vec<_> = services.keys().map(ToString::to_string).collect();
    let help = nearest::help(&service.to_string(), names.iter().map(String::as_str));
    Err(format!("there is no Service `{service}` in {}; {help}", manifests.place))
}
