//! The series of BFD sessions, as MetalLB has them.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};
use proto::bfd::packet::State;
use proto::bfd::{Counters, Ignored, Path};

use super::{added, gauges};

/// The labels of a session: the address of its peer, and its VRF.
const LABELS: [&str; 2] = ["peer", "vrf"];

/// A series, and what of a session it shows.
type Counter = (IntCounterVec, fn(&Counters) -> u64);

#[derive(Clone, Debug)]
pub(super) struct Bfd {
    up: IntGaugeVec,
    counters: [Counter; 7],
    ignored: IntCounterVec,
}

impl Bfd {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str| {
            let opts = Opts::new(format!("metallb_bfd_{name}"), help);
            added(registry, IntCounterVec::new(opts, &LABELS)?)
        };
        let up =
            gauges("metallb_bfd_session_up", "BFD session state (1 is up, 0 is down)", &LABELS)?;
        let ignored = Opts::new(
            "ferrolb_bfd_ignored_packets_total",
            "BFD packets that were received and led to nothing, by reason.",
        );
        let of = |name, help, value: fn(&Counters) -> u64| {
            counter(name, help).map(|counter| (counter, value))
        };
        Ok(Self {
            up: added(registry, up)?,
            counters: [
                of("control_packet_input", "Number of received BFD control packets", |it| {
                    it.control_received
                })?,
                of("control_packet_output", "Number of sent BFD control packets", |it| {
                    it.control_sent
                })?,
                of("echo_packet_input", "Number of received BFD echo packets", |it| {
                    it.echo_received
                })?,
                of("echo_packet_output", "Number of sent BFD echo packets", |it| it.echo_sent)?,
                of("session_up_events", "Number of BFD session up events", |it| it.ups)?,
                of("session_down_events", "Number of BFD session down events", |it| it.downs)?,
                // There is no zebra; these are the changes that BGP is told of, as zebra was.
                of("zebra_notifications", "Number of BFD zebra notifications", |it| {
                    it.ups + it.downs
                })?,
            ],
            ignored: added(registry, IntCounterVec::new(ignored, &["reason"])?)?,
        })
    }

    pub(super) fn show(&self, path: &Path, state: State, before: Counters, now: Counters) {
        let labels = labels(path);
        self.up.with_label_values(&labels).set(i64::from(state == State::Up));
        for (counter, value) in &self.counters {
            counter.with_label_values(&labels).inc_by(value(&now).saturating_sub(value(&before)));
        }
    }

    pub(super) fn forget(&self, path: &Path) {
        let labels = labels(path);
        // It is an error only if there is no such series, which is what is wanted.
        let _ = self.up.remove_label_values(&labels);
        for (counter, _) in &self.counters {
            let _ = counter.remove_label_values(&labels);
        }
    }

    pub(super) fn ignored(&self, cause: Ignored) {
        self.ignored.with_label_values(&[cause.label()]).inc();
    }
}

fn labels(path: &Path) -> [String; 2] {
    [path.peer.to_string(), path.device.as_deref().unwrap_or_default().to_owned()]
}
