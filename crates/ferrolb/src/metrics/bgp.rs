//! The series of sessions with routers, under the names of both of MetalLB's modes.
//!
//! They are made from what the sessions report when somebody looks, so a series is there exactly as
//! long as its session.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGaugeVec, Opts};
use proto::bgp::session::State;

use crate::speaker::bgp::{Report, Sessions};

/// What a value of one family is.
type Value = fn(&Report) -> u64;

/// Gauges: what comes after `metallb_bgp_`, the help, the value.
const GAUGES: [(&str, &str, Value); 3] = [
    ("session_up", "BGP session state (1 is up, 0 is down)", |of| {
        u64::from(of.state == State::Established)
    }),
    (
        "announced_prefixes_total",
        "Number of prefixes currently being advertised on the BGP session",
        |of| of.announced as u64,
    ),
    (
        "pending_prefixes_total",
        "Number of prefixes that should be advertised on the BGP session",
        |of| of.pending as u64,
    ),
];

/// Counters, in the same form.
const COUNTERS: [(&str, &str, Value); 12] = [
    ("opens_sent", "Number of BGP open messages sent", |of| of.counters.sent.opens),
    ("opens_received", "Number of BGP open messages received", |of| of.counters.received.opens),
    ("notifications_sent", "Number of BGP notification messages sent", |of| {
        of.counters.sent.notifications
    }),
    ("notifications_received", "Number of BGP notification messages received", |of| {
        of.counters.received.notifications
    }),
    ("updates_total", "Number of BGP UPDATE messages sent", |of| of.counters.sent.updates),
    ("updates_total_received", "Number of BGP UPDATE messages received", |of| {
        of.counters.received.updates
    }),
    ("keepalives_sent", "Number of BGP keepalive messages sent", |of| of.counters.sent.keepalives),
    ("keepalives_received", "Number of BGP keepalive messages received", |of| {
        of.counters.received.keepalives
    }),
    ("route_refresh_sent", "Number of BGP route refresh messages sent", |of| {
        of.counters.sent.refreshes
    }),
    ("total_sent", "Number of total BGP messages sent", |of| of.counters.sent.total()),
    ("total_received", "Number of total BGP messages received", |of| of.counters.received.total()),
    ("sessions_established_total", "Number of times that the BGP session was established", |of| {
        of.counters.established
    }),
];

/// Makes the series when somebody looks.
pub(super) struct Bgp {
    sessions: Arc<Sessions>,
    gauges: Vec<(IntGaugeVec, Value)>,
    counters: Vec<(IntCounterVec, Value)>,
}

impl Bgp {
    pub(super) fn new(sessions: Arc<Sessions>) -> prometheus::Result<Self> {
        const LABELS: [&str; 2] = ["peer", "vrf"];
        let opts = |name: &str, help: &str| Opts::new(format!("metallb_bgp_{name}"), help);
        let gauge = |(name, help, value): (&str, &str, Value)| {
            Ok((IntGaugeVec::new(opts(name, help), &LABELS)?, value))
        };
        let counter = |(name, help, value): (&str, &str, Value)| {
            Ok((IntCounterVec::new(opts(name, help), &LABELS)?, value))
        };
        Ok(Self {
            sessions,
            gauges: GAUGES.into_iter().map(gauge).collect::<prometheus::Result<_>>()?,
            counters: COUNTERS.into_iter().map(counter).collect::<prometheus::Result<_>>()?,
        })
    }
}

impl Collector for Bgp {
    fn desc(&self) -> Vec<&Desc> {
        let gauges = self.gauges.iter().flat_map(|(family, _)| family.desc());
        gauges.chain(self.counters.iter().flat_map(|(family, _)| family.desc())).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let reports = self.sessions.all();
        let mut families = Vec::new();
        for (family, value) in &self.gauges {
            family.reset();
            for report in reports.values() {
                let value = i64::try_from(value(report)).unwrap_or(i64::MAX);
                family.with_label_values(&[&report.at, &report.vrf]).set(value);
            }
            families.extend(family.collect());
        }
        for (family, value) in &self.counters {
            family.reset();
            for report in reports.values() {
                family.with_label_values(&[&report.at, &report.vrf]).inc_by(value(report));
            }
            families.extend(family.collect());
        }
        families
    }
}

#[cfg(test)]
mod tests {
    use planner::names::{NodeName, PeerName};
    use proto::bgp::session::{Counters, Messages};

    use super::super::Speaker;
    use super::*;

    #[test]
    fn a_session_has_its_series_as_long_as_it_is_there() {
        let metrics = Speaker::new(NodeName("n1".to_owned())).unwrap();
        let sessions = Arc::new(Sessions::default());
        metrics.sessions(Arc::clone(&sessions)).unwrap();
        let lines = || {
            let page = metrics.process().render();
            let lines = page.lines().filter(|line| line.starts_with("metallb_bgp_"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(lines(), [""; 0]);
        let report = Report {
            at: "192.0.2.1:179".to_owned(),
            vrf: String::new(),
            state: State::Established,
            since: None,
            announced: 3,
            pending: 1,
            counters: Counters {
                sent: Messages { opens: 1, updates: 4, ..Messages::default() },
                ..Counters::default()
            },
            last_down: None,
            failure: None,
        };
        let peer = PeerName("router".to_owned());
        sessions.tell([(peer.clone(), Some(report))]);
        let all = lines();
        assert_eq!(all.len(), GAUGES.len() + COUNTERS.len());
        for (name, value) in [
            ("session_up", 1),
            ("announced_prefixes_total", 3),
            ("pending_prefixes_total", 1),
            ("opens_sent", 1),
            ("updates_total", 4),
            ("total_sent", 5),
            ("total_received", 0),
        ] {
            let line = format!("metallb_bgp_{name}{{peer=\"192.0.2.1:179\",vrf=\"\"}} {value}");
            assert!(all.contains(&line), "{line} is not in {all:#?}");
        }
        sessions.tell([(peer, None)]);
        assert_eq!(lines(), [""; 0]);
    }
}
