//! `ferrolb validate`: what is wrong with manifests, before anybody applies them.
//!
//! The same code as in the running system. As JSON a report is `{"problems": […], "warnings": […]}`,
//! each entry with `object`, `field`, `message` and `help`; as text each is shown where it is
//! written. `object` is `Kind/namespace/name`, or the path of a file that is wrong as a whole.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use anyhow::Context as _;
use clap::ValueEnum;
use serde::Serialize;

use super::cluster::Cluster;
use super::given::{EXIT_COULD_NOT_RUN, EXIT_PROBLEMS, Source};
use super::plan::Output;
use crate::parse::{self, Parsed, Problem};
use crate::source::document::{Fault, FileProblem};
use crate::source::files::{self, Reading};
use crate::source::locate::Atlas;

/// Arguments of `ferrolb validate`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Manifest, or directory of manifests; may be given several times. Without it, a cluster is
    /// looked at.
    #[arg(short, long = "filename", value_name = "PATH", num_args = 1.., conflicts_with_all = ["kubeconfig", "context"])]
    pub filename: Vec<PathBuf>,

    /// The cluster to look at.
    #[command(flatten)]
    pub cluster: Cluster,

    /// Has no effect: all fields work with our BGP. Accepted for those who come from MetalLB.
    #[arg(long, value_enum, value_name = "TYPE")]
    pub bgp_type: Option<BgpType>,

    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// What speaks BGP in MetalLB.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum BgpType {
    /// MetalLB's own code.
    Native,
    /// FRR beside the speaker.
    Frr,
    /// FRR in pods of its own.
    FrrK8s,
}

/// Runs `ferrolb validate`. The exit code is 0 if the manifests are accepted, 1 if they have
/// problems, 2 if they cannot be read.
///
/// # Errors
///
/// If the output cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.bgp_type.is_some() {
        eprintln!("note: `--bgp-type` has no effect: all fields work with our BGP");
    }
    let source = Source::open(&args.filename, &args.cluster)?;
    source.notes().iter().for_each(|note| eprintln!("note: {note}"));
    let reading = source.read(&[]);
    let unreadable: Vec<_> =
        reading.problems.iter().filter(|problem| is_unreadable(problem)).collect();
    if !unreadable.is_empty() {
        unreadable.iter().for_each(|problem| eprintln!("error: {problem}"));
        return Ok(ExitCode::from(EXIT_COULD_NOT_RUN));
    }
    if reading.objects.count() == 0 && reading.problems.is_empty() {
        eprintln!("note: there is no object of a kind that we read");
    }
    let report = Report::of(&reading, &parse::facts(&reading.objects));
    let mut out = io::stdout().lock();
    let text = match args.output {
        Output::Json => serde_json::to_string_pretty(&report).context("writing JSON")?,
        Output::Text => report.text(out.is_terminal()),
    };
    writeln!(out, "{}", text.trim_end()).context("writing the report")?;
    let code = if report.problems.is_empty() { 0 } else { EXIT_PROBLEMS };
    Ok(ExitCode::from(code))
}

fn is_unreadable(problem: &FileProblem) -> bool {
    match problem.fault {
        Fault::Path(_) | Fault::Unreadable(_) => true,
        Fault::Deprecated(..)
        | Fault::Duplicate(..)
        | Fault::Nameless(_)
        | Fault::NotAnObject(_)
        | Fault::Shape { .. }
        | Fault::Syntax(_)
        | Fault::TooLarge(_)
        | Fault::UnknownField { .. } => false,
    }
}

/// What was found in manifests, as `validate -o json` prints it.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Report {
    /// What is wrong; each takes its object out.
    pub problems: Vec<Finding>,
    /// What is surely not meant, but counts.
    pub warnings: Vec<Finding>,
    /// How many objects there are.
    #[serde(skip)]
    objects: usize,
}

/// Something that was found in a file or in an object.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Finding {
    /// `Kind/namespace/name`, `Kind/name` without a namespace, or the path of a file.
    pub object: String,
    /// The field, such as `spec.addresses[0]`; empty for the whole.
    pub field: String,
    /// What is wrong with it. A second line, if there is one, is the consequence.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Where the object is written.
    #[serde(skip)]
    place: Option<Place>,
    /// What the parser of the file shows.
    #[serde(skip)]
    excerpt: Option<String>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Place {
    file: PathBuf,
    /// Line of the document, from 1.
    line: u64,
}

impl Report {
    /// All that was found in files and in the objects they hold.
    pub fn of(reading: &Reading, parsed: &Parsed) -> Self {
        let of_object = |problem: &Problem| Finding {
            object: problem.object.to_string(),
            field: problem.field.clone(),
            message: problem.message.clone(),
            help: problem.help.clone(),
            place: reading
                .origins
                .get(&problem.object)
                .map(|origin| Place { file: origin.file.clone(), line: origin.line }),
            excerpt: None,
        };
        let all = |of_files: &[FileProblem], of_objects: &[Problem]| {
            let of_files = of_files.iter().map(Finding::of_file);
            of_files.chain(of_objects.iter().map(of_object)).collect()
        };
        let strangers = reading.ignored.iter().filter(|kind| is_stranger(kind));
        let mut problems: Vec<_> = all(&reading.problems, &parsed.problems);
        problems.extend(strangers.map(|kind| Finding::of_stranger(kind)));
        Self {
            problems,
            warnings: all(&reading.warnings, &parsed.warnings),
            objects: reading.objects.count(),
        }
    }

