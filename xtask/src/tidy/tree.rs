//! The files of the repository.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result};

/// Paths are relative to the root, with `/` between.
#[derive(Debug, Default)]
pub(super) struct Tree {
    texts: BTreeMap<String, String>,
    /// Files and directories, those without text too.
    paths: BTreeSet<String>,
}

/// Directories that are not ours to keep tidy.
const ALIEN: [&str; 2] = [".git", "target"];

impl Tree {
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        tree.walk(root, "")?;
        Ok(tree)
    }

    /// A tree of these files, for tests.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            tree.add(path, Some((*text).to_owned()));
            for (end, _) in path.match_indices('/') {
                tree.add(&path[..end], None);
            }
        }
        tree
    }

    fn walk(&mut self, directory: &Path, prefix: &str) -> Result<()> {
        let reading = || format!("reading `{}`", directory.display());
        for entry in std::fs::read_dir(directory).with_context(reading)? {
            let entry = entry.with_context(reading)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if ALIEN.contains(&name.as_str()) {
                continue;
            }
            let path = format!("{prefix}{name}");
            if entry.file_type().with_context(reading)?.is_dir() {
                self.walk(&entry.path(), &format!("{path}/"))?;
                self.add(&path, None);
            } else {
                self.add(&path, std::fs::read_to_string(entry.path()).ok());
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &str, text: Option<String>) {
        self.paths.insert(path.to_owned());
        if let Some(text) = text {
            self.texts.insert(path.to_owned(), text);
        }
    }

    /// Files that are text.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Files of Rust.
    pub(super) fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts().filter(|(path, _)| path.ends_with(".rs"))
    }

    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// Whether there is such a file or directory.
    pub(super) fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        path.is_empty() || self.paths.contains(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_knows_files_and_directories() {
        let tree = Tree::of(&[("docs/install.md", "x"), ("a.rs", "")]);
        assert!(tree.has("docs") && tree.has("docs/") && tree.has("docs/install.md"));
        assert!(!tree.has("doc") && !tree.has("docs/l2.md"));
        assert_eq!(tree.rust().collect::<Vec<_>>(), [("a.rs", "")]);
    }
}
