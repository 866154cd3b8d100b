//! What is counted of the mesh: who is heard, and why addresses move.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use proto::mesh::ownership::{Dropping, Releasing, Why};
use proto::mesh::seal::Refused;

use super::added;
use crate::speaker::mesh::Punctuality;

/// How long a dead holder may go unnoticed, in seconds: from the closest watch to the slow one.
const DETECTION_BUCKETS: [f64; 9] = [0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 3.0];

/// The series of the mesh.
#[derive(Clone, Debug)]
pub struct Mesh {
    keys: IntGauge,
    peers_heard: IntGauge,
    real_time: IntGauge,
    refused: IntCounterVec,
    claims: IntCounterVec,
    ends: IntCounterVec,
    resumed: IntCounter,
    standing_in: IntGauge,
    conflicts: IntCounter,
    detections: Histogram,
}

impl Mesh {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| {
            added(registry, IntGauge::new(format!("ferrolb_mesh_{name}"), help)?)
        };
        let counter = |name: &str, help: &str| {
            added(registry, IntCounter::new(format!("ferrolb_mesh_{name}"), help)?)
        };
        let by = |name: &str, help: &str, label: &str| {
            let opts = Opts::new(format!("ferrolb_mesh_{name}"), help);
            added(registry, IntCounterVec::new(opts, &[label])?)
        };
        let detections = HistogramOpts::new(
            "ferrolb_mesh_detection_seconds",
            "Time from the last word of a holder that fell silent to the claim of its address here.",
        );
        let mesh = Self {
            keys: gauge("keys", "Keys by which other speakers are known; 0 is none at all.")?,
            peers_heard: gauge("peers_heard", "Other speakers that are heard.")?,
            real_time: gauge("real_time", "1 if heartbeats go before all other work.")?,
            refused: by(
                "datagrams_refused_total",
                "Datagrams from other speakers that were not let in, by reason.",
                "reason",
            )?,
            claims: by("claims_total", "Addresses that moved to this node, by cause.", "cause")?,
            ends: by("ends_total", "Addresses that this node let go of, by cause.", "cause")?,
            resumed: counter(
                "resumed_total",
                "Addresses that a restarted speaker went on with, so that they did not move.",
            )?,
            standing_in: gauge(
                "standing_in",
                "Addresses that are answered for in the name of nodes whose speaker is away.",
            )?,
            conflicts: counter(
                "conflicts_total",
                "Times at which a host that is no node was heard to use an address of this node.",
            )?,
            detections: added(
                registry,
                Histogram::with_opts(detections.buckets(DETECTION_BUCKETS.to_vec()))?,
            )?,
        };
        for refused in Refused::ALL {
            mesh.refused.with_label_values(&[refused.label()]);
        }
        Ok(mesh)
    }

    /// Shows how many keys there are.
    pub fn keys(&self, keys: usize) {
        self.keys.set(i64::try_from(keys).unwrap_or(i64::MAX));
    }

    /// Shows how many other speakers are heard.
    pub fn peers_heard(&self, peers: usize) {
        self.peers_heard.set(i64::try_from(peers).unwrap_or(i64::MAX));
    }

    /// Shows how punctual heartbeats are.
    pub fn punctuality(&self, punctuality: Punctuality) {
        self.real_time.set(i64::from(punctuality == Punctuality::RealTime));
    }

    /// Counts a datagram that was not let in.
    pub fn refused(&self, refused: Refused) {
        self.refused.with_label_values(&[refused.label()]).inc();
    }

    /// Counts an address that moved here, and how long ago its holder was heard.
    pub fn claimed(&self, why: Why, unheard_for: Option<Duration>) {
        self.claims.with_label_values(&[why.label()]).inc();
        if let (Why::HolderSilent, Some(time)) = (why, unheard_for) {
            self.detections.observe(time.as_secs_f64());
        }
    }

    /// Counts an address that somebody else is to hold.
    pub fn released(&self, why: Releasing) {
        self.ends.with_label_values(&[why.label()]).inc();
    }

    /// Counts an address that nobody here answers for any more.
    pub fn dropped(&self, why: Dropping) {
        self.ends.with_label_values(&[why.label()]).inc();
    }

    /// Counts an address that another node has a newer claim for.
    pub fn yielded(&self) {
        self.ends.with_label_values(&["newer_claim"]).inc();
    }

    /// Counts an address that a restarted speaker went on with.
    pub fn resumed(&self) {
        self.resumed.inc();
    }

    /// Shows for how many addresses this node stands in.
    pub fn standing_in(&self, addresses: usize) {
        self.standing_in.set(i64::try_from(addresses).unwrap_or(i64::MAX));
    }

    /// Counts that a foreign host was heard to use an address.
    pub fn conflict(&self) {
        self.conflicts.inc();
    }
}
