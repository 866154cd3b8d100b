//! `Community`: names for BGP communities.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Names for BGP communities, to use in BGPAdvertisements.
///
/// All objects of this kind are read as one list, so it does not matter which of them has a name.
/// No name may be given twice, also not in two objects.
#[derive(
    Clone, CustomResource, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize,
)]
#[kube(
    group = "metallb.io",
    version = "v1beta1",
    kind = "Community",
    plural = "communities",
    namespaced,
    status = "CommunityStatus",
    derive = "Default",
    derive = "PartialEq",
    attr = "cfg_attr(all(), serde(default))"
)]
pub struct CommunitySpec {
    /// The names with their communities. Default none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub communities: Vec<CommunityAlias>,
}

/// A name for a community.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct CommunityAlias {
    /// The name to write in BGPAdvertisements. Without `:`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The community it stands for: `64512:100`, `large:64512:1:100`, `rt:64512:100`,
    /// `ro:64512:100`, or `ext:0x` and 16 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// Nothing yet; there so that the status subresource exists.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct CommunityStatus {}
