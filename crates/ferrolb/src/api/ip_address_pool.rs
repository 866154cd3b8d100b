//! `IPAddressPool`: addresses that Services may get.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Addresses that Services of type LoadBalancer may get.
///
/// A pool only gives addresses; an L2Advertisement makes the nodes announce them. No address may be
/// in two pools: of two pools that overlap, the one created later is refused.
#[derive(Clone, CustomResource, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "metallb.io",
    version = "v1beta1",
    kind = "IPAddressPool",
    plural = "ipaddresspools",
    namespaced,
    status = "IPAddressPoolStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name": "Auto Assign", "type": "boolean", "jsonPath": ".spec.autoAssign"}"#,
    printcolumn = r#"{"name": "Avoid Buggy IPs", "type": "boolean", "jsonPath": ".spec.avoidBuggyIPs"}"#,
    printcolumn = r#"{"name": "Addresses", "type": "string", "jsonPath": ".spec.addresses"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct IPAddressPoolSpec {
    /// The addresses, each entry a prefix (`192.0.2.0/24`) or a range (`192.0.2.200-192.0.2.250`).
    ///
    /// At least one entry, IPv4 and IPv6 in any mix; entries may not overlap. Every address of an
    /// entry is given out, lowest first, also the first and the last of a prefix: write a range to
    /// leave some out. A single address is `192.0.2.7/32`.
    pub addresses: Vec<String>,

    /// Whether Services that name neither this pool nor one of its addresses may get one.
    ///
    /// Default `true`. Set `false` for addresses that are precious, such as public ones: then only
    /// a Service that asks for the pool, with the annotation `metallb.io/address-pool`, or for an
    /// address in it, gets one. Services that have one already keep it.
    #[serde(default = "yes")]
    pub auto_assign: bool,

    /// Leaves out IPv4 addresses that end in `.0` or `.255`.
    ///
    /// Default `false`. Some old routers and firewalls drop traffic to such addresses; if yours are
    /// among them, set `true`. A Service that holds such an address then gets another one.
    #[serde(default, rename = "avoidBuggyIPs")]
    pub avoid_buggy_ips: bool,

    /// Which Services the pool is for, and before which other pools it is tried.
    ///
    /// Default: any Service, after all pools that have this field and match.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_allocation: Option<ServiceAllocation>,

    /// Gives nothing new any more: every Service keeps what it has from the pool.
    ///
    /// Default `false`. Set `true` to empty a pool step by step, before you remove it or take
    /// addresses out of it. Also a Service that asks for the pool or for one of its addresses gets
    /// nothing, and none gets an address of the other family, or a further one, from it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drain: bool,

    /// How much of the pool each namespace may use.
    ///
    /// Default: all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,

    /// Addresses of the pool that are kept for one Service each, whether it exists or not.
    ///
    /// Default none; at most 1024, no address twice. Only that Service can have the address, and it
    /// gets it before any other when it has none, also if `autoAssign` is `false`; so it comes back
    /// to the same address when it is deleted and created again. A Service that has another
    /// address keeps that. A Service that holds an address reserved for another gets a new one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024))]
    pub reservations: Vec<Reservation>,
}

/// How much of a pool each namespace may use.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Quota {
    /// How many addresses the Services of one namespace may have from the pool together, from 0.
    ///
    /// Both families count; an address that Services of the namespace share counts once. A lower
    /// number takes nothing away from whoever has more already, but they get no further address.
    #[schemars(schema_with = "no_negative_integer")]
    pub per_namespace: i64,
}

/// An address that is kept for one Service.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reservation {
    /// The address, such as `192.0.2.7`; it must be one of the pool.
    #[schemars(length(min = 1))]
    pub address: String,
    /// The Service, as `namespace/name`.
    #[schemars(length(min = 3, max = 317))]
    pub service: String,
}

/// Which Services a pool is for.
///
/// Namespaces, by name or by label, and Services, by label, must both match if both are given. With
/// neither, the pool is for every Service and only `priority` counts.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAllocation {
    /// The order among pools that are for the same Service: lower numbers are tried first.
    ///
    /// Default 0, which is tried last.
    #[serde(default)]
    #[schemars(schema_with = "plain_integer")]
    pub priority: i64,

    /// Names of namespaces whose Services may use the pool.
    ///
    /// Default none. No name twice. Added to what `namespaceSelectors` selects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,

    /// Namespaces whose Services may use the pool, by label; it is enough that one selector matches.
    ///
    /// Default none. Use it when namespaces come and go, for instance one for each team.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespace_selectors: Vec<LabelSelector>,

    /// Services that may use the pool, by their labels; it is enough that one selector matches.
    ///
    /// Default none, which is any Service.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_selectors: Vec<LabelSelector>,
}

/// How much of a pool is in use; written by the controller.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IPAddressPoolStatus {
    /// IPv4 addresses that Services hold; a shared one counts once.
    #[serde(rename = "assignedIPv4")]
    pub assigned_ipv4: i64,
    /// IPv6 addresses that Services hold; a shared one counts once.
    #[serde(rename = "assignedIPv6")]
    pub assigned_ipv6: i64,
    /// IPv4 addresses that are free and not reserved; none while the pool is drained.
    #[serde(rename = "availableIPv4")]
    pub available_ipv4: i64,
    /// IPv6 addresses that are free and not reserved; none while the pool is drained; the largest number there is stands for more than that.
    #[serde(rename = "availableIPv6")]
    pub available_ipv6: i64,
}

fn yes() -> bool {
    true
}

/// An integer without the `format` that schemars adds, as the schema in use today has none.
fn plain_integer(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "integer"})
}

fn no_negative_integer(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "integer", "minimum": 0})
}
