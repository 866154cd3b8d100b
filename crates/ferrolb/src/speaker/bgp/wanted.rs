//! What the plan means for the sessions: which there are, and what each router is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use planner::announce::Planner;
use planner::facts::bgp;
use planner::names::{NodeName, PeerName};
use planner::plan::{PlanDiff, Route};
use proto::bgp::{Attributes, Community, ExtendedCommunity, LargeCommunity, NextHop};

use super::settings::Settings;
use super::{Orders, Routes};
use crate::net::inbox::Inbox;

/// What the thread was told to want.
#[derive(Debug)]
pub struct Wanted {
    node: NodeName,
    settings: BTreeMap<PeerName, Settings>,
    attributes: Shared,
    orders: Arc<Inbox<Orders>>,
}

impl Wanted {
    /// Nothing yet, for a node.
    pub fn new(node: NodeName, orders: Arc<Inbox<Orders>>) -> Self {
        Self { node, settings: BTreeMap::new(), attributes: Shared::default(), orders }
    }

    /// Tells the thread the whole plan, and that it is all.
    pub fn begin(&mut self, planner: &Planner) {
        self.tell(planner, &[]);
        self.orders.update(|orders| orders.is_synced = true);
    }

    /// Tells the thread what is different: diffs that led to the plan that there is now.
    pub fn tell(&mut self, planner: &Planner, diffs: &[PlanDiff]) {
        let mut news = Vec::new();
        let now = self.settings_now(planner);
        let gone = self.settings.keys().filter(|peer| !now.contains_key(*peer));
        news.extend(gone.map(|peer| (peer.clone(), None)));
        for (peer, settings) in &now {
            if self.settings.get(peer) != Some(settings) {
                news.push((peer.clone(), Some(settings.clone())));
            }
        }
        let before = std::mem::replace(&mut self.settings, now);
        // A peer that was away in between has another session: it is told everything again.
        let removed: BTreeSet<_> = diffs.iter().flat_map(|diff| &diff.peers_removed).collect();
        let is_new = |peer: &PeerName| !before.contains_key(peer) || removed.contains(peer);
        let mut routes = BTreeMap::new();
        for (peer, all) in &planner.plan().peers {
            if is_new(peer) {
                let all = all.iter().map(|(prefix, route)| (*prefix, self.attributes.of(route)));
                routes.insert(peer.clone(), Routes::All(all.collect()));
                continue;
            }
            let edited = diffs.iter().filter_map(|diff| diff.routes.get(peer));
            let touched: BTreeSet<_> = edited
                .flat_map(|edits| {
                    edits.added.keys().chain(edits.changed.keys()).chain(&edits.removed)
                })
                .collect();
            if !touched.is_empty() {
                let edits = touched.into_iter().map(|prefix| {
                    (*prefix, all.get(prefix).map(|route| self.attributes.of(route)))
                });
                routes.insert(peer.clone(), Routes::Edits(edits.collect()));
            }
        }
        if news.is_empty() && routes.is_empty() {
            return;
        }
        self.orders.update(|orders| {
            for (peer, settings) in news {
                orders.wish(peer, settings);
            }
            for (peer, routes) in routes {
                orders.route(peer, routes);
            }
        });
    }

    fn settings_now(&self, planner: &Planner) -> BTreeMap<PeerName, Settings> {
        let facts = planner.facts();
        let node = facts.nodes.get(&self.node);
        let peers = planner.plan().peers.keys();
        peers
            .filter_map(|name| {
                let peer = facts.peers.get(name)?;
                Some((name.clone(), Settings::of(peer, &self.node, node)))
            })
            .collect()
    }
}

/// Attributes, each kept once: most routes say the same.
#[derive(Debug, Default)]
struct Shared(BTreeSet<Arc<Attributes>>);

impl Shared {
    /// How many there may be before those that no route has any more are looked for.
    const FEW: usize = 64;

    fn of(&mut self, route: &Route) -> Arc<Attributes> {
        let attributes = attributes(route);
        if let Some(known) = self.0.get(&attributes) {
            return Arc::clone(known);
        }
        if self.0.len() >= Self::FEW && self.0.len().is_power_of_two() {
            self.0.retain(|one| Arc::strong_count(one) > 1);
        }
        let attributes = Arc::new(attributes);
        self.0.insert(Arc::clone(&attributes));
        attributes
    }
}

fn attributes(route: &Route) -> Attributes {
    let mut attributes = Attributes {
        next_hop: route.next_hop.map_or(NextHop::Own, NextHop::At),
        local_pref: route.local_pref,
        ..Attributes::default()
    };
    for community in &route.communities {
        match *community {
            bgp::Community::Standard(value) => {
                attributes.communities.insert(Community(value));
            }
            bgp::Community::Large(asn, one, other) => {
                attributes.large_communities.insert(LargeCommunity(asn, one, other));
            }
            bgp::Community::Extended(octets) => {
                attributes.extended_communities.insert(ExtendedCommunity(octets));
            }
        }
    }
    attributes
}
