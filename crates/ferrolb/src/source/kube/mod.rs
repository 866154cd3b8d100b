//! Watches of an API server.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1 as core;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use planner::names::ServiceName;
use tokio::sync::mpsc;

use super::object::{Object, ObjectName};
use crate::api::IPAddressPool;

/// A kind that is followed.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// Services.
    Service,
    /// IPAddressPools.
    Pool,
    /// Namespaces.
    Namespace,
}

/// One thing that the watches saw.
#[derive(Clone, Debug)]
pub enum Seen {
    /// It is there or is different now.
    Put(Object),
    /// It is gone.
    Gone(ObjectName),
    /// A Service of any type, or gone.
    Service(ServiceName, Option<Arc<core::Service>>),
    /// Everything of this kind has been seen.
    Synced(Kind),
    /// This kind cannot be listed or watched now.
    Unavailable(Kind, String),
}

/// What to follow.
#[derive(Clone, Debug)]
pub struct Scope {
    namespace: String,
}

impl Scope {
    /// What the controller follows.
    pub fn controller(namespace: &str) -> Self {
        Self { namespace: namespace.to_owned() }
    }
}

/// Starts one task a kind.
pub fn follow(client: Client, scope: &Scope) -> mpsc::Receiver<Seen> {
    let (send, receive) = mpsc::channel(1024);
    let config = || watcher::Config::default();
    let (services, sender) = (Api::<core::Service>::all(client.clone()), send.clone());
    tokio::spawn(async move {
        let mut events = watcher(services, config()).boxed();
        let name = |service: &core::Service| {
            let metadata = service.metadata.clone();
            ServiceName::new(
                metadata.namespace.unwrap_or_default(),
                metadata.name.unwrap_or_default(),
            )
        };
        loop {
            let seen = match events.try_next().await {
                Ok(Some(Event::Apply(mut one) | Event::InitApply(mut one))) => {
                    one.metadata.managed_fields = None;
                    Seen::Service(name(&one), Some(Arc::new(one)))
                }
                Ok(Some(Event::Delete(one))) => Seen::Service(name(&one), None),
                Ok(Some(Event::Init)) => continue,
                Ok(Some(Event::InitDone)) => Seen::Synced(Kind::Service),
                Ok(None) => return,
                Err(error) => Seen::Unavailable(Kind::Service, error.to_string()),
            };
            if sender.send(seen).await.is_err() {
                return;
            }
        }
    });
    let pools = Api::<IPAddressPool>::namespaced(client.clone(), &scope.namespace);
    let sender = send.clone();
    tokio::spawn(async move {
        let mut events = watcher(pools, config()).boxed();
        loop {
            let seen = match events.try_next().await {
                Ok(Some(Event::Apply(one) | Event::InitApply(one))) => {
                    Seen::Put(Object::IPAddressPool(Arc::new(one)))
                }
                Ok(Some(Event::Delete(one))) => {
                    Seen::Gone(ObjectName::of("IPAddressPool", &one.metadata))
                }
                Ok(Some(Event::Init)) => continue,
                Ok(Some(Event::InitDone)) => Seen::Synced(Kind::Pool),
                Ok(None) => return,
                Err(error) => Seen::Unavailable(Kind::Pool, error.to_string()),
            };
            if sender.send(seen).await.is_err() {
                return;
            }
        }
    });
    receive
}
