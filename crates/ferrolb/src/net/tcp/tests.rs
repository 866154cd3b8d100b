//! Connections on the loopback.

//! Options of sockets, read back from the kernel.

use std::time::{Duration, Instant};

use super::*;

const LIMIT: Duration = Duration::from_secs(20);

fn options() -> Options {
    Options { source: None, device: None, reach: Reach::Any, dscp: 48, key: None }
}

fn key(text: &str) -> Option<Key> {
    Some(Key(text.to_owned()))
}

/// Listens at a port that nobody has.
fn listener(address: IpAddr) -> (Listener, SocketAddr) {
    let listener = Listener::bind(address, 0, None).unwrap();
    let port = listener.socket.local_addr().unwrap().as_socket().unwrap().port();
    (listener, SocketAddr::new(address, port))
}

/// Looks again and again until `look` finds something.
fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "not within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn bytes_go_both_ways_in_both_families() {
    for loopback in ["127.0.0.1", "::1"].map(|text| text.parse::<IpAddr>().unwrap()) {
        let (listener, at) = listener(loopback);
        let options = Options { source: Some(loopback), ..options() };
        let ours = Stream::connect(at, &options).unwrap();
        let (from, theirs) = until(|| listener.accept().unwrap());
        until(|| (ours.progress().unwrap() == Progress::Made).then_some(()));
        assert_eq!((from, ours.peer().unwrap()), (ours.local().unwrap(), at));
        let mut buffer = [0; 16];
        assert_eq!(ours.read(&mut buffer).unwrap(), Read::Nothing, "it does not block");
        for (from, to) in [(&ours, &theirs), (&theirs, &ours)] {
            assert_eq!(from.write(b"open").unwrap(), 4);
            let read = until(|| match to.read(&mut buffer).unwrap() {
                Read::Nothing => None,
                read @ (Read::Bytes(_) | Read::End) => Some(read),
            });
            assert_eq!(read, Read::Bytes(4));
        }
        ours.end();
        until(|| (theirs.read(&mut buffer).unwrap() == Read::End).then_some(()));
    }
}

#[test]
fn packets_are_marked_and_have_the_ttl_of_their_reach() {
    let rows = [
        (Reach::Link, 1, 0),
        (Reach::Secured(1), 255, 255),
        (Reach::Secured(3), 255, 253),
        (Reach::Any, 255, 0),
    ];
    let (_listener, at) = listener("127.0.0.1".parse().unwrap());
    for (reach, ttl, least) in rows {
        assert_eq!(reach.ttls(), (ttl, least), "{reach:?}");
        let stream = Stream::connect(at, &Options { reach, ..options() }).unwrap();
        assert_eq!(stream.socket.ttl_v4().unwrap(), u32::from(ttl), "{reach:?}");
        assert_eq!(stream.socket.tos_v4().unwrap(), 48 << 2);
    }
}

#[test]
fn nobody_there_is_an_error_and_not_a_wait() {
    let (listener, at) = listener("127.0.0.1".parse().unwrap());
    drop(listener);
    let outcome = Stream::connect(at, &options()).and_then(|stream| {
        until(|| match stream.progress() {
            Ok(Progress::Pending) => None,
            outcome => Some(outcome),
        })
    });
    assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn an_option_that_is_refused_is_named() {
    let at = SocketAddr::from(([127, 0, 0, 1], 179));
    let elsewhere = Options { source: Some([192, 0, 2, 77].into()), ..options() };
    let rows = [
        (elsewhere, "setting the source address 192.0.2.77: "),
        (Options { device: Some("nosuchvrf".into()), ..options() }, "setting the device of the"),
        (Options { key: key(&"k".repeat(81)), ..options() }, "a key of TCP MD5 has at most 80"),
    ];
    for (options, want) in rows {
        let error = Stream::connect(at, &options).unwrap_err().to_string();
        assert!(error.starts_with(want), "{error}");
    }
}

#[test]
fn only_who_has_the_key_gets_through() {
    let loopback: IpAddr = "127.0.0.1".parse().unwrap();
    let (listener, at) = listener(loopback);
    listener.expect(loopback, key("swordfish").as_ref()).unwrap();
    let connect = |key| Stream::connect(at, &Options { key, ..options() }).unwrap();
    // Their packets are dropped without an answer: they are still trying when the last is through.
    let strangers = [connect(None), connect(key("guppy"))];
    let friend = connect(key("swordfish"));
    until(|| listener.accept().unwrap());
    until(|| (friend.progress().unwrap() == Progress::Made).then_some(()));
    for stranger in &strangers {
        assert_eq!(stranger.progress().unwrap(), Progress::Pending);
    }
    assert!(listener.accept().unwrap().is_none());
    // A key that is taken back lets in those without one.
    listener.expect(loopback, None).unwrap();
    let plain = connect(None);
    until(|| (plain.progress().unwrap() == Progress::Made).then_some(()));
}
