//! `BGPPeer`: a router, or several, that BGP sessions are set up with.

#![expect(unreachable_pub, reason = "the schema derive copies the struct into a function body")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Duration, Password};

/// A BGP session that nodes set up with a router.
///
/// Every selected node has a session of its own. What is announced over it is decided by
/// BGPAdvertisements; without one, the session is up and carries no routes. Routes from the router
/// are not installed.
#[derive(Clone, CustomResource, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "metallb.io",
    version = "v1beta2",
    kind = "BGPPeer",
    plural = "bgppeers",
    namespaced,
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
pub struct BGPPeerSpec {
    /// The AS number of the nodes.
    ///
    /// Required. From 1 to 4294967295. If it equals the router's, the session is iBGP, else eBGP.
    /// 64512 to 65534 and 4200000000 to 4294967294 are free for private use.
    #[serde(rename = "myASN")]
    #[schemars(range(min = 0, max = 4_294_967_295_u32), extend("format" = "int64"))]
    pub my_asn: u32,

    /// The AS number of the router.
    ///
    /// From 1 to 4294967295. Either this or `dynamicASN`, not both. A router with another number
    /// is refused.
    #[serde(rename = "peerASN", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4_294_967_295_u32), extend("format" = "int64"))]
    pub peer_asn: Option<u32>,

    /// The AS number to show this router instead of `myASN`.
    ///
    /// Default none. From 1 to 4294967295. For eBGP only. Use it while a network changes its AS
    /// number, or when several clusters with the same number meet at one router.
    #[serde(rename = "localASN", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4_294_967_295_u32), extend("format" = "int64"))]
    pub local_asn: Option<u32>,

    /// Takes the router's AS number from what it sends, within a limit.
    ///
    /// Either this or `peerASN`, not both. `internal` accepts only the number in `myASN`,
    /// `external` any other one. Use it when one manifest serves racks with different numbers.
    #[serde(rename = "dynamicASN", skip_serializing_if = "Option::is_none")]
    pub dynamic_asn: Option<DynamicAsn>,

    /// The address of the router, IPv4 or IPv6.
    ///
    /// Either this or `interface`, not both. A link-local address is not enough: use `interface`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_address: Option<String>,

    /// The interface at whose other end the router is: BGP unnumbered.
    ///
    /// Either this or `peerAddress`, not both. The session runs between link-local IPv6 addresses,
    /// which are learnt from router advertisements, and carries IPv4 and IPv6 routes. Use it for
    /// point-to-point links to top-of-rack switches. A node without the interface has no session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,

    /// The address on the node to connect from.
    ///
    /// Default none: the kernel chooses by its routing table. Must be of the family of
    /// `peerAddress` and on the node. As it differs from node to node, combine it with
    /// `nodeSelectors`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_address: Option<String>,

    /// The TCP port of the router.
    ///
    /// Default 179. From 1 to 16384.
    #[serde(default = "bgp_port")]
    #[schemars(range(min = 1, max = 16384))]
    pub peer_port: u16,

    /// How long the session lives without a message from the router, such as `90s`.
    ///
    /// Default: three times `keepaliveTime` if that is set, else `90s`. 0, or whole seconds from 3
    /// to 65535; both ends use the smaller of their two values. 0 means that a dead router is never
    /// noticed by BGP. For detection within a second use `bfdProfile` and leave this as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_time: Option<Duration>,

    /// The time between two keepalive messages, such as `30s`.
    ///
    /// Default: a third of `holdTime`. Not longer than `holdTime`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keepalive_time: Option<Duration>,

