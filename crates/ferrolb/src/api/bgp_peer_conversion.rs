//! BGPPeers from `v1beta1` to `v1beta2` and back, as the API server asks for it.
//!
//! `v1beta1` is smaller. What it has no field for travels in the annotation [`REST`] of the
//! `v1beta1` form, so that a client of the old version that reads, changes and writes a peer does
//! not destroy the rest of it. The `v1beta2` form, which is the stored one, never has it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    LabelSelector, LabelSelectorRequirement, ObjectMeta,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::bgp_peer::BGP_PORT;
use super::bgp_peer_v1beta1::{BGPPeerV1Beta1, BGPPeerV1Beta1Spec, NodeRequirement, NodeSelector};
use super::{BGPPeer, BGPPeerSpec, Duration, DynamicAsn, SecretReference};

/// The annotation of a `v1beta1` BGPPeer with what only `v1beta2` can say, as JSON.
pub const REST: &str = "metallb.io/v1beta2-fields";

const V1BETA1: &str = "metallb.io/v1beta1";
const V1BETA2: &str = "metallb.io/v1beta2";

/// Why a BGPPeer could not be converted.
#[derive(Debug, thiserror::Error)]
pub enum Unconvertible {
    /// It is, or shall be, of a version that there is not.
    #[error("there is no BGPPeer of `{0}`: use `{V1BETA2}`, or `{V1BETA1}`")]
    Version(String),
    /// A field does not have the form that its version wants.
    #[error("the BGPPeer is not one of `{0}`: {1}")]
    Field(&'static str, serde_path_to_error::Error<serde_json::Error>),
    /// Somebody wrote the annotation by hand, or cut it off.
    #[error(
        "the annotation `{REST}` cannot be read: {0}; remove it, and set its fields in `{V1BETA2}`"
    )]
    Annotation(serde_json::Error),
}

/// Converts one BGPPeer to `api_version`, which is `metallb.io/` and the name of a version.
///
/// The status is dropped, as it has no fields in either version.
///
/// # Errors
///
/// [`Unconvertible`]; the API server shows it to whoever wrote the peer.
pub fn convert(peer: Value, api_version: &str) -> Result<Value, Unconvertible> {
    let from = peer.get("apiVersion").and_then(Value::as_str).unwrap_or_default().to_owned();
    match (from.as_str(), api_version) {
        (V1BETA1, V1BETA1) | (V1BETA2, V1BETA2) => Ok(peer),
        (V1BETA1, V1BETA2) => json(V1BETA2, &upgrade(typed(V1BETA1, peer)?)?),
        (V1BETA2, V1BETA1) => json(V1BETA1, &downgrade(typed(V1BETA2, peer)?)),
        (V1BETA1 | V1BETA2, other) | (other, _) => Err(Unconvertible::Version(other.to_owned())),
    }
}

fn typed<T: DeserializeOwned>(version: &'static str, peer: Value) -> Result<T, Unconvertible> {
    serde_path_to_error::deserialize(peer).map_err(|no| Unconvertible::Field(version, no))
}

fn json<T: Serialize>(version: &'static str, peer: &T) -> Result<Value, Unconvertible> {
    serde_path_to_error::serialize(peer, serde_json::value::Serializer)
        .map_err(|no| Unconvertible::Field(version, no))
}

/// The fields of `v1beta2` that `v1beta1` lacks.
#[derive(Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Rest {
    #[serde(rename = "localASN", skip_serializing_if = "Option::is_none")]
    local_asn: Option<u32>,
    #[serde(rename = "dynamicASN", skip_serializing_if = "Option::is_none")]
    dynamic_asn: Option<DynamicAsn>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interface: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connect_time: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password_secret: Option<SecretReference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_graceful_restart: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_security: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    passive: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vrf: Option<String>,
    #[serde(rename = "disableMP", skip_serializing_if = "is_false")]
    disable_mp: bool,
    #[serde(skip_serializing_if = "is_false")]
    dual_stack_address_family: bool,
    /// `holdTime` has no value, which `v1beta1` writes as `0s`.
    #[serde(skip_serializing_if = "is_false")]
    no_hold_time: bool,
    /// `keepaliveTime` has no value, which `v1beta1` writes as `0s`.
    #[serde(skip_serializing_if = "is_false")]
    no_keepalive_time: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants this signature")]
