//! Which object an Event is about.

use k8s_openapi::api::core::v1::{ObjectReference, Service};
use planner::names::ServiceName;

/// An object, as an Event names it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Reference {
    /// `v1` or `group/version`.
    pub api_version: &'static str,
    /// Kind, such as `Service`.
    pub kind: &'static str,
    /// Namespace; empty for what is in none.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// What tells it from another of the same name at another time.
    pub uid: String,
}

impl Reference {
    /// The Service of this name with this `metadata.uid`.
    pub fn service(name: &ServiceName, uid: &str) -> Self {
        let [namespace, name] = [&name.namespace, &name.name].map(|text| text.to_string());
        Self { api_version: "v1", kind: "Service", namespace, name, uid: uid.to_owned() }
    }

    /// The Pod of this name with this `metadata.uid`.
    pub fn pod(namespace: &str, name: &str, uid: &str) -> Self {
        let [namespace, name, uid] = [namespace, name, uid].map(str::to_owned);
        Self { api_version: "v1", kind: "Pod", namespace, name, uid }
    }
}

impl From<&Service> for Reference {
    fn from(service: &Service) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let metadata = &service.metadata;
        let name = ServiceName::new(text(&metadata.namespace), text(&metadata.name));
        Self::service(&name, metadata.uid.as_deref().unwrap_or_default())
    }
}

impl From<&Reference> for ObjectReference {
    fn from(reference: &Reference) -> Self {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Self {
            api_version: some(reference.api_version),
            kind: some(reference.kind),
            namespace: some(&reference.namespace),
            name: some(&reference.name),
            uid: some(&reference.uid),
            ..Self::default()
        }
    }
}
