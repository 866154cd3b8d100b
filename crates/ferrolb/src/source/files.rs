//! Objects from a directory of manifests.
//!
//! Every `*.yaml`, `*.yml` and `*.json` in the directory counts; files whose names start with a dot
//! and directories in it do not. Links are followed, so a mounted ConfigMap works. A file that is
//! broken at the moment keeps in force what was read from it before: a slip in an editor takes
//! nothing off the network.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::document::{Contents, Fault, FileProblem};
use super::object::{ObjectName, Objects, Origin};

/// The most that is read from one file, in bytes: some ten thousand Services.
pub const MAX_FILE_BYTES: u64 = 16 << 20;

/// Reads the manifests of `path`, a directory or one file.
pub fn read(path: impl Into<PathBuf>) -> Reading {
    Files::new(path).reload()
}

/// Manifests, and what was last good in each.
#[derive(Debug, Default)]
pub struct Files {
    paths: Vec<PathBuf>,
    /// Paths whose objects take the place of those of `paths` with the same name.
    over: Vec<PathBuf>,
    known: BTreeMap<PathBuf, Known>,
}

/// One file.
#[derive(Debug, Default)]
struct Known {
    text: Option<String>,
    /// What was last good in it.
    contents: Contents,
    /// What keeps us from using what it holds now, with the line and column if there is one.
    fault: Option<(Option<(u64, u64)>, Fault)>,
}

/// What the files hold now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// The objects, with the last good ones of files that are broken.
    pub objects: Objects,
    /// Where each object is written.
    pub origins: BTreeMap<ObjectName, Origin>,
    /// What is wrong with files and documents, in their order.
    pub problems: Vec<FileProblem>,
    /// What is surely not meant, but does no harm.
    pub warnings: Vec<FileProblem>,
    /// `apiVersion kind` of objects that are none of ours.
    pub ignored: BTreeSet<String>,
}

impl Reading {
    /// The first path that could not be read at all; then the rest of the reading says little.
    pub fn unreadable_path(&self) -> Option<&FileProblem> {
        self.problems.iter().find(|problem| matches!(problem.fault, Fault::Path(_)))
    }
}

impl Files {
    /// The manifests of `path`, a directory or one file. Nothing is read yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self::of([path.into()])
    }

    /// The manifests of several paths; of objects that are there twice the first path's count.
    pub fn of(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { paths: paths.into_iter().collect(), ..Self::default() }
    }

    /// With more paths, whose objects take the place of those with the same name. This is no
    /// problem, unlike an object that is there twice.
    #[must_use]
    pub fn overlaid(self, over: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { over: over.into_iter().collect(), ..self }
    }

    /// Reads all files that differ from the last time.
    pub fn reload(&mut self) -> Reading {
        let mut reading = Reading::default();
        let over = self.manifests(&self.over, &mut reading);
        let mut files = self.manifests(&self.paths, &mut reading);
        files.retain(|file| !over.contains(file));
        self.known.retain(|file, _| over.contains(file) || files.contains(file));
        for file in over {
            reading.add(&file, self.refreshed(&file), &BTreeSet::new());
        }
        let replaced = reading.origins.keys().cloned().collect();
        for file in files {
            reading.add(&file, self.refreshed(&file), &replaced);
        }
        reading
    }

    /// The files at `paths`, each once. Of a path that cannot be read, those that are known.
    fn manifests(&self, paths: &[PathBuf], reading: &mut Reading) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for path in paths {
            match manifests(path) {
                Ok(found) => files.extend(found),
                Err(cause) => {
                    let fault = Fault::Path(cause.to_string());
                    let file = path.clone();
                    reading.problems.push(FileProblem { file, line: None, column: None, fault });
                    let is_below = |file: &&PathBuf| file.starts_with(path);
                    files.extend(self.known.keys().filter(is_below).cloned());
                }
            }
        }
        let mut seen = BTreeSet::new();
        files.retain(|file| seen.insert(file.clone()));
        files
    }

    fn refreshed(&mut self, file: &Path) -> &Known {
        let known = self.known.entry(file.to_owned()).or_default();
        known.refresh(file);
        known
    }
}

