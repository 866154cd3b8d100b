//! Which Services this node tells routers of, from the routes of its plan.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use planner::names::{PeerName, ServiceName};
use planner::plan::{Plan, PlanDiff};

use super::announced::News;

/// Services, and the routes that they are in.
#[derive(Debug, Default)]
pub(super) struct Routed {
    /// The peers that are told of a prefix, and for which Services.
    peers_at: BTreeMap<IpNet, BTreeMap<PeerName, BTreeSet<ServiceName>>>,
    prefixes_of: BTreeMap<ServiceName, BTreeSet<IpNet>>,
}

impl Routed {
    /// The prefixes that may be told differently after these diffs.
    pub(super) fn touched(&self, diffs: &[PlanDiff]) -> BTreeSet<IpNet> {
        let edits = diffs.iter().flat_map(|diff| diff.routes.values());
        let mut touched: BTreeSet<_> = edits
            .flat_map(|edits| edits.added.keys().chain(edits.changed.keys()).chain(&edits.removed))
            .copied()
            .collect();
        let removed: BTreeSet<_> = diffs.iter().flat_map(|diff| &diff.peers_removed).collect();
        if !removed.is_empty() {
            let mut peers = self.peers_at.iter();
            let told =
                peers.by_ref().filter(|(_, peers)| peers.keys().any(|p| removed.contains(p)));
            touched.extend(told.map(|(prefix, _)| *prefix));
        }
        touched
    }

    /// Takes in what the plan says of these prefixes. Names the Services that this may be about.
    pub(super) fn update(
        &mut self,
        plan: &Plan,
        touched: impl IntoIterator<Item = IpNet>,
    ) -> BTreeMap<ServiceName, News> {
        let mut news = BTreeMap::new();
        for prefix in touched {
            let told = |(peer, routes): (&PeerName, &planner::plan::Routes)| {
                Some((peer.clone(), routes.get(&prefix)?.services.clone()))
            };
            let now: BTreeMap<_, _> = plan.peers.iter().filter_map(told).collect();
            let before = self.peers_at.remove(&prefix).unwrap_or_default();
            if now == before {
                self.keep(prefix, now);
                continue;
            }
            let (after, before) = (services(&now), services(&before));
            for service in before.difference(&after) {
                if let Some(prefixes) = self.prefixes_of.get_mut(service) {
                    prefixes.remove(&prefix);
                    if prefixes.is_empty() {
                        self.prefixes_of.remove(service);
                    }
                }
            }
            for service in before {
                news.entry(service).or_insert(News::Same);
            }
            for service in after {
                let prefixes = self.prefixes_of.entry(service.clone()).or_default();
                let what = if prefixes.insert(prefix) { News::Gained } else { News::Same };
                let known = news.entry(service).or_insert(News::Same);
                if what == News::Gained {
                    *known = News::Gained;
                }
            }
            self.keep(prefix, now);
        }
        news
    }

    /// The prefixes that a Service is in.
    pub(super) fn prefixes(&self, service: &ServiceName) -> impl Iterator<Item = &IpNet> {
        self.prefixes_of.get(service).into_iter().flatten()
    }

    /// Who is told of it; as in MetalLB, who is told of a prefix is told of all that is in it.
    pub(super) fn peers(&self, service: &ServiceName) -> Option<BTreeSet<String>> {
        let prefixes = self.prefixes_of.get(service)?;
        let peers = prefixes.iter().filter_map(|prefix| self.peers_at.get(prefix));
        Some(peers.flat_map(BTreeMap::keys).map(|peer| peer.0.clone()).collect())
    }

    fn keep(&mut self, prefix: IpNet, peers: BTreeMap<PeerName, BTreeSet<ServiceName>>) {
        if !peers.is_empty() {
            self.peers_at.insert(prefix, peers);
        }
    }
}

fn services(peers: &BTreeMap<PeerName, BTreeSet<ServiceName>>) -> BTreeSet<ServiceName> {
    peers.values().flatten().cloned().collect()
}

#[cfg(test)]
mod tests {
    use planner::plan::Route;

    use super::*;

    /// Routes: prefix, peer, Services.
    fn plan(routes: &[(&str, &str, &[&str])]) -> Plan {
        let mut plan = Plan::default();
        for (prefix, peer, services) in routes {
            let services = services.iter().map(|name| ServiceName::new("shop", *name)).collect();
            let route = Route { services, ..Route::default() };
            let peer = plan.peers.entry(PeerName((*peer).to_owned())).or_default();
            peer.insert(prefix.parse().unwrap(), route);
        }
        plan
    }

    #[test]
    fn a_service_is_told_to_all_who_hear_of_its_prefixes() {
        type Row<'a> = (&'a str, Plan, &'a [(&'a str, News)], Option<&'a [&'a str]>);
        let (one, other) = ("198.51.100.1/32", "198.51.100.2/32");
        let rows: [Row<'_>; 6] = [
            ("nothing", plan(&[]), &[], None),
            ("one", plan(&[(one, "p1", &["web"])]), &[("web", News::Gained)], Some(&["p1"])),
            (
                "a shared address, told elsewhere too",
                plan(&[(one, "p1", &["web"]), (one, "p2", &["api"])]),
                &[("api", News::Gained), ("web", News::Same)],
                Some(&["p1", "p2"]),
            ),
            (
                "a second address",
                plan(&[(one, "p1", &["web"]), (other, "p3", &["web"])]),
                &[("api", News::Same), ("web", News::Gained)],
                Some(&["p1", "p3"]),
            ),
            (
                "the same again",
                plan(&[(one, "p1", &["web"]), (other, "p3", &["web"])]),
                &[],
                Some(&["p1", "p3"]),
            ),
            ("the peers are gone", plan(&[]), &[("web", News::Same)], None),
        ];
        let mut routed = Routed::default();
        let mut last = Plan::default();
        let web = ServiceName::new("shop", "web");
        for (step, plan, want, peers) in rows {
            let touched = routed.touched(&[PlanDiff::between(&last, &plan)]);
            let got = routed.update(&plan, touched);
            let got: Vec<_> = got.iter().map(|(name, news)| (&*name.name, news)).collect();
            let want: Vec<_> = want.iter().map(|(name, news)| (*name, news)).collect();
            assert_eq!(got, want, "{step}");
            let peers = peers.map(|all| all.iter().map(|peer| (*peer).to_owned()).collect());
            assert_eq!(routed.peers(&web), peers, "{step}");
            last = plan;
        }
    }
}
