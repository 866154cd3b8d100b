//! `BGPAdvertisement`: which addresses nodes announce by BGP.

#![expect(unreachable_pub, reason = "the schema derive copies the struct into a function body")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Makes nodes announce the addresses of pools to their BGPPeers.
///
/// Every selected node announces, so routers spread traffic over them. Every field that selects
/// narrows the advertisement down, and an empty `spec` announces all pools from all nodes to all
/// peers, one route for each address. If several advertisements match a Service, it is announced by
/// each: one with long and one with short prefixes for instance.
#[derive(Clone, CustomResource, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "metallb.io",
    version = "v1beta1",
    kind = "BGPAdvertisement",
    plural = "bgpadvertisements",
    namespaced,
    status = "BGPAdvertisementStatus",
    derive = "Default",
    derive = "PartialEq",
    attr = "cfg_attr(all(), serde(default))",
    printcolumn = r#"{"name": "IPAddressPools", "type": "string", "jsonPath": ".spec.ipAddressPools"}"#,
    printcolumn = r#"{"name": "IPAddressPool Selectors", "type": "string", "jsonPath": ".spec.ipAddressPoolSelectors"}"#,
    printcolumn = r#"{"name": "Peers", "type": "string", "jsonPath": ".spec.peers"}"#,
    printcolumn = r#"{"name": "Node Selectors", "type": "string", "jsonPath": ".spec.nodeSelectors", "priority": 10}"#
)]
#[x_kube(validation = Rule::new(
    "!has(self.serviceSelectors) || size(self.serviceSelectors) == 0 || \
     ((!has(self.aggregationLength) || self.aggregationLength == 32) && \
     (!has(self.aggregationLengthV6) || self.aggregationLengthV6 == 128))"
).message(
    "serviceSelectors and aggregationLength are mutually exclusive, can only be used together \
     with default aggregationLength (32) and aggregationLengthV6 (128)"
))]
#[serde(rename_all = "camelCase")]
pub struct BGPAdvertisementSpec {
    /// The length of the prefixes that IPv4 addresses are announced in.
    ///
    /// Default 32, a route for each address. From 1 to 32, and not shorter than the prefixes of the
    /// pools. With 24, all Services of a `/24` share one route, which is there while one of them is
    /// announced by the node: routers need fewer entries, and a node gets traffic for Services that
    /// it has no endpoints of. Not together with `serviceSelectors`.
    #[serde(default = "aggregation_length")]
    #[schemars(range(min = 1))]
    pub aggregation_length: Option<i32>,

    /// The length of the prefixes that IPv6 addresses are announced in.
    ///
    /// Default 128, a route for each address. From 1 to 128; see `aggregationLength`.
    #[serde(default = "aggregation_length_v6")]
    pub aggregation_length_v6: Option<i32>,

    /// The LOCAL_PREF of the routes, for iBGP.
    ///
    /// Default 0, which stands for the usual 100. From 0 to 4294967295; routers prefer the higher.
    /// Use two advertisements with different values and `nodeSelectors` to prefer a set of nodes.
    /// eBGP does not carry it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_pref: Option<u32>,

    /// BGP communities to attach to the routes.
    ///
    /// Default none. Each is a standard community `64512:100` (two numbers up to 65535), a large
    /// community `large:64512:1:100` (three numbers up to 4294967295), an extended community, or a
    /// name. Extended are route targets `rt:64512:100` and route origins `ro:64512:100`, whose first
    /// part may be an IPv4 address too, and any other as `ext:0x` and 16 hexadecimal digits. Names
    /// are those of Community objects, and, unless one of them says otherwise, `no-export`,
    /// `no-advertise`, `no-export-subconfed`, `no-peer`, `blackhole`, `graceful-shutdown`,
    /// `accept-own`, `llgr-stale` and `no-llgr`. No entry twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub communities: Vec<String>,

    /// Pools to announce, by name.
    ///
    /// Default none. Added to what `ipAddressPoolSelectors` selects; if both are empty, all pools
    /// are announced. No name twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ip_address_pools: Vec<String>,

    /// Pools to announce, by their labels; it is enough that one selector matches.
    ///
    /// Default none. Use it to announce pools that are not there yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ip_address_pool_selectors: Vec<LabelSelector>,

    /// Nodes that announce, by their labels; it is enough that one selector matches.
    ///
    /// Default none, which is every node with a session.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_selectors: Vec<LabelSelector>,

    /// BGPPeers to announce to, by name.
    ///
    /// Default none, which is all. No name twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<String>,

    /// Services to announce, by their labels; it is enough that one selector matches.
    ///
    /// Default none, which is every Service with an address of the pools. Only with the default
    /// aggregation lengths, as a wider prefix would draw traffic for the other Services too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_selectors: Vec<LabelSelector>,
}

/// Nothing yet; there so that the status subresource exists.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct BGPAdvertisementStatus {}

fn aggregation_length() -> Option<i32> {
    Some(32)
}

fn aggregation_length_v6() -> Option<i32> {
    Some(128)
}
