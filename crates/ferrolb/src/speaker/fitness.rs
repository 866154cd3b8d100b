//! Whether a node can answer for an address, and why not.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use planner::interfaces::Interfaces;
use planner::names::{NodeName, ServiceName};
use planner::plan::Candidacy;

use super::virtual_mac::Failure;
use crate::net::interfaces::Interface;

/// Why a node cannot answer for an address.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Unfit {
    /// No interface that is selected by its name has an address in the subnet of the address.
    NoInterfaceInSubnet,
    /// It has no interface of a name that is selected; not even one that is down.
    NoSuchInterface,
    /// None of the interfaces that are selected has carrier and can carry ARP.
    NoUsableInterface,
    /// The address is to have an Ethernet address of its own.
    VirtualMac(Failure),
}

impl Unfit {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::NoInterfaceInSubnet,
        Self::NoSuchInterface,
        Self::NoUsableInterface,
        Self::VirtualMac(Failure::NotPermitted),
        Self::VirtualMac(Failure::Taken),
        Self::VirtualMac(Failure::TooMany),
        Self::VirtualMac(Failure::Unsupported),
    ];

    /// The value of a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::NoInterfaceInSubnet => "no_interface_in_subnet",
            Self::NoSuchInterface => "no_such_interface",
            Self::NoUsableInterface => "no_usable_interface",
            Self::VirtualMac(Failure::NotPermitted) => "virtual_mac_not_permitted",
            Self::VirtualMac(Failure::Taken) => "virtual_mac_taken",
            Self::VirtualMac(Failure::TooMany) => "virtual_mac_too_many",
            Self::VirtualMac(Failure::Unsupported) => "virtual_mac_unsupported",
        }
    }

    /// The reason of a condition.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NoInterfaceInSubnet => "NoInterfaceInSubnet",
            Self::NoSuchInterface => "NoSuchInterface",
            Self::NoUsableInterface => "NoUsableInterface",
            Self::VirtualMac(Failure::NotPermitted) => "VirtualMACNotPermitted",
            Self::VirtualMac(Failure::Taken) => "VirtualMACTaken",
            Self::VirtualMac(Failure::TooMany) => "VirtualMACTooMany",
            Self::VirtualMac(Failure::Unsupported) => "VirtualMACUnsupported",
        }
    }
}

/// An address that a node cannot answer for, although it is a candidate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lack {
    /// The address.
    pub address: IpAddr,
    /// Services at the address.
    pub services: Arc<[ServiceName]>,
    /// Why.
    pub why: Unfit,
    /// Whether the node is the first candidate.
    pub is_first: bool,
    node: NodeName,
    wanted: Interfaces,
    has: Vec<String>,
}

impl Lack {
    /// What `node` lacks for `address`, if it is a candidate.
    pub(super) fn of(
        address: IpAddr,
        candidacy: &Candidacy,
        node: &NodeName,
        interfaces: &[Interface],
        why: Unfit,
    ) -> Option<Self> {
        if !candidacy.order.contains(node) {
            return None;
        }
        let usable = interfaces.iter().filter(|one| is_usable(one));
        Some(Self {
            address,
            services: candidacy.services.clone(),
            why,
            is_first: candidacy.order.first() == Some(node),
            node: node.clone(),
            wanted: candidacy.interfaces.clone(),
            has: usable.map(|interface| interface.name.clone()).collect(),
        })
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, services, node, wanted, has, why, .. } = self;
        let services: Vec<_> = services.iter().map(ToString::to_string).collect();
        let services = services.join(", ");
        let has = if has.is_empty() { String::from("none") } else { has.join(", ") };
        write!(f, "{address} of {services} cannot be announced by `{node}`: ")?;
        let mend = "correct `spec.interfaces`, or leave nodes without them out by \
                    `spec.nodeSelectors`";
        match why {
            Unfit::NoInterfaceInSubnet => write!(
                f,
                "the L2Advertisement requires an interface in the subnet of the address, of which \
                 it has none (usable are: {has}); leave nodes of other subnets out by \
                 `spec.nodeSelectors`, or do without `spec.requireSubnet`"
            ),
            Unfit::NoSuchInterface => write!(
                f,
                "the L2Advertisement selects the interfaces {wanted}, of which it has none (usable \
                 are: {has}); {mend}"
            ),
            Unfit::NoUsableInterface if wanted.are_all() => {
                f.write_str("it has no interface that has carrier and can carry ARP")
            }
            Unfit::NoUsableInterface => write!(
                f,
                "the L2Advertisement selects the interfaces {wanted}, of which it has none that \
                 has carrier and can carry ARP (usable are: {has}); {mend}"
            ),
            Unfit::VirtualMac(failure) => write!(f, "`spec.virtualMAC`: {failure}"),
        }
    }
}

/// What is lacking for the first of these addresses, and how many more there are.
pub(super) fn summary(lacks: &BTreeMap<IpAddr, Lack>) -> Option<(Unfit, String)> {
    let first = lacks.values().next()?;
    let others = match lacks.len() {
        1 => String::new(),
        count => format!("; there are {} more, see the log", count - 1),
    };
    Some((first.why, format!("{first}{others}")))
}

/// Whether one of `interfaces` can answer for `address` where the advertisements want it.
///
/// # Errors
///
/// Says why none can.
pub(super) fn fitness(
    address: IpAddr,
    wanted: &Interfaces,
    interfaces: &[Interface],
) -> Result<(), Unfit> {
    if selected(address, wanted, interfaces).next().is_some() {
        return Ok(());
    }
    let mut named = interfaces.iter().filter(|one| wanted.select_name(&one.name)).peekable();
    if named.peek().is_none() && !wanted.are_all() {
        Err(Unfit::NoSuchInterface)
    } else if named.any(is_usable) {
        Err(Unfit::NoInterfaceInSubnet)
    } else {
        Err(Unfit::NoUsableInterface)
    }
}

/// Those of `interfaces` on which `address` is answered for. Without carrier nobody would hear the
/// answer: another node is to have the address.
pub(super) fn selected<'a>(
    address: IpAddr,
    wanted: &Interfaces,
    interfaces: &'a [Interface],
) -> impl Iterator<Item = &'a Interface> {
    let is_selected =
        move |one: &&Interface| is_usable(one) && wanted.select(&one.name, &one.addresses, address);
    interfaces.iter().filter(is_selected)
}

/// Whether anything can be answered on it.
pub(super) fn is_usable(interface: &Interface) -> bool {
    interface.can_arp && interface.is_running && !interface.is_virtual_mac()
}
