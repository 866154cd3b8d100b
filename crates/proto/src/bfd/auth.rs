//! The authentication section, RFC 5880 sections 4.2 to 4.4, and its rules, section 6.7.

use std::fmt;

use md5::{Digest as _, Md5};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use super::packet::{HEADER, Malformed, Packet};
use crate::time::Instant;
use crate::wire::{Reader, Truncated};

/// Type, length and key of the shortest section; what RFC 5880 section 6.8.6 asks for at first.
pub const MIN_SECTION: usize = 2;

/// Octets of the longest section, that of SHA1.
pub const MAX_SECTION: usize = DIGEST_AT + 20;

/// Where the digest of a section begins: type, length, key, a reserved octet, sequence number.
const DIGEST_AT: usize = 8;

/// The longest password, and the longest key of MD5.
const MAX_SECRET: usize = 16;

/// The longest key of SHA1.
const MAX_SHA1_SECRET: usize = 20;

/// How packets are authenticated.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Method {
    /// Everybody on the way can read the password.
    SimplePassword,
    /// A digest; a packet may be repeated until the next one was heard.
    KeyedMd5,
    /// A digest; no packet is taken twice.
    MeticulousKeyedMd5,
    /// As [`Method::KeyedMd5`].
    KeyedSha1,
    /// As [`Method::MeticulousKeyedMd5`].
    MeticulousKeyedSha1,
}

impl Method {
    /// Every method there is.
    pub const ALL: [Self; 5] = [
        Self::SimplePassword,
        Self::KeyedMd5,
        Self::MeticulousKeyedMd5,
        Self::KeyedSha1,
        Self::MeticulousKeyedSha1,
    ];

    /// The most octets that a secret may have.
    pub fn longest_secret(self) -> usize {
        match self {
            Self::SimplePassword | Self::KeyedMd5 | Self::MeticulousKeyedMd5 => MAX_SECRET,
            Self::KeyedSha1 | Self::MeticulousKeyedSha1 => MAX_SHA1_SECRET,
        }
    }

    /// Its number on the wire.
    fn code(self) -> u8 {
        match self {
            Self::SimplePassword => 1,
            Self::KeyedMd5 => 2,
            Self::MeticulousKeyedMd5 => 3,
            Self::KeyedSha1 => 4,
            Self::MeticulousKeyedSha1 => 5,
        }
    }

    /// What `octets` hash to, with the secret in them.
    fn digest(self, octets: &[u8]) -> Vec<u8> {
        match self {
            Self::SimplePassword => Vec::new(),
            Self::KeyedMd5 | Self::MeticulousKeyedMd5 => Md5::digest(octets).to_vec(),
            Self::KeyedSha1 | Self::MeticulousKeyedSha1 => {
                digest(&SHA1_FOR_LEGACY_USE_ONLY, octets).as_ref().to_vec()
            }
        }
    }
}

/// The authentication section of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Section<'a> {
    /// A password in clear.
    Password {
        /// Which one it is.
        key_id: u8,
        /// From 1 to 16 octets.
        password: &'a [u8],
    },
    /// A digest over the whole packet.
    Digest {
        /// How it is made.
        method: Method,
        /// With which key.
        key_id: u8,
        /// Counts packets.
        sequence: u32,
        /// As many octets as the method makes.
        digest: &'a [u8],
    },
}

