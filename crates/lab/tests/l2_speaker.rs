//! A speaker that ends moves nothing: its node still forwards, so the others answer in its name.
//!
//! ```text
//!   client 192.0.2.100   stranger .90     node-a .11   node-b .12   node-c .13     a speaker on
//!    fd00::100 |             |               |            |            |           each node
//! =============+=============+===============+============+============+=====      the switch
//!                                            |            |            |
//!                                          pod-a        pod-b        pod-c
//! ```
//!
//! The client knows the address from the start. The stranger asks for it while the speaker of the
//! node that holds it is away.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use lab::cluster::{Cluster, ECHO_PORT};
use lab::ferrolb::{Ferrolb, binary};
use lab::probe::until_answered;
use lab::{Host, Mac, Manifests, Probe, require};

const LIMIT: Duration = Duration::from_secs(30);

/// The Service's address in IPv6.
const ADDRESS_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x200));

/// Three nodes, a Service of both families, and a probe of each of its addresses.
struct Scene {
    cluster: Cluster,
    probes: Vec<Probe>,
    owner: String,
    index: usize,
    _manifests: Manifests,
}

impl Scene {
    fn new() -> Self {
        let manifests = Manifests::dual_stack().unwrap();
        let binary = binary().unwrap();
        let cluster = Cluster::start(3, &binary, manifests.path(), "shop/web").unwrap();
        assert_eq!(cluster.addresses[1], ADDRESS_V6);
        let probe = |address: &IpAddr| {
            let echo = SocketAddr::new(*address, ECHO_PORT);
            until_answered(&cluster.lan.client, echo, LIMIT)
                .unwrap_or_else(|error| panic!("{error:#}\n{}", cluster.logs()));
            let probe = Probe::start(&cluster.lan.client, echo).unwrap();
            probe.wait_answered(LIMIT).unwrap();
            probe
        };
        let probes = cluster.addresses.iter().map(probe).collect();
        let owner = cluster.owner().unwrap().host.name.clone();
        let index = cluster.index_of(&owner).unwrap();
        assert_eq!(cluster.owner_of(ADDRESS_V6).unwrap().host.name, owner);
        let scene = Self { cluster, probes, owner, index, _manifests: manifests };
        scene.until("the others are heard", |scene| {
            let log = |index: usize| scene.cluster.speakers[index].log();
            (0..3).all(|index| log(index).matches(" heard").count() >= 2)
        });
        scene
    }

    fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        self.cluster.until(what, LIMIT, |_| condition(self)).unwrap();
    }

    /// Whether others answer in the name of the holder, for both addresses.
    fn is_stood_in_for(&self) -> bool {
        let mut others = (0..3).filter(|index| *index != self.index);
        others.any(|index| {
            let log = self.cluster.speakers[index].log();
            let stands_in = |at: &IpAddr| {
                log.lines().any(|line| {
                    line.contains("standing in:") && line.contains(&format!("address={at}"))
                })
            };
            self.cluster.addresses.iter().all(stands_in)
        })
    }

    /// Waits until another node says who holds the address, and that others answer meanwhile.
    fn is_told(&self) {
        let binary = binary().unwrap();
        self.until("another node says who holds the address", |scene| {
            let other = &scene.cluster.lan.nodes[(scene.index + 1) % 3];
            let status = Ferrolb::status(&other.host, &binary).unwrap();
            let held =
                format!("{} is held by `{}` with epoch ", scene.cluster.address, scene.owner);
            let silent = format!("speaker of `{}`: silent", scene.owner);
            status.contains(&held) && status.contains("stand in") && status.contains(&silent)
        });
    }

    /// Waits until the restarted speaker has both of its addresses again.
    fn resumed(&self) {
        self.until("the speaker goes on with its addresses", |scene| {
            scene.cluster.speakers[scene.index].log().matches("held as before").count() == 2
        });
    }

    /// What must be true in the end: no address has moved and no packet is lost.
    fn finish(self, seen: usize) {
        thread::sleep(Duration::from_millis(300));
        let Self { cluster, probes, owner, .. } = self;
        for probe in probes {
            let report = probe.finish();
            assert_eq!(report.lost, 0, "{report:?}\n{}", cluster.logs());
        }
        let mac = cluster.owner().unwrap().host.mac;
        assert_eq!(cluster.owner().unwrap().host.name, owner, "{}", cluster.logs());
        let claims = cluster.capture.seen_after(seen);
        let claims = claims.iter().filter(|arp| {
            arp.is_claim() && IpAddr::V4(arp.sender_ip) == cluster.address && arp.delivered
        });
        for claim in claims {
            assert_eq!(claim.sender_mac, mac, "{claim:?}\n{}", cluster.logs());
        }
    }
}

