//! A copy of the repository to break things in, so that neither the working tree nor its builds are
//! touched.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::mutation::Mutation;
use super::outcome::Outcome;
use crate::workspace::cargo;

/// How long one test may take; with nothing changed the slowest takes some seconds.
const LIMIT: Duration = Duration::from_secs(90);

/// Directories of the repository that are not copied.
const LEFT_OUT: [&str; 2] = [".git", "target"];

/// The copy, and where it is built.
pub(super) struct Bench {
    original: PathBuf,
    copy: PathBuf,
    target: PathBuf,
    /// Held as long as the copy is used: two runs at once would see each other's changes.
    _lock: File,
}

/// One line of what cargo says about a build.
#[derive(Deserialize)]
struct Said {
    executable: Option<PathBuf>,
}

impl Bench {
    /// Brings the copy in `target/mutations` up to date.
    ///
    /// # Errors
    ///
    /// If files cannot be read or written.
    pub(super) fn new(root: &Path) -> Result<Self> {
        let home = root.join("target/mutations");
        fs::create_dir_all(&home).with_context(|| format!("making `{}`", home.display()))?;
        let lock = File::create(home.join("lock"))?;
        lock.lock().context("waiting for another run that tries mutations")?;
        let bench = Self {
            original: root.to_owned(),
            copy: home.join("tree"),
            target: home.join("target"),
            _lock: lock,
        };
        mirror(&bench.original, &bench.copy)
            .with_context(|| format!("copying the repository to `{}`", bench.copy.display()))?;
        Ok(bench)
    }

    /// Checks that the tests pass with nothing changed, and so builds all that does not change.
    ///
    /// # Errors
    ///
    /// If they do not compile or one fails.
    pub(super) fn prove(&self, mutations: &[Mutation]) -> Result<()> {
        let mut tests: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for mutation in mutations {
            tests.entry(&mutation.package).or_default().insert(&mutation.test);
        }
        for (package, tests) in tests {
            let program = self.build(package)?.context("the tests do not compile as they are")?;
            for test in tests {
                match self.run(&program, package, test)? {
                    Outcome::Survived | Outcome::NoSuchTest => (),
                    Outcome::Caught
                    | Outcome::DoesNotCompile
                    | Outcome::Hung
                    | Outcome::Crashed => {
                        bail!("`{test}` fails with nothing changed: mend it before its mutations")
                    }
                }
            }
        }
        Ok(())
    }

    /// Changes the line, tries the test, and puts the line back.
    ///
    /// # Errors
    ///
    /// If the line cannot be found, or nothing can be started.
    pub(super) fn attempt(&self, mutation: &Mutation) -> Result<Outcome> {
        let file = self.copy.join(&mutation.file);
        let reading = || format!("reading `{}`", mutation.file);
        let text = fs::read_to_string(&file).with_context(reading)?;
        fs::write(&file, mutation.apply(&text)?)?;
        let outcome = self.build(&mutation.package).and_then(|program| match program {
            Some(program) => self.run(&program, &mutation.package, &mutation.test),
            None => Ok(Outcome::DoesNotCompile),
        });
        fs::write(&file, text)?;
        outcome
    }

    /// The program with the tests of a library; `None` if it does not compile.
    fn build(&self, package: &str) -> Result<Option<PathBuf>> {
        let mut command = cargo();
        command.current_dir(&self.copy).args(["test", "--no-run", "--lib", "--quiet", "--package"]);
        command.arg(package).arg("--message-format=json");
        command.arg("--target-dir").arg(&self.target);
        // Nobody debugs a mutated program, and a warning is no news about it.
        command.env("CARGO_PROFILE_DEV_DEBUG", "0").env("RUSTFLAGS", "--cap-lints allow");
        let output = command.stderr(Stdio::null()).output().context("starting cargo")?;
        if !output.status.success() {
            return Ok(None);
        }
        let said = String::from_utf8_lossy(&output.stdout);
        let programs = said.lines().filter_map(|line| serde_json::from_str::<Said>(line).ok());
        let program = programs.filter_map(|said| said.executable).next_back();
        program.map(Some).with_context(|| format!("cargo names no test program of `{package}`"))
    }

    fn run(&self, program: &Path, package: &str, test: &str) -> Result<Outcome> {
        let words = self.target.with_file_name("words");
        let mut command = Command::new(program);
        command.args(["--exact", test]).current_dir(self.copy.join("crates").join(package));
        // A case that was found once would be tried first in every later run.
        command.env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1");
        // The same cases every time: what is noticed today is noticed tomorrow.
        command.env("PROPTEST_RNG_SEED", "1");
        command.stdin(Stdio::null()).stdout(File::create(&words)?).stderr(Stdio::null());
        let mut child =
            command.spawn().with_context(|| format!("starting the tests of `{package}`"))?;
        let start = Instant::now();
        while child.try_wait()?.is_none() {
            if start.elapsed() > LIMIT {
                child.kill()?;
                child.wait()?;
                return Ok(Outcome::Hung);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Outcome::of(&String::from_utf8_lossy(&fs::read(&words)?)))
    }
}

/// Makes `to` the same as `from`. Files that are the same already keep their times, so that cargo
/// builds only what changed.
fn mirror(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if LEFT_OUT.iter().any(|left_out| name == *left_out) {
            continue;
        }
        let target = to.join(&name);
        if entry.file_type()?.is_dir() {
            mirror(&entry.path(), &target)?;
        } else {
            let bytes = fs::read(entry.path())?;
            if fs::read(&target).ok().as_ref() != Some(&bytes) {
                fs::write(&target, bytes)?;
            }
        }
        names.insert(name);
    }
    for entry in fs::read_dir(to)? {
        let entry = entry?;
        if !names.contains(&entry.file_name()) {
            match entry.file_type()?.is_dir() {
                true => fs::remove_dir_all(entry.path())?,
                false => fs::remove_file(entry.path())?,
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_has_what_is_there_and_writes_only_what_changed() {
        let home = std::env::temp_dir().join(format!("ferrolb-mirror-{}", std::process::id()));
        let (from, to) = (home.join("from"), home.join("to"));
        fs::create_dir_all(from.join("src")).unwrap();
        fs::create_dir_all(from.join("target")).unwrap();
        fs::write(from.join("src/a.rs"), "a").unwrap();
        fs::write(from.join("src/b.rs"), "b").unwrap();
        mirror(&from, &to).unwrap();
        let time = |name: &str| fs::metadata(to.join(name)).unwrap().modified().unwrap();
        let before = time("src/a.rs");

        fs::remove_file(from.join("src/b.rs")).unwrap();
        fs::write(from.join("src/c.rs"), "c").unwrap();
        mirror(&from, &to).unwrap();
        assert_eq!(time("src/a.rs"), before, "the same file");
        assert_eq!(fs::read_to_string(to.join("src/c.rs")).unwrap(), "c");
        assert!(!to.join("src/b.rs").exists(), "gone");
        assert!(!to.join("target").exists(), "left out");
        fs::remove_dir_all(home).unwrap();
    }
}
