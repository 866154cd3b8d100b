//! What nextest says about a run, from its JUnit report.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context as _, Result};
use roxmltree::{Document, Node};

/// The tests of a run, counted.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Report {
    passed: usize,
    /// Tests that failed.
    pub(crate) failed: usize,
    skipped: Vec<Skip>,
}

/// A test that could not run here and said so with a line `SKIPPED name: reason`.
#[derive(Debug, Eq, PartialEq)]
struct Skip {
    name: String,
    reason: String,
}

impl Report {
    /// Reads a report. nextest counts a test that skips itself as passed; here it is not.
    pub(crate) fn read(xml: &str) -> Result<Self> {
        let document = Document::parse(xml).context("reading nextest's JUnit report")?;
        let mut report = Self::default();
        for case in document.descendants().filter(|node| node.has_tag_name("testcase")) {
            if child(case, "failure").or_else(|| child(case, "error")).is_some() {
                report.failed += 1;
            } else if let Some(skip) = skip(case) {
                report.skipped.push(skip);
            } else {
                report.passed += 1;
            }
        }
        Ok(report)
    }

    /// A trial whose steps need one another: of `count` steps so many passed, then one failed.
    pub(crate) fn of_steps(passed: usize, count: usize) -> Self {
        Self { passed, failed: usize::from(passed < count), skipped: Vec::new() }
    }

    /// One thing that could not be tried here.
    pub(crate) fn skipped(name: &str, reason: &str) -> Self {
        let skip = Skip { name: name.to_owned(), reason: reason.to_owned() };
        Self { skipped: vec![skip], ..Self::default() }
    }

    /// Counts another run in.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped.extend(other.skipped);
    }

    /// One line with every skipped test and why, if there are any.
    pub(crate) fn skips(&self) -> Option<String> {
        let mut by_reason = BTreeMap::<_, Vec<_>>::new();
        for Skip { name, reason } in &self.skipped {
            by_reason.entry(reason.as_str()).or_default().push(name.as_str());
        }
        let groups: Vec<_> = by_reason
            .into_iter()
            .map(|(reason, names)| format!("{} ({reason})", names.join(", ")))
            .collect();
        (!groups.is_empty())
            .then(|| format!("SKIPPED {}: {}", self.skipped.len(), groups.join("; ")))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, skipped } = self;
        write!(f, "{passed} passed, {failed} failed, {} skipped", skipped.len())
    }
}

fn child<'a>(node: Node<'a, 'a>, name: &str) -> Option<Node<'a, 'a>> {
    node.children().find(|child| child.has_tag_name(name))
}

fn skip(case: Node<'_, '_>) -> Option<Skip> {
    let outputs = ["system-out", "system-err"].map(|name| child(case, name)?.text());
    let mut lines = outputs.into_iter().flatten().flat_map(str::lines);
    let (name, reason) = lines.find_map(|line| line.strip_prefix("SKIPPED ")?.split_once(": "))?;
    Some(Skip { name: name.to_owned(), reason: reason.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="nextest-run" tests="5" failures="1" errors="1">
  <testsuite name="lab::lan" tests="5">
    <testcase name="a_pass"><system-out>running 1 test</system-out></testcase>
    <testcase name="a_failure"><failure type="test failure">why</failure></testcase>
    <testcase name="an_error"><error type="abort"/></testcase>
    <testcase name="b"><system-err>before
SKIPPED lan::b: no program `nft`: install the package `nftables`
</system-err></testcase>
    <testcase name="c"><system-err>SKIPPED lan::c: no program `nft`: install the package `nftables`</system-err></testcase>
  </testsuite>
</testsuites>"#;

    #[test]
    fn a_run_is_counted() {
        let report = Report::read(REPORT).unwrap();
        assert_eq!(report.to_string(), "1 passed, 2 failed, 2 skipped");
    }

    #[test]
    fn skips_are_named_with_their_reason_in_one_line() {
        let line = "SKIPPED 2: lan::b, lan::c (no program `nft`: install the package `nftables`)";
        assert_eq!(Report::read(REPORT).unwrap().skips().as_deref(), Some(line));
        assert_eq!(Report::default().skips(), None);
    }

    #[test]
    fn the_steps_of_a_trial_are_counted_too() {
        let mut report = Report::of_steps(3, 12);
        report.add(Report::of_steps(12, 12));
        report.add(Report::skipped("cluster", "no Go: install it"));
        assert_eq!(report.to_string(), "15 passed, 1 failed, 1 skipped");
        assert_eq!(report.skips().as_deref(), Some("SKIPPED 1: cluster (no Go: install it)"));
    }

    #[test]
    fn a_torn_report_is_an_error() {
        assert!(Report::read("<testsuites>").is_err());
    }
}
