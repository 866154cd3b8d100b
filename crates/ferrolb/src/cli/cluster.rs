//! What subcommands work on when no manifests are given: what is in a cluster now.
//!
//! Everything is listed once. Of Secrets only those are read that BGPPeers name, so that whoever may
//! look at a cluster without passwords can use all of this.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{Namespace, Node, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DynamicObject, ListParams};
use kube::core::ApiResource;
use kube::{Api, Client, Resource};
use planner::names::{NodeName, ServiceName};
use serde_json::Value;

use crate::api::{
    BFDProfile, BGPAdvertisement, BGPPeer, Community, ConfigurationState, IPAddressPool,
    L2Advertisement,
};
use crate::k8s::pod::Pod;
use crate::k8s::{client, definitions, pages};
use crate::rivals::{Component, Known, seen_from_outside};
use crate::source::document::{Fault, FileProblem};
use crate::source::object::{self, Object};

/// How many objects are asked for at once.
const PAGE: u32 = 500;

/// Which cluster is asked when no manifests are given.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Cluster {
    /// Kubeconfig of the cluster to look at; by default the one that `kubectl` uses.
    #[arg(long, value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig; by default its current one.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,

    /// Namespace of the settings in the cluster.
    #[arg(
        short,
        long,
        value_name = "NAME",
        default_value = "metallb-system",
        env = "METALLB_NAMESPACE"
    )]
    pub namespace: String,
}

/// What is in a cluster at one moment.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// All objects of the kinds that we read.
    pub objects: Vec<Object>,
    /// Objects that do not fit their kind.
    pub problems: Vec<FileProblem>,
    /// What whoever asks should know beside the objects, a sentence each.
    pub notes: Vec<String>,
    /// Nodes whose speakers are ready; `None` if there is no Pod of a speaker.
    pub speakers: Option<BTreeSet<NodeName>>,
    /// Services that a MetalLB beside ferrolb announces on the LAN, and from where.
    pub rivals: BTreeMap<ServiceName, NodeName>,
}

impl Cluster {
    /// Looks at all of it.
    ///
    /// # Errors
    ///
    /// The cluster cannot be reached, or does not let us see a kind.
    pub fn look(&self) -> Result<Found> {
        block_on(async {
            let client = self.client().await?;
            Found::of(&client, &self.namespace).await
        })
    }

    pub(super) async fn client(&self) -> Result<Client> {
        let context = self.context.as_deref();
        client::connect_to(self.kubeconfig.as_deref(), context).await
    }
}

/// Waits for an answer of a cluster.
pub(super) fn block_on<T>(answer: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("starting an async runtime")?.block_on(answer)
}

impl Found {
    async fn of(client: &Client, namespace: &str) -> Result<Self> {
        let mut found = Self::default();
        found.add::<Node>(client, None).await?;
        found.add::<Namespace>(client, None).await?;
        found.add::<Service>(client, None).await?;
        found.add::<EndpointSlice>(client, None).await?;
        found.add::<IPAddressPool>(client, Some(namespace)).await?;
        found.add::<L2Advertisement>(client, Some(namespace)).await?;
        found.add::<BGPAdvertisement>(client, Some(namespace)).await?;
        found.add::<BGPPeer>(client, Some(namespace)).await?;
        found.add::<BFDProfile>(client, Some(namespace)).await?;
        found.add::<Community>(client, Some(namespace)).await?;
        found.add_secrets(client, namespace).await?;
        found.notes.extend(definitions::lacking(client).await?);
        found.add_speakers(client, namespace).await?;
        found.add_unfit(client, namespace).await;
        if found.speakers.is_none() {
            found.notes.push(format!(
                "there is no Pod of a speaker in the namespace `{namespace}`: every Node counts as \
                 having one"
            ));
        }
        Ok(found)
    }

