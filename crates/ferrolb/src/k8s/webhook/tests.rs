//! Webhooks over real TLS on the loopback address.

use std::fs;

use axum::http::{Method, Request};
use kube::Config;
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::http::tests::{ask, free_port, nobody};

const HOST: &str = "metallb-webhook-service.metallb-system.svc";

struct Running {
    client: Client,
    metrics: metrics::Controller,
    _dir: TempDir,
    _tasks: JoinSet<()>,
}

/// Webhooks with the certificate of somebody else, and a client that believes only that one.
fn run() -> Running {
    let dir = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    fs::write(dir.path().join("tls.crt"), certificate.pem()).unwrap();
    fs::write(dir.path().join("tls.key"), key.serialize_pem()).unwrap();
    let metrics = metrics::Controller::new().unwrap();
    let port = free_port();
    let webhooks = Webhooks {
        client: nobody(),
        namespace: "metallb-system".to_owned(),
        metrics: metrics.clone(),
        tls: tls::Settings::read(&args::Tls::default()).unwrap(),
        port,
        http: Http::One,
        certificates: Certificates::Given(dir.path().to_owned()),
    };
    let mut config = Config::new(format!("https://127.0.0.1:{port}").parse().unwrap());
    config.root_cert = Some(vec![certificate.der().to_vec()]);
    config.tls_server_name = Some(HOST.to_owned());
    let client = Client::try_from(config).unwrap();
    Running { client, metrics, _dir: dir, _tasks: start(webhooks).unwrap() }
}

async fn review(running: &Running, path: &str, body: &str) -> (u16, Value) {
    let request = Request::builder().method(Method::POST).uri(path);
    let request = request.header("content-type", "application/json");
    let (code, text) = ask(&running.client, &request.body(body.into()).unwrap()).await;
    (code, serde_json::from_str(&text).unwrap())
}

fn admission(operation: &str, namespace: &str) -> String {
    let object = json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
        "metadata": {"name": "main", "namespace": namespace}, "spec": {"addresses": []},
    });
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "7", "operation": operation, "name": "main", "namespace": namespace,
            "kind": {"group": "metallb.io", "version": "v1beta1", "kind": "IPAddressPool"},
            "resource": {
                "group": "metallb.io", "version": "v1beta1", "resource": "ipaddresspools",
            },
            "userInfo": {}, "object": object, "oldObject": null,
        },
    })
    .to_string()
}

const POOLS: &str = "/validate-metallb-io-v1beta1-ipaddresspool";

#[tokio::test]
async fn an_object_elsewhere_is_not_created() {
    let running = run();
    let (code, answer) = review(&running, POOLS, &admission("CREATE", "default")).await;
    let response = &answer["response"];
    assert_eq!((code, &response["uid"], &response["allowed"]), (200, &json!("7"), &json!(false)));
    let message = "resource must be created in metallb-system namespace";
    assert_eq!(response["status"]["message"], message);
    assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
    let page = running.metrics.process().render();
    let line = "ferrolb_webhook_requests_total{kind=\"IPAddressPool\",result=\"denied\"} 1";
    assert!(page.contains(line), "{page}");
}

#[tokio::test]
async fn an_object_elsewhere_may_be_edited_and_removed() {
    let running = run();
    let (_, answer) = review(&running, POOLS, &admission("UPDATE", "default")).await;
    assert_eq!(answer["response"]["allowed"], true);
    assert_eq!(
        answer["response"]["warnings"],
        json!(["it is without effect: only objects in metallb-system count"])
    );
    let (_, answer) = review(&running, POOLS, &admission("DELETE", "default")).await;
    assert_eq!(answer["response"]["allowed"], true);
}

#[tokio::test]
async fn what_cannot_be_checked_is_refused_with_the_cause() {
    let running = run();
    let (_, answer) = review(&running, POOLS, &admission("CREATE", "metallb-system")).await;
    let response = &answer["response"];
    assert_eq!((&response["allowed"], &response["status"]["code"]), (&json!(false), &json!(500)));
    let message = response["status"]["message"].as_str().unwrap();
    assert!(message.starts_with("reading the settings that there are: "), "{message}");
}

#[tokio::test]
async fn rubbish_is_answered_and_harms_nobody() {
    let running = run();
    for body in ["", "{}", "[1]", "{\"request\": 1}"] {
        for path in ["/convert", POOLS] {
            let (code, answer) = review(&running, path, body).await;
            assert_eq!(code, 400, "{path} {body}");
            assert!(answer["response"].is_object(), "{path} {body}");
        }
    }
    let (code, _) = review(&running, POOLS, &admission("DELETE", "default")).await;
    assert_eq!(code, 200);
}

#[tokio::test]
async fn a_peer_is_converted_as_the_api_server_asks_for_it() {
    let running = run();
    let peer = json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "BGPPeer", "metadata": {"name": "p"},
        "spec": {"myASN": 64512, "peerASN": 64513, "peerAddress": "192.0.2.1"},
    });
    let body = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview",
        "request": {"uid": "9", "desiredAPIVersion": "metallb.io/v1beta2", "objects": [peer]},
    });
    let (code, answer) = review(&running, "/convert", &body.to_string()).await;
    let response = &answer["response"];
    assert_eq!((code, &response["result"]["status"]), (200, &json!("Success")));
    assert_eq!(response["uid"], "9");
    assert_eq!(response["convertedObjects"][0]["apiVersion"], "metallb.io/v1beta2");
}
