//! The files of `mutations/`: one changed line each, and the test that must notice.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

/// A line of a source file, what it becomes, and which test fails then.
///
/// A file is `key: value` lines and, after an empty line, a sentence. The lines are compared without
/// the white space around them, so that formatting changes nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Mutation {
    /// Name of its file, without the end.
    pub(crate) name: String,
    /// The source file, from the root of the repository.
    pub(crate) file: String,
    /// A line before it, if the line alone is there more than once.
    after: Option<String>,
    /// The line, without the white space around it.
    find: String,
    /// The line in its place; empty for none.
    put: String,
    /// The package whose test fails, of its library.
    pub(crate) package: String,
    /// Full name of that test.
    pub(crate) test: String,
}

/// Ends the names of the files.
const END: &str = ".mutation";

/// Reads all mutations of a directory, in the order of their packages and files: what is built for
/// one serves the next.
///
/// # Errors
///
/// If the directory or one of its files cannot be read.
pub(super) fn read_all(directory: &Path) -> Result<Vec<Mutation>> {
    let reading = || format!("reading `{}`", directory.display());
    let mut mutations = Vec::new();
    for entry in fs::read_dir(directory).with_context(reading)? {
        let path = entry.with_context(reading)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(name) = name.strip_suffix(END) else { continue };
        let text =
            fs::read_to_string(&path).with_context(|| format!("reading `{}`", path.display()))?;
        let mutation = Mutation::parse(name, &text)
            .with_context(|| format!("reading `{}`", path.display()))?;
        mutations.push(mutation);
    }
    mutations.sort_by(|a, b| (&a.package, &a.file, &a.name).cmp(&(&b.package, &b.file, &b.name)));
    Ok(mutations)
}

impl Mutation {
    /// Reads one file.
    ///
    /// # Errors
    ///
    /// If a key is missing, unknown or there twice, or if there is no sentence.
    fn parse(name: &str, text: &str) -> Result<Self> {
        let (head, sentence) = text.split_once("\n\n").unwrap_or((text, ""));
        ensure!(
            !sentence.trim().is_empty(),
            "it does not say what it breaks: add an empty line and a sentence"
        );
        let [mut file, mut after, mut find, mut put, mut package, mut test] = [const { None }; 6];
        for line in head.lines() {
            let (key, value) =
                line.split_once(':').with_context(|| format!("`{line}` has no `key:`"))?;
            let place = match key {
                "file" => &mut file,
                "after" => &mut after,
                "find" => &mut find,
                "put" => &mut put,
                "package" => &mut package,
                "test" => &mut test,
                _ => bail!("no key is called `{key}`"),
            };
            let before = place.replace(value.trim().to_owned());
            ensure!(before.is_none(), "`{key}` is there twice");
        }
        let needed = |key, value: Option<String>| {
            value.filter(|value| !value.is_empty()).with_context(|| format!("`{key}:` is missing"))
        };
        Ok(Self {
            name: name.to_owned(),
            file: needed("file", file)?,
            after,
            find: needed("find", find)?,
            put: put.context("`put:` is missing; leave it empty to remove the line")?,
            package: needed("package", package)?,
            test: needed("test", test)?,
        })
    }

