//! `ServiceL2Status` and `ServiceBGPStatus`: how a node announces a Service, written by that node.
//!
//! Both kinds say the same but for a list of names: interfaces, or peers ([`kind`]). [`Statuses`]
//! knows what should be written and what is there, and names the next request of a Service: values
//! in, values out. The [`writer`] carries requests out. A new Service costs two.

pub mod kind;
pub mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use planner::names::ServiceName;

/// Labels by which the objects of a node, and those of a Service, are found.
pub const NODE_LABEL: &str = "metallb.io/node";
const NAME_LABEL: &str = "metallb.io/service-name";
const NAMESPACE_LABEL: &str = "metallb.io/service-namespace";

/// A request to the API server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Call {
    /// Create an object without a status, which the server would not take yet.
    Create,
    /// Give an object the right labels and owner.
    Adopt(String),
    /// Write the status of an object.
    Status(String, Said),
    /// Delete an object.
    Delete(String),
}

/// What a request came to.
#[derive(Debug)]
pub enum Answer {
    /// The object is there like this.
    There(Box<Object>),
    /// The object of this name is gone.
    Gone(String),
}

/// What an object says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Said {
    /// The node that announces.
    pub node: String,
    /// The name of the Service.
    pub service_name: String,
    /// Its namespace.
    pub service_namespace: String,
    /// Where: interfaces (none means all), or peers.
    pub names: Vec<String>,
}

/// An object as it is on the server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object {
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// What it says; nothing yet right after it was made.
    pub said: Said,
}

/// The objects of one node: as they should be, and as they are.
#[derive(Debug)]
pub struct Statuses {
    node: String,
    /// UID of the Pod that owns them, once it is known.
    owner: Option<String>,
    /// Of the object that was seen last: most have the same.
    last_owner: Option<Arc<str>>,
    is_synced: bool,
    /// Services that this node announces, and where.
    wanted: BTreeMap<ServiceName, BTreeSet<String>>,
    there: BTreeMap<String, There>,
    /// UIDs of Pods whose objects are left alone, once they are known, and these.
    others: Option<BTreeSet<String>>,
    left_alone: BTreeMap<String, There>,
    /// Most have one object.
    by_service: BTreeMap<ServiceName, Vec<String>>,
    /// Services to look at.
    open: BTreeSet<ServiceName>,
    /// Services with a request under way.
    busy: BTreeSet<ServiceName>,
}

/// An object, reduced to what is compared: there may be one for each of thousands of Services.
#[derive(Debug)]
struct There {
    service: ServiceName,
    version: u64,
    has_labels: bool,
    owners: Box<[Arc<str>]>,
    said: Kept,
}

/// What an object says, as it is kept: there may be one for each of thousands of Services.
#[derive(Debug)]
enum Kept {
    /// That this node announces the Service there.
    Usual(Box<[String]>),
    /// Something else.
    Other(Box<Said>),
}

impl Kept {
    /// Whether that is what is wanted of this node, about the Service of the object.
    fn is(&self, want: &Said) -> bool {
        match self {
            Self::Usual(names) => **names == *want.names,
            Self::Other(said) => **said == *want,
        }
    }

    /// Whether the server lets it become that.
    fn can_become(&self, want: &Said) -> bool {
        match self {
            Self::Usual(_) => true,
            Self::Other(said) => can_become(said, want),
        }
    }
}

impl Statuses {
    /// The objects of `node`. Nothing is written before [`Self::synced`], [`Self::own`] and
    /// [`Self::leave`].
    pub fn new(node: &str) -> Self {
        Self {
            node: node.to_owned(),
            owner: None,
            last_owner: None,
            is_synced: false,
            wanted: BTreeMap::new(),
            there: BTreeMap::new(),
            others: None,
            left_alone: BTreeMap::new(),
            by_service: BTreeMap::new(),
            open: BTreeSet::new(),
            busy: BTreeSet::new(),
        }
    }

