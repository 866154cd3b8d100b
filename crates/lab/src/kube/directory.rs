//! A place in memory for the files of one cluster: certificates, kubeconfigs, etcd's data.
//!
//! Programs want files with names, so unlike everything else here they could outlive a process
//! that is killed. Each directory therefore holds a file that its owner keeps locked; whoever makes
//! the next one removes those that nobody owns any more.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

const PREFIX: &str = "ferrolb-lab-";

/// The file that the owner keeps locked.
const LOCK: &str = "lock";

/// It is removed on drop.
#[derive(Debug)]
pub(crate) struct Directory {
    place: TempDir,
    _lock: File,
}

impl Directory {
    pub(crate) fn new() -> Result<Self> {
        let parent = parent();
        sweep(&parent);
        let place = tempfile::Builder::new().prefix(PREFIX).tempdir_in(&parent);
        let place =
            place.with_context(|| format!("making a directory in `{}`", parent.display()))?;
        let lock = File::create(place.path().join(LOCK)).context("making a lock")?;
        lock.lock().context("locking a new file")?;
        Ok(Self { place, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        self.place.path()
    }

    /// Writes a file and says where it is.
    pub(crate) fn write(&self, name: &str, content: &str) -> Result<PathBuf> {
        let path = self.path().join(name);
        fs::write(&path, content).with_context(|| format!("writing `{}`", path.display()))?;
        Ok(path)
    }
}

/// In memory, where there is such a place: etcd waits for each write.
fn parent() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

/// Removes directories of processes that are gone. What cannot be looked at is left alone.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        // One without the file is being made at this moment.
        let lock = is_ours.then(|| File::open(entry.path().join(LOCK)).ok()).flatten();
        if lock.is_some_and(|lock| lock.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_is_removed_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let directory = parent.path().join(name);
            fs::create_dir(&directory).unwrap();
            directory
        };
        let (left, owned) = (make("ferrolb-lab-left"), make("ferrolb-lab-owned"));
        let (new, other) = (make("ferrolb-lab-new"), make("other"));
        for directory in [&left, &owned, &other] {
            File::create(directory.join(LOCK)).unwrap();
        }
        let owner = File::open(owned.join(LOCK)).unwrap();
        owner.lock().unwrap();
        sweep(parent.path());
        assert_eq!([&left, &owned, &new, &other].map(|it| it.exists()), [false, true, true, true]);
    }
}
