//! Carries out the requests of [`Statuses`], a few at a time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, FuturesUnordered, StreamExt as _, TryStreamExt as _};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{Api, DeleteParams, ListParams, PartialObjectMeta, Patch, PatchParams, PostParams};
use kube::{Client, Error};
use planner::names::ServiceName;
use proto::time::Instant;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time;

use super::kind::Kind;
use super::{Answer, Call, NODE_LABEL, Object, Said, Statuses, labelled, labels};
use crate::k8s::client::WRITE_TIMEOUT;
use crate::k8s::pages;
use crate::k8s::retry::{Backoff, chance};
use crate::net::clock::Clock;

/// How many requests may be under way.
const REQUESTS: usize = 16;

/// How many objects of others may be deleted at once.
const DELETIONS: usize = 8;

/// How long claims are collected before it is looked for objects that former holders left.
const SWEEP_AFTER: Duration = Duration::from_secs(1);

/// How long after a failure that is tried again.
const SWEEP_AGAIN: Duration = Duration::from_secs(5);

/// Objects of one answer to a list.
const PAGE: u32 = 500;

/// What the writer is told.
#[derive(Debug)]
pub enum Order {
    /// This node announces a Service on these interfaces (none means all) or to these peers, or does
    /// not.
    Want(ServiceName, Option<BTreeSet<String>>),
    /// Another node may have left an object about the Service, which this node announces.
    Inherit(ServiceName),
    /// An object of this node is on the server like this.
    See(Box<Object>),
    /// An object of this node is gone.
    Gone(String),
    /// The Pods with these UIDs are another load balancer's: what they wrote is left alone.
    Leave(BTreeSet<String>),
    /// All objects of this node have been seen.
    Synced,
}

/// What a request is about.
#[derive(Debug)]
enum Subject {
    Service(ServiceName),
    /// What others left about these.
    Inheritance(BTreeSet<ServiceName>),
}

type Reply = (Subject, kube::Result<Option<Answer>>);

/// The objects of one node, and their writer.
pub struct Writer<K> {
    api: Api<K>,
    node: Arc<str>,
    owner: Option<OwnerReference>,
    clock: Clock,
    statuses: Statuses,
    /// Services whose objects of other nodes are to be deleted, and since when.
    inherited: BTreeSet<ServiceName>,
    sweep_at: Option<Instant>,
    is_sweeping: bool,
    backoff: Backoff<ServiceName>,
    /// Services that failed, until their pause is over.
    failed: BTreeSet<ServiceName>,
    requests: FuturesUnordered<BoxFuture<'static, Reply>>,
}

impl<K: Kind> Writer<K> {
    /// A writer of the objects of `node` in `namespace`.
    pub fn new(client: Client, namespace: &str, node: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            statuses: Statuses::new(node),
            node: node.into(),
            owner: None,
            clock: Clock::start(),
            inherited: BTreeSet::new(),
            sweep_at: None,
            is_sweeping: false,
            backoff: Backoff::default(),
            failed: BTreeSet::new(),
            requests: FuturesUnordered::new(),
        }
    }

    /// Writes until there is nobody left to give orders; from when the Pod that owns the objects is
    /// known.
    pub async fn run(
        mut self,
        mut orders: mpsc::Receiver<Order>,
        mut owner: oneshot::Receiver<OwnerReference>,
    ) {
        loop {
            let pause = self.clock.until(self.deadline()).unwrap_or(Duration::MAX);
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.obey(order),
                    None => return,
                },
                Ok(owner) = &mut owner, if self.owner.is_none() => {
                    self.statuses.own(owner.uid.clone());
                    self.owner = Some(owner);
                }
                Some((subject, result)) = self.requests.next() => self.settle(subject, result),
                () = time::sleep(pause) => {}
            }
            // All that is there, so that what comes together is one state.
            while let Ok(order) = orders.try_recv() {
                self.obey(order);
            }
            self.request();
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let sweep = self.sweep_at.filter(|_| !self.is_sweeping);
        proto::time::earliest([self.backoff.deadline(self.clock.now()), sweep])
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Want(service, names) => self.statuses.want(service, names),
            Order::Inherit(service) => {
                self.inherited.insert(service);
                let at = self.clock.now() + SWEEP_AFTER;
                self.sweep_at.get_or_insert(at);
            }
            Order::See(object) => self.statuses.see(&object),
            Order::Gone(name) => self.statuses.gone(&name),
            Order::Leave(others) => self.statuses.leave(others),
            Order::Synced => self.statuses.synced(),
        }
    }

    fn settle(&mut self, subject: Subject, result: kube::Result<Option<Answer>>) {
        let now = self.clock.now();
        match (result, subject) {
            (Ok(answer), Subject::Service(service)) => {
                self.backoff.succeeded(&service);
                match answer {
                    Some(answer) => self.statuses.done(&service, answer),
                    None => self.statuses.retry(&service),
                }
            }
            (Ok(_), Subject::Inheritance(_)) => self.is_sweeping = false,
            (Err(error), Subject::Service(service)) => {
                let kind = K::kind(&());
                tracing::debug!(%kind, %service, %error, "writing a status; trying again");
                self.backoff.failed(&service, now, chance());
                self.failed.insert(service);
            }
            (Err(error), Subject::Inheritance(mut services)) => {
                tracing::debug!(%error, "deleting statuses of others; trying again");
                self.inherited.append(&mut services);
                self.sweep_at = Some(now + SWEEP_AGAIN);
                self.is_sweeping = false;
            }
        }
    }

    /// Sends what is due.
    fn request(&mut self) {
        let now = self.clock.now();
        let backoff = &self.backoff;
        for service in self.failed.extract_if(.., |service| !backoff.is_waiting(service, now)) {
            self.statuses.retry(&service);
        }
        while self.requests.len() < REQUESTS
            && let Some((service, call)) = self.statuses.next_call()
        {
            self.requests.push(self.send(service, call));
        }
        if !self.is_sweeping && self.sweep_at.is_some_and(|at| at <= now) {
            self.sweep_at = None;
            self.is_sweeping = true;
            self.inherited.retain(|service| self.statuses.is_wanted(service));
            let services = std::mem::take(&mut self.inherited);
            self.requests.push(sweep(self.api.clone(), Arc::clone(&self.node), services));
        }
    }

    fn send(&self, service: ServiceName, call: Call) -> BoxFuture<'static, Reply> {
        let (api, owner, node) = (self.api.clone(), self.owner.clone(), Arc::clone(&self.node));
        Box::pin(async move {
            let write = carry_out(&api, owner, &node, &service, call);
            let result = time::timeout(WRITE_TIMEOUT, write).await;
            let result = result.unwrap_or_else(|_| Err(too_late()));
            (Subject::Service(service), result)
        })
    }
}

