//! BFD sessions of a node among hostile peers: the input is what happens, one step after the other.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use proto::bfd::auth::{Key, Method};
use proto::bfd::packet::{Interval, MAX_PACKET, Packet, State};
use proto::bfd::sessions::{Arrived, Input, Output};
use proto::bfd::{Config, Hops, Path, Role, Sessions, echo};
use proto::time::Instant;
use proto::wire::{Reader, Truncated};

/// The most outputs of one step: four sessions that each send, loop, change twice and end.
const OUTPUTS: usize = 32;

/// No bytes make the sessions panic, spin, grow, or say what a peer could not read.
pub(crate) fn sessions(bytes: &[u8]) {
    if let Ok((packet, datagram)) = Packet::decode(bytes) {
        let written = packet.encode(datagram.section);
        let (read, again) = Packet::decode(&written).expect("what is written can be read");
        assert_eq!((read, again.section), (packet, datagram.section));
    }
    let mut reader = Reader(bytes);
    let mut bench = Bench::new();
    while bench.step(&mut reader).is_ok() {}
}

struct Bench {
    now: Instant,
    sessions: Sessions,
    /// What the sessions call themselves.
    names: BTreeMap<Path, NonZeroU32>,
    /// The last echo packet.
    echo: Vec<u8>,
}

impl Bench {
    fn new() -> Self {
        let (names, echo) = (BTreeMap::new(), Vec::new());
        let mut bench = Self { now: Instant::START, sessions: Sessions::new(1), names, echo };
        bench.take(Input::Wanted((0..4).map(|number| (path(number), config(number))).collect()));
        bench
    }

    /// Does the next step; an error when the input is used up.
    fn step(&mut self, reader: &mut Reader<'_>) -> Result<(), Truncated> {
        match reader.u8()? % 8 {
            0 => {
                let [which, settings] = reader.array()?;
                let is_in = |number: &u8| which >> number & 1 == 1;
                let wanted = (0..4).filter(is_in);
                let wanted = wanted.map(|number| (path(number), config(settings >> number)));
                self.take(Input::Wanted(wanted.collect()));
            }
            1 => {
                let echo = self.echo.clone();
                self.take(Input::Echo { from: path(0).peer, bytes: &echo });
            }
            2 => {
                let bytes = reader.sub(echo::LENGTH)?.0;
                self.take(Input::Echo { from: path(0).peer, bytes });
            }
            3 | 4 => {
                let pause = u64::from(reader.u8()?) * 8;
                self.now = self.now + Duration::from_millis(pause);
                self.take(Input::Timeout);
            }
            5 => {
                let [number, length] = reader.array()?;
                let Reader(bytes) = reader.sub(length.into())?;
                self.arrive(number, bytes);
            }
            _ => self.say(reader)?,
        }
        Ok(())
    }

    /// A packet that mostly fits: for a session that there is, sealed with its key.
    fn say(&mut self, reader: &mut Reader<'_>) -> Result<(), Truncated> {
        let [number, flags, multiplier, intervals] = reader.array()?;
        let path = path(number);
        let mut bytes = vec![0x20, flags & 0xfa, multiplier | 1, 24, 0, 0, 0, 9];
        let name = self.names.get(&path).copied().map_or(0, NonZeroU32::get);
        bytes.extend(name.to_be_bytes());
        for shift in [0, 2, 4] {
            let millis = [0, 10, 300, 5_000][usize::from(intervals >> shift & 3)];
            bytes.extend(Interval::from_millis(millis).micros().to_be_bytes());
        }
        self.arrive(number, &bytes);
        Ok(())
    }

    fn arrive(&mut self, number: u8, bytes: &[u8]) {
        let path = path(number);
        let (from, hops) = (path.peer, path.hops);
        let arrived = Arrived { from, to: None, device: None, hops, ttl: 255, bytes };
        self.take(Input::Control(arrived));
        self.take(Input::Timeout);
    }

    fn take(&mut self, input: Input<'_>) {
        self.sessions.handle(self.now, input);
        let mut count = 0;
        while let Some(output) = self.sessions.poll() {
            count += 1;
            match output {
                Output::Send { path, bytes } => {
                    let (packet, _) = Packet::decode(&bytes).expect("what is sent can be read");
                    assert!(bytes.len() <= MAX_PACKET);
                    self.names.insert(path, packet.my_discriminator);
                }
                Output::Echo { path, bytes } => {
                    assert_eq!(path.hops, Hops::Single, "only a neighbor loops");
                    self.echo = bytes;
                }
                Output::Changed { from, to, why, .. } => {
                    assert_ne!(from, to);
                    assert!(to != State::Up || !why.is_failure() && !why.to_string().is_empty());
                }
                Output::Ignored { cause, .. } => {
                    assert!(!cause.label().is_empty() && !cause.to_string().is_empty());
                }
                Output::Ended(path) => _ = self.names.remove(&path),
            }
        }
        assert!(count <= OUTPUTS, "{count} outputs of one step");
    }
}

/// Two neighbors, one behind routers, one that authenticates.
fn path(number: u8) -> Path {
    let number = number % 4;
    let hops = if number == 2 { Hops::Multi } else { Hops::Single };
    let peer = IpAddr::V4(Ipv4Addr::new(192, 0, 2, number));
    Path { peer, local: None, device: None, hops }
}

fn config(settings: u8) -> Config {
    Config {
        echo: (settings & 1 == 1).then_some(Interval::from_millis(20)),
        role: if settings & 2 == 2 { Role::Passive } else { Role::Active },
        key: match settings & 3 {
            3 => Key::new(Method::MeticulousKeyedMd5, 1, b"secret").ok(),
            _ => None,
        },
        ..Config::default()
    }
}