    /// Says where this node announces a Service; `None` if it does not.
    pub fn want(&mut self, service: ServiceName, names: Option<BTreeSet<String>>) {
        match names {
            Some(names) => _ = self.wanted.insert(service.clone(), names),
            None => _ = self.wanted.remove(&service),
        }
        self.open.insert(service);
    }

    /// Whether this node announces a Service.
    pub fn is_wanted(&self, service: &ServiceName) -> bool {
        self.wanted.contains_key(service)
    }

    /// Says which Pod owns them, by its UID.
    pub fn own(&mut self, owner: String) {
        self.owner = Some(owner);
    }

    /// Says that all objects of this node have been seen.
    pub fn synced(&mut self) {
        self.is_synced = true;
    }

    /// Takes in an object as it is on the server. One that is older than what is known is nothing
    /// new: answers and watches overtake each other.
    pub fn see(&mut self, object: &Object) {
        let Object { metadata, said } = object;
        let Some(name) = metadata.name.clone() else { return };
        let said = said.clone();
        let service = service_of(metadata, &said);
        let version = metadata.resource_version.as_deref().unwrap_or_default();
        let version = version.parse().unwrap_or(u64::MAX);
        let known = self.there.get(&name).or_else(|| self.left_alone.get(&name));
        if known.is_some_and(|known| known.version > version) {
            return;
        }
        self.gone(&name);
        let owners = metadata.owner_references.iter().flatten();
        let owners = owners.map(|owner| self.shared_owner(&owner.uid)).collect();
        let said = self.kept(&service, said);
        let labels = labels(&self.node, &service);
        let has_labels = metadata
            .labels
            .as_ref()
            .is_some_and(|has| labels.iter().all(|(key, value)| has.get(key) == Some(value)));
        self.place(name, There { service, version, has_labels, owners, said });
    }

    /// Leaves the objects alone that these Pods own, by UID: those of another load balancer, which
    /// would only write them again.
    pub fn leave(&mut self, others: BTreeSet<String>) {
        if self.others.as_ref() == Some(&others) {
            return;
        }
        self.others = Some(others);
        self.by_service.clear();
        let known = std::mem::take(&mut self.there);
        for (name, object) in known.into_iter().chain(std::mem::take(&mut self.left_alone)) {
            self.place(name, object);
        }
    }

    fn place(&mut self, name: String, object: There) {
        let service = object.service.clone();
        self.open.insert(service.clone());
        let is_of_others =
            |owner: &Arc<str>| self.others.as_ref().is_some_and(|others| others.contains(&**owner));
        if object.owners.iter().any(is_of_others) {
            self.left_alone.insert(name, object);
        } else {
            let names = self.by_service.entry(service).or_default();
            names.reserve_exact(1);
            names.push(name.clone());
            names.sort_unstable();
            self.there.insert(name, object);
        }
    }

    /// Takes in that an object is gone.
    pub fn gone(&mut self, name: &str) {
        self.left_alone.remove(name);
        if let Some(object) = self.forget(name) {
            self.open.insert(object.service);
        }
    }

    /// The next request that is needed; there is none more for its Service until it is
    /// [`Self::done`].
    pub fn next_call(&mut self) -> Option<(ServiceName, Call)> {
        if !self.is_synced || self.owner.is_none() || self.others.is_none() {
            return None;
        }
        loop {
            let service = self.open.iter().find(|one| !self.busy.contains(one))?.clone();
            self.open.remove(&service);
            if let Some(call) = self.call(&service) {
                self.busy.insert(service.clone());
                return Some((service, call));
            }
        }
    }

    /// Takes in the answer to the request of a Service.
    pub fn done(&mut self, service: &ServiceName, answer: Answer) {
        self.busy.remove(service);
        self.open.insert(service.clone());
        match answer {
            Answer::There(object) => self.see(&object),
            Answer::Gone(name) => self.gone(&name),
        }
    }

