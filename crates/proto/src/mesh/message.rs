//! The heartbeat: the only message of the mesh, one to a datagram.
//!
//! ```text
//! "ferr"  major  minor  flags  name  incarnation  number  interval  ack  version  [changes]
//!    4      1      1      1    1+n        8          8        2      24     8
//! changes:  base  after  upto  count  claim*
//!             8     8      8     2
//! claim:    family  address  epoch  state  [name]
//!              1     4 or 16   8      1     1+n
//! ```
//!
//! All numbers are in network order. A higher minor version may append fields, which are ignored
//! here; a change of any other kind needs a higher major version.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::Station;
use crate::wire::{Reader, Truncated, sized};

/// The longest datagram: what passes a tunnel over Ethernet without being cut to pieces.
pub const MAX_DATAGRAM: usize = 1400;

/// The slowest interval a peer may declare. It bounds how long a dead peer can seem alive.
pub const MAX_INTERVAL: Duration = Duration::from_secs(10);

const MAGIC: [u8; 4] = *b"ferr";
const MAJOR: u8 = 1;
const MINOR: u8 = 0;

const STARTING: u8 = 0x01;
const LEAVING: u8 = 0x02;
const HAS_CHANGES: u8 = 0x04;

/// Bytes of a message besides the sender's name and the claims.
const FIXED: usize = 4 + 3 + 1 + 8 + 8 + 2 + 24 + 8 + 26;

/// What a speaker tells one peer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub from: Station,
    /// Which life of the speaker this is; rises with each start.
    pub incarnation: u64,
    /// Rises with each datagram of an incarnation.
    pub number: u64,
    /// How often the sender speaks to this peer, in whole milliseconds, at most [`MAX_INTERVAL`].
    pub interval: Duration,
    /// The sender does not know enough yet to claim anything.
    pub is_starting: bool,
    /// The sender is about to stop and wants others to take what it holds.
    pub is_leaving: bool,
    /// What the sender knows of the receiver's claims.
    pub ack: Position,
    /// Where the sender's own claims stand.
    pub version: u64,
    /// Some of the sender's claims.
    pub changes: Option<Changes>,
}

/// How far somebody has followed another speaker's claims.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Position {
    /// The life of the speaker that claims.
    pub incarnation: u64,
    /// Which whole set the reader started from, as [`Changes::base`] named it.
    pub base: u64,
    /// All that changed up to here is known.
    pub version: u64,
}

/// The claims of the sender that last changed after one version, up to another.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Changes {
    /// Names the whole set that this continues.
    pub base: u64,
    /// Only a reader who knows at least this much may apply the changes. Zero: a whole set starts.
    pub after: u64,
    /// What the reader then knows.
    pub upto: u64,
    /// The claims, in the order in which they changed.
    pub claims: Vec<Claim>,
}

/// What a speaker says about one address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Claim {
    /// The address.
    pub address: IpAddr,
    /// The epoch of the sender's claim; of the winner's if the sender yielded.
    pub epoch: u64,
    /// What became of the claim.
    pub state: State,
}

/// What became of a claim.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum State {
    /// The sender holds the address.
    Held,
    /// The sender still answers, and somebody else should take over.
    Released,
    /// The sender heard a newer claim and stopped.
    Yielded {
        /// Whose claim that was.
        to: Station,
    },
    /// The sender stopped because the address is no longer to be announced.
    Dropped,
}

/// A reason to drop a datagram without an answer.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Malformed {
    /// An address of a family other than IPv4 and IPv6.
    Family,
    /// An interval of zero, or longer than [`MAX_INTERVAL`].
    Interval,
    /// Not a message of the mesh.
    Magic,
    /// A station without a name, with one too long, or one that is not UTF-8.
    Name,
    /// A claim in a state that does not exist.
    State,
    /// Longer than [`MAX_DATAGRAM`].
    TooLong,
    /// Bytes behind the end.
    Trailing,
    /// It ends in the middle of a field.
    Truncated,
    /// Another major version.
    Version,
    /// Changes that end before they begin, or after the version they lead to.
    Versions,
}

