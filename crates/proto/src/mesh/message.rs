//! The heartbeat: the only message of the mesh, one to a datagram.
//!
//! ```text
//! "ferr" version flags name incarnation number interval wish rank ack base known version part*
//!   4      1      1    1+n      8         8       2      2    1    8    8     8      8
//! part:     kind  length  body
//!            1      2    length
//! changes:  base  after  upto  count  claim*                                     kind 1
//!             8     8      8     2
//! claim:    family  address  epoch  state  [name]
//!              1    4 or 16    8      1     1+n
//! links:    count  (MAC  count  (family  address)*)*                             kind 2
//!             1      6     1       1     4 or 16
//! ```
//!
//! All numbers are in network order. Parts of a kind that is not known here are passed over, and so
//! is what follows in a part that is, so a later version may add either. A change of any other kind
//! needs another version byte.

mod parts;

use std::fmt;
use std::time::Duration;

use super::{Station, seal};
use crate::wire::{Reader, Truncated, sized};

pub use parts::{Changes, Claim, Link, Position, State};

/// The longest datagram, so that it is never cut to pieces once it is sealed: losing one piece would
/// lose all, and firewalls drop pieces. Every link that carries IPv6 passes 1280 bytes, also within
/// tunnels.
pub const MAX_DATAGRAM: usize = LEAST_MTU - HEADERS - seal::OVERHEAD;

/// What every link passes (RFC 8200 section 5).
const LEAST_MTU: usize = 1280;

/// The headers of IPv6 and UDP; those of IPv4 are shorter.
const HEADERS: usize = 40 + 8;

/// The slowest interval a peer may declare. It bounds how long a dead peer can seem alive.
pub const MAX_INTERVAL: Duration = Duration::from_secs(10);

const MAGIC: [u8; 4] = *b"ferr";
const VERSION: u8 = 1;

const CHANGES: u8 = 1;
const LINKS: u8 = 2;

/// Bytes of a message besides the sender's name, its links and its claims.
const FIXED: usize = 4 + 2 + 1 + 16 + 5 + 24 + 8 + (3 + 26) + 3;

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
    /// How the sender wishes to be spoken to.
    pub wish: Wish,
    /// Where the sender is in its life.
    pub flags: Flags,
    /// What the sender knows of the receiver's claims.
    pub ack: Position,
    /// Where the sender's own claims stand.
    pub version: u64,
    /// Where the sender is on the LAN; only with changes, and counted as one of them.
    pub links: Option<Vec<Link>>,
    /// Some of the sender's claims.
    pub changes: Option<Changes>,
}

/// How often a speaker wishes to hear a peer.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Wish {
    /// In whole milliseconds, at most [`MAX_INTERVAL`].
    pub interval: Duration,
    /// How much depends on it, zero the most: who takes over after the peer, the first heir first.
    /// A peer that cannot give everybody what is wished for looks at this.
    pub rank: u8,
}

/// What a speaker says of itself.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Flags {
    /// It does not know enough yet to claim anything.
    pub is_starting: bool,
    /// It is about to stop, and to come back.
    pub is_restarting: bool,
    /// It is about to stop and wants others to take what it holds.
    pub is_leaving: bool,
    /// It hears nothing from the LAN.
    pub is_deaf: bool,
}

impl Flags {
    const STARTING: u8 = 0x01;
    const RESTARTING: u8 = 0x02;
    const LEAVING: u8 = 0x04;
    const DEAF: u8 = 0x08;

    fn of(bits: u8) -> Self {
        Self {
            is_starting: bits & Self::STARTING != 0,
            is_restarting: bits & Self::RESTARTING != 0,
            is_leaving: bits & Self::LEAVING != 0,
            is_deaf: bits & Self::DEAF != 0,
        }
    }

