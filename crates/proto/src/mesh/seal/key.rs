//! The key of the mesh, made from a secret that an administrator or the controller wrote.

use std::fmt;

use ring::hkdf::{self, HKDF_SHA256, KeyType, Prk, Salt};
use ring::hmac::{self, HMAC_SHA256};

/// What sets these keys apart from all that others make of the same secret, such as MetalLB.
const SALT: &[u8] = b"ferrolb mesh";

/// What the two outputs are for. A change of the format of sealed datagrams changes the version.
const INFO_KEY: &[u8] = b"v1 hmac-sha256";
const INFO_ID: &[u8] = b"v1 key id";

/// A key that speakers have in common. What it prints as is its id, which tells nothing of it.
#[derive(Clone)]
pub struct Key {
    id: KeyId,
    mac: hmac::Key,
}

/// Tells keys apart without telling anything of them.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct KeyId(pub [u8; Self::LEN]);

/// Why a text is no secret to make a key from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotASecret {
    /// There is nothing in it but white space.
    Empty,
    /// It has fewer than [`Key::MIN_SECRET`] bytes.
    TooShort,
}

impl Key {
    /// The shortest secret in bytes. MetalLB's controller writes 22 characters of base64.
    pub const MIN_SECRET: usize = 16;

    /// Makes the key from a secret by HKDF with SHA-256 (RFC 5869). White space around the secret,
    /// such as the end of a line, is no part of it.
    ///
    /// # Errors
    ///
    /// If the secret is too short to be one.
    pub fn derive(secret: &[u8]) -> Result<Self, NotASecret> {
        let secret = secret.trim_ascii();
        match secret.len() {
            0 => return Err(NotASecret::Empty),
            1..Self::MIN_SECRET => return Err(NotASecret::TooShort),
            _ => (),
        }
        let prk = Salt::new(HKDF_SHA256, SALT).extract(secret);
        let mut id = [0; KeyId::LEN];
        expand(&prk, INFO_ID, &mut id);
        let mut mac = [0; 32];
        expand(&prk, INFO_KEY, &mut mac);
        Ok(Self { id: KeyId(id), mac: hmac::Key::new(HMAC_SHA256, &mac) })
    }

    /// Its id.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The key of HMAC-SHA256.
    pub(super) fn mac(&self) -> &hmac::Key {
        &self.mac
    }
}

/// The length of an output.
struct Octets(usize);

impl KeyType for Octets {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand(prk: &Prk, info: &[u8], out: &mut [u8]) {
    let filled =
        prk.expand(&[info], Octets(out.len())).and_then(|okm: hkdf::Okm<'_, _>| okm.fill(out));
    filled.expect("HKDF gives up to 255 hashes, and at most one is asked for");
}

impl KeyId {
    /// Its length in bytes.
    pub const LEN: usize = 4;
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Key {}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl NotASecret {
    /// The value of a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Empty => "empty_secret",
            Self::TooShort => "short_secret",
        }
    }
}

impl fmt::Display for NotASecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty"),
            Self::TooShort => write!(f, "it has fewer than {} characters", Key::MIN_SECRET),
        }
    }
}

impl std::error::Error for NotASecret {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_enough_characters_and_no_white_space_around_it() {
        let id = |secret: &str| Key::derive(secret.as_bytes()).map(|key| key.id());
        let rows = [
            ("nothing", "", Err(NotASecret::Empty)),
            ("white space", " \n\t\n", Err(NotASecret::Empty)),
            ("15 characters", "0123456789abcde\n", Err(NotASecret::TooShort)),
            ("16 characters", "0123456789abcdef", id("0123456789abcdef\n")),
            ("white space around it", "  0123456789abcdef\r\n", id("0123456789abcdef")),
        ];
        for (name, secret, want) in rows {
            assert_eq!(id(secret), want, "{name}");
        }
        assert_ne!(id("0123456789abcdef"), id("0123456789abcdeg"), "another secret, another key");
        assert_ne!(id("01234567 89abcdef"), id("0123456789abcdef"), "within it, space counts");
    }

    #[test]
    fn a_key_that_is_printed_tells_its_id_alone() {
        let key = Key::derive(b"0123456789abcdef").unwrap();
        assert_eq!(format!("{key:?}"), format!("Key({})", key.id()));
        assert_eq!(KeyId([0, 0xab, 1, 0xff]).to_string(), "00ab01ff");
    }
}
