//! BGP messages on the wire, RFC 4271 section 4: the header that all share, and the types.
//!
//! What a decoder cannot read is a [`Notification`], which is sent as it is: no other code has to
//! find out which error code a mistake of the peer has.

pub mod attribute;
pub mod capability;
pub mod nlri;
pub mod notification;
pub mod open;
pub mod refresh;
pub mod update;

pub use notification::{Error, Notification};

/// The marker, the length and the type.
pub const HEADER_LEN: usize = 19;

/// The longest message of a speaker without extended messages, and the longest OPEN of any.
pub const MAX_LEN: usize = 4096;

/// The longest extended message, RFC 8654 section 4. We always offer to receive them.
pub const MAX_EXTENDED_LEN: usize = 65535;

const MARKER: [u8; 16] = [0xff; 16];

/// The type of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Says who the speaker is and what it can do.
    Open,
    /// Routes.
    Update,
    /// The last message before the connection is closed.
    Notification,
    /// Nothing but a sign of life.
    Keepalive,
    /// RFC 2918: asks for all routes again; RFC 7313: says where these begin and end.
    RouteRefresh,
}

impl Kind {
    /// The number on the wire.
    pub fn number(self) -> u8 {
        match self {
            Self::Open => 1,
            Self::Update => 2,
            Self::Notification => 3,
            Self::Keepalive => 4,
            Self::RouteRefresh => 5,
        }
    }

    fn from_number(number: u8) -> Option<Self> {
        let all =
            [Self::Open, Self::Update, Self::Notification, Self::Keepalive, Self::RouteRefresh];
        all.into_iter().find(|kind| kind.number() == number)
    }

    /// The lengths that a message of this type may have (RFC 4271 section 6.1, RFC 8654).
    fn may_have(self, length: usize) -> bool {
        match self {
            Self::Open => (29..=MAX_LEN).contains(&length),
            Self::Update => length >= 23,
            Self::Notification => length >= 21,
            Self::Keepalive => length == HEADER_LEN,
            Self::RouteRefresh => length >= 23,
        }
    }
}

/// One whole message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Frame<'a> {
    /// Its type.
    pub kind: Kind,
    /// What follows the header.
    pub body: &'a [u8],
}

impl Frame<'_> {
    /// Octets of the message with its header.
    pub fn size(&self) -> usize {
        HEADER_LEN + self.body.len()
    }
}

/// The first message of a stream; `None` if it is not there completely.
///
/// # Errors
///
/// If what is there cannot be the beginning of a message, RFC 4271 section 6.1.
pub fn first(bytes: &[u8]) -> Result<Option<Frame<'_>>, Notification> {
    let Some(&[ref marker @ .., high, low, number]) = bytes.first_chunk::<HEADER_LEN>() else {
        return Ok(None);
    };
    if *marker != MARKER {
        return Err(Error::NotSynchronized.into());
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    let bad_length = || Notification::new(Error::BadLength, vec![high, low]);
    if length < HEADER_LEN {
        return Err(bad_length());
    }
    let kind =
        Kind::from_number(number).ok_or_else(|| Notification::new(Error::BadType, vec![number]))?;
    // RFC 7313 section 5 gives a ROUTE-REFRESH of the wrong length an error of its own.
    if !kind.may_have(length) && kind != Kind::RouteRefresh {
        return Err(bad_length());
    }
    Ok(bytes.get(HEADER_LEN..length).map(|body| Frame { kind, body }))
}

/// Appends a message whose body `body` appends.
///
/// A message that would be longer than its length field can say is one that no caller writes:
/// whoever appends prefixes or attributes counts them against the limit of the session.
pub fn write(kind: Kind, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend(MARKER);
    out.extend([0, 0, kind.number()]);
    body(out);
    let length = u16::try_from(out.len() - start).unwrap_or(u16::MAX);
    out[start + MARKER.len()..start + MARKER.len() + 2].copy_from_slice(&length.to_be_bytes());
}

/// A KEEPALIVE, RFC 4271 section 4.4.
pub fn keepalive() -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_LEN);
    write(Kind::Keepalive, &mut out, |_| ());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(length: u16, number: u8) -> Vec<u8> {
        let [high, low] = length.to_be_bytes();
        [MARKER.as_slice(), &[high, low, number]].concat()
    }

    #[test]
    fn a_keepalive_is_a_bare_header() {
        assert_eq!(keepalive(), header(19, 4));
        assert_eq!(first(&keepalive()), Ok(Some(Frame { kind: Kind::Keepalive, body: &[] })));
    }

    #[test]
    fn a_message_is_read_when_all_of_it_is_there() {
        let whole = [header(23, 2), vec![0; 4], header(19, 4)].concat();
        for end in 0..23 {
            assert_eq!(first(&whole[..end]), Ok(None), "{end}");
        }
        let frame = first(&whole).unwrap().unwrap();
        assert_eq!((frame.kind, frame.body, frame.size()), (Kind::Update, &[0; 4][..], 23));
    }

    #[test]
    fn a_header_that_cannot_be_has_the_error_of_section_6_1() {
        let mut unsynchronized = header(19, 4);
        unsynchronized[7] = 0;
        let cases = [
            ("marker", unsynchronized, Error::NotSynchronized, vec![]),
            ("shorter than a header", header(18, 4), Error::BadLength, vec![0, 18]),
            ("no such type", header(19, 6), Error::BadType, vec![6]),
            ("type 0", header(19, 0), Error::BadType, vec![0]),
            ("OPEN of 28 octets", header(28, 1), Error::BadLength, vec![0, 28]),
            ("OPEN of 4097 octets", header(4097, 1), Error::BadLength, vec![16, 1]),
            ("UPDATE of 22 octets", header(22, 2), Error::BadLength, vec![0, 22]),
            ("NOTIFICATION of 20 octets", header(20, 3), Error::BadLength, vec![0, 20]),
            ("KEEPALIVE of 20 octets", header(20, 4), Error::BadLength, vec![0, 20]),
        ];
        for (name, bytes, error, data) in cases {
            assert_eq!(first(&bytes), Err(Notification::new(error, data)), "{name}");
        }
        assert_eq!(first(&header(65535, 2)), Ok(None), "an extended UPDATE may be on its way");
    }
}
