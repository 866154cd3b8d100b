//! BIRD. It prints text for people, which is read as such.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{Family, GracefulRestart, Learned, Neighbor, Opens, Router, Session, Setup, Table};
use crate::process::Process;
use crate::topology::Host;

pub(super) fn start(host: &Host, directory: &Path, setup: &Setup) -> Result<Vec<Process>> {
    let path = directory.join("bird.conf");
    fs::write(&path, config(host, setup)).context("writing its settings")?;
    let mut command = Command::new("bird");
    command.arg("-f").arg("-c").arg(path).arg("-s").arg(directory.join("ctl"));
    Ok(vec![host.netns.spawn(&command)?])
}

fn config(host: &Host, setup: &Setup) -> String {
    let mut text = format!(
        "log stderr all;\nrouter id {};\nprotocol device {{ }}\n\
         protocol direct {{ ipv4; ipv6; }}\n\
         protocol kernel {{ ipv4 {{ export where source = RTS_BGP; }}; merge paths yes; }}\n\
         protocol kernel {{ ipv6 {{ export where source = RTS_BGP; }}; merge paths yes; }}\n",
        host.ipv4
    );
    for (number, neighbor) in setup.neighbors.iter().enumerate() {
        // Writing to a string does not fail.
        let _ = writeln!(text, "protocol bgp n{number} {{\n{}}}", block(neighbor, setup.asn));
    }
    text
}

fn block(neighbor: &Neighbor, asn: u32) -> String {
    let mut lines = vec![
        format!("local as {asn}"),
        format!("neighbor {} as {}", neighbor.address, neighbor.asn),
        format!("passive {}", if neighbor.opens == Opens::Other { "yes" } else { "no" }),
    ];
    if let Some(password) = neighbor.password {
        lines.push(format!("password \"{password}\""));
    }
    if let Some(hops) = neighbor.ttl_security {
        lines.push("ttl security yes".to_owned());
        lines.push(if hops == 1 { "direct".to_owned() } else { format!("multihop {hops}") });
    }
    lines.push(match neighbor.graceful_restart {
        GracefulRestart::Helps => "graceful restart aware".to_owned(),
        GracefulRestart::Unknown => "graceful restart off".to_owned(),
    });
    for family in &neighbor.families {
        let is_mixed = *family == Family::V4 && neighbor.address.is_ipv6();
        let mixed = if is_mixed { "extended next hop yes; " } else { "" };
        lines.push(format!("{} {{ import all; export none; {mixed}}}", name(*family)));
    }
    lines.into_iter().map(|line| format!("  {line};\n")).collect()
}

fn name(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    }
}

/// Asks bird.
fn ask(router: &Router, question: &[&str]) -> Result<String> {
    let mut command = Command::new("birdc");
    command.arg("-s").arg(router.directory.path().join("ctl")).args(question);
    router.output(command)
}

pub(super) fn table(router: &Router, family: Family) -> Result<Table> {
    let table = match family {
        Family::V4 => "master4",
        Family::V6 => "master6",
    };
    Ok(read(&ask(router, &["show", "route", "table", table, "all"])?))
}

/// A line that is not indented names a prefix and begins its first route; one that is, and names the
/// protocol in brackets, begins the next one.
fn read(text: &str) -> Table {
    let mut table = Table::new();
    let mut prefix = String::new();
    for line in text.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        if line.contains(" unicast [n") || line.trim_start().starts_with("unicast [n") {
            if let Some(first) = words.first().filter(|word| word.contains('/')) {
                prefix = (*first).to_owned();
            }
            table.entry(prefix.clone()).or_default().push(Learned::default());
        }
        if let Some(learned) = table.get_mut(&prefix).and_then(|all| all.last_mut()) {
            take(learned, &words);
        }
    }
    table
}

/// Takes in a line such as `BGP.local_pref: 100`.
fn take(learned: &mut Learned, words: &[&str]) {
    let Some((name, values)) = words.split_first() else { return };
    let first = values.first().copied().unwrap_or_default();
    // `(65000,1)` and `(65000, 1, 2)`.
    let joined = values.join(" ").replace(", ", ",");
    let communities = || {
        let all = joined.split_whitespace();
        all.map(|one| one.trim_matches(['(', ')']).replace(',', ":")).collect()
    };
    match *name {
        "BGP.as_path:" => {
            learned.as_path = values.iter().filter_map(|one| one.parse().ok()).collect();
        }
        "BGP.next_hop:" => learned.next_hop = first.parse().ok(),
        "BGP.local_pref:" => learned.local_pref = first.parse().ok(),
        "BGP.med:" => learned.med = first.parse().ok(),
        "BGP.community:" => learned.communities = communities(),
        "BGP.large_community:" => learned.large_communities = communities(),
        _ => (),
    }
}

pub(super) fn sessions(router: &Router) -> Result<BTreeMap<IpAddr, Session>> {
    let text = ask(router, &["show", "protocols", "all"])?;
    let mut sessions = BTreeMap::new();
    let mut session = Session::default();
    for line in text.lines() {
        let trimmed = line.trim();
        if let Some(state) = trimmed.strip_prefix("BGP state:") {
            session =
                Session { is_established: state.trim() == "Established", ..Session::default() };
        } else if let Some(address) = trimmed.strip_prefix("Neighbor address:") {
            let address = address.trim().split('%').next().unwrap_or_default();
            if let Ok(address) = address.parse() {
                sessions.insert(address, session.clone());
            }
        } else if let Some(error) = trimmed.strip_prefix("Last error:")
            && let Some(mut last) = sessions.last_entry()
        {
            error.trim().clone_into(&mut last.get_mut().last_reset);
        }
    }
    Ok(sessions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_read_as_people_see_them() {
        let text = "BIRD 2.0.12 ready.\nTable master4:\n\
            198.51.100.1/32      unicast [n0 15:57:18.100] * (100) [AS64512i]\n\
            \tvia 192.0.2.11 on eth0\n\tType: BGP univ\n\tBGP.origin: IGP\n\
            \tBGP.as_path: 64512 64512\n\tBGP.next_hop: 192.0.2.11\n\tBGP.local_pref: 100\n\
            \tBGP.community: (65535,0) (64512,7)\n\tBGP.large_community: (64512, 1, 2)\n\
            \x20                    unicast [n1 15:57:18.101] (100) [AS64512i]\n\
            \tvia 192.0.2.12 on eth0\n\tBGP.next_hop: 192.0.2.12\n";
        let table = read(text);
        let first = Learned {
            next_hop: Some([192, 0, 2, 11].into()),
            as_path: vec![64_512, 64_512],
            local_pref: Some(100),
            communities: ["65535:0".to_owned(), "64512:7".to_owned()].into(),
            large_communities: ["64512:1:2".to_owned()].into(),
            med: None,
        };
        let second = Learned { next_hop: Some([192, 0, 2, 12].into()), ..Learned::default() };
        assert_eq!(table, [("198.51.100.1/32".to_owned(), vec![first, second])].into());
    }
}
