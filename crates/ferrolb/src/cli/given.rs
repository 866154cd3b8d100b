//! What subcommands work on: manifests, and who is alive.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::PathBuf;

use planner::facts::Facts;
use planner::names::{NodeName, ServiceName};

use super::nearest;
use crate::parse::{self, Parsed};
use crate::source::files::{Files, Reading};

/// The manifests have problems.
pub(super) const EXIT_PROBLEMS: u8 = 1;

/// There was nothing to work on.
pub(super) const EXIT_COULD_NOT_RUN: u8 = 2;

/// Arguments of every subcommand that decides.
#[derive(Clone, Debug, clap::Args)]
pub struct Given {
    /// Manifest, or directory of manifests; may be given several times.
    #[arg(short, long = "filename", value_name = "PATH", required = true)]
    pub filename: Vec<PathBuf>,

    /// Nodes whose speakers are alive; all nodes without it.
    #[arg(long, value_name = "NODE,NODE", value_delimiter = ',')]
    pub speakers: Option<Vec<String>>,

    /// Lets nodes with the label `node.kubernetes.io/exclude-from-external-load-balancers` announce.
    #[arg(long)]
    pub ignore_exclude_lb: bool,
}

/// What the manifests say.
#[derive(Clone, Debug)]
pub struct Manifests {
    /// From the files.
    pub reading: Reading,
    /// From the objects, adjusted to what no manifest says.
    pub parsed: Parsed,
}

impl Given {
    /// Reads the manifests. Objects in the files `over` take the place of those with the same name.
    pub fn read(&self, over: &[PathBuf]) -> Manifests {
        let mut files = Files::of(self.filename.iter().cloned()).overlaid(over.iter().cloned());
        let reading = files.reload();
        let mut parsed = parse::facts(&reading.objects);
        self.adjust(&mut parsed.facts);
        Manifests { reading, parsed }
    }

    /// Makes facts of what no manifest says.
    pub(super) fn adjust(&self, facts: &mut Facts) {
        if self.ignore_exclude_lb {
            facts.ignore_exclude_label = true;
        }
        if let Some(speakers) = &self.speakers {
            facts.speakers = Some(speakers.iter().map(|name| NodeName(name.clone())).collect());
        }
    }
}

impl Manifests {
    /// What is wrong with files and objects.
    pub fn findings(&self) -> Findings<'_> {
        Findings { reading: &self.reading, parsed: &self.parsed }
    }

    /// Whether a path could not be read, so that there is nothing to work on.
    pub(super) fn is_unreadable(&self) -> bool {
        self.reading.unreadable_path().is_some()
    }

    pub(super) fn has_problems(&self) -> bool {
        !self.reading.problems.is_empty() || !self.parsed.problems.is_empty()
    }

    /// The node of this name.
    ///
    /// # Errors
    ///
    /// There is no such Node; the names that are like it are told.
    pub(super) fn node(&self, name: &str) -> Result<NodeName, String> {
        let nodes = &self.parsed.facts.nodes;
        let node = NodeName::from(name);
        if nodes.contains_key(&node) {
            return Ok(node);
        }
        let help = nearest::help(name, nodes.keys().map(|NodeName(name)| name.as_str()));
        Err(format!("there is no Node `{name}` in the manifests; {help}"))
    }
}

/// Writes why a subcommand cannot run.
pub(super) fn refuse(said: &mut impl io::Write, cause: &str) -> io::Result<()> {
    writeln!(said, "error: {cause}")
}

/// What is wrong with files and objects, a line each.
#[derive(Clone, Copy, Debug)]
pub struct Findings<'a> {
    /// What was found in the files.
    pub reading: &'a Reading,
    /// What was found in the objects.
    pub parsed: &'a Parsed,
}

impl Findings<'_> {
    /// Errors, and warnings about one Service.
    pub(super) fn about(&self, service: &ServiceName) -> String {
        let object = format!("Service/{service}: ");
        let all = self.to_string();
        let lines =
            all.lines().filter(|line| line.starts_with("error: ") || line.contains(&object));
        lines.map(|line| format!("{line}\n")).collect()
    }

    /// Those lines that `others` do not have.
    pub(super) fn beyond(&self, others: &Self) -> String {
        let others = others.to_string();
        let others: BTreeSet<_> = others.lines().collect();
        let all = self.to_string();
        let new = all.lines().filter(|line| !others.contains(line));
        new.map(|line| format!("{line}\n")).collect()
    }
}

impl fmt::Display for Findings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reading, parsed } = self;
        let origin = |problem: &parse::Problem| match reading.origins.get(&problem.object) {
            Some(origin) => format!("{origin}: "),
            None => String::new(),
        };
        for problem in &reading.problems {
            writeln!(f, "error: {problem}")?;
        }
        for problem in &parsed.problems {
            writeln!(f, "error: {}{problem}", origin(problem))?;
        }
        for warning in &reading.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        for warning in &parsed.warnings {
            writeln!(f, "warning: {}{warning}", origin(warning))?;
        }
        for kind in &reading.ignored {
            writeln!(f, "note: objects of the kind {kind} are ignored")?;
        }
        Ok(())
    }
}
