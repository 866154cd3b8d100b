//! A server that says where it is and who asks.

use std::env;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

/// The port of both servers.
const PORT: u16 = 8080;

/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(2);

/// The largest UDP payload.
const MAX_DATAGRAM: usize = 65_507;

/// Serves HTTP and UDP until a socket fails.
///
/// # Errors
///
/// That of the socket.
pub(crate) fn run() -> io::Result<()> {
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT));
    let udp = UdpSocket::bind(any)?;
    let tcp = TcpListener::bind(any)?;
    thread::spawn(move || echo(&udp));
    let node = env::var("NODE_NAME").unwrap_or_default();
    for stream in tcp.incoming() {
        let (stream, node) = (stream?, node.clone());
        thread::spawn(move || {
            // A client that goes in the middle is its own affair.
            let _ = answer(stream, &node);
        });
    }
    Ok(())
}

fn echo(socket: &UdpSocket) {
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        // An error is the echo of one that an earlier answer met on its way.
        let Ok((length, client)) = socket.recv_from(&mut buffer) else { continue };
        // An answer that cannot be sent is a lost packet: clients count those.
        let _ = socket.send_to(&buffer[..length], client);
    }
}

/// One request, one response, the end: the node and the client's address as the Pod sees it.
fn answer(mut stream: TcpStream, node: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let client = stream.peer_addr()?.ip().to_canonical();
    for line in BufReader::new(stream.try_clone()?).lines() {
        if line?.is_empty() {
            break;
        }
    }
    let body = format!("hello {client} from {node}\n");
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}
