//! The BFD Control packet, RFC 5880 section 4.1.

use std::fmt;
use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;

use super::auth::{self, Section};
use crate::wire::Reader;

/// Octets of a packet without an authentication section.
pub const HEADER: usize = 24;

/// The longest packet there is: the header, and the longest authentication section.
pub const MAX_PACKET: usize = HEADER + auth::MAX_SECTION;

/// The one version there is.
const VERSION: u8 = 1;

const POLL: u8 = 0x20;
const FINAL: u8 = 0x10;
const CONTROL_PLANE_INDEPENDENT: u8 = 0x08;
const AUTHENTICATION: u8 = 0x04;
const DEMAND: u8 = 0x02;
const MULTIPOINT: u8 = 0x01;

/// The state of a session, as it is on the wire (`Sta`).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum State {
    /// Held down by its operator.
    AdminDown = 0,
    /// No contact, or contact lost.
    Down = 1,
    /// The peer is heard, and does not say yet that it hears us.
    Init = 2,
    /// Both directions work.
    Up = 3,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AdminDown => "admin down",
            Self::Down => "down",
            Self::Init => "init",
            Self::Up => "up",
        })
    }
}

/// Why the sender left its last state (`Diag`), five bits.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Diagnostic(u8);

impl Diagnostic {
    /// Nothing to report.
    pub const NONE: Self = Self(0);
    /// Nothing was heard for a whole detection time.
    pub const DETECTION_TIME_EXPIRED: Self = Self(1);
    /// Echo packets did not come back.
    pub const ECHO_FAILED: Self = Self(2);
    /// The peer said that it is down.
    pub const NEIGHBOR_SIGNALED_DOWN: Self = Self(3);
    /// The operator has switched the session off.
    pub const ADMINISTRATIVELY_DOWN: Self = Self(7);

    /// The code with this number, of which the lower five bits count.
    pub fn new(code: u8) -> Self {
        Self(code & 0x1f)
    }

    /// The number of the code.
    pub fn code(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            0 => "no diagnostic",
            1 => "control detection time expired",
            2 => "echo function failed",
            3 => "neighbor signaled session down",
            4 => "forwarding plane reset",
            5 => "path down",
            6 => "concatenated path down",
            7 => "administratively down",
            8 => "reverse concatenated path down",
            code => return write!(f, "diagnostic {code}"),
        })
    }
}

/// What a packet is in a Poll Sequence, RFC 5880 section 6.5.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exchange {
    /// Nothing.
    None,
    /// It asks for an answer (P).
    Poll,
    /// It is the answer (F).
    Final,
}

/// A time on the wire: whole microseconds, up to 71 minutes.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Interval(u32);

impl Interval {
    /// No time. Each field says what that means.
    pub const ZERO: Self = Self(0);

    /// This many microseconds.
    pub const fn from_micros(micros: u32) -> Self {
        Self(micros)
    }

    /// This many milliseconds, or the longest time there is.
    pub const fn from_millis(millis: u32) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// Microseconds.
    pub const fn micros(self) -> u32 {
        self.0
    }

    /// The time that it is.
    pub const fn duration(self) -> Duration {
        Duration::from_micros(self.0 as u64)
    }
}

impl From<Duration> for Interval {
    /// Whole microseconds; what is longer than the wire can say is the longest.
    fn from(duration: Duration) -> Self {
        Self(u32::try_from(duration.as_micros()).unwrap_or(u32::MAX))
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.duration())
    }
}

/// A Control packet without its authentication section.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Packet {
    /// Why the sender is in its state.
    pub diagnostic: Diagnostic,
    /// The state of the sender.
    pub state: State,
    /// Question or answer of a Poll Sequence.
    pub exchange: Exchange,
    /// The sender's BFD goes on while its control plane restarts (C).
    pub is_control_plane_independent: bool,
    /// The sender does not want to hear anything while all is well (D).
    pub is_demand: bool,
    /// Packets in a row that may be lost before the receiver declares the session down.
    pub detect_multiplier: NonZeroU8,
    /// Names the session at the sender.
    pub my_discriminator: NonZeroU32,
    /// Names the session at the receiver; `None` while the sender does not know it.
    pub your_discriminator: Option<NonZeroU32>,
    /// The sender will not send faster than this.
    pub desired_min_tx: Interval,
    /// The sender cannot receive faster than this; zero asks for silence.
    pub required_min_rx: Interval,
    /// The sender cannot loop echo packets back faster than this; zero: it loops none.
    pub required_min_echo_rx: Interval,
}

/// Why a datagram is no Control packet. The sender is never told.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Malformed {
    /// Shorter than a header.
    Truncated,
    /// Another version than 1.
    Version,
    /// Its length field is smaller than what it says to have.
    Length,
    /// Its length field is larger than the datagram.
    LengthBeyondDatagram,
    /// The detect multiplier is zero.
    DetectMultiplier,
    /// The multipoint bit is set.
    Multipoint,
    /// Its own discriminator is zero.
    MyDiscriminator,
    /// Our discriminator is zero, though its state says that it knows it.
    YourDiscriminator,
    /// It is the question and the answer of a Poll Sequence at once.
    PollAndFinal,
    /// An authentication type that there is not.
    AuthenticationType,
    /// The authentication section has not the length of its type.
    AuthenticationLength,
}

impl Malformed {
    /// Every cause there is.
    pub const ALL: [Self; 11] = [
        Self::Truncated,
        Self::Version,
        Self::Length,
        Self::LengthBeyondDatagram,
        Self::DetectMultiplier,
        Self::Multipoint,
        Self::MyDiscriminator,
        Self::YourDiscriminator,
        Self::PollAndFinal,
        Self::AuthenticationType,
        Self::AuthenticationLength,
    ];

