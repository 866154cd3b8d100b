//! What subcommands work on: manifests or a cluster, and who is alive.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::PathBuf;

use planner::assign::Choice;
use planner::facts::Facts;
use planner::names::{NodeName, ServiceName};

use super::cluster::{Cluster, Found};
use super::nearest;
use crate::parse::{self, Parsed};
use crate::source::files::{Files, Reading};
use crate::source::object::Object;

/// The manifests have problems.
pub(super) const EXIT_PROBLEMS: u8 = 1;

/// There was nothing to work on.
pub(super) const EXIT_COULD_NOT_RUN: u8 = 2;

/// Arguments of every subcommand that decides.
#[derive(Clone, Debug, clap::Args)]
pub struct Given {
    /// Manifest, or directory of manifests; may be given several times. Without it, a cluster is
    /// looked at.
    #[arg(short, long = "filename", value_name = "PATH", conflicts_with_all = ["kubeconfig", "context"])]
    pub filename: Vec<PathBuf>,

    /// The cluster to look at.
    #[command(flatten)]
    pub cluster: Cluster,

    /// Nodes whose speakers are alive. Without it all nodes of manifests, and those of a cluster whose
    /// speakers are ready.
    #[arg(long, value_name = "NODE,NODE", value_delimiter = ',')]
    pub speakers: Option<Vec<String>>,

    /// Lets nodes with the label `node.kubernetes.io/exclude-from-external-load-balancers` announce.
    #[arg(long)]
    pub ignore_exclude_lb: bool,
}

/// Where objects come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Files and directories.
    Files(Vec<PathBuf>),
    /// A cluster, as it was when it was looked at.
    Cluster(Box<Found>),
}

impl Source {
    /// The files, or the cluster if there are none.
    ///
    /// # Errors
    ///
    /// The cluster cannot be reached, or does not let us see what we need.
    pub fn open(files: &[PathBuf], cluster: &Cluster) -> anyhow::Result<Self> {
        match files {
            [] => Ok(Self::Cluster(Box::new(cluster.look()?))),
            files => Ok(Self::Files(files.to_vec())),
        }
    }

    /// Reads what there is. Objects in the files `over` take the place of those with the same name.
    pub(super) fn read(&self, over: &[PathBuf]) -> Reading {
        let over = over.iter().cloned();
        match self {
            Self::Files(files) => Files::of(files.iter().cloned()).overlaid(over).reload(),
            Self::Cluster(found) => {
                let mut reading = Files::of(over).reload();
                let is_there = |object: &Object| {
                    object.name().is_some_and(|name| reading.origins.contains_key(&name))
                };
                let (_, others): (Vec<_>, Vec<_>) =
                    found.objects.iter().cloned().partition(is_there);
                others.into_iter().for_each(|object| reading.objects.add(object));
                reading.problems.extend(found.problems.iter().cloned());
                reading
            }
        }
    }

    /// What to know beside the objects.
    pub(super) fn notes(&self) -> &[String] {
        match self {
            Self::Files(_) => &[],
            Self::Cluster(found) => &found.notes,
        }
    }

    /// Manifests are for nodes without a controller; a cluster has one.
    fn choice(&self) -> Choice {
        match self {
            Self::Files(_) => Choice::Hashed,
            Self::Cluster(_) => Choice::FirstFree,
        }
    }

    /// `the manifests` or `the cluster`.
    fn name(&self) -> &'static str {
        match self {
            Self::Files(_) => "the manifests",
            Self::Cluster(_) => "the cluster",
        }
    }
}

/// What the manifests, or the objects of a cluster, say.
#[derive(Clone, Debug)]
pub struct Manifests {
    /// From the files.
    pub reading: Reading,
    /// From the objects, adjusted to what no manifest says.
    pub parsed: Parsed,
    /// What to know beside them, a sentence each.
    notes: Vec<String>,
    /// Where they are, in words.
    pub(super) place: &'static str,
    /// How whoever serves them chooses addresses.
    pub(super) choice: Choice,
}

impl Given {
    /// Where the objects come from. A cluster is looked at here, once.
    ///
    /// # Errors
    ///
    /// As [`Source::open`].
    pub fn source(&self) -> anyhow::Result<Source> {
        Source::open(&self.filename, &self.cluster)
    }

    /// Reads the objects. Those in the files `over` take the place of those with the same name.
    pub fn read(&self, source: &Source, over: &[PathBuf]) -> Manifests {
        let reading = source.read(over);
        let mut parsed = parse::facts(&reading.objects);
        if let Source::Cluster(found) = source {
            parsed.facts.speakers.clone_from(&found.speakers);
            parsed.facts.rivals.clone_from(&found.rivals);
        }
        self.adjust(&mut parsed.facts);
        let (notes, place) = (source.notes().to_vec(), source.name());
        Manifests { reading, parsed, notes, place, choice: source.choice() }
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
        Findings { reading: &self.reading, parsed: &self.parsed, notes: &self.notes }
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
        Err(format!("there is no Node `{name}` in {}; {help}", self.place))
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
    /// What to know beside them, a sentence each.
    pub notes: &'a [String],
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
        let Self { reading, parsed, notes } = self;
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
        for note in *notes {
            writeln!(f, "note: {note}")?;
        }
        Ok(())
    }
}
