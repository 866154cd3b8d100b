//! NOTIFICATION, RFC 4271 section 4.5: why a connection is closed, in numbers and in words.

use std::fmt;

use super::{HEADER_LEN, Kind, MAX_LEN, write};

/// The last message on a connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Notification {
    /// Which kind of error.
    pub code: u8,
    /// Which of its kind; 0 is unspecific.
    pub subcode: u8,
    /// What the error is about; its form depends on the codes.
    pub data: Vec<u8>,
}

/// An error that we tell a peer of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Error {
    /// The marker is not all ones.
    NotSynchronized,
    /// A message has a length that its type cannot have.
    BadLength,
    /// There is no such type of message.
    BadType,
    /// OPEN breaks off or has lengths that do not fit.
    MalformedOpen,
    /// Only version 4 is spoken.
    UnsupportedVersion,
    /// Not the AS that was expected, or 0 (RFC 7607).
    BadPeerAs,
    /// The identifier is 0, or our own within one AS (RFC 6286).
    BadIdentifier,
    /// OPEN has a parameter other than capabilities.
    UnsupportedParameter,
    /// A hold time of one or two seconds.
    UnacceptableHoldTime,
    /// A capability that the session cannot do without is missing (RFC 5492).
    UnsupportedCapability,
    /// The attributes of an UPDATE cannot be told apart from its routes.
    MalformedAttributeList,
    /// A well-known attribute that we do not know.
    UnrecognizedWellKnown,
    /// MP_REACH_NLRI or MP_UNREACH_NLRI is too short to say of which family it is.
    OptionalAttribute,
    /// Routes that cannot be told apart.
    InvalidNetworkField,
    /// Nothing was heard for the hold time.
    HoldTimerExpired,
    /// A message before any OPEN was sent.
    Unexpected,
    /// A message that has no place before OPEN (RFC 6608).
    UnexpectedInOpenSent,
    /// A message that has no place before the first KEEPALIVE (RFC 6608).
    UnexpectedInOpenConfirm,
    /// A message that has no place in an established session (RFC 6608).
    UnexpectedInEstablished,
    /// RFC 4486: an administrator ended the session.
    AdministrativeShutdown,
    /// RFC 4486: the peer is no longer configured.
    PeerDeconfigured,
    /// RFC 4486: an administrator resets the session.
    AdministrativeReset,
    /// RFC 4486: what the session rests on was configured differently.
    ConfigurationChange,
    /// RFC 4486: another connection to the same peer is the one to keep.
    CollisionResolution,
    /// RFC 8538: a reset that graceful restart does not cover; the true error is in the data.
    HardReset,
    /// RFC 9384: BFD says that the path is down.
    BfdDown,
    /// RFC 7313: ROUTE-REFRESH has not the length of its subtype.
    BadRefreshLength,
    /// RFC 9687: the peer took nothing for the send hold time.
    SendHoldTimerExpired,
}

impl Error {
    /// The code and the subcode.
    pub fn numbers(self) -> (u8, u8) {
        match self {
            Self::NotSynchronized => (1, 1),
            Self::BadLength => (1, 2),
            Self::BadType => (1, 3),
            Self::MalformedOpen => (2, 0),
            Self::UnsupportedVersion => (2, 1),
            Self::BadPeerAs => (2, 2),
            Self::BadIdentifier => (2, 3),
            Self::UnsupportedParameter => (2, 4),
            Self::UnacceptableHoldTime => (2, 6),
            Self::UnsupportedCapability => (2, 7),
            Self::MalformedAttributeList => (3, 1),
            Self::UnrecognizedWellKnown => (3, 2),
            Self::OptionalAttribute => (3, 9),
            Self::InvalidNetworkField => (3, 10),
            Self::HoldTimerExpired => (4, 0),
            Self::Unexpected => (5, 0),
            Self::UnexpectedInOpenSent => (5, 1),
            Self::UnexpectedInOpenConfirm => (5, 2),
            Self::UnexpectedInEstablished => (5, 3),
            Self::AdministrativeShutdown => (CEASE, SHUTDOWN),
            Self::PeerDeconfigured => (CEASE, 3),
            Self::AdministrativeReset => (CEASE, RESET),
            Self::ConfigurationChange => (CEASE, 6),
            Self::CollisionResolution => (CEASE, 7),
            Self::HardReset => (CEASE, HARD_RESET),
            Self::BfdDown => (CEASE, 10),
            Self::BadRefreshLength => (7, 1),
            Self::SendHoldTimerExpired => (8, 0),
        }
    }
}

