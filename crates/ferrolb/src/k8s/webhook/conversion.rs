//! BGPPeers of one version in another, for clients of either.

use kube::core::Status;
use kube::core::conversion::{ConversionRequest, ConversionResponse};
use serde_json::Value;

use crate::api::bgp_peer_conversion;

/// Converts all objects of a request, or names all that cannot be.
pub(super) fn answer(mut request: ConversionRequest) -> ConversionResponse {
    let version = request.desired_api_version.clone();
    let mut converted = Vec::with_capacity(request.objects.len());
    let mut failures = Vec::new();
    for object in std::mem::take(&mut request.objects) {
        let name = name(&object);
        match bgp_peer_conversion::convert(object, &version) {
            Ok(object) => converted.push(object),
            Err(error) => failures.push(format!("{name}: {error}")),
        }
    }
    let response = ConversionResponse::for_request(request);
    if failures.is_empty() {
        return response.success(converted);
    }
    response.failure(Status::failure(&failures.join("\n"), "Invalid").with_code(422))
}

fn name(object: &Value) -> String {
    let text = |path| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let parts = [text("/kind"), text("/metadata/namespace"), text("/metadata/name")];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(objects: Vec<Value>) -> ConversionRequest {
        let desired_api_version = "metallb.io/v1beta2".to_owned();
        ConversionRequest { types: None, uid: "1".to_owned(), desired_api_version, objects }
    }

    fn peer(name: &str, asn: Value) -> Value {
        json!({
            "apiVersion": "metallb.io/v1beta1", "kind": "BGPPeer",
            "metadata": {"name": name, "namespace": "metallb-system"},
            "spec": {"myASN": asn, "peerASN": 64513, "peerAddress": "192.0.2.1"},
        })
    }

    #[test]
    fn all_objects_are_converted_in_their_order() {
        let answer = answer(request(vec![peer("a", json!(64512)), peer("b", json!(64514))]));
        assert!(answer.result.is_success());
        let asns: Vec<_> =
            answer.converted_objects.iter().map(|peer| &peer["spec"]["myASN"]).collect();
        assert_eq!(asns, [&json!(64512), &json!(64514)]);
        assert_eq!(answer.converted_objects[0]["apiVersion"], "metallb.io/v1beta2");
    }

    #[test]
    fn every_object_that_cannot_be_converted_is_named() {
        let objects = vec![peer("a", json!("x")), peer("b", json!(64514)), peer("c", json!("y"))];
        let answer = answer(request(objects));
        assert!(answer.result.is_failure());
        assert!(answer.converted_objects.is_empty());
        let lines: Vec<_> = answer.result.message.lines().collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("BGPPeer/metallb-system/a: "), "{lines:?}");
        assert!(lines[1].starts_with("BGPPeer/metallb-system/c: "), "{lines:?}");
    }
}
