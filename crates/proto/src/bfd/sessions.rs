//! The engine of all sessions of a node: which there are, and which a packet is for.
//!
//! Feed it with [`Sessions::handle`], drain [`Sessions::poll`] until `None`, sleep until
//! [`Sessions::deadline`].

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::config::{Config, Hops, Path};
use super::dice::Dice;
use super::echo::Echo;
use super::ignored::Ignored;
use super::packet::{Packet, State};
use super::session::{self, Session, Why};
use super::{Status, TTL};
use crate::time::{Instant, earliest};

/// What happens to the sessions.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// These are all the sessions that there are to be. Whoever wants one names it here: it ends
    /// when nobody does.
    Wanted(BTreeMap<Path, Config>),
    /// A datagram came to the port of Control packets.
    Control(Arrived<'a>),
    /// A datagram came to the port of echo packets.
    Echo {
        /// Where it says to come from.
        from: IpAddr,
        /// As it came.
        bytes: &'a [u8],
    },
    /// [`Sessions::deadline`] has come. Harmless when it has not.
    Timeout,
}

/// A datagram, and how it came.
#[derive(Clone, Copy, Debug)]
pub struct Arrived<'a> {
    /// Its sender.
    pub from: IpAddr,
    /// The address that it was sent to, if that is known.
    pub to: Option<IpAddr>,
    /// The interface or VRF that its socket is bound to.
    pub device: Option<&'a Arc<str>>,
    /// Which of the two ports it came to.
    pub hops: Hops,
    /// The TTL or hop limit that it came with.
    pub ttl: u8,
    /// As it came.
    pub bytes: &'a [u8],
}

/// What the sessions want done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Send this to the peer.
    Send {
        /// Of this session.
        path: Path,
        /// A Control packet.
        bytes: Vec<u8>,
    },
    /// Send this to ourselves by way of the peer.
    Echo {
        /// Of this session.
        path: Path,
        /// An echo packet.
        bytes: Vec<u8>,
    },
    /// The state of a session is another.
    Changed {
        /// Of this session.
        path: Path,
        /// State before.
        from: State,
        /// State now.
        to: State,
        /// What led to it.
        why: Why,
    },
    /// A datagram was dropped.
    Ignored {
        /// Its sender.
        from: IpAddr,
        /// Why.
        cause: Ignored,
    },
    /// The peer has been told of the end; the session is gone.
    Ended(Path),
}

/// All sessions of a node.
#[derive(Debug)]
pub struct Sessions {
    sessions: BTreeMap<Path, Session>,
    dice: Dice,
    outputs: VecDeque<Output>,
}

impl Sessions {
    /// None yet. `seed` is where discriminators and the jitter of timers come from: a random one,
    /// so that nobody else can guess them.
    pub fn new(seed: u64) -> Self {
        Self { sessions: BTreeMap::new(), dice: Dice::new(seed), outputs: VecDeque::new() }
    }

