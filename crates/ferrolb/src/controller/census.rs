//! What a new leader has to have seen before it decides.
//!
//! Whoever led before may have given an address a moment ago, and the watch here may not show that
//! yet. So all Services are listed once with their versions, which the API server answers with its
//! latest state, and nothing is decided before the watch has come that far.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, ListParams, PartialObjectMeta};
use kube::{Client, ResourceExt as _};
use planner::names::ServiceName;

use super::desk::Desk;
use crate::k8s::pages;

/// How many Services are listed at once.
const PAGE: u32 = 1000;

/// The versions of Services that have not been seen yet.
#[derive(Debug)]
pub(super) struct Census {
    unseen: BTreeMap<ServiceName, String>,
}

impl Census {
    /// Lists all Services of type LoadBalancer, without their content.
    ///
    /// # Errors
    ///
    /// The API server did not answer.
    pub(super) async fn take(client: Client) -> kube::Result<Self> {
        let services: Api<Service> = Api::all(client);
        let services = &services;
        let params = ListParams::default().fields("spec.type=LoadBalancer").limit(PAGE);
        let list = async move |page| services.list_metadata(&page).await;
        let version = |service: PartialObjectMeta<Service>| {
            let name =
                ServiceName::new(service.namespace().unwrap_or_default(), service.name_any());
            Some((name, service.resource_version().unwrap_or_default()))
        };
        let versions = pages::all(params, list, version).await?;
        Ok(Self { unseen: versions.into_iter().collect() })
    }

    /// Whether the desk has seen all of them.
    pub(super) fn is_seen_by(&mut self, desk: &Desk) -> bool {
        self.unseen.retain(|name, version| !desk.knows(name, version));
        self.unseen.is_empty()
    }

    /// A Service is gone: it will not be seen any more.
    pub(super) fn forget(&mut self, name: &ServiceName) {
        self.unseen.remove(name);
    }
}
