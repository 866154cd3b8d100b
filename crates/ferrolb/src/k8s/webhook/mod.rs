//! Webhooks: settings are checked on their way into the API server, and BGPPeers converted.
//!
//! Paths, texts and the meaning of answers are MetalLB's, so that its manifests find here what they
//! name. Each replica answers; none needs to lead.

mod conversion;
mod existing;
mod verdict;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use kube::Client;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview, Operation};
use kube::core::conversion::{ConversionRequest, ConversionResponse, ConversionReview};
use kube::core::{DynamicObject, Status};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::certs;
use crate::args;
use crate::http::certificate::{self, Certificate};
use crate::http::{Reach, Server, serve, tls};
use crate::metrics::{self, Admission};
use crate::source::object::Object;

use verdict::Verdict;

/// The port that MetalLB's manifests name `webhook-server`.
pub const PORT: u16 = 9443;

/// Bytes of the longest request. One object has 1.5 MB at most, but a list is converted at once.
const LONGEST_REQUEST: usize = 32 << 20;

/// How many requests are looked at at once; each holds a copy of all settings.
const REQUESTS: usize = 8;

/// How long reading the settings may take. The API server waits for 10 s.
const PATIENCE: Duration = Duration::from_secs(8);

/// The kinds that are checked, with their paths.
const KINDS: [(&str, &str); 6] = [
    ("/validate-metallb-io-v1beta1-bfdprofile", "BFDProfile"),
    ("/validate-metallb-io-v1beta1-bgpadvertisement", "BGPAdvertisement"),
    ("/validate-metallb-io-v1beta2-bgppeer", "BGPPeer"),
    ("/validate-metallb-io-v1beta1-community", "Community"),
    ("/validate-metallb-io-v1beta1-ipaddresspool", "IPAddressPool"),
    ("/validate-metallb-io-v1beta1-l2advertisement", "L2Advertisement"),
];

/// What the webhooks of a controller need.
pub struct Webhooks {
    /// Reads settings; keeps certificates.
    pub client: Client,
    /// The namespace in which settings count.
    pub namespace: String,
    /// Counts requests.
    pub metrics: metrics::Controller,
    /// How TLS is spoken.
    pub tls: tls::Settings,
    /// TCP port; [`PORT`] unless somebody tries something out.
    pub port: u16,
    /// Whether HTTP/2 is spoken too.
    pub http: Http,
    /// Where the certificate comes from.
    pub certificates: Certificates,
}

/// Which versions of HTTP are spoken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Http {
    /// HTTP/1.1 only: the API server needs no more, and HTTP/2 has been used for attacks.
    One,
    /// HTTP/2, and HTTP/1.1.
    Two,
}

/// Where the certificate of the webhooks comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Certificates {
    /// It is made here and kept in a Secret, which the replicas share.
    Made(certs::Names),
    /// Others make it, and write it into a directory.
    Given(PathBuf),
}

impl Webhooks {
    /// Webhooks as the flags want them.
    pub fn new(
        args: &args::Controller,
        (client, namespace): (Client, String),
        metrics: metrics::Controller,
        tls: tls::Settings,
    ) -> Self {
        let certificates = if args.disable_cert_rotation {
            Certificates::Given(args.cert_dir.clone())
        } else {
            Certificates::Made(certs::Names {
                namespace: namespace.clone(),
                secret: args.webhook_secret.clone(),
                service: args.cert_service_name.clone(),
            })
        };
        let http = if args.webhook_http2 { Http::Two } else { Http::One };
        Self { client, namespace, metrics, tls, port: PORT, http, certificates }
    }
}

/// Answers the API server, and keeps the certificates, until what is returned is dropped.
/// To be called on a tokio runtime, unless `--webhook-mode=disabled`.
///
/// # Errors
///
/// The flags leave no TLS to speak.
pub fn start(webhooks: Webhooks) -> Result<JoinSet<()>, rustls::Error> {
    let Webhooks { client, namespace, metrics, tls, port, http, certificates } = webhooks;
    let mut tasks = JoinSet::new();
    let certificate = Arc::new(Certificate::default());
    let protocols: &[_] = match http {
        Http::One => &["http/1.1"],
        Http::Two => &["h2", "http/1.1"],
    };
    let config = tls.server(Arc::clone(&certificate) as _, protocols)?;
    let provider = tls.provider().clone();
    match certificates {
        Certificates::Given(dir) => {
            tasks.spawn(certificate::follow_files(dir, certificate, provider));
        }
        Certificates::Made(names) => {
            let shown = certs::Shown { certificate, provider, metrics: metrics.clone() };
            tasks.spawn(certs::keep(client.clone(), names, shown));
        }
    }
    let desk = Desk { client, namespace, metrics, requests: Semaphore::new(REQUESTS) };
    tasks.spawn(serve(Server {
        what: "webhooks",
        reach: Reach::Everywhere,
        port,
        tls: Some(config),
        router: router(desk),
    }));
    Ok(tasks)
}

fn router(desk: Desk) -> Router {
    let mut router = Router::new().route("/convert", post(convert));
    for (path, kind) in KINDS {
        let answer = async move |State(desk): State<Arc<Desk>>, body: Bytes| -> Response {
            desk.answer(kind, &body).await
        };
        router = router.route(path, post(answer));
    }
    router.layer(DefaultBodyLimit::max(LONGEST_REQUEST)).with_state(Arc::new(desk))
}