const CEASE: u8 = 6;
const SHUTDOWN: u8 = 2;
const RESET: u8 = 4;
const HARD_RESET: u8 = 9;

/// What the numbers mean; a subcode that is not here is as unspecific as 0.
const NAMES: [(u8, u8, &str); 41] = [
    (1, 0, "message header error"),
    (1, 1, "connection not synchronized"),
    (1, 2, "bad message length"),
    (1, 3, "bad message type"),
    (2, 0, "OPEN message error"),
    (2, 1, "unsupported version number"),
    (2, 2, "bad peer AS"),
    (2, 3, "bad BGP identifier"),
    (2, 4, "unsupported optional parameter"),
    (2, 6, "unacceptable hold time"),
    (2, 7, "unsupported capability"),
    (2, 11, "role mismatch"),
    (3, 0, "UPDATE message error"),
    (3, 1, "malformed attribute list"),
    (3, 2, "unrecognized well-known attribute"),
    (3, 3, "missing well-known attribute"),
    (3, 4, "attribute flags error"),
    (3, 5, "attribute length error"),
    (3, 6, "invalid ORIGIN attribute"),
    (3, 8, "invalid NEXT_HOP attribute"),
    (3, 9, "optional attribute error"),
    (3, 10, "invalid network field"),
    (3, 11, "malformed AS_PATH"),
    (4, 0, "hold timer expired"),
    (5, 0, "finite state machine error"),
    (5, 1, "unexpected message in OpenSent"),
    (5, 2, "unexpected message in OpenConfirm"),
    (5, 3, "unexpected message in Established"),
    (6, 0, "cease"),
    (6, 1, "maximum number of prefixes reached"),
    (6, 2, "administrative shutdown"),
    (6, 3, "peer de-configured"),
    (6, 4, "administrative reset"),
    (6, 5, "connection rejected"),
    (6, 6, "other configuration change"),
    (6, 7, "connection collision resolution"),
    (6, 8, "out of resources"),
    (6, 9, "hard reset"),
    (6, 10, "BFD down"),
    (7, 1, "invalid ROUTE-REFRESH length"),
    (8, 0, "send hold timer expired"),
];

impl Notification {
    /// The most octets of data that fit in a message to any peer.
    pub const MAX_DATA: usize = MAX_LEN - HEADER_LEN - 2;

    /// The most octets of a text, RFC 9003 section 2.
    pub const MAX_TEXT: usize = 255;

    /// Tells of an error, with what it is about.
    pub fn new(error: Error, data: Vec<u8>) -> Self {
        let (code, subcode) = error.numbers();
        Self { code, subcode, data }
    }

    /// Tells of an error, in a session's last words to an operator on the other side (RFC 9003).
    ///
    /// Only a shutdown and a reset have words. What does not fit is cut off at a character.
    pub fn with_text(error: Error, text: &str) -> Self {
        let mut end = text.len().min(Self::MAX_TEXT);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let mut data = Vec::new();
        crate::wire::sized(&mut data, |out| out.extend_from_slice(&text.as_bytes()[..end]));
        Self::new(error, data)
    }

    /// The same as a reset that graceful restart does not cover, RFC 8538 section 3.1.
    pub fn into_hard_reset(self) -> Self {
        let mut data = vec![self.code, self.subcode];
        data.extend(self.data);
        data.truncate(Self::MAX_DATA);
        Self::new(Error::HardReset, data)
    }

    /// What a hard reset is for.
    pub fn inside_hard_reset(&self) -> Option<Self> {
        let is_hard = (self.code, self.subcode) == Error::HardReset.numbers();
        let (&[code, subcode], data) = self.data.split_first_chunk::<2>().filter(|_| is_hard)?;
        Some(Self { code, subcode, data: data.to_vec() })
    }

    /// The words of a shutdown or a reset, RFC 9003. Words that are not UTF-8 are none.
    pub fn text(&self) -> Option<&str> {
        if self.code != CEASE || !matches!(self.subcode, SHUTDOWN | RESET) {
            return None;
        }
        let (&length, rest) = self.data.split_first()?;
        let text = std::str::from_utf8(rest.get(..usize::from(length))?).ok()?;
        (!text.is_empty()).then_some(text)
    }