impl Malformed {
    /// The value of a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Family => "address_family",
            Self::Interval => "interval",
            Self::Magic => "magic",
            Self::Name => "name",
            Self::State => "claim_state",
            Self::TooLong => "too_long",
            Self::Trailing => "trailing_bytes",
            Self::Truncated => "truncated",
            Self::Version => "version",
            Self::Versions => "contradicting_versions",
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Family => "an address is neither IPv4 nor IPv6",
            Self::Interval => "the declared interval is zero or too long",
            Self::Magic => "it is not a message of the mesh",
            Self::Name => "a station's name is empty, too long or not UTF-8",
            Self::State => "a claim is in a state that does not exist",
            Self::TooLong => "it is longer than a message may be",
            Self::Trailing => "bytes follow the end of the message",
            Self::Truncated => "it ends in the middle of a field",
            Self::Version => "it has another major version",
            Self::Versions => "its changes end before they begin or after the version they lead to",
        })
    }
}

impl std::error::Error for Malformed {}

impl From<Truncated> for Malformed {
    fn from(_: Truncated) -> Self {
        Self::Truncated
    }
}

impl Message {
    /// Bytes that are left for claims in a message from `from`.
    pub fn room(from: &Station) -> usize {
        MAX_DATAGRAM - FIXED - from.as_str().len()
    }

    /// Parses one UDP payload.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the datagram.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > MAX_DATAGRAM {
            return Err(Malformed::TooLong);
        }
        let mut reader = Reader(bytes);
        if reader.array()? != MAGIC {
            return Err(Malformed::Magic);
        }
        if reader.u8()? != MAJOR {
            return Err(Malformed::Version);
        }
        let minor = reader.u8()?;
        let flags = reader.u8()?;
        let from = station(&mut reader)?;
        let incarnation = u64(&mut reader)?;
        let number = u64(&mut reader)?;
        let interval = Duration::from_millis(reader.u16()?.into());
        if interval.is_zero() || interval > MAX_INTERVAL {
            return Err(Malformed::Interval);
        }
        let ack = Position {
            incarnation: u64(&mut reader)?,
            base: u64(&mut reader)?,
            version: u64(&mut reader)?,
        };
        let version = u64(&mut reader)?;
        let changes = match flags & HAS_CHANGES {
            0 => None,
            _ => Some(Changes::decode(&mut reader, version)?),
        };
        if minor == MINOR && !reader.is_empty() {
            return Err(Malformed::Trailing);
        }
        Ok(Self {
            from,
            incarnation,
            number,
            interval,
            is_starting: flags & STARTING != 0,
            is_leaving: flags & LEAVING != 0,
            ack,
            version,
            changes,
        })
    }

    /// The bytes of this message: at most [`MAX_DATAGRAM`] if the claims fit into
    /// [`Message::room`].
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        out.extend(MAGIC);
        out.extend([MAJOR, MINOR]);
        let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        out.push(
            flag(self.is_starting, STARTING)
                | flag(self.is_leaving, LEAVING)
                | flag(self.changes.is_some(), HAS_CHANGES),
        );
        sized(&mut out, |out| out.extend(self.from.as_str().bytes()));
        out.extend(self.incarnation.to_be_bytes());
        out.extend(self.number.to_be_bytes());
        let interval = u16::try_from(self.interval.as_millis()).unwrap_or(u16::MAX);
        out.extend(interval.to_be_bytes());
        for field in [self.ack.incarnation, self.ack.base, self.ack.version, self.version] {
            out.extend(field.to_be_bytes());
        }
        if let Some(changes) = &self.changes {
            changes.encode(&mut out);
        }
        out
    }
}

impl Changes {
    fn decode(reader: &mut Reader<'_>, version: u64) -> Result<Self, Malformed> {
        let [base, after, upto] = [u64(reader)?, u64(reader)?, u64(reader)?];
        if after > upto || upto > version {
            return Err(Malformed::Versions);
        }
        // The count is a promise: what is missing is noticed, and nothing is reserved for it.
        let count = reader.u16()?;
        let claims = (0..count).map(|_| Claim::decode(reader)).collect::<Result<_, _>>()?;
        Ok(Self { base, after, upto, claims })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        for field in [self.base, self.after, self.upto] {
            out.extend(field.to_be_bytes());
        }
        let count = u16::try_from(self.claims.len()).unwrap_or(u16::MAX);
        out.extend(count.to_be_bytes());
        for claim in self.claims.iter().take(count.into()) {
            claim.encode(out);
        }
    }
}

