//! What one node announces: the result of [`crate::announce::plan`].

mod diff;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::facts::bgp::Community;
use crate::facts::lan::Settings;
use crate::interfaces::Interfaces;
use crate::names::{AdvertisementName, PeerName, ServiceName};
use crate::owner::Order;
use crate::reason::{Protocol, Silence};

pub use diff::{Edits, PlanDiff};

/// What one node announces and what it does not, with the reason.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Plan {
    /// Addresses that some node answers for on the LAN, whether or not this one is a candidate.
    ///
    /// Every node computes the same order. A node that is no candidate keeps the entry too: it may
    /// hold the address from before.
    pub candidacies: BTreeMap<IpAddr, Candidacy>,
    /// All that each router is told; an entry for every router that this node has a session with.
    pub peers: BTreeMap<PeerName, Routes>,
    /// Addresses of Services that this node does not announce, ordered by Service, address,
    /// protocol and peer.
    pub silences: BTreeSet<Left>,
}

/// Who may answer for one address on the LAN.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Candidacy {
    /// Services at the address in the order of their names; more than one when it is shared.
    ///
    /// A shared slice instead of a set: there is one for each address, it is nearly always of one
    /// name, and a set allocates for eleven.
    pub services: Arc<[ServiceName]>,
    /// Candidates, the preferred one first: score, then sha256 of `node#address`.
    pub order: Order,
    /// On which interfaces this node answers if it holds the address.
    pub interfaces: Interfaces,
    /// How the address is held, and how the LAN is told and asked about it.
    pub settings: Arc<Settings>,
    /// The L2Advertisement that says so.
    pub settings_from: AdvertisementName,
}

/// All that one router is told.
pub type Routes = BTreeMap<IpNet, Route>;

/// What a router is told of one prefix.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Route {
    /// Where packets go; `None` is to the speaker itself, at its address on the session.
    pub next_hop: Option<IpAddr>,
    /// LOCAL_PREF (RFC 4271 section 5.1.5); `None` is the default, and always so for a router in
    /// another AS.
    pub local_pref: Option<u32>,
    /// Tags for the router.
    pub communities: BTreeSet<Community>,
    /// Services with an address in the prefix.
    pub services: BTreeSet<ServiceName>,
}

/// A Service's address that is not announced by this node.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Left {
    /// The Service.
    pub service: ServiceName,
    /// Its address; `None` when it has none.
    pub address: Option<IpAddr>,
    /// How it is not announced.
    pub protocol: Protocol,
    /// The router that it is not announced to; `None` on the LAN, and for all routers alike.
    pub peer: Option<PeerName>,
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
        for (peer, routes) in &self.peers {
            if routes.is_empty() {
                writeln!(f, "no route to {peer}")?;
            }
            for (prefix, route) in routes {
                writeln!(f, "route {prefix} to {peer}{route}")?;
            }
        }
        self.silences.iter().try_for_each(|left| writeln!(f, "{left}"))
    }
}

impl fmt::Display for Route {
    /// What follows prefix and peer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(next_hop) = self.next_hop {
            write!(f, " via {next_hop}")?;
        }
        if let Some(local_pref) = self.local_pref {
            write!(f, " local-pref {local_pref}")?;
        }
        if !self.communities.is_empty() {
            write!(f, " communities {}", joined(&self.communities))?;
        }
        write!(f, " for {}", joined(&self.services))
    }
}

impl fmt::Display for Candidacy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (services, order) = (joined(self.services.iter()), joined(self.order.iter()));
        write!(f, "{services} order {order} on {}", self.interfaces)
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, address, protocol, peer, silence } = self;
        write!(f, "silent {service}")?;
        if let Some(address) = address {
            write!(f, " {address}")?;
        }
        write!(f, " {protocol}")?;
        if let Some(peer) = peer {
            write!(f, " to {peer}")?;
        }
        write!(f, ": {silence}")
    }
}
