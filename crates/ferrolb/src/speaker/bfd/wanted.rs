//! What BGPPeers mean for BFD: which sessions there are to be on a node.

use std::collections::BTreeMap;
use std::num::NonZeroU8;

use planner::announce::Planner;
use planner::facts::bgp::{BfdProfile, Peer, PeerAddress};
use proto::bfd::{Config, Hops, Path, Role};

/// The TTL that packets over several hops arrive with at least, where the profile does not say: one
/// router between, as FRR has it.
const MINIMUM_TTL: u8 = 254;

/// The sessions of all routers that the node speaks with and that have a profile. Routers at the
/// same address share one; where their profiles differ, that of the first by name counts.
///
/// `is_neighbor` says whether an address is on a network of this host.
pub fn wanted(
    planner: &Planner,
    is_neighbor: impl Fn(std::net::IpAddr) -> bool,
) -> BTreeMap<Path, Config> {
    let facts = planner.facts();
    let mut sessions = BTreeMap::new();
    for name in planner.plan().peers.keys() {
        let Some(peer) = facts.peers.get(name) else { continue };
        let Some(profile) = &peer.bfd else { continue };
        let Some(path) = path(peer, &is_neighbor) else {
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
fn path(peer: &Peer, is_neighbor: &impl Fn(std::net::IpAddr) -> bool) -> Option<Path> {
    let PeerAddress::Ip(address) = peer.at else { return None };
    // A session inside of an AS goes over as many hops as it takes, and nobody says so.
    let is_far = peer.is_multihop || peer.is_internal() && !is_neighbor(address);
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
        key: None,
    }
}
