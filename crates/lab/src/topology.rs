//! The LAN: a client, nodes with a pod behind each, and a switch in a namespace of its own.
//!
//! ```text
//!   client 192.0.2.100     node-a 192.0.2.11   node-b .12   node-c .13     each on its `eth0`
//!      |                        |                 |            |
//! =====+========================+=================+============+=====      bridge `lan`
//!                               |                 |            |           each node's `pod`
//!                       pod-a 10.244.1.2   pod-b 10.244.2.2   pod-c 10.244.3.2
//! ```
//!
//! The same with IPv6: `fd00::100`, `fd00::11`, .., `fd00:0:0:1::2`, ... Nodes route, and know the
//! way to one another's pods. The switch's ports bear the names of the hosts behind them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::RawFd;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::TryStreamExt as _;
use nix::net::if_::if_nametoindex;
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage,
};
use rtnetlink::packet_route::link::{
    BridgePortState, InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkMessage, State,
};
use rtnetlink::packet_route::route::RouteMessage;
use rtnetlink::{
    Handle, LinkBridge, LinkBridgePort, LinkMessageBuilder, LinkUnspec, LinkVeth,
    RouteMessageBuilder,
};
use serde_json::Value;

use crate::kube_proxy;
use crate::mac::Mac;
use crate::netns::Netns;

/// The bridge's interface name in the switch's namespace.
pub const BRIDGE: &str = "lan";

/// Node names have one letter, and node addresses must stay below the client's.
pub const MAX_NODES: u8 = 26;

/// How long a link may take to come up; it takes about a millisecond.
const LINK_UP: Duration = Duration::from_secs(5);

/// How long the kernel may take to find out whether an address is free; it takes about two seconds.
const DETECTION: Duration = Duration::from_secs(30);

/// A machine on the network, or a pod behind one.
#[derive(Debug)]
pub struct Host {
    /// Its namespace.
    pub netns: Netns,
    /// For people, and for faults: `client`, `node-a`, `pod-a`.
    pub name: String,
    /// The IPv4 address of its `eth0`.
    pub ipv4: Ipv4Addr,
    /// The IPv6 address of its `eth0`.
    pub ipv6: Ipv6Addr,
    /// The Ethernet address of its `eth0`.
    pub mac: Mac,
}

/// A machine of the cluster, and its pod.
#[derive(Debug)]
pub struct Node {
    /// The machine.
    pub host: Host,
    /// The pod behind it.
    pub pod: Host,
}

/// A whole network. Dropping it ends all of it.
#[derive(Debug)]
pub struct Lan {
    /// A machine beside the cluster, with an ordinary kernel.
    pub client: Host,
    /// The cluster, in the order of names.
    pub nodes: Vec<Node>,
    pub(crate) switch: Netns,
}

impl Lan {
    /// Builds the network with nodes `node-a`, `node-b`, ..; at most [`MAX_NODES`].
    pub fn with_nodes(count: u8) -> Result<Self> {
        ensure!(count <= MAX_NODES, "a lab of {count} nodes: there are names for {MAX_NODES}");
        let plans = plan(count);
        let (switch, mut hosts) = thread::scope(|scope| {
            let starting: Vec<_> = plans.iter().map(|plan| scope.spawn(|| plan.host())).collect();
            let switch = Netns::new("switch")?;
            let hosts = starting.into_iter().map(|host| host.join().expect("it does not panic"));
            Ok::<_, anyhow::Error>((switch, hosts.collect::<Result<Vec<_>>>()?.into_iter()))
        })?;
        let client = hosts.next().context("the plan starts with the client")?;
        let mut nodes = Vec::new();
        while let (Some(host), Some(pod)) = (hosts.next(), hosts.next()) {
            nodes.push(Node { host, pod });
        }
        let lan = Self { client, nodes, switch };
        lan.build_switch()?;
        lan.client.build_eth0(LAN_PREFIXES)?;
        for node in &lan.nodes {
            node.build(&lan.nodes)?;
        }
        lan.wait_up()?;
        Ok(lan)
    }

