//! What runs in pods: a UDP echo and a small HTTP server, as threads with sockets in the pod's
//! namespace.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::topology::Node;
use crate::worker::{LOOK, Wanted, Worker};

/// The port of both servers in a pod, UDP and TCP.
pub const PORT: u16 = 8080;

/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(1);

/// The largest UDP payload.
const MAX_DATAGRAM: usize = 65_507;

/// The servers of one pod. They stop on drop.
#[derive(Debug)]
pub struct Backend {
    _workers: [Worker; 2],
    node: String,
    pod: [IpAddr; 2],
}

impl Backend {
    /// Starts both servers in the node's pod, on [`PORT`], for IPv4 and IPv6.
    ///
    /// UDP sends back what comes. HTTP says `hello from pod-b on node-b` to `/`, and the client's
    /// address as the pod sees it to `/clientip`.
    pub fn start(node: &Node) -> Result<Self> {
        let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT));
        let udp = node.pod.netns.udp(any)?;
        udp.set_read_timeout(Some(LOOK)).context("setting a timeout")?;
        let tcp = node.pod.netns.run(move || TcpListener::bind(any));
        let tcp = tcp.with_context(|| format!("listening in `{}`", node.pod.name))?;
        let hello = format!("hello from {} on {}\n", node.pod.name, node.host.name);
        let workers = [
            Worker::start("echo", move |wanted| echo(&udp, &wanted))?,
            Worker::start("http", move |wanted| serve(&tcp, &hello, &wanted))?,
        ];
        let pod = [node.pod.ipv4.into(), node.pod.ipv6.into()];
        Ok(Self { _workers: workers, node: node.host.name.clone(), pod })
    }

    /// The name of the node that the pod is on.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Where the servers listen, in the family of `like`.
    #[must_use]
    pub fn address(&self, like: IpAddr) -> SocketAddr {
        let [v4, v6] = self.pod;
        SocketAddr::new(if like.is_ipv4() { v4 } else { v6 }, PORT)
    }
}

fn echo(socket: &UdpSocket, wanted: &Wanted) {
    let mut buffer = vec![0; MAX_DATAGRAM];
    while wanted.still() {
        // A time-out, or the echo of an error that an earlier answer met on its way.
        let Ok((length, client)) = socket.recv_from(&mut buffer) else { continue };
        // An answer that cannot be sent is a lost packet: clients count those.
        let _ = socket.send_to(&buffer[..length], client);
    }
}

fn serve(listener: &TcpListener, hello: &str, wanted: &Wanted) {
    let timeout = PollTimeout::try_from(LOOK).unwrap_or(PollTimeout::ZERO);
    while wanted.still() {
        let ready = poll(&mut [PollFd::new(listener.as_fd(), PollFlags::POLLIN)], timeout);
        if !matches!(ready, Ok(1)) {
            continue;
        }
        // A client that is gone before we look is its own affair.
        let Ok((stream, client)) = listener.accept() else { continue };
        let hello = hello.to_owned();
        thread::spawn(move || {
            // So is one that goes in the middle.
            let _ = answer(stream, client, &hello);
        });
    }
}

/// One request, one response, the end.
fn answer(mut stream: TcpStream, client: SocketAddr, hello: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let (status, body) = match request.split(' ').nth(1) {
        Some("/") => ("200 OK", hello.to_owned()),
        Some("/clientip") => ("200 OK", format!("{}\n", client.ip().to_canonical())),
        Some(_) | None => ("404 Not Found", String::new()),
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}