    /// The cause as the value of a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Version => "version",
            Self::Length => "length",
            Self::LengthBeyondDatagram => "length_beyond_datagram",
            Self::DetectMultiplier => "detect_multiplier",
            Self::Multipoint => "multipoint",
            Self::MyDiscriminator => "my_discriminator",
            Self::YourDiscriminator => "your_discriminator",
            Self::PollAndFinal => "poll_and_final",
            Self::AuthenticationType => "authentication_type",
            Self::AuthenticationLength => "authentication_length",
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "it is shorter than a BFD header",
            Self::Version => "its version is not 1",
            Self::Length => "its length field is too small",
            Self::LengthBeyondDatagram => "its length field is larger than the datagram",
            Self::DetectMultiplier => "its detect multiplier is zero",
            Self::Multipoint => "it is of a multipoint session",
            Self::MyDiscriminator => "its own discriminator is zero",
            Self::YourDiscriminator => "it does not name the session that it says to have",
            Self::PollAndFinal => "it has both the poll and the final bit",
            Self::AuthenticationType => "its authentication type is unknown",
            Self::AuthenticationLength => {
                "its authentication section has not the length of its type"
            }
        })
    }
}

/// A datagram that passed every check of RFC 5880 section 6.8.6 that needs no session.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// The octets that the length field counts.
    pub octets: &'a [u8],
    /// How it says to be authenticated.
    pub section: Option<Section<'a>>,
}

impl Packet {
    /// Reads one UDP payload.
    ///
    /// # Errors
    ///
    /// Says which rule of RFC 5880 section 6.8.6 it breaks; the first in the order of that section.
    pub fn decode(bytes: &[u8]) -> Result<(Self, Datagram<'_>), Malformed> {
        let Some(header) = bytes.first_chunk::<HEADER>() else { return Err(Malformed::Truncated) };
        let [first, flags, detect_multiplier, length, ..] = *header;
        let has = |bit: u8| flags & bit != 0;
        let word = |at: usize| {
            let octets = header[at..].first_chunk().copied().unwrap_or_default();
            u32::from_be_bytes(octets)
        };
        if first >> 5 != VERSION {
            return Err(Malformed::Version);
        }
        let least = if has(AUTHENTICATION) { HEADER + auth::MIN_SECTION } else { HEADER };
        if usize::from(length) < least {
            return Err(Malformed::Length);
        }
        let octets = bytes.get(..length.into()).ok_or(Malformed::LengthBeyondDatagram)?;
        let detect_multiplier =
            NonZeroU8::new(detect_multiplier).ok_or(Malformed::DetectMultiplier)?;
        if has(MULTIPOINT) {
            return Err(Malformed::Multipoint);
        }
        let my_discriminator = NonZeroU32::new(word(4)).ok_or(Malformed::MyDiscriminator)?;
        let your_discriminator = NonZeroU32::new(word(8));
        let state = match flags >> 6 {
            0 => State::AdminDown,
            1 => State::Down,
            2 => State::Init,
            _ => State::Up,
        };
        if your_discriminator.is_none() && matches!(state, State::Init | State::Up) {
            return Err(Malformed::YourDiscriminator);
        }
        let section = match has(AUTHENTICATION) {
            true => Some(Section::decode(&mut Reader(&octets[HEADER..]))?),
            false => None,
        };
        let packet = Self {
            diagnostic: Diagnostic::new(first),
            state,
            exchange: match (has(POLL), has(FINAL)) {
                (false, false) => Exchange::None,
                (true, false) => Exchange::Poll,
                (false, true) => Exchange::Final,
                (true, true) => return Err(Malformed::PollAndFinal),
            },
            is_control_plane_independent: has(CONTROL_PLANE_INDEPENDENT),
            is_demand: has(DEMAND),
            detect_multiplier,
            my_discriminator,
            your_discriminator,
            desired_min_tx: Interval(word(12)),
            required_min_rx: Interval(word(16)),
            required_min_echo_rx: Interval(word(20)),
        };
        Ok((packet, Datagram { octets, section }))
    }

    /// The octets of this packet, with an authentication section behind it if there is to be one.
    pub fn encode(&self, section: Option<Section<'_>>) -> Vec<u8> {
        let when = |condition: bool, bit: u8| if condition { bit } else { 0 };
        let flags = (self.state as u8) << 6
            | when(self.exchange == Exchange::Poll, POLL)
            | when(self.exchange == Exchange::Final, FINAL)
            | when(self.is_control_plane_independent, CONTROL_PLANE_INDEPENDENT)
            | when(section.is_some(), AUTHENTICATION)
            | when(self.is_demand, DEMAND);
        let mut out = Vec::with_capacity(MAX_PACKET);
        out.extend([VERSION << 5 | self.diagnostic.0, flags, self.detect_multiplier.get(), 0]);
        let words = [
            self.my_discriminator.get(),
            self.your_discriminator.map_or(0, NonZeroU32::get),
            self.desired_min_tx.0,
            self.required_min_rx.0,
            self.required_min_echo_rx.0,
        ];
        out.extend(words.into_iter().flat_map(u32::to_be_bytes));
        if let Some(section) = section {
            section.write(&mut out);
        }
        // At most `MAX_PACKET`, which fits.
        out[3] = u8::try_from(out.len()).unwrap_or_default();
        out
    }
}

#[cfg(test)]
pub(super) mod tests;
