//! What a speaker says of itself in its ConfigurationState, beside what is wrong with its settings.

use std::collections::BTreeMap;
use std::net::IpAddr;

use planner::names::PeerName;
use proto::bgp::session::State;
use proto::mesh::seal::Key;

use crate::k8s::configuration_state::Remark;
use crate::speaker::fitness::summary;
use crate::speaker::mesh::Punctuality;
use crate::speaker::{Lack, Verdict, bgp};

/// How well other speakers can be trusted, and this one.
pub(super) fn remarks(keys: &[Key], punctuality: Punctuality) -> Vec<Remark> {
    let (reason, complaint) = match keys {
        [] => ("NoKey", Some("other speakers are believed without a key".into())),
        [..] => ("KeyGiven", None),
    };
    let authenticated = Remark { about: "meshAuthenticated", reason, complaint };
    let (reason, complaint) = match punctuality {
        Punctuality::RealTime => ("RealTime", None),
        Punctuality::BestEffort => {
            let late = "heartbeats may be late while the node is busy: no real-time scheduling";
            ("BestEffort", Some(late.into()))
        }
    };
    vec![authenticated, Remark { about: "meshRealTime", reason, complaint }]
}

/// Which sessions are not as they should be; nothing where there are none.
pub(super) fn session_remark(sessions: &BTreeMap<PeerName, bgp::Report>) -> Option<Remark> {
    let about = "bgpSessionsEstablished";
    let down: Vec<_> = sessions
        .iter()
        .filter(|(_, report)| report.state != State::Established)
        .map(|(peer, report)| {
            let why = report.failure.as_ref().or(report.last_down.as_ref());
            let why = why.map_or("not tried yet", String::as_str);
            format!("{peer} at {}: {why}", report.at)
        })
        .collect();
    match (sessions.len(), down.is_empty()) {
        (0, _) => None,
        (_, true) => Some(Remark { about, reason: "AllEstablished", complaint: None }),
        (all, false) => {
            let some = format!("{} of {all} sessions are down: {}", down.len(), down.join("; "));
            Some(Remark { about, reason: "SessionDown", complaint: Some(some.into()) })
        }
    }
}

/// Whether the node can answer for what it is a candidate for, and forward it.
pub(super) fn fitness_remarks(lacks: &BTreeMap<IpAddr, Lack>, data_plane: Verdict) -> [Remark; 2] {
    let (reason, complaint) = match summary(lacks) {
        None => ("Fit", None),
        Some((why, sentence)) => (why.reason(), Some(sentence.into())),
    };
    let layer2 = Remark { about: "layer2Fit", reason, complaint };
    let complaint = (!data_plane.is_fit()).then(|| data_plane.to_string().into());
    let reason = data_plane.reason();
    [layer2, Remark { about: "dataPlaneFit", reason, complaint }]
}

/// Whether addresses of this node are used by hosts that are no nodes.
pub(super) fn conflict_remark(is_in_conflict: bool) -> Remark {
    let complaint = "a host that is no node uses an address of a Service".into();
    let (reason, complaint) = match is_in_conflict {
        true => ("ForeignHost", Some(complaint)),
        false => ("NoneHeard", None),
    };
    Remark { about: "addressesUnique", reason, complaint }
}
