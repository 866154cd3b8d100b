//! Writing chosen addresses into the manifests, so that they stay.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use planner::names::ServiceName;

use crate::cli::outcome::Outcome;
use crate::source::files;
use crate::source::pin::{self, CannotPin};

/// Writes the chosen addresses into the manifests in `directory`. Says whether all went well.
pub(super) fn write_status(
    directory: &Path,
    outcome: &Outcome,
    said: &mut impl io::Write,
) -> io::Result<bool> {
    let manifests = match files::manifests(directory) {
        Ok(manifests) => manifests,
        Err(cause) => {
            writeln!(said, "error: {} cannot be read: {cause}", directory.display())?;
            return Ok(false);
        }
    };
    let mut is_good = true;
    let mut missing = outcome.new.iter().collect();
    for file in manifests {
        is_good &= pin_all(&file, outcome, &mut missing, said)?;
    }
    for name in &missing {
        let directory = directory.display();
        writeln!(said, "error: Service {name} was not pinned: no manifest in {directory} has it")?;
    }
    Ok(is_good && missing.is_empty())
}

/// Writes the chosen addresses into one manifest, and takes its Services from those `missing`. Says
/// whether all went well.
fn pin_all(
    file: &Path,
    outcome: &Outcome,
    missing: &mut BTreeSet<&ServiceName>,
    said: &mut impl io::Write,
) -> io::Result<bool> {
    let path = file.display();
    let mut text = match files::text(file) {
        Ok(text) => text,
        Err(fault) => {
            writeln!(said, "error: {path}: {fault}")?;
            return Ok(false);
        }
    };
    let mut is_good = true;
    let mut pinned = Vec::new();
    for name in &outcome.new {
        let addresses = &outcome.facts.services[name].addresses;
        match pin::pin(&text, name, addresses) {
            Ok(Some(edited)) => {
                text = edited;
                missing.remove(name);
                let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                pinned.push(format!("pinned {name} to {} in {path}", addresses.join(", ")));
            }
            Ok(None) => (),
            Err(reason @ CannotPin::NotYaml) => {
                writeln!(said, "error: {path} was left alone: {reason}")?;
                return Ok(false);
            }
            Err(reason) => {
                is_good = false;
                missing.remove(name);
                writeln!(said, "error: {path}: Service {name} was not pinned: {reason}")?;
            }
        }
    }
    if pinned.is_empty() {
        return Ok(is_good);
    }
    if let Err(cause) = pin::replace(file, &text) {
        writeln!(said, "error: {path} was left alone: it cannot be replaced: {cause}")?;
        return Ok(false);
    }
    writeln!(said, "{}", pinned.join("\n"))?;
    Ok(is_good)
}
