//! Where brought things stay, for all work trees of a user.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The directory of this name in our cache, made if it is not there.
///
/// # Errors
///
/// When nobody says where caches are, or it cannot be made.
pub(crate) fn directory(name: &str) -> Result<PathBuf> {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let base = match from("XDG_CACHE_HOME") {
        Some(base) => PathBuf::from(base),
        None => Path::new(&from("HOME").context("neither `XDG_CACHE_HOME` nor `HOME` is set")?)
            .join(".cache"),
    };
    let cache = base.join("ferrolb").join(name);
    fs::create_dir_all(&cache).with_context(|| format!("making `{}`", cache.display()))?;
    Ok(cache)
}

/// Waits until no other run brings something to this directory; nobody else does while the result
/// lives.
///
/// # Errors
///
/// When the lock cannot be made.
pub(crate) fn lock(directory: &Path) -> Result<File> {
    let lock = File::create(directory.join("lock"))?;
    lock.lock().context("waiting for another run that brings something")?;
    Ok(lock)
}

/// Removes a directory, if there is one.
///
/// # Errors
///
/// When it stays.
pub(crate) fn remove(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing `{}`", directory.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Lets everybody run a file.
///
/// # Errors
///
/// When there is none.
pub(crate) fn make_executable(program: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(program, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("making `{}` executable", program.display()))
}
