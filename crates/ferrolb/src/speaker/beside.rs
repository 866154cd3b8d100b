//! Speakers of a MetalLB beside ours, as facts.

use std::collections::BTreeSet;

use planner::facts::Change;
use planner::names::NodeName;

use crate::rivals::Known;

/// What is known of a MetalLB that still runs, and what was made of it.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// [`None`] while nothing is known.
    known: Option<Known>,
    /// Nodes with a Pod that looks like a speaker, once they are known.
    speakers: Option<BTreeSet<NodeName>>,
}

impl Beside {
    /// Whether it is known who is there.
    pub(super) fn is_known(&self) -> bool {
        self.known.is_some()
    }

    /// Takes in who is there now, and says how that changes the facts.
    pub(super) fn take(&mut self, known: Known) -> Vec<Change> {
        let before = self.known.replace(known.clone()).unwrap_or_default();
        let gone = before.services.keys().filter(|name| !known.services.contains_key(*name));
        let mut changes: Vec<_> = gone.map(|name| Change::Rival(name.clone(), None)).collect();
        let there =
            known.services.iter().filter(|(name, node)| before.services.get(*name) != Some(*node));
        changes.extend(there.map(|(name, node)| Change::Rival(name.clone(), Some(node.clone()))));
        if known.strangers != before.strangers && self.speakers.is_some() {
            changes.push(Change::Speakers(self.ours()));
        }
        changes
    }

    /// Leaves those out of the speakers that do not hear ours.
    pub(super) fn of_ours(&mut self, changes: Vec<Change>) -> Vec<Change> {
        let mut of_ours = |change| match change {
            Change::Speakers(speakers) => {
                self.speakers = speakers;
                Change::Speakers(self.ours())
            }
            Change::BgpAdvertisement(..)
            | Change::Endpoints(..)
            | Change::IgnoreExcludeLabel(_)
            | Change::L2Advertisement(..)
            | Change::Namespace(..)
            | Change::Node(..)
            | Change::Peer(..)
            | Change::Pool(..)
            | Change::Rival(..)
            | Change::Service(..) => change,
        };
        changes.into_iter().map(&mut of_ours).collect()
    }

    fn ours(&self) -> Option<BTreeSet<NodeName>> {
        let speakers = self.speakers.as_ref()?;
        match &self.known {
            Some(known) => Some(speakers.difference(&known.strangers).cloned().collect()),
            None => Some(speakers.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use planner::names::ServiceName;

    use super::*;

    fn known(strangers: &[&str], services: &[(&str, &str)]) -> Known {
        let service =
            |(name, node): &(&str, &str)| (ServiceName::new("shop", *name), NodeName::from(*node));
        Known {
            strangers: strangers.iter().map(|node| NodeName::from(*node)).collect(),
            services: services.iter().map(service).collect(),
            ..Known::default()
        }
    }

    fn speakers(nodes: &[&str]) -> Change {
        Change::Speakers(Some(nodes.iter().map(|node| NodeName::from(*node)).collect()))
    }

    fn rival(name: &str, node: Option<&str>) -> Change {
        Change::Rival(ServiceName::new("shop", name), node.map(NodeName::from))
    }

    #[test]
    fn what_changes_beside_us_changes_the_facts() {
        // Each row is one step of a change-over, and what it changes.
        let rows = [
            ("nobody", known(&[], &[]), vec![]),
            (
                "two speakers",
                known(&["a", "b"], &[("web", "a"), ("api", "b")]),
                vec![rival("api", Some("b")), rival("web", Some("a")), speakers(&["c"])],
            ),
            ("the same", known(&["a", "b"], &[("web", "a"), ("api", "b")]), vec![]),
            (
                "one is gone, the other takes over",
                known(&["a"], &[("web", "a"), ("api", "a")]),
                vec![rival("api", Some("a")), speakers(&["b", "c"])],
            ),
            (
                "all are gone",
                known(&[], &[]),
                vec![rival("api", None), rival("web", None), speakers(&["a", "b", "c"])],
            ),
        ];
        let mut beside = Beside::default();
        let all = speakers(&["a", "b", "c"]);
        assert_eq!(beside.of_ours(vec![all.clone()]), [all], "nothing is known yet");
        for (row, known, want) in rows {
            assert_eq!(beside.take(known), want, "{row}");
        }
    }

    #[test]
    fn a_speaker_that_does_not_hear_ours_is_none_of_them() {
        let mut beside = Beside::default();
        assert_eq!(beside.take(known(&["a"], &[])), [], "no speaker was seen yet");
        let changes = vec![speakers(&["a", "b"]), Change::Speakers(None), rival("web", None)];
        let want = [speakers(&["b"]), Change::Speakers(None), rival("web", None)];
        assert_eq!(beside.of_ours(changes), want);
    }
}