    /// Looks at a Service again after its request failed.
    pub fn retry(&mut self, service: &ServiceName) {
        self.busy.remove(service);
        self.open.insert(service.clone());
    }

    fn call(&self, service: &ServiceName) -> Option<Call> {
        let names = self.by_service.get(service);
        let there = names.into_iter().flatten().filter_map(|name| self.there.get_key_value(name));
        let Some(wanted) = self.wanted.get(service) else {
            return there.map(|(name, _)| Call::Delete(name.clone())).next();
        };
        let want = self.say(service, wanted);
        let mut kept = None;
        for (name, object) in there {
            if kept.is_some() || !object.said.can_become(&want) {
                return Some(Call::Delete(name.clone()));
            }
            kept = Some((name, object));
        }
        match kept {
            None => Some(Call::Create),
            Some((name, object)) if !object.said.is(&want) => {
                Some(Call::Status(name.clone(), want))
            }
            Some((name, object)) => {
                let is_mine = |uid: &Arc<str>| self.owner.as_deref() == Some(&**uid);
                let is_owned = object.owners.iter().any(is_mine);
                (!is_owned || !object.has_labels).then(|| Call::Adopt(name.clone()))
            }
        }
    }

    fn say(&self, service: &ServiceName, names: &BTreeSet<String>) -> Said {
        Said {
            node: self.node.clone(),
            service_name: service.name.to_string(),
            service_namespace: service.namespace.to_string(),
            names: names.iter().cloned().collect(),
        }
    }

    fn shared_owner(&mut self, uid: &str) -> Arc<str> {
        match &self.last_owner {
            Some(last) if **last == *uid => Arc::clone(last),
            Some(_) | None => Arc::clone(self.last_owner.insert(uid.into())),
        }
    }

    fn kept(&self, service: &ServiceName, said: Said) -> Kept {
        let names = (&*said.node, &*said.service_name, &*said.service_namespace);
        match names == (&*self.node, &*service.name, &*service.namespace) {
            true => Kept::Usual(said.names.into()),
            false => Kept::Other(Box::new(said)),
        }
    }

    fn forget(&mut self, name: &str) -> Option<There> {
        let object = self.there.remove(name)?;
        if let Some(names) = self.by_service.get_mut(&object.service) {
            names.retain(|known| known != name);
            if names.is_empty() {
                self.by_service.remove(&object.service);
            }
        }
        Some(object)
    }
}

/// The labels of the object of a node about a Service.
pub fn labels(node: &str, service: &ServiceName) -> BTreeMap<String, String> {
    let labels =
        [(NODE_LABEL, node), (NAME_LABEL, &service.name), (NAMESPACE_LABEL, &service.namespace)];
    labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// The Service that an object is about by its labels.
pub fn labelled(metadata: &ObjectMeta) -> ServiceName {
    ServiceName::new(label(metadata, NAMESPACE_LABEL), label(metadata, NAME_LABEL))
}

/// The node that an object is about by its labels; empty without one.
pub fn node_of(metadata: &ObjectMeta) -> String {
    label(metadata, NODE_LABEL)
}

fn label(metadata: &ObjectMeta, key: &str) -> String {
    let labels = metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(key)).cloned().unwrap_or_default()
}

/// The Service that an object is about. Its status cannot be edited to be about another one.
fn service_of(metadata: &ObjectMeta, said: &Said) -> ServiceName {
    match said.service_name.as_str() {
        "" => labelled(metadata),
        name => ServiceName::new(&*said.service_namespace, name),
    }
}

/// Whether the server lets a status become another: these fields can be set once.
fn can_become(has: &Said, want: &Said) -> bool {
    let fields = [
        (&has.node, &want.node),
        (&has.service_name, &want.service_name),
        (&has.service_namespace, &want.service_namespace),
    ];
    fields.into_iter().all(|(has, want)| has.is_empty() || has == want)
}

#[cfg(test)]
mod tests;
