//! The objects of a cluster as they change: one watch a kind.
//!
//! | file | what |
//! | --- | --- |
//! | `scope` | which kinds are followed, and where |
//! | `reduced` | objects that carry more than is read of them, reduced as they are decoded |
//! | `reader` | what is told about one object |
//! | `watch` | list, watch, list again: what is there, what is gone |
//!
//! What cannot be read is unknown, never gone: a watch that is lost says so once, and goes on when
//! it can. After a list anew only that is gone which was not in it.

mod reader;
mod reduced;
mod scope;
mod watch;

use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use kube::Client;
use planner::facts::Endpoint;
use planner::names::{NodeName, ServiceName};
use tokio::sync::mpsc;

use super::object::{Misfit, Object, ObjectName};
use crate::api::{ConfigurationState, ServiceBGPStatus, ServiceL2Status};

pub use scope::{Kind, Scope};

/// How much may wait to be taken in. A reader that is slow slows the watches down, no more.
const QUEUE: usize = 1024;

/// One thing that the watches saw.
#[derive(Clone, Debug)]
pub enum Seen {
    /// A setting, a Node, a Namespace or a Secret is there, or is different now.
    Put(Object),
    /// It is gone.
    Gone(ObjectName),
    /// An object does not fit its kind, which older definitions let through.
    Misfit(ObjectName, Misfit),
    /// A Service of any type, whole but for `managedFields`, or that it is gone.
    Service(ServiceName, Option<Arc<core::Service>>),
    /// What one EndpointSlice says about a Service, or that it is gone.
    Slice {
        /// The Service.
        service: ServiceName,
        /// The slice, by its name in the Service's namespace.
        slice: String,
        /// Its endpoints.
        endpoints: Option<Vec<Endpoint>>,
    },
    /// The node of a Pod that is a speaker, or that the Pod is gone or has no node yet.
    SpeakerPod {
        /// The Pod.
        pod: String,
        /// The node that it is on.
        node: Option<NodeName>,
    },
    /// An object that a component of ours writes, or that it is gone.
    Status(StatusObject),
    /// Everything of the kind that exists has been seen. Said again after a list anew.
    Synced(Kind),
    /// The kind cannot be listed or watched now, and why. Said once until it can.
    Unavailable(Kind, String),
}

/// An object that a component of ours writes, by its name in our namespace; [`None`] is gone.
#[derive(Clone, Debug)]
pub enum StatusObject {
    /// About a Service on the LAN.
    L2(String, Option<Arc<ServiceL2Status>>),
    /// About a Service and its routers.
    Bgp(String, Option<Arc<ServiceBGPStatus>>),
    /// About the settings.
    Configuration(String, Option<Arc<ConfigurationState>>),
}

/// Follows every kind of `scope`, in a task each, until the receiver is dropped.
pub fn follow(client: Client, scope: &Scope) -> mpsc::Receiver<Seen> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    for kind in scope.kinds() {
        watch::start(client.clone(), scope, kind, sender.clone());
    }
    receiver
}
