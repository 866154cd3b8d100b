//! Why a datagram leads to nothing.

use std::fmt;

use super::auth::Refused;
use super::packet::Malformed;

/// Why a datagram is dropped, RFC 5880 section 6.8.6 and RFC 5881 section 5.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Ignored {
    /// It is no Control packet.
    Malformed(Malformed),
    /// It names a session that there is not.
    UnknownDiscriminator,
    /// It names no session, and there is none with its sender.
    UnknownSender,
    /// It came over more hops than it may.
    Ttl,
    /// It is not believed.
    Refused(Refused),
    /// It is an echo packet that this node did not send, or that came back before.
    Echo,
}

impl Ignored {
    /// Every cause there is.
    pub fn all() -> impl Iterator<Item = Self> {
        let malformed = Malformed::ALL.into_iter().map(Self::Malformed);
        let refused = Refused::ALL.into_iter().map(Self::Refused);
        let others = [Self::UnknownDiscriminator, Self::UnknownSender, Self::Ttl, Self::Echo];
        malformed.chain(refused).chain(others)
    }

    /// The cause as the value of a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Malformed(cause) => cause.label(),
            Self::UnknownDiscriminator => "unknown_discriminator",
            Self::UnknownSender => "unknown_sender",
            Self::Ttl => "ttl",
            Self::Refused(cause) => cause.label(),
            Self::Echo => "echo",
        }
    }
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed(cause) => return cause.fmt(f),
            Self::UnknownDiscriminator => "it is for a session that is not here",
            Self::UnknownSender => "there is no session with its sender",
            Self::Ttl => "it came over more hops than allowed",
            Self::Refused(cause) => return cause.fmt(f),
            Self::Echo => "it is no echo packet that this node waits for",
        })
    }
}
