//! Every Rust file is part of a crate: one that no `mod` names is never compiled.

use std::collections::BTreeSet;

use super::Finding;
use super::scan::scan;
use super::tree::Tree;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut reached = BTreeSet::new();
    for (path, _) in tree.rust().filter(|(path, _)| is_root(path)) {
        reach(tree, path, &mut reached);
    }
    let mend = "name it with `mod` in the file above it, or remove it";
    tree.rust()
        .filter(|(path, _)| is_checked(path) && !reached.contains(*path))
        .map(|(path, _)| Finding::new(path, 1, "no crate compiles this file", mend))
        .collect()
}

/// The path inside the package, for files of packages.
fn in_package(path: &str) -> Option<&str> {
    match path.strip_prefix("crates/") {
        Some(rest) => rest.split_once('/').map(|(_, inside)| inside),
        None => path.strip_prefix("xtask/").or_else(|| path.strip_prefix("fuzz/")),
    }
}

fn is_checked(path: &str) -> bool {
    in_package(path).is_some()
}

/// Files that cargo compiles by themselves.
fn is_root(path: &str) -> bool {
    let Some(inside) = in_package(path) else { return false };
    let alone = ["src/bin/", "tests/", "benches/", "examples/", "libfuzzer/src/"];
    ["src/lib.rs", "src/main.rs", "build.rs"].contains(&inside)
        || alone
            .iter()
            .any(|start| inside.strip_prefix(start).is_some_and(|name| !name.contains('/')))
}

fn reach(tree: &Tree, path: &str, reached: &mut BTreeSet<String>) {
    let Some(text) = tree.text(path) else { return };
    if !reached.insert(path.to_owned()) {
        return;
    }
    // What is not Rust is a finding of its own.
    let Ok(scan) = scan(text) else { return };
    for module in scan.modules {
        let below = below(path);
        reach(tree, &format!("{below}{}.rs", module.text), reached);
        reach(tree, &format!("{below}{}/mod.rs", module.text), reached);
    }
}

/// The directory, with `/`, in which the modules of a file are.
fn below(path: &str) -> String {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    if is_root(path) || name == "mod.rs" {
        format!("{directory}/")
    } else {
        format!("{directory}/{}/", name.trim_end_matches(".rs"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_no_module_names_is_found() {
        let tree = Tree::of(&[
            ("crates/proto/src/lib.rs", "pub mod l2;\nmod wire;\n"),
            ("crates/proto/src/wire.rs", "mod inner;"),
            ("crates/proto/src/wire/inner.rs", ""),
            ("crates/proto/src/l2/mod.rs", "mod arp;"),
            ("crates/proto/src/l2/arp.rs", ""),
            ("crates/proto/src/l2/forgotten.rs", ""),
            ("crates/lab/tests/lan.rs", "mod shared;"),
            ("crates/lab/tests/shared/mod.rs", ""),
            ("crates/lab/tests/lost/mod.rs", ""),
            ("xtask/src/main.rs", "// mod step;"),
            ("xtask/src/step.rs", ""),
        ]);
        let found: Vec<_> = check(&tree).into_iter().map(|found| found.path).collect();
        let want = [
            "crates/lab/tests/lost/mod.rs",
            "crates/proto/src/l2/forgotten.rs",
            "xtask/src/step.rs",
        ];
        assert_eq!(found, want);
    }
}
