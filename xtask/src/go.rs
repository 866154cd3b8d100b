//! Go, which the programs of Kubernetes are built with: the one installed, else brought as the
//! module `golang.org/toolchain`, as the `go` command itself does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::cache::{self, make_executable, remove};

/// The version brought. An installed one may be newer.
const VERSION: &str = "1.26.8";

/// What an installed one must have at least: the `go` lines of `tests/kube/`.
const OLDEST: [u32; 2] = [1, 26];

/// Where modules are, unless `GOPROXY` says otherwise.
const PROXY: &str = "https://proxy.golang.org";

/// How long the download may take, 70 MB.
const PATIENCE_SECONDS: &str = "600";

/// sha256 of the module's zip file for a machine, in Go's word for it.
const ZIPS: [(&str, &str); 2] = [
    ("amd64", "30c2b1bf7dcc88d3eb0a1364e47ddd9128edb3110a30e8a0ef61cd5856b31de7"),
    ("arm64", "02b36b6787b3ac767668f630e2998df45a3b1f9ffee08d1bf3ef6487cd658d99"),
];

/// The `go` command; brings it if it is nowhere.
///
/// # Errors
///
/// If it is not there and cannot be brought, with what to install.
pub(crate) fn bring() -> Result<PathBuf> {
    let in_path = PathBuf::from("go");
    if fits(&in_path) {
        return Ok(in_path);
    }
    let cache = cache::directory("go")?;
    let _lock = cache::lock(&cache)?;
    let home = cache.join(VERSION);
    let go = home.join("bin/go");
    if !fits(&go) {
        eprintln!(
            "    Go 1.26 or later is not installed: fetching {VERSION} from the module proxy, 70 MB"
        );
        let brought = unpack(&cache, &home).and_then(|()| {
            ensure!(fits(&go), "`{}` does not run", go.display());
            Ok(())
        });
        brought.context("Go cannot be fetched: install Go 1.26 or later (https://go.dev/dl)")?;
    }
    Ok(go)
}

/// Whether a program says that it is Go, and new enough.
fn fits(program: &Path) -> bool {
    let mut version = Command::new(program);
    // Without this it would look for a newer one by itself.
    version.arg("version").env("GOTOOLCHAIN", "local").stdin(Stdio::null());
    version.output().is_ok_and(|output| is_new_enough(&String::from_utf8_lossy(&output.stdout)))
}

/// Reads `go version go1.26.8 linux/amd64`.
fn is_new_enough(said: &str) -> bool {
    let version = said.strip_prefix("go version go").and_then(|said| said.split(' ').next());
    let numbers = version.into_iter().flat_map(|version| version.split('.'));
    let numbers: Vec<u32> = numbers.map_while(|number| number.parse().ok()).collect();
    numbers.len() >= 2 && numbers[..2] >= OLDEST[..]
}

fn unpack(cache: &Path, home: &Path) -> Result<()> {
    let machine = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => bail!("no pinned Go for `{other}`"),
    };
    let hash = ZIPS.iter().find(|(of, _)| *of == machine).map(|(_, hash)| *hash);
    let hash = hash.with_context(|| format!("no pinned Go for `{machine}`"))?;
    let module = format!("v0.0.1-go{VERSION}.linux-{machine}");
    let partial = cache.join("partial");
    remove(&partial)?;
    fs::create_dir_all(&partial)?;
    let zip = partial.join("toolchain.zip");
    let url = format!("{}/golang.org/toolchain/@v/{module}.zip", proxy());
    let fetch = ["--fail", "--silent", "--show-error", "--location", "--max-time"];
    quietly(
        Command::new("curl").args(fetch).arg(PATIENCE_SECONDS).arg(&url).arg("--output").arg(&zip),
    )?;
    check(&zip, hash)?;
    quietly(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&zip).arg(&partial))?;
    let root = partial.join(format!("golang.org/toolchain@{module}"));
    // The files of a module are never executable.
    for directory in ["bin".to_owned(), format!("pkg/tool/linux_{machine}")] {
        for entry in fs::read_dir(root.join(directory))? {
            make_executable(&entry?.path())?;
        }
    }
    name_modules(&root.join("src"))?;
    remove(home)?;
    fs::rename(&root, home)?;
    remove(&partial)
}

/// A module cannot hold others, so theirs are called `_go.mod` in it.
fn name_modules(directory: &Path) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            name_modules(&entry.path())?;
        } else if entry.file_name() == "_go.mod" {
            fs::rename(entry.path(), directory.join("go.mod"))?;
        }
    }
    Ok(())
}

/// The first of the proxies that `GOPROXY` names.
fn proxy() -> String {
    let named = std::env::var("GOPROXY").unwrap_or_default();
    let mut named = named.split([',', '|']).filter(|proxy| proxy.contains("://"));
    named.next().unwrap_or(PROXY).trim_end_matches('/').to_owned()
}

fn check(zip: &Path, hash: &str) -> Result<()> {
    let output = Command::new("sha256sum").arg(zip).stdin(Stdio::null()).output();
    let output = output.context("starting `sha256sum`")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let found = said.split(' ').next().unwrap_or_default();
    ensure!(found == hash, "what came is not what is pinned: its sha256 is `{found}`");
    Ok(())
}

fn quietly(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("`{program}` cannot be started"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{program}` failed with {}: {}", output.status, said.trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_fits_by_its_version() {
        let rows = [
            ("go version go1.26.8 linux/amd64\n", true),
            ("go version go1.26 linux/amd64", true),
            ("go version go1.31.0 linux/arm64", true),
            ("go version go2.0 linux/amd64", true),
            ("go version go1.19.8 linux/amd64", false),
            ("go version devel linux/amd64", false),
            ("", false),
        ];
        for (said, want) in rows {
            assert_eq!(is_new_enough(said), want, "{said}");
        }
    }

    #[test]
    fn a_download_that_is_not_what_is_pinned_is_refused() {
        let error = check(Path::new("/dev/null"), ZIPS[0].1).unwrap_err().to_string();
        assert!(error.contains("e3b0c44298fc1c14"), "{error}");
    }
}
