//! A BGP speaker with a hostile peer: the input is what happens to it, one step after the other.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use proto::bgp::message::notification::Notification;
use proto::bgp::message::open::Open;
use proto::bgp::message::{self, Kind};
use proto::bgp::session::{
    Connected, ConnectionId, End, Forwarding, Leave, Multiprotocol, Openings, RemoteAs, Restart,
    State, Stop,
};
use proto::bgp::{Attributes, Community, Config, Event, Family, Input, NextHops, Output, Session};
use proto::time::Instant;
use proto::wire::{Reader, Truncated};

/// The most outputs of one step: what all connections say, and an event for each thing that can
/// happen to them.
const OUTPUTS: usize = 50;

/// The most octets of one step: the window and the longest message that reaches beyond it.
const OCTETS: usize = 3 * 65_536;

/// No bytes make the session panic, spin, grow, or say what a peer could not read.
pub(crate) fn session(bytes: &[u8]) {
    let mut reader = Reader(bytes);
    let Ok(settings) = reader.u8() else { return };
    let mut bench = Bench::new(settings);
    while bench.step(&mut reader).is_ok() {}
}

struct Bench {
    now: Instant,
    session: Session,
    connections: BTreeSet<u64>,
    is_dialling: bool,
    next: u64,
}

impl Bench {
    fn new(settings: u8) -> Self {
        let has = |bit: u8| settings >> bit & 1 == 1;
        let restart =
            Restart { restart_time: 120, forwarding: Forwarding::Kept, long_lived: Some(60) };
        let config = Config {
            local_as: 65000,
            remote_as: if has(0) { RemoteAs::External } else { RemoteAs::Internal },
            identifier: Ipv4Addr::new(192, 0, 2, 5),
            hold_time: if has(1) { 9 } else { 0 },
            keepalive: None,
            connect_retry: Duration::from_secs(5),
            openings: if has(2) { Openings::Passive } else { Openings::Both },
            delay_open: has(3).then_some(Duration::from_secs(1)),
            families: Family::ALL.into(),
            multiprotocol: if has(4) { Multiprotocol::Withheld } else { Multiprotocol::Offered },
            ipv6_next_hop: [Family::Ipv4].into(),
            graceful_restart: has(5).then_some(restart),
            host_name: None,
        };
        Self {
            now: Instant::START,
            session: Session::new(config, 1),
            connections: BTreeSet::new(),
            is_dialling: false,
            next: 0,
        }
    }

    /// Does the next step; an error when the input is used up.
    fn step(&mut self, reader: &mut Reader<'_>) -> Result<(), Truncated> {
        let text = || "bye".to_owned();
        match reader.u8()? % 16 {
            0 => self.take(Input::Start),
            1 => self.take(Input::Stop(Stop::Shutdown(text()))),
            2 => self.take(Input::Leave(Leave {
                text: text(),
                before_withdrawal: Duration::from_secs(1),
                before_close: Duration::from_secs(1),
            })),
            3 => self.take(Input::Reset(text())),
            4 => self.take(Input::PathDown),
            5 => self.take(Input::Synced),
            6 => self.connect(End::Accepted),
            7 => self.connect(End::Dialled),
            8 => {
                let id = self.any(reader.u8()?);
                self.connections.remove(&id);
                self.take(Input::Closed(ConnectionId(id)));
            }
            9 | 10 => {
                self.now = self.now + Duration::from_millis(u64::from(reader.u8()?) * 50);
                self.take(Input::Timeout);
            }
            11 => self.want(reader)?,
            12 => {
                let id = ConnectionId(self.any(reader.u8()?));
                self.take(Input::Written { id, count: usize::from(reader.u16()?) });
            }
            13 => self.say_message(reader)?,
            _ => {
                let [which, length] = reader.array()?;
                let Reader(bytes) = reader.sub(length.into())?;
                self.say(which, bytes);
            }
        }
        Ok(())
    }

    /// A connection of the peer, or an old one: mostly there is one.
    fn any(&self, which: u8) -> u64 {
        let count = self.connections.len().max(1);
        self.connections.iter().nth(usize::from(which) % count).copied().unwrap_or_default()
    }

    fn connect(&mut self, end: End) {
        if end == End::Dialled && !std::mem::take(&mut self.is_dialling) {
            return self.take(Input::ConnectFailed);
        }
        self.next += 1;
        self.connections.insert(self.next);
        let next_hops = NextHops {
            ipv4: Some(Ipv4Addr::new(192, 0, 2, 5)),
            ipv6: None,
            link_local: Some("fe80::5".parse().expect("an address")),
        };
        let id = ConnectionId(self.next);
        self.take(Input::Connected(Connected { id, end, over: Family::Ipv4, next_hops }));
    }

