//! Manifests above, plans below: each file in `scenarios/` is one rule.
//!
//! A file starts with a sentence, then come manifests after `-- given --`, and what follows from
//! them: what is wrong or noteworthy after `-- problems --`, addresses that were chosen after
//! `-- chosen --`, and what each node does after `-- plan for NODE --`. Which nodes are shown is up
//! to the file. `UPDATE=1 cargo test` writes what follows anew; read the difference before you
//! commit it.

use std::path::{Path, PathBuf};
use std::{fs, io};

use ferrolb::cli::plan::{Findings, Outcome};
use ferrolb::parse;
use ferrolb::source::files;
use planner::names::NodeName;

/// What a scenario says, in parts.
struct Scenario<'a> {
    sentence: &'a str,
    given: &'a str,
    /// Nodes whose plans are shown, in the order of the file.
    nodes: Vec<&'a str>,
}

impl<'a> Scenario<'a> {
    fn read(text: &'a str) -> Self {
        let (sentence, rest) = text.split_once("-- given --\n").expect("`-- given --`");
        let given = rest.find("\n-- ").map_or(rest, |end| &rest[..=end]);
        let nodes =
            rest.lines().filter_map(|line| line.strip_prefix("-- plan for ")?.strip_suffix(" --"));
        Self { sentence, given, nodes: nodes.collect() }
    }

    /// The whole text as it should be.
    fn play(&self) -> io::Result<String> {
        let directory = tempfile::tempdir()?;
        fs::write(directory.path().join("given.yaml"), self.given)?;
        let reading = files::read(directory.path());
        let parsed = parse::facts(&reading.objects);
        let findings = Findings { reading: &reading, parsed: &parsed }.to_string();
        let outcome = Outcome::of(parsed.facts.clone());
        let path = format!("{}/", directory.path().display());
        let problems = format!("{}{outcome}", findings.replace(&path, ""));
        let mut sections =
            vec![("problems".to_owned(), problems), ("chosen".to_owned(), outcome.table())];
        sections.retain(|(_, text)| !text.is_empty());
        for node in &self.nodes {
            let plan = outcome.plan(&NodeName::from(*node));
            sections.push((format!("plan for {node}"), plan.table()));
        }
        let sections = sections.iter().map(|(name, text)| format!("\n-- {name} --\n{text}"));
        let given = self.given.trim_end();
        Ok(format!("{}-- given --\n{given}\n{}", self.sentence, sections.collect::<String>()))
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
        assert!(!scenario.nodes.is_empty(), "{} shows no plan", file.display());
        let played = scenario.play().unwrap();
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
    assert_eq!(Findings { reading: &reading, parsed: &parsed }.to_string(), "");
    let outcome = Outcome::of(parsed.facts);
    assert_eq!(outcome.to_string(), "");
    let plans = ["node-a", "node-b", "node-c"].map(|node| outcome.plan(&node.into()).table());
    let announcing = plans.iter().filter(|plan| plan.contains("announces")).count();
    let waiting = plans.iter().filter(|plan| plan.contains("stands by")).count();
    assert_eq!((announcing, waiting), (1, 2), "{plans:?}");
}