impl Claim {
    /// Bytes that the claim takes up in a message.
    pub fn encoded_len(&self) -> usize {
        let address = match self.address {
            IpAddr::V4(_) => 4,
            IpAddr::V6(_) => 16,
        };
        let name = match &self.state {
            State::Yielded { to } => 1 + to.as_str().len(),
            State::Held | State::Released | State::Dropped => 0,
        };
        1 + address + 8 + 1 + name
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let address = match reader.u8()? {
            4 => IpAddr::from(reader.array::<4>()?),
            6 => IpAddr::from(reader.array::<16>()?),
            _ => return Err(Malformed::Family),
        };
        let epoch = u64(reader)?;
        let state = match reader.u8()? {
            0 => State::Held,
            1 => State::Released,
            2 => State::Yielded { to: station(reader)? },
            3 => State::Dropped,
            _ => return Err(Malformed::State),
        };
        Ok(Self { address, epoch, state })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self.address {
            IpAddr::V4(v4) => {
                out.push(4);
                out.extend(v4.octets());
            }
            IpAddr::V6(v6) => {
                out.push(6);
                out.extend(v6.octets());
            }
        }
        out.extend(self.epoch.to_be_bytes());
        match &self.state {
            State::Held => out.push(0),
            State::Released => out.push(1),
            State::Yielded { to } => {
                out.push(2);
                sized(out, |out| out.extend(to.as_str().bytes()));
            }
            State::Dropped => out.push(3),
        }
    }
}

fn u64(reader: &mut Reader<'_>) -> Result<u64, Truncated> {
    reader.array().map(u64::from_be_bytes)
}

