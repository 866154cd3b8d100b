//! Says when a directory of manifests changed.
//!
//! The directory itself is watched, not its files: editors and ConfigMap mounts replace files and
//! links rather than write to them. Events may be lost, a link may lead out of the directory, and
//! the directory may be replaced as a whole; so it is also looked at every now and then.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::files;

/// How long nothing more may happen before a change is told: a copy of ten files is one change.
const QUIET: Duration = Duration::from_millis(100);

/// A change is told after this even if more keeps happening.
const AT_MOST: Duration = Duration::from_secs(1);

/// How often to look whether an event was lost. It costs one `stat` a file.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// How often to look if the system gives no events at all.
const LOOK_WITHOUT_EVENTS: Duration = Duration::from_secs(1);

/// A watch on a directory. It ends when dropped.
#[derive(Debug)]
pub struct Watch {
    changes: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Starts to watch `path`, a directory or one file, which need not exist yet.
    ///
    /// Call it before the first reading, so that no change falls between the two. Needs a tokio
    /// runtime.
    pub fn start(path: impl Into<PathBuf>) -> Self {
        Self::with_pace(path.into(), LOOK_AGAIN)
    }

    fn with_pace(path: PathBuf, look_again: Duration) -> Self {
        let (told, changes) = watch::channel(0);
        // Both are made here, so that what changes from now on is a change.
        let events = Events::of(&path);
        let look = Look::at(&path);
        let task = tokio::spawn(run(path, events, look, told, look_again));
        Self { changes, task }
    }

    /// Waits until something changed since the last call. May be dropped at any point.
    pub async fn changed(&mut self) {
        // The sender lives as long as the task, which ends only when `self` does.
        let _ = self.changes.changed().await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    path: PathBuf,
    mut events: Events,
    mut last: Look,
    told: watch::Sender<u64>,
    look_again: Duration,
) {
    loop {
        let pause = if events.source.is_some() { look_again } else { LOOK_WITHOUT_EVENTS };
        let is_event = timeout(pause, events.arrived.notified()).await.is_ok();
        if is_event {
            let settled =
                async { while timeout(QUIET, events.arrived.notified()).await.is_ok() {} };
            // Either end is as good: something changed.
            let _ = timeout(AT_MOST, settled).await;
        }
        let look = Look::at(&path);
        if look.directory != last.directory || events.source.is_none() {
            events = Events::of(&path);
        }
        if is_event || look != last {
            told.send_modify(|count| *count = count.wrapping_add(1));
        }
        last = look;
    }
}

/// What can be seen of the files without reading them.
#[derive(Debug, Eq, PartialEq)]
struct Look {
    /// Device and inode of the directory.
    directory: Option<(u64, u64)>,
    files: BTreeMap<PathBuf, Stamp>,
}

/// Device, inode, size, and the last change of contents or owner in seconds and nanoseconds.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

impl Look {
    fn at(path: &Path) -> Self {
        let stamp = |file: PathBuf| {
            let metadata = fs::metadata(&file).ok();
            let stamp = metadata.map(|m| (m.dev(), m.ino(), m.size(), m.ctime(), m.ctime_nsec()));
            (file, stamp)
        };
        let files = files::manifests(path).unwrap_or_default();
        Self {
            directory: fs::metadata(path).ok().map(|m| (m.dev(), m.ino())),
            files: files.into_iter().map(stamp).collect(),
        }
    }
}

/// Events of a directory.
struct Events {
    /// However many arrived, they are one.
    arrived: Arc<Notify>,
    /// Where they come from; `None` if the system has none to give.
    source: Option<RecommendedWatcher>,
}

impl Events {
    fn of(path: &Path) -> Self {
        let arrived = Arc::new(Notify::new());
        let tell = Arc::clone(&arrived);
        let source = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // An error may mean that events were lost, so it counts as one.
            if event.map_or(true, |event| is_change(event.kind)) {
                tell.notify_one();
            }
        })
        .and_then(|mut source| {
            source.watch(directory(path), RecursiveMode::NonRecursive).map(|()| source)
        })
        .inspect_err(|cause| {
            tracing::debug!(path = %path.display(), %cause, "no events, looking every second");
        });
        Self { arrived, source: source.ok() }
    }
}

/// The directory of which events tell about `path`.
fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !path.is_dir() && parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) if !path.is_dir() => parent,
        Some(_) | None => path,
    }
}

/// Whether an event is about a change; our own reading makes events too.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Far more than a change takes; it only ends a test that would otherwise hang.
    const PATIENCE: Duration = Duration::from_secs(20);

    async fn assert_told(watch: &mut Watch, what: &str) {
        assert!(timeout(PATIENCE, watch.changed()).await.is_ok(), "not told: {what}");
    }

    #[tokio::test]
    async fn every_way_to_change_a_directory_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let mut watch = Watch::start(directory.path());
        fs::write(path("pool.yaml"), "a: 1").unwrap();
        assert_told(&mut watch, "a new file").await;
        fs::write(path("pool.yaml"), "a: 2").unwrap();
        assert_told(&mut watch, "a file written to").await;
        fs::write(path(".pool.yaml.new"), "a: 3").unwrap();
        fs::rename(path(".pool.yaml.new"), path("pool.yaml")).unwrap();
        assert_told(&mut watch, "a file replaced").await;
        fs::remove_file(path("pool.yaml")).unwrap();
        assert_told(&mut watch, "a file removed").await;
        symlink("..1", path("..data")).unwrap();
        assert_told(&mut watch, "the link of a ConfigMap").await;
    }

    #[tokio::test]
    async fn a_change_that_makes_no_event_is_seen_all_the_same() {
        let elsewhere = tempfile::tempdir().unwrap();
        let target = elsewhere.path().join("pool.yaml");
        fs::write(&target, "a: 1").unwrap();
        let directory = tempfile::tempdir().unwrap();
        symlink(&target, directory.path().join("pool.yaml")).unwrap();
        let pace = Duration::from_millis(20);
        let mut watch = Watch::with_pace(directory.path().to_owned(), pace);
        fs::write(&target, "a: 1, but longer").unwrap();
        assert_told(&mut watch, "what a link leads to").await;
    }

    #[tokio::test]
    async fn a_directory_that_is_replaced_is_watched_again() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("manifests");
        let pace = Duration::from_millis(20);
        let mut watch = Watch::with_pace(directory.clone(), pace);
        fs::create_dir(&directory).unwrap();
        assert_told(&mut watch, "the directory appeared").await;
        fs::remove_dir(&directory).unwrap();
        assert_told(&mut watch, "the directory vanished").await;
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("pool.yaml"), "a: 1").unwrap();
        assert_told(&mut watch, "the directory came back").await;
    }

    #[test]
    fn reading_is_no_change() {
        let read = AccessKind::Close(AccessMode::Read);
        assert!(!is_change(EventKind::Access(read)));
        assert!(!is_change(EventKind::Access(AccessKind::Open(AccessMode::Any))));
        assert!(is_change(EventKind::Access(AccessKind::Close(AccessMode::Write))));
    }
}
