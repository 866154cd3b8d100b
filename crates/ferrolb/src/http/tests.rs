//! The servers of a process, over real connections on the loopback address.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use std::{iter, process};

use axum::http::{Method, Request};
use kube::client::Body;
use kube::{Client, Config};

use super::*;

/// How long a server may take to answer.
const LIMIT: Duration = Duration::from_secs(20);

/// A port that nobody has: below those that the kernel gives to others, another one each time, and
/// not those of a test that runs in a process beside this one.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(process::id() % 1_000).unwrap() * 16;
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    iter::repeat_with(|| 10_000 + own + NEXT.fetch_add(1, Ordering::Relaxed)).find(is_free).unwrap()
}

/// A client for `url` that takes any certificate.
pub(crate) fn client(url: &str) -> Client {
    let mut config = Config::new(url.parse().unwrap());
    config.accept_invalid_certs = true;
    // It would ask again and again while the answer is 503.
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

/// A client for an API server that is not there.
pub(crate) fn nobody() -> Client {
    client("http://127.0.0.1:1")
}

/// The code and the text of an answer, as soon as there is one.
pub(crate) async fn ask(client: &Client, request: &Request<Vec<u8>>) -> (u16, String) {
    let answered = async {
        loop {
            let body = Body::from(request.body().clone());
            let mut again = Request::new(body);
            *again.method_mut() = request.method().clone();
            *again.uri_mut() = request.uri().clone();
            *again.headers_mut() = request.headers().clone();
            if let Ok(answer) = client.send(again).await {
                let code = answer.status().as_u16();
                let text = answer.into_body().collect_bytes().await.unwrap();
                return (code, String::from_utf8(text.to_vec()).unwrap());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT, answered).await.expect("no answer in time")
}

fn get(path: &str) -> Request<Vec<u8>> {
    Request::builder().method(Method::GET).uri(path).body(Vec::new()).unwrap()
}

struct Running {
    health: Client,
    metrics: Client,
    is_ready: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

fn run(health_port: u16) -> Running {
    let metrics_port = free_port();
    let (is_ready, watched) = watch::channel(false);
    let metrics = metrics::Controller::new().unwrap();
    let servers = Servers {
        health_reach: Reach::Loopback,
        health_port,
        is_ready: watched,
        metrics_port,
        more_metrics_port: 0,
        metrics: metrics.process().clone(),
        tls: tls::Settings::read(&crate::args::Tls::default()).unwrap(),
        metrics_cert_dir: None,
        client: nobody(),
    };
    Running {
        health: client(&format!("http://127.0.0.1:{health_port}")),
        metrics: client(&format!("https://127.0.0.1:{metrics_port}")),
        is_ready,
        _tasks: start(servers).unwrap(),
    }
}

#[tokio::test]
async fn a_process_is_alive_at_once_and_ready_when_it_says_so() {
    let running = run(free_port());
    assert_eq!(ask(&running.health, &get("/healthz")).await, (200, "ok".to_owned()));
    assert_eq!(ask(&running.health, &get("/readyz")).await.0, 503);
    running.is_ready.send(true).unwrap();
    assert_eq!(ask(&running.health, &get("/readyz")).await, (200, "ok".to_owned()));
}

#[tokio::test]
async fn a_port_that_is_taken_is_served_once_it_is_free() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let running = run(taken.local_addr().unwrap().port());
    // By then the other port has been tried too.
    assert_eq!(ask(&running.metrics, &get("/metrics")).await.0, 401);
    drop(taken);
    assert_eq!(ask(&running.health, &get("/healthz")).await.0, 200);
}

#[tokio::test]
async fn metrics_are_for_those_whom_the_api_server_knows() {
    let running = run(free_port());
    let mut request = get("/metrics");
    assert_eq!(ask(&running.metrics, &request).await.0, 401, "no token");
    request.headers_mut().insert(header::AUTHORIZATION, "Basic YTpi".parse().unwrap());
    assert_eq!(ask(&running.metrics, &request).await.0, 401, "no token of Kubernetes");
    request.headers_mut().insert(header::AUTHORIZATION, "Bearer abc".parse().unwrap());
    assert_eq!(ask(&running.metrics, &request).await.0, 500, "nobody to ask");
}
