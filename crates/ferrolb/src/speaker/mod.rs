//! The loop of one node: facts, plan, engines.
//!
//! [`Speaker::apply`] takes a plan and the table of interfaces, and hands each thread what it wants
//! of them: [`mesh`] decides which addresses this node holds, [`l2`] answers for those.

pub mod l2;
pub mod mesh;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use planner::facts::Facts;
use planner::names::NodeName;
use planner::plan::{Candidacy, Interfaces, Plan};
use proto::mesh::Station;
use proto::mesh::ownership;

use crate::net::clock::Clock;
use crate::net::inbox::Inbox;
use crate::net::interfaces::Interface;
use crate::told::Told;

/// The threads of one node.
#[derive(Debug)]
pub struct Speaker {
    node: NodeName,
    mesh: Arc<Inbox<mesh::Orders>>,
    l2: Arc<Inbox<l2::Orders>>,
    threads: Vec<JoinHandle<()>>,
    lacks: Told,
}

impl Speaker {
    /// Starts the threads of `node`. They do nothing until the first [`Speaker::apply`].
    ///
    /// # Errors
    ///
    /// When the process may not open files or start threads, or `node` is no name for a station.
    pub fn start(node: NodeName, station: Station, mesh_port: u16) -> io::Result<Self> {
        let clock = Clock::start();
        let mesh = Arc::new(Inbox::new()?);
        let l2 = Arc::new(Inbox::new()?);
        let threads = vec![
            l2::start(clock, Arc::clone(&l2))?,
            mesh::start(clock, station, mesh_port, Arc::clone(&mesh), Arc::clone(&l2))?,
        ];
        Ok(Self { node, mesh, l2, threads, lacks: Told::default() })
    }

    /// Makes the threads want what `plan` says. Costs little when nothing changed.
    pub fn apply(&mut self, facts: &Facts, plan: &Plan, interfaces: &[Interface]) {
        for lack in self.lacks.news(lacks(plan, &self.node, interfaces)) {
            tracing::error!("{lack}");
        }
        let scopes = plan
            .candidacies
            .iter()
            .map(|(address, candidacy)| (*address, candidacy.interfaces.clone()))
            .collect();
        self.l2.update(|orders| {
            orders.scopes = Some(scopes);
            orders.interfaces = Some(interfaces.to_vec());
        });
        let wanted = wanted(facts, plan, &self.node, interfaces);
        self.mesh.update(|orders| orders.wanted = Some(wanted));
    }

    /// Hands everything over to the other nodes and ends the threads. Blocks for at most a little
    /// more than a second.
    pub fn leave(self) {
        self.mesh.update(|orders| orders.leave = true);
        for thread in self.threads {
            // A thread that panicked has already said so.
            let _ = thread.join();
        }
    }
}

/// What the mesh of `node` is told.
fn wanted(facts: &Facts, plan: &Plan, node: &NodeName, interfaces: &[Interface]) -> mesh::Wanted {
    let mut nodes = BTreeMap::new();
    for (name, node) in &facts.nodes {
        let has_speaker = facts.speakers.as_ref().is_none_or(|speakers| speakers.contains(name));
        if has_speaker && let Ok(station) = Station::new(&name.0) {
            nodes.insert(station, node.internal_ips.clone());
        }
    }
    let own_addresses =
        Station::new(&node.0).ok().and_then(|me| nodes.remove(&me)).unwrap_or_default();
    let candidacies = plan
        .candidacies
        .iter()
        .map(|(address, candidacy)| (*address, candidacy_of(candidacy, interfaces)))
        .collect::<BTreeMap<IpAddr, _>>();
    mesh::Wanted { own_addresses, peers: nodes, candidacies }
}

fn candidacy_of(candidacy: &Candidacy, interfaces: &[Interface]) -> ownership::Candidacy {
    ownership::Candidacy {
        order: candidacy.order.iter().filter_map(|node| Station::new(&node.0).ok()).collect(),
        is_fit: interfaces.iter().any(|interface| is_usable(interface, &candidacy.interfaces)),
    }
}

/// Whether an address that may be answered for on `wanted` can be on `interface`.
fn is_usable(interface: &Interface, wanted: &Interfaces) -> bool {
    let is_wanted = match wanted {
        Interfaces::All => true,
        Interfaces::Named(names) => names.contains(&interface.name),
    };
    is_wanted && interface.can_arp
}

/// Addresses that this node is a candidate for and has no interface for.
fn lacks<'a>(
    plan: &'a Plan,
    node: &'a NodeName,
    interfaces: &'a [Interface],
) -> impl Iterator<Item = String> + 'a {
    plan.candidacies.iter().filter_map(move |(address, candidacy)| {
        let is_fit = interfaces.iter().any(|i| is_usable(i, &candidacy.interfaces));
        if is_fit || !candidacy.order.contains(node) {
            return None;
        }
        let services: Vec<_> = candidacy.services.iter().map(ToString::to_string).collect();
        let services = services.join(", ");
        let has: Vec<_> =
            interfaces.iter().filter(|i| i.can_arp).map(|i| i.name.as_str()).collect();
        let has = if has.is_empty() { String::from("none") } else { has.join(", ") };
        Some(match &candidacy.interfaces {
            Interfaces::All => format!(
                "{address} of {services} cannot be announced by `{node}`: it has no interface \
                 that is up and can carry ARP"
            ),
            Interfaces::Named(names) => format!(
                "{address} of {services} cannot be announced by `{node}`: the L2Advertisement \
                 names the interfaces {}, of which it has none (it has: {has}); correct \
                 `spec.interfaces`, or leave nodes without them out by `spec.nodeSelectors`",
                names.iter().cloned().collect::<Vec<_>>().join(", ")
            ),
        })
    })
}
