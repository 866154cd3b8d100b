//! BFD with FRR's bfdd and with BIRD: sessions come up, agree on times, and notice what breaks.
//!
//! ```text
//!   router .1            node-a .11   node-b .12
//!    bfdd or BIRD           |            |
//! =====+====================+============+=====      bridge
//!                           |            |
//!                         pod-a        pod-b 10.244.2.2    a router one hop further, where said
//! ```
//!
//! The program runs on node-a, for tests of two ends on node-b too.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::IpAddr;
use std::time::{Duration, Instant};

use lab::bfd::{Kind, Watcher};
use lab::ferrolb::{Ferrolb, binary};
use lab::{Host, Lan, Manifests, require};

/// Generous: everything that is waited for takes less than five seconds on a machine that is idle.
const LIMIT: Duration = Duration::from_secs(60);

const UP: &str = "BFD session up";
const DOWN: &str = "BFD session down";

/// A node with the program, and a router beside it.
struct Lab {
    lan: Lan,
    router: Host,
    manifests: Manifests,
}

impl Lab {
    fn new() -> Self {
        let lan = Lan::with_nodes(2).unwrap();
        let router = lan.attach("router", 1).unwrap();
        let manifests = Manifests::of_examples().unwrap();
        Self { lan, router, manifests }
    }

    /// Starts the program on node-a with a profile, and a peer that uses it.
    fn start(&self, peer: IpAddr, more: &str, profile: &str) -> Ferrolb {
        let peers = format!("{}---\n{}", bgp_peer("router", peer, "node-a", more), bfd(profile));
        self.manifests.write("peers.yaml", &peers).unwrap();
        self.run("a")
    }

    fn run(&self, letter: &str) -> Ferrolb {
        let host = &self.lan.node(letter).host;
        Ferrolb::start(host, &binary().unwrap(), self.manifests.path(), &[]).unwrap()
    }

    fn node(&self) -> &Host {
        &self.lan.node("a").host
    }

    /// FRR's words for a session with node-a.
    fn frr(&self, settings: &str) -> Watcher {
        let lines = format!(" peer {} interface eth0\n{settings}", self.node().ipv4);
        Watcher::start(&self.router, Kind::Frr, &lines).unwrap()
    }
}

fn bgp_peer(name: &str, address: IpAddr, node: &str, more: &str) -> String {
    format!(
        "apiVersion: metallb.io/v1beta2\nkind: BGPPeer\n\
         metadata: {{name: {name}, namespace: ferrolb-system}}\n\
         spec:\n  myASN: 64512\n  peerASN: 64513\n  peerAddress: '{address}'\n  bfdProfile: fast\n  \
         nodeSelectors: [{{matchLabels: {{kubernetes.io/hostname: {node}}}}}]\n{more}"
    )
}

fn bfd(profile: &str) -> String {
    format!(
        "apiVersion: metallb.io/v1beta1\nkind: BFDProfile\n\
         metadata: {{name: fast, namespace: ferrolb-system}}\nspec: {profile}\n"
    )
}

