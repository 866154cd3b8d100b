//! The engine of one session, RFC 5880 section 6.8.
//!
//! Feed it with [`Session::handle`], drain [`Session::poll`] until `None`, sleep until
//! [`Session::deadline`]. Packets that have come in are to be handed in before [`Input::Timeout`]:
//! they are what keeps a session up whose driver was late.
//!
//! When the next packet is due, and when the peer is lost, is not stored: both follow from when the
//! last packet was sent and heard, so a change of any interval is in force at once.

mod echoes;
mod polling;
mod report;

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use super::auth::Authentication;
use super::config::{Config, Hops, Role};
use super::dice::{Dice, Share};
use super::ignored::Ignored;
use super::packet::{Datagram, Diagnostic, Exchange, Interval, Packet, State};
use crate::time::{Instant, earliest};
use echoes::Echoes;
use polling::Polling;

pub use report::{Counters, Status, Why};

/// The fastest that a session sends that is not up, RFC 5880 section 6.8.3.
const SLOW: Interval = Interval::from_millis(1_000);

/// The longest that a peer is told that there is no session any more.
const FAREWELL: Duration = Duration::from_secs(1);

/// What happens to a session.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// There is to be a session. It is so from the beginning.
    Start,
    /// There is to be none; the peer is told, which ends with [`Output::Ended`].
    Stop,
    /// The settings are others.
    Configure(Box<Config>),
    /// A packet for this session, and what it was read from. Its TTL was looked at.
    Packet(&'a Packet, Datagram<'a>),
    /// An echo packet for this session came back.
    Echo(super::echo::Echo),
    /// [`Session::deadline`] has come. Harmless when it has not.
    Timeout,
}

/// What a session wants done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Send this packet to the peer.
    Send(Vec<u8>),
    /// Send this to ourselves by way of the peer.
    Echo(Vec<u8>),
    /// The state is another.
    Changed {
        /// State before.
        from: State,
        /// State now.
        to: State,
        /// What led to it.
        why: Why,
    },
    /// A packet was dropped.
    Ignored(Ignored),
    /// The peer was told that the session is over.
    Ended,
}

/// One session with one peer.
#[derive(Debug)]
pub struct Session {
    config: Config,
    hops: Hops,
    my_discriminator: NonZeroU32,
    state: State,
    since: Instant,
    diagnostic: Diagnostic,
    remote: Option<Remote>,
    polling: Polling,
    authentication: Authentication,
    echoes: Echoes,
    sent: Option<Sent>,
    /// When the peer has been told of the end for long enough.
    ends_at: Option<Instant>,
    dice: Dice,
    counters: Counters,
    last_down: Option<(Instant, Why)>,
    outputs: VecDeque<Output>,
}

/// What the last packet told us.
#[derive(Clone, Debug)]
struct Remote {
    heard_at: Instant,
    packet: Packet,
}

/// The last packet that was sent.
#[derive(Debug)]
struct Sent {
    at: Instant,
    /// How much of the interval to wait before the next.
    share: Share,
    packet: Packet,
}

impl Session {
    /// A session that is down, and begins to speak with the next [`Input::Timeout`].
    ///
    /// `seed` is where the jitter of its timers and its sequence numbers come from.
    pub fn new(
        config: Config,
        hops: Hops,
        my_discriminator: NonZeroU32,
        seed: u64,
        now: Instant,
    ) -> Self {
        let mut dice = Dice::new(seed);
        Self {
            hops,
            my_discriminator,
            state: State::Down,
            since: now,
            diagnostic: Diagnostic::NONE,
            remote: None,
            polling: Polling::new(config.desired_min_tx.max(SLOW), config.required_min_rx),
            authentication: Authentication::new(config.key.clone(), dice.roll()),
            echoes: Echoes::new(my_discriminator, dice.roll()),
            sent: None,
            ends_at: None,
            dice,
            counters: Counters::default(),
            last_down: None,
            outputs: VecDeque::new(),
            config,
        }
    }

