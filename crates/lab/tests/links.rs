//! Interfaces that come, go and change beneath a speaker that runs: each change counts at once.
//!
//! ```text
//!   client                      node-a, with a speaker
//!     | far0  ----------------  lan0 |      a cable from host to host, laid by each test;
//!     | eth0  ===== switch ===  eth0 |      the L2Advertisement is for interfaces named `lan..` alone
//! ```
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use lab::ferrolb::{Ferrolb, binary};
use lab::{Lan, Mac, Netns, require};
use nix::sys::signal::Signal;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(60);

const ADDRESS: &str = "192.0.2.200";

/// A host with a speaker, and a host at the other end of its cables.
struct Bench {
    lan: Lan,
    speaker: Ferrolb,
    manifests: TempDir,
}

impl Bench {
    fn start() -> Self {
        let manifests = tempfile::tempdir().unwrap();
        fs::write(manifests.path().join("all.yaml"), MANIFESTS).unwrap();
        let lan = Lan::with_nodes(1).unwrap();
        let node = &lan.node("a").host;
        let speaker = Ferrolb::start(node, &binary().unwrap(), manifests.path(), &[]).unwrap();
        let bench = Self { lan, speaker, manifests };
        bench.says("cannot be announced by `node-a`");
        bench
    }

    fn write(&self, manifests: &str) {
        fs::write(self.manifests.path().join("all.yaml"), manifests).unwrap();
    }

    fn node(&self) -> &Netns {
        &self.lan.node("a").host.netns
    }

    fn client(&self) -> &Netns {
        &self.lan.client.netns
    }

    /// Lays a cable to the client, where its end is `far0`.
    fn lay_cable(&self) {
        ip(self.node(), "link add lan0 type veth peer name far0");
        let client = format!("/proc/{}/fd/{}", std::process::id(), self.client().fd());
        ip(self.node(), &format!("link set far0 netns {client}"));
        ip(self.client(), "link set far0 up");
        ip(self.node(), "link set lan0 up");
    }

    /// The Ethernet address of an interface of the node.
    fn mac(&self, link: &str) -> Mac {
        let shown = ip(self.node(), &format!("-o link show dev {link}"));
        let mut words = shown.split_whitespace().skip_while(|word| *word != "link/ether").skip(1);
        parse_mac(words.next().unwrap())
    }

    /// Who answers for the address at this interface of the client.
    fn answers(&self, link: &str) -> Option<Mac> {
        // It asks as one who wants the address for itself does, which needs no address.
        let arguments = ["-D", "-f", "-w", "1", "-I", link, ADDRESS];
        let mut command = Command::new("arping");
        command.args(arguments);
        let output = self.client().run(move || command.output()).unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let (_, rest) = said.split_once(" [")?;
        Some(parse_mac(rest.split_once(']')?.0))
    }

    fn until_answers(&self, link: &str, want: Option<Mac>) {
        let end = Instant::now() + LIMIT;
        loop {
            let mac = self.answers(link);
            if mac == want {
                return;
            }
            let log = self.speaker.log();
            assert!(Instant::now() < end, "{mac:?} answers at {link}, not {want:?}\n{log}");
        }
    }

    fn says(&self, text: &str) {
        self.speaker.process().wait_for_log(text, LIMIT).unwrap();
    }
}

fn parse_mac(text: &str) -> Mac {
    let octets: Vec<_> =
        text.split(':').map(|octet| u8::from_str_radix(octet, 16).unwrap()).collect();
    Mac(octets.try_into().unwrap())
}

/// Runs `ip` with these words in a namespace, and returns what it says.
fn ip(netns: &Netns, words: &str) -> String {
    let mut command = Command::new("ip");
    command.args(words.split_whitespace());
    let output = netns.run(move || command.output()).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {words}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

const MANIFESTS: &str = "\
apiVersion: v1
kind: Node
metadata: {name: node-a}
status: {addresses: [{type: InternalIP, address: 192.0.2.11}]}
---
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: main}
spec: {addresses: [192.0.2.200/32]}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: all}
spec: {interfaces: ['lan*', '!lan9']}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {type: LoadBalancer, ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 80}]
endpoints: [{addresses: [10.244.1.2], nodeName: node-a, conditions: {ready: true}}]
";

