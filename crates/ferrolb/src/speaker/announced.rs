//! Which Services this node announces, from the addresses that it answers for.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use planner::names::ServiceName;
use planner::plan::Plan;

use super::fitness::selected;
use super::held::Holding;
use crate::net::interfaces::Interface;

/// Services and the addresses that this node answers for.
#[derive(Debug, Default)]
pub(super) struct Announced {
    held: BTreeSet<IpAddr>,
    services_at: BTreeMap<IpAddr, Arc<[ServiceName]>>,
    /// Each sorted.
    addresses_of: BTreeMap<ServiceName, Vec<IpAddr>>,
}

/// What is new about a Service.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum News {
    /// An address of it is answered for that was not before.
    Gained,
    /// Nothing was gained; where it is answered for may be different.
    Same,
}

impl Announced {
    /// Takes in which addresses are answered for now, and that `touched` ones are planned
    /// differently. Names the Services that this may be about.
    pub(super) fn update(
        &mut self,
        plan: &Plan,
        held: &BTreeMap<IpAddr, Holding>,
        touched: impl IntoIterator<Item = IpAddr>,
    ) -> BTreeMap<ServiceName, News> {
        for (address, holding) in held {
            match holding {
                Holding::First | Holding::Inherited | Holding::Resumed => {
                    self.held.insert(*address);
                }
                Holding::Lost => _ = self.held.remove(address),
            }
        }
        let mut news = BTreeMap::new();
        let touched: BTreeSet<_> = held.keys().copied().chain(touched).collect();
        for address in touched {
            let candidacy = plan.candidacies.get(&address).filter(|_| self.held.contains(&address));
            let now = candidacy.map(|one| one.services.clone()).unwrap_or_default();
            let before = self.services_at.remove(&address).unwrap_or_default();
            for service in before.iter() {
                news.entry(service.clone()).or_insert(News::Same);
            }
            for service in before.iter().filter(|service| !now.contains(service)) {
                if let Some(addresses) = self.addresses_of.get_mut(service) {
                    addresses.retain(|other| *other != address);
                    if addresses.is_empty() {
                        self.addresses_of.remove(service);
                    }
                }
            }
            for service in now.iter().filter(|service| !before.contains(service)) {
                let addresses = self.addresses_of.entry(service.clone()).or_default();
                addresses.reserve_exact(1);
                addresses.push(address);
                addresses.sort_unstable();
                news.insert(service.clone(), News::Gained);
            }
            if !now.is_empty() {
                self.services_at.insert(address, now);
            }
        }
        news
    }

    /// The addresses of a Service that this node answers for.
    pub(super) fn addresses(&self, service: &ServiceName) -> impl Iterator<Item = IpAddr> {
        self.addresses_of.get(service).into_iter().flatten().copied()
    }

    /// On which of these interfaces it does, if it does; none of them named means on all.
    pub(super) fn interfaces(
        &self,
        plan: &Plan,
        service: &ServiceName,
        table: &[Interface],
    ) -> Option<BTreeSet<String>> {
        let addresses = self.addresses_of.get(service)?;
        let mut names = BTreeSet::new();
        for address in addresses {
            let Some(candidacy) = plan.candidacies.get(address) else { continue };
            if candidacy.interfaces.are_all() {
                return Some(BTreeSet::new());
            }
            let selected = selected(*address, &candidacy.interfaces, table);
            names.extend(selected.map(|interface| interface.name.clone()));
        }
        Some(names)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use planner::interfaces::{InterfaceSelector, Interfaces, Subnet};
    use planner::owner::Order;
    use planner::plan::Candidacy;

    use super::*;

    fn at(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn plan(candidacies: &[(u8, &[&str], &[&str])]) -> Plan {
        let candidacy = |(last, services, names): &(u8, &[&str], &[&str])| {
            let selector = InterfaceSelector::new(names.iter().copied(), Subnet::Any);
            let candidacy = Candidacy {
                services: services.iter().map(|name| ServiceName::new("shop", *name)).collect(),
                order: Order::new(Arc::default(), at(*last)),
                interfaces: Interfaces::new([&selector]),
                settings: Arc::default(),
                settings_from: "all".into(),
            };
            (at(*last), candidacy)
        };
        Plan { candidacies: candidacies.iter().map(candidacy).collect(), ..Plan::default() }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of steps")]
    fn a_service_is_announced_where_an_address_of_it_is_held() {
        let mut announced = Announced::default();
        // Each row is one step: the plan, what is held, what is planned anew, the news, then the
        // addresses of `web` and its interfaces.
        type Row<'a> = (
            &'a str,
            Plan,
            &'a [(u8, Holding)],
            &'a [u8],
            &'a [(&'a str, News)],
            &'a [u8],
            Option<&'a [&'a str]>,
        );
        let one = || plan(&[(1, &["web"], &["eth0"])]);
        let two = || plan(&[(1, &["api", "web"], &["eth0"]), (2, &["web"], &["eth1"])]);
        let wide = || plan(&[(1, &["api", "web"], &[]), (2, &["web"], &["eth1"])]);
        let rows: [Row<'_>; 7] = [
            ("planned", one(), &[], &[1], &[], &[], None),
            (
                "held",
                one(),
                &[(1, Holding::First)],
                &[],
                &[("web", News::Gained)],
                &[1],
                Some(&["eth0"]),
            ),
            (
                "shared",
                two(),
                &[],
                &[1, 2],
                &[("api", News::Gained), ("web", News::Same)],
                &[1],
                Some(&["eth0"]),
            ),
            (
                "a second",
                two(),
                &[(2, Holding::Inherited)],
                &[],
                &[("web", News::Gained)],
                &[1, 2],
                Some(&["eth0", "eth1"]),
            ),
            (
                "on all",
                wide(),
                &[],
                &[1],
                &[("api", News::Same), ("web", News::Same)],
                &[1, 2],
                Some(&[]),
            ),
            (
                "one lost",
                wide(),
                &[(2, Holding::Lost)],
                &[],
                &[("web", News::Same)],
                &[1],
                Some(&[]),
            ),
            (
                "not planned",
                plan(&[]),
                &[],
                &[1, 2],
                &[("api", News::Same), ("web", News::Same)],
                &[],
                None,
            ),
        ];
        let table = ["eth0", "eth1", "eth2"].map(|name| Interface {
            index: 1,
            name: name.to_owned(),
            mac: None,
            is_running: true,
            can_arp: true,
            addresses: Vec::new(),
        });
        let web = ServiceName::new("shop", "web");
        for (step, plan, held, touched, news, addresses, interfaces) in rows {
            let held = held.iter().map(|(last, holding)| (at(*last), *holding)).collect();
            let got = announced.update(&plan, &held, touched.iter().map(|last| at(*last)));
            let got: Vec<_> = got.iter().map(|(name, news)| (&*name.name, news)).collect();
            let want: Vec<_> = news.iter().map(|(name, news)| (*name, news)).collect();
            assert_eq!(got, want, "{step}");
            let want: Vec<_> = addresses.iter().map(|last| at(*last)).collect();
            assert_eq!(announced.addresses(&web).collect::<Vec<_>>(), want, "{step}");
            let want =
                interfaces.map(|names| names.iter().map(|name| String::from(*name)).collect());
            assert_eq!(announced.interfaces(&plan, &web, &table), want, "{step}");
        }
    }
}