fn is_false(value: &bool) -> bool {
    !value
}

fn upgrade(peer: BGPPeerV1Beta1) -> Result<BGPPeer, Unconvertible> {
    let BGPPeerV1Beta1 { mut metadata, spec, status: _ } = peer;
    let rest = take_rest(&mut metadata)?;
    // MetalLB turns a timer that is not set into an explicit zero here, and so do we: the session
    // of a stored peer must not change with the implementation.
    let timer = |value: Option<Duration>, was_unset: bool| {
        let value = value.unwrap_or_default();
        (!was_unset || value != Duration::ZERO).then_some(value)
    };
    let spec = BGPPeerSpec {
        my_asn: spec.my_asn,
        peer_asn: Some(spec.peer_asn).filter(|asn| *asn != 0),
        local_asn: rest.local_asn,
        dynamic_asn: rest.dynamic_asn,
        peer_address: Some(spec.peer_address).filter(|address| !address.is_empty()),
        interface: rest.interface,
        source_address: spec.source_address,
        peer_port: spec.peer_port.filter(|port| *port != 0).unwrap_or(BGP_PORT),
        hold_time: timer(spec.hold_time, rest.no_hold_time),
        keepalive_time: timer(spec.keepalive_time, rest.no_keepalive_time),
        connect_time: rest.connect_time,
        router_id: spec.router_id,
        node_selectors: spec.node_selectors.into_iter().map(selector).collect(),
        password: spec.password,
        password_secret: rest.password_secret,
        bfd_profile: spec.bfd_profile,
        enable_graceful_restart: rest.enable_graceful_restart,
        ebgp_multi_hop: spec.ebgp_multi_hop,
        ttl_security: rest.ttl_security,
        passive: rest.passive,
        vrf: rest.vrf,
        disable_mp: rest.disable_mp,
        dual_stack_address_family: rest.dual_stack_address_family,
    };
    Ok(BGPPeer { metadata, spec, status: None })
}

fn downgrade(peer: BGPPeer) -> BGPPeerV1Beta1 {
    let BGPPeer { mut metadata, spec, status: _ } = peer;
    let rest = Rest {
        local_asn: spec.local_asn,
        dynamic_asn: spec.dynamic_asn,
        interface: spec.interface,
        connect_time: spec.connect_time,
        password_secret: spec.password_secret,
        enable_graceful_restart: spec.enable_graceful_restart,
        ttl_security: spec.ttl_security,
        passive: spec.passive,
        vrf: spec.vrf,
        disable_mp: spec.disable_mp,
        dual_stack_address_family: spec.dual_stack_address_family,
        no_hold_time: spec.hold_time.is_none(),
        no_keepalive_time: spec.keepalive_time.is_none(),
    };
    put_rest(&mut metadata, &rest);
    let spec = BGPPeerV1Beta1Spec {
        my_asn: spec.my_asn,
        peer_asn: spec.peer_asn.unwrap_or_default(),
        peer_address: spec.peer_address.unwrap_or_default(),
        source_address: spec.source_address,
        peer_port: Some(spec.peer_port),
        hold_time: Some(spec.hold_time.unwrap_or_default()),
        keepalive_time: Some(spec.keepalive_time.unwrap_or_default()),
        router_id: spec.router_id,
        node_selectors: spec.node_selectors.into_iter().map(legacy_selector).collect(),
        password: spec.password,
        bfd_profile: spec.bfd_profile,
        ebgp_multi_hop: spec.ebgp_multi_hop,
    };
    BGPPeerV1Beta1 { metadata, spec, status: None }
}

fn take_rest(metadata: &mut ObjectMeta) -> Result<Rest, Unconvertible> {
    let Some(annotations) = &mut metadata.annotations else {
        return Ok(Rest::default());
    };
    let rest = annotations.remove(REST);
    if annotations.is_empty() {
        metadata.annotations = None;
    }
    rest.map_or_else(
        || Ok(Rest::default()),
        |rest| serde_json::from_str(&rest).map_err(Unconvertible::Annotation),
    )
}

/// Writes the annotation, also over one that a client of another implementation left.
fn put_rest(metadata: &mut ObjectMeta, rest: &Rest) {
    let annotations = metadata.annotations.get_or_insert_default();
    if *rest == Rest::default() {
        annotations.remove(REST);
    } else {
        annotations.insert(REST.to_owned(), serde_json::json!(rest).to_string());
    }
    if annotations.is_empty() {
        metadata.annotations = None;
    }
}

