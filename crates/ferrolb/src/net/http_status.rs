//! What an HTTP server says to a GET, as far as its status code.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpStream;

/// Where the status code is over: `HTTP/1.1 200`.
const STATUS_END: usize = 12;

/// Asks for `path` and returns the status code. Whoever calls sets the limit of time.
///
/// # Errors
///
/// What the kernel says, or `InvalidData` for an answer that is no HTTP.
pub async fn get(server: SocketAddr, path: &str) -> io::Result<u16> {
    let stream = TcpStream::connect(server).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    let mut rest = request.as_bytes();
    while !rest.is_empty() {
        stream.writable().await?;
        match stream.try_write(rest) {
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => (),
            Err(error) => return Err(error),
        }
    }
    let (mut answer, mut length) = ([0; STATUS_END], 0);
    while length < STATUS_END {
        stream.readable().await?;
        match stream.try_read(&mut answer[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => (),
            Err(error) => return Err(error),
        }
    }
    status(&answer).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn status(answer: &[u8; STATUS_END]) -> Option<u16> {
    let text = std::str::from_utf8(answer).ok()?;
    let (version, code) = text.split_once(' ')?;
    version.starts_with("HTTP/1.").then_some(())?;
    code.parse().ok().filter(|code| (100..600).contains(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_from_the_first_line_alone() {
        assert_eq!(status(b"HTTP/1.1 200"), Some(200));
        assert_eq!(status(b"HTTP/1.0 503"), Some(503));
        for answer in [b"HTTP/2.0 200", b"HTTP/1.1 999", b"HTTP/1.1  20", b"SSH-2.0-Open", &[0; 12]]
        {
            assert_eq!(status(answer), None, "{answer:?}");
        }
    }
}