#[test]
fn an_interface_that_appears_goes_down_is_renamed_or_deleted_counts_at_once() {
    require!(peers);
    let bench = Bench::start();
    bench.lay_cable();
    bench.until_answers("far0", Some(bench.mac("lan0")));
    assert_eq!(bench.answers("eth0"), None, "it is not named");

    ip(bench.node(), "link set lan0 address 02:00:00:00:77:01");
    bench.until_answers("far0", Some(Mac([2, 0, 0, 0, 0x77, 1])));

    ip(bench.node(), "link set lan0 down");
    bench.says("released: ");
    ip(bench.node(), "link set lan0 name other0 up");
    bench.until_answers("far0", None);
    ip(bench.node(), "link set other0 down");
    ip(bench.node(), "link set other0 name lan1 up");
    bench.until_answers("far0", Some(Mac([2, 0, 0, 0, 0x77, 1])));

    ip(bench.node(), "link del lan1");
    bench.lay_cable();
    bench.until_answers("far0", Some(bench.mac("lan0")));
}

#[test]
fn interfaces_are_selected_by_pattern_and_by_subnet() {
    require!(peers);
    let bench = Bench::start();
    bench.lay_cable();
    bench.until_answers("far0", Some(bench.mac("lan0")));
    ip(bench.node(), "link set lan0 down");
    ip(bench.node(), "link set lan0 name lan9 up");
    bench.until_answers("far0", None);

    let manifests = MANIFESTS.replace("interfaces: [", "requireSubnet: true, interfaces: [");
    bench.write(&manifests);
    ip(bench.node(), "link set lan9 down");
    ip(bench.node(), "link set lan9 name lan1 up");
    bench.says("requires an interface in the subnet of the address");
    assert_eq!(bench.answers("far0"), None);
    ip(bench.node(), "address add 192.0.2.3/24 dev lan1");
    bench.until_answers("far0", Some(bench.mac("lan1")));
    ip(bench.node(), "address del 192.0.2.3/24 dev lan1");
    bench.until_answers("far0", None);
}

#[test]
fn the_bridge_answers_in_the_place_of_its_ports() {
    require!(peers);
    let bench = Bench::start();
    bench.lay_cable();
    bench.until_answers("far0", Some(bench.mac("lan0")));

    ip(bench.node(), "link add lan1 type bridge forward_delay 0");
    ip(bench.node(), "link set lan1 up");
    ip(bench.node(), "link set lan0 master lan1");
    // A bridge takes over the lowest address of its ports: one of its own tells them apart.
    ip(bench.node(), "link set lan1 address 02:00:00:00:77:02");
    bench.until_answers("far0", Some(Mac([2, 0, 0, 0, 0x77, 2])));

    ip(bench.node(), "link set lan0 nomaster");
    bench.until_answers("far0", Some(bench.mac("lan0")));
}

#[test]
fn the_bond_answers_in_the_place_of_its_members() {
    require!(peers);
    require!(link "bond");
    let bench = Bench::start();
    bench.lay_cable();
    bench.until_answers("far0", Some(bench.mac("lan0")));

    ip(bench.node(), "link add lan1 type bond mode active-backup miimon 10");
    ip(bench.node(), "link set lan1 address 02:00:00:00:77:03");
    ip(bench.node(), "link set lan0 down");
    ip(bench.node(), "link set lan0 master lan1");
    ip(bench.node(), "link set lan1 up");
    bench.until_answers("far0", Some(Mac([2, 0, 0, 0, 0x77, 3])));
}

#[test]
fn a_vlan_answers_on_its_own() {
    require!(peers);
    require!(link "vlan");
    let bench = Bench::start();
    bench.lay_cable();
    ip(bench.node(), "link add link lan0 name lan0.7 type vlan id 7");
    ip(bench.node(), "link set lan0.7 address 02:00:00:00:77:04 up");
    ip(bench.client(), "link add link far0 name far0.7 type vlan id 7");
    ip(bench.client(), "link set far0.7 up");
    bench.until_answers("far0.7", Some(Mac([2, 0, 0, 0, 0x77, 4])));
    bench.until_answers("far0", Some(bench.mac("lan0")));
}

#[test]
fn more_changes_than_the_kernel_can_tell_lead_to_a_new_reading() {
    require!(peers);
    let bench = Bench::start();
    bench.lay_cable();
    bench.until_answers("far0", Some(bench.mac("lan0")));
    bench.speaker.process().signal(Signal::SIGSTOP).unwrap();
    // Each change is told in a message of more than a kilobyte; a socket holds about 200.
    let script = "for i in $(seq 1000); do \
                  echo link set lan0 mtu $((1400 + i % 90)); done | ip -batch -";
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    assert!(bench.node().run(move || command.status()).unwrap().success());
    ip(bench.node(), "link set lan0 address 02:00:00:00:77:05");
    bench.speaker.process().signal(Signal::SIGCONT).unwrap();
    bench.says("change faster than they are read");
    bench.until_answers("far0", Some(Mac([2, 0, 0, 0, 0x77, 5])));
}
