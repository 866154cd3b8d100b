//! The thread, with routers that are a few lines each.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::num::NonZeroU32;
use std::time::Duration;

use planner::facts::bgp::{Peer as Fact, PeerAddress, RemoteAsn};
use planner::names::NodeName;
use proto::bgp::session::State;
use socket2::{Domain, Socket, Type};

use super::*;

const LIMIT: Duration = Duration::from_secs(60);

/// A router that listens on the loopback.
struct Router {
    socket: Socket,
    port: u16,
}

impl Router {
    /// `buffer` is how many bytes its kernel keeps for it.
    fn listen(buffer: usize) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(buffer).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        socket.listen(4).unwrap();
        let port = socket.local_addr().unwrap().as_socket().unwrap().port();
        Self { socket, port }
    }

    /// Takes a connection and opens a session without timers.
    fn open(&self) -> TcpStream {
        let mut stream = TcpStream::from(self.socket.accept().unwrap().0);
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let open = [&[4][..], &64_513_u16.to_be_bytes(), &[0, 0, 10, 0, 0, 1, 0]].concat();
        stream.write_all(&[message(1, &open), message(4, &[])].concat()).unwrap();
        stream
    }

    fn settings(&self) -> Settings {
        let asn = |number| NonZeroU32::new(number).unwrap();
        let at = PeerAddress::Ip(Ipv4Addr::LOCALHOST.into());
        let fact = Fact::new(at, asn(64_512), RemoteAsn::Number(asn(64_513)));
        let fact = Fact { port: self.port, ..fact };
        Settings::of(&fact, &NodeName("n1".to_owned()), None)
    }
}

/// A message of BGP.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(19 + body.len()).unwrap();
    [&[0xff; 16][..], &length.to_be_bytes(), &[kind], body].concat()
}

/// Reads messages until so many /32 routes have been announced.
fn read_routes(stream: &mut TcpStream, wanted: usize) {
    let mut count = 0;
    while count < wanted {
        let mut header = [0; 19];
        stream.read_exact(&mut header).unwrap();
        let mut body = vec![0; usize::from(u16::from_be_bytes([header[16], header[17]])) - 19];
        stream.read_exact(&mut body).unwrap();
        if header[18] == 2 {
            let attributes = usize::from(u16::from_be_bytes([body[2], body[3]]));
            count += body[4 + attributes..].len() / 5;
        }
    }
    assert_eq!(count, wanted);
}

/// Routes that share no message, and whose messages are half a kilobyte each.
fn routes(count: u32) -> proto::bgp::Routes {
    let route = |number: u32| {
        let at = IpAddr::V4(Ipv4Addr::from((10 << 24) + number)).into();
        let attributes = Attributes { med: Some(number), prepend: 255, ..Attributes::default() };
        (at, Arc::new(attributes))
    };
    (0..count).map(route).collect()
}

#[test]
fn a_router_that_reads_nothing_delays_no_other_and_costs_no_memory() {
    // Twice what the kernel keeps for a connection at most.
    const ROUTES: u32 = 20_000;
    let (stalled, healthy) = (Router::listen(4_096), Router::listen(1 << 20));
    let orders = Arc::new(Inbox::<Orders>::new().unwrap());
    let sessions = Arc::new(Sessions::default());
    let paths = Arc::new(Inbox::new().unwrap());
    let thread = start(Clock::start(), Arc::clone(&orders), paths, Arc::clone(&sessions)).unwrap();
    let names = ["a-stalled", "healthy"].map(|name| PeerName(name.to_owned()));
    orders.update(|orders| {
        for (name, router) in names.iter().zip([&stalled, &healthy]) {
            orders.wish(name.clone(), Some(router.settings()));
            orders.route(name.clone(), Routes::All(routes(ROUTES)));
        }
        orders.is_synced = true;
    });
    let blocked = stalled.open();
    read_routes(&mut healthy.open(), ROUTES.try_into().unwrap());
    let report = &sessions.all()[&names[0]];
    assert_eq!(report.state, State::Established);
    assert!(report.pending > 0, "it must be behind for this to show anything: {report:?}");
    // What it has not read waits in the table, and not as bytes.
    orders.update(|orders| orders.wish(names[1].clone(), None));
    drop(blocked);
    orders.update(|orders| orders.end(Ending::HandOver));
    thread.join().unwrap();
}

#[test]
fn what_was_not_read_yet_of_a_peer_ends_with_it() {
    let router = Router::listen(1 << 20);
    let peer = PeerName("p".to_owned());
    let mut orders = Orders::default();
    orders.route(peer.clone(), Routes::All(routes(3)));
    orders.wish(peer.clone(), None);
    assert!(matches!(&orders.peers[&peer].routes, Routes::All(all) if all.is_empty()));
    orders.wish(peer.clone(), Some(router.settings()));
    orders.route(
        peer.clone(),
        Routes::Edits(routes(2).into_iter().map(|(at, one)| (at, Some(one))).collect()),
    );
    orders.route(peer.clone(), Routes::Edits([(*routes(1).keys().next().unwrap(), None)].into()));
    let news = &orders.peers[&peer];
    assert!(matches!(news.session, Wish::Session(_)));
    assert!(matches!(&news.routes, Routes::All(all) if all.len() == 1), "{:?}", news.routes);
}
