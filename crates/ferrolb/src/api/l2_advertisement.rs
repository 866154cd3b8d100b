//! `L2Advertisement`: which addresses nodes announce on the LAN.

mod announcements;
mod holding;
mod planned_moves;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Duration;

pub use announcements::{Announcements, DuplicateProbe};
pub use holding::{CloseWatch, ConflictPolicy, Fencing};
pub use planned_moves::{PlannedMove, PlannedMoves};

/// Makes nodes answer ARP and NDP for the addresses of pools.
///
/// One node at a time answers for an address and gets all of its traffic; another one takes over
/// when it goes away. Every field narrows the advertisement down, and an empty `spec` announces all
/// pools from all nodes on all interfaces. If several advertisements match a Service, their nodes
/// add up.
#[derive(Clone, CustomResource, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "metallb.io",
    version = "v1beta1",
    kind = "L2Advertisement",
    plural = "l2advertisements",
    namespaced,
    status = "L2AdvertisementStatus",
    derive = "Default",
    derive = "PartialEq",
    attr = "cfg_attr(all(), serde(default))",
    printcolumn = r#"{"name": "IPAddressPools", "type": "string", "jsonPath": ".spec.ipAddressPools"}"#,
    printcolumn = r#"{"name": "IPAddressPool Selectors", "type": "string", "jsonPath": ".spec.ipAddressPoolSelectors"}"#,
    printcolumn = r#"{"name": "Interfaces", "type": "string", "jsonPath": ".spec.interfaces"}"#,
    printcolumn = r#"{"name": "Node Selectors", "type": "string", "jsonPath": ".spec.nodeSelectors", "priority": 10}"#
)]
#[serde(rename_all = "camelCase")]
pub struct L2AdvertisementSpec {
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

    /// Nodes that may announce, by their labels; it is enough that one selector matches.
    ///
    /// Default none, which is every node. Use it when only some nodes are on the LAN of the pool.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_selectors: Vec<LabelSelector>,

    /// Interfaces on which a node answers, by name.
    ///
    /// Default none, which is every one. In a name `*` stands for any characters, as in `eth*`; a
    /// name with `!` before it, as in `!docker0`, excludes what the others or none of them select.
    /// A node that has none of the interfaces, or none with carrier, leaves the address to
    /// another one. If several advertisements match a Service on one node, their interfaces add up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<String>,

    /// Makes a node answer only on interfaces that have an address in a subnet which the address
    /// of the Service is in.
    ///
    /// Default false. A node without such an interface leaves the address to another one. Use it
    /// when the nodes are in different subnets, and pools have addresses of each.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub require_subnet: bool,

    /// Gives each address an Ethernet address of its own, which moves with it from node to node.
    ///
    /// Default false: the address is at that of the node which holds it. With it, no host has to
    /// learn anything when the address moves. Use it where hosts or routers keep old entries for
    /// long; the network must let several Ethernet addresses come from one port. Speakers need the
    /// capability `NET_ADMIN`.
    #[serde(default, rename = "virtualMAC", skip_serializing_if = "std::ops::Not::not")]
    pub virtual_mac: bool,

    /// Services to announce, by their labels; it is enough that one selector matches.
    ///
    /// Default none, which is every Service with an address of the pools. Services that share an
    /// address are not announced by an advertisement with this field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_selectors: Vec<LabelSelector>,

    /// Nodes to prefer among those selected.
    ///
    /// Default none. The node with the highest sum of the weights that match it announces; nodes
    /// with equal sums are ordered by a hash of node and address, which spreads addresses evenly.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preferred_node_selectors: Vec<PreferredNodeSelector>,

    /// What makes an address leave a node that could still serve it.
    ///
    /// No default for the whole; each part has its own. If no other node can serve the address, it
    /// stays whatever is said here.
    #[serde(default, skip_serializing_if = "PlannedMoves::is_empty")]
    pub planned_moves: PlannedMoves,

    /// When a node that takes an address tells the LAN so.
    ///
    /// No default for the whole; each part has its own.
    #[serde(default, skip_serializing_if = "Announcements::is_empty")]
    pub announcements: Announcements,

    /// Whether the LAN is asked whether a foreign host has an address, before or while a node takes
    /// one that no node was heard to have.
    ///
    /// Default `optimistic`. Use `strict` where addresses of the pool may be in use: a new Service
    /// then waits for two seconds. When a node takes over from another nobody is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicate_probe: Option<DuplicateProbe>,

    /// Whether an address stays where it is when a node comes back that would be preferred.
    ///
    /// Default `true`. `false` lets the address return to the first node in order, as in MetalLB,
    /// at the price of one more move after each failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<bool>,

    /// For how long other nodes answer in the name of a node whose speaker is away while the node
    /// itself lives.
    ///
    /// Default `30s`. From `0s` to `10m`. A restart of a speaker that takes less moves nothing. After
    /// that time, or at once with `0s`, the address moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stand_in_time: Option<Duration>,

    /// Whether a network that falls apart may have a holder of an address on each side.
    ///
    /// Default `none`: it may, so that each side is served. With `quorum` only a node that hears
    /// more than half of all speakers holds an address: never two, and none on the smaller side.
    /// Half of the speakers that die then take the address with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fencing: Option<Fencing>,

    /// What the holder of an address does about a host that is no node and uses it.
    ///
    /// Default `defend`: it announces the address again, at most once in ten seconds. `yield` stops
    /// answering until the host was not heard for a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict_policy: Option<ConflictPolicy>,

    /// How closely the holder of an address is watched by the nodes that would take over.
    ///
    /// No default for the whole; each part has its own. A node that has several addresses is watched
    /// as closely as the most demanding of them says.
    #[serde(default, skip_serializing_if = "CloseWatch::is_empty")]
    pub close_watch: CloseWatch,
}

/// A preference for nodes.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct PreferredNodeSelector {
    /// What a node gains if `preference` matches it. From 1 to 100.
    #[schemars(range(min = 1, max = 100))]
    pub weight: i32,
    /// The nodes, by label.
    pub preference: LabelSelector,
}

/// Nothing yet; there so that the status subresource exists.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct L2AdvertisementStatus {}
