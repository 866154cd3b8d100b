//! Sealed datagrams: what a speaker hears was said by a speaker with the same key, to it, and now.
//!
//! ```text
//! "seal"  version  used  newest  number  heard  payload  tag
//!    4       1       4      4       8      8       n      32
//! ```
//!
//! The tag is HMAC-SHA256 (RFC 2104) over all that is in front of it and the names of sender and
//! receiver, so a datagram that is sent on to another node, or back to where it came from, is worth
//! nothing. The payload is not encrypted: who answers for an address is known to the whole LAN.
//! A tag has no nonce, so a clock that is set back betrays no key.
//!
//! **Replay.** Numbers are microseconds of the sender's clock and rise; `heard` is the highest
//! number that the sender has read of the receiver. A receiver remembers the last numbers of
//! each peer and accepts each once. What an attacker is left with are recordings from before the
//! receiver's start, since it has no memory of that. So the first datagram of a peer must show that
//! it is new: it names a number that this life of the receiver has sent, or the clocks of both hosts
//! are at most [`CLOCKS_APART`] from each other. The former works whatever the clocks say; the latter
//! hears a peer that does not hear us. From then on higher numbers are newer by themselves. What is
//! accepted goes to the engine, which has incarnations and numbers of its own.
//!
//! A host whose clock was set back would be taken for its own past. It learns from `heard` what its
//! peers have read of it, and counts on from there.
//!
//! Only a recording that is younger than [`CLOCKS_APART`], played to a speaker that started after
//! it was made, about a speaker that died since, is taken for new: the dead one seems to live for
//! that long.
//!
//! **Rotation.** A speaker that is given another key goes on accepting the old one, and says in
//! `newest` which is its newest. To a peer it uses the newest only once the peer has said that it
//! has it; until then what the peer itself uses. So nothing is ever sealed with a key that its
//! receiver lacks, in whichever order nodes are given it. The old key ends when every peer uses the
//! new one, at the latest after [`RETIREMENT`].

mod key;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use ring::hmac;

use super::Station;
use super::message;
use crate::time::Instant;
use crate::wire::{Reader, Truncated, sized};

pub use key::{Key, KeyId, NotASecret};

/// What sealing adds to a datagram, in bytes.
pub const OVERHEAD: usize = HEADER + TAG;

/// The longest sealed datagram.
pub const MAX_SEALED: usize = message::MAX_DATAGRAM + OVERHEAD;

/// The most keys that are known at a time: those given, then those given before. More than two are
/// never needed, but nodes may be late by a whole rotation.
pub const MAX_KEYS: usize = 4;

/// For how long a key that is no longer given is accepted, if a peer still does not use another.
pub const RETIREMENT: Duration = Duration::from_secs(24 * 60 * 60);

/// How far the clocks of two hosts may be apart for the first word of a peer to count without proof
/// that it is new.
pub const CLOCKS_APART: Duration = Duration::from_secs(30);

const MAGIC: [u8; 4] = *b"seal";
const VERSION: u8 = 1;
const HEADER: usize = MAGIC.len() + 1 + 2 * KeyId::LEN + 2 * 8;
const TAG: usize = 32;

/// How many numbers of each peer are remembered. A datagram overtaken by more than these is lost;
/// a peer has 16 datagrams of changes under way at most.
const WINDOW: usize = 16;

/// Why a datagram is not let in. It is dropped without an answer.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Refused {
    /// Its tag is not what sender and receiver make with that key: a forgery, or it was damaged, or
    /// meant for another.
    Forged,
    /// More datagrams have overtaken it than are remembered.
    Late,
    /// It is sealed, and no key was given here.
    NoKey,
    /// It has been accepted before.
    Repeated,
    /// The first of its sender does not show that it is new.
    Stale,
    /// Its sender is no peer.
    Stranger,
    /// It ends within a field.
    Truncated,
    /// It is sealed with a key that was not given here.
    UnknownKey,
    /// It is not sealed, and a key was given here.
    Unsealed,
    /// It is sealed in another way.
    Version,
}

impl Refused {
    /// All there are.
    pub const ALL: [Self; 10] = [
        Self::Forged,
        Self::Late,
        Self::NoKey,
        Self::Repeated,
        Self::Stale,
        Self::Stranger,
        Self::Truncated,
        Self::UnknownKey,
        Self::Unsealed,
        Self::Version,
    ];