fn selector(legacy: NodeSelector) -> LabelSelector {
    let requirement = |legacy: NodeRequirement| LabelSelectorRequirement {
        key: legacy.key,
        operator: legacy.operator,
        values: Some(legacy.values).filter(|values| !values.is_empty()),
    };
    let expressions: Vec<_> = legacy.match_expressions.into_iter().map(requirement).collect();
    LabelSelector {
        match_expressions: Some(expressions).filter(|expressions| !expressions.is_empty()),
        match_labels: Some(legacy.match_labels).filter(|labels| !labels.is_empty()),
    }
}

fn legacy_selector(selector: LabelSelector) -> NodeSelector {
    let requirement = |requirement: LabelSelectorRequirement| NodeRequirement {
        key: requirement.key,
        operator: requirement.operator,
        values: requirement.values.unwrap_or_default(),
    };
    NodeSelector {
        match_labels: selector.match_labels.unwrap_or_default(),
        match_expressions: selector
            .match_expressions
            .unwrap_or_default()
            .into_iter()
            .map(requirement)
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn peer(version: &str, spec: Value) -> Value {
        json!({"apiVersion": version, "kind": "BGPPeer", "metadata": {"name": "tor"}, "spec": spec})
    }

    fn annotated(spec: Value, rest: &str) -> Value {
        let mut peer = peer(V1BETA1, spec);
        peer["metadata"]["annotations"] = json!({REST: rest});
        peer
    }

    /// `minimal` with what `more` has.
    fn with(minimal: Value, more: Value) -> Value {
        let (Value::Object(mut spec), Value::Object(more)) = (minimal, more) else {
            unreachable!()
        };
        spec.extend(more);
        Value::Object(spec)
    }

    fn old(more: Value) -> Value {
        with(json!({"myASN": 64512, "peerASN": 64500, "peerAddress": "192.0.2.1"}), more)
    }

    /// What `old` becomes: the timers are there, and so are the defaults of `v1beta2`.
    fn new(more: Value) -> Value {
        let defaults = json!({
            "peerPort": 179, "holdTime": "0s", "keepaliveTime": "0s",
            "disableMP": false, "dualStackAddressFamily": false,
        });
        with(old(defaults), more)
    }

    #[test]
    fn a_v1beta1_peer_becomes_what_metallb_makes_of_it() {
        let selector = json!([{"matchLabels": {"rack": "1"}, "matchExpressions":
            [{"key": "zone", "operator": "In", "values": ["a", "b"]}]}]);
        // (what, fields in v1beta1, fields in v1beta2)
        let cases = [
            ("timers that are not set are 0", json!({}), json!({})),
            (
                "timers",
                json!({"holdTime": "90s", "keepaliveTime": "30s"}),
                json!({"holdTime": "1m30s", "keepaliveTime": "30s"}),
            ),
            ("one timer", json!({"holdTime": "3m"}), json!({"holdTime": "3m0s"})),
            ("a port", json!({"peerPort": 1179}), json!({"peerPort": 1179})),
            ("port 0 is the default", json!({"peerPort": 0}), json!({})),
            (
                "a source",
                json!({"sourceAddress": "192.0.2.9"}),
                json!({"sourceAddress": "192.0.2.9"}),
            ),
            ("an identifier", json!({"routerID": "10.0.0.1"}), json!({"routerID": "10.0.0.1"})),
            ("a password", json!({"password": "x"}), json!({"password": "x"})),
            ("a profile", json!({"bfdProfile": "fast"}), json!({"bfdProfile": "fast"})),
            ("several hops", json!({"ebgpMultiHop": true}), json!({"ebgpMultiHop": true})),
            ("selectors", json!({"nodeSelectors": selector}), json!({"nodeSelectors": selector})),
            (
                "an empty selector is for all nodes",
                json!({"nodeSelectors": [{}]}),
                json!({"nodeSelectors": [{}]}),
            ),
            (
                "a selector of empty parts too",
                json!({"nodeSelectors": [{"matchLabels": {}, "matchExpressions": []}]}),
                json!({"nodeSelectors": [{}]}),
            ),
        ];
        for (what, before, after) in cases {
            let converted = convert(peer(V1BETA1, old(before)), V1BETA2).unwrap();
            assert_eq!(converted, peer(V1BETA2, new(after)), "{what}");
        }
    }

    #[test]
    fn a_v1beta2_peer_without_news_becomes_a_plain_v1beta1_one() {
        let timers = json!({"holdTime": "1m30s", "keepaliveTime": "30s"});
        let selector = json!([{}, {"matchLabels": {"rack": "1"}, "matchExpressions":
            [{"key": "zone", "operator": "In", "values": ["a"]}]}]);
        let common = json!({
            "peerPort": 1179, "sourceAddress": "192.0.2.9", "routerID": "10.0.0.1",
            "password": "x", "bfdProfile": "fast", "ebgpMultiHop": true, "nodeSelectors": selector,
        });
        let both = old(with(timers, common));
        let new = new(both.clone());
        assert_eq!(
            convert(peer(V1BETA2, new.clone()), V1BETA1).unwrap(),
            peer(V1BETA1, both.clone())
        );
        assert_eq!(convert(peer(V1BETA1, both), V1BETA2).unwrap(), peer(V1BETA2, new));
    }

    #[test]
    fn what_only_v1beta2_has_survives_a_client_of_v1beta1() {
        // (field, value in v1beta2, the annotation of the v1beta1 form)
        let cases = [
            ("localASN", json!(4_200_000_000_u32), r#"{"localASN":4200000000}"#),
            ("dynamicASN", json!("external"), r#"{"dynamicASN":"external"}"#),
            ("interface", json!("eth0"), r#"{"interface":"eth0"}"#),
            ("connectTime", json!("10s"), r#"{"connectTime":"10s"}"#),
            ("passwordSecret", json!({"name": "tor"}), r#"{"passwordSecret":{"name":"tor"}}"#),
            ("enableGracefulRestart", json!(false), r#"{"enableGracefulRestart":false}"#),
            ("ttlSecurity", json!(1), r#"{"ttlSecurity":1}"#),
            ("passive", json!(true), r#"{"passive":true}"#),
            ("vrf", json!("red"), r#"{"vrf":"red"}"#),
            ("disableMP", json!(true), r#"{"disableMP":true}"#),
            ("dualStackAddressFamily", json!(true), r#"{"dualStackAddressFamily":true}"#),
        ];
        for (field, value, rest) in cases {
            let before = peer(V1BETA2, new(json!({field: value})));
            let read = convert(before.clone(), V1BETA1).unwrap();
            let zeros = json!({"peerPort": 179, "holdTime": "0s", "keepaliveTime": "0s"});
            assert_eq!(read, annotated(old(zeros), rest), "{field}");
            assert_eq!(convert(read, V1BETA2).unwrap(), before, "{field}");
        }
    }

    #[test]
    fn a_timer_that_is_not_set_stays_so_until_somebody_sets_it() {
        let mut unset = new(json!({}));
        unset.as_object_mut().unwrap().retain(|field, _| !field.ends_with("Time"));
        let mut read = convert(peer(V1BETA2, unset.clone()), V1BETA1).unwrap();
        assert_eq!(read["spec"]["holdTime"], json!("0s"), "as MetalLB shows it");
        assert_eq!(
            read["metadata"]["annotations"][REST],
            json!(r#"{"noHoldTime":true,"noKeepaliveTime":true}"#)
        );
        assert_eq!(convert(read.clone(), V1BETA2).unwrap(), peer(V1BETA2, unset.clone()));

        read["spec"]["holdTime"] = json!("30s");
        let set = with(unset, json!({"holdTime": "30s"}));
        assert_eq!(convert(read, V1BETA2).unwrap(), peer(V1BETA2, set));
    }

    #[test]
    fn a_peer_without_address_and_number_comes_back_without() {
        let mut unnumbered = new(json!({"interface": "eth0", "dynamicASN": "internal"}));
        unnumbered.as_object_mut().unwrap().retain(|f, _| f != "peerAddress" && f != "peerASN");
        let before = peer(V1BETA2, unnumbered);
        let read = convert(before.clone(), V1BETA1).unwrap();
        assert_eq!(read["spec"]["peerAddress"], json!(""));
        assert_eq!(read["spec"]["peerASN"], json!(0));
        assert_eq!(convert(read, V1BETA2).unwrap(), before);
    }

    #[test]
    fn an_expression_without_values_comes_back_without() {
        let exists = json!([{"matchExpressions": [{"key": "rack", "operator": "Exists"}]}]);
        let before = peer(V1BETA2, new(json!({"nodeSelectors": exists})));
        let read = convert(before.clone(), V1BETA1).unwrap();
        let expression = &read["spec"]["nodeSelectors"][0]["matchExpressions"][0];
        assert_eq!(expression["values"], json!([]), "v1beta1 requires the field");
        assert_eq!(convert(read, V1BETA2).unwrap(), before);
    }

    #[test]
    fn metadata_is_kept_and_status_is_not() {
        let metadata = json!({
            "name": "tor", "uid": "u", "labels": {"a": "b"}, "annotations": {"c": "d"},
            "finalizers": ["e"], "creationTimestamp": "2025-01-01T00:00:00Z",
        });
        let mut before = peer(V1BETA1, old(json!({})));
        before["metadata"] = metadata.clone();
        before["status"] = json!({});
        let converted = convert(before, V1BETA2).unwrap();
        assert_eq!(converted["metadata"], metadata);
        assert_eq!(converted.get("status"), None);
    }

    #[test]
    fn a_stale_annotation_on_the_stored_form_does_not_win() {
        let mut stored = peer(V1BETA2, new(json!({})));
        stored["metadata"]["annotations"] = json!({REST: r#"{"vrf":"old"}"#});
        let read = convert(stored, V1BETA1).unwrap();
        assert_eq!(read["metadata"].get("annotations"), None);
    }

    #[test]
    fn nothing_changes_for_the_version_that_it_is() {
        for version in [V1BETA1, V1BETA2] {
            let peer = peer(version, json!({"fieldsOfTomorrow": [1]}));
            assert_eq!(convert(peer.clone(), version).unwrap(), peer);
        }
    }

    #[test]
    fn what_cannot_be_converted_says_why() {
        let port = old(json!({"peerPort": "bgp"}));
        let cases = [
            (
                peer("metallb.io/v1beta3", old(json!({}))),
                V1BETA1,
                "there is no BGPPeer of `metallb.io/v1beta3`: use `metallb.io/v1beta2`, or \
                 `metallb.io/v1beta1`",
            ),
            (
                peer(V1BETA1, old(json!({}))),
                "v1beta2",
                "there is no BGPPeer of `v1beta2`: use `metallb.io/v1beta2`, or \
                 `metallb.io/v1beta1`",
            ),
            (
                json!({}),
                V1BETA1,
                "there is no BGPPeer of ``: use `metallb.io/v1beta2`, or \
                 `metallb.io/v1beta1`",
            ),
            (
                peer(V1BETA1, port),
                V1BETA2,
                "the BGPPeer is not one of `metallb.io/v1beta1`: spec.peerPort: invalid type: \
                 string \"bgp\", expected u16",
            ),
            (
                peer(V1BETA2, new(json!({"holdTime": "90"}))),
                V1BETA1,
                "the BGPPeer is not one of `metallb.io/v1beta2`: spec.holdTime: `90` is not a \
                 duration: a number lacks its unit, write `90s` for 90 seconds",
            ),
            (
                annotated(old(json!({})), "{"),
                V1BETA2,
                "the annotation `metallb.io/v1beta2-fields` cannot be read: EOF while parsing an \
                 object at line 1 column 1; remove it, and set its fields in `metallb.io/v1beta2`",
            ),
            (
                annotated(old(json!({})), r#"{"peerPort": 1}"#),
                V1BETA2,
                "the annotation `metallb.io/v1beta2-fields` cannot be read: unknown field \
                 `peerPort`, expected one of `localASN`, `dynamicASN`, `interface`, \
                 `connectTime`, `passwordSecret`, `enableGracefulRestart`, `ttlSecurity`, \
                 `passive`, `vrf`, `disableMP`, `dualStackAddressFamily`, `noHoldTime`, \
                 `noKeepaliveTime` at line 1 column 11; remove it, and set its fields in `metallb.io/v1beta2`",
            ),
        ];
        for (peer, to, why) in cases {
            assert_eq!(convert(peer, to).unwrap_err().to_string(), why);
        }
    }
}
