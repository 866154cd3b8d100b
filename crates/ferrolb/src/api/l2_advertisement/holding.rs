//! How an address is held, and how closely its holder is watched: fields beyond MetalLB's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::Duration;

/// Whether a network that falls apart may have a holder on each side.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
// Else it would take the place of what the field says.
#[schemars(description = "")]
#[serde(rename_all = "camelCase")]
pub enum Fencing {
    /// It may.
    None,
    /// Only the side with more than half of the speakers has one.
    Quorum,
}

/// What to do about a host that is no node and uses an address.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
// Else it would take the place of what the field says.
#[schemars(description = "")]
#[serde(rename_all = "camelCase")]
pub enum ConflictPolicy {
    /// Announce it again.
    Defend,
    /// Stop answering.
    Yield,
}

/// How closely the holder of an address is watched.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CloseWatch {
    /// How often it is heard by the nodes that would take over.
    ///
    /// Default `50ms`, and `100ms` on nodes that give speakers no real-time scheduling. From `10ms`
    /// to `1s`. 10 ms needs processors to spare on every node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,

    /// How many of these intervals it may be silent before it counts as gone.
    ///
    /// Default 3. From 2 to 10.
    #[schemars(range(min = 2, max = 10), extend("format" = "int32"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multiplier: Option<i32>,
}

impl CloseWatch {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