    /// The value of a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Forged => "forged",
            Self::Late => "late",
            Self::NoKey => "no_key",
            Self::Repeated => "repeated",
            Self::Stale => "stale",
            Self::Stranger => "stranger",
            Self::Truncated => "truncated",
            Self::UnknownKey => "unknown_key",
            Self::Unsealed => "unsealed",
            Self::Version => "version",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forged => "its tag is wrong",
            Self::Late => "too many have overtaken it",
            Self::NoKey => "it is sealed with a key, and this node has none",
            Self::Repeated => "it has come before",
            Self::Stale => {
                "it may be a recording: it is older than this speaker, and the clocks of \
                            the two hosts do not agree"
            }
            Self::Stranger => "its sender is no Node with a speaker",
            Self::Truncated => "it ends within a field",
            Self::UnknownKey => "it is sealed with another key than this node has",
            Self::Unsealed => "it is not sealed with the key that this node has",
            Self::Version => "it is sealed in a way of another version",
        })
    }
}

impl std::error::Error for Refused {}

impl From<Truncated> for Refused {
    fn from(_: Truncated) -> Self {
        Self::Truncated
    }
}

/// Seals what a station says and opens what it hears. Without a key both let everything pass.
#[derive(Debug)]
pub struct Seal {
    me: Station,
    /// The lowest number of this life: that of [`Instant::START`].
    first: u64,
    /// The last number given.
    last: u64,
    /// The newest first.
    keys: Vec<Kept>,
    peers: BTreeMap<Station, Peer>,
}

#[derive(Debug)]
struct Kept {
    key: Key,
    /// When it ends; `None` while it is given.
    until: Option<Instant>,
}

/// What is known of a peer.
#[derive(Debug, Default)]
struct Peer {
    /// The highest number in a datagram of its, new or not; zero if there was none. To it, that is
    /// the proof that it is being heard now.
    heard: u64,
    accepted: Option<Accepted>,
    /// The keys in the newest of its datagrams.
    keys: Option<KeysOfPeer>,
}

/// The last numbers accepted, the lowest first.
#[derive(Clone, Copy, Debug)]
struct Accepted([u64; WINDOW]);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct KeysOfPeer {
    used: KeyId,
    newest: KeyId,
}

impl Seal {
    /// The seal of `me`, without a key. `micros` are microseconds since 1970, of a clock that rises
    /// from one start of this station to the next; it is read once, for [`Instant::START`].
    pub fn new(me: Station, micros: u64) -> Self {
        // The first number is 1 at least: 0 is "none heard".
        let first = micros.max(1);
        Self { me, first, last: 0, keys: Vec::new(), peers: BTreeMap::new() }
    }

