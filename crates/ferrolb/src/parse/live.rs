//! What objects mean while they change one at a time.
//!
//! The rules are those of [`super::facts`]. Settings refer to each other, so they are read together
//! again when one of them changed; a Service is read on its own, and so are its endpoints.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use planner::facts::{Change, Endpoint, Facts, Service};
use planner::names::{NodeName, ServiceName};

use super::{Parsed, Problem, Warning, last_good, service, settings, unused};
use crate::source::kube::{Kind, Scope, Seen};
use crate::source::object::{Misfit, Object, ObjectName, Objects};

/// What objects mean while they change one at a time.
#[derive(Debug)]
pub struct Live {
    /// `spec.loadBalancerClass` of the Services that are served; empty for those without one.
    class: String,
    /// What has to be seen as a whole before anything counts, and was not.
    unseen: BTreeSet<Kind>,
    /// Whether it counts that nothing refers to a pool or a peer.
    has_advertisements: bool,
    settings: Settings,
    services: Services,
    slices: Slices,
    speakers: Option<Speakers>,
    /// Objects that do not fit their kind.
    misfits: BTreeMap<ObjectName, Problem>,
}

/// All objects but Services and their endpoints.
#[derive(Debug, Default)]
struct Settings {
    objects: BTreeMap<ObjectName, Object>,
    is_changed: bool,
    /// What they meant when they were read last, and what broken ones meant before.
    meaning: Parsed,
}

/// The Services that are served, without what they mean: whoever asked for changes knows that.
#[derive(Debug, Default)]
struct Services {
    ours: BTreeSet<ServiceName>,
    findings: BTreeMap<ServiceName, (Vec<Problem>, Vec<Warning>)>,
    changed: BTreeMap<ServiceName, Option<Box<Service>>>,
}

/// Endpoints of all Services, as one that is not served may be later.
#[derive(Debug, Default)]
struct Slices {
    /// Most Services have one slice, and a map would allocate for eleven.
    by_service: BTreeMap<ServiceName, Vec<Slice>>,
    /// Services whose endpoints changed.
    changed: BTreeSet<ServiceName>,
}

/// An EndpointSlice.
#[derive(Debug)]
struct Slice {
    name: Box<str>,
    endpoints: Box<[Endpoint]>,
}

/// The Pods that are speakers.
#[derive(Debug, Default)]
struct Speakers {
    pods: BTreeMap<String, NodeName>,
    is_changed: bool,
}

impl Live {
    /// Nothing is known yet of what `scope` has. `class` is `spec.loadBalancerClass` of the
    /// Services to serve; empty for those without one.
    pub fn new(class: &str, scope: &Scope) -> Self {
        let kinds = scope.kinds();
        let has_speakers = kinds.contains(&Kind::SpeakerPod);
        let advertisements = [Kind::BGPAdvertisement, Kind::L2Advertisement];
        Self {
            class: class.to_owned(),
            unseen: kinds.iter().copied().filter(|kind| kind.is_for_facts()).collect(),
            has_advertisements: advertisements.iter().all(|kind| kinds.contains(kind)),
            settings: Settings { is_changed: true, ..Settings::default() },
            services: Services::default(),
            slices: Slices::default(),
            speakers: has_speakers.then(|| Speakers { is_changed: true, ..Speakers::default() }),
            misfits: BTreeMap::new(),
        }
    }

    /// Learns one thing. Cheap: a Service is read, settings are put aside.
    pub fn take(&mut self, seen: &Seen) {
        match seen {
            Seen::Put(object) => self.put(object),
            Seen::Gone(name) => {
                self.misfits.remove(name);
                self.settings.is_changed |= self.settings.objects.remove(name).is_some();
            }
            Seen::Misfit(name, misfit) => self.mismatch(name, misfit),
            Seen::Service(name, service) => self.service(name, service.as_deref()),
            Seen::Slice { service, slice, endpoints } => {
                self.slice(service, slice, endpoints.as_deref());
            }
            Seen::SpeakerPod { pod, node } => {
                if let Some(speakers) = &mut self.speakers {
                    speakers.put(pod, node.as_ref());
                }
            }
            Seen::Synced(kind) => {
                self.unseen.remove(kind);
            }
            Seen::Status(_) | Seen::Unavailable(..) => (),
        }
    }

