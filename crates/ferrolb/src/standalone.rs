//! Controller and speaker of one host in one process, from a directory of manifests.
//!
//! Nodes do not agree on addresses here by writing them down: each reaches the same ones from the
//! same directory ([`Choice::Hashed`]).

use std::collections::BTreeSet;
use std::pin::pin;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};
use planner::assign::{Choice, assign_all};
use planner::facts::Facts;
use planner::names::NodeName;
use planner::plan::Plan;
use proto::mesh::Station;
use tokio::runtime;

use crate::args::Standalone;
use crate::net::{gateways, interfaces};
use crate::parse::{self, last_good};
use crate::source::document::FileProblem;
use crate::source::files::{Files, Reading};
use crate::source::watch::Watch;
use crate::speaker::control::{Control, Request};
use crate::speaker::{Given, Identity, Keys, Speaker, VirtualMacs, may_answer_arp};
use crate::terminated::terminated;
use crate::told::Told;

/// Runs until SIGTERM or SIGINT, then hands over to the other nodes.
///
/// # Errors
///
/// When it cannot start: the directory cannot be read, or packet sockets are not allowed.
pub fn run(args: &Standalone) -> anyhow::Result<ExitCode> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("starting the async runtime")?.block_on(serve(args))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(args: &Standalone) -> anyhow::Result<()> {
    let station = Station::new(&args.node_name)
        .map_err(|error| anyhow!("`--node-name {}`: {error}", args.node_name))?;
    let mut changes = Watch::start(&args.manifests);
    let mut desk = Desk::new(NodeName(args.node_name.clone()), Files::new(&args.manifests));
    let reading = desk.files.reload();
    if let Some(problem) = reading.unreadable_path() {
        bail!("`--manifests`: {problem}");
    }
    let key_file = args.mesh_key_file.clone();
    let given = key_file.map_or(Given::Nothing, Given::File);
    let mut keys = Keys::open(given, "give all nodes the same `--mesh-key-file`")?;
    may_answer_arp(
        "run it as root, or give the program the capability once with `setcap cap_net_raw+ep`",
    )?;
    let mut terminated = pin!(terminated()?);
    let mut interfaces = interfaces::watch().await.context("listing network interfaces")?;
    let mut gateways = gateways::watch().await.context("listing routes")?;
    let facts = desk.decide(&reading);
    let identity = Identity {
        node: desk.node.clone(),
        station,
        mesh_port: args.mesh_port,
        keys: keys.current().to_vec(),
    };
    let table = interfaces.borrow_and_update().clone();
    let mut virtual_macs = VirtualMacs::start().context("opening netlink")?;
    let mut speaker = Speaker::start(identity, facts, &table, None, virtual_macs.clone())
        .context("starting the threads of the speaker")?;
    speaker.use_witnesses(&gateways.borrow_and_update());
    speaker.begin();
    let mut control = Control::open();
    tracing::info!(node = args.node_name, manifests = %args.manifests.display(), "started");
    let left = loop {
        desk.explain(speaker.planner().plan());
        tokio::select! {
            () = changes.changed() => {
                let reading = desk.files.reload();
                let facts = desk.decide(&reading);
                let changes = speaker.planner().facts().changes_to(&facts);
                speaker.apply(changes);
            }
            Ok(()) = interfaces.changed() => {
                speaker.use_interfaces(&interfaces.borrow_and_update());
            }
            failures = virtual_macs.changed() => {
                speaker.use_failures(&failures);
            }
            Ok(()) = gateways.changed() => speaker.use_witnesses(&gateways.borrow_and_update()),
            keys = keys.changed() => speaker.use_keys(keys),
            request = control.next() => match request {
                Request::Leave(left) => break Some(left),
                Request::Status(asker) => speaker.tell_status(asker),
            },
            () = &mut terminated => break None,
        }
    };
    control.end(Some(speaker), left, &virtual_macs, terminated).await
}

/// Where this node's decisions are made, and what was said about them.
struct Desk {
    node: NodeName,
    files: Files,
    /// What the last decision was made from.
    last: Facts,
    errors: Told,
    warnings: Told,
    notes: Told,
    silences: Told,
}

impl Desk {
    fn new(node: NodeName, files: Files) -> Self {
        Self {
            node,
            files,
            last: Facts::default(),
            errors: Told::default(),
            warnings: Told::default(),
            notes: Told::default(),
            silences: Told::default(),
        }
    }

    /// Says once what this node does not announce.
    fn explain(&mut self, plan: &Plan) {
        for note in self.silences.news(plan.silences.iter().map(ToString::to_string)) {
            tracing::info!("{note}");
        }
    }

    /// Reads the facts and gives addresses. What is wrong is said once.
    fn decide(&mut self, reading: &Reading) -> Facts {
        let parsed = parse::facts(&reading.objects);
        let mut facts = parsed.facts;
        let broken: BTreeSet<_> = parsed.problems.iter().map(|p| p.object.to_string()).collect();
        let misfits = reading.problems.iter().filter_map(FileProblem::misfit);
        let broken = broken.iter().map(String::as_str).chain(misfits);
        let kept = last_good::keep(&mut facts, &self.last, broken);
        let kept = kept.iter().map(|object| format!("{object}: what it was before stays in force"));
        let assignments = assign_all(&facts, Choice::Hashed);
        assignments.fill(&mut facts);

        let file_problems = reading.problems.iter().map(ToString::to_string);
        let refusals = assignments.refusals.iter();
        let errors = file_problems.chain(parsed.problems.iter().map(ToString::to_string)).chain(
            refusals.map(|(name, refusal)| {
                format!("{name} gets no address: {refusal}; {}", refusal.help())
            }),
        );
        for error in self.errors.news(errors) {
            tracing::error!("{error}");
        }
        let file_warnings = reading.warnings.iter().map(ToString::to_string);
        let lost = assignments.lost.iter();
        let lost = lost.map(|(name, refusal)| format!("{name} cannot keep its address: {refusal}"));
        let short = assignments.short.iter().map(|(name, obstacle)| {
            format!("{name} gets no further address: its pool {obstacle}; {}", obstacle.help())
        });
        let warnings = file_warnings
            .chain(kept)
            .chain(lost)
            .chain(short)
            .chain(parsed.warnings.iter().map(ToString::to_string))
            .chain(self.is_unknown(&facts));
        for warning in self.warnings.news(warnings) {
            tracing::warn!("{warning}");
        }
        let given = assignments.given.iter().flat_map(|(name, given)| {
            given
                .addresses
                .iter()
                .map(move |at| format!("{name} has {at} from pool {}", given.pool))
        });
        for note in self.notes.news(given) {
            tracing::info!("{note}");
        }
        self.last = facts.clone();
        facts
    }

    /// A name that no manifest knows is most often a slip.
    fn is_unknown(&self, facts: &Facts) -> Option<String> {
        let Self { node, .. } = self;
        if facts.nodes.contains_key(node) {
            return None;
        }
        let known: Vec<_> = facts.nodes.keys().map(ToString::to_string).collect();
        Some(format!(
            "no manifest has a Node `{node}` (there are: {}), so this node announces nothing; \
             add one, or check `--node-name`",
            if known.is_empty() { String::from("none") } else { known.join(", ") }
        ))
    }
}
