//! Where the programs of Kubernetes are.

use std::path::PathBuf;

use crate::needs::Missing;

/// All that tests run.
pub const ALL: [&str; 4] = ["etcd", "kube-apiserver", "kube-proxy", "kubectl"];

/// Variables that name a directory with some of the programs, the first one first. The second is
/// set by `cargo xtask`, which builds what is missing.
pub const DIRECTORIES: [&str; 2] = ["KUBEBUILDER_ASSETS", "FERROLB_KUBE_BIN"];

/// Looks in [`DIRECTORIES`], then in the search path.
///
/// # Errors
///
/// When it is in none of them.
pub fn find(name: &'static str) -> Result<PathBuf, Missing> {
    let named = DIRECTORIES.iter().filter_map(std::env::var_os).map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut all = named.chain(std::env::split_paths(&path)).map(|directory| directory.join(name));
    all.find(|program| program.is_file()).ok_or(Missing::Kubernetes { name })
}
