//! Services as the API server has them, so that they can be written back whole.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1 as core;
use planner::assign::Assignment;
use planner::names::ServiceName;

use crate::k8s::service_status::Shown;

/// Services of type LoadBalancer, and others that still say that they have an address of ours.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    services: BTreeMap<ServiceName, Kept>,
}

/// One Service.
#[derive(Debug)]
struct Kept {
    /// The whole object as JSON, which takes a tenth of the memory.
    json: Box<[u8]>,
    uid: Box<str>,
    version: Option<u64>,
    shown: Shown,
    is_load_balancer: bool,
}

/// Whether a state of an object is newer than the one that is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Freshness {
    /// It is.
    New,
    /// It is the same or older.
    Stale,
}

impl Shelf {
    /// Puts a Service in place of what is known of it.
    pub(super) fn put(&mut self, name: &ServiceName, service: Option<&core::Service>) -> Freshness {
        let Some(service) = service else {
            self.services.remove(name);
            return Freshness::New;
        };
        let metadata = &service.metadata;
        let new = version(metadata.resource_version.as_deref());
        let known = self.services.get(name).and_then(|kept| kept.version);
        if let (Some(known), Some(new)) = (known, new)
            && new <= known
        {
            return Freshness::Stale;
        }
        let shown = Shown::of(service);
        let is_load_balancer = is_load_balancer(service);
        let json = match is_load_balancer || shown.pool.is_some() {
            true => serde_json::to_vec(service).ok(),
            false => None,
        };
        match json {
            None => _ = self.services.remove(name),
            Some(json) => {
                let uid = metadata.uid.as_deref().unwrap_or_default().into();
                let json = json.into_boxed_slice();
                let kept = Kept { json, uid, version: new, shown, is_load_balancer };
                self.services.insert(name.clone(), kept);
            }
        }
        Freshness::New
    }

    /// Whether `service` is the one that is known by this name.
    pub(super) fn is_same(&self, name: &ServiceName, service: &core::Service) -> bool {
        let uid = service.metadata.uid.as_deref().unwrap_or_default();
        self.services.get(name).is_some_and(|kept| *kept.uid == *uid)
    }

    /// The whole Service.
    pub(super) fn whole(&self, name: &ServiceName) -> Option<core::Service> {
        serde_json::from_slice(&self.services.get(name)?.json).ok()
    }

    /// The addresses that a Service shows.
    pub(super) fn shown(&self, name: &ServiceName) -> &[IpAddr] {
        self.services.get(name).map_or(&[], |kept| &kept.shown.addresses)
    }

    /// Whether a Service shows what it should; one that is gone shows anything.
    pub(super) fn shows(&self, name: &ServiceName, wanted: Option<&Assignment>) -> bool {
        self.services.get(name).is_none_or(|kept| kept.shown.is(wanted))
    }

    /// Whether it is a Service of type LoadBalancer.
    pub(super) fn is_load_balancer(&self, name: &ServiceName) -> bool {
        self.services.get(name).is_some_and(|kept| kept.is_load_balancer)
    }

    /// Its `metadata.uid`.
    pub(super) fn uid(&self, name: &ServiceName) -> &str {
        self.services.get(name).map_or("", |kept| &kept.uid)
    }

    /// Whether a Service is known in `version` or a later one.
    pub(super) fn knows(&self, name: &ServiceName, version: &str) -> bool {
        let (known, wanted) = (self.services.get(name), self::version(Some(version)));
        known.is_some_and(|kept| kept.version.is_none() || kept.version >= wanted)
    }

    /// All names.
    pub(super) fn names(&self) -> impl Iterator<Item = &ServiceName> {
        self.services.keys()
    }
}

/// Whether a Service is of type LoadBalancer.
pub(super) fn is_load_balancer(service: &core::Service) -> bool {
    let type_ = service.spec.as_ref().and_then(|spec| spec.type_.as_deref());
    type_ == Some("LoadBalancer")
}

/// Versions of one kind can be compared, since Kubernetes 1.35 officially.
fn version(text: Option<&str>) -> Option<u64> {
    text?.parse().ok()
}