    /// Takes in one event. Call with times that never go back.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Wanted(wanted) => self.want(now, wanted),
            Input::Control(arrived) => {
                if let Err(cause) = self.receive(now, &arrived) {
                    self.outputs.push_back(Output::Ignored { from: arrived.from, cause });
                }
            }
            Input::Echo { from, bytes } => {
                if let Err(cause) = self.receive_echo(now, bytes) {
                    self.outputs.push_back(Output::Ignored { from, cause });
                }
            }
            Input::Timeout => {
                let is_due = |session: &Session| session.deadline().is_some_and(|at| at <= now);
                let due = self.sessions.iter().filter(|(_, session)| is_due(session));
                let due: Vec<_> = due.map(|(path, _)| path.clone()).collect();
                due.iter().for_each(|path| self.step(now, path, &[session::Input::Timeout]));
            }
        }
    }

    /// The next thing to do, if any.
    #[must_use]
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Sessions::handle`] with [`Input::Timeout`] at the latest.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        earliest(self.sessions.values().map(Session::deadline))
    }

    /// How each session is, also those that end.
    pub fn status(&self) -> impl Iterator<Item = (&Path, Status<'_>)> {
        self.sessions.iter().map(|(path, session)| (path, session.status()))
    }

    /// Whether there is none, not even one that ends.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    fn want(&mut self, now: Instant, wanted: BTreeMap<Path, Config>) {
        let gone = self.sessions.keys().filter(|path| !wanted.contains_key(*path));
        let gone: Vec<_> = gone.cloned().collect();
        for path in gone {
            self.step(now, &path, &[session::Input::Stop]);
        }
        for (path, config) in wanted {
            if self.sessions.contains_key(&path) {
                let configure = session::Input::Configure(Box::new(config));
                self.step(now, &path, &[configure, session::Input::Start]);
            } else {
                let discriminator = self.unused_discriminator();
                let seed = self.dice.seed();
                let session = Session::new(config, path.hops, discriminator, seed, now);
                self.sessions.insert(path.clone(), session);
                self.step(now, &path, &[session::Input::Timeout]);
            }
        }
    }

    fn unused_discriminator(&mut self) -> NonZeroU32 {
        loop {
            let discriminator = self.dice.non_zero();
            if self.find(discriminator).is_none() {
                return discriminator;
            }
        }
    }

    fn find(&self, discriminator: NonZeroU32) -> Option<(&Path, &Session)> {
        self.sessions.iter().find(|(_, session)| session.discriminator() == discriminator)
    }

    fn receive(&mut self, now: Instant, arrived: &Arrived<'_>) -> Result<(), Ignored> {
        let (packet, datagram) = Packet::decode(arrived.bytes).map_err(Ignored::Malformed)?;
        let (path, session) = match packet.your_discriminator {
            Some(discriminator) => self
                .find(discriminator)
                .filter(|(path, _)| path.hops == arrived.hops)
                .ok_or(Ignored::UnknownDiscriminator)?,
            None => self.find_by_sender(arrived).ok_or(Ignored::UnknownSender)?,
        };
        let least = match path.hops {
            Hops::Single => TTL,
            Hops::Multi => session.config().minimum_ttl,
        };
        if arrived.ttl < least {
            return Err(Ignored::Ttl);
        }
        let path = path.clone();
        self.step(now, &path, &[session::Input::Packet(&packet, datagram)]);
        Ok(())
    }

    /// The session with a peer that does not know its name yet. One that is bound to the device
    /// goes before one that is bound to none.
    fn find_by_sender(&self, arrived: &Arrived<'_>) -> Option<(&Path, &Session)> {
        let is_of = |path: &Path, device: Option<&Arc<str>>| {
            path.peer == arrived.from
                && path.hops == arrived.hops
                && path.device.as_ref() == device
                && (arrived.to.is_none() || path.local.is_none() || path.local == arrived.to)
        };
        let with = |device| self.sessions.iter().find(|(path, _)| is_of(path, device));
        with(arrived.device).or_else(|| with(None))
    }

    fn receive_echo(&mut self, now: Instant, bytes: &[u8]) -> Result<(), Ignored> {
        let echo = Echo::decode(bytes).ok_or(Ignored::Echo)?;
        let (path, _) = self.find(echo.discriminator).ok_or(Ignored::Echo)?;
        let path = path.clone();
        self.step(now, &path, &[session::Input::Echo(echo)]);
        Ok(())
    }

    /// Hands inputs to a session, and passes on what it says.
    fn step(&mut self, now: Instant, path: &Path, inputs: &[session::Input<'_>]) {
        let Some(session) = self.sessions.get_mut(path) else { return };
        inputs.iter().for_each(|input| session.handle(now, input.clone()));
        let mut has_ended = false;
        while let Some(output) = session.poll() {
            let path = path.clone();
            self.outputs.push_back(match output {
                session::Output::Send(bytes) => Output::Send { path, bytes },
                session::Output::Echo(bytes) => Output::Echo { path, bytes },
                session::Output::Changed { from, to, why } => {
                    Output::Changed { path, from, to, why }
                }
                session::Output::Ignored(cause) => Output::Ignored { from: path.peer, cause },
                session::Output::Ended => {
                    has_ended = true;
                    Output::Ended(path)
                }
            });
        }
        if has_ended {
            self.sessions.remove(path);
        }
    }
}

#[cfg(test)]
mod tests;
