//! What one node announces: the result of [`crate::announce::plan`].

use std::collections::{BTreeMap, BTreeSet};
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
