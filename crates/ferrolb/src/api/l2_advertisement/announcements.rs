//! How the LAN is told and asked about an address: fields beyond MetalLB's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::Duration;

/// When a node that takes an address tells the LAN so.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Announcements {
    /// How often the node announces the address.
    ///
    /// Default 5. From 1 to 20. The first is repeated after 50 ms and counts once.
    #[schemars(range(min = 1, max = 20), extend("format" = "int32"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<i32>,

    /// The time between two of them.
    ///
    /// Default `1s`. From `100ms` to `10s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,

    /// Announces the address again in this interval, for as long as the node has it.
    ///
    /// Default `0s`, which is never; else from `10s` to `1h`. For switches that forget where an
    /// address is before hosts ask again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_interval: Option<Duration>,
}

impl Announcements {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether the LAN is asked for an address that nobody was heard to have.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
// Else it would take the place of what the field says.
#[schemars(description = "")]
#[serde(rename_all = "camelCase")]
pub enum DuplicateProbe {
    /// It is asked, and the address is answered for at once.
    Optimistic,
    /// It is asked, and the address is answered for after about two seconds, if nobody objected.
    Strict,
    /// It is not asked. Not `off`: that is a boolean to many who write YAML.
    None,
}
