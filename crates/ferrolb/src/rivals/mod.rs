//! A MetalLB that still runs in the same namespace: who it is, and what it announces.
//!
//! Two load balancers that serve the same Services give one address twice, and two nodes answer for
//! it. So ferrolb gives way: its controller gives nothing while a controller of MetalLB runs, and
//! its speakers announce nothing that a speaker of MetalLB says it announces. That is read from
//! Pods, and from the ServiceL2Statuses that these Pods own.
//!
//! What is not known changes nothing: a list that fails leaves what was seen last.
//!
//! | file | what |
//! | --- | --- |
//! | `pods` | which Pods are MetalLB's, from their images: values in, values out |
//! | `statuses` | which Services its speakers announce: values in, values out |
//! | `follower` | watches in, what is known out |
//! | `listing` | objects, listed and watched |

mod follower;
mod listing;
mod pods;
mod statuses;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use planner::names::{NodeName, ServiceName};

use self::pods::PodFacts;
use self::statuses::Said;
use crate::api::ServiceL2Status;
use crate::k8s::events::{EventType, Recorder};
use crate::k8s::pod::Pod;
use crate::k8s::reference::Reference;

pub use self::follower::follow;
pub use self::pods::{Component, Rival};

/// How many Pods of MetalLB a warning names.
const NAMED: usize = 3;

/// Whom a process of ours looks out for.
#[derive(Clone, Debug)]
pub struct Me {
    /// Where this process runs, and a MetalLB that it would notice.
    pub namespace: String,
    /// The name of our own Pod.
    pub pod: String,
    /// What this process is.
    pub component: Component,
    /// `spec.loadBalancerClass` of the Services that it serves; empty for those without one.
    pub class: String,
}

/// What is known of a MetalLB that still runs.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Known {
    /// Its Pods of our component that serve the same Services as we.
    pub rivals: BTreeSet<Rival>,
    /// Nodes whose speaker is MetalLB's, whatever Services it serves: it does not hear ours.
    pub strangers: BTreeSet<NodeName>,
    /// Services that the rivals announce on the LAN, each with a node from where.
    pub services: BTreeMap<ServiceName, NodeName>,
    /// `metadata.uid` of our own Pod, if it was seen.
    pub own_uid: Option<String>,
}

/// Says once that a MetalLB is in the way, and once that it is gone.
#[derive(Debug)]
pub struct Warning {
    me: Me,
    is_told: bool,
}

impl Warning {
    /// For the process that gives way.
    pub fn new(me: Me) -> Self {
        Self { me, is_told: false }
    }

    /// Says what is new, to the log and about our own Pod.
    pub fn tell(&mut self, known: &Known, recorder: &Recorder) {
        let is_there = !known.rivals.is_empty();
        if std::mem::replace(&mut self.is_told, is_there) == is_there {
            return;
        }
        if !is_there {
            tracing::info!("MetalLB is gone");
            return;
        }
        let warning = sentence(known, self.me.component);
        tracing::warn!("{warning}");
        if let Some(uid) = &known.own_uid {
            let about = Reference::pod(&self.me.namespace, &self.me.pod, uid);
            recorder.tell(&about, EventType::Warning, "MetalLBStillRuns", warning);
        }
    }
}

/// Who is in the way, what that means and how to mend it.
fn sentence(known: &Known, component: Component) -> String {
    let mut named: Vec<_> = known.rivals.iter().take(NAMED).map(ToString::to_string).collect();
    if known.rivals.len() > NAMED {
        named.push(format!("and {} more", known.rivals.len() - NAMED));
    }
    let (meanwhile, workload) = match component {
        Component::Controller => ("no address is given", "Deployment"),
        Component::Speaker => ("what it announces is left to it", "DaemonSet"),
    };
    format!(
        "a MetalLB still runs beside this {component}: {}; {meanwhile} until it is gone: delete \
         its {workload}, or give one of the two `--lb-class`",
        named.join(", ")
    )
}

impl Known {
    /// Who is in the way of our processes that are a `component`, and how to mend it; [`None`] if
    /// nobody is.
    pub fn note(&self, component: Component) -> Option<String> {
        (!self.rivals.is_empty()).then(|| sentence(self, component))
    }
}

impl fmt::Display for Rival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pod `{}` of the image `{}`", self.pod, self.image)?;
        self.node.as_ref().map_or(Ok(()), |node| write!(f, " on node `{node}`"))
    }
}

/// Who of these Pods would give way to whom: what somebody sees who is none of them. Without a Pod
/// of ferrolb nobody gives way.
pub fn seen_from_outside(
    pods: &[Pod],
    statuses: &[ServiceL2Status],
    component: Component,
) -> Known {
    let pods: Vec<_> = pods
        .iter()
        .filter(|pod| component.is_of(pod))
        .map(|pod| PodFacts::of(pod, component))
        .collect();
    let mut known = pods::read_from_outside(&pods.iter().collect::<Vec<_>>(), component);
    let said: Vec<_> = statuses.iter().map(|status| Said::of(&status.metadata)).collect();
    known.services = statuses::announced(said.iter(), &known.rivals);
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warning_says_who_is_there_and_what_to_do() {
        let rival = |number: u8| Rival {
            pod: format!("controller-{number}"),
            uid: String::new(),
            image: "quay.io/metallb/controller:v0.15.3".to_owned(),
            node: Some(NodeName(format!("node-{number}"))),
        };
        let known = Known { rivals: (0..5).map(rival).collect(), ..Known::default() };
        let said = sentence(&known, Component::Controller);
        let first = "a MetalLB still runs beside this controller: Pod `controller-0` of the image \
                     `quay.io/metallb/controller:v0.15.3` on node `node-0`, ";
        assert!(said.starts_with(first), "{said}");
        let last = ", and 2 more; no address is given until it is gone: delete its Deployment, or \
                    give one of the two `--lb-class`";
        assert!(said.ends_with(last), "{said}");
    }
}
