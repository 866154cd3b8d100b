//! The cgroups of a node: one below our own in every hierarchy of cgroup v1.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::place::{self, Host, PREFIX};
use super::process;

/// How long the kernel may take to let go of a cgroup whose processes are gone.
const EMPTY: Duration = Duration::from_secs(10);

/// A cgroup of a node.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Cgroup {
    /// The controller of its hierarchy, such as `cpu`.
    pub(super) controller: String,
    /// Its directory.
    pub(super) directory: PathBuf,
}

/// Makes those of a node. Where they are is written down before, for whoever removes them.
///
/// # Errors
///
/// When this machine has no cgroup v1, or one cannot be made.
pub(super) fn make(node: u8) -> Result<Vec<Cgroup>> {
    let mut made = Vec::new();
    for Cgroup { controller, directory: parent } in require()? {
        let directory = parent.join(format!("{PREFIX}{}", Host::Node(node).name()));
        note(&directory)?;
        fs::create_dir_all(&directory)
            .with_context(|| format!("making the cgroup `{}`", directory.display()))?;
        if controller == "cpuset" {
            // Nothing may run in one before these are set.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                fs::write(directory.join(file), fs::read(parent.join(file))?)?;
            }
        }
        made.push(Cgroup { controller, directory });
    }
    Ok(made)
}

/// Our own cgroups.
///
/// # Errors
///
/// When this machine has no cgroup v1.
pub(super) fn require() -> Result<Vec<Cgroup>> {
    let own = own(&read("/proc/mounts")?, &read("/proc/self/cgroup")?);
    ensure!(
        !own.is_empty(),
        "this machine has no cgroup v1, which nodes run in: boot it with \
         `systemd.unified_cgroup_hierarchy=0`, or use another one"
    );
    Ok(own)
}

/// Our own cgroups, from what the kernel says about mounts and about this process.
fn own(mounts: &str, cgroups: &str) -> Vec<Cgroup> {
    let mounted: Vec<(&str, &Path)> = mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            let (place, kind) = (Path::new(words.next()?), words.next()?);
            let name = place.file_name()?.to_str()?;
            (kind == "cgroup").then_some((name, place))
        })
        .collect();
    let find = |line: &str| {
        let mut parts = line.splitn(3, ':').skip(1);
        let controller = parts.next()?.trim_start_matches("name=").to_owned();
        let path = parts.next()?.trim_start_matches('/');
        let (_, place) = mounted.iter().find(|(name, _)| *name == controller)?;
        Some(Cgroup { controller, directory: place.join(path) })
    };
    cgroups.lines().filter_map(find).collect()
}

/// The list of all that were made.
fn list() -> PathBuf {
    place::directory().join("cgroups")
}

fn note(directory: &Path) -> Result<()> {
    let file = fs::File::options().create(true).append(true).open(list());
    let mut file = file.context("opening the list of cgroups")?;
    writeln!(file, "{}", directory.display()).context("writing the list of cgroups")
}

/// The cgroups of all nodes that are there.
pub(super) fn left() -> Vec<PathBuf> {
    let list = fs::read_to_string(list()).unwrap_or_default();
    let mut left: Vec<_> = list.lines().map(PathBuf::from).filter(|path| path.exists()).collect();
    left.sort();
    left.dedup();
    left
}

/// Removes those of a node that is off. Left there, each would delay the next kubelet by seconds.
///
/// # Errors
///
/// When one stays.
pub(super) fn remove(node: u8) -> Result<()> {
    let name = format!("{PREFIX}{}", Host::Node(node).name());
    left().iter().filter(|path| path.ends_with(&name)).try_for_each(|path| remove_tree(path))
}

/// Removes those of all nodes.
///
/// # Errors
///
/// When one stays.
pub(super) fn remove_all() -> Result<()> {
    left().iter().try_for_each(|path| remove_tree(path))
}

/// Children first: the files in a cgroup cannot be removed, and go with it.
fn remove_tree(directory: &Path) -> Result<()> {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path())?;
        }
    }
    let what = format!("the cgroup `{}` is removed", directory.display());
    process::wait(&what, EMPTY, || fs::remove_dir(directory).is_ok() || !directory.exists())
        .map(drop)
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading `{path}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
tmpfs /sys/fs/cgroup tmpfs rw 0 0
cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0
";

    #[test]
    fn our_own_cgroups_are_found_where_they_are_mounted() {
        let own = own(MOUNTS, "9:name=systemd:/\n1:cpu:/session/one\n3:pids:/\n0::/x\n");
        let found: Vec<_> =
            own.iter().map(|own| (own.controller.as_str(), own.directory.as_path())).collect();
        let want = [
            ("systemd", Path::new("/sys/fs/cgroup/systemd/")),
            ("cpu", Path::new("/sys/fs/cgroup/cpu/session/one")),
        ];
        assert_eq!(found, want);
    }

    #[test]
    fn a_machine_with_cgroup_v2_alone_has_none() {
        assert_eq!(own("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", "0::/user.slice\n"), []);
    }
}
