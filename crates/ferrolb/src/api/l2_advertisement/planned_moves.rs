//! What makes an address leave a node that could still serve it: fields beyond MetalLB's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What makes an address leave a node that could still serve it.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedMoves {
    /// The node is marked unschedulable, as by `kubectl cordon`.
    ///
    /// Default `stay`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cordon: Option<PlannedMove>,

    /// The node has the annotation `metallb.io/drain`, or an autoscaler's taint by which it says
    /// that it will remove the node.
    ///
    /// Default `move`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain: Option<PlannedMove>,

    /// The node's condition `Ready` is not `True`.
    ///
    /// Default `stay`: a dead kubelet or a lost API server does not stop forwarding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_ready: Option<PlannedMove>,

    /// The node has the taint `node.kubernetes.io/out-of-service`.
    ///
    /// Default `move`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out_of_service: Option<PlannedMove>,

    /// The node has the label `node.kubernetes.io/exclude-from-external-load-balancers`.
    ///
    /// Default `move`, as in MetalLB: such a node never announces. The flag `--ignore-exclude-lb`
    /// makes the label count nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclude_label: Option<PlannedMove>,

    /// The machine shuts down, as its kubelet says.
    ///
    /// Default `move`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shutdown: Option<PlannedMove>,
}

impl PlannedMoves {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What an address does.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
// Else it would take the place of what the field says.
#[schemars(description = "")]
#[serde(rename_all = "camelCase")]
pub enum PlannedMove {
    /// It stays on the node.
    Stay,
    /// It moves to another node, if there is one for it.
    Move,
}
