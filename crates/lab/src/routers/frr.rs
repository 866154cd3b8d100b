//! FRR.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{
    Family, GracefulRestart, Learned, Neighbor, Opens, Router, Session, Setup, Table, number,
};
use crate::frr::{self, Daemon};
use crate::process::Process;
use crate::topology::Host;

pub(super) fn start(host: &Host, directory: &Path, setup: &Setup) -> Result<Vec<Process>> {
    let arguments: &[&str] = match setup.neighbors.iter().all(|one| one.opens == Opens::Other) {
        true => &[],
        false => &["-l", "0.0.0.0"],
    };
    let settings = config(host, setup);
    frr::start(&host.netns, directory, &Daemon { name: "bgpd", settings, arguments })
}

fn config(host: &Host, setup: &Setup) -> String {
    let mut text = format!("hostname {}\nlog stdout\n", host.name);
    let mut line = |line: String| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{line}");
    };
    line(format!("router bgp {}", setup.asn));
    line(format!(" bgp router-id {}", host.ipv4));
    line(" no bgp ebgp-requires-policy".to_owned());
    line(" no bgp default ipv4-unicast".to_owned());
    line(" bgp bestpath as-path multipath-relax".to_owned());
    for neighbor in &setup.neighbors {
        neighbor_lines(neighbor).into_iter().for_each(&mut line);
    }
    for (family, name) in [(Family::V4, "ipv4"), (Family::V6, "ipv6")] {
        line(format!(" address-family {name} unicast"));
        for neighbor in setup.neighbors.iter().filter(|one| one.families.contains(&family)) {
            line(format!("  neighbor {} activate", neighbor.address));
        }
        line("  maximum-paths 16\n  maximum-paths ibgp 16\n exit-address-family".to_owned());
    }
    text
}

fn neighbor_lines(neighbor: &Neighbor) -> Vec<String> {
    let line = |rest: String| format!(" neighbor {} {rest}", neighbor.address);
    let mut lines = vec![line(format!("remote-as {}", neighbor.asn))];
    if neighbor.opens == Opens::Other {
        lines.push(line("passive".to_owned()));
    }
    if let Some(password) = neighbor.password {
        lines.push(line(format!("password {password}")));
    }
    if let Some(hops) = neighbor.ttl_security {
        lines.push(line(format!("ttl-security hops {hops}")));
    }
    let is_mixed = neighbor.families.contains(&Family::V4) && neighbor.address.is_ipv6();
    if is_mixed {
        lines.push(line("capability extended-nexthop".to_owned()));
    }
    lines.push(line(match neighbor.graceful_restart {
        GracefulRestart::Helps => "graceful-restart-helper".to_owned(),
        GracefulRestart::Unknown => "graceful-restart-disable".to_owned(),
    }));
    lines
}

/// Asks bgpd.
fn ask(router: &Router, question: &str) -> Result<Value> {
    let mut command = Command::new("vtysh");
    command.arg("--vty_socket").arg(router.directory.path()).args(["-c", question]);
    let text = router.output(command)?;
    serde_json::from_str(&text)
        .with_context(|| format!("reading the answer to `{question}`: {text}"))
}

fn name(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    }
}

pub(super) fn table(router: &Router, family: Family) -> Result<Table> {
    let all = ask(router, &format!("show bgp {} unicast json", name(family)))?;
    let prefixes = all["routes"].as_object().into_iter().flatten().map(|(prefix, _)| prefix);
    let mut table = Table::new();
    for prefix in prefixes {
        let route = ask(router, &format!("show bgp {} unicast {prefix} json", name(family)))?;
        let paths = route["paths"].as_array().into_iter().flatten();
        let learned: Vec<_> = paths.map(learned).collect();
        if !learned.is_empty() {
            table.insert(prefix.clone(), learned);
        }
    }
    Ok(table)
}

fn learned(path: &Value) -> Learned {
    let words = |value: &Value| {
        let text = value["string"].as_str().unwrap_or_default();
        text.split_whitespace().map(str::to_owned).collect()
    };
    let as_path = path["aspath"]["string"].as_str().unwrap_or_default();
    let hops = path["nexthops"].as_array().into_iter().flatten();
    let mut hops = hops.filter(|hop| hop["used"] == true || hop["scope"] != "link-local");
    Learned {
        next_hop: hops.find_map(|hop| hop["ip"].as_str()?.parse().ok()),
        as_path: as_path.split_whitespace().filter_map(|asn| asn.parse().ok()).collect(),
        local_pref: number(&path["locPrf"]).or_else(|| number(&path["localpref"])),
        med: number(&path["metric"]),
        communities: words(&path["community"]),
        large_communities: words(&path["largeCommunity"]),
    }
}

pub(super) fn sessions(router: &Router) -> Result<BTreeMap<IpAddr, Session>> {
    let all = ask(router, "show bgp neighbors json")?;
    let sessions = all.as_object().into_iter().flatten().filter_map(|(address, session)| {
        let code = session["lastNotificationReason"].as_str();
        let words = session["lastShutdownDescription"].as_str();
        let reset = session["lastResetDueTo"].as_str();
        let last_reset = [reset, code, words].into_iter().flatten().collect::<Vec<_>>().join(", ");
        let session = Session {
            is_established: session["bgpState"] == "Established",
            drops: session["connectionsDropped"].as_u64().unwrap_or_default(),
            last_reset,
        };
        Some((address.parse().ok()?, session))
    });
    Ok(sessions.collect())
}
