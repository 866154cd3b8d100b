//! How the sessions of this node are, for those who ask: metrics, statuses, people.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use planner::names::PeerName;
use proto::bgp::session::{Counters, State, Status};
use proto::time::Instant;
use tokio::sync::Notify;

use super::settings::Settings;

/// How one session is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Report {
    /// Where the router is, as MetalLB's metrics name it.
    pub at: String,
    /// The VRF; empty for none.
    pub vrf: String,
    /// The state of RFC 4271.
    pub state: State,
    /// Since when it is established.
    pub since: Option<Instant>,
    /// Routes that the router knows.
    pub announced: usize,
    /// Routes that it has yet to be told of.
    pub pending: usize,
    /// What was counted since the session was made.
    pub counters: Counters,
    /// Why the last session, or attempt at one, ended.
    pub last_down: Option<String>,
    /// Why no connection could be made, while there is none.
    pub failure: Option<String>,
}

impl Report {
    pub(super) fn of(settings: &Settings, status: &Status<'_>, failure: Option<&str>) -> Self {
        Self {
            at: settings.label(),
            vrf: settings.vrf().to_owned(),
            state: status.state,
            since: status.since,
            announced: status.announced,
            pending: status.pending,
            counters: status.counters,
            last_down: status.last_down.map(ToString::to_string),
            failure: failure.map(str::to_owned),
        }
    }
}

/// The sessions of this node. It is bounded by the routers there are.
#[derive(Debug, Default)]
pub struct Sessions {
    reports: Mutex<BTreeMap<PeerName, Report>>,
    bell: Notify,
}

impl Sessions {
    /// Says how sessions are from now on; `None` for one that is no more.
    pub fn tell(&self, news: impl IntoIterator<Item = (PeerName, Option<Report>)>) {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        let mut is_news = false;
        for (peer, report) in news {
            let state = report.as_ref().map(|report| report.state);
            let before = match report {
                Some(report) => reports.insert(peer, report),
                None => reports.remove(&peer),
            };
            is_news |= before.map(|before| before.state) != state;
        }
        drop(reports);
        if is_news {
            self.bell.notify_one();
        }
    }

    /// All of them as they are now.
    pub fn all(&self) -> BTreeMap<PeerName, Report> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until a session has another state, or there is one more or less.
    pub async fn changed(&self) {
        self.bell.notified().await;
    }
}
