//! A speaker among hostile peers: the input is what happens to it, one step after the other.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use proto::l2::Mac;
use proto::mesh::Station;
use proto::mesh::message::{Changes, Claim, Flags, Link, Message, Position, State, Wish};
use proto::mesh::ownership::{
    Candidacy, Candidate, Fencing, Heard, Input, OnConflict, Output, Ownership, Policy, Settings,
};
use proto::time::Instant;
use proto::wire::{Reader, Truncated};

/// The most outputs of one step: two peers, eight addresses, and some for each.
const OUTPUTS: usize = 100;

/// No bytes make the engine panic, spin, or answer for an address that is not its to hold.
pub(crate) fn engine(bytes: &[u8]) {
    let mut reader = Reader(bytes);
    let mut bench = Bench::new();
    while let Ok(step) = bench.step(&mut reader) {
        bench.take(step);
    }
}

struct Bench {
    now: Instant,
    engine: Ownership,
    facts: BTreeMap<IpAddr, Candidacy>,
    has_facts: bool,
}

impl Bench {
    fn new() -> Self {
        let engine = Ownership::new(station(0), 1, Settings::DEFAULT);
        let mut bench =
            Self { now: Instant::START, engine, facts: BTreeMap::new(), has_facts: false };
        bench.take(Input::Peers([1, 2].map(|it| (station(it), vec![address(it + 4)])).into()));
        bench
    }

    /// The next step; an error when the input is used up.
    fn step(&mut self, reader: &mut Reader<'_>) -> Result<Input, Truncated> {
        let kind = reader.u8()?;
        Ok(match kind % 12 {
            0 => {
                let count = reader.u8()? % 8;
                self.has_facts = true;
                self.facts = (0..count).map(|_| candidacy(reader)).collect::<Result<_, _>>()?;
                Input::Candidacies(self.facts.clone())
            }
            1 => Input::Leave,
            2 => {
                let peers = reader.u8()?;
                let is_in = |number: &u8| peers >> number & 1 == 1;
                Input::Peers((0..4).filter(is_in).map(|it| (station(it), Vec::new())).collect())
            }
            3 => {
                let from = station(reader.u8()?);
                let length = usize::from(reader.u8()?);
                let Reader(bytes) = reader.sub(length)?;
                Input::Datagram { from, bytes: bytes.to_vec() }
            }
            4 | 5 => {
                self.now = self.now + Duration::from_millis(u64::from(reader.u8()?) * 4);
                Input::Timeout
            }
            8 | 9 => Input::Heard(heard(reader)?),
            10 => Input::Own(vec![link(reader.u8()?)]),
            11 if kind > 250 => Input::Restart,
            11 => {
                let [at, holder] = reader.array()?;
                Input::Remembered([(address(at), station(holder))].into())
            }
            _ => {
                let message = message(reader)?;
                Input::Datagram { from: message.from.clone(), bytes: message.encode() }
            }
        })
    }

    fn take(&mut self, input: Input) {
        self.engine.handle(self.now, input);
        let outputs: Vec<_> = std::iter::from_fn(|| self.engine.poll()).collect();
        assert!(outputs.len() <= OUTPUTS, "{} outputs of one step", outputs.len());
        for output in outputs {
            if let Output::Send { bytes, .. } = output {
                assert!(Message::decode(&bytes).is_ok(), "what is sent can be read");
            }
        }
        assert!(self.engine.deadline().is_none_or(|at| at > self.now), "nothing due is left");
        // Before it knows what is to be announced, it may go on with what its last life held.
        let has_facts = self.has_facts;
        for at in self.engine.answering().iter().filter(|_| has_facts) {
            let is_announced = self.facts.get(at).is_some_and(|fact| !fact.order.is_empty());
            assert!(is_announced, "it answers for `{at}`, which is not to be announced");
        }
    }
}

fn station(number: u8) -> Station {
    let name = ["a", "b", "c", "d"][usize::from(number % 4)];
    Station::new(name).expect("a name of one letter")
}

fn address(number: u8) -> IpAddr {
    match number & 8 {
        0 => IpAddr::from([192, 0, 2, number % 8]),
        _ => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(number % 8)]),
    }
}

fn candidacy(reader: &mut Reader<'_>) -> Result<(IpAddr, Candidacy), Truncated> {
    let [at, order] = reader.array()?;
    let count = order >> 2 & 3;
    let candidate =
        |next: u8| Candidate { station: station((order + next) % 3), score: next.into() };
    let policy = Policy {
        is_sticky: order >> 4 & 1 == 0,
        fencing: if order >> 5 & 1 == 1 { Fencing::Quorum } else { Fencing::None },
        on_conflict: if order >> 6 & 1 == 1 { OnConflict::Yield } else { OnConflict::Defend },
        ..Policy::default()
    };
    let order_of = (0..count).map(candidate).collect();
    Ok((address(at), Candidacy { order: order_of, is_fit: order >> 7 == 0, policy }))
}

/// Mostly small numbers, which meet one another; now and then the largest.
fn number(reader: &mut Reader<'_>) -> Result<u64, Truncated> {
    Ok(match reader.u8()? {
        255 => u64::MAX,
        254 => u64::MAX - 1,
        small => small.into(),
    })
}

fn message(reader: &mut Reader<'_>) -> Result<Message, Truncated> {
    let flags = reader.u8()?;
    let upto = number(reader)?;
    let changes = match flags & 4 {
        0 => None,
        _ => {
            let (base, after) = (number(reader)?, number(reader)?.min(upto));
            let count = reader.u8()? % 5;
            let claims = (0..count).map(|_| claim(reader)).collect::<Result<_, _>>()?;
            Some(Changes { base, after, upto, claims })
        }
    };
    Ok(Message {
        from: station(1 + (flags >> 7)),
        incarnation: number(reader)?,
        number: number(reader)?,
        interval: Duration::from_millis(u64::from(flags >> 4 & 3) * 100 + 50),
        wish: Wish { interval: Duration::from_millis(50), rank: flags & 3 },
        flags: Flags {
            is_starting: flags & 1 != 0,
            is_leaving: flags & 2 != 0,
            is_restarting: flags & 8 != 0,
            is_deaf: flags & 64 != 0,
        },
        ack: Position {
            incarnation: number(reader)?,
            base: number(reader)?,
            version: number(reader)?,
        },
        version: upto,
        links: (flags & 32 != 0).then(|| vec![link(flags)]),
        changes,
    })
}

fn mac(number: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, number % 4])
}

fn link(number: u8) -> Link {
    Link { mac: mac(number), addresses: vec![address(number)] }
}

fn heard(reader: &mut Reader<'_>) -> Result<Heard, Truncated> {
    let [kind, at, from] = reader.array()?;
    let (address, mac) = (address(at), mac(from));
    Ok(match kind % 3 {
        0 => Heard::Announcement { address, mac },
        1 => Heard::Answer { address, mac },
        _ => Heard::Question { address, from: mac },
    })
}

fn claim(reader: &mut Reader<'_>) -> Result<Claim, Truncated> {
    let [at, state] = reader.array()?;
    let state = match state % 5 {
        0 => State::Held,
        1 => State::Released,
        2 => State::Yielded { to: station(state >> 2) },
        3 => State::StandingIn { holder: station(state >> 2) },
        _ => State::Dropped,
    };
    Ok(Claim { address: address(at), epoch: number(reader)?, state })
}
