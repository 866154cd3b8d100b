//! The Kubernetes API as a source: what changes there, one object at a time.
//!
//! [`follow`] has one task for each kind, so that a kind whose definition is not installed holds up
//! no other. Objects are reduced to what is read of them as soon as they arrive, and one that does
//! not fit its kind is told as [`Seen::Misfit`] and stops nothing. What is not seen for a while,
//! because the API server is away, is not gone: [`Seen::Gone`] is only said of what the server
//! said is gone, or left out of a whole list.

mod backoff;
mod changes;
mod follower;
mod kind;
mod obstacles;
mod raw;
mod reduce;

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Service};
use kube::api::{Api, PartialObjectMeta};
use kube::runtime::watcher;
use planner::facts::Endpoint;
use planner::names::{NodeName, ServiceName};
use tokio::sync::mpsc;

use super::object::{Misfit, Object, ObjectName};
use super::secret::BASIC_AUTH;
use crate::api::{ConfigurationState, ServiceBGPStatus, ServiceL2Status};
use crate::parse::SERVICE_LABEL;

pub use changes::{changes, edits};
pub use kind::Kind;

/// The label of our status objects that names the node which wrote them.
pub const NODE_LABEL: &str = "metallb.io/node";

/// How many things may wait for whoever receives them; watches pause meanwhile. Each may be a whole
/// Service, which takes some kilobytes.
const WAITING: usize = 256;

/// Objects of one answer to a list: large enough for few requests, small enough for little memory.
const PAGE: u32 = 100;

/// One thing that the watches saw.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// A setting, Node, Namespace or Secret is there or is different now, reduced to what is read.
    Put(Object),
    /// It is gone.
    Gone(ObjectName),
    /// An object is there that cannot be read: what it meant before is not known to be wrong.
    Misfit(ObjectName, Misfit),
    /// A Service of any type, whole but without `managedFields`; [`None`] if it is gone.
    Service(ServiceName, Option<Arc<Service>>),
    /// An EndpointSlice.
    Slice {
        /// The Service that it belongs to.
        service: ServiceName,
        /// Its name, in the namespace of the Service.
        slice: String,
        /// Its endpoints; [`None`] if it is gone.
        endpoints: Option<Vec<Endpoint>>,
    },
    /// A Pod that is a speaker.
    SpeakerPod {
        /// Its name.
        pod: String,
        /// Where it runs; [`None`] if it is gone or has no node yet.
        node: Option<NodeName>,
    },
    /// One of our own status objects.
    Status(Box<StatusObject>),
    /// Everything of this kind that exists has been seen. Said again after a watch was lost and the
    /// kind listed anew; what was not seen again has been said to be gone by then.
    Synced(Kind),
    /// This kind cannot be listed or watched now, and why. Nothing is gone because of it. Said once,
    /// until something of the kind is seen again; and of one of several kinds, where the cause is
    /// the same for all. What may pass by itself is said when it has not, after some seconds.
    Unavailable(Kind, String),
}

/// A status object as it is on the server.
#[derive(Clone, Debug, PartialEq)]
pub enum StatusObject {
    /// Who answers for a Service on the LAN.
    L2(ServiceL2Status),
    /// Which peers hear of a Service.
    Bgp(ServiceBGPStatus),
    /// Whether a component could use what was configured.
    Configuration(ConfigurationState),
    /// It is gone.
    Gone(ObjectName),
}

/// What to follow.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Scope {
    /// Where the settings and statuses are.
    namespace: String,
    kinds: BTreeSet<Kind>,
    /// Labels of the Pods that are speakers.
    speaker_labels: Option<String>,
    /// The node whose statuses are followed.
    node: Option<String>,
    /// The name of the ConfigurationState that is ours.
    configuration_state: String,
}

impl Scope {
    /// What addresses are given from: pools and Services.
    pub fn controller(namespace: &str) -> Self {
        let kinds = [
            Kind::Community,
            Kind::ConfigurationState,
            Kind::IPAddressPool,
            Kind::Namespace,
            Kind::Service,
        ];
        Self {
            namespace: namespace.to_owned(),
            kinds: kinds.into(),
            speaker_labels: None,
            node: None,
            configuration_state: "controller".to_owned(),
        }
    }

    /// What is announced by `node`. Pods are followed only with the labels of speakers; an empty
    /// selector is none.
    pub fn speaker(namespace: &str, node: &str, speaker_labels: Option<&str>) -> Self {
        let speaker_labels = speaker_labels.filter(|labels| !labels.is_empty());
        let needless = speaker_labels.is_none().then_some(Kind::SpeakerPod);
        Self {
            namespace: namespace.to_owned(),
            kinds: Kind::ALL.into_iter().filter(|kind| Some(*kind) != needless).collect(),
            speaker_labels: speaker_labels.map(str::to_owned),
            node: Some(node.to_owned()),
            configuration_state: format!("speaker-{node}"),
        }
    }

    /// Which kinds are followed.
    pub fn kinds(&self) -> &BTreeSet<Kind> {
        &self.kinds
    }

    /// Which objects of a kind are asked for.
    fn config(&self, kind: Kind) -> watcher::Config {
        let config = watcher::Config::default().page_size(PAGE);
        match kind {
            Kind::ConfigurationState => {
                config.fields(&format!("metadata.name={}", self.configuration_state))
            }
            Kind::EndpointSlice => config.labels(SERVICE_LABEL),
            Kind::Secret => config.fields(&format!("type={BASIC_AUTH}")),
            Kind::ServiceBGPStatus | Kind::ServiceL2Status => match &self.node {
                Some(node) => config.labels(&format!("{NODE_LABEL}={node}")),
                None => config,
            },
            Kind::SpeakerPod => match &self.speaker_labels {
                Some(labels) => config.labels(labels),
                None => config,
            },
            Kind::BFDProfile
            | Kind::BGPAdvertisement
            | Kind::BGPPeer
            | Kind::Community
            | Kind::IPAddressPool
            | Kind::L2Advertisement
            | Kind::Namespace
            | Kind::Node
            | Kind::Service => config,
        }
    }
}

/// Follows everything of `scope`, with one task for each kind. The tasks end when the receiver is
/// dropped.
pub fn follow(client: kube::Client, scope: &Scope) -> mpsc::Receiver<Seen> {
    let (sender, receiver) = mpsc::channel(WAITING);
    let obstacles = obstacles::Obstacles::default();
    for &kind in &scope.kinds {
        let config = scope.config(kind);
        let teller = follower::Teller::new(kind, sender.clone(), obstacles.clone());
        if kind == Kind::Namespace {
            // Of a namespace only its labels count, so nothing else is asked for.
            let api: Api<PartialObjectMeta<Namespace>> = Api::all(client.clone());
            tokio::spawn(follower::run(api, config, reduce::namespace, teller));
            continue;
        }
        let api: Api<raw::Raw> = match kind.is_ours() {
            true => Api::namespaced_with(client.clone(), &scope.namespace, &kind),
            false => Api::all_with(client.clone(), &kind),
        };
        let read = move |object: raw::Raw| reduce::object(kind, object);
        tokio::spawn(follower::run(api, config, read, teller));
    }
    receiver
}
