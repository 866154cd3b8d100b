//! What objects mean while they change one at a time.
//!
//! By the same rules as [`facts`](super::facts) for all objects at once. A Service is read alone, and so are its
//! slices. Settings refer to each other, so all of them are read again when one changes; they are
//! few and change seldom.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use planner::facts::{Change, Endpoint, Facts};
use planner::names::{NodeName, ServiceName};

use super::{Parsed, Problem, Warning, last_good, service};
use crate::source::kube::{Kind, Seen};
use crate::source::object::{Misfit, Object, ObjectName, Objects};

/// Objects of a cluster, and what they mean.
///
/// Nothing is said before everything is known once: "not known yet" is never "empty".
#[derive(Debug)]
pub struct Live {
    class: String,
    /// Kinds that have to be seen whole before anything can be said.
    awaited: BTreeSet<Kind>,
    settings: Settings,
    services: Services,
    slices: Slices,
    /// Nodes of speakers by their Pods; [`None`] if every node counts as having one.
    speakers: Option<BTreeMap<String, NodeName>>,
    are_speakers_new: bool,
}

/// Settings, Nodes, Namespaces and Secrets.
#[derive(Debug, Default)]
struct Settings {
    objects: BTreeMap<ObjectName, Object>,
    misfits: BTreeMap<ObjectName, Misfit>,
    is_new: bool,
    /// Whether those are followed that say what is announced; without them much looks unused.
    are_complete: bool,
    /// What they meant last.
    meant: Facts,
    problems: Vec<Problem>,
    warnings: Vec<Warning>,
}

/// Services. What they mean is with whoever took the changes.
#[derive(Debug, Default)]
struct Services {
    /// Those that changed; [`None`] is gone.
    new: BTreeMap<ServiceName, Option<Arc<core::Service>>>,
    /// Those that are facts.
    ours: BTreeSet<ServiceName>,
    /// What is wrong with them, only those with something.
    findings: BTreeMap<ServiceName, Parsed>,
}

/// EndpointSlices, also of Services that are no facts: they may become some.
#[derive(Debug, Default)]
struct Slices {
    of: BTreeMap<ServiceName, BTreeMap<String, Vec<Endpoint>>>,
    /// Services of which one changed.
    new: BTreeSet<ServiceName>,
}

impl Live {
    /// For Services of a class, where the empty one is that of Services without a class; from
    /// objects of `kinds`.
    pub fn new(class: &str, kinds: impl IntoIterator<Item = Kind>) -> Self {
        let kinds: BTreeSet<_> = kinds.into_iter().collect();
        let follows = |kind| kinds.contains(&kind);
        let settings =
            Settings { are_complete: follows(Kind::L2Advertisement), ..Settings::default() };
        Self {
            class: class.to_owned(),
            settings,
            services: Services::default(),
            slices: Slices::default(),
            speakers: follows(Kind::SpeakerPod).then(BTreeMap::new),
            are_speakers_new: follows(Kind::SpeakerPod),
            awaited: kinds.into_iter().filter(|kind| kind.is_decisive()).collect(),
        }
    }

    /// Takes in what was seen. Costs little: nothing is read yet.
    pub fn take(&mut self, seen: &Seen) {
        match seen {
            Seen::Put(object) => {
                if let Some(name) = object.name() {
                    self.settings.misfits.remove(&name);
                    self.settings.objects.insert(name, object.clone());
                    self.settings.is_new = true;
                }
            }
            Seen::Gone(name) => {
                self.settings.misfits.remove(name);
                self.settings.objects.remove(name);
                self.settings.is_new = true;
            }
            Seen::Misfit(name, misfit) => {
                self.settings.objects.remove(name);
                self.settings.misfits.insert(name.clone(), misfit.clone());
                self.settings.is_new = true;
            }
            Seen::Service(name, service) => {
                self.services.new.insert(name.clone(), service.clone());
            }
            Seen::Slice { service, slice, endpoints } => {
                self.slices.take(service, slice, endpoints.as_ref());
            }
            Seen::SpeakerPod { pod, node } => self.speaker(pod, node.as_ref()),
            Seen::Synced(kind) => _ = self.awaited.remove(kind),
            Seen::Status(_) | Seen::Unavailable(..) => (),
        }
    }

    fn speaker(&mut self, pod: &str, node: Option<&NodeName>) {
        let Some(speakers) = &mut self.speakers else { return };
        match node {
            Some(node) => speakers.insert(pod.to_owned(), node.clone()),
            None => speakers.remove(pod),
        };
        self.are_speakers_new = true;
    }

    /// Whether everything has been seen whole once.
    pub fn is_synced(&self) -> bool {
        self.awaited.is_empty()
    }

