//! What is announced on the LAN, and what makes an address move there.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use proto::l2::{DuplicateProbe, Schedule};
use proto::mesh::ownership::Policy;

use crate::interfaces::InterfaceSelector;
use crate::names::PoolName;
use crate::selector::Selector;

/// An L2Advertisement. An empty list selects everything.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct L2Advertisement {
    /// Pools by name.
    pub pools: BTreeSet<PoolName>,
    /// Pools by label; any of them may match.
    pub pool_selectors: Vec<Selector>,
    /// Nodes by label; any of them may match.
    pub node_selectors: Vec<Selector>,
    /// Services by label; any of them may match.
    pub service_selectors: Vec<Selector>,
    /// Nodes to prefer, each with its weight from 1 to 100.
    pub preferred_nodes: Vec<(i32, Selector)>,
    /// Interfaces by name and by subnet.
    pub interfaces: InterfaceSelector,
    /// How its addresses are held, and what makes them move.
    pub settings: Arc<Settings>,
}

/// What cannot be added up when several L2Advertisements are for an address, so that it is taken
/// from the one whose name comes first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// What makes an address move away from a node that could still serve it.
    pub moves_away: BTreeSet<Departure>,
    /// A node with the exclude label is a candidate all the same.
    pub ignores_exclude_label: bool,
    /// How the LAN is told and asked about an address.
    pub announcing: Announcing,
    /// How an address is held.
    pub policy: Policy,
}

/// How the LAN is told and asked about an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Announcing {
    /// When a node that takes it announces it.
    pub schedule: Schedule,
    /// Whether the LAN is asked about one that no node had before.
    pub probe: DuplicateProbe,
    /// It has an Ethernet address of its own, which moves with it.
    pub has_virtual_mac: bool,
}

impl Default for Announcing {
    fn default() -> Self {
        Self {
            schedule: Schedule::default(),
            probe: DuplicateProbe::Optimistic,
            has_virtual_mac: false,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        let moves_away = [Departure::Draining, Departure::OutOfService, Departure::ShuttingDown];
        Self {
            moves_away: moves_away.into(),
            ignores_exclude_label: false,
            announcing: Announcing::default(),
            policy: Policy::default(),
        }
    }
}

/// Why a node is expected to stop serving, although it still does.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Departure {
    /// It is marked unschedulable (`kubectl cordon`).
    Cordoned,
    /// Somebody, or an autoscaler, is emptying it.
    Draining,
    /// Its condition `Ready` is not true.
    NotReady,
    /// It has the taint `node.kubernetes.io/out-of-service`.
    OutOfService,
    /// The machine is shutting down.
    ShuttingDown,
}

impl Departure {
    /// Every departure.
    pub const ALL: [Self; 5] =
        [Self::Cordoned, Self::Draining, Self::NotReady, Self::OutOfService, Self::ShuttingDown];
}

impl fmt::Display for Departure {
    /// What follows "the node".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cordoned => "is cordoned",
            Self::Draining => "is being drained",
            Self::NotReady => "is not ready",
            Self::OutOfService => "is out of service",
            Self::ShuttingDown => "is shutting down",
        })
    }
}