    fn bits(self) -> u8 {
        let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        flag(self.is_starting, Self::STARTING)
            | flag(self.is_restarting, Self::RESTARTING)
            | flag(self.is_leaving, Self::LEAVING)
            | flag(self.is_deaf, Self::DEAF)
    }
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
    /// It ends in the middle of a field.
    Truncated,
    /// Another version.
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
            Self::Interval => "a declared or wished interval is zero or too long",
            Self::Magic => "it is not a message of the mesh",
            Self::Name => "a station's name is empty, too long or not UTF-8",
            Self::State => "a claim is in a state that does not exist",
            Self::TooLong => "it is longer than a message may be",
            Self::Truncated => "it ends in the middle of a field",
            Self::Version => "it is of another version",
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
    /// Bytes that are left for claims in a message from `from` that has these links.
    pub fn room(from: &Station, links: &[Link]) -> usize {
        MAX_DATAGRAM - FIXED - from.as_str().len() - parts::links_len(links)
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
        if reader.u8()? != VERSION {
            return Err(Malformed::Version);
        }
        let flags = Flags::of(reader.u8()?);
        let from = parts::station(&mut reader)?;
        let incarnation = parts::u64(&mut reader)?;
        let number = parts::u64(&mut reader)?;
        let interval = interval(&mut reader)?;
        let wish = Wish { interval: self::interval(&mut reader)?, rank: reader.u8()? };
        let ack = Position::decode(&mut reader)?;
        let version = parts::u64(&mut reader)?;
        let (mut links, mut changes) = (None, None);
        while !reader.is_empty() {
            let kind = reader.u8()?;
            let length = reader.u16()?;
            let mut body = reader.sub(length.into())?;
            match kind {
                CHANGES => changes = Some(Changes::decode(&mut body, version)?),
                LINKS => links = Some(parts::links(&mut body)?),
                _ => (),
            }
        }
        let known =
            Self { from, incarnation, number, interval, wish, flags, ack, version, links, changes };
        Ok(known)
    }

    /// The bytes of this message: at most [`MAX_DATAGRAM`] if the claims fit into
    /// [`Message::room`].
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        out.extend(MAGIC);
        out.extend([VERSION, self.flags.bits()]);
        sized(&mut out, |out| out.extend(self.from.as_str().bytes()));
        out.extend(self.incarnation.to_be_bytes());
        out.extend(self.number.to_be_bytes());
        out.extend(millis(self.interval));
        out.extend(millis(self.wish.interval));
        out.push(self.wish.rank);
        for field in [self.ack.incarnation, self.ack.base, self.ack.version, self.version] {
            out.extend(field.to_be_bytes());
        }
        if let Some(changes) = &self.changes {
            part(&mut out, CHANGES, |out| changes.encode(out));
        }
        if let Some(links) = &self.links {
            part(&mut out, LINKS, |out| parts::encode_links(links, out));
        }
        out
    }
}

fn interval(reader: &mut Reader<'_>) -> Result<Duration, Malformed> {
    let interval = Duration::from_millis(reader.u16()?.into());
    match interval.is_zero() || interval > MAX_INTERVAL {
        true => Err(Malformed::Interval),
        false => Ok(interval),
    }
}

fn millis(interval: Duration) -> [u8; 2] {
    u16::try_from(interval.as_millis()).unwrap_or(u16::MAX).to_be_bytes()
}