    /// Plugs one more host into the switch, at `192.0.2.NUMBER` and its like in IPv6. It has no
    /// pod, and knows the ways to those of the nodes; [`Lan::crash`] and [`Lan::partition`] know it by its name, which is that of an
    /// interface: at most 15 bytes.
    ///
    /// # Errors
    ///
    /// When a host has that name or address already.
    pub fn attach(&self, name: &str, number: u8) -> Result<Host> {
        let host = on_lan(name.to_owned(), number).host()?;
        let taken = self.hosts().any(|other| other.ipv4 == host.ipv4);
        ensure!(!taken, "`{name}` cannot have `{}`: it is another host's", host.ipv4);
        let (port, mac, netns) = (host.name.clone(), host.mac, host.netns.fd());
        let routes = routes_to_pods(self.nodes.iter());
        self.switch.netlink(async move |handle: Handle| {
            add_port(&handle, if_nametoindex(BRIDGE)?, &port, mac, netns).await
        })?;
        host.build_eth0(LAN_PREFIXES)?;
        wait_up(&self.switch, vec![name.to_owned()])?;
        wait_up(&host.netns, vec!["eth0".to_owned()])?;
        host.netns.netlink(async move |handle: Handle| {
            for (network, length, gateway) in routes {
                add_route(&handle, network, length, gateway).await?;
            }
            Ok(())
        })?;
        Ok(host)
    }

    /// The node with this letter: `lan.node("b")`.
    ///
    /// # Panics
    ///
    /// When there is no such node.
    #[must_use]
    pub fn node(&self, letter: &str) -> &Node {
        let named = |node: &&Node| node.host.name.strip_prefix("node-") == Some(letter);
        self.nodes.iter().find(named).unwrap_or_else(|| panic!("there is no node `{letter}`"))
    }

