//! What a node that should hold no addresses does when nobody else holds them.
//!
//! A node that does not forward is to hold an address only as long as no other one can take it. When
//! nobody is heard to hold it, all nodes that could are in the same state, and to withdraw everything
//! would be worse than to trust what says so: then each counts as if it were fit. Once one of them
//! holds the address it counts as unfit again, so a healthy node takes it over.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use proto::mesh::ownership::Candidacy;
use proto::time::Instant;

use super::Candidacies;

/// For how long nobody must be heard to hold an address. Healthy nodes take one in a fraction of it,
/// even if several die one after the other.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often it is looked who holds them. It walks all addresses, on a node in a rare state.
const LOOK: Duration = Duration::from_secs(1);

/// The addresses of a node that should hold none.
#[derive(Debug, Default)]
pub(super) struct LastResort {
    /// As they would be if the node were fit.
    candidacies: BTreeMap<IpAddr, Candidacy>,
    vacant_since: BTreeMap<IpAddr, Instant>,
    /// Those that the engine takes the node to be fit for.
    released: BTreeSet<IpAddr>,
    look_at: Option<Instant>,
}

impl LastResort {
    /// Takes in what is different; `None` for addresses that the node may hold as any other, or not
    /// at all. The engine was told otherwise that the node is unfit for the others.
    pub(super) fn take(&mut self, now: Instant, edits: Candidacies) {
        for (at, candidacy) in edits {
            self.released.remove(&at);
            match candidacy {
                Some(candidacy) => _ = self.candidacies.insert(at, candidacy),
                None => {
                    self.candidacies.remove(&at);
                    self.vacant_since.remove(&at);
                }
            }
        }
        let next = self.look_at.unwrap_or(now + LOOK);
        self.look_at = (!self.candidacies.is_empty()).then_some(next);
    }

    /// When to look who holds the addresses.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.look_at
    }

    /// What to tell the engine, given who holds what. Nothing before it is time.
    pub(super) fn look<T>(
        &mut self,
        now: Instant,
        holders: impl FnOnce() -> BTreeMap<IpAddr, T>,
    ) -> Option<Candidacies> {
        self.look_at.filter(|at| *at <= now)?;
        self.look_at = Some(now + LOOK);
        let holders = holders();
        let mut edits = Candidacies::new();
        for (at, candidacy) in &self.candidacies {
            if holders.contains_key(at) {
                self.vacant_since.remove(at);
                if self.released.remove(at) {
                    edits.insert(*at, Some(Candidacy { is_fit: false, ..candidacy.clone() }));
                }
                continue;
            }
            let since = *self.vacant_since.entry(*at).or_insert(now);
            if now - since >= PATIENCE && self.released.insert(*at) {
                edits.insert(*at, Some(candidacy.clone()));
            }
        }
        (!edits.is_empty()).then_some(edits)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proto::mesh::ownership::Policy;

    use super::*;

    fn at(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    /// After each second, for which addresses the node is said to be fit (`+`) or unfit (`-`), given
    /// which ones are held.
    fn said(resort: &mut LastResort, now: &mut Instant, held: &[&[u8]]) -> Vec<String> {
        let mut look = |held: &&[u8]| {
            *now = *now + Duration::from_secs(1);
            let holders = || held.iter().map(|last| (at(*last), ())).collect();
            let edits = resort.look(*now, holders).unwrap_or_default();
            let sign = |fit| if fit { '+' } else { '-' };
            let edit = |(at, edit): (IpAddr, Option<Candidacy>)| {
                format!("{}{at}", sign(edit.unwrap().is_fit))
            };
            edits.into_iter().map(edit).collect::<Vec<_>>().join(" ")
        };
        held.iter().map(&mut look).collect()
    }

    #[test]
    fn what_nobody_holds_for_a_while_is_held_until_another_node_can() {
        let candidacy = Candidacy { order: Arc::from([]), is_fit: true, policy: Policy::default() };
        let mut resort = LastResort::default();
        let mut now = Instant::START;
        assert_eq!(resort.deadline(), None);
        resort.take(now, [1, 2].map(|last| (at(last), Some(candidacy.clone()))).into());
        let held: &[&[u8]] = &[&[1], &[1], &[1], &[1], &[1, 2], &[1, 2]];
        let want = ["", "", "", "+192.0.2.2", "-192.0.2.2", ""];
        assert_eq!(said(&mut resort, &mut now, held), want, "2 is taken");
        let held: &[&[u8]] = &[&[2], &[2], &[1, 2], &[2], &[2], &[2], &[2], &[2]];
        let want = ["", "", "", "", "", "", "+192.0.2.1", ""];
        assert_eq!(said(&mut resort, &mut now, held), want, "vacant without a break");

        resort.take(now, [1, 2].map(|last| (at(last), None)).into());
        assert_eq!(resort.deadline(), None, "it is fit again");
    }
}
