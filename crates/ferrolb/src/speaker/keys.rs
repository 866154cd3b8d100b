//! The secret that speakers know each other by: where it is, and its changes.
//!
//! In a cluster it is the `memberlist` Secret, mounted as a directory; the kubelet exchanges a link
//! when the Secret changes. Elsewhere it is a file. Beside it there may be the secret that was in
//! use before, for speakers that have not seen the change.

use std::ffi::OsString;
use std::fs;
use std::future;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use proto::mesh::seal::Key;

use crate::source::watch::Watch;
use crate::told::Told;

/// The entry of MetalLB's Secret that holds the secret.
const ENTRY: &str = "secretkey";

/// What the name of a file ends with that holds the secret before.
const PREVIOUS: &str = "-previous";

/// What a user may say of the secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Given {
    /// Nothing.
    Nothing,
    /// The file that it is in.
    File(PathBuf),
    /// It itself.
    Secret(String),
}

/// The secret, followed.
#[derive(Debug)]
pub struct Keys {
    given: Given,
    last: Vec<Key>,
    watch: Option<Watch>,
    told: Told,
}

impl Given {
    /// What `ferrolb speaker` was given: MetalLB's directory, or the secret itself.
    pub fn by_metallb(directory: Option<&Path>, secret: Option<&str>) -> Self {
        match (directory, secret) {
            (Some(directory), _) => Self::File(directory.join(ENTRY)),
            (None, Some(secret)) => Self::Secret(secret.to_owned()),
            (None, None) => Self::Nothing,
        }
    }

    /// The keys, the newest first; none if nothing was given.
    fn read(&self) -> Result<Vec<Key>> {
        match self {
            Self::Nothing => Ok(Vec::new()),
            Self::Secret(secret) => Ok(vec![derive("`METALLB_ML_SECRET_KEY`", secret.as_bytes())?]),
            Self::File(path) => {
                let mut keys = vec![read(path)?];
                let previous = previous(path);
                if previous.exists() {
                    keys.push(read(&previous)?);
                }
                Ok(keys)
            }
        }
    }
}

impl Keys {
    /// Reads the keys. If none was given, says so, and with `mend` how to give one. Needs a tokio
    /// runtime.
    ///
    /// # Errors
    ///
    /// If something was given that is no secret: to go on without one would be to trust everybody.
    pub fn open(given: Given, mend: &str) -> Result<Self> {
        let watch = match &given {
            Given::File(path) => Some(Watch::start(path)),
            Given::Nothing | Given::Secret(_) => None,
        };
        let last = given.read()?;
        if last.is_empty() {
            tracing::warn!(
                "speakers are not authenticated: whoever can send from the address of a Node can \
                 take over every address; {mend}"
            );
        }
        Ok(Self { given, last, watch, told: Told::default() })
    }

    /// The keys as they were read last, the newest first.
    pub fn current(&self) -> &[Key] {
        &self.last
    }

    /// Waits for other keys. A file that is gone or wrong changes nothing. May be dropped at any
    /// point.
    pub async fn changed(&mut self) -> &[Key] {
        loop {
            match &mut self.watch {
                Some(watch) => watch.changed().await,
                None => future::pending().await,
            }
            match self.given.read() {
                Ok(keys) => {
                    self.told.news([]);
                    if keys != self.last {
                        if let Some(newest) = keys.first() {
                            tracing::info!(newest = %newest.id(), "another key of the mesh");
                        }
                        self.last = keys;
                        return &self.last;
                    }
                }
                Err(error) => {
                    for problem in self.told.news([format!("{error:#}")]) {
                        tracing::error!("{problem}; the key that was there before stays in force");
                    }
                }
            }
        }
    }
}

fn previous(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(PREVIOUS);
    PathBuf::from(name)
}

fn read(path: &Path) -> Result<Key> {
    let at = format!("`{}`", path.display());
    let secret = fs::read(path).with_context(|| format!("reading the secret in {at}"))?;
    derive(&at, &secret)
}

fn derive(at: &str, secret: &[u8]) -> Result<Key> {
    let length = "`openssl rand -base64 32` makes one that is long enough";
    Key::derive(secret)
        .map_err(|cause| anyhow!("making a key of the secret in {at}: {cause}; {length}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// Far more than a change takes; it only ends a test that would otherwise hang.
    const PATIENCE: Duration = Duration::from_secs(20);

    const OLD: &str = "an old secret, long enough";
    const NEW: &str = "a new secret, long enough";

    fn key(secret: &str) -> Key {
        Key::derive(secret.as_bytes()).unwrap()
    }

    #[test]
    fn what_is_no_secret_is_said_with_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(ENTRY);
        let given = Given::by_metallb(Some(directory.path()), Some("not looked at"));
        let error = |given: &Given| format!("{:#}", given.read().unwrap_err());
        assert!(error(&given).contains("secretkey`: No such file"), "{}", error(&given));
        for (text, want) in [("\n", "it is empty"), ("short\n", "fewer than 16 characters")] {
            fs::write(&path, text).unwrap();
            assert!(error(&given).contains(want), "{}", error(&given));
        }
        let given = Given::by_metallb(None, Some("short"));
        assert!(error(&given).contains("`METALLB_ML_SECRET_KEY`"), "{}", error(&given));
        assert_eq!(Given::by_metallb(None, None).read().unwrap(), []);
    }

    #[test]
    fn the_secret_before_is_accepted_if_there_is_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        fs::write(&path, NEW).unwrap();
        let given = Given::File(path);
        assert_eq!(given.read().unwrap(), [key(NEW)]);
        fs::write(directory.path().join("key-previous"), OLD).unwrap();
        assert_eq!(given.read().unwrap(), [key(NEW), key(OLD)]);
    }

    #[tokio::test]
    async fn a_secret_that_the_kubelet_exchanges_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let publish = |version: &str, secret: &str| {
            fs::create_dir(path(version)).unwrap();
            fs::write(path(version).join(ENTRY), secret).unwrap();
            symlink(version, path("..data_tmp")).unwrap();
            fs::rename(path("..data_tmp"), path("..data")).unwrap();
        };
        publish("..1", OLD);
        symlink(Path::new("..data").join(ENTRY), path(ENTRY)).unwrap();
        let mut keys = Keys::open(Given::by_metallb(Some(directory.path()), None), "").unwrap();
        assert_eq!(keys.current(), [key(OLD)]);
        publish("..2", NEW);
        let changed = timeout(PATIENCE, keys.changed()).await.unwrap();
        assert_eq!(changed, [key(NEW)]);
    }

    #[tokio::test]
    async fn a_file_that_is_emptied_and_filled_again_changes_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        fs::write(&path, OLD).unwrap();
        let mut keys = Keys::open(Given::File(path.clone()), "").unwrap();
        fs::write(&path, "").unwrap();
        let filled = tokio::spawn(async move {
            let changed = keys.changed().await.to_vec();
            (changed, keys)
        });
        fs::write(&path, NEW).unwrap();
        let (changed, keys) = timeout(PATIENCE, filled).await.unwrap().unwrap();
        assert_eq!(changed, [key(NEW)]);
        assert_eq!(keys.current(), [key(NEW)]);
    }
}
