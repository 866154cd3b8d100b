//! Addresses that a node may announce and has no interface for.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use planner::names::{NodeName, ServiceName};
use planner::plan::{Candidacy, Interfaces};

use super::is_fit;
use crate::net::interfaces::Interface;

/// An address that a node cannot answer for, although it is a candidate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lack {
    /// The address.
    pub address: IpAddr,
    /// Services at the address.
    pub services: BTreeSet<ServiceName>,
    /// Whether the interfaces are named, and the node has none of them; not even one that is down.
    pub is_misnamed: bool,
    /// Whether the node is the first candidate.
    pub is_first: bool,
    node: NodeName,
    wanted: Interfaces,
    has: Vec<String>,
}

impl Lack {
    /// What `node` lacks for `address`, if anything.
    pub(super) fn of(
        address: IpAddr,
        candidacy: &Candidacy,
        node: &NodeName,
        interfaces: &[Interface],
    ) -> Option<Self> {
        if is_fit(interfaces, candidacy) || !candidacy.order.contains(node) {
            return None;
        }
        let is_misnamed = match &candidacy.interfaces {
            Interfaces::All => false,
            Interfaces::Named(names) => !interfaces.iter().any(|one| names.contains(&one.name)),
        };
        let usable = interfaces.iter().filter(|one| one.can_arp && one.is_running);
        Some(Self {
            address,
            services: candidacy.services.clone(),
            is_misnamed,
            is_first: candidacy.order.first() == Some(node),
            node: node.clone(),
            wanted: candidacy.interfaces.clone(),
            has: usable.map(|interface| interface.name.clone()).collect(),
        })
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, services, node, wanted, has, .. } = self;
        let services: Vec<_> = services.iter().map(ToString::to_string).collect();
        let services = services.join(", ");
        let has = if has.is_empty() { String::from("none") } else { has.join(", ") };
        write!(f, "{address} of {services} cannot be announced by `{node}`: ")?;
        match wanted {
            Interfaces::All => {
                f.write_str("it has no interface that has carrier and can carry ARP")
            }
            Interfaces::Named(names) => write!(
                f,
                "the L2Advertisement names the interfaces {}, of which it has none that has \
                 carrier and can carry ARP (it has: {has}); correct `spec.interfaces`, or leave nodes without \
                 them out by `spec.nodeSelectors`",
                names.iter().cloned().collect::<Vec<_>>().join(", ")
            ),
        }
    }
}