/// Waits until the program has written `text` so many times.
fn written(ferrolb: &Ferrolb, text: &str, times: usize) {
    let end = Instant::now() + LIMIT;
    while ferrolb.log().matches(text).count() < times {
        assert!(Instant::now() < end, "`{text}` {times} times: {}", ferrolb.log());
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn frr_and_the_program_notice_each_others_loss() {
    require!(bfd Kind::Frr);
    let lab = Lab::new();
    let frr = lab.frr("  transmit-interval 200\n  receive-interval 100\n  detect-multiplier 4");
    let profile = "{transmitInterval: 150, receiveInterval: 250, detectMultiplier: 5}";
    let ferrolb = lab.start(lab.router.ipv4.into(), "", profile);
    let node = lab.node().ipv4.into();
    written(&ferrolb, UP, 1);
    let interval = Duration::from_millis(150);
    let seen = frr.until(node, LIMIT, |seen| seen.is_up && seen.interval == interval).unwrap();
    assert!(seen.words.contains("\"remote-detect-multiplier\":5"), "{seen:?}");
    assert!(seen.words.contains("\"remote-receive-interval\":250"), "{seen:?}");

    lab.lan.crash("router").unwrap();
    let cut = Instant::now();
    written(&ferrolb, "nothing was heard for the detection time", 1);
    println!("noticed after {:?}, of 4 x 250 ms", cut.elapsed());
    frr.until(node, LIMIT, |seen| !seen.is_up).unwrap();
    lab.lan.revive("router").unwrap();
    written(&ferrolb, UP, 2);
    frr.until(node, LIMIT, |seen| seen.is_up).unwrap();
}

#[test]
fn settings_change_without_a_loss() {
    require!(bfd Kind::Frr);
    let lab = Lab::new();
    let frr = lab.frr("  transmit-interval 100\n  receive-interval 100");
    let ferrolb = lab.start(lab.router.ipv4.into(), "", "{}");
    let node = lab.node().ipv4.into();
    written(&ferrolb, UP, 1);
    for millis in [300, 1_000, 50] {
        let interval = Duration::from_millis(millis);
        let new = bfd(&format!("{{transmitInterval: {millis}, receiveInterval: {millis}}}"));
        let peer = bgp_peer("router", lab.router.ipv4.into(), "node-a", "");
        lab.manifests.write("peers.yaml", &format!("{peer}---\n{new}")).unwrap();
        frr.until(node, LIMIT, |seen| seen.is_up && seen.interval == interval).unwrap();
    }
    assert!(!ferrolb.log().contains(DOWN), "{}", ferrolb.log());
}

#[test]
fn who_switches_the_session_off_says_so() {
    require!(bfd Kind::Frr);
    let lab = Lab::new();
    let frr = lab.frr("  no shutdown");
    let mut ferrolb = lab.start(lab.router.ipv4.into(), "", "{}");
    let node = lab.node().ipv4.into();
    written(&ferrolb, UP, 1);
    let peer = format!("peer {node} interface eth0");
    frr.configure(&[&peer, "shutdown"]).unwrap();
    written(&ferrolb, "the peer's operator has switched the session off", 1);
    frr.configure(&[&peer, "no shutdown"]).unwrap();
    written(&ferrolb, UP, 2);
    frr.until(node, LIMIT, |seen| seen.is_up).unwrap();

    assert!(ferrolb.stop().unwrap().success());
    let seen = frr.until(node, LIMIT, |seen| !seen.is_up).unwrap();
    assert!(seen.words.contains("admin"), "{seen:?}");
}

#[test]
fn a_session_lasts_as_long_as_a_peer_wants_it() {
    require!(bfd Kind::Frr);
    let lab = Lab::new();
    let frr = lab.frr("  no shutdown");
    let (router, node) = (lab.router.ipv4.into(), lab.node().ipv4.into());
    let ferrolb = lab.start(router, "", "{}");
    written(&ferrolb, UP, 1);
    let another = bgp_peer("another", router, "node-a", "  peerPort: 1179\n");
    let both =
        format!("{}---\n{another}---\n{}", bgp_peer("router", router, "node-a", ""), bfd("{}"));
    lab.manifests.write("peers.yaml", &both).unwrap();
    lab.manifests.write("peers.yaml", &format!("{another}---\n{}", bfd("{}"))).unwrap();
    assert!(frr.seen(node).unwrap().unwrap().is_up);
    lab.manifests.write("peers.yaml", &bfd("{}")).unwrap();
    written(&ferrolb, "BFD session ended", 1);
    frr.until(node, LIMIT, |seen| !seen.is_up).unwrap();
    assert_eq!(ferrolb.log().matches(UP).count(), 1, "{}", ferrolb.log());
}

#[test]
fn ipv6_neighbors_are_watched() {
    require!(bfd Kind::Frr);
    let lab = Lab::new();
    let (router, node) = (&lab.router, lab.node());
    let lines = format!(" peer {} local-address {} interface eth0", node.ipv6, router.ipv6);
    let frr = Watcher::start(router, Kind::Frr, &lines).unwrap();
    let ferrolb = lab.start(router.ipv6.into(), "", "{}");
    written(&ferrolb, UP, 1);
    frr.until(node.ipv6.into(), LIMIT, |seen| seen.is_up).unwrap();
}

#[test]
fn a_router_behind_another_is_watched() {
    require!(bfd Kind::Frr);
    let lab = Lab::new();
    let (far, node) = (&lab.lan.node("b").pod, lab.node());
    let lines =
        format!(" peer {} multihop local-address {}\n  minimum-ttl 250", node.ipv4, far.ipv4);
    let frr = Watcher::start(far, Kind::Frr, &lines).unwrap();
    let ferrolb = lab.start(far.ipv4.into(), "  ebgpMultiHop: true\n", "{}");
    written(&ferrolb, UP, 1);
    frr.until(node.ipv4.into(), LIMIT, |seen| seen.is_up).unwrap();
    lab.lan.crash("node-b").unwrap();
    written(&ferrolb, DOWN, 1);
}

#[test]
fn echo_packets_notice_a_router_that_forwards_no_more() {
    require!(bfd Kind::Frr);
    let lab = Lab::new();
    lab.router.netns.sysctl("net/ipv4/ip_forward", "1").unwrap();
    let frr = lab.frr("  transmit-interval 300\n  receive-interval 300\n  echo-mode");
    let profile = "{echoMode: true, echoInterval: 100, detectMultiplier: 10}";
    let ferrolb = lab.start(lab.router.ipv4.into(), "", profile);
    written(&ferrolb, UP, 1);
    let node = lab.node().ipv4.into();
    frr.until(node, LIMIT, |seen| {
        seen.is_up && seen.words.contains("\"remote-echo-receive-interval\":100")
    })
    .unwrap();
    // Its Control packets go on: echo packets alone tell.
    lab.router.netns.sysctl("net/ipv4/ip_forward", "0").unwrap();
    written(&ferrolb, "echo packets did not come back", 1);
    assert_eq!(ferrolb.log().matches(DOWN).count(), 1, "{}", ferrolb.log());
}

#[test]
fn bird_and_the_program_notice_each_others_loss() {
    require!(bfd Kind::Bird);
    let lab = Lab::new();
    let lines = format!(
        "interface \"eth0\" {{ interval 100 ms; multiplier 4; }};\nneighbor {} dev \"eth0\";",
        lab.node().ipv4
    );
    let bird = Watcher::start(&lab.router, Kind::Bird, &lines).unwrap();
    let profile = "{transmitInterval: 200, receiveInterval: 100}";
    let ferrolb = lab.start(lab.router.ipv4.into(), "", profile);
    written(&ferrolb, UP, 1);
    let node = lab.node().ipv4.into();
    bird.until(node, LIMIT, |seen| seen.is_up).unwrap();
    lab.lan.crash("router").unwrap();
    let cut = Instant::now();
    written(&ferrolb, DOWN, 1);
    println!("noticed after {:?}, of 4 x 100 ms", cut.elapsed());
    bird.until(node, LIMIT, |seen| !seen.is_up).unwrap();
}

#[test]
fn two_of_ours_watch_each_other_every_10_ms() {
    require!();
    let lab = Lab::new();
    let address = |letter| IpAddr::from(lab.lan.node(letter).host.ipv4);
    let profile = bfd("{transmitInterval: 10, receiveInterval: 10}");
    let to_b = bgp_peer("to-b", address("b"), "node-a", "");
    let to_a = bgp_peer("to-a", address("a"), "node-b", "");
    lab.manifests.write("peers.yaml", &format!("{to_a}---\n{to_b}---\n{profile}")).unwrap();
    let (a, b) = (lab.run("a"), lab.run("b"));
    written(&a, UP, 1);
    written(&b, UP, 1);
    lab.lan.crash("node-b").unwrap();
    let cut = Instant::now();
    written(&a, DOWN, 1);
    println!("noticed after {:?}, of 3 x 10 ms", cut.elapsed());
}

#[test]
fn bird_and_the_program_authenticate_with_every_method() {
    require!(bfd Kind::Bird);
    let lab = Lab::new();
    let secret = "---\napiVersion: v1\nkind: Secret\n\
                  metadata: {name: router, namespace: ferrolb-system}\n\
                  type: kubernetes.io/basic-auth\nstringData: {bfd: tuna fish}\n";
    let methods = [
        ("simple", "simplePassword"),
        ("keyed md5", "keyedMD5"),
        ("meticulous keyed md5", "meticulousKeyedMD5"),
        ("keyed sha1", "keyedSHA1"),
        ("meticulous keyed sha1", "meticulousKeyedSHA1"),
    ];
    lab.manifests.write("secret.yaml", secret).unwrap();
    let node = lab.node().ipv4;
    let mut ferrolb = None;
    for (count, (theirs, ours)) in methods.into_iter().enumerate() {
        let lines = format!(
            "interface \"eth0\" {{ interval 100 ms; authentication {theirs}; \
             password \"tuna fish\" {{ id 7; }}; }};\nneighbor {node} dev \"eth0\";"
        );
        let bird = Watcher::start(&lab.router, Kind::Bird, &lines).unwrap();
        let profile = format!(
            "{{authentication: {{type: {ours}, keyID: 7, secret: {{name: router, key: bfd}}}}}}"
        );
        let router = lab.router.ipv4.into();
        match &ferrolb {
            None => ferrolb = Some(lab.start(router, "", &profile)),
            Some(_) => {
                let peer = bgp_peer("router", router, "node-a", "");
                let text = format!("{peer}---\n{}", bfd(&profile));
                lab.manifests.write("peers.yaml", &text).unwrap();
            }
        }
        written(ferrolb.as_ref().unwrap(), UP, count + 1);
        bird.until(node.into(), LIMIT, |seen| seen.is_up).unwrap();
    }
}