impl<'a> Section<'a> {
    /// Reads what follows a header.
    pub(super) fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let broken = |Truncated| Malformed::AuthenticationLength;
        let [code, length] = reader.array().map_err(broken)?;
        let rest = usize::from(length).checked_sub(2).ok_or(Malformed::AuthenticationLength)?;
        let method = Method::ALL.into_iter().find(|method| method.code() == code);
        let method = method.ok_or(Malformed::AuthenticationType)?;
        let mut section = reader.sub(rest).map_err(broken)?;
        let key_id = section.u8().map_err(broken)?;
        if method == Method::SimplePassword {
            return match section.0 {
                password if (1..=MAX_SECRET).contains(&password.len()) => {
                    Ok(Self::Password { key_id, password })
                }
                _ => Err(Malformed::AuthenticationLength),
            };
        }
        let _reserved = section.u8().map_err(broken)?;
        let [a, b, c, d] = section.array().map_err(broken)?;
        if section.0.len() != method.longest_secret() {
            return Err(Malformed::AuthenticationLength);
        }
        let sequence = u32::from_be_bytes([a, b, c, d]);
        Ok(Self::Digest { method, key_id, sequence, digest: section.0 })
    }

    /// Appends the octets of the section.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        let at = out.len();
        match self {
            Self::Password { key_id, password } => {
                out.extend([Method::SimplePassword.code(), 0, key_id]);
                out.extend(password);
            }
            Self::Digest { method, key_id, sequence, digest } => {
                out.extend([method.code(), 0, key_id, 0]);
                out.extend(sequence.to_be_bytes());
                out.extend(digest);
            }
        }
        // At most `MAX_SECTION`, which fits.
        out[at + 1] = u8::try_from(out.len() - at).unwrap_or_default();
    }
}

/// A secret that both ends have, and how they use it.
#[derive(Clone, Eq, PartialEq)]
pub struct Key {
    method: Method,
    id: u8,
    secret: Vec<u8>,
}

impl Key {
    /// The key with the number `id`.
    ///
    /// # Errors
    ///
    /// When the method takes no secret of that length.
    pub fn new(method: Method, id: u8, secret: &[u8]) -> Result<Self, NotAKey> {
        match secret.len() {
            0 => Err(NotAKey::Empty),
            length if length > method.longest_secret() => Err(NotAKey::TooLong),
            _ => Ok(Self { method, id, secret: secret.to_vec() }),
        }
    }

    /// The packet with its section.
    pub(super) fn seal(&self, packet: &Packet, sequence: u32) -> Vec<u8> {
        let (method, key_id) = (self.method, self.id);
        if method == Method::SimplePassword {
            return packet.encode(Some(Section::Password { key_id, password: &self.secret }));
        }
        let padded = self.padded();
        let section = |digest| Some(Section::Digest { method, key_id, sequence, digest });
        let digest = method.digest(&packet.encode(section(&padded)));
        packet.encode(section(&digest))
    }

    /// The secret, filled up with zeros to the length of a digest.
    fn padded(&self) -> Vec<u8> {
        let mut padded = self.secret.clone();
        padded.resize(self.method.longest_secret(), 0);
        padded
    }

    /// Whether a packet has a right section, and its sequence number if it has one.
    fn check(&self, octets: &[u8], section: &Section<'_>) -> Result<Option<u32>, Refused> {
        match *section {
            Section::Password { .. } if self.method != Method::SimplePassword => {
                Err(Refused::Method)
            }
            Section::Digest { method, .. } if self.method != method => Err(Refused::Method),
            Section::Password { key_id, .. } | Section::Digest { key_id, .. }
                if key_id != self.id =>
            {
                Err(Refused::KeyId)
            }
            Section::Password { password, .. } if is_same(password, &self.secret) => Ok(None),
            Section::Password { .. } => Err(Refused::Forged),
            Section::Digest { digest, sequence, .. } => {
                let mut keyed = octets.to_vec();
                let end = HEADER + DIGEST_AT + digest.len();
                let place = keyed.get_mut(HEADER + DIGEST_AT..end).ok_or(Refused::Forged)?;
                place.copy_from_slice(&self.padded());
                let want = self.method.digest(&keyed);
                if is_same(digest, &want) { Ok(Some(sequence)) } else { Err(Refused::Forged) }
            }
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?}, {}, ..)", self.method, self.id)
    }
}

/// Whether two secrets are the same, in a time that does not tell where they differ.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// Why something is no key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotAKey {
    /// The secret is empty.
    Empty,
    /// The secret is longer than [`Method::longest_secret`].
    TooLong,
}

impl fmt::Display for NotAKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the secret is empty",
            Self::TooLong => "the secret is longer than the method allows",
        })
    }
}

impl std::error::Error for NotAKey {}

