//! `Cargo.lock` of the fuzz programs knows what our crates depend on now.
//!
//! They are a workspace of their own, which no other check builds, so cargo does not keep it fresh.

use std::collections::BTreeSet;

use anyhow::Result;

use super::Finding;
use super::manifests::Package;
use super::tree::Tree;

const LOCK: &str = "fuzz/libfuzzer/Cargo.lock";

const MEND: &str = "run `cargo update --workspace --manifest-path fuzz/libfuzzer/Cargo.toml`";

pub(super) fn check(tree: &Tree, metadata: &str) -> Result<Vec<Finding>> {
    let lock = tree.text(LOCK).unwrap_or_default();
    let packages = super::manifests::packages(metadata)?;
    Ok(packages.iter().filter_map(|package| check_package(lock, package)).collect())
}

/// A crate that the programs do not use is not there.
fn check_package(lock: &str, package: &Package) -> Option<Finding> {
    let name = format!("name = \"{}\"", package.name);
    let (index, _) = lock.lines().enumerate().find(|(_, line)| *line == name)?;
    let rest = lock.lines().skip(index + 1).take_while(|line| !line.is_empty());
    let quoted = rest.filter_map(|line| line.strip_prefix(" \"")?.split(['"', ' ']).next());
    let locked: BTreeSet<_> = quoted.collect();
    // Dependencies of tests count only in a workspace itself.
    let is_used = |kind: Option<&str>| kind != Some("dev");
    let used = package.dependencies.iter().filter(|one| is_used(one.kind.as_deref()));
    let used: BTreeSet<_> = used.map(|one| one.name.as_str()).collect();
    let wrong = used.symmetric_difference(&locked).next()?;
    let what = format!("the dependency `{wrong}` of `{}` is not as in its manifest", package.name);
    Some(Finding::new(LOCK, index + 1, what, MEND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_that_came_or_went_are_found() {
        // (what our crate depends on, what the lock says, what is found)
        let rows: [(&str, &str, &[&str]); 5] = [
            ("one two", " \"one\",\n \"two 1.0.0\",\n", &[]),
            ("one two", " \"one\",\n", &["two"]),
            ("one", " \"one\",\n \"two\",\n", &["two"]),
            ("one", "", &["one"]),
            ("", "", &[]),
        ];
        for (used, locked, want) in rows {
            let dependency = |name| format!(r#"{{"name": "{name}", "kind": null, "path": null}}"#);
            let mut dependencies: Vec<_> = used.split_whitespace().map(dependency).collect();
            dependencies.push(r#"{"name": "three", "kind": "dev", "path": null}"#.to_owned());
            let metadata = format!(
                r#"{{"packages": [{{"name": "ours", "manifest_path": "", "dependencies": [{}]}},
                    {{"name": "unused", "manifest_path": "", "dependencies": []}}]}}"#,
                dependencies.join(",")
            );
            let lock = format!(
                "version = 4\n\n[[package]]\nname = \"ours\"\nversion = \"0.1.0\"\n\
                 dependencies = [\n{locked}]\n\n[[package]]\nname = \"z\"\n"
            );
            let found = check(&Tree::of(&[(LOCK, &lock)]), &metadata).unwrap();
            let found: Vec<_> = found.iter().map(ToString::to_string).collect();
            let said = |name: &&str| {
                format!(
                    "{LOCK}:4: the dependency `{name}` of `ours` is not as in its manifest, {MEND}"
                )
            };
            assert_eq!(found, want.iter().map(said).collect::<Vec<_>>(), "{used}; {locked}");
        }
    }
}
