//! The program in the image: static, and small.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::step;
use crate::workspace::{cargo, root};

/// The most that the program may have, in bytes: every node fetches it.
const MAX_BYTES: usize = 12_000_000;

/// What it is built for; naming it keeps `+crt-static` from what runs while building.
const TARGET: &str = if cfg!(target_arch = "aarch64") {
    "aarch64-unknown-linux-gnu"
} else {
    "x86_64-unknown-linux-gnu"
};

/// A program header of an ELF file that names the dynamic linker.
const PT_INTERP: u32 = 3;

/// What the linker is told. The program may be loaded anywhere, so each pointer in it is found and
/// moved at the start; packed, the list of them takes a fiftieth of the room. Rust's own linker
/// cannot leave out by file, as [`SCRIPT`] does.
const LINK: [&str; 2] = ["-Wl,-z,pack-relative-relocs", "-fuse-ld=bfd"];

/// Which says what is left out, and why.
const SCRIPT: &str = "xtask/src/image/program.ld";

/// Builds it and says where it is. Takes minutes: all of it is optimized as one.
pub(super) fn build() -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["rustc", "--package", "ferrolb", "--bin", "ferrolb", "--profile", "image"]);
    build.args(["--target", TARGET, "--"]);
    let script = format!("-Wl,-T,{}", root().join(SCRIPT).display());
    for argument in LINK.into_iter().chain([script.as_str()]) {
        build.args(["-C", &format!("link-arg={argument}")]);
    }
    // A panic ends the process, so nothing is ever unwound. Functions that ask for tables to unwind
    // them get these all the same, and `SCRIPT` leaves them out.
    build.env("RUSTFLAGS", "-C target-feature=+crt-static -C force-unwind-tables=no");
    step::run("build the image's program", &mut build, "mend the errors above")?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let program = root().join(target).join(TARGET).join("image/ferrolb");
    see_error_told(&program)?;
    Ok(program)
}

/// Sees that an error is told which notes where it arose; what the linker leaves out decides that.
fn see_error_told(program: &Path) -> Result<()> {
    let mut failing = Command::new(program);
    failing.args(["status", "--kubeconfig", "/nonexistent"]).env("RUST_BACKTRACE", "1");
    let output = failing.output().with_context(|| format!("starting `{}`", program.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code().is_some() && said.contains("/nonexistent"),
        "`{failing:?}` does not tell its error: {}: `{}`; see `{SCRIPT}`",
        output.status,
        said.trim()
    );
    Ok(())
}

/// Reads it.
///
/// # Errors
///
/// If it needs files that are not in the image, or is too large.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    let program = fs::read(path).with_context(|| format!("reading `{}`", path.display()))?;
    check(&program).with_context(|| format!("`{}`", path.display()))?;
    Ok(program)
}

fn check(program: &[u8]) -> Result<()> {
    let types = program_headers(program).context("not a 64-bit ELF program of this machine")?;
    ensure!(
        !types.contains(&PT_INTERP),
        "linked dynamically, and there are no libraries in the image: build it with \
         `RUSTFLAGS=\"-C target-feature=+crt-static\"`"
    );
    ensure!(
        program.len() <= MAX_BYTES,
        "{} bytes, more than {MAX_BYTES}: build it with `--profile image`, or find out what has \
         grown",
        program.len()
    );
    Ok(())
}

/// The types of the program headers of an ELF file.
fn program_headers(program: &[u8]) -> Option<Vec<u32>> {
    program.starts_with(b"\x7fELF\x02\x01").then_some(())?;
    let u16_at = |at: usize| Some(u16::from_le_bytes(*program.get(at..)?.first_chunk()?));
    let u32_at = |at: usize| Some(u32::from_le_bytes(*program.get(at..)?.first_chunk()?));
    let first = u64::from_le_bytes(*program.get(32..)?.first_chunk()?);
    let first = usize::try_from(first).ok()?;
    let (size, count) = (usize::from(u16_at(54)?), usize::from(u16_at(56)?));
    (0..count).map(|index| u32_at(first.checked_add(index * size)?)).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An ELF file with one program header.
    pub(in crate::image) fn elf(header: u32) -> Vec<u8> {
        let mut elf = vec![0; 64];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        elf[32] = 64;
        elf[54] = 56;
        elf[56] = 1;
        elf.extend(header.to_le_bytes());
        elf
    }

    #[test]
    fn a_program_is_static_and_small() {
        let load = 1;
        check(&elf(load)).unwrap();
        let mut large = elf(load);
        large.resize(MAX_BYTES + 1, 0);
        let refused = [
            ("a script", b"#!/bin/sh".to_vec(), "not a 64-bit ELF"),
            ("cut short", elf(load)[..60].to_vec(), "not a 64-bit ELF"),
            ("dynamic", elf(PT_INTERP), "linked dynamically"),
            ("large", large, "12000001 bytes"),
        ];
        for (name, program, want) in refused {
            let error = check(&program).unwrap_err().to_string();
            assert!(error.starts_with(want), "{name}: {error}");
        }
    }
}