    /// Kinds that have not been seen whole yet.
    pub fn awaited(&self) -> impl Iterator<Item = Kind> {
        self.awaited.iter().copied()
    }

    /// What is different since the last call; nothing before all is known. Settings come before
    /// Services. A change may say what is known already.
    pub fn changes(&mut self) -> Vec<Change> {
        if !self.is_synced() {
            return Vec::new();
        }
        let mut changes = Vec::new();
        if mem::take(&mut self.settings.is_new) {
            changes = self.settings.read();
        }
        if mem::take(&mut self.are_speakers_new) {
            let nodes = self.speakers.as_ref().map(|pods| pods.values().cloned().collect());
            changes.push(Change::Speakers(nodes));
        }
        for (name, service) in mem::take(&mut self.services.new) {
            let was_ours = self.services.ours.contains(&name);
            changes.extend(self.services.read(&name, service.as_ref(), &self.class));
            if was_ours != self.services.ours.contains(&name) {
                self.slices.new.insert(name);
            }
        }
        for name in mem::take(&mut self.slices.new) {
            let is_ours = self.services.ours.contains(&name);
            let endpoints = if is_ours { self.slices.endpoints(&name) } else { None };
            changes.push(Change::Endpoints(name, endpoints));
        }
        changes
    }

    /// What is wrong: an object with a problem counts as it was before, or not at all.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        let services = self.services.findings.values().flat_map(|parsed| &parsed.problems);
        self.settings.problems.iter().chain(services)
    }

    /// What is wrong with settings.
    pub fn setting_problems(&self) -> &[Problem] {
        &self.settings.problems
    }

    /// What is wrong with one Service.
    pub fn service_problems(&self, name: &ServiceName) -> &[Problem] {
        self.services.findings.get(name).map_or(&[], |parsed| &parsed.problems)
    }

    /// What is surely not meant.
    pub fn warnings(&self) -> impl Iterator<Item = &Warning> {
        let services = self.services.findings.values().flat_map(|parsed| &parsed.warnings);
        self.settings.warnings.iter().chain(services)
    }
}

impl Settings {
    /// Reads all of them, and says what is different.
    fn read(&mut self) -> Vec<Change> {
        let mut objects = Objects::default();
        self.objects.values().for_each(|object| objects.add(object.clone()));
        let Parsed { mut facts, mut problems, warnings } = super::facts(&objects);
        problems.extend(self.misfits.iter().map(|(name, misfit)| Problem {
            object: name.clone(),
            field: misfit.field.clone(),
            message: misfit.message.clone(),
            help: Some("write what the kind's definition asks for".to_owned()),
        }));
        let broken: BTreeSet<_> =
            problems.iter().map(|problem| problem.object.to_string()).collect();
        last_good::keep(&mut facts, &self.meant, broken.iter().map(String::as_str));
        let changes = self.meant.changes_to(&facts);
        self.meant = facts;
        self.problems = problems;
        self.warnings = if self.are_complete { warnings } else { Vec::new() };
        changes
    }
}

impl Services {
    /// Reads one, and says what it is now. One that cannot be read stays what it was.
    fn read(
        &mut self,
        name: &ServiceName,
        object: Option<&Arc<core::Service>>,
        class: &str,
    ) -> Option<Change> {
        self.findings.remove(name);
        let mut parsed = Parsed::default();
        if let Some(object) = object.filter(|object| service::is_of_class(object, class)) {
            service::read_one(object, &mut parsed);
        }
        let fact = parsed.facts.services.remove(name).map(Box::new);
        let is_broken = !parsed.problems.is_empty();
        if is_broken || !parsed.warnings.is_empty() {
            self.findings.insert(name.clone(), parsed);
        }
        match &fact {
            None if is_broken => return None,
            None => self.ours.remove(name),
            Some(_) => self.ours.insert(name.clone()),
        };
        Some(Change::Service(name.clone(), fact))
    }
}

impl Slices {
    fn take(&mut self, service: &ServiceName, slice: &str, endpoints: Option<&Vec<Endpoint>>) {
        let slices = self.of.entry(service.clone()).or_default();
        match endpoints {
            Some(endpoints) => slices.insert(slice.to_owned(), endpoints.clone()),
            None => slices.remove(slice),
        };
        if slices.is_empty() {
            self.of.remove(service);
        }
        self.new.insert(service.clone());
    }

    /// The endpoints of all slices of a Service; [`None`] if it has no slice.
    fn endpoints(&self, service: &ServiceName) -> Option<Vec<Endpoint>> {
        Some(self.of.get(service)?.values().flatten().cloned().collect())
    }
}
