//! What waits to be sent of one family.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::IpNet;

use super::Markers;
use crate::bgp::attributes::Attributes;

/// Routes of one family on their way to a peer.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// To be announced, together where they say the same.
    due: BTreeMap<Arc<Attributes>, BTreeSet<IpNet>>,
    /// To be withdrawn.
    gone: BTreeSet<IpNet>,
    is_end_of_rib_sent: bool,
    refresh: Progress,
}

/// How far an answer to a refresh is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Progress {
    #[default]
    Idle,
    /// Asked for, and not begun.
    Asked,
    /// Begun; some routes are still due.
    Running,
}

/// A marker that is due.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Marker {
    EndOfRib,
    EndOfRefresh,
}

impl Lane {
    pub(super) fn pending(&self) -> usize {
        self.due.values().map(BTreeSet::len).sum::<usize>() + self.gone.len()
    }

    pub(super) fn has_gone(&self) -> bool {
        !self.gone.is_empty()
    }

    pub(super) fn add_due(&mut self, attributes: Arc<Attributes>, prefix: IpNet) {
        self.due.entry(attributes).or_default().insert(prefix);
    }

    pub(super) fn remove_due(&mut self, attributes: &Arc<Attributes>, prefix: &IpNet) {
        let Some(prefixes) = self.due.get_mut(attributes) else { return };
        prefixes.remove(prefix);
        if prefixes.is_empty() {
            self.due.remove(attributes);
        }
    }

    pub(super) fn add_gone(&mut self, prefix: IpNet) {
        self.gone.insert(prefix);
    }

    pub(super) fn remove_gone(&mut self, prefix: &IpNet) {
        self.gone.remove(prefix);
    }

    /// The attributes of the next announcement.
    pub(super) fn first_due(&self) -> Option<Arc<Attributes>> {
        self.due.keys().next().cloned()
    }

    /// Takes routes with these attributes that need at most `room` octets.
    pub(super) fn take_due(&mut self, attributes: &Arc<Attributes>, room: usize) -> Vec<IpNet> {
        let Some(prefixes) = self.due.get_mut(attributes) else { return Vec::new() };
        let taken = take(prefixes, room);
        if prefixes.is_empty() {
            self.due.remove(attributes);
        }
        taken
    }

    /// Takes withdrawals that need at most `room` octets.
    pub(super) fn take_gone(&mut self, room: usize) -> Vec<IpNet> {
        take(&mut self.gone, room)
    }

    pub(super) fn ask(&mut self) {
        self.refresh = Progress::Asked;
    }

    /// Whether the answer to a refresh begins now.
    ///
    /// For a peer that reads the markers, not before End-of-RIB (RFC 7313 section 4).
    pub(super) fn begins_refresh(&mut self, markers: Markers) -> bool {
        let must_wait = markers.refresh && markers.end_of_rib && !self.is_end_of_rib_sent;
        let begins = self.refresh == Progress::Asked && !must_wait;
        if begins {
            self.refresh = if markers.refresh { Progress::Running } else { Progress::Idle };
        }
        begins
    }

    /// The marker that is due now that no routes are, taken as sent.
    pub(super) fn marker(&mut self, markers: Markers, is_complete: bool) -> Option<Marker> {
        if markers.end_of_rib && is_complete && !self.is_end_of_rib_sent {
            self.is_end_of_rib_sent = true;
            return Some(Marker::EndOfRib);
        }
        if self.refresh == Progress::Running {
            self.refresh = Progress::Idle;
            return Some(Marker::EndOfRefresh);
        }
        None
    }
}

fn take(prefixes: &mut BTreeSet<IpNet>, room: usize) -> Vec<IpNet> {
    use crate::bgp::message::nlri;
    let mut left = room;
    let fits = |prefix: &&IpNet| match left.checked_sub(nlri::size(prefix)) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    let taken: Vec<IpNet> = prefixes.iter().take_while(fits).copied().collect();
    if taken.len() == prefixes.len() {
        prefixes.clear();
    } else if let Some(last) = taken.last() {
        let mut rest = prefixes.split_off(last);
        rest.remove(last);
        *prefixes = rest;
    }
    taken
}
