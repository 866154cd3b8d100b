//! A client's single HTTP request.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, connect, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use crate::topology::Host;

/// A server's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Asks `server` for `path` from `client`, over a new connection. `limit` holds for the connection
/// and for each wait after it.
pub fn get(client: &Host, server: SocketAddr, path: &str, limit: Duration) -> Result<Response> {
    let asked = || -> Result<Response> {
        let mut stream = open(client, server, limit)?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        parse(&text)
    };
    asked().with_context(|| format!("`GET http://{server}{path}` from `{}`", client.name))
}

/// Connects from the client's namespace, without keeping its thread busy meanwhile.
fn open(client: &Host, server: SocketAddr, limit: Duration) -> Result<TcpStream> {
    let family = if server.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let opened = client
        .netns
        .run(move || socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None))
        .context("opening a socket")?;
    // The kernel applies the limit for writing to `connect` as well.
    let micros = i64::try_from(limit.as_micros()).context("a limit of centuries")?;
    let limit = TimeVal::new(micros / 1_000_000, micros % 1_000_000);
    setsockopt(&opened, sockopt::SendTimeout, &limit)?;
    setsockopt(&opened, sockopt::ReceiveTimeout, &limit)?;
    connect(opened.as_raw_fd(), &SockaddrStorage::from(server)).context("connecting")?;
    Ok(TcpStream::from(opened))
}

fn parse(text: &str) -> Result<Response> {
    let (head, body) = text.split_once("\r\n\r\n").context("the answer has no end of headers")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| anyhow!("the answer has no status: `{head}`"))?;
    Ok(Response { status, body: body.to_owned() })
}
