//! The programs of Kubernetes: those that the lab runs, from `KUBEBUILDER_ASSETS`, from our cache,
//! else built there from the Go modules of `tests/kube/`; and those of a whole cluster, from our
//! cache or built there. MetalLB's manifests come in the same way.
//!
//! There is no other source that works wherever Go modules can be fetched: the projects publish
//! their programs at places of their own, and as images.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};

use crate::workspace::{is_ci, root};
use crate::{cache, go, step};

/// Names a directory with programs that are used as they are, as for controller-runtime's tests.
const ASSETS: &str = "KUBEBUILDER_ASSETS";

/// Tells the lab where the others are.
const DIRECTORY: &str = "FERROLB_KUBE_BIN";

/// The version stamp; without it the API server reports v0.0.0. The same as in `go.mod`.
const KUBERNETES: &str = "1.36.3";

/// The same for containerd, in its own `go.mod`.
const CONTAINERD: &str = "2.3.7";

/// A program, the module in `tests/kube/` that has it, and how long it takes to build when nothing
/// of its module is built yet.
struct Program {
    name: &'static str,
    module: &'static str,
    package: &'static str,
    cold: &'static str,
}

/// In this order: most of what the later ones need is built with the API server.
const PROGRAMS: [Program; 4] = [
    Program { name: "etcd", module: "etcd", package: ".", cold: "half a minute" },
    Program {
        name: "kube-apiserver",
        module: "kubernetes",
        package: "k8s.io/kubernetes/cmd/kube-apiserver",
        cold: "about five minutes",
    },
    Program {
        name: "kube-proxy",
        module: "kubernetes",
        package: "k8s.io/kubernetes/cmd/kube-proxy",
        cold: "half a minute",
    },
    Program {
        name: "kubectl",
        module: "kubernetes",
        package: "k8s.io/kubernetes/cmd/kubectl",
        cold: "half a minute",
    },
];

/// What a cluster with kubelets runs besides.
const CLUSTER: [Program; 6] = [
    Program {
        name: "kube-controller-manager",
        module: "kubernetes",
        package: "k8s.io/kubernetes/cmd/kube-controller-manager",
        cold: "about two minutes",
    },
    Program {
        name: "kube-scheduler",
        module: "kubernetes",
        package: "k8s.io/kubernetes/cmd/kube-scheduler",
        cold: "half a minute",
    },
    Program {
        name: "kubelet",
        module: "kubernetes",
        package: "k8s.io/kubernetes/cmd/kubelet",
        cold: "about two minutes",
    },
    Program {
        name: "containerd",
        module: "containerd",
        package: "github.com/containerd/containerd/v2/cmd/containerd",
        cold: "about two minutes",
    },
    Program {
        name: "containerd-shim-runc-v2",
        module: "containerd",
        package: "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
        cold: "some seconds",
    },
    Program {
        name: "ctr",
        module: "containerd",
        package: "github.com/containerd/containerd/v2/cmd/ctr",
        cold: "some seconds",
    },
];

/// Where the programs of a cluster are.
#[derive(Debug)]
pub(crate) struct ClusterPrograms {
    /// etcd and what is Kubernetes' own.
    pub(crate) kubernetes: PathBuf,
    /// containerd, its shim and `ctr`.
    pub(crate) containerd: PathBuf,
}

/// Brings what a cluster runs.
///
/// # Errors
///
/// Where that fails, with what to install.
pub(crate) fn bring_cluster() -> Result<ClusterPrograms> {
    let all = PROGRAMS.iter().chain(&CLUSTER);
    let (containerd, kubernetes): (Vec<_>, Vec<_>) =
        all.partition(|program| program.module == "containerd");
    Ok(ClusterPrograms { kubernetes: build(&kubernetes)?, containerd: build(&containerd)? })
}

/// Where the programs are.
pub(crate) struct Programs {
    assets: Option<PathBuf>,
    cached: Option<PathBuf>,
}

impl Programs {
    /// Tells a program that uses the lab where they are.
    pub(crate) fn tell(&self, command: &mut Command) {
        for (variable, directory) in [(ASSETS, &self.assets), (DIRECTORY, &self.cached)] {
            if let Some(directory) = directory {
                command.env(variable, directory);
            }
        }
    }
}

/// Brings what is missing. Where that fails, the tests that need it will be skipped, and say so.
///
/// # Errors
///
/// Where that fails and nothing may be skipped.
pub(crate) fn bring() -> Result<Programs> {
    let assets = env::var_os(ASSETS).filter(|value| !value.is_empty());
    // Tests run in other directories than this.
    let assets = assets.and_then(|directory| fs::canonicalize(directory).ok());
    let is_asset = |program: &&Program| {
        assets.as_ref().is_some_and(|directory| directory.join(program.name).is_file())
    };
    let wanted: Vec<_> = PROGRAMS.iter().filter(|program| !is_asset(program)).collect();
    if wanted.is_empty() {
        return Ok(Programs { assets, cached: None });
    }
    match build(&wanted) {
        Ok(directory) => Ok(Programs { assets, cached: Some(directory) }),
        Err(error) if is_ci() => Err(error),
        Err(error) => {
            eprintln!("    NO KUBERNETES HERE: TESTS THAT NEED ONE WILL BE SKIPPED");
            eprintln!("    {error:#}");
            Ok(Programs { assets, cached: None })
        }
    }
}