impl Known {
    fn refresh(&mut self, file: &Path) {
        match text(file) {
            Ok(text) if self.fault.is_none() && self.text.as_ref() == Some(&text) => (),
            Ok(text) => {
                self.fault = match Contents::read(&text) {
                    Ok(contents) => {
                        self.contents = contents;
                        None
                    }
                    Err((line, column, fault)) => Some((Some((line, column)), fault)),
                };
                self.text = Some(text);
            }
            Err(fault) => self.fault = Some((None, fault)),
        }
    }
}

impl Reading {
    /// Adds what a file holds, but for objects that are `replaced`.
    fn add(&mut self, file: &Path, known: &Known, replaced: &BTreeSet<ObjectName>) {
        if let Some((at, fault)) = &known.fault {
            let ((line, column), fault) = (at.unzip(), fault.clone());
            self.problems.push(FileProblem { file: file.to_owned(), line, column, fault });
        }
        let problem = |line, fault| {
            let line = Some(line);
            FileProblem { file: file.to_owned(), line, column: None, fault }
        };
        for (line, fault) in &known.contents.faults {
            self.problems.push(problem(*line, fault.clone()));
        }
        self.ignored.extend(known.contents.ignored.iter().cloned());
        for found in known.contents.objects.iter().filter(|found| !replaced.contains(&found.name)) {
            if let Some(first) = self.origins.get(&found.name) {
                let fault = Fault::Duplicate(found.name.clone(), first.to_string());
                self.problems.push(problem(found.line, fault));
                continue;
            }
            for field in &found.unknown {
                let (object, field) = (found.name.clone(), field.clone());
                self.warnings.push(problem(found.line, Fault::UnknownField { object, field }));
            }
            if let Some(what) = found.deprecation {
                let fault = Fault::Deprecated(found.name.clone(), what);
                self.warnings.push(problem(found.line, fault));
            }
            let origin = Origin { file: file.to_owned(), line: found.line };
            self.origins.insert(found.name.clone(), origin);
            self.objects.add(found.object.clone());
        }
    }
}

