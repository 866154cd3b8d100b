//! Links lead somewhere, `ARCHITECTURE.md` names what exists, `CHANGELOG.md` is kept.

use super::Finding;
use super::tree::Tree;

const ARCHITECTURE: &str = "ARCHITECTURE.md";
const CHANGELOG: &str = "CHANGELOG.md";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings: Vec<_> = tree
        .texts()
        .filter(|(path, _)| path.ends_with(".md"))
        .flat_map(|(path, text)| links(tree, path, text))
        .collect();
    findings.extend(architecture(tree));
    findings.extend(changelog(tree));
    findings
}

/// Lines that are prose, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    text.lines().zip(1..).filter_map(move |(line, number)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        (!is_code && !is_fence).then_some((number, line))
    })
}

fn links(tree: &Tree, path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in prose(text) {
        for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = target.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains(':') || tree.has(&resolve(path, target)) {
                continue;
            }
            let what = format!("the link `{target}` leads nowhere");
            findings.push(Finding::new(path, number, what, "correct it"));
        }
    }
    findings
}

/// The path to which a link in the file `from` leads.
fn resolve(from: &str, target: &str) -> String {
    let directory = from.rsplit_once('/').map_or("", |(directory, _)| directory);
    let mut parts: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => (),
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// Paths in backticks exist, seen from the root or from `crates/`; every door of a crate is
/// named.
fn architecture(tree: &Tree) -> Vec<Finding> {
    let Some(text) = tree.text(ARCHITECTURE) else {
        return vec![Finding::new(ARCHITECTURE, 1, "it is missing", "write it")];
    };
    let mut findings = Vec::new();
    let mut named = Vec::new();
    for (number, line) in prose(text) {
        for path in line.split('`').skip(1).step_by(2).filter(|quoted| is_path(tree, quoted)) {
            named.push(path.trim_start_matches("crates/").trim_end_matches('/'));
            if !tree.has(path) && !tree.has(&format!("crates/{path}")) {
                let what = format!("there is no `{path}`");
                findings.push(Finding::new(ARCHITECTURE, number, what, "correct the path"));
            }
        }
    }
    // A directory of a crate's first level is a door; what is behind it, its `mod.rs` says.
    let doors =
        tree.texts().filter_map(|(path, _)| path.strip_prefix("crates/")?.strip_suffix("/mod.rs"));
    for directory in doors.filter(|path| path.split('/').count() == 3 && path.contains("/src/")) {
        if !named.contains(&directory) {
            let what = format!("`{directory}/` is not named");
            findings.push(Finding::new(ARCHITECTURE, 1, what, "say what is in there"));
        }
    }
    findings
}

/// Whether a quotation is a path of ours: it starts in one of our directories, or is a file with
/// one of our endings.
fn is_path(tree: &Tree, quoted: &str) -> bool {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || "_-./".contains(letter);
    if quoted.is_empty() || !quoted.chars().all(is_word) {
        return false;
    }
    let starts_here = quoted.split_once('/').is_some_and(|(first, _)| {
        !first.is_empty() && (tree.has(first) || tree.has(&format!("crates/{first}")))
    });
    starts_here || [".rs", ".md", ".toml"].iter().any(|end| quoted.ends_with(end))
}

fn changelog(tree: &Tree) -> Option<Finding> {
    let text = tree.text(CHANGELOG).unwrap_or_default();
    let has_section = text.lines().any(|line| line == "## Unreleased");
    let mend = "add the heading and say there what changes for users";
    (!has_section).then(|| Finding::new(CHANGELOG, 1, "no section `## Unreleased`", mend))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(files: &[(&str, &str)], want: &[&str]) {
        let kept = [(ARCHITECTURE, "`crates/a/src/b/`\n"), (CHANGELOG, "## Unreleased\n")];
        let is_given = |path: &str| files.iter().any(|(given, _)| *given == path);
        let mut all = vec![("crates/a/src/b/mod.rs", "")];
        all.extend(kept.into_iter().filter(|(path, _)| !is_given(path)));
        all.extend(files);
        let found: Vec<_> = super::check(&Tree::of(&all))
            .iter()
            .map(|found| format!("{}:{}: {}", found.path, found.line, found.what))
            .collect();
        assert_eq!(found, want);
    }

    #[test]
    fn a_link_leads_to_a_file_or_directory() {
        let good =
            "[a](install.md) [b](../README.md#top) [c](#here) [d](https://x.org/) [e](design/)\n";
        check(
            &[
                ("docs/l2.md", good),
                ("docs/install.md", ""),
                ("docs/design/0.md", ""),
                ("README.md", ""),
            ],
            &[],
        );
        check(
            &[("docs/l2.md", "a\n[b](gone.md)\n")],
            &["docs/l2.md:2: the link `gone.md` leads nowhere"],
        );
        check(&[("docs/l2.md", "```\n[b](gone.md)\n```\n")], &[]);
    }

    #[test]
    fn the_architecture_names_what_exists() {
        let text = "`a/src/b/` `crates/a/src/b/mod.rs` `metallb.io/v1beta1` `a::b` `handle`\n`a/src/c.rs` `gone.toml`\n";
        let want = [
            "ARCHITECTURE.md:2: there is no `a/src/c.rs`",
            "ARCHITECTURE.md:2: there is no `gone.toml`",
        ];
        check(&[(ARCHITECTURE, text)], &want);
    }

    #[test]
    fn the_architecture_names_the_doors_of_each_crate() {
        check(&[(ARCHITECTURE, "none\n")], &["ARCHITECTURE.md:1: `a/src/b/` is not named"]);
        check(&[("crates/a/src/b/c/mod.rs", ""), ("crates/a/src/d/tests.rs", "")], &[]);
    }

    #[test]
    fn the_changelog_has_a_place_for_the_next_change() {
        check(&[(CHANGELOG, "## 0.1.0\n")], &["CHANGELOG.md:1: no section `## Unreleased`"]);
    }

    #[test]
    fn files_that_must_be_there_are_missed() {
        let found = super::check(&Tree::of(&[]));
        let missing: Vec<_> = found.iter().map(|found| found.path.as_str()).collect();
        assert_eq!(missing, [ARCHITECTURE, CHANGELOG]);
    }
}
