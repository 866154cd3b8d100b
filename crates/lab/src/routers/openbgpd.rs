//! OpenBGPD.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
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
    let path = directory.join("bgpd.conf");
    fs::write(&path, config(host, directory, setup)).context("writing its settings")?;
    // It reads no settings that others may read.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))
        .context("closing its settings")?;
    // FRR has a program of the same name elsewhere.
    let mut command = Command::new("/usr/sbin/bgpd");
    command.args(["-d", "-v", "-f"]).arg(path);
    Ok(vec![host.netns.spawn(&command)?])
}

fn config(host: &Host, directory: &Path, setup: &Setup) -> String {
    let mut text = format!(
        "AS {}\nrouter-id {}\nsocket \"{}\"\nfib-update yes\n\
         listen on {}\nlisten on {}\nallow from any\n",
        setup.asn,
        host.ipv4,
        directory.join("ctl").display(),
        host.ipv4,
        host.ipv6
    );
    for neighbor in &setup.neighbors {
        // Writing to a string does not fail.
        let _ = writeln!(text, "neighbor {} {{\n{}}}", neighbor.address, block(neighbor));
    }
    text
}

fn block(neighbor: &Neighbor) -> String {
    let mut lines = vec![format!("remote-as {}", neighbor.asn)];
    if neighbor.opens == Opens::Other {
        lines.push("passive".to_owned());
    }
    if let Some(password) = neighbor.password {
        lines.push(format!("tcp md5sig password \"{password}\""));
    }
    if neighbor.ttl_security.is_some() {
        lines.push("ttl-security yes".to_owned());
    }
    for (family, name) in [(Family::V4, "IPv4"), (Family::V6, "IPv6")] {
        let what = if neighbor.families.contains(&family) { "unicast" } else { "none" };
        lines.push(format!("announce {name} {what}"));
    }
    let is_helper = neighbor.graceful_restart == GracefulRestart::Helps;
    lines.push(format!("announce restart {}", if is_helper { "yes" } else { "no" }));
    lines.into_iter().map(|line| format!("  {line}\n")).collect()
}

/// Asks bgpd.
fn ask(router: &Router, question: &[&str]) -> Result<Value> {
    let mut command = Command::new("bgpctl");
    command.arg("-s").arg(router.directory.path().join("ctl")).arg("-j").args(question);
    let text = router.output(command)?;
    serde_json::from_str(&text)
        .with_context(|| format!("reading the answer to {question:?}: {text}"))
}

pub(super) fn table(router: &Router, family: Family) -> Result<Table> {
    let family = match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    };
    let all = ask(router, &["show", "rib", family, "detail"])?;
    let mut table = Table::new();
    for route in all["rib"].as_array().into_iter().flatten() {
        let Some(prefix) = route["prefix"].as_str() else { continue };
        table.entry(prefix.to_owned()).or_default().push(learned(route));
    }
    Ok(table)
}

fn learned(route: &Value) -> Learned {
    let path = route["aspath"].as_str().or_else(|| route["as_path"].as_str()).unwrap_or_default();
    let words = |name: &str| {
        let all = route[name].as_array().into_iter().flatten();
        all.filter_map(|one| one.as_str().map(str::to_owned)).collect()
    };
    Learned {
        next_hop: route["exit_nexthop"].as_str().and_then(|text| text.parse().ok()),
        as_path: path.split_whitespace().filter_map(|asn| asn.parse().ok()).collect(),
        local_pref: number(&route["localpref"]),
        med: number(&route["metric"]).filter(|med| *med != 0),
        communities: words("communities"),
        large_communities: words("large_communities"),
    }
}

pub(super) fn sessions(router: &Router) -> Result<BTreeMap<IpAddr, Session>> {
    let all = ask(router, &["show", "neighbor"])?;
    let sessions = all["neighbors"].as_array().into_iter().flatten().filter_map(|neighbor| {
        let reason = neighbor["last_shutdown_reason"].as_str();
        let error = neighbor["last_error"].as_str();
        let session = Session {
            is_established: neighbor["state"] == "Established",
            drops: 0,
            last_reset: [error, reason].into_iter().flatten().collect::<Vec<_>>().join(", "),
        };
        Some((neighbor["remote_addr"].as_str()?.parse().ok()?, session))
    });
    Ok(sessions.collect())
}