    /// The report for people: each finding with the lines that it is about, then how many there are.
    pub fn text(&self, has_colour: bool) -> String {
        let renderer = if has_colour { Renderer::styled() } else { Renderer::plain() };
        let places = self.problems.iter().chain(&self.warnings).filter_map(|f| f.place.as_ref());
        let texts: BTreeMap<_, _> = places
            .filter_map(|place| Some((place.file.as_path(), files::text(&place.file).ok()?)))
            .collect();
        let pages: BTreeMap<_, _> = texts
            .iter()
            .filter_map(|(file, text)| Some((*file, Page::new(Atlas::new(text)?))))
            .collect();
        let problems = self.problems.iter().map(|finding| (Level::ERROR, finding));
        let warnings = self.warnings.iter().map(|finding| (Level::WARNING, finding));
        let mut text = String::new();
        for (level, finding) in problems.chain(warnings) {
            text += &finding.render(level, &pages, &renderer);
            text += "\n\n";
        }
        text + &self.summary()
    }

    fn summary(&self) -> String {
        let count = |number: usize, noun: &str| match number {
            0 => format!("no {noun}s"),
            1 => format!("1 {noun}"),
            _ => format!("{number} {noun}s"),
        };
        format!(
            "{} and {} in {}\n",
            count(self.problems.len(), "problem"),
            count(self.warnings.len(), "warning"),
            count(self.objects, "object"),
        )
    }
}

/// Whether an `apiVersion kind` that we do not read is of our group all the same, and not one of
/// those that only we write.
fn is_stranger(kind: &str) -> bool {
    let written = ["ConfigurationState", "ServiceBGPStatus", "ServiceL2Status"];
    kind.strip_prefix("metallb.io/")
        .is_some_and(|kind| !written.iter().any(|ours| kind == format!("v1beta1 {ours}")))
}

/// A manifest as it may be shown.
struct Page<'a> {
    atlas: Atlas<'a>,
    redacted: String,
}

impl<'a> Page<'a> {
    fn new(atlas: Atlas<'a>) -> Self {
        let redacted = atlas.redacted();
        Self { atlas, redacted }
    }
}

impl Finding {
    fn of_stranger(kind: &str) -> Self {
        Self {
            object: kind.to_owned(),
            field: "kind".to_owned(),
            message: "there is no such kind".to_owned(),
            help: Some("check `apiVersion` and `kind`".to_owned()),
            place: None,
            excerpt: None,
        }
    }

    fn of_file(problem: &FileProblem) -> Self {
        let file = problem.file.display().to_string();
        let (object, field, message, help) = match &problem.fault {
            Fault::Deprecated(name, what) => {
                let help = "write `apiVersion: metallb.io/v1beta2`";
                (name.to_string(), "apiVersion", (*what).to_owned(), Some(help.to_owned()))
            }
            Fault::Duplicate(name, first) => {
                let message = format!("it is already at {first}; this one is left out");
                (name.to_string(), "metadata.name", message, Some("remove one of them".to_owned()))
            }
            Fault::Nameless(kind) => {
                let message = "the object has no name".to_owned();
                (kind.clone(), "metadata.name", message, Some("give it one".to_owned()))
            }
            Fault::NotAnObject(lack) => {
                let help = "write a Kubernetes object, or move the file elsewhere";
                (file, "", format!("not a Kubernetes object: {lack}"), Some(help.to_owned()))
            }
            Fault::Shape { object, misfit } => {
                (object.clone(), misfit.field.as_str(), misfit.message.clone(), None)
            }
            Fault::Syntax(excerpt) => {
                let line = excerpt.lines().next().unwrap_or_default();
                (file, "", line.to_owned(), Some("mend the YAML there".to_owned()))
            }
            Fault::UnknownField { object, field } => {
                let message = "the kind has no such field, it is ignored".to_owned();
                let help = "check how it is written, or remove it";
                (object.to_string(), field.as_str(), message, Some(help.to_owned()))
            }
            fault @ (Fault::Path(_) | Fault::TooLarge(_) | Fault::Unreadable(_)) => {
                (file, "", fault.to_string(), None)
            }
        };
        let excerpt =
            matches!(problem.fault, Fault::Syntax(_)).then(|| format!("error: {problem}"));
        let place = problem.line.map(|line| Place { file: problem.file.clone(), line });
        Self { object, field: field.to_owned(), message, help, place, excerpt }
    }

    /// The finding with the lines that it is about.
    fn render(
        &self,
        level: Level<'_>,
        pages: &BTreeMap<&Path, Page<'_>>,
        renderer: &Renderer,
    ) -> String {
        if let Some(excerpt) = &self.excerpt {
            return excerpt.clone();
        }
        let subject = match self.field.as_str() {
            "" => self.object.clone(),
            field => format!("{field} of {}", self.object),
        };
        let title = level.primary_title(self.message.replace('\n', ", "));
        let file = self.place.as_ref().map(|place| place.file.display().to_string());
        let found = self.place.as_ref().and_then(|place| {
            let page = pages.get(place.file.as_path())?;
            Some((page, page.atlas.find(&self.object, place.line, &self.field)?))
        });
        let group: Group<'_> = match (found, &self.place, file) {
            (Some((page, found)), _, Some(file)) => {
                let mark = AnnotationKind::Primary.span(found.span).label(&subject);
                let snippet = Snippet::source(page.redacted.as_str()).path(file).annotation(mark);
                title.element(snippet)
            }
            (None, Some(place), Some(file)) => {
                let line = usize::try_from(place.line).unwrap_or_default();
                let origin = Origin::path(file).line(line);
                title.element(origin).element(Level::NOTE.message(&subject))
            }
            (_, None, _) | (_, _, None) => title.element(Level::NOTE.message(&subject)),
        };
        let group = match &self.help {
            Some(help) => group.element(Level::HELP.message(help)),
            None => group,
        };
        renderer.render(&[group])
    }
}