/// How long it takes until somebody answers `host`, which asks again and again.
fn asked_until_answered(host: &Host, address: IpAddr) -> (Duration, Mac) {
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = host.netns.udp(any.parse().unwrap()).unwrap();
    let start = Instant::now();
    while start.elapsed() < LIMIT {
        host.forget_neighbour(address).unwrap();
        // It may be refused while nobody answers.
        let _ = socket.send_to(b"who has it?", SocketAddr::new(address, ECHO_PORT));
        let asked = Instant::now();
        while asked.elapsed() < Duration::from_millis(20) {
            if let Some((mac, _)) = host.neighbour(address).unwrap() {
                return (start.elapsed(), mac);
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
    panic!("nobody answered for {address} in {LIMIT:?}");
}

/// A new client learns where the address is while its holder's speaker is away.
fn a_stranger_is_answered(scene: &Scene, stranger: &Host) {
    let mac = scene.cluster.lan.nodes[scene.index].host.mac;
    for address in &scene.cluster.addresses {
        let (took, answer) = asked_until_answered(stranger, *address);
        println!("a new client was answered for {address} after {took:?}");
        assert_eq!(answer, mac, "with the holder's own address\n{}", scene.cluster.logs());
    }
}

#[test]
fn a_killed_speaker_loses_neither_an_address_nor_a_packet() {
    require!();
    let mut scene = Scene::new();
    let stranger = scene.cluster.lan.attach("stranger", 90).unwrap();
    let seen = scene.cluster.capture.seen().len();
    scene.cluster.speakers[scene.index].kill().unwrap();
    a_stranger_is_answered(&scene, &stranger);
    scene.until("the others stand in", Scene::is_stood_in_for);
    scene.is_told();
    scene.cluster.restart(scene.index).unwrap();
    scene.resumed();
    scene.finish(seen);
}

#[test]
fn a_speaker_that_is_told_to_stop_loses_neither_an_address_nor_a_packet() {
    require!();
    let mut scene = Scene::new();
    let stranger = scene.cluster.lan.attach("stranger", 90).unwrap();
    let seen = scene.cluster.capture.seen().len();
    let status = scene.cluster.speakers[scene.index].stop().unwrap();
    assert!(status.success(), "{status}");
    a_stranger_is_answered(&scene, &stranger);
    scene.until("the others stand in", Scene::is_stood_in_for);
    scene.cluster.restart(scene.index).unwrap();
    scene.resumed();
    scene.finish(seen);
}

#[test]
fn a_speaker_that_leaves_hands_over_at_once_without_losing_a_packet() {
    require!();
    let mut scene = Scene::new();
    let binary = binary().unwrap();
    let node = &scene.cluster.lan.nodes[scene.index];
    let status = Ferrolb::leave(&node.host, &binary).unwrap();
    assert!(status.success(), "{status}\n{}", scene.cluster.logs());
    // It has waited until the others took over.
    assert_ne!(scene.cluster.owner().unwrap().host.name, scene.owner, "{}", scene.cluster.logs());
    scene.until("both addresses have moved", |scene| {
        let owner = scene.cluster.owner_of(ADDRESS_V6).unwrap();
        owner.host.name != scene.owner
    });
    let again = Ferrolb::leave(&scene.cluster.lan.nodes[scene.index].host, &binary).unwrap();
    assert!(again.success(), "there is nothing left to hand over: {again}");
    assert!(scene.cluster.speakers[scene.index].stop().unwrap().success());
    let Scene { cluster, probes, .. } = scene;
    for probe in probes {
        let report = probe.finish();
        assert_eq!(report.lost, 0, "{report:?}\n{}", cluster.logs());
    }
    let nobody = Ferrolb::leave(&cluster.lan.client, &binary).unwrap();
    assert!(!nobody.success(), "no speaker runs there");
}