/// The manifests at `path` in the order of their names; `path` itself if it is no directory.
pub(crate) fn manifests(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        // A link that leads nowhere is kept: reading it says so.
        let is_other = || fs::metadata(&file).is_ok_and(|metadata| !metadata.is_file());
        if is_manifest_name(&file) && !is_other() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn is_manifest_name(file: &Path) -> bool {
    let is_hidden = file.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    let extension = file.extension().and_then(|extension| extension.to_str());
    !is_hidden && matches!(extension, Some("yaml" | "yml" | "json"))
}

/// The text of a file.
pub(crate) fn text(file: &Path) -> Result<String, Fault> {
    let unreadable = |cause: io::Error| Fault::Unreadable(cause.to_string());
    let mut bytes = Vec::new();
    let file = File::open(file).map_err(unreadable)?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_FILE_BYTES) {
        return Err(Fault::TooLarge(MAX_FILE_BYTES));
    }
    String::from_utf8(bytes).map_err(|cause| Fault::Unreadable(format!("not UTF-8: {cause}")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    const POOL: &str = "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\n\
                        metadata: {name: main}\nspec: {addresses: [192.0.2.0/24]}\n";
    const NODE: &str = "apiVersion: v1\nkind: Node\nmetadata: {name: a}\n";

    fn directory<const N: usize>(files: [(&str, &str); N]) -> TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            write(&directory, name, text);
        }
        directory
    }

    fn write(directory: &TempDir, name: &str, text: &str) {
        fs::write(directory.path().join(name), text).unwrap();
    }

    fn names(reading: &Reading) -> Vec<String> {
        reading.origins.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn only_manifests_of_the_directory_itself_count() {
        let directory = directory([
            ("node.yml", NODE),
            ("pool.yaml", POOL),
            (".hidden.yaml", "[broken"),
            ("README.md", "[broken"),
            ("deployment.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}"),
        ]);
        fs::create_dir(directory.path().join("more.yaml")).unwrap();
        let reading = read(directory.path());
        assert_eq!(names(&reading), ["IPAddressPool/default/main", "Node/a"]);
        assert_eq!(reading.problems, []);
        assert_eq!(reading.ignored, ["apps/v1 Deployment".to_owned()].into());
    }

    #[test]
    fn a_broken_file_keeps_what_was_last_good() {
        let directory = directory([("pool.yaml", POOL), ("node.yaml", NODE)]);
        let mut files = Files::new(directory.path());
        let good = files.reload();
        assert_eq!(good.problems, []);

        write(&directory, "pool.yaml", "spec: [");
        let broken = files.reload();
        assert_eq!(broken.objects, good.objects);
        assert_eq!(broken.problems.len(), 1);
        assert!(broken.problems[0].fault.keeps_last_good());
        assert_eq!(files.reload(), broken, "it is told again while it is so");

        write(&directory, "pool.yaml", POOL);
        assert_eq!(files.reload(), good);
        fs::remove_file(directory.path().join("pool.yaml")).unwrap();
        assert_eq!(names(&files.reload()), ["Node/a"], "a file that is removed is meant to be");
    }

    #[test]
    fn a_directory_that_cannot_be_read_keeps_what_was_last_good() {
        let directory = directory([("pool.yaml", POOL)]);
        let mut files = Files::new(directory.path());
        let good = files.reload();
        directory.close().unwrap();
        let gone = files.reload();
        assert_eq!(gone.objects, good.objects);
        let problem = gone.unreadable_path().unwrap().to_string();
        assert!(problem.contains("cannot be read: No such file"), "{problem}");
    }

    #[test]
    fn of_two_objects_with_one_name_the_first_by_path_counts() {
        let other = POOL.replace("192.0.2.0/24", "198.51.100.0/24");
        let directory = directory([("a.yaml", POOL), ("b.yaml", &other)]);
        let reading = read(directory.path());
        assert_eq!(reading.objects.pools.len(), 1);
        assert_eq!(reading.objects.pools[0].spec.addresses, ["192.0.2.0/24"]);
        let [problem] = reading.problems.as_slice() else { panic!("{:?}", reading.problems) };
        let want = format!(
            "IPAddressPool/default/main is already at {}/a.yaml:1",
            directory.path().display()
        );
        assert!(problem.to_string().contains(&want), "{problem}");
    }

    #[test]
    fn an_object_laid_over_another_takes_its_place_without_a_problem() {
        let other = POOL.replace("192.0.2.0/24", "198.51.100.0/24");
        let base = directory([("a.yaml", POOL), ("node.yaml", NODE)]);
        let over = directory([("a.yaml", &other)]);
        let paths = [base.path().to_owned()];
        let reading = Files::of(paths).overlaid([over.path().join("a.yaml")]).reload();
        assert_eq!(reading.problems, []);
        assert_eq!(names(&reading), ["IPAddressPool/default/main", "Node/a"]);
        assert_eq!(reading.objects.pools[0].spec.addresses, ["198.51.100.0/24"]);
    }

    #[test]
    fn a_field_that_the_kind_does_not_have_is_a_warning() {
        let directory = directory([("pool.yaml", &format!("{POOL}  \nspecs: {{}}\n"))]);
        let reading = read(directory.path());
        assert_eq!(reading.problems, []);
        let warning = reading.warnings[0].to_string();
        let want = "pool.yaml:1: IPAddressPool/default/main: specs: the kind has no such field";
        assert!(warning.contains(want), "{warning}");
    }

    #[test]
    fn a_file_that_is_too_large_is_not_read() {
        let directory = directory([("node.yaml", NODE)]);
        let file = File::create(directory.path().join("large.yaml")).unwrap();
        file.set_len(MAX_FILE_BYTES + 1).unwrap();
        let reading = read(directory.path());
        assert_eq!(names(&reading), ["Node/a"]);
        assert_eq!(reading.problems[0].fault, Fault::TooLarge(MAX_FILE_BYTES));
    }

    #[test]
    fn a_mounted_config_map_is_followed_through_its_links() {
        let directory = directory([]);
        let path = |name: &str| directory.path().join(name);
        for (version, text) in [("..1", POOL), ("..2", NODE)] {
            fs::create_dir(path(version)).unwrap();
            fs::write(path(version).join("all.yaml"), text).unwrap();
        }
        symlink("..1", path("..data")).unwrap();
        symlink("..data/all.yaml", path("all.yaml")).unwrap();
        let mut files = Files::new(directory.path());
        assert_eq!(names(&files.reload()), ["IPAddressPool/default/main"]);
        symlink("..2", path("..new")).unwrap();
        fs::rename(path("..new"), path("..data")).unwrap();
        assert_eq!(names(&files.reload()), ["Node/a"]);
    }
}