/// Why a packet is not believed.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Refused {
    /// It is not authenticated, and should be.
    Missing,
    /// It is authenticated, and should not be.
    Unexpected,
    /// It is authenticated in another way.
    Method,
    /// It is authenticated with another key.
    KeyId,
    /// Whoever made it does not have the secret.
    Forged,
    /// It was heard before, or is too old or too new.
    Sequence,
}

impl Refused {
    /// Every cause there is.
    pub const ALL: [Self; 6] =
        [Self::Missing, Self::Unexpected, Self::Method, Self::KeyId, Self::Forged, Self::Sequence];

    /// The cause as the value of a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Missing => "authentication_missing",
            Self::Unexpected => "authentication_unexpected",
            Self::Method => "authentication_method",
            Self::KeyId => "authentication_key",
            Self::Forged => "authentication_forged",
            Self::Sequence => "authentication_sequence",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "it is not authenticated, and this end has a key",
            Self::Unexpected => "it is authenticated, and this end has no key",
            Self::Method => "it is authenticated with another method",
            Self::KeyId => "it is authenticated with another key ID",
            Self::Forged => "it was authenticated with another secret",
            Self::Sequence => "its sequence number is not one that follows",
        })
    }
}

/// The authentication of one session.
#[derive(Debug)]
pub(super) struct Authentication {
    key: Option<Key>,
    /// bfd.XmitAuthSeq
    next: u32,
    /// bfd.RcvAuthSeq
    heard: Option<u32>,
    /// When silence has lasted for so long that the peer may have started anew.
    forget_at: Option<Instant>,
}

impl Authentication {
    /// `first` is the number of the first packet: a random one.
    pub(super) fn new(key: Option<Key>, first: u32) -> Self {
        Self { key, next: first, heard: None, forget_at: None }
    }

    /// From now on this is the key.
    pub(super) fn use_key(&mut self, key: Option<Key>) {
        if self.key != key {
            self.key = key;
            self.heard = None;
        }
    }

    /// Each packet has a number of its own, also where it need not have.
    pub(super) fn seal(&mut self, packet: &Packet) -> Vec<u8> {
        let Some(key) = &self.key else { return packet.encode(None) };
        let sequence = self.next;
        self.next = self.next.wrapping_add(1);
        key.seal(packet, sequence)
    }

    /// Whether a packet is to be believed, RFC 5880 sections 6.7.2 to 6.7.4.
    ///
    /// The number is looked at behind the digest: one that nobody has authenticated is not to be
    /// remembered.
    pub(super) fn check(
        &mut self,
        now: Instant,
        packet: &Packet,
        octets: &[u8],
        section: Option<&Section<'_>>,
    ) -> Result<(), Refused> {
        let (key, section) = match (&self.key, section) {
            (None, None) => return Ok(()),
            (None, Some(_)) => return Err(Refused::Unexpected),
            (Some(_), None) => return Err(Refused::Missing),
            (Some(key), Some(section)) => (key, section),
        };
        let Some(sequence) = key.check(octets, section)? else { return Ok(()) };
        if self.forget_at.is_some_and(|at| at <= now) {
            self.heard = None;
        }
        if let Some(heard) = self.heard {
            let ahead = sequence.wrapping_sub(heard);
            let least = match key.method {
                Method::SimplePassword | Method::KeyedMd5 | Method::KeyedSha1 => 0,
                Method::MeticulousKeyedMd5 | Method::MeticulousKeyedSha1 => 1,
            };
            if !(least..=3 * u32::from(packet.detect_multiplier.get())).contains(&ahead) {
                return Err(Refused::Sequence);
            }
        }
        self.heard = Some(sequence);
        Ok(())
    }

    /// A packet was received, and the next is waited for until `until`; twice as long silence, and
    /// the peer may count anew (RFC 5880 section 6.8.1, bfd.AuthSeqKnown).
    pub(super) fn heard(&mut self, now: Instant, until: Instant) {
        self.forget_at = Some(until + (until - now));
    }
}

#[cfg(test)]
mod tests;
