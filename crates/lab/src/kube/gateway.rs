//! A gateway before the API server, which answers badly when told to.
//!
//! It stands in for what happens in real clusters and cannot be asked of a real API server: one
//! that is overloaded, a replica of it that lags, a load balancer before it that cuts connections.
//! Programs reach it by their kubeconfig; what no rule is for passes through unchanged. Rules are
//! looked at when a request comes, and [`Fault::Hold`] and [`Fault::Reverse`] also while a watch is
//! open.

mod fault;

use std::convert::Infallible;
use std::fmt;
use std::io::{Error, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use futures_util::future::{Either, select};
use futures_util::{TryStreamExt as _, stream};
use http::header::{self, HeaderMap};
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tokio::time;
use tokio_rustls::TlsAcceptor;

use self::fault::{events, reversed, since};
use super::pki::{Authority, Identity};
use crate::netns::Netns;

pub use fault::{Answer, Asked, Fault, status};

/// How many pieces of a watch may wait for a client that does not read.
const WAITING: usize = 64;

type Body = BoxBody<Bytes, Error>;
type Rules = Vec<Arc<Rule>>;
type Piece = Result<Bytes, Error>;

struct Rule {
    is_for: Box<dyn Fn(&Asked) -> bool + Send + Sync>,
    fault: Fault,
}

struct State {
    server: String,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    rules: watch::Sender<Rules>,
    /// One more with each time that all watches were cut.
    cuts: watch::Sender<u64>,
    asked: Mutex<Vec<Asked>>,
}

/// A gateway that runs. Dropping it ends it, and cuts all connections.
pub struct Gateway {
    state: Arc<State>,
    address: SocketAddr,
    _runtime: Runtime,
}

impl Gateway {
    /// Listens at `address`, with the API server's own certificate, for what is to reach `server`.
    pub(crate) fn start(
        netns: &Netns,
        address: SocketAddr,
        server: SocketAddr,
        (authority, identity): (&Authority, &Identity),
    ) -> Result<Self> {
        let acceptor = acceptor(identity)?;
        let client = client(authority)?;
        let make = move || -> Result<_> {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            // Its threads are made in the namespace, and so are the sockets.
            let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
            Ok((listener, runtime))
        };
        let (listener, runtime) = netns.run(make).context("starting a gateway")?;
        let state = Arc::new(State {
            server: format!("https://{server}"),
            client,
            rules: watch::Sender::default(),
            cuts: watch::Sender::default(),
            asked: Mutex::default(),
        });
        let serving = Arc::clone(&state);
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            loop {
                let (stream, from) = listener.accept().await?;
                let (acceptor, state) = (acceptor.clone(), Arc::clone(&serving));
                tokio::spawn(serve(stream, from.ip(), acceptor, state));
            }
            #[expect(unreachable_code, reason = "it says what the question marks return")]
            Ok::<_, Error>(())
        });
        Ok(Self { state, address, _runtime: runtime })
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on this happens to requests that `is_for` is true of; the first rule counts.
    pub fn when(&self, is_for: impl Fn(&Asked) -> bool + Send + Sync + 'static, fault: Fault) {
        let rule = Arc::new(Rule { is_for: Box::new(is_for), fault });
        self.state.rules.send_modify(|rules| rules.push(rule));
    }

    /// All goes well again, and what was held back is passed on.
    pub fn heal(&self) {
        self.state.rules.send_modify(Vec::clear);
    }

    /// Cuts all watches that are open.
    pub fn cut_watches(&self) {
        self.state.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Everything that was asked for since the last call.
    #[must_use]
    pub fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.state.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gateway({})", self.address)
    }
}

fn acceptor(identity: &Identity) -> Result<TlsAcceptor> {
    let certificate = CertificateDer::from_pem_file(&identity.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&identity.key)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn client(authority: &Authority) -> Result<Client<HttpsConnector<HttpConnector>, Full<Bytes>>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&authority.file)?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let https =
        HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1().build();
    Ok(Client::builder(TokioExecutor::new()).build(https))
}

/// One connection. However it ends, there is nobody to tell.
async fn serve(stream: TcpStream, from: IpAddr, acceptor: TlsAcceptor, state: Arc<State>) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let service = service_fn(move |request| answer(Arc::clone(&state), from, request));
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// An error cuts the connection.
async fn answer(
    state: Arc<State>,
    from: IpAddr,
    request: Request<Incoming>,
) -> Result<Response<Body>, Error> {
    let asked = Asked {
        from,
        method: request.method().clone(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
    };
    state.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked.clone());
    let fault = state.fault(&asked);
    match &fault {
        Some(Fault::Answer(answer)) => return Ok(refusal(answer)),
        Some(Fault::Event(event)) => return Ok(whole(200, format!("{event}\n"))),
        Some(Fault::Delay(time)) => time::sleep(*time).await,
        Some(_) | None => (),
    }
    let stale = match &fault {
        Some(Fault::Stale(list)) if asked.is_streamed_list() => Some(list),
        Some(_) | None => None,
    };
    let request = state.handed_on(request, stale).await?;
    let response = state.client.request(request).await.map_err(Error::other)?;
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(header::CONNECTION);
    if asked.is_watch() && parts.status.is_success() {
        let begin = stale.map(events).unwrap_or_default();
        let (pieces, stream) = mpsc::channel(WAITING);
        tokio::spawn(Watch { state, asked, fault }.run(begin, body, pieces));
        return Ok(Response::from_parts(parts, streamed(stream)));
    }
    let body = body.collect().await.map_err(Error::other)?.to_bytes();
    if matches!(fault, Some(Fault::LoseAnswer)) {
        return Err(ErrorKind::ConnectionReset.into());
    }
    parts.headers.remove(header::TRANSFER_ENCODING);
    Ok(Response::from_parts(parts, full(body)))
}