fn station(reader: &mut Reader<'_>) -> Result<Station, Malformed> {
    let len = reader.u8()?;
    let Reader(bytes) = reader.sub(len.into())?;
    let name = str::from_utf8(bytes).map_err(|_| Malformed::Name)?;
    Station::new(name).map_err(|_| Malformed::Name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[rustfmt::skip]
    const BYTES: &[u8] = &[
        b'f', b'e', b'r', b'r', 1, 0,      // version 1.0
        0x05,                              // starting, with changes
        1, b'a',                           // from a
        0, 0, 0, 0, 0, 0, 0, 7,            // incarnation
        0, 0, 0, 0, 0, 0, 0, 9,            // number
        0, 100,                            // every 100 ms
        0, 0, 0, 0, 0, 0, 0, 3,            // I know your incarnation 3,
        0, 0, 0, 0, 0, 0, 0, 0,            // from its beginning,
        0, 0, 0, 0, 0, 0, 0, 5,            // up to version 5
        0, 0, 0, 0, 0, 0, 0, 4,            // mine is version 4
        0, 0, 0, 0, 0, 0, 0, 0,            // no whole set but the first
        0, 0, 0, 0, 0, 0, 0, 2,            // changes after 2
        0, 0, 0, 0, 0, 0, 0, 4,            // up to 4
        0, 2,                              // two of them
        4, 192, 0, 2, 1,                   // the first address
        0, 0, 0, 0, 0, 0, 1, 0,            // in epoch 256
        0,                                 // is held
        4, 192, 0, 2, 2,                   // the second
        0, 0, 0, 0, 0, 0, 0, 2,            // in epoch 2
        2, 1, b'b',                        // was yielded to b
    ];

    fn message() -> Message {
        let claim =
            |address: &str, epoch, state| Claim { address: address.parse().unwrap(), epoch, state };
        let to = Station::new("b").unwrap();
        Message {
            from: Station::new("a").unwrap(),
            incarnation: 7,
            number: 9,
            interval: Duration::from_millis(100),
            is_starting: true,
            is_leaving: false,
            ack: Position { incarnation: 3, base: 0, version: 5 },
            version: 4,
            changes: Some(Changes {
                base: 0,
                after: 2,
                upto: 4,
                claims: vec![
                    claim("192.0.2.1", 256, State::Held),
                    claim("192.0.2.2", 2, State::Yielded { to }),
                ],
            }),
        }
    }

    #[test]
    fn reads_and_writes_every_field() {
        assert_eq!(Message::decode(BYTES), Ok(message()));
        assert_eq!(message().encode(), BYTES);
    }

    #[test]
    fn what_breaks_the_format_is_named() {
        let with = |at: usize, byte: u8| {
            let mut bytes = BYTES.to_vec();
            bytes[at] = byte;
            bytes
        };
        let longer = |extra: usize| [BYTES, &vec![0; extra]].concat();
        let cases = [
            ("cut short", BYTES[..BYTES.len() - 1].to_vec(), Malformed::Truncated),
            ("empty", vec![], Malformed::Truncated),
            ("longer than any message", longer(MAX_DATAGRAM), Malformed::TooLong),
            ("one byte too many", longer(1), Malformed::Trailing),
            ("another protocol", with(0, b'F'), Malformed::Magic),
            ("the next major version", with(4, 2), Malformed::Version),
            ("no name", with(7, 0), Malformed::Name),
            ("a name that is not UTF-8", with(8, 0xff), Malformed::Name),
            ("an interval of zero", with(26, 0), Malformed::Interval),
            ("an interval of 16 s", with(25, 0x40), Malformed::Interval),
            ("changes that go back", with(74, 5), Malformed::Versions),
            ("changes beyond the version", with(82, 5), Malformed::Versions),
            ("more claims promised", with(84, 3), Malformed::Truncated),
            ("IPv5", with(85, 5), Malformed::Family),
            ("a fifth state", with(98, 4), Malformed::State),
        ];
        for (name, bytes, want) in cases {
            assert_eq!(Message::decode(&bytes), Err(want), "{name}");
        }
    }

    #[test]
    fn what_a_higher_minor_version_appends_is_passed_over() {
        let mut bytes = [BYTES, b"news"].concat();
        bytes[5] = 1;
        assert_eq!(Message::decode(&bytes), Ok(message()));
    }

    #[test]
    fn three_claims_fit_whatever_the_names() {
        let longest = Station::new(&"x".repeat(Station::MAX_LEN)).unwrap();
        let claim = Claim {
            address: "2001:db8::1".parse().unwrap(),
            epoch: 1,
            state: State::Yielded { to: longest.clone() },
        };
        assert!(Message::room(&longest) >= 3 * claim.encoded_len());

        let claims = vec![claim; 3];
        let changes = Some(Changes { base: 0, after: 0, upto: 4, claims });
        let message = Message { from: longest.clone(), changes, ..message() };
        let used = FIXED
            + Station::MAX_LEN
            + 3 * message.changes.as_ref().unwrap().claims[0].encoded_len();
        assert_eq!(message.encode().len(), used, "the sizes are those of the encoder");
    }

    fn any_station() -> impl Strategy<Value = Station> {
        "[a-zA-Zäß.-]{1,40}".prop_map(|name| Station::new(&name).unwrap())
    }

    fn any_claim() -> impl Strategy<Value = Claim> {
        let state = prop_oneof![
            Just(State::Held),
            Just(State::Released),
            Just(State::Dropped),
            any_station().prop_map(|to| State::Yielded { to }),
        ];
        (any::<IpAddr>(), any::<u64>(), state).prop_map(|(address, epoch, state)| Claim {
            address,
            epoch,
            state,
        })
    }

    fn any_changes() -> impl Strategy<Value = (u64, Option<Changes>)> {
        let claims = prop::collection::vec(any_claim(), 0..10);
        let changes = (any::<[u64; 4]>(), claims).prop_map(|(numbers, claims)| {
            let [base, mut rest @ ..] = numbers;
            rest.sort_unstable();
            let [after, upto, version] = rest;
            (version, Some(Changes { base, after, upto, claims }))
        });
        prop_oneof![any::<u64>().prop_map(|version| (version, None)), changes]
    }

    fn any_message() -> impl Strategy<Value = Message> {
        let numbers = any::<[u64; 5]>();
        let flags = any::<[bool; 2]>();
        (any_station(), numbers, 1..=10_000_u64, flags, any_changes()).prop_map(
            |(from, numbers, interval, [is_starting, is_leaving], (version, changes))| {
                let [incarnation, number, of, base, known] = numbers;
                Message {
                    from,
                    incarnation,
                    number,
                    interval: Duration::from_millis(interval),
                    is_starting,
                    is_leaving,
                    ack: Position { incarnation: of, base, version: known },
                    version,
                    changes,
                }
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(message in any_message()) {
            prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
        }

        #[test]
        fn no_bytes_can_hurt(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Message::decode(&bytes);
        }

        #[test]
        fn a_damaged_message_is_read_as_another_or_refused(
            message in any_message(),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            keep in any::<prop::sample::Index>(),
        ) {
            let mut bytes = message.encode();
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.truncate(keep.index(bytes.len() + 1));
            if let Ok(read) = Message::decode(&bytes) {
                // Only a higher minor version may carry more than we write.
                prop_assert!(read.encode().len() <= bytes.len());
            }
        }
    }
}