/// The directory of the cache that has them all.
fn build(programs: &[&Program]) -> Result<PathBuf> {
    let cache = cache::directory("kube")?;
    let of_containerd = programs.iter().any(|program| program.module == "containerd");
    let home = cache.join(if of_containerd { containerd_key()? } else { key()? });
    let directory = home.join("bin");
    // Two runs at once must not write the same file; the second finds what the first brought.
    let _lock = cache::lock(&cache)?;
    let missing = programs.iter().filter(|program| !directory.join(program.name).is_file());
    let missing: Vec<_> = missing.collect();
    if missing.is_empty() {
        return Ok(directory);
    }
    let go = go::bring()?;
    fs::create_dir_all(&directory)?;
    for Program { name, module, package, cold } in missing {
        let partial = home.join(name);
        let mut command = Command::new(&go);
        command.current_dir(modules().join(module)).args(["build", "-trimpath"]);
        match *module {
            "containerd" => {
                command.args(["-tags", CONTAINERD_TAGS, "-ldflags"]).arg(containerd_flags())
            }
            _ => command.arg("-ldflags").arg(flags()),
        };
        command.arg("-o").arg(&partial).arg(package);
        command.envs(ENVIRONMENT).stdin(std::process::Stdio::null());
        eprintln!("    `{name}` is not built yet: {cold} if nothing of it is, and only once");
        step::run(name, &mut command, "is there a way to the Go module proxy? see above")?;
        // Whoever finds the file finds all of it.
        fs::rename(&partial, directory.join(name)).with_context(|| format!("moving `{name}`"))?;
    }
    Ok(directory)
}

/// MetalLB's manifests as it publishes them, for all that it does without FRR.
///
/// # Errors
///
/// If its Go module cannot be fetched, or is another than the one that is committed.
pub(crate) fn metallb() -> Result<String> {
    let mut download = Command::new(go::bring()?);
    download.args(["mod", "download", "-json", METALLB]).current_dir(modules().join("metallb"));
    download.envs(ENVIRONMENT).stdin(std::process::Stdio::null());
    let output = download.output().context("starting Go")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "fetching the Go module `{METALLB}`: {}", said.trim());
    let module: serde_json::Value = serde_json::from_str(&said).context("reading what Go says")?;
    let directory = module["Dir"].as_str().context("Go does not say where the module is")?;
    let manifests = Path::new(directory).join("config/manifests/metallb-native.yaml");
    fs::read_to_string(&manifests).with_context(|| format!("reading `{}`", manifests.display()))
}

/// The Go module with MetalLB; which version is in `tests/kube/metallb/go.mod`.
const METALLB: &str = "go.universe.tf/metallb";

/// The same program wherever it is built, of the versions that are committed.
const ENVIRONMENT: [(&str, &str); 3] =
    [("CGO_ENABLED", "0"), ("GOFLAGS", "-mod=readonly"), ("GOTOOLCHAIN", "local")];

/// What the linker does: no debug information, and the version.
fn flags() -> String {
    let mut parts = KUBERNETES.split('.');
    let mut part = || parts.next().unwrap_or_default();
    let (major, minor) = (part(), part());
    let stamp = "-X k8s.io/component-base/version";
    format!(
        "-s -w {stamp}.gitVersion=v{KUBERNETES} {stamp}.gitMajor={major} {stamp}.gitMinor={minor}"
    )
}

/// Stores of images that need libraries in C, and that no cluster of ours uses.
const CONTAINERD_TAGS: &str = "no_btrfs no_zfs no_devmapper no_tracing";

fn containerd_flags() -> String {
    let stamp = "-X github.com/containerd/containerd/v2/version.Version";
    format!("-s -w {stamp}=v{CONTAINERD}")
}

fn modules() -> PathBuf {
    root().join("tests/kube")
}

/// Names what the programs are made from: another key, other programs.
fn key() -> Result<String> {
    key_of(&["etcd", "kubernetes"], &flags())
}

fn containerd_key() -> Result<String> {
    key_of(&["containerd"], &format!("{CONTAINERD_TAGS} {}", containerd_flags()))
}

fn key_of(names: &[&str], flags: &str) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(flags);
    for (variable, value) in ENVIRONMENT {
        hash.update(format!("{variable}={value}\n"));
    }
    for module in names {
        for file in ["go.mod", "go.sum"] {
            hash.update(read(&modules().join(module).join(file))?);
        }
    }
    let bytes = hash.finalize();
    Ok(bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(path).with_context(|| format!("reading `{}`", path.display()))?;
    ensure!(!bytes.is_empty(), "`{}` is empty", path.display());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stamp_is_the_version_that_is_built() {
        let module = fs::read_to_string(modules().join("kubernetes/go.mod")).unwrap();
        assert!(module.contains(&format!("k8s.io/kubernetes v{KUBERNETES}\n")));
        let module = fs::read_to_string(modules().join("containerd/go.mod")).unwrap();
        assert!(module.contains(&format!("containerd/v2 v{CONTAINERD}\n")));
        assert!(flags().contains("gitVersion=v1."), "{}", flags());
        assert!(flags().contains(".gitMajor=1 "), "{}", flags());
    }

    #[test]
    fn the_lab_looks_for_the_programs_that_are_built() {
        assert_eq!(PROGRAMS.map(|program| program.name), lab::kube::programs::ALL);
        assert_eq!([ASSETS, DIRECTORY], lab::kube::programs::DIRECTORIES);
    }
}
