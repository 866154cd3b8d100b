//! Who stands in line for an address: the candidates in order, then everybody else.

use std::net::IpAddr;

use sha2::{Digest, Sha256};

use super::{Address, Outlook, Situation};
use crate::mesh::Station;
use crate::mesh::peer::INTERESTED;

/// All stations on a circle. Those that are no candidates for an address stand in line for it from
/// a place on the circle that the address decides: another one for each, and the same everywhere.
#[derive(Default)]
pub(in crate::mesh) struct Ring(Vec<([u8; 8], Station)>);

impl Ring {
    pub(in crate::mesh) fn new(stations: impl Iterator<Item = Station>) -> Self {
        let mut all: Vec<_> = stations.map(|it| (place(it.as_str().as_bytes()), it)).collect();
        all.sort();
        Self(all)
    }

    fn from(&self, at: IpAddr) -> impl Iterator<Item = &Station> {
        let start = place(at.to_string().as_bytes());
        let first = self.0.partition_point(|(place, _)| *place < start);
        let (before, after) = self.0.split_at(first);
        after.iter().chain(before).map(|(_, station)| station)
    }
}

fn place(name: &[u8]) -> [u8; 8] {
    let hash: [u8; 32] = Sha256::digest(name).into();
    let mut place = [0; 8];
    place.copy_from_slice(&hash[..8]);
    place
}

impl Address {
    /// Who comes after the holder: the stations that could take over, or stand in, the first first.
    pub(in crate::mesh) fn heirs<'s>(
        &'s self,
        at: IpAddr,
        holder: &'s Station,
        situation: &'s Situation<'_>,
    ) -> impl Iterator<Item = &'s Station> {
        let is_next = move |station: &&Station| *station != holder && situation.is_ready(station);
        let candidates = self.candidacy.iter().flat_map(|facts| facts.order.iter());
        let others = self.candidacy.iter().flat_map(move |facts| {
            let others = situation.ring.from(at).filter(is_next);
            others.filter(|station| !facts.is_candidate(station))
        });
        candidates.map(|candidate| &candidate.station).filter(is_next).chain(others)
    }

    /// Who holds it besides me, and where I stand in line.
    pub(in crate::mesh) fn look(&self, at: IpAddr, situation: &Situation<'_>) -> Option<Outlook> {
        if self.mine.is_some() {
            return None;
        }
        let claimed = self.holder(at, situation)?;
        let holder = claimed.station.clone();
        let place = match situation.is_ready(situation.me) {
            true => {
                let mut line = self.heirs(at, &holder, situation).take(INTERESTED);
                line.position(|station| station == situation.me)
            }
            false => None,
        };
        let watch = situation.settings.close_watch();
        Some(Outlook { holder, epoch: claimed.epoch, place, watch })
    }

    /// My place in line, when the holder cannot answer for itself.
    pub(super) fn stands_in(
        &self,
        at: IpAddr,
        holder: &Station,
        situation: &Situation<'_>,
    ) -> bool {
        self.heirs(at, holder, situation).take(STANDING_IN).any(|station| station == situation.me)
    }
}

/// How many stand in for a holder together. They give the same answer, and one may be dying too.
const STANDING_IN: usize = 3;
