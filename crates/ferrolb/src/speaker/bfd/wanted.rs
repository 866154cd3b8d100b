//! What BGPPeers mean for BFD: which sessions there are to be on a node.

use std::collections::BTreeMap;
use std::num::NonZeroU8;

use planner::announce::Planner;
use planner::facts::bgp::{BfdProfile, Peer, PeerAddress};
use proto::bfd::{Config, Hops, Path, Role};

use crate::net::interfaces::Interface;

/// The TTL that packets over several hops arrive with at least, where the profile does not say: one
/// router between, as FRR has it.
const MINIMUM_TTL: u8 = 254;

/// The sessions of all routers that the node speaks with and that have a profile. Routers at the
/// same address share one; where their profiles differ, that of the first by name counts.
///
/// A router at the end of an interface is found by BGP, and not watched yet.
pub fn wanted(planner: &Planner, interfaces: &[Interface]) -> BTreeMap<Path, Config> {
    let facts = planner.facts();
    let mut sessions = BTreeMap::new();
    for name in planner.plan().peers.keys() {
        let Some(peer) = facts.peers.get(name) else { continue };
        let Some(profile) = &peer.bfd else { continue };
        let Some(path) = path(peer, interfaces) else {
            tracing::debug!(peer = %name, "no BFD: its address is not known");
            continue;
        };
        let config = config(profile);
        let shared = sessions.entry(path).or_insert_with(|| config.clone());
        if *shared != config {
            tracing::warn!(
                peer = %name,
                "another BGPPeer at the same address has a different BFDProfile, which counts for \
                 both: give them the same"
            );
        }
    }
    sessions
}

/// `None` while the address of the router is not known.
fn path(peer: &Peer, interfaces: &[Interface]) -> Option<Path> {
    let PeerAddress::Ip(address) = peer.at else { return None };
    let is_neighbor =
        || interfaces.iter().flat_map(|one| &one.addresses).any(|own| own.contains(&address));
    // A session inside of an AS goes over as many hops as it takes, and nobody says so.
    let is_far = peer.is_multihop || peer.is_internal() && !is_neighbor();
    Some(Path {
        peer: address,
        local: peer.source,
        device: peer.vrf.as_deref().map(Into::into),
        hops: if is_far { Hops::Multi } else { Hops::Single },
    })
}

fn config(profile: &BfdProfile) -> Config {
    Config {
        detect_multiplier: NonZeroU8::new(profile.detect_multiplier).unwrap_or(NonZeroU8::MIN),
        desired_min_tx: profile.transmit_interval.into(),
        required_min_rx: profile.receive_interval.into(),
        echo: profile.echo_interval.map(Into::into),
        role: if profile.is_passive { Role::Passive } else { Role::Active },
        minimum_ttl: profile.minimum_ttl.unwrap_or(MINIMUM_TTL),
        key: profile.key.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use planner::facts::bgp::RemoteAsn;
    use planner::facts::{Facts, Node};
    use planner::names::NodeName;
    use proto::bfd::packet::Interval;

    use super::*;

    const OWN: u32 = 64_512;

    fn peer(address: &str, number: u32) -> Peer {
        let asn = |number| NonZeroU32::new(number).unwrap();
        let at = PeerAddress::Ip(address.parse().unwrap());
        let peer = Peer::new(at, asn(OWN), RemoteAsn::Number(asn(number)));
        Peer { bfd: Some(profile(300)), ..peer }
    }

    fn profile(millis: u64) -> BfdProfile {
        BfdProfile {
            receive_interval: Duration::from_millis(millis),
            transmit_interval: Duration::from_millis(millis),
            detect_multiplier: 3,
            echo_interval: None,
            is_passive: false,
            minimum_ttl: None,
            key: None,
        }
    }

    /// The sessions of a node in 192.0.2.0/24 with these peers: shown paths, hops, intervals.
    fn sessions(peers: &[Peer]) -> Vec<(String, Hops, u32)> {
        let name = NodeName::from("n0");
        let named = peers.iter().enumerate();
        let facts = Facts {
            nodes: [(name.clone(), Node::default())].into(),
            peers: named.map(|(n, peer)| (format!("p{n}").as_str().into(), peer.clone())).collect(),
            ..Facts::default()
        };
        let interface = Interface {
            index: 2,
            name: "eth0".into(),
            mac: None,
            is_running: true,
            can_arp: true,
            addresses: vec!["192.0.2.9/24".parse().unwrap()],
        };
        let wanted = wanted(&Planner::new(name, facts), &[interface]);
        let shown = |(path, config): (Path, Config)| {
            (path.to_string(), path.hops, config.desired_min_tx.micros() / 1000)
        };
        wanted.into_iter().map(shown).collect()
    }

    #[test]
    fn every_router_with_a_profile_has_a_session_of_its_kind() {
        let external = peer("192.0.2.1", 64_513);
        let far = "198.51.100.1";
        let in_vrf = Peer { vrf: Some(String::from("red")), ..external.clone() };
        let unnumbered = PeerAddress::Interface(String::from("eth1"));
        let one = |text: &str, hops| vec![(String::from(text), hops, 300)];
        let rows = [
            ("a neighbor", external.clone(), one("192.0.2.1", Hops::Single)),
            (
                "several hops",
                Peer { is_multihop: true, ..peer(far, 64_513) },
                one(far, Hops::Multi),
            ),
            ("in our AS, a neighbor", peer("192.0.2.1", OWN), one("192.0.2.1", Hops::Single)),
            ("in our AS, far", peer(far, OWN), one(far, Hops::Multi)),
            ("in a VRF", in_vrf, one("192.0.2.1%red", Hops::Single)),
            ("without a profile", Peer { bfd: None, ..external.clone() }, Vec::new()),
            ("of no known address", Peer { at: unnumbered, ..external }, Vec::new()),
        ];
        for (name, peer, want) in rows {
            assert_eq!(sessions(&[peer]), want, "{name}");
        }
    }

    #[test]
    fn routers_at_one_address_share_the_session_of_the_first() {
        let first = peer("192.0.2.1", 64_513);
        let second = Peer { port: 1179, bfd: Some(profile(50)), ..first.clone() };
        let from = Peer { source: "192.0.2.9".parse().ok(), ..first.clone() };
        assert_eq!(sessions(&[first.clone(), second]).len(), 1);
        assert_eq!(sessions(&[first, from]).len(), 2, "from another address it is another path");
    }

    #[test]
    fn a_profile_says_what_a_session_is_like() {
        let key = proto::bfd::auth::Key::new(proto::bfd::auth::Method::KeyedSha1, 1, b"x").ok();
        let profile = BfdProfile {
            receive_interval: Duration::from_millis(50),
            transmit_interval: Duration::from_millis(70),
            detect_multiplier: 5,
            echo_interval: Some(Duration::from_millis(20)),
            is_passive: true,
            minimum_ttl: Some(200),
            key: key.clone(),
        };
        let want = Config {
            detect_multiplier: NonZeroU8::new(5).unwrap(),
            desired_min_tx: Interval::from_millis(70),
            required_min_rx: Interval::from_millis(50),
            echo: Some(Interval::from_millis(20)),
            role: Role::Passive,
            minimum_ttl: 200,
            key,
        };
        assert_eq!(config(&profile), want);
    }
}
