//! Namespaces: their labels.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;

use super::Parsed;

/// The label that the API server gives to every namespace, and that manifests do not have.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

pub(super) fn read(namespaces: &[Arc<Namespace>], parsed: &mut Parsed) {
    for namespace in namespaces {
        let name = namespace.metadata.name.clone().unwrap_or_default();
        let mut labels = namespace.metadata.labels.clone().unwrap_or_default();
        labels.insert(NAME_LABEL.to_owned(), name.clone());
        parsed.facts.namespaces.insert(name, labels.into());
    }
}
