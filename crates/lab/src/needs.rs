//! What a machine must offer for a lab, and how tests say that it does not.

use std::fmt;
use std::fs::OpenOptions;
use std::process::{Command, Stdio};
use std::thread;

use nix::sched::{CloneFlags, unshare};

use crate::kube::programs;
use crate::netns::Netns;

/// What is missing on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The process may not make network namespaces.
    Privilege,
    /// A program is not installed.
    Program {
        /// Its name.
        name: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// `/proc/sys` of a new namespace cannot be written.
    Sysctl,
    /// There is no user but root in the user namespace.
    Users,
    /// A program of Kubernetes is nowhere.
    Kubernetes {
        /// Its name.
        name: &'static str,
    },
    /// The kernel has no interfaces of a kind.
    Link {
        /// The kind, as `ip link add type` has it.
        kind: &'static str,
    },
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Privilege => f.write_str(
                "no right to make network namespaces: run as root, or under \
                 `unshare --user --map-root-user --net --mount`",
            ),
            Self::Program { name, package } => {
                write!(f, "no program `{name}`: install the package `{package}`")
            }
            Self::Sysctl => f.write_str(
                "`/proc/sys/net` cannot be written: in a container, mount `/proc/sys` writable",
            ),
            Self::Users => f.write_str(
                "no user but root in this user namespace, and the router becomes one: run as root",
            ),
            Self::Kubernetes { name } => write!(
                f,
                "no program `{name}`: install Go and run `cargo xtask test`, which builds it, or \
                 name a directory that has it in `KUBEBUILDER_ASSETS`"
            ),
            Self::Link { kind } => write!(
                f,
                "the kernel has no interfaces of the kind `{kind}`: load its module, or run a kernel \
                 that has it"
            ),
        }
    }
}

impl std::error::Error for Missing {}

/// Says whether this machine can run a lab, and if not, the first thing that it lacks.
pub fn needs() -> Result<(), Missing> {
    // On a thread of its own, which takes the namespace with it.
    let found = thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).map_err(|_| Missing::Privilege)?;
        let sysctl = OpenOptions::new().write(true).open("/proc/sys/net/ipv4/ip_forward");
        sysctl.map(drop).map_err(|_| Missing::Sysctl)
    });
    found.join().expect("nothing in it panics")?;
    installed(&[("setpriv", "util-linux"), ("nft", "nftables")])
}

/// Says whether this machine can run a lab with other people's programs for layer 2 in it, and if
/// not, the first thing that it lacks.
pub fn needs_peers() -> Result<(), Missing> {
    needs()?;
    installed(&[("arping", "iputils-arping"), ("bridge", "iproute2"), ("ndisc6", "ndisc6")])
}

/// Says whether the kernel has interfaces of a kind that needs no others, and if not, that it lacks
/// them. A lab must be possible.
pub fn needs_link(kind: &'static str) -> Result<(), Missing> {
    let made = Netns::new("needs").is_ok_and(|netns| {
        netns.run(move || {
            let mut ip = Command::new("ip");
            let words: &[_] = match kind {
                "vlan" => &["link", "add", "link", "lo", "name", "new", "type", kind, "id", "7"],
                _ => &["link", "add", "new", "type", kind],
            };
            ip.args(words).output().is_ok_and(|output| output.status.success())
        })
    });
    if made { Ok(()) } else { Err(Missing::Link { kind }) }
}

pub(crate) fn installed(programs: &[(&'static str, &'static str)]) -> Result<(), Missing> {
    match programs.iter().find(|(name, _)| !is_installed(name)) {
        None => Ok(()),
        Some((name, package)) => Err(Missing::Program { name, package }),
    }
}

/// Says whether this machine can run a lab with a Kubernetes, and if not, the first thing that it
/// lacks.
pub fn needs_kubernetes() -> Result<(), Missing> {
    needs()?;
    programs::ALL.iter().try_for_each(|name| programs::find(name).map(drop))
}

fn is_installed(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok()
}

/// Skips a test that lacks something. In CI (`CI=true`) only the kernel may lack it: a green run must
/// mean that the test ran, and nobody can install another kernel there.
///
/// # Panics
///
/// In CI, if it can be mended.
pub fn skip(test: &str, missing: Missing) {
    let test = test.trim_end_matches("::here");
    let may_lack = matches!(missing, Missing::Link { .. });
    let is_ci = std::env::var("CI").as_deref() == Ok("true");
    assert!(may_lack || !is_ci, "{test} cannot run: {missing}");
    eprintln!("SKIPPED {test}: {missing}");
}

/// Ends the test, with a line that names it and the reason, on a machine without what a lab needs;
/// `require!(kubernetes)` also wants the programs of Kubernetes, `require!(peers)` those of others for
/// layer 2, `require!(router KIND)` those of a router, `require!(bfd KIND)` that of one for BFD.
/// `require!(link "bond")` wants a kernel with such interfaces.
#[macro_export]
macro_rules! require {
    () => {
        $crate::require!(@ $crate::needs::needs())
    };
    (kubernetes) => {
        $crate::require!(@ $crate::needs::needs_kubernetes())
    };
    (peers) => {
        $crate::require!(@ $crate::needs::needs_peers())
    };
    (router $kind:expr) => {
        $crate::require!(@ $crate::routers::needs($kind))
    };
    (bfd $kind:expr) => {
        $crate::require!(@ $crate::bfd::needs($kind))
    };
    (link $kind:literal) => {
        $crate::require!(@ $crate::needs::needs_link($kind))
    };
    (@ $needs:expr) => {
        if let Err(missing) = $needs {
            // The compiler knows the test's name; the thread's is not always it.
            fn here() {}
            $crate::needs::skip(std::any::type_name_of_val(&here), missing);
            return;
        }
    };
}
