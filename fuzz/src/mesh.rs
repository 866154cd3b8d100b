//! A speaker among hostile peers: the input is what happens to it, one step after the other.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use proto::mesh::Station;
use proto::mesh::message::{Changes, Claim, Message, Position, State};
use proto::mesh::ownership::{Candidacy, Input, Output, Ownership};
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
}

impl Bench {
    fn new() -> Self {
        let engine = Ownership::new(station(0), 1);
        let mut bench = Self { now: Instant::START, engine, facts: BTreeMap::new() };
        bench.take(Input::Peers([station(1), station(2)].into()));
        bench
    }

    /// The next step; an error when the input is used up.
    fn step(&mut self, reader: &mut Reader<'_>) -> Result<Input, Truncated> {
        let kind = reader.u8()?;
        Ok(match kind % 8 {
            0 => {
                let count = reader.u8()? % 8;
                self.facts = (0..count).map(|_| candidacy(reader)).collect::<Result<_, _>>()?;
                Input::Candidacies(self.facts.clone())
            }
            1 => Input::Leave,
            2 => {
                let peers = reader.u8()?;
                let is_in = |number: &u8| peers >> number & 1 == 1;
                Input::Peers((0..4).filter(is_in).map(station).collect())
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
        for at in self.engine.answering() {
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
    let order_of = (0..count).map(|next| station((order + next) % 3)).collect();
    Ok((address(at), Candidacy { order: order_of, is_fit: order >> 7 == 0 }))
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
        is_starting: flags & 1 != 0,
        is_leaving: flags & 2 != 0,
        ack: Position {
            incarnation: number(reader)?,
            base: number(reader)?,
            version: number(reader)?,
        },
        version: upto,
        changes,
    })
}

fn claim(reader: &mut Reader<'_>) -> Result<Claim, Truncated> {
    let [at, state] = reader.array()?;
    let state = match state % 4 {
        0 => State::Held,
        1 => State::Released,
        2 => State::Yielded { to: station(state >> 2) },
        _ => State::Dropped,
    };
    Ok(Claim { address: address(at), epoch: number(reader)?, state })
}