impl State {
    fn fault(&self, asked: &Asked) -> Option<Fault> {
        let rules = self.rules.borrow();
        rules.iter().find(|rule| (rule.is_for)(asked)).map(|rule| rule.fault.clone())
    }

    /// The request for the API server; one for what happened since a list, if there is one.
    async fn handed_on(
        &self,
        request: Request<Incoming>,
        stale: Option<&Value>,
    ) -> Result<Request<Full<Bytes>>, Error> {
        let (mut parts, body) = request.into_parts();
        let body = body.collect().await.map_err(Error::other)?.to_bytes();
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let target = match stale.and_then(|list| list["metadata"]["resourceVersion"].as_str()) {
            Some(version) => since(target, version),
            None => target.to_owned(),
        };
        parts.uri = format!("{}{target}", self.server).parse().map_err(Error::other)?;
        for hop in [header::HOST, header::CONNECTION, header::CONTENT_LENGTH] {
            parts.headers.remove(hop);
        }
        Ok(Request::from_parts(parts, Full::new(body)))
    }
}

/// A watch that is open.
struct Watch {
    state: Arc<State>,
    asked: Asked,
    fault: Option<Fault>,
}

impl Watch {
    /// Passes on what comes, after `begin`, until it ends, is cut, or the client is gone.
    async fn run(self, begin: String, body: Incoming, pieces: mpsc::Sender<Piece>) {
        let mut cuts = self.state.cuts.subscribe();
        let cut = pin!(cuts.changed());
        let gone = pin!(pieces.closed());
        let stop = select(cut, gone);
        let passed = match select(pin!(self.pass(begin, body, &pieces)), stop).await {
            Either::Left((passed, _)) => passed,
            Either::Right(_) => Err(ErrorKind::ConnectionReset.into()),
        };
        if let Err(error) = passed {
            // A client that is gone is told nothing.
            let _ = pieces.send(Err(error)).await;
        }
    }

    async fn pass(
        &self,
        begin: String,
        mut body: Incoming,
        pieces: &mpsc::Sender<Piece>,
    ) -> Result<(), Error> {
        let mut rules = self.state.rules.subscribe();
        let mut passed = 0;
        let mut next = Some(Bytes::from(begin));
        while let Some(mut piece) = next {
            // It fails only when the gateway ends.
            let _ = rules.wait_for(|rules| !self.is_held(rules, passed)).await;
            if let Some(Fault::Reverse(time)) = self.state.fault(&self.asked) {
                piece = reversed(piece, &mut body, time).await;
            }
            let end = match self.fault {
                Some(Fault::End(end) | Fault::Cut(end)) => end,
                Some(_) | None => usize::MAX,
            };
            piece.truncate(end.saturating_sub(passed));
            passed += piece.len();
            if !piece.is_empty() {
                let gone = |_| Error::from(ErrorKind::BrokenPipe);
                pieces.send(Ok(piece)).await.map_err(gone)?;
            }
            if passed == end {
                let is_cut = matches!(self.fault, Some(Fault::Cut(_)));
                return if is_cut { Err(ErrorKind::ConnectionReset.into()) } else { Ok(()) };
            }
            next = match body.frame().await {
                Some(frame) => frame.map_err(Error::other)?.into_data().ok(),
                None => None,
            };
        }
        Ok(())
    }

    /// Whether a piece has to wait, after so many bytes that were passed on.
    fn is_held(&self, rules: &Rules, passed: usize) -> bool {
        let rules = rules.iter().filter(|rule| (rule.is_for)(&self.asked));
        let is_stale = |fault: &Fault| passed > 0 && matches!(fault, Fault::Stale(_));
        rules.map(|rule| &rule.fault).any(|it| matches!(it, Fault::Hold) || is_stale(it))
    }
}

fn refusal(answer: &Answer) -> Response<Body> {
    let mut response = whole(answer.code, answer.body.clone());
    if let Some(seconds) = answer.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

fn whole(code: u16, body: String) -> Response<Body> {
    let content_type = if body.starts_with('{') { "application/json" } else { "text/html" };
    let mut response = Response::new(full(body.into()));
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap_or_default();
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}

fn full(body: Bytes) -> Body {
    Full::new(body).map_err(|never: Infallible| match never {}).boxed()
}

fn streamed(mut pieces: mpsc::Receiver<Piece>) -> Body {
    let frames = stream::poll_fn(move |context| pieces.poll_recv(context));
    StreamBody::new(frames.map_ok(Frame::data)).boxed()
}
