//! Facts in which every Service has the addresses that it gets.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use planner::announce;
use planner::assign::{self, Assignments, Choice};
use planner::facts::Facts;
use planner::names::{NodeName, ServiceName};
use planner::plan::Plan;

use super::node_plan::{Assigned, NodePlan, Refused};
use super::table::table;

/// What the manifests lead to.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub(super) facts: Facts,
    pub(super) assignments: Assignments,
    /// Addresses that Services had before, in the order of their statuses.
    pub(super) before: BTreeMap<ServiceName, Vec<IpAddr>>,
    /// Services that did not have their addresses before.
    pub(super) new: BTreeSet<ServiceName>,
    /// Where in a pool free addresses were looked for.
    pub(super) choice: Choice,
}

impl Outcome {
    /// Gives addresses to the Services in `facts`: as nodes without a controller do, or as the
    /// controller does.
    pub fn of(mut facts: Facts, choice: Choice) -> Self {
        let assignments = assign::assign_all(&facts, choice);
        let services = facts.services.iter();
        let before: BTreeMap<_, _> =
            services.map(|(name, service)| (name.clone(), service.addresses.clone())).collect();
        assignments.fill(&mut facts);
        let services = facts.services.iter();
        let is_new = |name, addresses: &Vec<IpAddr>| {
            !addresses.is_empty() && before.get(name) != Some(addresses)
        };
        let new = services.filter(|(name, service)| is_new(*name, &service.addresses));
        let new = new.map(|(name, _)| name.clone()).collect();
        Self { facts, assignments, before, new, choice }
    }

    /// What one node does.
    pub fn plan(&self, node: &NodeName) -> NodePlan {
        NodePlan::of(self, node, &announce::plan(&self.facts, node))
    }

    /// What every node does.
    pub(super) fn plans(&self) -> BTreeMap<&NodeName, Plan> {
        let nodes = self.facts.nodes.keys();
        nodes.map(|node| (node, announce::plan(&self.facts, node))).collect()
    }

    pub(super) fn assigned(&self) -> Vec<Assigned> {
        let given = |name| Some(Assigned::of(name, self.assignments.given.get(name)?));
        self.new.iter().filter_map(given).collect()
    }

    pub(super) fn refused(&self) -> Vec<Refused> {
        let refusals = self.assignments.refusals.iter();
        refusals.map(|(name, refusal)| Refused::of(name, refusal)).collect()
    }

    /// The addresses that were chosen, as a table for people; empty if there are none.
    pub fn table(&self) -> String {
        let rows = self
            .assigned()
            .into_iter()
            .map(|row| [row.service, row.addresses.join(", "), row.pool]);
        table(["SERVICE", "CHOSEN", "POOL"], rows.collect())
    }
}

impl fmt::Display for Outcome {
    /// Services that get no address or lose the one that they had, a line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, refusal) in &self.assignments.lost {
            writeln!(f, "note: {name} cannot keep its address: {refusal}")?;
        }
        for (name, refusal) in &self.assignments.refusals {
            writeln!(f, "note: {name} gets no address: {refusal}")?;
        }
        for (name, obstacle) in &self.assignments.short {
            writeln!(f, "note: {name} gets no further address: its pool {obstacle}")?;
        }
        Ok(())
    }
}
