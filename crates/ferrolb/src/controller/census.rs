//! What a new leader has to have seen before it decides.
//!
//! Whoever led before may have given an address a moment ago, and the watch here may not show that
//! yet. So all Services are listed once with their versions, which the API server answers with its
//! latest state, and nothing is decided before the watch has come that far.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt as _};
use planner::names::ServiceName;

use super::desk::Desk;

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
        let mut params = ListParams::default().fields("spec.type=LoadBalancer").limit(PAGE);
        let mut unseen = BTreeMap::new();
        loop {
            let page = services.list_metadata(&params).await?;
            for service in &page {
                let name =
                    ServiceName::new(service.namespace().unwrap_or_default(), service.name_any());
                unseen.insert(name, service.resource_version().unwrap_or_default());
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(Self { unseen }),
            }
        }
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