    /// The message.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write(Kind::Notification, &mut out, |out| {
            out.extend([self.code, self.subcode]);
            out.extend_from_slice(&self.data[..self.data.len().min(Self::MAX_DATA)]);
        });
        out
    }

    /// Reads a body; data beyond what anybody needs is dropped, so that it can be kept.
    ///
    /// A body without both codes, which no frame has, is an unspecific error of kind 0.
    pub fn decode(body: &[u8]) -> Self {
        let (&[code, subcode], data) = body.split_first_chunk().unwrap_or((&[0, 0], &[]));
        Self { code, subcode, data: data[..data.len().min(Self::MAX_DATA)].to_vec() }
    }

    fn name(&self) -> Option<&'static str> {
        let name = |subcode| {
            let mut names = NAMES.iter();
            names.find(|(a, b, _)| (*a, *b) == (self.code, subcode)).map(|(.., name)| *name)
        };
        name(self.subcode).or_else(|| name(0))
    }
}

impl From<Error> for Notification {
    fn from(error: Error) -> Self {
        Self::new(error, Vec::new())
    }
}

impl fmt::Display for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}/{})", self.name().unwrap_or("unknown error"), self.code, self.subcode)?;
        if let Some(text) = self.text() {
            // The text goes to logs and terminals: nothing in it may look like more than a text.
            write!(f, ": {:?}", text)?;
        }
        match self.inside_hard_reset() {
            // A hard reset in a hard reset is not unpacked: the peer chooses how deep they go.
            Some(inner) if inner.inside_hard_reset().is_none() => write!(f, " for {inner}"),
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_a_name_of_its_own() {
        assert!(NAMES.is_sorted_by(|a, b| (a.0, a.1) < (b.0, b.1)));
        let notification = Notification::from(Error::CollisionResolution);
        assert_eq!(notification.to_string(), "connection collision resolution (6/7)");
        let strange = Notification { code: 6, subcode: 200, data: vec![] };
        assert_eq!(strange.to_string(), "cease (6/200)");
        let unknown = Notification { code: 99, subcode: 1, data: vec![] };
        assert_eq!(unknown.to_string(), "unknown error (99/1)");
    }

    #[test]
    fn a_shutdown_says_why() {
        let sent = Notification::with_text(Error::AdministrativeShutdown, "node drains");
        #[rustfmt::skip]
        let want = [
            vec![0xff; 16], vec![0, 33, 3, // 33 octets, NOTIFICATION
                6, 2, 11],                 // Cease, Administrative Shutdown, 11 octets of text
            b"node drains".to_vec(),
        ].concat();
        assert_eq!(sent.encode(), want);
        assert_eq!(Notification::decode(&want[19..]), sent);
        assert_eq!(sent.to_string(), r#"administrative shutdown (6/2): "node drains""#);
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let sent = Notification::with_text(Error::AdministrativeReset, &"ä".repeat(200));
        assert_eq!(sent.text(), Some("ä".repeat(127).as_str()));
    }

    #[test]
    fn a_text_that_is_none_is_ignored() {
        let cases: [(&str, u8, &[u8]); 5] = [
            ("of another error", 3, &[1, b'a']),
            ("not there", 2, &[]),
            ("empty", 2, &[0]),
            ("longer than the data", 2, &[2, b'a']),
            ("not UTF-8", 2, &[1, 0xff]),
        ];
        for (name, subcode, data) in cases {
            let notification = Notification { code: 6, subcode, data: data.to_vec() };
            assert_eq!(notification.text(), None, "{name}");
        }
        let hostile = Notification::with_text(Error::AdministrativeShutdown, "a\nb\u{1b}[2J");
        assert!(!hostile.to_string().contains(char::is_control));
    }

    #[test]
    fn a_hard_reset_carries_what_it_is_for() {
        let shutdown = Notification::with_text(Error::AdministrativeShutdown, "bye");
        let hard = shutdown.clone().into_hard_reset();
        assert_eq!((hard.code, hard.subcode, &hard.data[..2]), (6, 9, &[6, 2][..]));
        assert_eq!(hard.inside_hard_reset(), Some(shutdown.clone()));
        assert_eq!(hard.to_string(), format!("hard reset (6/9) for {shutdown}"));
        assert_eq!(hard.clone().into_hard_reset().to_string(), "hard reset (6/9)");
        assert_eq!(Notification::from(Error::HardReset).inside_hard_reset(), None);
    }

    #[test]
    fn data_of_any_length_fits_in_a_message() {
        let long = Notification { code: 1, subcode: 1, data: vec![0; 60_000] };
        assert_eq!(long.encode().len(), MAX_LEN);
        assert_eq!(Notification::decode(&vec![6; 60_000]).data.len(), Notification::MAX_DATA);
        assert_eq!(long.into_hard_reset().encode().len(), MAX_LEN);
    }
}
