//! ExaBGP. It keeps no table: what it hears it hands to a program, here one that writes it down.

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

/// The file with what it has heard, an event a line.
const EVENTS: &str = "events";

pub(super) fn start(host: &Host, directory: &Path, setup: &Setup) -> Result<Vec<Process>> {
    let path = directory.join("exabgp.conf");
    fs::write(&path, config(host, directory, setup)).context("writing its settings")?;
    fs::write(directory.join(EVENTS), "").context("making a file for events")?;
    let script = directory.join("write");
    let events = directory.join(EVENTS).display().to_string();
    // Not `exec`: the shell keeps the pipe to ExaBGP open, which takes a closed one for a death.
    fs::write(&script, format!("cat >>{events}\n")).context("writing a script")?;
    let mut command = Command::new("exabgp");
    command.arg(path);
    let bind = format!("{} {}", host.ipv4, host.ipv6);
    let settings = [
        ("exabgp_daemon_user", "root"),
        ("exabgp_daemon_drop", "false"),
        ("exabgp_api_cli", "false"),
        ("exabgp_tcp_bind", &bind),
        ("exabgp_tcp_port", "179"),
        ("exabgp_log_destination", "stderr"),
    ];
    command.env("PYTHONUNBUFFERED", "1").envs(settings);
    Ok(vec![host.netns.spawn(&command)?])
}

fn config(host: &Host, directory: &Path, setup: &Setup) -> String {
    let script = directory.join("write");
    let mut text = format!("process log {{ run /bin/sh {}; encoder json; }}\n", script.display());
    for neighbor in &setup.neighbors {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "neighbor {} {{\n{}}}",
            neighbor.address,
            block(host, neighbor, setup.asn)
        );
    }
    text
}

fn block(host: &Host, neighbor: &Neighbor, asn: u32) -> String {
    let local = match neighbor.address {
        IpAddr::V4(_) => IpAddr::V4(host.ipv4),
        IpAddr::V6(_) => IpAddr::V6(host.ipv6),
    };
    let mut lines = vec![
        format!("router-id {};", host.ipv4),
        format!("local-address {local};"),
        format!("local-as {asn};"),
        format!("peer-as {};", neighbor.asn),
    ];
    if neighbor.opens == Opens::Other {
        lines.push("passive true;".to_owned());
    }
    if let Some(password) = neighbor.password {
        lines.push(format!("md5-password \"{password}\";"));
        lines.push(format!("md5-ip {local};"));
    }
    if let Some(hops) = neighbor.ttl_security {
        lines.push(format!("incoming-ttl {};", u8::MAX - (hops - 1)));
    }
    let families: String = neighbor
        .families
        .iter()
        .map(|family| match family {
            Family::V4 => "ipv4 unicast; ",
            Family::V6 => "ipv6 unicast; ",
        })
        .collect();
    lines.push(format!("family {{ {families}}}"));
    if neighbor.graceful_restart == GracefulRestart::Helps {
        lines.push("capability { graceful-restart 120; }".to_owned());
    }
    let receive = "receive { parsed; update; }";
    lines.push(format!("api {{ processes [ log ]; neighbor-changes; {receive} }}"));
    lines.into_iter().map(|line| format!("  {line}\n")).collect()
}

fn events(router: &Router) -> Result<Vec<Value>> {
    let text = fs::read_to_string(router.directory.path().join(EVENTS));
    let text = text.context("reading what it has heard")?;
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

pub(super) fn table(router: &Router, family: Family) -> Result<Table> {
    let family = match family {
        Family::V4 => "ipv4 unicast",
        Family::V6 => "ipv6 unicast",
    };
    // By prefix and neighbor.
    let mut routes: BTreeMap<(String, String), Learned> = BTreeMap::new();
    for event in events(router)? {
        let peer = event["neighbor"]["address"]["peer"].as_str().unwrap_or_default().to_owned();
        if event["neighbor"]["state"] == "down" {
            routes.retain(|(_, from), _| *from != peer);
        }
        let update = &event["neighbor"]["message"]["update"];
        for route in update["withdraw"][family].as_array().into_iter().flatten() {
            if let Some(prefix) = route["nlri"].as_str() {
                routes.remove(&(prefix.to_owned(), peer.clone()));
            }
        }
        for (next_hop, announced) in update["announce"][family].as_object().into_iter().flatten() {
            for route in announced.as_array().into_iter().flatten() {
                if let Some(prefix) = route["nlri"].as_str() {
                    let learned = learned(&update["attribute"], next_hop);
                    routes.insert((prefix.to_owned(), peer.clone()), learned);
                }
            }
        }
    }
    let mut table = Table::new();
    for ((prefix, _), learned) in routes {
        table.entry(prefix).or_default().push(learned);
    }
    Ok(table)
}

fn learned(attributes: &Value, next_hop: &str) -> Learned {
    let tuples = |name: &str| {
        let all = attributes[name].as_array().into_iter().flatten();
        let text = |one: &Value| {
            let parts = one.as_array().into_iter().flatten();
            parts.map(ToString::to_string).collect::<Vec<_>>().join(":")
        };
        all.map(text).collect()
    };
    let path = attributes["as-path"].as_array().into_iter().flatten();
    Learned {
        next_hop: next_hop.parse().ok(),
        as_path: path.filter_map(number).collect(),
        local_pref: number(&attributes["local-preference"]),
        med: number(&attributes["med"]),
        communities: tuples("community"),
        large_communities: tuples("large-community"),
    }
}

pub(super) fn sessions(router: &Router) -> Result<BTreeMap<IpAddr, Session>> {
    let mut sessions: BTreeMap<IpAddr, Session> = BTreeMap::new();
    for event in events(router)? {
        let neighbor = &event["neighbor"];
        let peer = neighbor["address"]["peer"].as_str();
        let Some(peer) = peer.and_then(|text| text.parse().ok()) else { continue };
        let session = sessions.entry(peer).or_default();
        match neighbor["state"].as_str() {
            Some("up") => session.is_established = true,
            Some("down") => {
                session.drops += u64::from(session.is_established);
                session.is_established = false;
                neighbor["reason"].as_str().unwrap_or_default().clone_into(&mut session.last_reset);
            }
            _ => (),
        }
    }
    Ok(sessions)
}