    /// Whether every kind that facts are made of has been seen as a whole.
    pub fn is_synced(&self) -> bool {
        self.unseen.is_empty()
    }

    /// The kinds that have not been seen as a whole.
    pub fn unseen(&self) -> impl Iterator<Item = Kind> {
        self.unseen.iter().copied()
    }

    /// What is different since the last call: first settings, then Services, then endpoints. Nothing
    /// before all is synced. A Service that was seen is among them even if it means the same.
    pub fn changes(&mut self) -> Vec<Change> {
        if !self.is_synced() {
            return Vec::new();
        }
        let mut changes = self.changed_settings();
        if let Some(speakers) = self.speakers.as_mut().filter(|speakers| speakers.is_changed) {
            speakers.is_changed = false;
            let nodes = speakers.pods.values().cloned().collect();
            changes.push(Change::Speakers(Some(nodes)));
        }
        let services = mem::take(&mut self.services.changed);
        changes.extend(services.into_iter().map(|(name, new)| Change::Service(name, new)));
        for name in mem::take(&mut self.slices.changed) {
            let is_ours = self.services.ours.contains(&name);
            let endpoints = if is_ours { self.slices.of(&name) } else { None };
            changes.push(Change::Endpoints(name, endpoints));
        }
        changes
    }

    /// What is wrong: with settings, with Services, then with what cannot be read at all.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        let services = self.services.findings.values().flat_map(|(problems, _)| problems);
        self.settings.meaning.problems.iter().chain(services).chain(self.misfits.values())
    }

    /// What is surely not meant: in settings, then in Services.
    pub fn warnings(&self) -> impl Iterator<Item = &Warning> {
        let services = self.services.findings.values().flat_map(|(_, warnings)| warnings);
        self.settings.meaning.warnings.iter().chain(services)
    }

    /// What is wrong with settings only, which is what a ConfigurationState reports.
    pub fn problems_of_settings(&self) -> impl Iterator<Item = &Problem> {
        let is_setting = |name: &&ObjectName| !matches!(name.kind, "EndpointSlice" | "Service");
        let misfits = self.misfits.keys().filter(is_setting).map(|name| &self.misfits[name]);
        self.settings.meaning.problems.iter().chain(misfits)
    }

    /// What is wrong with one Service, and what is surely not meant in it.
    pub fn findings_of(&self, service: &ServiceName) -> (&[Problem], &[Warning]) {
        let findings = self.services.findings.get(service);
        findings.map_or((&[], &[]), |(problems, warnings)| (problems, warnings))
    }

    /// The settings, Nodes, Namespaces and Secrets as they are now.
    pub fn objects(&self) -> Objects {
        let mut objects = Objects::default();
        self.settings.objects.values().cloned().for_each(|object| objects.add(object));
        objects
    }

    /// What the settings meant at the last call of [`Self::changes`]; Services are not among it.
    pub fn settings(&self) -> &Facts {
        &self.settings.meaning.facts
    }

    fn put(&mut self, object: &Object) {
        let Some(name) = object.name() else { return };
        let is_mended = self.misfits.remove(&name).is_some();
        let object = without_status(object);
        let is_same = self.settings.objects.get(&name) == Some(&object);
        self.settings.is_changed |= is_mended || !is_same;
        if !is_same {
            self.settings.objects.insert(name, object);
        }
    }

    fn mismatch(&mut self, name: &ObjectName, misfit: &Misfit) {
        let Misfit { field, message } = misfit.clone();
        let help = Some("correct the object; what it was before stays in force".to_owned());
        let problem = Problem { object: name.clone(), field, message, help };
        self.misfits.insert(name.clone(), problem);
        self.settings.is_changed |= self.settings.objects.remove(name).is_some();
    }

    fn service(&mut self, name: &ServiceName, object: Option<&core::Service>) {
        self.fits("Service", &name.namespace, &name.name);
        let ours = object.filter(|object| service::asks(object) == Some(self.class.as_str()));
        let was_ours = self.services.ours.contains(name);
        self.services.put(name, ours);
        if was_ours != self.services.ours.contains(name) && self.slices.of(name).is_some() {
            self.slices.changed.insert(name.clone());
        }
    }

    fn slice(&mut self, service: &ServiceName, slice: &str, endpoints: Option<&[Endpoint]>) {
        self.fits("EndpointSlice", &service.namespace, slice);
        let is_changed = self.slices.put(service, slice, endpoints);
        if is_changed && self.services.ours.contains(service) {
            self.slices.changed.insert(service.clone());
        }
    }

    fn fits(&mut self, kind: &'static str, namespace: &str, name: &str) {
        if !self.misfits.is_empty() {
            let (namespace, name) = (Some(namespace.to_owned()), name.to_owned());
            self.misfits.remove(&ObjectName { kind, namespace, name });
        }
    }

    fn changed_settings(&mut self) -> Vec<Change> {
        if !mem::take(&mut self.settings.is_changed) {
            return Vec::new();
        }
        let objects = self.objects();
        let mut parsed = Parsed::default();
        settings(&objects, &mut parsed);
        if self.has_advertisements {
            unused::warn(&objects, &mut parsed);
        }
        parsed.problems.sort();
        parsed.warnings.sort();
        let broken = parsed.problems.iter().map(|problem| &problem.object);
        let broken: BTreeSet<_> =
            broken.chain(self.misfits.keys()).map(ObjectName::to_string).collect();
        let before = &self.settings.meaning.facts;
        last_good::keep(&mut parsed.facts, before, broken.iter().map(String::as_str));
        let changes = before.changes_to(&parsed.facts);
        self.settings.meaning = parsed;
        changes
    }
}

