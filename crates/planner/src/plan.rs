//! What one node announces: the result of [`crate::announce::plan`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use crate::names::{NodeName, ServiceName};
use crate::reason::Silence;

/// What one node announces and what it does not, with the reason.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Plan {
    /// Addresses that some node answers for on the LAN, whether or not this one is a candidate.
    ///
    /// Every node computes the same order. A node that is no candidate keeps the entry too: it may
    /// hold the address from before.
    pub candidacies: BTreeMap<IpAddr, Candidacy>,
    /// Addresses of Services that this node does not announce.
    pub silences: Vec<Left>,
}

/// Who may answer for one address on the LAN.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Candidacy {
    /// Services at the address; more than one when it is shared.
    pub services: BTreeSet<ServiceName>,
    /// Candidates, the preferred one first: score, then sha256 of `node#address`.
    pub order: Vec<NodeName>,
    /// On which interfaces this node answers if it holds the address.
    pub interfaces: Interfaces,
}

/// Interfaces of one node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Interfaces {
    /// Every one that can carry ARP.
    All,
    /// Those with these names.
    Named(BTreeSet<String>),
}

/// A Service's address that is not announced by this node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Left {
    /// The Service.
    pub service: ServiceName,
    /// Its address; `None` when it has none.
    pub address: Option<IpAddr>,
    /// Why.
    pub silence: Silence,
}

/// Items joined by commas.
fn joined<T: fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(",")
}

impl fmt::Display for Plan {
    /// One line an entry, for scenario files and for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (address, candidacy) in &self.candidacies {
            writeln!(f, "candidate {address} {candidacy}")?;
        }
        self.silences.iter().try_for_each(|left| writeln!(f, "{left}"))
    }
}

impl fmt::Display for Candidacy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (services, order) = (joined(&self.services), joined(&self.order));
        write!(f, "{services} order {order} on {}", self.interfaces)
    }
}

impl fmt::Display for Interfaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all interfaces"),
            Self::Named(names) => f.write_str(&joined(names)),
        }
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, address, silence } = self;
        match address {
            Some(address) => write!(f, "silent {service} {address} lan: {silence}"),
            None => write!(f, "silent {service} lan: {silence}"),
        }
    }
}
