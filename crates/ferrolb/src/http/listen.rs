//! Listening at a port that somebody else may have.

use std::future::{Ready, ready};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum_server::Handle;
use axum_server::accept::Accept;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use hyper_util::rt::TokioTimer;
use rustls::ServerConfig;
use tokio::net::TcpStream;

/// How long to wait for a port before trying again.
const RETRY: Duration = Duration::from_secs(1);

/// How many connections a server has at once. The API server has a few, and so have scrapers.
const CONNECTIONS: usize = 128;

/// How long a connection may be silent where a request should be.
const SILENCE: Duration = Duration::from_secs(90);

/// Who can reach a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reach {
    /// Whoever reaches this host.
    Everywhere,
    /// This host.
    Loopback,
}

impl Reach {
    /// Listens at a port; both families where there are both.
    fn listen(self, port: u16) -> io::Result<TcpListener> {
        match self {
            Self::Loopback => bind((Ipv4Addr::LOCALHOST, port).into()),
            Self::Everywhere => match bind((Ipv6Addr::UNSPECIFIED, port).into()) {
                Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                    bind((Ipv4Addr::UNSPECIFIED, port).into())
                }
                listening => listening,
            },
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// One server of this process.
pub(crate) struct Server {
    /// What it is for, in messages.
    pub(crate) what: &'static str,
    pub(crate) reach: Reach,
    pub(crate) port: u16,
    /// `None` without TLS.
    pub(crate) tls: Option<ServerConfig>,
    pub(crate) router: Router,
}

/// Serves as long as the process lives, from when the port is free.
pub(crate) async fn serve(server: Server) {
    let Server { what, reach, port, tls, router } = server;
    let tls = tls.map(|tls| RustlsConfig::from_config(Arc::new(tls)));
    let mut is_told = false;
    loop {
        let listening = reach.listen(port);
        if listening.is_ok() {
            tracing::info!(port, "serving {what}");
            is_told = false;
        }
        let served = match listening {
            Ok(listener) => accept(listener, tls.clone(), router.clone()).await,
            Err(error) => Err(error),
        };
        if let (Err(error), false) = (served, is_told) {
            tracing::warn!("serving {what} at port {port}: {error}; trying again until it works");
            is_told = true;
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn accept(
    listener: TcpListener,
    tls: Option<RustlsConfig>,
    router: Router,
) -> io::Result<()> {
    let handle = Handle::new();
    let limited = Limited(handle.clone());
    let mut server = axum_server::from_tcp(listener)?.handle(handle);
    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(SILENCE);
    let router = router.into_make_service();
    let Some(tls) = tls else { return server.acceptor(limited).http1_only().serve(router).await };
    let has_http2 = tls.get_inner().alpn_protocols.iter().any(|protocol| protocol == b"h2");
    let server = server.acceptor(RustlsAcceptor::new(tls).acceptor(limited));
    match has_http2 {
        true => server.serve(router).await,
        // Some clients speak HTTP/2 without asking first.
        false => server.http1_only().serve(router).await,
    }
}

/// Takes no more connections than [`CONNECTIONS`].
#[derive(Clone)]
struct Limited(Handle<SocketAddr>);

impl<S> Accept<TcpStream, S> for Limited {
    type Stream = TcpStream;
    type Service = S;
    type Future = Ready<io::Result<(TcpStream, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        if self.0.connection_count() > CONNECTIONS {
            return ready(Err(io::Error::other("too many connections")));
        }
        ready(stream.set_nodelay(true).map(|()| (stream, service)))
    }
}
