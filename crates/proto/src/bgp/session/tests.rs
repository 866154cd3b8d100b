//! The state machine, sentence by sentence.

mod endings;
mod hostile;
mod machine;

use std::net::Ipv4Addr;

use super::*;
use crate::bgp::message::open::Open;
use crate::bgp::message::{Frame, Kind, first};
use crate::bgp::{Family, NextHops};

/// Settings of a speaker; number 1 has the lowest identifier.
pub(in crate::bgp) fn config(local_as: u32, number: u8) -> Config {
    Config {
        local_as,
        remote_as: RemoteAs::External,
        identifier: Ipv4Addr::new(192, 0, 2, number),
        hold_time: 90,
        keepalive: None,
        connect_retry: Duration::from_secs(60),
        openings: Openings::Both,
        delay_open: None,
        families: Family::ALL.into(),
        multiprotocol: Multiprotocol::Offered,
        ipv6_next_hop: [Family::Ipv4].into(),
        graceful_restart: None,
        host_name: None,
    }
}

const DIALLED: ConnectionId = ConnectionId(1);
const ACCEPTED: ConnectionId = ConnectionId(2);
const LATER: ConnectionId = ConnectionId(3);

/// A session, and a peer that says what the test wants.
struct Bench {
    now: Instant,
    session: Session,
    /// What the session wanted since the last look.
    outputs: Vec<Output>,
    /// The settings of the peer.
    peer: Config,
}

impl Bench {
    /// A session that is started, and dials. The peer has the higher identifier.
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(configure: impl FnOnce(&mut Config)) -> Self {
        let mut ours = config(65000, 1);
        configure(&mut ours);
        let session = Session::new(ours, 1);
        let peer = config(65001, 2);
        let mut bench = Self { now: Instant::START, session, outputs: Vec::new(), peer };
        bench.give(Input::Start);
        bench
    }

    /// One whose session is established, on a connection that we dialled.
    fn established() -> Self {
        Self::new().establish()
    }

    fn establish(mut self) -> Self {
        self.connect(DIALLED, End::Dialled);
        self.open(DIALLED);
        self.say(DIALLED, &keepalive());
        assert_eq!(self.state(), State::Established);
        self.outputs.clear();
        self
    }

    /// In OpenConfirm, on a connection that we dialled.
    fn in_open_confirm() -> Self {
        let mut bench = Self::new();
        bench.connect(DIALLED, End::Dialled);
        bench.open(DIALLED);
        bench.outputs.clear();
        bench
    }

    fn give(&mut self, input: Input<'_>) {
        self.session.handle(self.now, input);
        self.outputs.extend(std::iter::from_fn(|| self.session.poll()));
    }

    fn connect(&mut self, id: ConnectionId, end: End) {
        let next_hops = NextHops { ipv4: Some(Ipv4Addr::new(192, 0, 2, 1)), ..NextHops::default() };
        self.give(Input::Connected(Connected { id, end, over: Family::Ipv4, next_hops }));
    }

    fn say(&mut self, id: ConnectionId, bytes: &[u8]) {
        self.give(Input::Bytes { id, bytes });
    }

    fn peer_open(&self) -> Open {
        opening::ours(&self.peer, opening::Restarting::No)
    }

    fn open(&mut self, id: ConnectionId) {
        let open = self.peer_open().encode();
        self.say(id, &open);
    }

    /// Lets time pass until the next deadline, and says what the time is then.
    fn wait(&mut self) -> Instant {
        self.now = self.session.deadline().expect("something is due");
        self.give(Input::Timeout);
        self.now
    }

    fn state(&self) -> State {
        self.session.status().state
    }

    /// What was done since the last look, in short: see [`in_short`].
    fn done(&mut self) -> Vec<String> {
        std::mem::take(&mut self.outputs).iter().flat_map(in_short).collect()
    }
}

/// Outputs as `connect`, `1: OPEN`, `1: NOTIFICATION 6/7`, `1: close`; events are left out.
fn in_short(output: &Output) -> Vec<String> {
    match output {
        Output::Connect => vec!["connect".to_owned()],
        Output::Abandon => vec!["abandon".to_owned()],
        Output::Close(id) => vec![format!("{}: close", id.0)],
        Output::Write { id, bytes } => {
            frames(bytes).iter().map(|frame| format!("{}: {}", id.0, message(frame))).collect()
        }
        Output::Event(_) => vec![],
    }
}

fn frames(mut bytes: &[u8]) -> Vec<Frame<'_>> {
    let mut frames = Vec::new();
    while let Some(frame) = first(bytes).unwrap() {
        bytes = &bytes[frame.size()..];
        frames.push(frame);
    }
    assert!(bytes.is_empty(), "only whole messages are written");
    frames
}

fn message(frame: &Frame<'_>) -> String {
    match frame.kind {
        Kind::Open => "OPEN".to_owned(),
        Kind::Update => "UPDATE".to_owned(),
        Kind::Notification => {
            let Notification { code, subcode, .. } = Notification::decode(frame.body);
            format!("NOTIFICATION {code}/{subcode}")
        }
        Kind::Keepalive => "KEEPALIVE".to_owned(),
        Kind::RouteRefresh => "ROUTE-REFRESH".to_owned(),
    }
}
