//! Builders for tests of what routers are told.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::build::{address, on, selector};
use crate::facts::Facts;
use crate::facts::bgp::{BfdProfile, BgpAdvertisement, Community, Peer, PeerAddress, RemoteAsn};

pub(super) fn asn(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

/// A router in another AS, that all nodes have a session with.
pub(super) fn external() -> Peer {
    let at = PeerAddress::Ip(address("198.51.100.1"));
    Peer::new(at, asn(65000), RemoteAsn::Number(asn(65001)))
}

/// A router in our AS, that all nodes have a session with.
pub(super) fn internal() -> Peer {
    Peer { remote_asn: RemoteAsn::Internal, ..external() }
}

impl Peer {
    /// Only these nodes have a session with it.
    pub(super) fn of<const N: usize>(self, nodes: [&str; N]) -> Self {
        Self { node_selectors: on(nodes), ..self }
    }

    /// Watched with BFD, with echo packets or without.
    pub(super) fn watched(self, echo_interval: Option<Duration>) -> Self {
        let profile = BfdProfile {
            receive_interval: Duration::from_millis(300),
            transmit_interval: Duration::from_millis(300),
            detect_multiplier: 3,
            echo_interval,
            is_passive: false,
            minimum_ttl: None,
            key: None,
        };
        Self { bfd: Some(profile), ..self }
    }
}

/// An advertisement of everything from everywhere to everyone.
pub(super) fn everything() -> BgpAdvertisement {
    BgpAdvertisement::default()
}

impl BgpAdvertisement {
    pub(super) fn aggregated(self, aggregation_v4: u8, aggregation_v6: u8) -> Self {
        Self { aggregation_v4, aggregation_v6, ..self }
    }

    pub(super) fn preferred(self, local_pref: u32) -> Self {
        Self { local_pref: Some(local_pref), ..self }
    }

    pub(super) fn tagged<const N: usize>(self, communities: [(u32, u32); N]) -> Self {
        let standard = |(asn, number)| Community::Standard((asn << 16) | number);
        Self { communities: communities.map(standard).into(), ..self }
    }

    pub(super) fn to<const N: usize>(self, peers: [&str; N]) -> Self {
        Self { peers: peers.map(Into::into).into(), ..self }
    }

    pub(super) fn from<const N: usize>(self, nodes: [&str; N]) -> Self {
        Self { node_selectors: on(nodes), ..self }
    }

    pub(super) fn of_pools<const N: usize>(self, pools: [&str; N]) -> Self {
        Self { pools: pools.map(Into::into).into(), ..self }
    }

    pub(super) fn for_tier(self, tier: &str) -> Self {
        Self { service_selectors: vec![selector([("tier", tier)])], ..self }
    }
}

impl Facts {
    pub(super) fn told(mut self, name: &str, advertisement: BgpAdvertisement) -> Self {
        self.bgp_advertisements.insert(name.into(), advertisement);
        self
    }

    pub(super) fn peer(mut self, name: &str, peer: Peer) -> Self {
        self.peers.insert(name.into(), peer);
        self
    }
}