    fn want(&mut self, reader: &mut Reader<'_>) -> Result<(), Truncated> {
        let [number, tag] = reader.array()?;
        let prefix = match number & 1 {
            0 => format!("10.0.{number}.0/24"),
            _ => format!("2001:db8:{number:x}::/48"),
        };
        let communities = (0..u32::from(tag) * 8).map(Community).collect();
        let attributes =
            (tag != 0).then(|| Arc::new(Attributes { communities, ..Attributes::default() }));
        self.take(Input::Route { prefix: prefix.parse().expect("a prefix"), attributes });
        Ok(())
    }

    /// Says a message with a right header and any body; OPEN and KEEPALIVE mostly fine ones.
    fn say_message(&mut self, reader: &mut Reader<'_>) -> Result<(), Truncated> {
        let [which, kind, length] = reader.array()?;
        let Reader(body) = reader.sub(length.into())?;
        let mut bytes = Vec::new();
        match kind % 8 {
            0 => message::write(Kind::Open, &mut bytes, |out| out.extend_from_slice(body)),
            1 => message::write(Kind::Notification, &mut bytes, |out| out.extend_from_slice(body)),
            2 => message::write(Kind::RouteRefresh, &mut bytes, |out| out.extend_from_slice(body)),
            3 => bytes = message::keepalive(),
            4 | 5 => bytes = open(kind, body),
            _ => message::write(Kind::Update, &mut bytes, |out| out.extend_from_slice(body)),
        }
        self.say(which, &bytes);
        Ok(())
    }

    fn say(&mut self, which: u8, bytes: &[u8]) {
        let id = ConnectionId(self.any(which));
        self.take(Input::Bytes { id, bytes });
    }

    fn take(&mut self, input: Input<'_>) {
        self.session.handle(self.now, input);
        let (mut count, mut octets) = (0, 0);
        while let Some(output) = self.session.poll() {
            count += 1;
            match output {
                Output::Connect => self.is_dialling = true,
                Output::Abandon => self.is_dialling = false,
                Output::Close(id) => {
                    assert!(self.connections.remove(&id.0), "it closes what is there, once");
                }
                Output::Write { id, bytes } => {
                    assert!(self.connections.contains(&id.0), "it writes to what is there");
                    octets += bytes.len();
                    check_messages(&bytes);
                }
                Output::Event(event) => check_event(&event),
            }
        }
        assert!(count <= OUTPUTS && octets <= OCTETS, "{count} outputs, {octets} octets");
        assert!(self.session.deadline().is_none_or(|at| at > self.now), "nothing due is left");
        let status = self.session.status();
        assert_eq!(status.since.is_some(), status.state == State::Established);
        assert!(status.since.is_some() || status.announced + status.pending == 0);
    }
}

/// An OPEN that is mostly right, with what `body` says at its end.
fn open(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let [asn, hold_time, identifier] = body.first_chunk().copied().unwrap_or([0, 9, 6]);
    let parameters = body.get(3..).unwrap_or_default();
    message::write(Kind::Open, &mut bytes, |out| {
        let asn = 65000 + u16::from(asn & 1);
        out.push(4);
        out.extend(asn.to_be_bytes());
        out.extend([0, hold_time, 192, 0, 2, identifier]);
        match kind % 8 {
            4 => out.extend([8, 2, 6, 1, 4, 0, 2, 0, 1]),
            _ => proto::wire::sized(out, |out| out.extend_from_slice(parameters)),
        }
    });
    bytes
}

fn check_messages(mut bytes: &[u8]) {
    while let Some(frame) = message::first(bytes).expect("what is written can be read") {
        bytes = &bytes[frame.size()..];
        match frame.kind {
            Kind::Open => assert!(Open::decode(frame.body).is_ok()),
            Kind::Notification => {
                let read = Notification::decode(frame.body);
                assert!(read.code != 0 && !read.to_string().is_empty());
            }
            Kind::Update | Kind::Keepalive | Kind::RouteRefresh => (),
        }
    }
    assert!(bytes.is_empty(), "only whole messages are written");
}

fn check_event(event: &Event) {
    match event {
        Event::Down(down) | Event::Failed(down) => {
            let text = down.to_string();
            assert!(!text.is_empty() && !text.contains(char::is_control), "{text:?}");
        }
        Event::Malformed { fault, .. } => assert!(!fault.to_string().is_empty()),
        Event::State { from, to } => assert_ne!(from, to),
        Event::Established(agreed) => {
            // An OPEN of the peer is written so that the same is read again.
            let bytes = agreed.peer.encode();
            let frame = message::first(&bytes).expect("a message").expect("a whole one");
            let read = Open::decode(frame.body).expect("an OPEN");
            assert_eq!(
                (read.hold_time, read.identifier),
                (agreed.peer.hold_time, agreed.peer.identifier)
            );
        }
        Event::EndOfRibSent(_) | Event::EndOfRibReceived(_) | Event::Left => (),
    }
}
