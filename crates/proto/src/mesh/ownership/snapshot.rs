//! What a node believes, for whoever asks.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::{Fate, Ownership, Why};
use crate::mesh::Station;
use crate::mesh::address::Address;
use crate::mesh::message::Flags;
use crate::mesh::peer::Peer;
use crate::time::Instant;

/// What this node believes at one moment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Snapshot {
    /// Who holds each address, with the epoch of the claim. Left out where that is nobody who is
    /// heard.
    pub holders: BTreeMap<IpAddr, (Station, u64)>,
    /// Every address that anything is known of.
    pub addresses: BTreeMap<IpAddr, AddressStatus>,
    /// The other speakers.
    pub peers: BTreeMap<Station, PeerStatus>,
    /// This node holds something and hears nothing from the LAN.
    pub is_deaf: bool,
}

/// What is known about an address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AddressStatus {
    /// Who holds it, heard or not, and the epoch of the claim.
    pub holder: Option<(Station, u64)>,
    /// Who comes after the holder, the first first; not all of them.
    pub heirs: Vec<Station>,
    /// Who answers for the holder while its speaker is away.
    pub stand_ins: Vec<Station>,
    /// The last moves, the oldest first.
    pub moves: Vec<Move>,
}

/// That an address got another holder.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Move {
    /// When that was seen here.
    pub at: Instant,
    /// Who holds it since.
    pub to: Station,
    /// Epoch of the claim.
    pub epoch: u64,
    /// Why, if this node took it; only the one who takes an address knows.
    pub why: Option<Why>,
}

/// What is known about a peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PeerStatus {
    /// It is heard.
    pub is_heard: bool,
    /// When it was heard last.
    pub last_heard: Option<Instant>,
    /// How often it says that it speaks.
    pub interval: Duration,
    /// What it says of itself.
    pub flags: Flags,
    /// It is heard and all its claims are known.
    pub is_synced: bool,
    /// What became of it, as far as what it holds is concerned.
    pub fate: Fate,
}

/// Heirs that are named of each address.
const HEIRS: usize = 3;

impl Ownership {
    /// What this node believes now. Walks all addresses.
    pub fn snapshot(&self) -> Snapshot {
        let live_holder = |(at, address): (&IpAddr, &Address)| {
            let holder = match address.mine() {
                Some(mine) => (self.me.clone(), mine.epoch),
                None => {
                    let claimed = address.newest_live(*at, &self.peers)?;
                    (claimed.station.clone(), claimed.epoch)
                }
            };
            Some((*at, holder))
        };
        let address = |(at, address): (&IpAddr, &Address)| {
            let holder = self.holder_of(*at, address);
            let situation = self.situation(address);
            let after = holder.as_ref().map_or(&self.me, |(station, _)| station);
            let heirs = address.heirs(*at, after, &situation).take(HEIRS).cloned().collect();
            let mine = address.standing_in().map(|_| self.me.clone());
            let stand_ins = address.stand_ins().iter().cloned().chain(mine).collect();
            let moves = address.moves.clone();
            (*at, AddressStatus { holder, heirs, stand_ins, moves })
        };
        let peer = |(station, peer): (&Station, &Peer)| {
            let status = PeerStatus {
                is_heard: !peer.is_silent(),
                last_heard: peer.last(),
                interval: peer.interval(),
                flags: peer.flags,
                is_synced: peer.is_synced(),
                fate: peer.fate,
            };
            (station.clone(), status)
        };
        Snapshot {
            holders: self.addresses.iter().filter_map(live_holder).collect(),
            addresses: self.addresses.iter().map(address).collect(),
            peers: self.peers.iter().map(peer).collect(),
            is_deaf: self.lan.is_deaf(),
        }
    }

    fn holder_of(&self, at: IpAddr, address: &Address) -> Option<(Station, u64)> {
        match address.mine() {
            Some(mine) => Some((self.me.clone(), mine.epoch)),
            None => {
                let claimed = address.holder(at, &self.situation(address))?;
                Some((claimed.station.clone(), claimed.epoch))
            }
        }
    }
}