/// Writes a part. A body longer than its length can say is cut short; none of ours is.
fn part(out: &mut Vec<u8>, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.extend([kind, 0, 0]);
    let start = out.len();
    body(out);
    let length = u16::try_from(out.len() - start).unwrap_or(u16::MAX);
    out.truncate(start + usize::from(length));
    out[start - 2..start].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::l2::Mac;

    #[rustfmt::skip]
    const BYTES: &[u8] = &[
        b'f', b'e', b'r', b'r', 1,         // version 1
        0x01,                              // starting
        1, b'a',                           // from a
        0, 0, 0, 0, 0, 0, 0, 7,            // incarnation
        0, 0, 0, 0, 0, 0, 0, 9,            // number
        0, 100,                            // every 100 ms
        0, 50, 2,                          // wishes 50 ms, as the third heir
        0, 0, 0, 0, 0, 0, 0, 3,            // I know your incarnation 3,
        0, 0, 0, 0, 0, 0, 0, 0,            // from its beginning,
        0, 0, 0, 0, 0, 0, 0, 5,            // up to version 5
        0, 0, 0, 0, 0, 0, 0, 4,            // mine is version 4
        1, 0, 56,                          // changes, 56 bytes
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
        2, 0, 13,                          // links, 13 bytes
        1,                                 // one
        2, 0, 0, 0, 0, 5,                  // with this Ethernet address
        1, 4, 10, 0, 0, 5,                 // and one other
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
            wish: Wish { interval: Duration::from_millis(50), rank: 2 },
            flags: Flags { is_starting: true, ..Flags::default() },
            links: Some(vec![Link {
                mac: Mac([2, 0, 0, 0, 0, 5]),
                addresses: vec!["10.0.0.5".parse().unwrap()],
            }]),
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
        let longer = [BYTES, &vec![0; MAX_DATAGRAM]].concat();
        let cases = [
            ("cut short", BYTES[..BYTES.len() - 1].to_vec(), Malformed::Truncated),
            ("empty", vec![], Malformed::Truncated),
            ("longer than any message", longer, Malformed::TooLong),
            ("half a part", [BYTES, &[9, 0]].concat(), Malformed::Truncated),
            ("another protocol", with(0, b'F'), Malformed::Magic),
            ("the next version", with(4, 2), Malformed::Version),
            ("no name", with(6, 0), Malformed::Name),
            ("a name that is not UTF-8", with(7, 0xff), Malformed::Name),
            ("an interval of zero", with(25, 0), Malformed::Interval),
            ("an interval of 16 s", with(24, 0x40), Malformed::Interval),
            ("a wish of 16 s", with(26, 0x40), Malformed::Interval),
            ("changes that go back", with(79, 5), Malformed::Versions),
            ("changes beyond the version", with(87, 5), Malformed::Versions),
            ("more claims promised", with(89, 3), Malformed::Truncated),
            ("IPv5", with(90, 5), Malformed::Family),
            ("a sixth state", with(103, 5), Malformed::State),
        ];
        for (name, bytes, want) in cases {
            assert_eq!(Message::decode(&bytes), Err(want), "{name}");
        }
    }

    #[test]
    fn what_a_later_version_adds_is_passed_over() {
        let added = [BYTES, &[9, 0, 4], b"news"].concat();
        assert_eq!(Message::decode(&added), Ok(message()), "a part");
        let mut longer = [BYTES, b"news"].concat();
        longer[BYTES.len() - 14] += 4;
        assert_eq!(Message::decode(&longer), Ok(message()), "the end of a part");
    }

    #[test]
    fn a_message_is_as_long_as_its_room_says() {
        let longest = Station::new(&"x".repeat(Station::MAX_LEN)).unwrap();
        let address = "2001:db8::1".parse().unwrap();
        let state = State::Yielded { to: longest.clone() };
        let claim = Claim { address, epoch: 1, state };
        let links = vec![Link { mac: Mac::BROADCAST, addresses: vec![address; 4] }; 4];
        let room = Message::room(&longest, &links);
        assert!(room >= claim.encoded_len(), "whatever the names, a claim fits");

        let changes = Some(Changes { base: 0, after: 0, upto: 4, claims: vec![claim.clone()] });
        let message = Message { from: longest, changes, links: Some(links), ..message() };
        let used = message.encode().len() - claim.encoded_len();
        assert_eq!(used + room, MAX_DATAGRAM);
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
            any_station().prop_map(|holder| State::StandingIn { holder }),
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

    fn any_links() -> impl Strategy<Value = Option<Vec<Link>>> {
        let link = (any::<[u8; 6]>(), prop::collection::vec(any::<IpAddr>(), 0..3));
        let link = link.prop_map(|(mac, addresses)| Link { mac: Mac(mac), addresses });
        prop::option::of(prop::collection::vec(link, 0..3))
    }

    fn any_message() -> impl Strategy<Value = Message> {
        let numbers = any::<[u64; 5]>();
        let times = (1..=10_000_u64, 1..=10_000_u64, any::<u8>());
        (any_station(), numbers, times, 0..16_u8, any_links(), any_changes()).prop_map(
            |(from, numbers, (interval, wish, rank), flags, links, (version, changes))| {
                let [incarnation, number, of, base, known] = numbers;
                Message {
                    from,
                    incarnation,
                    number,
                    interval: Duration::from_millis(interval),
                    wish: Wish { interval: Duration::from_millis(wish), rank },
                    flags: Flags::of(flags),
                    links,
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
                // Only a later version carries more than we write.
                prop_assert!(read.encode().len() <= bytes.len());
            }
        }
    }
}