    /// Adds all objects of a kind.
    async fn add<K>(&mut self, client: &Client, namespace: Option<&str>) -> Result<()>
    where
        K: Resource<DynamicType = ()>,
    {
        let kind = ApiResource::erase::<K>(&());
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &kind),
            None => Api::all_with(client.clone(), &kind),
        };
        match list(&api, &kind.kind).await? {
            Some(objects) => objects.into_iter().for_each(|object| self.take(&kind, object)),
            None => self.notes.push(format!(
                "the kind {} is not installed in the cluster: apply deploy/crds",
                kind.kind
            )),
        }
        Ok(())
    }

    fn take(&mut self, kind: &ApiResource, object: DynamicObject) {
        let metadata = &object.metadata;
        let label =
            object::label(&kind.kind, metadata.namespace.as_deref(), metadata.name.as_deref());
        let value = serde_json::to_value(object).unwrap_or(Value::Null);
        match Object::read(&kind.api_version, &kind.kind, value, &mut Vec::new()) {
            Ok(object) => self.objects.extend(object),
            Err(misfit) => self.problems.push(FileProblem {
                file: PathBuf::from("the cluster"),
                line: None,
                column: None,
                fault: Fault::Shape { object: label, misfit },
            }),
        }
    }

    /// Adds which nodes have a speaker, and what a MetalLB beside ferrolb does.
    async fn add_speakers(&mut self, client: &Client, namespace: &str) -> Result<()> {
        let pods = Api::<Pod>::namespaced(client.clone(), namespace);
        let pods = list(&pods, "Pod").await?.unwrap_or_default();
        let beside = Beside::of(client, namespace, &pods).await?;
        self.notes.extend(beside.notes);
        self.rivals = beside.speakers.services;
        self.speakers = speakers(&pods, &beside.speakers.strangers);
        Ok(())
    }

    /// Adds what speakers say of addresses that they leave to other nodes. Whoever may not read it
    /// sees the rest.
    async fn add_unfit(&mut self, client: &Client, namespace: &str) {
        let states: Api<ConfigurationState> = Api::namespaced(client.clone(), namespace);
        if let Ok(Some(states)) = list(&states, "ConfigurationState").await {
            self.notes.extend(states.iter().flat_map(unfit));
        }
    }

    /// Adds the Secrets that hold passwords of BGPPeers.
    async fn add_secrets(&mut self, client: &Client, namespace: &str) -> Result<()> {
        let secret = |object: &Object| match object {
            Object::BGPPeer(peer) => peer.spec.password_secret.as_ref()?.name.clone(),
            Object::BFDProfile(_)
            | Object::BGPAdvertisement(_)
            | Object::Community(_)
            | Object::EndpointSlice(_)
            | Object::IPAddressPool(_)
            | Object::L2Advertisement(_)
            | Object::Namespace(_)
            | Object::Node(_)
            | Object::Secret(_)
            | Object::Service(_) => None,
        };
        let names: BTreeSet<_> = self.objects.iter().filter_map(secret).collect();
        let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
        for name in names.iter().filter(|name| !name.is_empty()) {
            let found = secrets.get_opt(name).await;
            let found = found.with_context(|| format!("reading the Secret `{name}`"))?;
            self.objects.extend(found.map(|secret| Object::Secret(Arc::new(secret.into()))));
        }
        Ok(())
    }
}

/// Why a node is not fit for addresses that it is a candidate for, in its speaker's words.
fn unfit(state: &ConfigurationState) -> Vec<String> {
    let name = state.metadata.name.as_deref().unwrap_or_default();
    let conditions = state.status.iter().flat_map(|status| &status.conditions);
    let unfit = conditions.filter(|it| it.type_.ends_with("Fit") && it.status == "False");
    unfit.map(|it| format!("`{name}` says `{}`: {}", it.reason, it.message)).collect()
}

/// All objects of a kind, page by page; `None` if the kind is not installed.
pub(super) async fn list<K>(api: &Api<K>, kind: &str) -> Result<Option<Vec<K>>>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let page = ListParams::default().limit(PAGE);
    match pages::all(page, async |page| api.list(&page).await, Some).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        found => found.with_context(|| format!("listing objects of the kind {kind}")).map(Some),
    }
}

/// A MetalLB that runs beside ferrolb.
pub(super) struct Beside {
    /// To whom our speakers give way.
    speakers: Known,
    /// Who gives way to whom, a sentence each.
    pub(super) notes: Vec<String>,
}

impl Beside {
    /// Looks at the Pods of the namespace, and at what speakers have written if need be.
    pub(super) async fn of(client: &Client, namespace: &str, pods: &[Pod]) -> Result<Self> {
        let controllers = seen_from_outside(pods, &[], Component::Controller);
        let mut speakers = seen_from_outside(pods, &[], Component::Speaker);
        if !speakers.rivals.is_empty() {
            let statuses = Api::namespaced(client.clone(), namespace);
            let statuses = list(&statuses, "ServiceL2Status").await?.unwrap_or_default();
            speakers = seen_from_outside(pods, &statuses, Component::Speaker);
        }
        let notes = [controllers.note(Component::Controller), speakers.note(Component::Speaker)];
        Ok(Self { speakers, notes: notes.into_iter().flatten().collect() })
    }
}

/// Nodes with a speaker that is ready, by the labels of MetalLB's manifests and of its chart, but
/// for those whose speaker is not ferrolb's while others' are; `None` if there is no such Pod.
fn speakers(pods: &[Pod], strangers: &BTreeSet<NodeName>) -> Option<BTreeSet<NodeName>> {
    let mut speakers = pods.iter().filter(|pod| is_speaker(pod)).peekable();
    speakers.peek()?;
    let ready = speakers.filter(|pod| is_ready(pod));
    let nodes = ready.filter_map(|pod| pod.spec.as_ref()?.node_name.clone()).map(NodeName);
    Some(nodes.filter(|node| !strangers.contains(node)).collect())
}

fn is_speaker(pod: &Pod) -> bool {
    let labels = pod.metadata.labels.as_ref();
    let has = |name| labels.and_then(|labels| labels.get(name)).is_some_and(|it| it == "speaker");
    has("component") || has("app.kubernetes.io/component")
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|it| it.type_ == "Ready" && it.status == "True")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_speaker_says_why_its_node_is_not_fit() {
        let condition = |about: &str, status: &str, message: &str| {
            json!({
                "type": about, "status": status, "reason": "Why", "message": message,
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            })
        };
        let state = json!({
            "metadata": {"name": "speaker-node-a"},
            "spec": {},
            "status": {"conditions": [
                condition("speakerReconcilerValid", "False", "another matter"),
                condition("dataPlaneFit", "True", ""),
                condition("layer2Fit", "False", "it has no interface"),
            ]},
        });
        let notes = unfit(&serde_json::from_value(state).unwrap());
        assert_eq!(notes, ["`speaker-node-a` says `Why`: it has no interface"]);
    }
}
