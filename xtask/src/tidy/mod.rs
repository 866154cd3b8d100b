//! `cargo xtask tidy`: the house rules that no other tool knows.
//!
//! Each check is a function of file names and texts, with a test that shows it fires.
//!
//! | file | what |
//! | --- | --- |
//! | [`tree`] | the files of the repository |
//! | [`scan`] | Rust as tokens: paths, macros, attributes, modules; no comments, no strings |
//! | [`rust`] | rules for one Rust file |
//! | [`purity`] | what decisions and protocols may not touch; where clocks and `unsafe` may be |
//! | [`modules`] | every Rust file is part of a crate |
//! | [`manifests`] | which crate may depend on what |
//! | [`locks`] | the second `Cargo.lock` is fresh |
//! | [`text`] | rules for every text file |
//! | [`docs`] | links, `ARCHITECTURE.md`, `CHANGELOG.md` |

use std::fmt;
use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::workspace::root;
use tree::Tree;

mod docs;
mod locks;
mod manifests;
mod modules;
mod purity;
mod rust;
mod scan;
mod text;
mod tree;

/// Check the house rules: names, lengths, dependencies, purity, links
#[derive(clap::Args)]
pub(crate) struct Arguments {}

/// A place where a rule is broken, and how to mend it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    what: String,
    mend: &'static str,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>, mend: &'static str) -> Self {
        Self { path: path.to_owned(), line, what: what.into(), mend }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, what, mend } = self;
        write!(f, "{path}:{line}: {what}, {mend}")
    }
}

pub(crate) fn run(_: &Arguments) -> Result<ExitCode> {
    check()?;
    println!("tidy");
    Ok(ExitCode::SUCCESS)
}

/// Prints every finding.
///
/// # Errors
///
/// If there is one.
pub(crate) fn check() -> Result<()> {
    let findings = findings()?;
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => Ok(()),
        1 => bail!("the tree is not tidy: 1 finding"),
        count => bail!("the tree is not tidy: {count} findings"),
    }
}

fn findings() -> Result<Vec<Finding>> {
    let tree = Tree::read(root())?;
    let mut findings: Vec<Finding> = tree.texts().flat_map(text::check).collect();
    findings.extend(modules::check(&tree));
    findings.extend(docs::check(&tree));
    let metadata = manifests::metadata()?;
    findings.extend(manifests::check(&tree, &metadata)?);
    findings.extend(locks::check(&tree, &metadata)?);
    for (path, text) in tree.rust() {
        match scan::scan(text) {
            Ok(scan) => {
                findings.extend(rust::check(path, text, &scan));
                findings.extend(purity::check(path, &scan));
            }
            Err(line) => {
                findings.push(Finding::new(path, line, "this is not Rust", "mend the syntax"));
            }
        }
    }
    findings.sort();
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        let lines: Vec<_> = findings().unwrap().iter().map(Finding::to_string).collect();
        assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
    }

    #[test]
    fn a_finding_says_where_what_and_how_to_mend() {
        let finding =
            Finding::new("crates/proto/src/a.rs", 7, "a clock", "take the time as an argument");
        assert_eq!(
            finding.to_string(),
            "crates/proto/src/a.rs:7: a clock, take the time as an argument"
        );
    }
}