    /// Takes in one event. Call with times that never go back.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        let mut answer = Exchange::None;
        match input {
            Input::Start => self.start(now),
            Input::Stop => self.stop(now),
            Input::Configure(config) => {
                self.authentication.use_key(config.key.clone());
                self.config = *config;
            }
            Input::Packet(packet, datagram) => match self.receive(now, packet, datagram) {
                Ok(()) if packet.exchange == Exchange::Poll => answer = Exchange::Final,
                Ok(()) => (),
                Err(ignored) => self.ignore(ignored),
            },
            Input::Echo(echo) => match self.echoes.returned(now, echo) {
                Ok(()) => self.counters.echo_received += 1,
                Err(ignored) => self.ignore(ignored),
            },
            Input::Timeout => (),
        }
        self.expire(now);
        self.negotiate(now);
        self.transmit(now, answer);
        self.send_echo(now);
    }

    /// The next thing to do, if any.
    #[must_use]
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Session::handle`] with [`Input::Timeout`] at the latest.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        earliest([
            self.send_at(),
            self.lost_at(),
            self.echoes.send_at(),
            self.echoes.lost_at(),
            self.ends_at,
        ])
    }

    /// Names this session in packets.
    pub fn discriminator(&self) -> NonZeroU32 {
        self.my_discriminator
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether it is over, or the peer is being told so.
    pub fn is_stopped(&self) -> bool {
        self.state == State::AdminDown
    }

    fn start(&mut self, now: Instant) {
        if self.state == State::AdminDown {
            self.ends_at = None;
            self.enter(now, State::Down, Why::Administrative);
        }
    }

    fn stop(&mut self, now: Instant) {
        if self.state == State::AdminDown {
            return;
        }
        let told = self.detection_time().unwrap_or_default();
        self.enter(now, State::AdminDown, Why::Administrative);
        self.ends_at = Some(now + told.min(FAREWELL));
    }

    fn ignore(&mut self, ignored: Ignored) {
        self.counters.ignored += 1;
        self.outputs.push_back(Output::Ignored(ignored));
    }

    /// RFC 5880 section 6.8.6, from the authentication on.
    fn receive(
        &mut self,
        now: Instant,
        packet: &Packet,
        datagram: Datagram<'_>,
    ) -> Result<(), Ignored> {
        let Datagram { octets, section } = datagram;
        let checked = self.authentication.check(now, packet, octets, section.as_ref());
        checked.map_err(Ignored::Refused)?;
        self.counters.control_received += 1;
        self.remote = Some(Remote { heard_at: now, packet: packet.clone() });
        self.polling.heard(packet.exchange);
        if let Some(lost_at) = self.lost_at() {
            self.authentication.heard(now, lost_at);
        }
        if let Some((state, why)) = next_state(self.state, packet) {
            self.enter(now, state, why);
        }
        Ok(())
    }

    fn expire(&mut self, now: Instant) {
        if self.lost_at().is_some_and(|at| at <= now) {
            // Section 6.8.1: its discriminator is forgotten, and with section 6.8.18 that it may
            // have asked for silence.
            self.remote = None;
            if matches!(self.state, State::Init | State::Up) {
                self.enter(now, State::Down, Why::DetectionTimeExpired);
            }
        }
        if self.echoes.lost_at().is_some_and(|at| at <= now) && self.state == State::Up {
            self.enter(now, State::Down, Why::EchoFailed);
        }
        if self.ends_at.is_some_and(|at| at <= now) {
            self.ends_at = None;
            self.outputs.push_back(Output::Ended);
        }
    }

    fn enter(&mut self, now: Instant, to: State, why: Why) {
        let from = std::mem::replace(&mut self.state, to);
        self.diagnostic = why.diagnostic(to);
        self.since = now;
        if to == State::Up {
            self.counters.ups += 1;
        }
        if from == State::Up {
            self.counters.downs += 1;
            self.last_down = Some((now, why));
        }
        self.outputs.push_back(Output::Changed { from, to, why });
    }

    /// Makes what was learned and what is wished for count.
    fn negotiate(&mut self, now: Instant) {
        let (tx, rx) = (self.desired_min_tx(), self.config.required_min_rx);
        let knows = match &self.remote {
            None => polling::Peer::Unknown,
            Some(_) if self.state == State::Up => polling::Peer::Up,
            Some(_) => polling::Peer::Known,
        };
        self.polling.wish(tx, rx, knows);
        let multiplier = self.config.detect_multiplier;
        self.echoes.wish(now, self.echo_interval(), multiplier);
    }

    /// RFC 5880 section 6.8.7.
    fn transmit(&mut self, now: Instant, answer: Exchange) {
        if self.is_silent() {
            return;
        }
        let packet = self.packet(Exchange::None);
        let is_news = self.sent.as_ref().is_some_and(|sent| sent.packet != packet);
        if is_news && self.is_in_demand() {
            self.polling.ask();
        }
        if answer == Exchange::Final {
            self.send(now, packet, answer);
        } else if is_news || self.send_at().is_some_and(|at| at <= now) {
            let exchange = self.polling.next();
            self.send(now, packet, exchange);
        }
    }

    fn send(&mut self, now: Instant, packet: Packet, exchange: Exchange) {
        let octets = self.authentication.seal(&Packet { exchange, ..packet.clone() });
        let share = self.dice.jitter(self.config.detect_multiplier);
        self.sent = Some(Sent { at: now, share, packet });
        self.counters.control_sent += 1;
        self.outputs.push_back(Output::Send(octets));
    }

    fn send_echo(&mut self, now: Instant) {
        if let Some(octets) = self.echoes.send(now, &mut self.dice) {
            self.counters.echo_sent += 1;
            self.outputs.push_back(Output::Echo(octets));
        }
    }

    /// Whether nothing at all is to be said: the peer is to speak first, or knows of the end.
    fn is_silent(&self) -> bool {
        let waits = self.config.role == Role::Passive && self.remote.is_none();
        let has_ended = self.state == State::AdminDown && self.ends_at.is_none();
        waits || has_ended
    }

    /// Whether the peer wants to hear nothing while all is well, RFC 5880 section 6.6.
    fn is_in_demand(&self) -> bool {
        let said = self
            .remote
            .as_ref()
            .is_some_and(|Remote { packet, .. }| packet.is_demand && packet.state == State::Up);
        said && self.state == State::Up
    }

    /// When the next periodic packet is due.
    fn send_at(&self) -> Option<Instant> {
        let is_asking = self.polling.is_under_way();
        if self.is_silent() || self.is_in_demand() && !is_asking {
            return None;
        }
        let Some(sent) = &self.sent else { return Some(self.since) };
        let interval = self.transmit_interval()?;
        Some(sent.at + sent.share.of(interval))
    }

    /// The slower of what we want and what the peer can take; `None` if it wants nothing.
    fn transmit_interval(&self) -> Option<Duration> {
        let asked = self.remote.as_ref().map(|remote| remote.packet.required_min_rx);
        match asked {
            Some(Interval::ZERO) => None,
            asked => Some(self.polling.tx().max(asked.unwrap_or_default()).duration()),
        }
    }

    /// When the peer is given up.
    fn lost_at(&self) -> Option<Instant> {
        let remote = self.remote.as_ref()?;
        Some(remote.heard_at + self.detection_time()?)
    }

    /// RFC 5880 section 6.8.4: the peer's multiplier times the interval agreed on with it.
    fn detection_time(&self) -> Option<Duration> {
        let Remote { packet, .. } = self.remote.as_ref()?;
        let interval = self.polling.rx().max(packet.desired_min_tx).duration();
        // Of two zeros, which would be lost at once, a microsecond is as good as any other.
        let interval = interval.max(Duration::from_micros(1));
        Some(interval * u32::from(packet.detect_multiplier.get()))
    }

    /// Our side of the interval, as we tell it.
    fn desired_min_tx(&self) -> Interval {
        match self.state {
            State::Up => self.config.desired_min_tx,
            State::AdminDown | State::Down | State::Init => self.config.desired_min_tx.max(SLOW),
        }
    }

    /// What we are ready to loop back.
    fn required_min_echo_rx(&self) -> Interval {
        match self.hops {
            Hops::Single => self.config.echo.unwrap_or_default(),
            Hops::Multi => Interval::ZERO,
        }
    }

    /// How often to send echo packets, RFC 5880 section 6.8.9.
    fn echo_interval(&self) -> Option<Duration> {
        let ours = self.config.echo.filter(|_| self.hops == Hops::Single)?;
        let theirs = self.remote.as_ref()?.packet.required_min_echo_rx;
        let is_on = self.state == State::Up && theirs != Interval::ZERO;
        is_on.then(|| ours.max(theirs).duration())
    }

    fn packet(&self, exchange: Exchange) -> Packet {
        Packet {
            diagnostic: self.diagnostic,
            state: self.state,
            exchange,
            // A speaker that is gone sends nothing (RFC 5882 section 4.3.1).
            is_control_plane_independent: false,
            is_demand: false,
            detect_multiplier: self.config.detect_multiplier,
            my_discriminator: self.my_discriminator,
            your_discriminator: self.remote.as_ref().map(|it| it.packet.my_discriminator),
            desired_min_tx: self.desired_min_tx(),
            required_min_rx: self.config.required_min_rx,
            required_min_echo_rx: self.required_min_echo_rx(),
        }
    }
}

/// The table of RFC 5880 section 6.8.6. `None` keeps the state.
fn next_state(local: State, heard: &Packet) -> Option<(State, Why)> {
    use State::{AdminDown, Down, Init, Up};
    match (local, heard.state) {
        (AdminDown, _) | (Down, AdminDown | Up) | (Init, Down) | (Up, Init | Up) => None,
        (Down, Down) => Some((Init, Why::Heard)),
        (Down, Init) | (Init, Init | Up) => Some((Up, Why::Heard)),
        (Init | Up, AdminDown) => Some((Down, Why::NeighborAdminDown)),
        (Up, Down) => Some((Down, Why::NeighborDown(heard.diagnostic))),
    }
}

#[cfg(test)]
mod tests;
