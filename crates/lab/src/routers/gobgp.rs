//! GoBGP.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{
    Family, GracefulRestart, Learned, Neighbor, Opens, Router, Session, Setup, Table, number,
};
use crate::process::Process;
use crate::topology::Host;

pub(super) fn start(host: &Host, directory: &Path, setup: &Setup) -> Result<Vec<Process>> {
    let path = directory.join("gobgpd.conf");
    fs::write(&path, config(host, setup)).context("writing its settings")?;
    let mut command = Command::new("gobgpd");
    command.arg("-f").arg(path).args(["--log-plain", "--pprof-disable"]);
    // The namespace has a loopback of its own.
    command.args(["--api-hosts", "127.0.0.1:50051"]);
    Ok(vec![host.netns.spawn(&command)?])
}

fn config(host: &Host, setup: &Setup) -> String {
    let mut text =
        format!("[global.config]\n  as = {}\n  router-id = \"{}\"\n", setup.asn, host.ipv4);
    for neighbor in &setup.neighbors {
        text += &neighbor_block(neighbor);
    }
    text
}

fn neighbor_block(neighbor: &Neighbor) -> String {
    let Neighbor { address, asn, .. } = neighbor;
    let mut text = format!(
        "[[neighbors]]\n  [neighbors.config]\n    neighbor-address = \"{address}\"\n    peer-as = {asn}\n"
    );
    let mut add = |more: String| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{more}");
    };
    if let Some(password) = neighbor.password {
        add(format!("    auth-password = \"{password}\""));
    }
    let is_passive = neighbor.opens == Opens::Other;
    add(format!("  [neighbors.transport.config]\n    passive-mode = {is_passive}"));
    if let Some(hops) = neighbor.ttl_security {
        let least = u8::MAX - (hops - 1);
        add(format!(
            "  [neighbors.ttl-security.config]\n    enabled = true\n    ttl-min = {least}"
        ));
    }
    let is_helper = neighbor.graceful_restart == GracefulRestart::Helps;
    if is_helper {
        add("  [neighbors.graceful-restart.config]\n    enabled = true\n    restart-time = 120\n    helper-only = true".to_owned());
    }
    for family in &neighbor.families {
        add(format!(
            "  [[neighbors.afi-safis]]\n    [neighbors.afi-safis.config]\n      afi-safi-name = \"{}-unicast\"",
            name(*family)
        ));
        if is_helper {
            add("    [neighbors.afi-safis.mp-graceful-restart.config]\n      enabled = true"
                .to_owned());
        }
    }
    text
}

fn name(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    }
}

/// Asks gobgpd.
fn ask(router: &Router, question: &[&str]) -> Result<Value> {
    let mut command = Command::new("gobgp");
    command.args(question).arg("-j");
    let text = router.output(command)?;
    serde_json::from_str(&text)
        .with_context(|| format!("reading the answer to {question:?}: {text}"))
}

pub(super) fn table(router: &Router, family: Family) -> Result<Table> {
    let all = ask(router, &["global", "rib", "-a", name(family)])?;
    let routes = all.as_object().into_iter().flatten().map(|(prefix, paths)| {
        let paths = paths.as_array().into_iter().flatten();
        (prefix.clone(), paths.map(learned).collect())
    });
    Ok(routes.collect())
}

fn learned(path: &Value) -> Learned {
    let mut learned = Learned { is_stale: path["stale"] == true, ..Learned::default() };
    for attribute in path["attrs"].as_array().into_iter().flatten() {
        let value = &attribute["value"];
        let hop = |value: &Value| value.as_str().and_then(|text| text.parse().ok());
        match attribute["type"].as_u64() {
            Some(2) => {
                let segments = attribute["as_paths"].as_array().into_iter().flatten();
                let ases = segments.flat_map(|segment| segment["asns"].as_array()).flatten();
                learned.as_path = ases.filter_map(number).collect();
            }
            Some(3 | 14) => learned.next_hop = hop(&attribute["nexthop"]),
            Some(4) => learned.med = number(&attribute["metric"]),
            Some(5) => learned.local_pref = number(value),
            Some(8) => {
                let all = attribute["communities"].as_array().into_iter().flatten();
                let all = all.filter_map(number);
                let text = |one: u32| format!("{}:{}", one >> 16, one & 0xffff);
                learned.communities = all.map(text).collect();
            }
            Some(32) => {
                let all = value.as_array().into_iter().flatten();
                let part = |one: &Value, name: &str| number(&one[name]).unwrap_or_default();
                let text = |one: &Value| {
                    let [a, b, c] = ["ASN", "LocalData1", "LocalData2"].map(|name| part(one, name));
                    format!("{a}:{b}:{c}")
                };
                learned.large_communities = all.map(text).collect();
            }
            _ => (),
        }
    }
    learned
}

pub(super) fn sessions(router: &Router) -> Result<BTreeMap<IpAddr, Session>> {
    /// `ESTABLISHED` of its API.
    const ESTABLISHED: u64 = 6;
    let all = ask(router, &["neighbor"])?;
    let sessions = all.as_array().into_iter().flatten().filter_map(|neighbor| {
        let state = &neighbor["state"];
        let session = Session {
            is_established: state["session_state"].as_u64() == Some(ESTABLISHED),
            drops: state["flops"].as_u64().unwrap_or_default(),
            last_reset: state["disconnect_message"].as_str().unwrap_or_default().to_owned(),
        };
        Some((neighbor["conf"]["neighbor_address"].as_str()?.parse().ok()?, session))
    });
    Ok(sessions.collect())
}
