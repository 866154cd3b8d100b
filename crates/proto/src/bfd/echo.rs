//! Our echo packets. What is in them is a matter of their sender alone: the peer only forwards them
//! (RFC 5880 section 5).

use std::num::NonZeroU32;

use crate::wire::{Reader, Truncated};

/// Octets of an echo packet.
pub const LENGTH: usize = 12;

/// An echo packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Echo {
    /// Names our session.
    pub discriminator: NonZeroU32,
    /// Known to nobody but this session: others are not to answer for the peer.
    pub secret: u32,
    /// Counts the packets.
    pub sequence: u32,
}

impl Echo {
    /// Reads one UDP payload; `None` is none of ours.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let mut word = || -> Result<u32, Truncated> { reader.array().map(u32::from_be_bytes) };
        let discriminator = NonZeroU32::new(word().ok()?)?;
        let echo = Self { discriminator, secret: word().ok()?, sequence: word().ok()? };
        reader.is_empty().then_some(echo)
    }

    /// The octets of this packet.
    pub fn encode(self) -> [u8; LENGTH] {
        let mut out = [0; LENGTH];
        let words = [self.discriminator.get(), self.secret, self.sequence];
        for (place, word) in out.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_nothing_else() {
        let echo = Echo { discriminator: NonZeroU32::MIN, secret: 2, sequence: 0x0003_0000 };
        let bytes = echo.encode();
        assert_eq!(bytes, [0, 0, 0, 1, 0, 0, 0, 2, 0, 3, 0, 0]);
        assert_eq!(Echo::decode(&bytes), Some(echo));
        assert_eq!(Echo::decode(&bytes[..11]), None);
        assert_eq!(Echo::decode(&[0; LENGTH]), None);
        assert_eq!(Echo::decode(&[1; LENGTH + 1]), None);
    }
}
