//! Interfaces that are never announced on: `/etc/metallb/excludel2.yaml`.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context as _, bail};
use regex::RegexSet;
use serde::Deserialize;

use crate::net::interfaces::Interface;

/// Where the manifests of MetalLB mount it.
pub(super) const FILE: &str = "/etc/metallb/excludel2.yaml";

/// Which interfaces are left alone.
#[derive(Debug)]
pub(super) struct Excluded(RegexSet);

#[derive(Deserialize)]
struct File {
    #[serde(default, rename = "announcedInterfacesToExclude")]
    names: Vec<String>,
}

impl Excluded {
    /// Reads the file. Without one, none is left alone.
    ///
    /// # Errors
    ///
    /// When it is there and cannot be read, is no YAML of this form, or has a bad expression.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).with_context(|| format!("reading {}", path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self(RegexSet::empty())),
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let File { names } = serde_saphyr::from_str(text).context("reading it as YAML")?;
        match RegexSet::new(&names) {
            Ok(set) => Ok(Self(set)),
            Err(error) => bail!("`announcedInterfacesToExclude`: {error}"),
        }
    }

    /// The interfaces that are left.
    pub(super) fn rest(&self, interfaces: &[Interface]) -> Vec<Interface> {
        let is_left = |interface: &&Interface| !self.0.is_match(&interface.name);
        interfaces.iter().filter(is_left).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_match_anywhere_in_a_name_unless_anchored() {
        let rows = [
            ("announcedInterfacesToExclude: [\"^veth.*\", \"^lo$\"]", "eth0 lo0"),
            ("announcedInterfacesToExclude: [eth]", "lo lo0"),
            ("announcedInterfacesToExclude: []", "eth0 lo lo0 veth1"),
            ("{}", "eth0 lo lo0 veth1"),
        ];
        let names = ["eth0", "lo", "lo0", "veth1"];
        let table = names.map(|name| Interface {
            index: 1,
            name: name.to_owned(),
            mac: None,
            is_running: true,
            can_arp: true,
            addresses: Vec::new(),
        });
        for (text, want) in rows {
            let rest = Excluded::parse(text).unwrap().rest(&table);
            let rest: Vec<_> = rest.iter().map(|interface| interface.name.as_str()).collect();
            assert_eq!(rest.join(" "), want, "{text}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_excludes_nothing_and_a_bad_one_is_an_error() {
        assert!(Excluded::read(Path::new("/nonexistent/excludel2.yaml")).is_ok());
        for text in ["announcedInterfacesToExclude: [\"(\"]", "announcedInterfacesToExclude: 3"] {
            assert!(Excluded::parse(text).is_err(), "{text}");
        }
    }
}
