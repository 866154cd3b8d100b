//! The stand-in for kube-proxy: what it makes the kernel of a node do, written in nftables.
//!
//! A node that gets a packet for a Service's address passes it to a pod. With policy Local, to its
//! own pod and with the client's address; with policy Cluster, to any pod in turn and from the
//! node's address, so that the reply comes back this way. Node ports, session affinity and the
//! clean-up of old connections are left out; the real kube-proxy belongs to tests with a real
//! API server.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::netns::Netns;
use crate::topology::Node;

/// A port of a Service on its external address.
#[derive(Debug, Clone)]
pub struct ServicePort {
    /// The address and port that clients use.
    pub address: SocketAddr,
    /// What they speak.
    pub protocol: Protocol,
    /// Which pods may answer.
    pub policy: Policy,
    /// The pods, of all nodes.
    pub pods: Vec<SocketAddr>,
}

/// A Service port's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A Service's `externalTrafficPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Any pod, seen from the node's address.
    Cluster,
    /// Only pods of the node that gets the packet, seen from the client's address; without one,
    /// the packet is dropped.
    Local,
}

/// Marks connections whose source becomes the node's, as kube-proxy's does.
const MASQUERADE: &str = "0x4000";

/// Makes a node forward exactly these ports; a second call replaces the first.
pub fn apply(node: &Node, ports: &[ServicePort]) -> Result<()> {
    let local = [node.pod.ipv4.into(), node.pod.ipv6.into()];
    let is_local = |pod: &SocketAddr| local.contains(&pod.ip());
    let mut rules = String::new();
    for port in ports {
        rules += &rule(port, is_local);
    }
    let chains = format!(
        "  chain to-pods {{\n    type nat hook prerouting priority dstnat\n{rules}  }}\n  \
         chain from-node {{\n    type nat hook postrouting priority srcnat\n    \
         meta mark {MASQUERADE} masquerade\n  }}\n"
    );
    nft(&node.host.netns, "inet kube-proxy", &chains)
}

/// One line: match, then where to.
fn rule(port: &ServicePort, is_local: impl Fn(&SocketAddr) -> bool) -> String {
    let (pods, mark): (Vec<_>, _) = match port.policy {
        Policy::Cluster => (port.pods.iter().collect(), format!("meta mark set {MASQUERADE} ")),
        Policy::Local => (port.pods.iter().filter(|pod| is_local(pod)).collect(), String::new()),
    };
    let protocol = match port.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    let family = if port.address.is_ipv4() { "ip" } else { "ip6" };
    let (address, number) = (port.address.ip(), port.address.port());
    let matches = format!("    {family} daddr {address} {protocol} dport {number} ");
    if pods.is_empty() {
        return format!("{matches}drop\n");
    }
    let map: Vec<_> = pods
        .iter()
        .enumerate()
        .map(|(turn, pod)| format!("{turn} : {} . {}", pod.ip(), pod.port()))
        .collect();
    let (count, map) = (pods.len(), map.join(", "));
    format!("{matches}{mark}dnat {family} to numgen inc mod {count} map {{ {map} }}\n")
}

/// Replaces one table, in one transaction.
pub(crate) fn nft(netns: &Netns, table: &str, chains: &str) -> Result<()> {
    let script = format!("table {table}\ndelete table {table}\ntable {table} {{\n{chains}}}\n");
    let input = script.clone();
    let output = netns.run(move || {
        let mut command = Command::new("nft");
        command.args(["-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        // Taken out, so that it is closed and `nft` sees the end.
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes())?;
        }
        child.wait_with_output()
    });
    let output = output.context("running `nft` (package nftables)")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`nft` in `{}` refused:\n{said}\n{script}", netns.name());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_says_match_then_mark_then_pods() {
        let port = |address: &str, policy| ServicePort {
            address: address.parse().unwrap(),
            protocol: Protocol::Udp,
            policy,
            pods: ["10.244.1.2:7", "10.244.2.2:7"].map(|pod| pod.parse().unwrap()).to_vec(),
        };
        let on_a = |pod: &SocketAddr| pod.ip().to_string() == "10.244.1.2";
        let nowhere = |_: &SocketAddr| false;
        let local = rule(&port("192.0.2.200:9", Policy::Local), on_a);
        let want = "ip daddr 192.0.2.200 udp dport 9 dnat ip to numgen inc mod 1 \
                    map { 0 : 10.244.1.2 . 7 }";
        assert_eq!(local.trim(), want);
        let want = "ip daddr 192.0.2.200 udp dport 9 meta mark set 0x4000 dnat ip to numgen inc \
                    mod 2 map { 0 : 10.244.1.2 . 7, 1 : 10.244.2.2 . 7 }";
        assert_eq!(rule(&port("192.0.2.200:9", Policy::Cluster), nowhere).trim(), want);
        let dropped = rule(&port("[fd00::200]:9", Policy::Local), nowhere);
        assert_eq!(dropped.trim(), "ip6 daddr fd00::200 udp dport 9 drop");
    }
}