    /// The text of the source file with the line changed.
    ///
    /// # Errors
    ///
    /// If the line is not there exactly once; with `after`, if that line is not there exactly once
    /// or the other not behind it.
    pub(super) fn apply(&self, text: &str) -> Result<String> {
        let lines: Vec<&str> = text.lines().collect();
        let places = |wanted: &str| -> Vec<usize> {
            let all = lines.iter().enumerate();
            all.filter(|(_, line)| line.trim() == wanted).map(|(index, _)| index).collect()
        };
        let only = |key: &str, wanted: &str| match places(wanted)[..] {
            [place] => Ok(place),
            [] => bail!("`{}` has no line `{wanted}`: correct `{key}:`", self.file),
            [..] => bail!(
                "`{}` has the line `{wanted}` more than once: say with `after:` behind which line",
                self.file
            ),
        };
        let place = match &self.after {
            None => only("find", &self.find)?,
            Some(after) => {
                let start = only("after", after)?;
                let place = places(&self.find).into_iter().find(|place| *place > start);
                place.with_context(|| {
                    format!("`{}` has no line `{}` after `{after}`", self.file, self.find)
                })?
            }
        };
        let indent = lines[place].len() - lines[place].trim_start().len();
        let changed = format!("{}{}", &lines[place][..indent], self.put);
        let mut mutated = lines;
        mutated[place] = &changed;
        Ok(mutated.join("\n") + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "file: src/a.rs
find: a > b
put: a < b
package: proto
test: a::tests::the_larger_wins

The larger one wins.
";

    #[test]
    fn a_file_is_read() {
        let mutation = Mutation::parse("larger", TEXT).unwrap();
        assert_eq!(mutation.name, "larger");
        assert_eq!(mutation.file, "src/a.rs");
        assert_eq!(mutation.find, "a > b");
        assert_eq!(mutation.put, "a < b");
        assert_eq!(mutation.package, "proto");
        assert_eq!(mutation.test, "a::tests::the_larger_wins");
        assert_eq!(mutation.after, None);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let rows = [
            (
                "no test",
                TEXT.replace("test: a::tests::the_larger_wins\n", ""),
                "`test:` is missing",
            ),
            ("an empty line to find", TEXT.replace("a > b", ""), "`find:` is missing"),
            (
                "nothing to put",
                TEXT.replace("put: a < b\n", ""),
                "`put:` is missing; leave it empty to remove the line",
            ),
            ("another key", TEXT.replace("put", "by"), "no key is called `by`"),
            ("a key twice", TEXT.replace("put", "find"), "`find` is there twice"),
            ("a line without a key", TEXT.replace("put: ", ""), "`a < b` has no `key:`"),
            (
                "no sentence",
                TEXT.replace("The larger one wins.\n", ""),
                "it does not say what it breaks: add an empty line and a sentence",
            ),
        ];
        for (row, text, want) in rows {
            assert_eq!(Mutation::parse("x", &text).unwrap_err().to_string(), want, "{row}");
        }
    }

    #[test]
    fn the_one_line_is_changed_and_keeps_its_indent() {
        let behind = TEXT.replace("find", "after: fn second() {\nfind");
        let removed = TEXT.replace("a < b", "");
        let rows = [
            ("the only one", TEXT, "fn first() {\n    a > b\n}\n", "fn first() {\n    a < b\n}\n"),
            ("removed", &removed, "x\n    a > b\ny\n", "x\n    \ny\n"),
            (
                "the first behind another",
                &behind,
                "  a > b\nfn second() {\n  a > b\n  a > b\n",
                "  a > b\nfn second() {\n  a < b\n  a > b\n",
            ),
        ];
        for (row, mutation, text, want) in rows {
            let mutation = Mutation::parse("x", mutation).unwrap();
            assert_eq!(mutation.apply(text).unwrap(), want, "{row}");
        }
    }

    #[test]
    fn a_line_that_is_not_found_exactly_once_says_how_to_mend() {
        let behind = TEXT.replace("find", "after: fn second() {\nfind");
        let rows = [
            ("gone", TEXT, "a >= b\n", "`src/a.rs` has no line `a > b`: correct `find:`"),
            ("part of a line", TEXT, "a > b;\n", "`src/a.rs` has no line `a > b`: correct `find:`"),
            (
                "twice",
                TEXT,
                "a > b\na > b\n",
                "`src/a.rs` has the line `a > b` more than once: say with `after:` behind which line",
            ),
            (
                "the line before is gone",
                &behind,
                "a > b\n",
                "`src/a.rs` has no line `fn second() {`: correct `after:`",
            ),
            (
                "only before",
                &behind,
                "a > b\nfn second() {\n",
                "`src/a.rs` has no line `a > b` after `fn second() {`",
            ),
        ];
        for (row, mutation, text, want) in rows {
            let mutation = Mutation::parse("x", mutation).unwrap();
            assert_eq!(mutation.apply(text).unwrap_err().to_string(), want, "{row}");
        }
    }

    #[test]
    fn every_committed_mutation_can_be_read_and_applied() {
        let root = crate::workspace::root();
        let mutations = read_all(&root.join("mutations")).unwrap();
        assert!(mutations.len() >= 10, "{}", mutations.len());
        for mutation in mutations {
            let text = fs::read_to_string(root.join(&mutation.file)).unwrap();
            let mutated = mutation.apply(&text).unwrap_or_else(|error| {
                panic!("mutations/{}{END}: {error}", mutation.name);
            });
            assert_ne!(mutated, text, "{}", mutation.name);
        }
    }
}
