//! Which Services the speakers of MetalLB announce, by what they have written.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use planner::names::{NodeName, ServiceName};

use super::Rival;
use crate::k8s::announcement::{labelled, node_of};

/// What a ServiceL2Status says, and who says it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Said {
    service: ServiceName,
    node: NodeName,
    /// `metadata.uid` of the Pods that own it.
    owners: Vec<String>,
}

impl Said {
    /// Read from labels and owners: they are written together with the object, its status later.
    pub(super) fn of(metadata: &ObjectMeta) -> Self {
        let owners = metadata.owner_references.iter().flatten();
        let owners = owners.filter(|owner| owner.kind == "Pod");
        Self {
            service: labelled(metadata),
            node: NodeName(node_of(metadata)),
            owners: owners.map(|owner| owner.uid.clone()).collect(),
        }
    }

    /// A speaker of MetalLB that takes a Service over makes the object its own, beside those who
    /// owned it before: so the node counts too. Early versions left it without an owner.
    fn is_of(&self, rival: &Rival) -> bool {
        let is_owner = self.owners.is_empty() || self.owners.contains(&rival.uid);
        rival.node.as_ref() == Some(&self.node) && is_owner
    }
}

/// The Services that rivals announce, each with a node from where. What a speaker said that does
/// not run any more counts for nothing.
pub(super) fn announced<'a>(
    said: impl Iterator<Item = &'a Said>,
    rivals: &BTreeSet<Rival>,
) -> BTreeMap<ServiceName, NodeName> {
    let theirs = said.filter(|said| rivals.iter().any(|rival| said.is_of(rival)));
    theirs.map(|said| (said.service.clone(), said.node.clone())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn said(node: &str, owners: &Value) -> Said {
        let metadata = json!({
            "labels": {
                "metallb.io/node": node,
                "metallb.io/service-name": "web",
                "metallb.io/service-namespace": "shop",
            },
            "ownerReferences": owners,
        });
        Said::of(&serde_json::from_value(metadata).unwrap())
    }

    fn pods<const N: usize>(uids: [&str; N]) -> Value {
        let pod = |uid| json!({"apiVersion": "v1", "kind": "Pod", "name": uid, "uid": uid});
        uids.map(pod).into_iter().collect()
    }

    #[test]
    fn a_service_is_left_to_the_pod_that_says_it_announces_it() {
        let rival = Rival {
            pod: "speaker-x".to_owned(),
            uid: "theirs".to_owned(),
            image: "quay.io/metallb/speaker:v0.15.3".to_owned(),
            node: Some("a".into()),
        };
        let rivals = [rival].into();
        let rows = [
            ("it says so", said("a", &pods(["theirs"])), true),
            ("it took over from one that is gone", said("a", &pods(["gone", "theirs"])), true),
            ("one that is gone took over from it", said("b", &pods(["theirs", "gone"])), false),
            ("ours on the same node says so", said("a", &pods(["ours"])), false),
            ("a Pod that is gone said so", said("a", &pods(["gone"])), false),
            ("ours on another node says so", said("b", &pods(["ours"])), false),
            ("somebody on its node says so", said("a", &json!([])), true),
            ("somebody on another node says so", said("b", &json!([])), false),
        ];
        for (row, said, want) in rows {
            let found = announced([&said].into_iter(), &rivals);
            let service = ServiceName::new("shop", "web");
            assert_eq!(found.contains_key(&service), want, "{row}");
            assert!(announced([&said].into_iter(), &BTreeSet::new()).is_empty(), "{row}");
        }
    }
}