    /// The hosts at the switch: the client, then the nodes.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        std::iter::once(&self.client).chain(self.nodes.iter().map(|node| &node.host))
    }

    /// A host dies: its frames stop in both directions, at once. Nobody loses carrier, not even
    /// the host, as when a machine hangs whose network card stays powered. Its programs go on, cut off; kill them too for a whole death.
    ///
    /// The port is set to the state "listening", in which it takes nothing in and lets nothing out.
    /// Not to "disabled", from which the kernel wakes a port with carrier on its own. And not out
    /// of the bridge: the switch would forget where the host's address is and flood frames for it,
    /// which a real switch does minutes later.
    pub fn crash(&self, host: &str) -> Result<()> {
        self.set_port(host, BridgePortState::Listening)
    }

    /// Ends a [`Lan::crash`].
    pub fn revive(&self, host: &str) -> Result<()> {
        self.set_port(host, BridgePortState::Forwarding)
    }

    /// The host's cable is pulled: its `eth0` loses carrier. Ends a crash of the same port.
    pub fn carrier_off(&self, host: &str) -> Result<()> {
        self.change_port(host, |port| port.down())
    }

    /// The cable is back.
    pub fn carrier_on(&self, host: &str) -> Result<()> {
        self.change_port(host, |port| port.up())?;
        wait_up(&self.switch, vec![host.to_owned()])?;
        let end = self.hosts().find(|end| end.name == host);
        let end = end.with_context(|| format!("there is no host `{host}`"))?;
        wait_up(&end.netns, vec!["eth0".to_owned()])
    }

    /// Splits the LAN: hosts of one group do not hear those of another. Hosts in no group hear
    /// all. A second call replaces the first; without groups, all is whole again.
    pub fn partition(&self, groups: &[&[&str]]) -> Result<()> {
        let mut rules = String::new();
        for group in groups {
            let others = groups.iter().filter(|other| *other != group);
            for other in others {
                rules += &format!("    iifname {} oifname {} drop\n", set(group), set(other));
            }
        }
        let table = "bridge partition";
        let chain = "  chain forward {\n    type filter hook forward priority 0\n";
        kube_proxy::nft(&self.switch, table, &format!("{chain}{rules}  }}\n"))
    }

    /// Makes the switch lose frames. A second call replaces the first; without faults, all is whole
    /// again.
    pub fn lose(&self, faults: &[Fault<'_>]) -> Result<()> {
        let rules: String = faults.iter().map(|fault| format!("    {}\n", fault.rule())).collect();
        let chain = "  chain forward {\n    type filter hook forward priority 1\n";
        kube_proxy::nft(&self.switch, "bridge faults", &format!("{chain}{rules}  }}\n"))
    }

    /// Makes the switch deliver multicast of IPv6 only to hosts that told it that they want it (MLD
    /// snooping), and ask them (a querier).
    pub fn snoop(&self) -> Result<()> {
        // Without an address of its own the bridge cannot ask, and without asking it floods.
        self.switch.sysctl(&format!("net/ipv6/conf/{BRIDGE}/accept_dad"), "0")?;
        self.switch.sysctl(&format!("net/ipv6/conf/{BRIDGE}/disable_ipv6"), "0")?;
        self.switch.netlink(async |handle: Handle| {
            let bridge = LinkBridge::new(BRIDGE).mcast_snooping(true).mcast_querier(true);
            // In hundredths of a second: for so long after a question it still floods.
            let bridge = bridge.mcast_query_response_interval(10).build();
            handle.link().change(bridge).execute().await.context("making the switch snoop")
        })
    }

    /// The multicast groups that hosts have told the switch of, each with the host's name.
    pub fn memberships(&self) -> Result<Vec<(Ipv6Addr, String)>> {
        let shown = self.switch.run(|| {
            let mut command = Command::new("bridge");
            command.args(["-json", "mdb", "show"]).output()
        });
        let shown = shown.context("running `bridge` (package iproute2)")?;
        let tables: Value = serde_json::from_slice(&shown.stdout).context("reading its answer")?;
        let entries = tables[0]["mdb"].as_array().cloned().unwrap_or_default();
        let membership = |entry: &Value| {
            let group = entry["grp"].as_str()?.parse().ok()?;
            Some((group, entry["port"].as_str()?.to_owned()))
        };
        Ok(entries.iter().filter_map(membership).collect())
    }

    /// The host behind the port to which the switch sends frames for an Ethernet address; `None` if it
    /// would send them to all.
    pub fn port_of(&self, mac: Mac) -> Result<Option<String>> {
        let shown = self.switch.run(|| {
            let mut command = Command::new("bridge");
            command.args(["-json", "fdb", "show", "br", BRIDGE]).output()
        });
        let shown = shown.context("running `bridge` (package iproute2)")?;
        let entries: Value = serde_json::from_slice(&shown.stdout).context("reading its answer")?;
        let entries = entries.as_array().cloned().unwrap_or_default();
        let entry = entries.iter().find(|entry| entry["mac"] == mac.to_string());
        Ok(entry.and_then(|entry| entry["ifname"].as_str()).map(str::to_owned))
    }

    fn build_switch(&self) -> Result<()> {
        self.switch.sysctl("net/ipv6/conf/default/disable_ipv6", "1")?;
        let hosts: Vec<_> = self.hosts().map(|h| (h.name.clone(), h.mac, h.netns.fd())).collect();
        self.switch.netlink(async move |handle: Handle| {
            // Snooping off: a switch that learns multicast groups would lose the frames of hosts
            // whose reports it missed while they were cut off.
            // No forward delay: its timer would let a port out of the state "listening".
            let bridge = LinkBridge::new(BRIDGE).mcast_snooping(false).forward_delay(0);
            let bridge = bridge.up().build();
            handle.link().add(bridge).execute().await.context("making a bridge")?;
            let bridge = if_nametoindex(BRIDGE)?;
            for (name, mac, netns) in hosts {
                add_port(&handle, bridge, &name, mac, netns).await?;
            }
            Ok(())
        })
    }

    /// A link whose two ends are up carries frames only when the kernel has seen to it, a little
    /// later. An ARP request lost meanwhile would cost a second.
    fn wait_up(&self) -> Result<()> {
        let ports = self.hosts().map(|host| host.name.clone()).collect();
        wait_up(&self.switch, ports)?;
        wait_up(&self.client.netns, vec!["eth0".to_owned()])?;
        self.nodes.iter().try_for_each(|node| {
            wait_up(&node.host.netns, vec!["eth0".to_owned(), "pod".to_owned()])?;
            wait_up(&node.pod.netns, vec!["eth0".to_owned()])
        })
    }

    fn set_port(&self, host: &str, state: BridgePortState) -> Result<()> {
        let name = host.to_owned();
        let set = self.switch.netlink(async move |handle: Handle| {
            let port = LinkBridgePort::new(if_nametoindex(name.as_str())?).state(state).build();
            Ok(handle.link().set_port(port).execute().await?)
        });
        set.with_context(|| format!("setting the state of the switch's port `{host}`"))
    }

    fn change_port(
        &self,
        host: &str,
        change: fn(LinkMessageBuilder<LinkUnspec>) -> LinkMessageBuilder<LinkUnspec>,
    ) -> Result<()> {
        let name = host.to_owned();
        let changed = self.switch.netlink(async move |handle: Handle| {
            let port = change(LinkUnspec::new_with_name(&name)).build();
            Ok(handle.link().set(port).execute().await?)
        });
        changed.with_context(|| format!("changing the switch's port `{host}`"))
    }
}

