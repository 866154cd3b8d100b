//! What changes, as tables for people.

use std::fmt;

use super::difference::{Addresses, Difference, Effect, OnLan, Told, Unannounced};
use crate::cli::table::table;

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.addresses.iter().map(Addresses::row).collect();
        let addresses = table(["SERVICE", "ADDRESS BEFORE", "AFTER", "DETAIL"], rows);
        let rows = self.l2.iter().map(OnLan::row).collect();
        let lan = table(["ON THE LAN", "SERVICE", "NODE BEFORE", "AFTER", "DETAIL"], rows);
        let rows = self.bgp.iter().flat_map(Told::rows).collect();
        let routers = table(["NODE", "PEER", "ROUTE", "EFFECT"], rows);
        let rows = self.unannounced.iter().flat_map(Unannounced::rows).collect();
        let left = table(["UNANNOUNCED", "SERVICE", "WHERE", "REASON"], rows);
        let tables = [addresses, lan, routers, left].into_iter().filter(|table| !table.is_empty());
        match tables.collect::<Vec<_>>().join("\n") {
            none if none.is_empty() => f.write_str("nothing changes\n"),
            tables => f.write_str(&tables),
        }
    }
}

/// A list; a dash if there is nothing in it.
fn listed(items: &[String]) -> String {
    if items.is_empty() { "-".to_owned() } else { items.join(", ") }
}

fn named(item: Option<&String>) -> String {
    item.cloned().unwrap_or_else(|| "-".to_owned())
}

impl Addresses {
    fn row(&self) -> [String; 4] {
        let detail = match (&self.message, self.effect) {
            (Some(message), _) => message.clone(),
            (None, Effect::New) => "gets an address".to_owned(),
            (None, Effect::Lost) => "has no address any more".to_owned(),
            (None, Effect::Changes | Effect::Stays) => "gets another address".to_owned(),
        };
        [self.service.clone(), listed(&self.before), listed(&self.after), detail]
    }
}

impl OnLan {
    fn row(&self) -> [String; 5] {
        let (before, after) = (named(self.before.as_ref()), named(self.after.as_ref()));
        let services = listed(&self.services);
        [self.address.clone(), services, before, after, self.detail()]
    }

    fn detail(&self) -> String {
        match self.effect {
            Effect::New => "is announced now".to_owned(),
            Effect::Lost => "is not announced any more".to_owned(),
            Effect::Changes => "moves at once".to_owned(),
            Effect::Stays if self.order_before == self.order_after => "stays".to_owned(),
            Effect::Stays => {
                format!("stays; the order is now {}", self.order_after.join(", "))
            }
        }
    }
}

impl Told {
    fn rows(&self) -> Vec<[String; 4]> {
        let kinds = [
            ("withdrawn", &self.withdrawn),
            ("added", &self.added),
            ("has other attributes", &self.changed),
        ];
        let row = |prefix: &String, effect: &str| {
            [self.node.clone(), self.peer.clone(), prefix.clone(), effect.to_owned()]
        };
        kinds
            .into_iter()
            .flat_map(|(effect, prefixes)| prefixes.iter().map(move |prefix| row(prefix, effect)))
            .collect()
    }
}

impl Unannounced {
    fn rows(&self) -> Vec<[String; 4]> {
        let row = |place: String, reason: String| {
            [self.address.clone(), self.service.clone(), place, reason]
        };
        if self.reasons.is_empty() {
            return vec![row("-".to_owned(), "the Service is gone".to_owned())];
        }
        let rows = self.reasons.iter().map(|missing| {
            let place = missing.peer.iter().chain(&missing.nodes).cloned().collect::<Vec<_>>();
            row(listed(&place), missing.why.message.clone())
        });
        rows.collect()
    }
}
