//! Manifests above, plans below: each file in `scenarios/` is one rule.
//!
//! A file starts with a sentence, then come manifests after `-- given --`, and what follows from
//! them: what is wrong or noteworthy after `-- problems --`, addresses that were chosen after
//! `-- chosen --`, what each node does after `-- plan for NODE --`, and what the other subcommands
//! say after `-- explain ARGUMENTS --` and `-- simulate ARGUMENTS --`. Which of these are shown is
//! up to the file. `--apply` finds what is written after `-- NAME.yaml --`. `UPDATE=1 cargo test` writes what follows anew; read the difference before you
//! commit it.

use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::Parser as _;
use ferrolb::cli::given::Findings;
use ferrolb::cli::outcome::Outcome;
use ferrolb::cli::{explain, simulate};
use ferrolb::parse;
use ferrolb::source::files;
use planner::assign::Choice;
use planner::names::NodeName;

/// What a scenario says, in parts.
struct Scenario<'a> {
    sentence: &'a str,
    given: &'a str,
    /// More manifests with their names.
    more: Vec<(&'a str, &'a str)>,
    /// What is shown, in the order of the file.
    shown: Vec<Shown<'a>>,
}

/// Something that follows from the manifests.
enum Shown<'a> {
    /// The plan of this node.
    Plan(&'a str),
    /// What a subcommand says to these arguments.
    Answer(&'a str),
}

#[derive(Debug, clap::Parser)]
enum Command {
    Explain(explain::Args),
    Simulate(simulate::Args),
}

impl<'a> Scenario<'a> {
    fn read(text: &'a str) -> Self {
        let (sentence, rest) = text.split_once("-- given --\n").expect("`-- given --`");
        let mut sections = rest.split("\n-- ");
        let given = sections.next().expect("the manifests");
        let (mut more, mut shown) = (Vec::new(), Vec::new());
        for section in sections {
            let (name, text) = section.split_once(" --\n").expect("the name of a section");
            if name.ends_with(".yaml") && !name.contains(" ") {
                more.push((name, text));
            } else if let Some(node) = name.strip_prefix("plan for ") {
                shown.push(Shown::Plan(node));
            } else if name.starts_with("explain ") || name.starts_with("simulate ") {
                shown.push(Shown::Answer(name));
            }
        }
        Self { sentence, given, more, shown }
    }

    /// The whole text as it should be.
    fn play(&self) -> io::Result<String> {
        let directory = tempfile::tempdir()?;
        fs::write(directory.path().join("given.yaml"), self.given)?;
        let reading = files::read(directory.path());
        let parsed = parse::facts(&reading.objects);
        let findings = Findings { reading: &reading, parsed: &parsed, notes: &[] }.to_string();
        let outcome = Outcome::of(parsed.facts.clone(), Choice::Hashed);
        let path = format!("{}/", directory.path().display());
        let problems = format!("{}{outcome}", findings.replace(&path, ""));
        let mut sections =
            vec![("problems".to_owned(), problems), ("chosen".to_owned(), outcome.table())];
        sections.retain(|(_, text)| !text.is_empty());
        sections
            .extend(self.more.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())));
        for shown in &self.shown {
            sections.push(match shown {
                Shown::Plan(node) => {
                    (format!("plan for {node}"), outcome.plan(&NodeName::from(*node)).table())
                }
                Shown::Answer(words) => {
                    ((*words).to_owned(), self.answer(words, directory.path())?.replace(&path, ""))
                }
            });
        }
        let sections =
            sections.iter().map(|(name, text)| format!("\n-- {name} --\n{}\n", text.trim_end()));
        let given = self.given.trim_end();
        Ok(format!("{}-- given --\n{given}\n{}", self.sentence, sections.collect::<String>()))
    }
}

impl Scenario<'_> {
    /// What a subcommand says, on standard error and then on standard output.
    fn answer(&self, words: &str, directory: &Path) -> io::Result<String> {
        let elsewhere = tempfile::tempdir()?;
        for (name, text) in &self.more {
            fs::write(elsewhere.path().join(name), text)?;
        }
        let applied = |word: &str| match word.ends_with(".yaml") {
            true => elsewhere.path().join(word).display().to_string(),
            false => word.to_owned(),
        };
        let line = ["ferrolb".to_owned()].into_iter().chain(words.split(' ').map(applied));
        let given = ["-f".to_owned(), directory.display().to_string()];
        let mut said = Vec::new();
        let answer = match Command::parse_from(line.chain(given)) {
            Command::Explain(args) => {
                explain::explanation(&args, &mut said)?.map(|answer| answer.to_string())
            }
            Command::Simulate(args) => {
                simulate::difference(&args, &mut said)?.map(|answer| answer.to_string())
            }
        };
        let said = String::from_utf8_lossy(&said);
        let elsewhere = format!("{}/", elsewhere.path().display());
        Ok(format!("{}{}", said.replace(&elsewhere, ""), answer.unwrap_or_default()))
    }
}

fn scenarios() -> io::Result<Vec<PathBuf>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let entries = fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path()));
    let mut files = entries.collect::<io::Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

#[test]
fn every_scenario_ends_as_written() {
    let is_update = std::env::var_os("UPDATE").is_some_and(|value| value == "1");
    let files = scenarios().unwrap();
    assert!(!files.is_empty());
    let mut failures = String::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let scenario = Scenario::read(&text);
        assert!(text.starts_with("# "), "{} starts with a sentence", file.display());
        let played = scenario.play().unwrap();
        let shows = !scenario.shown.is_empty() || played.contains("\n-- problems --\n");
        assert!(shows, "{} shows nothing", file.display());
        if played == text {
            continue;
        }
        if is_update {
            fs::write(&file, played).unwrap();
        } else {
            failures += &format!("\n{} ends differently:\n\n{played}", file.display());
        }
    }
    assert!(failures.is_empty(), "{failures}\nif this is right, run UPDATE=1 cargo test");
}

#[test]
fn the_examples_have_neither_problems_nor_warnings() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let reading = files::read(examples);
    let parsed = parse::facts(&reading.objects);
    assert_eq!(Findings { reading: &reading, parsed: &parsed, notes: &[] }.to_string(), "");
    let outcome = Outcome::of(parsed.facts, Choice::Hashed);
    assert_eq!(outcome.to_string(), "");
    let plans = ["node-a", "node-b", "node-c"].map(|node| outcome.plan(&node.into()).table());
    let announcing = plans.iter().filter(|plan| plan.contains("announces")).count();
    let waiting = plans.iter().filter(|plan| plan.contains("stands by")).count();
    assert_eq!((announcing, waiting), (1, 2), "{plans:?}");
}