async fn convert(body: Bytes) -> Response {
    let request = serde_json::from_slice::<ConversionReview>(&body)
        .map_err(|error| error.to_string())
        .and_then(|review| {
            ConversionRequest::from_review(review).map_err(|error| error.to_string())
        });
    match request {
        Ok(request) => Json(conversion::answer(request).into_review()).into_response(),
        Err(error) => {
            let status = Status::failure(&unreadable(&error), "BadRequest").with_code(400);
            (StatusCode::BAD_REQUEST, Json(ConversionResponse::invalid(status).into_review()))
                .into_response()
        }
    }
}

fn unreadable(error: &str) -> String {
    format!("reading the request: {error}")
}

/// Where requests are looked at.
struct Desk {
    client: Client,
    namespace: String,
    metrics: metrics::Controller,
    requests: Semaphore,
}

impl Desk {
    async fn answer(&self, kind: &'static str, body: &[u8]) -> Response {
        let request: Result<AdmissionRequest<DynamicObject>, String> =
            serde_json::from_slice::<AdmissionReview<DynamicObject>>(body)
                .map_err(|error| error.to_string())
                .and_then(|review| review.try_into().map_err(|_| "it has no `request`".to_owned()));
        let request = match request {
            Ok(request) => request,
            Err(error) => {
                self.metrics.admission(kind, Admission::Failed);
                let response = AdmissionResponse::invalid(unreadable(&error)).into_review();
                return (StatusCode::BAD_REQUEST, Json(response)).into_response();
            }
        };
        let mut response = AdmissionResponse::from(&request);
        let (admission, response) = match self.judge(kind, &request).await {
            Ok(verdict) if verdict.is_allowed() => {
                response.warnings = verdict.warnings();
                (Admission::Allowed, response)
            }
            Ok(verdict) => (Admission::Denied, refuse(response, &verdict.refusal(), 403)),
            Err(unjudged) => (Admission::Failed, refuse(response, &unjudged.to_string(), 500)),
        };
        self.metrics.admission(kind, admission);
        Json(response.into_review()).into_response()
    }

    async fn judge(
        &self,
        kind: &'static str,
        request: &AdmissionRequest<DynamicObject>,
    ) -> Result<Verdict, Unjudged> {
        let Self { client, namespace, .. } = self;
        let is_here = request.namespace.as_deref() == Some(namespace);
        match request.operation {
            Operation::Create if !is_here => return Ok(Verdict::elsewhere(namespace)),
            Operation::Update if !is_here => return Ok(Verdict::without_effect(namespace)),
            Operation::Delete if kind == "BFDProfile" && is_here => {}
            Operation::Delete | Operation::Connect => return Ok(Verdict::default()),
            Operation::Create | Operation::Update => {}
        }
        let read = async {
            let _turn = self.requests.acquire().await;
            existing::settings(client, namespace).await
        };
        let existing = tokio::time::timeout(PATIENCE, read).await.map_err(|_| Unjudged::Late)??;
        if request.operation == Operation::Delete {
            return Ok(verdict::of_removal(&request.name, &existing));
        }
        let Some(object) = &request.object else { return Ok(Verdict::default()) };
        if object.metadata.deletion_timestamp.is_some() {
            // Whoever takes a finalizer off must not be held up by what is wrong with the rest.
            return Ok(Verdict::default());
        }
        let incoming = match incoming(kind, object) {
            Ok(incoming) => incoming,
            Err(misfit) => return Ok(Verdict::misfit(&misfit)),
        };
        let mut existing = existing;
        let secret = existing::secret(client, namespace, &incoming);
        existing
            .secrets
            .extend(tokio::time::timeout(PATIENCE, secret).await.map_err(|_| Unjudged::Late)??);
        Ok(verdict::of(&existing, &incoming))
    }
}

/// The object of a request, as one that the API server has not seen yet: in a conflict the
/// youngest is wrong, and that is this one.
fn incoming(kind: &str, object: &DynamicObject) -> Result<Object, String> {
    let mut object = object.clone();
    object.metadata.creation_timestamp = None;
    if object.metadata.name.is_none() {
        object.metadata.name = object.metadata.generate_name.clone();
    }
    let version = object.types.as_ref().map(|types| types.api_version.clone()).unwrap_or_default();
    let value = serde_json::to_value(object).map_err(|error| error.to_string())?;
    match Object::read(&version, kind, value, &mut Vec::new()) {
        Ok(Some(object)) => Ok(object),
        Ok(None) => Err(format!("there is no {kind} of `{version}` here")),
        Err(misfit) if misfit.field.is_empty() => Err(misfit.message),
        Err(misfit) => Err(format!("{}: {}", misfit.field, misfit.message)),
    }
}

fn refuse(response: AdmissionResponse, message: &str, code: u16) -> AdmissionResponse {
    let mut response = response.deny(message);
    response.result.code = code;
    response
}

/// Why a request could not be judged. The API server refuses it then, as the manifests tell it.
#[derive(Debug, thiserror::Error)]
enum Unjudged {
    #[error("reading the settings that there are: {0}; try again")]
    Unread(#[from] kube::Error),
    #[error("reading the settings that there are took more than {} s; try again", PATIENCE.as_secs())]
    Late,
}
