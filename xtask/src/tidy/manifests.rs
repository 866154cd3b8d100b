//! Which crate may depend on what: `proto` ← `planner` ← `ferrolb`, and no IO in the first two.

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::Finding;
use super::tree::Tree;
use crate::workspace::{cargo, root};

/// What a crate of ours may depend on.
struct Rule {
    package: &'static str,
    /// Crates of this repository, also for its tests.
    ours: &'static [&'static str],
    /// Crates of others, for a crate that does no IO: each of these does none either.
    others: Option<&'static [&'static str]>,
}

const RULES: [Rule; 7] = [
    Rule {
        package: "proto",
        ours: &[],
        others: Some(&["ipnet", "md-5", "ring", "sha2", "smoltcp"]),
    },
    Rule { package: "planner", ours: &["proto"], others: Some(&["ipnet", "rangemap", "sha2"]) },
    Rule { package: "ferrolb", ours: &["planner", "proto"], others: None },
    Rule { package: "lab", ours: &[], others: None },
    Rule { package: "fuzz", ours: &["ferrolb", "planner", "proto"], others: None },
    Rule { package: "pod", ours: &[], others: Some(&[]) },
    Rule { package: "xtask", ours: &["lab"], others: None },
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
pub(super) struct Package {
    pub(super) name: String,
    manifest_path: String,
    pub(super) dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
pub(super) struct Dependency {
    pub(super) name: String,
    /// `dev` or `build`; a plain dependency has none.
    pub(super) kind: Option<String>,
    /// Set for crates of this repository.
    path: Option<String>,
}

/// The manifests of the workspace as cargo understands them.
pub(super) fn metadata() -> Result<String> {
    let mut command = cargo();
    command.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    let output = command.output().context("starting `cargo metadata`")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`cargo metadata` failed: {said}");
    String::from_utf8(output.stdout).context("reading what `cargo metadata` says")
}

/// The crates that cargo told of.
pub(super) fn packages(metadata: &str) -> Result<Vec<Package>> {
    let Metadata { packages } =
        serde_json::from_str(metadata).context("reading what `cargo metadata` says")?;
    Ok(packages)
}

pub(super) fn check(tree: &Tree, metadata: &str) -> Result<Vec<Finding>> {
    Ok(packages(metadata)?.iter().flat_map(|package| check_package(tree, package)).collect())
}

fn check_package(tree: &Tree, package: &Package) -> Vec<Finding> {
    let path = package.manifest_path.trim_start_matches(&*root().to_string_lossy());
    let path = path.trim_start_matches('/');
    let text = tree.text(path).unwrap_or_default();
    let mut findings = Vec::new();
    if !text.contains("[lints]\nworkspace = true\n") {
        let mend = "add `[lints]` with `workspace = true`";
        findings.push(Finding::new(path, 1, "the lints of the workspace are not used", mend));
    }
    let Some(rule) = RULES.iter().find(|rule| rule.package == package.name) else {
        let mend = "say in xtask/src/tidy/manifests.rs what it may depend on";
        findings.push(Finding::new(path, 1, "no rule for this crate", mend));
        return findings;
    };
    findings.extend(package.dependencies.iter().filter_map(|dependency| {
        let (what, mend) = wrong(rule, dependency)?;
        Some(Finding::new(path, line_of(text, &dependency.name), what, mend))
    }));
    findings
}

fn wrong(rule: &Rule, dependency: &Dependency) -> Option<(String, &'static str)> {
    let Rule { package, ours, others } = rule;
    let name = dependency.name.as_str();
    if dependency.path.is_some() {
        let mend = "turn the arrow round: see ARCHITECTURE.md";
        return (!ours.contains(&name)).then(|| (format!("`{package}` depends on `{name}`"), mend));
    }
    let is_allowed = others.is_none_or(|others| others.contains(&name));
    let mend =
        "do it in crates/ferrolb, or add the crate to xtask/src/tidy/manifests.rs if it does no IO";
    let what = || (format!("`{package}`, which does no IO, depends on `{name}`"), mend);
    (!is_allowed && dependency.kind.as_deref() != Some("dev")).then(what)
}

/// The line of a manifest that names a dependency.
fn line_of(text: &str, name: &str) -> usize {
    let names =
        |line: &str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['.', ' ', '=']));
    text.lines().position(names).map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[lints]\nworkspace = true\n\n[dependencies]\n";

    /// A manifest and what cargo makes of its dependencies.
    #[track_caller]
    fn check(package: &str, manifest: &str, dependencies: &str, want: &[&str]) {
        let path = format!("crates/{package}/Cargo.toml");
        let metadata = format!(
            r#"{{"packages": [{{"name": "{package}", "manifest_path": "{}/{path}",
                "dependencies": [{dependencies}]}}]}}"#,
            root().display()
        );
        let found = super::check(&Tree::of(&[(&path, manifest)]), &metadata).unwrap();
        let found: Vec<_> =
            found.iter().map(|found| format!("{}: {}", found.line, found.what)).collect();
        assert_eq!(found, want);
    }

    fn ours(name: &str) -> String {
        format!(r#"{{"name": "{name}", "kind": null, "path": "/{name}"}}"#)
    }

    fn other(name: &str, kind: &str) -> String {
        format!(r#"{{"name": "{name}", "kind": {kind}, "path": null}}"#)
    }

    #[test]
    fn the_arrow_points_one_way() {
        check("planner", GOOD, &ours("proto"), &[]);
        let manifest = format!("{GOOD}planner.workspace = true\n");
        check("proto", &manifest, &ours("planner"), &["5: `proto` depends on `planner`"]);
        check("lab", GOOD, &ours("ferrolb"), &["1: `lab` depends on `ferrolb`"]);
        check("ferrolb", GOOD, &ours("lab"), &["1: `ferrolb` depends on `lab`"]);
    }

    #[test]
    fn a_crate_without_io_depends_on_none_that_does_it() {
        check("proto", GOOD, &other("smoltcp", "null"), &[]);
        check("proto", GOOD, &other("proptest", "\"dev\""), &[]);
        let what =
            |kind| (other("tokio", kind), "1: `proto`, which does no IO, depends on `tokio`");
        for (dependency, want) in [what("null"), what("\"build\"")] {
            check("proto", GOOD, &dependency, &[want]);
        }
        check("ferrolb", GOOD, &other("tokio", "null"), &[]);
    }

    #[test]
    fn a_crate_keeps_the_lints_and_has_a_rule() {
        check("lab", "[dependencies]\n", "", &["1: the lints of the workspace are not used"]);
        check("new", GOOD, "", &["1: no rule for this crate"]);
    }
}