    /// The time between two attempts to connect, such as `10s`.
    ///
    /// Default: grows with each failed attempt. Whole seconds from 1 to 65535. Set it low where
    /// routers come back fast and sessions are few.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[x_kube(
        validation = Rule::new(
            "duration(self).getSeconds() >= 1 && duration(self).getSeconds() <= 65535"
        ).message("connect time should be between 1 seconds to 65535"),
        validation = Rule::new("duration(self).getMilliseconds() % 1000 == 0")
            .message("connect time should contain a whole number of seconds")
    )]
    pub connect_time: Option<Duration>,

    /// The BGP identifier of the nodes, written as an IPv4 address.
    ///
    /// Default: an IPv4 address of the node. It must be unique among the router's neighbors: set it
    /// only together with `nodeSelectors` that select one node, for instance where nodes have IPv6
    /// addresses only.
    #[serde(rename = "routerID", skip_serializing_if = "Option::is_none")]
    pub router_id: Option<String>,

    /// Nodes that set up the session, by their labels; it is enough that one selector matches.
    ///
    /// Default none, which is every node. Use it to give each rack its own router.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_selectors: Vec<LabelSelector>,

    /// The password for TCP MD5 signatures (RFC 2385), in clear text.
    ///
    /// Default none. At most 80 bytes. Either this or `passwordSecret`, not both. Everybody who may
    /// read this object can read it: prefer `passwordSecret`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Password>,

    /// The Secret with the password for TCP MD5 signatures (RFC 2385).
    ///
    /// Default none. Its type must be `kubernetes.io/basic-auth`, and the password is under the key
    /// `password`. Either this or `password`, not both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_secret: Option<SecretReference>,

    /// The BFDProfile to watch the router with.
    ///
    /// Default none: the loss of the router is noticed when `holdTime` is over. The router needs
    /// BFD for this neighbor too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bfd_profile: Option<String>,

    /// Asks the router to keep our routes while a speaker restarts (RFC 4724).
    ///
    /// Default `false`. Cannot be changed once it is set, as it takes a new session. With BFD, mind
    /// that a router may drop the routes when BFD goes down, whatever was agreed here.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("EnableGracefulRestart cannot be changed after creation"))]
    pub enable_graceful_restart: Option<bool>,

    /// Whether the router is more than one hop away.
    ///
    /// Default `false`. For eBGP only: without it, packets are sent with a TTL of 1 and do not get
    /// past the first router. iBGP sessions always reach over several hops.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ebgp_multi_hop: Option<bool>,

    /// How many hops the router is away at most (GTSM, RFC 5082).
    ///
    /// Default none. From 1 to 254. Packets that come from further away are dropped, whoever they
    /// say they are from. Use it for eBGP against forged packets, with 1 for a router on the same
    /// link; the router needs the same. Not with `ebgpMultiHop`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 254))]
    pub ttl_security: Option<u32>,

    /// Whether to wait for the router to connect.
    ///
    /// Default `false`, which connects and takes no connection. Use it where only the router may
    /// connect. The speaker then listens on TCP port 179, for which it needs the capability
    /// NET_BIND_SERVICE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passive: Option<bool>,

    /// The VRF of the node that the router is in.
    ///
    /// Default none, the main routing table. It is the name of the VRF's device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vrf: Option<String>,

    /// Has no effect any more: it asked for what is now the default.
    ///
    /// Default `false`. A session carries the routes of its own address family; for both see
    /// `dualStackAddressFamily`.
    #[serde(default, rename = "disableMP")]
    pub disable_mp: bool,

    /// Carries IPv4 and IPv6 routes over the one session, whichever family it runs over.
    ///
    /// Default `false`, which is only the family of `peerAddress`. Saves the second session in
    /// dual-stack clusters; the router must have both families enabled for this neighbor.
    #[serde(default)]
    pub dual_stack_address_family: bool,
}

/// Which AS numbers of a router are accepted.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
// Else it would take the place of what the field says.
#[schemars(description = "")]
#[serde(rename_all = "lowercase")]
pub enum DynamicAsn {
    /// Any but our own.
    External,
    /// Our own only.
    Internal,
}

/// The name of a Secret.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct SecretReference {
    /// The name of the Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Has no effect: the Secret is looked up in the namespace that ferrolb runs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Nothing yet; there so that the status subresource exists.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct BGPPeerStatus {}

/// The port assigned to BGP, RFC 4271 section 8.2.1.
pub(super) const BGP_PORT: u16 = 179;

fn bgp_port() -> u16 {
    BGP_PORT
}
