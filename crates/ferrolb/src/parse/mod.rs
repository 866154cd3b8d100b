//! What it means: objects become facts, and every problem is named with its field.
//!
//! This is the only code that turns what users write into [`planner::facts`]; one file a kind. All
//! problems of an object are told at once, and an object with a problem takes out only itself.
//! Deliberately unlike the usual way to load such a configuration, where one mistake rejects all.

mod advertisement;
mod bfd_profile;
mod bgp_advertisement;
mod bgp_peer;
mod community;
mod endpoint_slice;
mod ip_address_pool;
mod l2_advertisement;
pub mod last_good;
pub mod live;
mod namespace;
mod node;
mod selector;
mod service;
#[cfg(test)]
mod tests;
mod unused;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

use planner::facts::Facts;

use crate::source::object::{ObjectName, Objects};

pub(crate) use endpoint_slice::{SERVICE_LABEL, endpoint};
pub(crate) use node::DRAIN_ANNOTATION;
pub(crate) use service::name as service_name;

/// Something wrong in an object, which is left out because of it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Problem {
    /// `Kind/namespace/name`, or `Kind/name` for what is in no namespace.
    pub object: ObjectName,
    /// The field, as `kubectl explain` names it: `spec.addresses[0]`. Empty for the whole object.
    pub field: String,
    /// What is wrong with it; no full stop. A second line, if there is one, is the consequence.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// Something that is surely not meant, in an object that counts nevertheless.
pub type Warning = Problem;

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.object)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message.replace('\n', ", "))?;
        match &self.help {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}

/// What objects mean.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    /// The facts, from all objects without problems. Every node is taken to run a speaker.
    pub facts: Facts,
    /// What is wrong, in the order of kinds and names.
    pub problems: Vec<Problem>,
    /// What is surely not meant.
    pub warnings: Vec<Warning>,
}

/// Makes facts of objects. The same objects in another order make the same facts.
pub fn facts(objects: &Objects) -> Parsed {
    let mut parsed = Parsed::default();
    service::read(&objects.services, &mut parsed);
    endpoint_slice::read(objects, &mut parsed);
    settings(objects, &mut parsed);
    unused::warn(objects, &mut parsed);
    parsed.problems.sort();
    parsed.warnings.sort();
    parsed
}

/// Makes facts of all but Services and their endpoints, which change one at a time.
fn settings(objects: &Objects, parsed: &mut Parsed) {
    namespace::read(&objects.namespaces, parsed);
    node::read(&objects.nodes, parsed);
    ip_address_pool::read(&objects.pools, parsed);
    l2_advertisement::read(objects, parsed);
    let profiles = bfd_profile::read(objects, parsed);
    bgp_peer::read(objects, &profiles, parsed);
    let aliases = community::read(objects, parsed);
    bgp_advertisement::read(objects, &aliases, parsed);
}

/// What objects refer to by name; for what was refused, the object that defines it.
type Referents<T> = BTreeMap<String, Result<T, ObjectName>>;

/// Older ones first, so that an edit takes nothing away from what was there before. What the API
/// server has not seen yet is youngest.
fn oldest_first<'a, T: kube::Resource>(kind: &'static str, objects: &'a [Arc<T>]) -> Vec<&'a T> {
    let mut objects: Vec<_> = objects.iter().map(Arc::as_ref).collect();
    let age = |object: &&T| -> (bool, Option<Time>, ObjectName) {
        let created = object.creation_timestamp();
        (created.is_none(), created, ObjectName::of(kind, object.meta()))
    };
    objects.sort_by_cached_key(age);
    objects
}

/// Collects what is found in one object.
struct Findings {
    object: ObjectName,
    problems: Vec<Problem>,
    warnings: Vec<Warning>,
}

impl Findings {
    fn about(object: ObjectName) -> Self {
        Self { object, problems: Vec::new(), warnings: Vec::new() }
    }

    fn problem(&mut self, field: impl Into<String>, message: impl Into<String>, help: &str) {
        let problem = self.finding(field.into(), message.into(), Some(help.to_owned()));
        self.problems.push(problem);
    }

    /// A number that is not within what the schema allows.
    fn out_of_bounds<T: fmt::Display>(
        &mut self,
        field: &str,
        value: T,
        bounds: &RangeInclusive<T>,
    ) {
        let (from, to) = (bounds.start(), bounds.end());
        let message = format!("{value} is not from {from} to {to}");
        self.problem(field, message, &format!("write a number from {from} to {to}"));
    }

    /// Objects refer to each other by bare names.
    fn same_name(&mut self, kind: &str) {
        let message = format!("a {kind} in another namespace has the same name");
        self.problem("metadata.name", message, "rename or remove one of the two");
    }

    fn warning(&mut self, field: impl Into<String>, message: impl Into<String>, help: &str) {
        let warning = self.finding(field.into(), message.into(), Some(help.to_owned()));
        self.warnings.push(warning);
    }

    fn finding(&self, field: String, message: String, help: Option<String>) -> Problem {
        Problem { object: self.object.clone(), field, message, help }
    }

    /// Hands all findings over, and `fact` back if no problem is among them.
    fn conclude<T>(self, fact: T, parsed: &mut Parsed) -> Option<T> {
        let is_good = self.problems.is_empty();
        parsed.problems.extend(self.problems);
        parsed.warnings.extend(self.warnings);
        is_good.then_some(fact)
    }

    /// Names entries of a list that are there twice.
    fn refuse_duplicates<T: PartialEq + fmt::Display>(&mut self, field: &str, list: &[T]) {
        for (index, entry) in list.iter().enumerate() {
            if list[..index].contains(entry) {
                let message = format!("`{entry}` is there twice");
                self.problem(format!("{field}[{index}]"), message, "remove one of them");
            }
        }
    }
}