async fn carry_out<K: Kind>(
    api: &Api<K>,
    owner: Option<OwnerReference>,
    node: &str,
    service: &ServiceName,
    call: Call,
) -> kube::Result<Option<Answer>> {
    let params = PatchParams::default();
    let (name, answer) = match call {
        Call::Create => {
            let object = K::empty(ObjectMeta {
                generate_name: Some(String::from(K::PREFIX)),
                labels: Some(labels(node, service)),
                owner_references: owner.map(|owner| vec![owner]),
                ..ObjectMeta::default()
            });
            let created = api.create(&PostParams::default(), &object).await?;
            return Ok(Some(Answer::There(Box::new(created.reduce()))));
        }
        Call::Adopt(name) => {
            let metadata = json!({
                "labels": labels(node, service),
                "ownerReferences": [owner],
            });
            let patch = Patch::Merge(json!({ "metadata": metadata }));
            let answer = api.patch(&name, &params, &patch).await;
            (name, answer)
        }
        Call::Status(name, said) => {
            let patch = Patch::Merge(json!({ "status": status::<K>(&said) }));
            let answer = api.patch_status(&name, &params, &patch).await;
            (name, answer)
        }
        Call::Delete(name) => {
            return match api.delete(&name, &DeleteParams::default()).await {
                Err(error) if !is_missing(&error) => Err(error),
                Ok(_) | Err(_) => Ok(Some(Answer::Gone(name))),
            };
        }
    };
    match answer {
        Ok(object) => Ok(Some(Answer::There(Box::new(object.reduce())))),
        Err(error) if is_missing(&error) => Ok(Some(Answer::Gone(name))),
        Err(error) => Err(error),
    }
}

/// What turns the status of an object into this.
fn status<K: Kind>(said: &Said) -> Value {
    let (field, list) = K::list(&said.names);
    json!({
        "node": said.node,
        "serviceName": said.service_name,
        "serviceNamespace": said.service_namespace,
        // In a merge patch, `null` takes the field away.
        field: if said.names.is_empty() { Value::Null } else { list },
    })
}

/// Deletes the objects of other nodes about these Services.
fn sweep<K: Kind>(
    api: Api<K>,
    node: Arc<str>,
    services: BTreeSet<ServiceName>,
) -> BoxFuture<'static, Reply> {
    Box::pin(async move {
        let result = delete_others(&api, &node, &services).await;
        (Subject::Inheritance(services), result.map(|()| None))
    })
}

async fn delete_others<K: Kind>(
    api: &Api<K>,
    node: &str,
    services: &BTreeSet<ServiceName>,
) -> kube::Result<()> {
    let params = ListParams::default().labels(&format!("{NODE_LABEL}!={node}")).limit(PAGE);
    let list = async move |page| {
        let list = time::timeout(WRITE_TIMEOUT, api.list_metadata(&page));
        list.await.unwrap_or_else(|_| Err(too_late()))
    };
    let theirs = |object: PartialObjectMeta<K>| {
        let is_theirs = services.contains(&labelled(&object.metadata));
        object.metadata.name.filter(|_| is_theirs)
    };
    let names = pages::all(params, list, theirs).await?;
    let deletions = names.into_iter().map(|name| delete(api, name));
    stream::iter(deletions).buffer_unordered(DELETIONS).try_collect().await
}

async fn delete<K: Kind>(api: &Api<K>, name: String) -> kube::Result<()> {
    let how = DeleteParams::default();
    let delete = time::timeout(WRITE_TIMEOUT, api.delete(&name, &how));
    match delete.await.unwrap_or_else(|_| Err(too_late())) {
        Err(error) if !is_missing(&error) => return Err(error),
        Ok(_) | Err(_) => tracing::debug!(name, "deleted what another node said"),
    }
    Ok(())
}

fn is_missing(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 404)
}

fn too_late() -> Error {
    Error::Service(Box::new(std::io::Error::from(std::io::ErrorKind::TimedOut)))
}
