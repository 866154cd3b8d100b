//! The objects that a speaker writes, and the tasks that write them.

use std::collections::BTreeSet;

use kube::Client;
use tokio::sync::{mpsc, oneshot};

use crate::api::{ServiceBGPStatus, ServiceL2Status};
use crate::k8s::announcement::kind::Kind as _;
use crate::k8s::announcement::writer::{Order, Writer};
use crate::k8s::configuration_state::{Component, Reporter};
use crate::k8s::own_pod::own_pod;
use crate::source::kube::{Kind, StatusObject};

/// Orders that a writer may be behind with.
const ORDERS: usize = 1024;

/// The status objects of this node; they are written once the Pod that owns them is known.
pub(super) struct Written {
    layer2: mpsc::Sender<Order>,
    bgp: mpsc::Sender<Order>,
    pub(super) reporter: Reporter,
}

impl Written {
    pub(super) fn start(client: Client, namespace: &str, node: &str, pod: &str) -> Self {
        let (layer2, to_write) = mpsc::channel(ORDERS);
        let writer = Writer::<ServiceL2Status>::new(client.clone(), namespace, node);
        let (found, owner) = oneshot::channel();
        tokio::spawn(writer.run(to_write, owner));
        let (bgp, to_write) = mpsc::channel(ORDERS);
        let writer = Writer::<ServiceBGPStatus>::new(client.clone(), namespace, node);
        let (found_too, owner) = oneshot::channel();
        tokio::spawn(writer.run(to_write, owner));
        let component = Component::Speaker(node.to_owned());
        let at = (client.clone(), namespace.to_owned());
        let pod = pod.to_owned();
        let reporter = Reporter::start(at.clone(), component, async move {
            let owner = own_pod(&at.0, &at.1, &pod).await;
            // The other ones have ended: so does the process.
            let _ = (found.send(owner.clone()), found_too.send(owner.clone()));
            owner
        });
        Self { layer2, bgp, reporter }
    }

    pub(super) async fn layer2(&self, order: Order) {
        // The writer ends only with the process.
        let _ = self.layer2.send(order).await;
    }

    pub(super) async fn bgp(&self, order: Order) {
        // The writer ends only with the process.
        let _ = self.bgp.send(order).await;
    }

    pub(super) async fn synced(&self, kind: Kind) {
        if kind == Kind::ServiceL2Status {
            self.layer2(Order::Synced).await;
        } else if kind == Kind::ServiceBGPStatus {
            self.bgp(Order::Synced).await;
        }
    }

    /// Leaves what the Pods with these UIDs wrote to them.
    pub(super) async fn leave(&self, others: BTreeSet<String>) {
        self.layer2(Order::Leave(others.clone())).await;
        self.bgp(Order::Leave(others)).await;
    }

    pub(super) async fn see(&self, object: StatusObject) {
        match object {
            StatusObject::L2(status) => {
                self.layer2(Order::See(Box::new(status.reduce()))).await;
            }
            StatusObject::Bgp(status) => self.bgp(Order::See(Box::new(status.reduce()))).await,
            StatusObject::Gone(name) if name.kind == "ServiceL2Status" => {
                self.layer2(Order::Gone(name.name)).await;
            }
            StatusObject::Gone(name) if name.kind == "ServiceBGPStatus" => {
                self.bgp(Order::Gone(name.name)).await;
            }
            StatusObject::Gone(name) if name.kind == "ConfigurationState" => {
                self.reporter.is_gone();
            }
            StatusObject::Configuration(_) | StatusObject::Gone(_) => (),
        }
    }
}
