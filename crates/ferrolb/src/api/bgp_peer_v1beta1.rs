//! `BGPPeer` as it was written before `v1beta2`.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BGPPeerStatus, Duration, Password};

/// A BGP session that nodes set up with a router, in the form before `v1beta2`.
///
/// Deprecated: `v1beta2` has all of these fields and more. Objects are stored as `v1beta2`,
/// whichever version they were written in.
#[derive(Clone, CustomResource, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "metallb.io",
    version = "v1beta1",
    kind = "BGPPeer",
    root = "BGPPeerV1Beta1",
    plural = "bgppeers",
    namespaced,
    storage = false,
    deprecated = "v1beta1 is deprecated, please use v1beta2",
    status = "BGPPeerStatus",
    derive = "Default",
    derive = "PartialEq",
    attr = "cfg_attr(all(), serde(default))",
    printcolumn = r#"{"name": "Address", "type": "string", "jsonPath": ".spec.peerAddress"}"#,
    printcolumn = r#"{"name": "ASN", "type": "string", "jsonPath": ".spec.peerASN"}"#,
    printcolumn = r#"{"name": "BFD Profile", "type": "string", "jsonPath": ".spec.bfdProfile"}"#,
    printcolumn = r#"{"name": "Multi Hops", "type": "string", "jsonPath": ".spec.ebgpMultiHop"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct BGPPeerV1Beta1Spec {
    /// The AS number of the nodes. Required. From 1 to 4294967295.
    #[serde(rename = "myASN")]
    #[schemars(range(min = 0, max = 4_294_967_295_u32), extend("format" = "int64"))]
    pub my_asn: u32,

    /// The AS number of the router. Required. From 1 to 4294967295.
    ///
    /// 0 stands for a peer whose `v1beta2` form has none.
    #[serde(rename = "peerASN")]
    #[schemars(range(min = 0, max = 4_294_967_295_u32), extend("format" = "int64"))]
    pub peer_asn: u32,

    /// The address of the router, IPv4 or IPv6. Required.
    ///
    /// Empty stands for a peer whose `v1beta2` form has none.
    pub peer_address: String,

    /// The address on the node to connect from. Default none: the kernel chooses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_address: Option<String>,

    /// The TCP port of the router. Default 179, also when 0. From 0 to 16384.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 16384))]
    pub peer_port: Option<u16>,

    /// How long the session lives without a message from the router, such as `90s`.
    ///
    /// Default 0, which means forever: a dead router is never noticed. Set it, or use `v1beta2`,
    /// where the default is 90 seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_time: Option<Duration>,

    /// The time between two keepalive messages, such as `30s`.
    ///
    /// Default 0, which sends none if `holdTime` is 0 too. Not longer than `holdTime`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keepalive_time: Option<Duration>,

    /// The BGP identifier of the nodes, written as an IPv4 address.
    ///
    /// Default: an IPv4 address of the node.
    #[serde(rename = "routerID", skip_serializing_if = "Option::is_none")]
    pub router_id: Option<String>,

    /// Nodes that set up the session, by their labels; it is enough that one selector matches.
    ///
    /// Default none, which is every node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_selectors: Vec<NodeSelector>,

    /// The password for TCP MD5 signatures (RFC 2385), in clear text. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Password>,

    /// The BFDProfile to watch the router with. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bfd_profile: Option<String>,

    /// Whether the router is more than one hop away. Default `false`. For eBGP only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ebgp_multi_hop: Option<bool>,
}

/// Nodes, by label; one with neither field selects every node.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeSelector {
    /// Labels that a node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// Requirements that a node's labels must meet, all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<NodeRequirement>,
}

/// A requirement on one label.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct NodeRequirement {
    /// The name of the label.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: String,
    /// What the label is compared with. At least one, which leaves `In` and `NotIn`.
    #[schemars(length(min = 1))]
    pub values: Vec<String>,
}
