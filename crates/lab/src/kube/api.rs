//! A client of the API server, with the rights of an administrator.
//!
//! It is not the client that ferrolb uses: a test that looks through the eyes of the program
//! under test would share its mistakes. It knows no types either: objects are JSON.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use http::{Method, Request};
use http_body_util::BodyExt as _;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use super::pki::{Authority, Identity};
use crate::netns::Netns;

/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(10);

/// How long a kind may take to be served after its definition was created.
const SERVED: Duration = Duration::from_secs(10);

/// How often something awaited is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// The name under which fields are owned that [`Api::apply`] sets.
const MANAGER: &str = "lab";

/// A client of the API server. Clones share connections; use it from as many threads as you like.
#[derive(Clone)]
pub struct Api {
    client: Client<HttpsConnector<HttpConnector>, String>,
    // Its threads were made in the namespace, and so are the sockets.
    runtime: Arc<Runtime>,
    server: String,
}

/// The API server said no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The HTTP status code.
    pub code: u16,
    /// Kubernetes' word for it, such as `NotFound` or `Conflict`.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.code, self.reason, self.message)
    }
}

impl std::error::Error for Refused {}

/// How a [`Api::patch`] is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patch {
    /// RFC 7396: what is given replaces, `null` removes.
    Merge,
    /// RFC 6902: a list of operations.
    Json,
    /// Server-side apply, by force.
    Apply,
}

impl Patch {
    fn content_type(self) -> &'static str {
        match self {
            Self::Merge => "application/merge-patch+json",
            Self::Json => "application/json-patch+json",
            Self::Apply => "application/apply-patch+yaml",
        }
    }
}

