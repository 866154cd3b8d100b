//! Debian packages: which programs are needed, and how the missing ones come.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::workspace::is_root;

/// A program that a command of ours runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Program {
    /// Its name.
    pub(crate) name: &'static str,
    /// The Debian package that has it.
    pub(crate) package: &'static str,
    /// What it is needed for.
    pub(crate) purpose: &'static str,
}

/// What the lab needs: `cargo xtask test` runs its tests.
pub(crate) const LAB: &[Program] = &[
    Program { name: "nft", package: "nftables", purpose: "nodes of the lab forward with it" },
    Program { name: "setpriv", package: "util-linux", purpose: "it ends programs of the lab" },
    Program {
        name: "arping",
        package: "iputils-arping",
        purpose: "clients of the lab ask with it",
    },
    Program { name: "bridge", package: "iproute2", purpose: "it shows what a switch has learned" },
    Program { name: "ndisc6", package: "ndisc6", purpose: "clients of the lab ask with it" },
    Program { name: "vtysh", package: "frr", purpose: "routers of the lab are FRR" },
    Program { name: "bird", package: "bird2", purpose: "routers of the lab are BIRD" },
];

/// What tests of BGP need beside [`LAB`]: other people's routers.
pub(crate) const ROUTERS: &[Program] = &[
    Program { name: "vtysh", package: "frr", purpose: "routers of the lab run it" },
    Program { name: "gobgpd", package: "gobgpd", purpose: "routers of the lab run it" },
    Program { name: "bird", package: "bird2", purpose: "routers of the lab run it" },
    Program { name: "bgpctl", package: "openbgpd", purpose: "routers of the lab run it" },
    Program { name: "exabgp", package: "exabgp", purpose: "routers of the lab run it" },
];

/// What a cluster with kubelets needs: `cargo xtask cluster` makes one.
pub(crate) const CLUSTER: &[Program] = &[
    Program {
        name: "runc",
        package: "runc",
        purpose: "nodes of the cluster run containers with it",
    },
    Program {
        name: "host-local",
        package: "containernetworking-plugins",
        purpose: "Pods of the cluster get their networks from it",
    },
    Program { name: "ip", package: "iproute2", purpose: "the cluster's network is made with it" },
    Program { name: "nft", package: "nftables", purpose: "kube-proxy forwards with it" },
    Program { name: "nsenter", package: "util-linux", purpose: "it enters nodes of the cluster" },
];

/// The lines of `packages.sh` say what it does.
const SCRIPT: &str = include_str!("packages.sh");

/// Asked by Debian's packages before they start a service.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs the packages of those programs that are missing.
///
/// # Errors
///
/// Without root or apt, with the command line that a person should run.
pub(crate) fn bring(programs: &[Program]) -> Result<()> {
    let missing: Vec<_> = programs.iter().filter(|program| !is_installed(program.name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for Program { name, package, purpose } in &missing {
        eprintln!("    `{name}` is missing: {purpose}; the Debian package `{package}` has it");
    }
    let packages: Vec<_> = missing.iter().map(|program| program.package).collect();
    let line = format!("apt-get install --yes --no-install-recommends {}", packages.join(" "));
    ensure!(
        is_installed("apt-get"),
        "this machine has no apt-get: install what is named above by its own means"
    );
    ensure!(is_root(), "only root can install packages: run `sudo {line}`, then this again");
    eprintln!("    {line}");
    install(Path::new(POLICY), &packages, &mut Command::new("sh"))
}

fn install(policy: &Path, packages: &[&str], shell: &mut Command) -> Result<()> {
    let status = shell
        .args(["-c", SCRIPT, "packages.sh"])
        .arg(policy)
        .args(packages)
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .context("starting `sh`")?;
    if !status.success() {
        bail!("apt-get could not install `{}`: {status}; its words are above", packages.join(" "));
    }
    Ok(())
}

/// Whether a program is in the search path or where Debian puts the administrator's programs and
/// plugins, which an ordinary user does not search.
fn is_installed(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/sbin", "/usr/lib/cni"].map(Into::into);
    std::env::split_paths(&path).chain(more).any(|directory| directory.join(name).is_file())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    use super::*;

    /// A directory with an `apt-get` of ours; it goes with the value.
    struct Fake(PathBuf);

    impl Fake {
        fn new(name: &str, apt_get: &str) -> Self {
            let directory =
                std::env::temp_dir().join(format!("xtask-{}-{name}", std::process::id()));
            fs::create_dir_all(&directory).unwrap();
            let program = directory.join("apt-get");
            fs::write(&program, format!("#!/bin/sh\ncd '{}'\n{apt_get}", directory.display()))
                .unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
            Self(directory)
        }

        fn install(&self) -> Result<()> {
            let path = format!("{}:/usr/bin:/bin", self.0.display());
            install(&self.policy(), &["one", "two"], Command::new("sh").env("PATH", path))
        }

        fn policy(&self) -> PathBuf {
            self.0.join("policy-rc.d")
        }

        fn said(&self) -> String {
            fs::read_to_string(self.0.join("log")).unwrap()
        }
    }

    impl Drop for Fake {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn no_service_may_start_while_packages_are_installed() {
        let fake = Fake::new("policy", "./policy-rc.d; echo $? >>log");
        fake.install().unwrap();
        assert_eq!(fake.said(), "101\n");
        assert!(!fake.policy().exists(), "it is removed afterwards");
    }

    #[test]
    fn a_policy_that_was_there_stays() {
        let fake = Fake::new("kept", "true");
        fs::write(fake.policy(), "mine").unwrap();
        fake.install().unwrap();
        assert_eq!(fs::read_to_string(fake.policy()).unwrap(), "mine");
    }

    #[test]
    fn lists_are_fetched_only_when_the_packages_are_not_found() {
        let fake = Fake::new(
            "lists",
            "for w in \"$@\"; do :; done; echo $w >>log; test -e lists || { : >lists; exit 100; }",
        );
        fake.install().unwrap();
        assert_eq!(fake.said(), "two\nupdate\ntwo\n");
    }

    #[test]
    fn a_failure_names_the_packages_and_leaves_no_policy() {
        let fake = Fake::new("failure", "exit 100");
        let error = fake.install().unwrap_err().to_string();
        assert!(error.starts_with("apt-get could not install `one two`: "), "{error}");
        assert!(!fake.policy().exists());
    }
}
