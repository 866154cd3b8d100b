//! What passes between the network and the engine: only what peers have sealed.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use proto::mesh::Station;
use proto::mesh::seal::{Key, Refused, Seal};
use proto::time::Instant;

use crate::metrics;

/// A peer that cannot be understood is reported this often.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// Seals what is sent and opens what has come.
pub(super) struct Gate {
    seal: Seal,
    /// Whose address is whose.
    stations: HashMap<IpAddr, Station>,
    /// When what was refused of whom was said last.
    said: BTreeMap<(Station, Refused), Instant>,
    metrics: Option<metrics::Speaker>,
}

impl Gate {
    pub(super) fn new(seal: Seal, metrics: Option<metrics::Speaker>) -> Self {
        Self { seal, stations: HashMap::new(), said: BTreeMap::new(), metrics }
    }

    /// From now on peers are these, at these addresses.
    pub(super) fn use_peers(&mut self, peers: &BTreeMap<Station, Vec<IpAddr>>) {
        let pairs = peers.iter().flat_map(|(s, at)| at.iter().map(move |at| (*at, s)));
        self.stations = pairs.map(|(at, station)| (at, station.clone())).collect();
        self.seal.use_peers(peers.keys());
        self.said.retain(|(station, _), _| peers.contains_key(station));
    }

    /// From now on these keys are given, the newest first.
    pub(super) fn use_keys(&mut self, now: Instant, keys: Vec<Key>) {
        self.seal.use_keys(now, keys);
        self.count_keys();
    }

    /// What to send to `to` for it to hear `payload`.
    pub(super) fn seal(&mut self, now: Instant, to: &Station, payload: &[u8]) -> Vec<u8> {
        self.seal.seal(now, to, payload)
    }

    /// What was said by whom; `None` if it is not to be heard.
    pub(super) fn open(
        &mut self,
        now: Instant,
        from: IpAddr,
        datagram: &[u8],
    ) -> Option<(Station, Vec<u8>)> {
        let Some(station) = self.stations.get(&from) else {
            tracing::debug!(%from, "datagram from an address of no Node");
            self.count(Refused::Stranger);
            return None;
        };
        match self.seal.open(now, station, datagram) {
            Ok(payload) => Some((station.clone(), payload.to_vec())),
            Err(refused) => {
                self.count(refused);
                let station = station.clone();
                self.say(now, station, refused);
                None
            }
        }
    }

    /// Shows how many keys are accepted: one does not end by itself, but by what is heard.
    pub(super) fn count_keys(&self) {
        if let Some(metrics) = &self.metrics {
            metrics.mesh().keys(self.seal.keys().count());
        }
    }

    fn count(&self, refused: Refused) {
        if let Some(metrics) = &self.metrics {
            metrics.mesh().refused(refused);
        }
    }

    fn say(&mut self, now: Instant, station: Station, refused: Refused) {
        match refused {
            // A peer with two addresses is heard twice, and networks overtake.
            Refused::Late | Refused::Repeated => {
                tracing::trace!(peer = %station, "not heard: {refused}");
                return;
            }
            Refused::Forged
            | Refused::NoKey
            | Refused::Stale
            | Refused::Stranger
            | Refused::Truncated
            | Refused::UnknownKey
            | Refused::Unsealed
            | Refused::Version => (),
        }
        let said = self.said.get(&(station.clone(), refused));
        if said.is_none_or(|at| now - *at >= SAY_AGAIN) {
            tracing::warn!(peer = %station, "not heard: {refused}");
            self.said.insert((station, refused), now);
        }
    }
}