impl Api {
    /// Connects from `netns` to `https://SERVER`, when first asked for something.
    pub(crate) fn new(
        netns: &Netns,
        server: &str,
        authority: &Authority,
        admin: &Identity,
    ) -> Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&authority.file)?)?;
        let certificate = CertificateDer::from_pem_file(&admin.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&admin.key)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate], key)?;
        let https =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1().build();
        let runtime = netns
            .run(|| Builder::new_multi_thread().worker_threads(1).enable_all().build())
            .context("starting a runtime")?;
        let client = Client::builder(TokioExecutor::new()).build(https);
        Ok(Self { client, runtime: Arc::new(runtime), server: format!("https://{server}") })
    }

    /// What is at a path, such as `/api/v1/nodes/node-a`.
    ///
    /// # Errors
    ///
    /// With a [`Refused`] in it when the server says no.
    pub fn get(&self, path: &str) -> Result<Value> {
        self.ask(Method::GET, path, "", String::new())
    }

    /// What is at a path, if something is.
    ///
    /// # Errors
    ///
    /// As [`Api::get`], except for "not found".
    pub fn find(&self, path: &str) -> Result<Option<Value>> {
        match self.get(path) {
            Ok(object) => Ok(Some(object)),
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates an object in a collection, such as `/api/v1/nodes`; returns it as stored.
    ///
    /// # Errors
    ///
    /// As [`Api::get`].
    pub fn create(&self, collection: &str, object: &Value) -> Result<Value> {
        self.ask(Method::POST, collection, "application/json", object.to_string())
    }

    /// Puts an object, or its `/status`, in place of the one that is there.
    ///
    /// # Errors
    ///
    /// As [`Api::get`].
    pub fn replace(&self, path: &str, object: &Value) -> Result<Value> {
        self.ask(Method::PUT, path, "application/json", object.to_string())
    }

    /// Changes an object, or its `/status`.
    ///
    /// # Errors
    ///
    /// As [`Api::get`].
    pub fn patch(&self, path: &str, kind: Patch, patch: &Value) -> Result<Value> {
        let query = match kind {
            Patch::Apply => format!("?fieldManager={MANAGER}&force=true"),
            Patch::Merge | Patch::Json => format!("?fieldManager={MANAGER}"),
        };
        let path = format!("{path}{query}");
        self.ask(Method::PATCH, &path, kind.content_type(), patch.to_string())
    }

    /// Deletes an object, or all of a collection. Nothing there is fine.
    ///
    /// # Errors
    ///
    /// As [`Api::get`], except for "not found".
    pub fn delete(&self, path: &str) -> Result<()> {
        match self.ask(Method::DELETE, path, "", String::new()) {
            Err(error) if !is_not_found(&error) => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Makes every object of the manifests be as they say, as `kubectl apply --server-side` does.
    /// A kind that is not served yet is waited for. Objects without a namespace are in `default`.
    ///
    /// # Errors
    ///
    /// When the manifests cannot be read, or as [`Api::get`] with the object that is to blame.
    pub fn apply(&self, yaml: &str) -> Result<()> {
        let objects: Vec<Value> = serde_saphyr::from_multiple(yaml).context("reading manifests")?;
        objects.iter().filter(|object| !object.is_null()).try_for_each(|object| self.put(object))
    }

    /// [`Api::apply`] of one object.
    ///
    /// # Errors
    ///
    /// As [`Api::apply`].
    pub fn put(&self, object: &Value) -> Result<()> {
        let applied = self.path(object).and_then(|path| self.patch(&path, Patch::Apply, object));
        applied
            .map(drop)
            .with_context(|| format!("applying {} {}", object["kind"], object["metadata"]["name"]))
    }

    /// Where an object is or will be.
    ///
    /// # Errors
    ///
    /// When it lacks a name or kind, or its kind is not served within some seconds.
    pub fn path(&self, object: &Value) -> Result<String> {
        let word = |value: &Value, what| {
            value.as_str().map(str::to_owned).with_context(|| format!("it has no {what}"))
        };
        let version = word(&object["apiVersion"], "apiVersion")?;
        let kind = word(&object["kind"], "kind")?;
        let name = word(&object["metadata"]["name"], "name")?;
        let group = if version.contains('/') { "apis" } else { "api" };
        let root = format!("/{group}/{version}");
        let what = format!("{kind} is served");
        let resource = self.wait(&root, &what, SERVED, |list| resource(list, &kind).is_some())?;
        let (plural, is_namespaced) = resource_of(&resource, &kind)?;
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default");
        Ok(match is_namespaced {
            true => format!("{root}/namespaces/{namespace}/{plural}/{name}"),
            false => format!("{root}/{plural}/{name}"),
        })
    }

    /// Waits until what is at a path is as wished, and returns it. Nothing there is `null`, and a
    /// server that does not answer is asked again.
    ///
    /// # Errors
    ///
    /// When it is not so within `limit`, with what was there last.
    pub fn wait(
        &self,
        path: &str,
        what: &str,
        limit: Duration,
        wish: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let end = Instant::now() + limit;
        loop {
            let found = self.find(path).map(Option::unwrap_or_default);
            match found {
                Ok(object) if wish(&object) => return Ok(object),
                Ok(_) | Err(_) if Instant::now() < end => thread::sleep(LOOK),
                Ok(object) => bail!("{what}: not within {limit:?}; `{path}` is {object:#}"),
                Err(error) => return Err(error.context(format!("{what}: not within {limit:?}"))),
            }
        }
    }

    /// Follows a collection, such as `/api/v1/services`: each event with the moment that it came.
    /// Ends when the receiver is dropped, or the server ends it.
    pub fn watch(&self, collection: &str) -> mpsc::Receiver<(Instant, Value)> {
        let (events, received) = mpsc::channel();
        let client = self.client.clone();
        let uri = format!("{}{collection}?watch=true", self.server);
        self.runtime.spawn(async move {
            let request = Request::builder().uri(uri).body(String::new())?;
            let mut body = client.request(request).await?.into_body();
            let mut text = Vec::new();
            while let Some(frame) = body.frame().await {
                text.extend_from_slice(frame?.data_ref().map_or(&[][..], |data| data));
                let now = Instant::now();
                while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = text.drain(..=end).collect();
                    events.send((now, serde_json::from_slice(&line)?))?;
                }
            }
            Ok::<_, anyhow::Error>(())
        });
        received
    }

    /// The text at a path, such as `/metrics`.
    ///
    /// # Errors
    ///
    /// As [`Api::get`].
    pub fn text(&self, path: &str) -> Result<String> {
        let found = self.get(path)?;
        Ok(found.as_str().map_or_else(|| found.to_string(), str::to_owned))
    }

    fn ask(&self, method: Method, path: &str, content_type: &str, body: String) -> Result<Value> {
        let asked = || -> Result<Value> {
            let mut request = Request::builder().method(&method).uri(self.server.clone() + path);
            if !content_type.is_empty() {
                request = request.header(http::header::CONTENT_TYPE, content_type);
            }
            self.send(request.body(body)?)
        };
        asked().with_context(|| format!("{method} {path}"))
    }

    /// Everything is awaited on the runtime's thread, where the namespace is the right one.
    fn send(&self, request: Request<String>) -> Result<Value> {
        let client = self.client.clone();
        let (answer, answered) = mpsc::sync_channel(1);
        self.runtime.spawn(async move {
            let exchange = async {
                let response = client.request(request).await?;
                let code = response.status();
                let body = response.into_body().collect().await?.to_bytes();
                Ok::<_, anyhow::Error>((code, body))
            };
            let result = tokio::time::timeout(REQUEST, exchange).await;
            // Nobody waits any more only when the caller's thread is gone.
            let _ = answer.send(result);
        });
        let answer = answered.recv().context("the client's runtime is gone")?;
        let (code, body) = answer.with_context(|| format!("no answer within {REQUEST:?}"))??;
        let body = match serde_json::from_slice(&body) {
            Ok(body) => body,
            Err(_) => Value::String(String::from_utf8_lossy(&body).into_owned()),
        };
        if code.is_success() {
            return Ok(body);
        }
        let text = |field: &Value| field.as_str().unwrap_or_default().to_owned();
        let message = body.as_str().map_or_else(|| text(&body["message"]), str::to_owned);
        bail!(Refused { code: code.as_u16(), reason: text(&body["reason"]), message })
    }
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Api({})", self.server)
    }
}

/// Whether the server said that there is nothing.
fn is_not_found(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Refused>().is_some_and(|refused| refused.code == 404)
}

/// The entry of a kind in the list of what a group serves; those with a slash are parts of others.
fn resource<'a>(list: &'a Value, kind: &str) -> Option<&'a Value> {
    let is_whole = |entry: &Value| entry["name"].as_str().is_some_and(|name| !name.contains('/'));
    list["resources"].as_array()?.iter().find(|entry| entry["kind"] == kind && is_whole(entry))
}

/// The plural of a kind, and whether it is in namespaces.
fn resource_of(list: &Value, kind: &str) -> Result<(String, bool)> {
    let entry = resource(list, kind).with_context(|| format!("{kind} is not served"))?;
    let plural = entry["name"].as_str().with_context(|| format!("{kind} has no plural"))?;
    Ok((plural.to_owned(), entry["namespaced"] == true))
}