impl Node {
    /// Its interfaces, its pod's, and the ways to the other nodes' pods.
    fn build(&self, all: &[Self]) -> Result<()> {
        self.host.sysctl_all(&[
            ("net/ipv4/ip_forward", "1"),
            ("net/ipv6/conf/all/forwarding", "1"),
            // Loose, as systemd sets it: replies may come another way than requests go.
            ("net/ipv4/conf/all/rp_filter", "2"),
            ("net/ipv4/conf/default/rp_filter", "2"),
        ])?;
        self.host.build_eth0(LAN_PREFIXES)?;
        let (mac, netns) = (self.pod.mac, self.pod.netns.fd());
        let (v4, v6) = self.pod_gateway();
        let others = routes_to_pods(all.iter().filter(|node| node.host.name != self.host.name));
        self.host.netns.netlink(async move |handle: Handle| {
            let link = veth("pod", eth0(mac, netns)).build();
            handle.link().add(link).execute().await.context("making the pod's link")?;
            add_address(&handle, "pod", IpAddr::V4(v4), POD_PREFIXES.0).await?;
            add_address(&handle, "pod", IpAddr::V6(v6), POD_PREFIXES.1).await?;
            for (network, length, gateway) in others {
                add_route(&handle, network, length, gateway).await?;
            }
            Ok(())
        })?;
        self.pod.build_eth0(POD_PREFIXES)?;
        self.pod.netns.netlink(async move |handle: Handle| {
            add_route(&handle, Ipv4Addr::UNSPECIFIED.into(), 0, v4.into()).await?;
            add_route(&handle, Ipv6Addr::UNSPECIFIED.into(), 0, v6.into()).await
        })
    }

    /// The node's own addresses on the link to its pod.
    fn pod_gateway(&self) -> (Ipv4Addr, Ipv6Addr) {
        let v4 = Ipv4Addr::from(u32::from(network(self.pod.ipv4)) + 1);
        (v4, Ipv6Addr::from(u128::from(network_v6(self.pod.ipv6)) + 1))
    }
}

impl Host {
    /// Adds an address to `eth0`, with a prefix of the whole length. The kernel then answers for it.
    pub fn add_address(&self, address: IpAddr) -> Result<()> {
        let length = if address.is_ipv4() { 32 } else { 128 };
        self.netns.netlink(async move |handle: Handle| {
            add_address(&handle, "eth0", address, length).await
        })
    }

    /// Sends what goes to `network/length` by `gateway`.
    pub fn route(&self, network: IpAddr, length: u8, gateway: IpAddr) -> Result<()> {
        let add = async move |handle: Handle| add_route(&handle, network, length, gateway).await;
        self.netns.netlink(add)
    }

    /// Adds an IPv6 address to `eth0` as an ordinary host does: it asks the LAN first whether anybody
    /// has it. Waits for the result, and says whether the kernel found it free.
    pub fn detect_duplicate(&self, address: Ipv6Addr) -> Result<bool> {
        self.netns.sysctl("net/ipv6/conf/eth0/accept_dad", "1")?;
        let until = Instant::now() + DETECTION;
        self.netns.netlink(async move |handle: Handle| {
            let index = if_nametoindex("eth0")?;
            handle.address().add(index, address.into(), LAN_PREFIXES.1).execute().await?;
            while Instant::now() < until {
                let flags = flags(&handle, address).await?;
                if flags.contains(AddressFlags::Dadfailed) {
                    return Ok(false);
                }
                if !flags.contains(AddressFlags::Tentative) {
                    return Ok(true);
                }
                thread::sleep(Duration::from_millis(10));
            }
            bail!("the kernel does not know about `{address}` after {DETECTION:?}")
        })
    }

    /// Whether `eth0` has carrier.
    pub fn has_carrier(&self) -> Result<bool> {
        self.netns.netlink(async |handle: Handle| {
            Ok(link(&handle, "eth0").await?.header.flags.contains(LinkFlags::LowerUp))
        })
    }

