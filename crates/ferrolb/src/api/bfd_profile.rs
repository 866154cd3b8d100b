//! `BFDProfile`: how fast the loss of a router is noticed.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Timers and modes of BFD sessions (RFC 5880); a BGPPeer names the profile it uses.
///
/// With the defaults a dead router is noticed within 0.9 s. Intervals are negotiated: of what one
/// end wants to send and the other wants to receive, the slower counts.
#[derive(
    Clone, CustomResource, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize,
)]
#[kube(
    group = "metallb.io",
    version = "v1beta1",
    kind = "BFDProfile",
    plural = "bfdprofiles",
    namespaced,
    status = "BFDProfileStatus",
    derive = "Default",
    derive = "PartialEq",
    attr = "cfg_attr(all(), serde(default))",
    printcolumn = r#"{"name": "Passive Mode", "type": "boolean", "jsonPath": ".spec.passiveMode"}"#,
    printcolumn = r#"{"name": "Transmit Interval", "type": "integer", "jsonPath": ".spec.transmitInterval"}"#,
    printcolumn = r#"{"name": "Receive Interval", "type": "integer", "jsonPath": ".spec.receiveInterval"}"#,
    printcolumn = r#"{"name": "Multiplier", "type": "integer", "jsonPath": ".spec.detectMultiplier"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct BFDProfileSpec {
    /// The fastest that the router may send, in milliseconds.
    ///
    /// Default 300. From 10 to 60000. The detection time is `detectMultiplier` times this, or times
    /// the router's transmit interval if that is slower.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 60000))]
    pub receive_interval: Option<u32>,

    /// The fastest that we want to send, in milliseconds.
    ///
    /// Default 300. From 10 to 60000. It decides how fast the router notices the loss of a node.
    /// Below 50, make sure that nodes are never short of CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 60000))]
    pub transmit_interval: Option<u32>,

    /// How many packets in a row may be lost before the other end is declared dead.
    ///
    /// Default 3. From 2 to 255. Below 3 is rarely wise on software speakers. The router uses ours
    /// to detect us; its own one counts here only through what it announces.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 255))]
    pub detect_multiplier: Option<u32>,

    /// The fastest that the router may send echo packets, in milliseconds.
    ///
    /// Default 50. From 10 to 60000. Counts only with `echoMode`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 60000))]
    pub echo_interval: Option<u32>,

    /// Tests the path with packets that the router loops back.
    ///
    /// Default `false`. For IPv4 routers one hop away, which must allow it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub echo_mode: Option<bool>,

    /// Waits for the router to speak first.
    ///
    /// Default `false`. At least one end must not be passive. Use it when the router should decide
    /// which sessions there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passive_mode: Option<bool>,

    /// The smallest TTL that packets of a router several hops away may arrive with.
    ///
    /// Default 254. From 1 to 254. A router `n` hops away needs 255 - n or less; lower values let
    /// hosts that are further away forge packets. One hop away it is always 255 (RFC 5881).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 254))]
    pub minimum_ttl: Option<u32>,

    /// Proves to the router that packets are ours, and to us that they are the router's.
    ///
    /// Default none. Both ends need the same (RFC 5880 section 6.7). Changing it takes the session
    /// down for a moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication: Option<BfdAuthentication>,
}

/// How BFD packets are authenticated.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BfdAuthentication {
    /// The method.
    ///
    /// With the meticulous ones no packet is taken twice; a simple password can be read on the way.
    #[serde(rename = "type")]
    pub method: BfdAuthenticationType,

    /// The number of the key, the same at both ends. From 0 to 255.
    #[serde(rename = "keyID")]
    #[schemars(range(min = 0, max = 255))]
    pub key_id: u32,

    /// Where the secret is.
    pub secret: BfdSecret,
}

/// The methods of RFC 5880 section 6.7.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
// Else it would take the place of what the field says.
#[schemars(description = "")]
pub enum BfdAuthenticationType {
    /// A password in clear.
    #[serde(rename = "simplePassword")]
    SimplePassword,
    /// A digest by MD5.
    #[serde(rename = "keyedMD5")]
    KeyedMd5,
    /// The same, with a number that no other packet has.
    #[serde(rename = "meticulousKeyedMD5")]
    MeticulousKeyedMd5,
    /// A digest by SHA1.
    #[serde(rename = "keyedSHA1")]
    KeyedSha1,
    /// The same, with a number that no other packet has.
    #[serde(rename = "meticulousKeyedSHA1")]
    MeticulousKeyedSha1,
}

/// Where a secret is.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
// Else it would take the place of what the field says.
#[schemars(description = "")]
pub struct BfdSecret {
    /// The Secret beside this object.
    ///
    /// Its type must be `kubernetes.io/basic-auth`.
    pub name: String,

    /// The key in it.
    ///
    /// What is there has from 1 to 16 bytes, with SHA1 up to 20.
    pub key: String,
}

/// Nothing yet; there so that the status subresource exists.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct BFDProfileStatus {}