/// The controller writes how much of a pool is used, which changes nothing that a pool means.
fn without_status(object: &Object) -> Object {
    let Object::IPAddressPool(pool) = object else { return object.clone() };
    let mut pool = Arc::clone(pool);
    if pool.status.is_some() {
        Arc::make_mut(&mut pool).status = None;
    }
    Object::IPAddressPool(pool)
}

impl Services {
    /// Reads a Service that is served; [`None`] for one that is not, or not any more.
    fn put(&mut self, name: &ServiceName, object: Option<&core::Service>) {
        self.findings.remove(name);
        let Some(object) = object else {
            if self.ours.remove(name) {
                self.changed.insert(name.clone(), None);
            }
            return;
        };
        let mut parsed = Parsed::default();
        service::read_one(object, &mut parsed);
        if !(parsed.problems.is_empty() && parsed.warnings.is_empty()) {
            self.findings.insert(name.clone(), (parsed.problems, parsed.warnings));
        }
        // One that is broken keeps meaning what it meant.
        if let Some(fact) = parsed.facts.services.remove(name) {
            self.ours.insert(name.clone());
            self.changed.insert(name.clone(), Some(Box::new(fact)));
        }
    }
}

impl Slices {
    /// Whether anything is different now.
    fn put(&mut self, service: &ServiceName, slice: &str, new: Option<&[Endpoint]>) -> bool {
        let Some(new) = new else {
            let Some(slices) = self.by_service.get_mut(service) else { return false };
            let before = slices.len();
            slices.retain(|known| *known.name != *slice);
            let is_gone = slices.len() < before;
            if slices.is_empty() {
                self.by_service.remove(service);
            }
            return is_gone;
        };
        if !self.by_service.contains_key(service) {
            self.by_service.insert(service.clone(), Vec::with_capacity(1));
        }
        let Some(slices) = self.by_service.get_mut(service) else { return false };
        match slices.iter_mut().find(|known| *known.name == *slice) {
            Some(known) if *known.endpoints == *new => false,
            Some(known) => {
                known.endpoints = new.into();
                true
            }
            None => {
                slices.push(Slice { name: slice.into(), endpoints: new.into() });
                true
            }
        }
    }

    /// All endpoints of a Service, in the order of [`super::facts`]; [`None`] without a slice.
    fn of(&self, service: &ServiceName) -> Option<Vec<Endpoint>> {
        let slices = self.by_service.get(service)?;
        let endpoints = slices.iter().flat_map(|slice| &slice.endpoints);
        let mut endpoints: Vec<_> = endpoints.cloned().collect();
        endpoints.sort();
        Some(endpoints)
    }
}

impl Speakers {
    fn put(&mut self, pod: &str, node: Option<&NodeName>) {
        if self.pods.get(pod) == node {
            return;
        }
        self.is_changed = true;
        match node {
            Some(node) => self.pods.insert(pod.to_owned(), node.clone()),
            None => self.pods.remove(pod),
        };
    }
}