    fn build_eth0(&self, lengths: (u8, u8)) -> Result<()> {
        let (v4, v6) = (self.ipv4, self.ipv6);
        self.netns.netlink(async move |handle: Handle| {
            let up = LinkUnspec::new_with_name("eth0").up().build();
            handle.link().set(up).execute().await.context("setting `eth0` up")?;
            add_address(&handle, "eth0", v4.into(), lengths.0).await?;
            add_address(&handle, "eth0", v6.into(), lengths.1).await
        })
    }

    fn sysctl_all(&self, settings: &[(&str, &str)]) -> Result<()> {
        settings.iter().try_for_each(|(key, value)| self.netns.sysctl(key, value))
    }
}

/// What the switch does not pass on. Nobody sees a link go down.
#[derive(Clone, Copy, Debug)]
pub enum Fault<'a> {
    /// Anything to this host: it sends and hears nothing.
    Deaf(&'a str),
    /// Heartbeats of speakers.
    Heartbeats,
    /// So many of a hundred heartbeats.
    SomeHeartbeats(u8),
    /// Anything from the first host to the second; the other direction works.
    OneWay(&'a str, &'a str),
}

impl Fault<'_> {
    fn rule(&self) -> String {
        match self {
            Self::Deaf(host) => format!("oifname \"{host}\" drop"),
            Self::Heartbeats => format!("udp dport {MESH_PORT} drop"),
            Self::SomeHeartbeats(percent) => {
                format!("udp dport {MESH_PORT} numgen random mod 100 < {percent} drop")
            }
            Self::OneWay(from, to) => format!("iifname \"{from}\" oifname \"{to}\" drop"),
        }
    }
}

/// Where speakers hear one another.
const MESH_PORT: u16 = 7946;

/// The prefix lengths of the LAN, IPv4 and IPv6.
const LAN_PREFIXES: (u8, u8) = (24, 64);

/// The prefix lengths of a node's pods.
const POD_PREFIXES: (u8, u8) = (24, 64);

/// A host before it exists.
struct Plan {
    name: String,
    ipv4: Ipv4Addr,
    ipv6: Ipv6Addr,
}

/// The client, then each node followed by its pod.
fn plan(nodes: u8) -> Vec<Plan> {
    let mut plans = vec![on_lan("client".to_owned(), 100)];
    for (number, letter) in (1..=nodes).zip('a'..) {
        plans.push(on_lan(format!("node-{letter}"), 10 + number));
        plans.push(Plan {
            name: format!("pod-{letter}"),
            ipv4: Ipv4Addr::new(10, 244, number, 2),
            ipv6: Ipv6Addr::new(0xfd00, 0, 0, decimal_as_hex(number), 0, 0, 0, 2),
        });
    }
    plans
}

/// A host at the switch.
fn on_lan(name: String, number: u8) -> Plan {
    Plan {
        name,
        ipv4: Ipv4Addr::new(192, 0, 2, number),
        // The same digits as in the IPv4 address, read as hexadecimal.
        ipv6: Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, decimal_as_hex(number)),
    }
}

/// 11 becomes 0x11.
fn decimal_as_hex(number: u8) -> u16 {
    let number = u16::from(number);
    number / 100 * 0x100 + number / 10 % 10 * 0x10 + number % 10
}

impl Plan {
    /// Makes the namespace; the interfaces come when all namespaces are there.
    fn host(&self) -> Result<Host> {
        let netns = Netns::new(&self.name)?;
        let mac = Mac::of(self.ipv4);
        let host = Host { netns, name: self.name.clone(), ipv4: self.ipv4, ipv6: self.ipv6, mac };
        // An address is usable at once: nobody else can have it, and a second of duplicate
        // address detection would be most of a test's time.
        host.sysctl_all(&[
            ("net/ipv6/conf/all/accept_dad", "0"),
            ("net/ipv6/conf/default/accept_dad", "0"),
            ("net/ipv6/conf/default/accept_ra", "0"),
        ])?;
        Ok(host)
    }
}

fn network(address: Ipv4Addr) -> Ipv4Addr {
    let [a, b, c, _] = address.octets();
    Ipv4Addr::new(a, b, c, 0)
}

fn network_v6(address: Ipv6Addr) -> Ipv6Addr {
    let [a, b, c, d, ..] = address.segments();
    Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)
}

/// `{ "node-a", "node-b" }`
fn set(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
    format!("{{ {} }}", quoted.join(", "))
}