    /// From now on these stations are heard. What is known of others is forgotten.
    pub fn use_peers<'a>(&mut self, peers: impl IntoIterator<Item = &'a Station>) {
        let wanted: BTreeSet<_> = peers.into_iter().collect();
        self.peers.retain(|station, _| wanted.contains(station));
        for station in wanted {
            if !self.peers.contains_key(station) {
                self.peers.insert(station.clone(), Peer::default());
            }
        }
    }

    /// From now on these keys are given: the first is the newest, the others are accepted.
    pub fn use_keys(&mut self, now: Instant, given: impl IntoIterator<Item = Key>) {
        let mut keys: Vec<Kept> = Vec::new();
        let given = given.into_iter().map(|key| Kept { key, until: None });
        let before = std::mem::take(&mut self.keys).into_iter();
        let before = before.map(|Kept { key, until }| {
            let until = until.unwrap_or(now + RETIREMENT);
            Kept { key, until: Some(until) }
        });
        for kept in given.chain(before) {
            if keys.len() < MAX_KEYS && keys.iter().all(|other| other.key != kept.key) {
                keys.push(kept);
            }
        }
        self.keys = keys;
        self.end_keys(now);
    }

    /// The keys that are accepted, the newest first.
    pub fn keys(&self) -> impl Iterator<Item = KeyId> {
        self.keys.iter().map(|kept| kept.key.id())
    }

    /// What to send to `to` for it to hear `payload`.
    pub fn seal(&mut self, now: Instant, to: &Station, payload: &[u8]) -> Vec<u8> {
        let number = self.number(now).max(self.last.saturating_add(1));
        let peer = self.peers.get(to);
        let heard = peer.map_or(0, |peer| peer.heard);
        let Some(newest) = self.keys.first() else { return payload.to_vec() };
        let key = self.key_for(peer).unwrap_or(&newest.key);
        let mut out = Vec::with_capacity(payload.len() + OVERHEAD);
        out.extend(MAGIC);
        out.push(VERSION);
        out.extend(key.id().0);
        out.extend(newest.key.id().0);
        out.extend(number.to_be_bytes());
        out.extend(heard.to_be_bytes());
        out.extend(payload);
        let mut tag = hmac::Context::with_key(key.mac());
        tag.update(&out);
        tag.update(&direction(&self.me, to));
        out.extend(tag.sign().as_ref());
        self.last = number;
        out
    }

    /// What `from` said, if it did, to us, now, and for the first time.
    ///
    /// # Errors
    ///
    /// Says why the datagram is not to be believed.
    pub fn open<'a>(
        &mut self,
        now: Instant,
        from: &Station,
        datagram: &'a [u8],
    ) -> Result<&'a [u8], Refused> {
        let is_sealed = datagram.starts_with(&MAGIC);
        if !self.peers.contains_key(from) {
            return Err(Refused::Stranger);
        }
        match (is_sealed, self.keys.is_empty()) {
            (false, true) => return Ok(datagram),
            (false, false) => return Err(Refused::Unsealed),
            (true, true) => return Err(Refused::NoKey),
            (true, false) => (),
        }
        self.end_keys(now);
        let Envelope { keys, number, heard, payload } = self.unseal(from, datagram)?;
        let is_new =
            heard >= self.first || number.abs_diff(self.number(now)) <= as_micros(CLOCKS_APART);
        let peer = self.peers.get_mut(from).ok_or(Refused::Stranger)?;
        peer.heard = peer.heard.max(number);
        match &mut peer.accepted {
            Some(accepted) => accepted.admit(number)?,
            None if is_new => peer.accepted = Some(Accepted([number; WINDOW])),
            None => return Err(Refused::Stale),
        }
        let is_newest = peer.accepted.is_some_and(|accepted| accepted.newest() == number);
        if is_newest && peer.keys != Some(keys) {
            peer.keys = Some(keys);
            self.end_keys(now);
        }
        self.last = self.last.max(heard);
        Ok(payload)
    }

    /// Reads a sealed datagram whose tag is right.
    fn unseal<'a>(&self, from: &Station, datagram: &'a [u8]) -> Result<Envelope<'a>, Refused> {
        let (sealed, tag) = datagram.split_last_chunk::<TAG>().ok_or(Refused::Truncated)?;
        let mut reader = Reader(sealed);
        reader.array::<{ MAGIC.len() }>()?;
        if reader.u8()? != VERSION {
            return Err(Refused::Version);
        }
        let keys = KeysOfPeer { used: KeyId(reader.array()?), newest: KeyId(reader.array()?) };
        let number = reader.array().map(u64::from_be_bytes)?;
        let heard = reader.array().map(u64::from_be_bytes)?;
        let Reader(payload) = reader;
        let key = self.key(keys.used).ok_or(Refused::UnknownKey)?;
        let signed = [sealed, &direction(from, &self.me)].concat();
        hmac::verify(key.mac(), &signed, tag).map_err(|_| Refused::Forged)?;
        Ok(Envelope { keys, number, heard, payload })
    }

    fn key(&self, id: KeyId) -> Option<&Key> {
        self.keys.iter().map(|kept| &kept.key).find(|key| key.id() == id)
    }

    /// The key that a peer can open: our newest if it has said that it has it, else what it uses
    /// itself. A peer that has said nothing most likely has the oldest.
    fn key_for(&self, peer: Option<&Peer>) -> Option<&Key> {
        let newest = self.keys.first()?.key.id();
        match peer.and_then(|peer| peer.keys) {
            Some(keys) if keys.newest == newest => self.key(newest),
            Some(keys) => self.key(keys.used),
            None => self.keys.last().map(|kept| &kept.key),
        }
    }

    /// Forgets keys that are neither given nor needed.
    fn end_keys(&mut self, now: Instant) {
        if self.keys.iter().all(|kept| kept.until.is_none()) {
            return;
        }
        let newest = self.keys.first().map(|kept| kept.key.id());
        let uses_newest = |peer: &Peer| peer.keys.map(|keys| keys.used) == newest;
        let is_needed = !self.peers.values().all(uses_newest);
        self.keys.retain(|kept| kept.until.is_none_or(|until| is_needed && until > now));
    }

    /// The number of a datagram that is sent now, unless a higher one was given before.
    fn number(&self, now: Instant) -> u64 {
        self.first.saturating_add(as_micros(now.since_start()))
    }
}

/// What a sealed datagram says.
struct Envelope<'a> {
    keys: KeysOfPeer,
    number: u64,
    heard: u64,
    payload: &'a [u8],
}

impl Accepted {
    fn newest(&self) -> u64 {
        self.0[WINDOW - 1]
    }

    /// Takes in a number that has not been accepted yet.
    fn admit(&mut self, number: u64) -> Result<(), Refused> {
        let Self(numbers) = self;
        match numbers.binary_search(&number) {
            Ok(_) => Err(Refused::Repeated),
            Err(0) => Err(Refused::Late),
            Err(place) => {
                // The lowest goes, and what is below the new one moves down.
                numbers.copy_within(1..place, 0);
                numbers[place - 1] = number;
                Ok(())
            }
        }
    }
}

/// Who says it to whom, as it enters the tag.
fn direction(from: &Station, to: &Station) -> Vec<u8> {
    let mut out = Vec::new();
    for station in [from, to] {
        sized(&mut out, |out| out.extend(station.as_str().bytes()));
    }
    out
}

fn as_micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