/// The end of a link that appears in another namespace.
fn eth0(mac: Mac, netns: RawFd) -> LinkMessage {
    LinkUnspec::new_with_name("eth0").address(mac.0.to_vec()).setns_by_fd(netns).build()
}

/// The end of a link that stays here, up.
fn veth(name: &str, peer: LinkMessage) -> LinkMessageBuilder<LinkVeth> {
    LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
        .name(name)
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
        .up()
}

/// Networks of pods, the lengths of their prefixes, and the nodes that they are behind.
fn routes_to_pods<'a>(nodes: impl Iterator<Item = &'a Node>) -> Vec<(IpAddr, u8, IpAddr)> {
    let routes = nodes.flat_map(|Node { host, pod }| {
        [
            (IpAddr::V4(network(pod.ipv4)), POD_PREFIXES.0, IpAddr::V4(host.ipv4)),
            (IpAddr::V6(network_v6(pod.ipv6)), POD_PREFIXES.1, IpAddr::V6(host.ipv6)),
        ]
    });
    routes.collect()
}

/// A port of the switch, whose other end is the host's `eth0`.
async fn add_port(handle: &Handle, bridge: u32, name: &str, mac: Mac, netns: RawFd) -> Result<()> {
    let port = veth(name, eth0(mac, netns)).controller(bridge).build();
    let added = handle.link().add(port).execute().await;
    added.with_context(|| format!("making the port for `{name}`"))
}

/// Waits until links are up in both senses: they have carrier, and the kernel uses them.
fn wait_up(netns: &Netns, links: Vec<String>) -> Result<()> {
    let until = Instant::now() + LINK_UP;
    netns.netlink(async move |handle: Handle| {
        for link in links {
            while !is_up(&handle, &link).await? {
                ensure!(Instant::now() < until, "`{link}` is not up after {LINK_UP:?}");
                thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(())
    })
}

async fn is_up(handle: &Handle, name: &str) -> Result<bool> {
    Ok(link(handle, name).await?.attributes.contains(&LinkAttribute::OperState(State::Up)))
}

async fn link(handle: &Handle, name: &str) -> Result<LinkMessage> {
    let mut found = handle.link().get().match_name(name).execute();
    found.try_next().await?.with_context(|| format!("there is no `{name}`"))
}

async fn add_address(handle: &Handle, link: &str, address: IpAddr, length: u8) -> Result<()> {
    let index = if_nametoindex(link).with_context(|| format!("looking for `{link}`"))?;
    let mut request = handle.address().add(index, address, length);
    let message = request.message_mut();
    message.header.flags |= AddressHeaderFlags::Nodad;
    message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
    request.execute().await.with_context(|| format!("adding `{address}/{length}` to `{link}`"))
}

/// What the kernel says of an address.
async fn flags(handle: &Handle, address: Ipv6Addr) -> Result<AddressFlags> {
    let all: Vec<_> = handle.address().get().execute().try_collect().await?;
    let has = |message: &&AddressMessage| {
        message.attributes.contains(&AddressAttribute::Address(address.into()))
    };
    let found = all.iter().find(has).with_context(|| format!("`{address}` is not there"))?;
    let flags = found.attributes.iter().find_map(|attribute| {
        let AddressAttribute::Flags(flags) = attribute else { return None };
        Some(*flags)
    });
    flags.with_context(|| format!("`{address}` has no flags"))
}

async fn add_route(handle: &Handle, network: IpAddr, length: u8, gateway: IpAddr) -> Result<()> {
    let route = || -> Result<RouteMessage> {
        let builder = RouteMessageBuilder::<IpAddr>::new();
        Ok(builder.destination_prefix(network, length)?.gateway(gateway)?.build())
    };
    handle
        .route()
        .add(route()?)
        .execute()
        .await
        .with_context(|| format!("adding a route to `{network}/{length}` by `{gateway}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_follow_the_drawing() {
        let rows: Vec<_> = plan(2)
            .into_iter()
            .map(|plan| format!("{} {} {}", plan.name, plan.ipv4, plan.ipv6))
            .collect();
        let want = [
            "client 192.0.2.100 fd00::100",
            "node-a 192.0.2.11 fd00::11",
            "pod-a 10.244.1.2 fd00:0:0:1::2",
            "node-b 192.0.2.12 fd00::12",
            "pod-b 10.244.2.2 fd00:0:0:2::2",
        ];
        assert_eq!(rows, want);
    }
}
