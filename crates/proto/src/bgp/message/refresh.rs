//! ROUTE-REFRESH, RFC 2918, with the markers of RFC 7313.

use super::super::Family;
use super::{Error, Frame, Kind, Notification, write};

/// What a ROUTE-REFRESH says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refresh {
    /// Send all routes again.
    Request,
    /// They begin here (BoRR).
    Begin,
    /// They end here (EoRR); what was not sent since is gone.
    End,
}

impl Refresh {
    fn subtype(self) -> u8 {
        match self {
            Self::Request => 0,
            Self::Begin => 1,
            Self::End => 2,
        }
    }

    /// Appends the message.
    pub fn encode(self, family: Family, out: &mut Vec<u8>) {
        let [high, low] = family.afi().to_be_bytes();
        write(Kind::RouteRefresh, out, |out| {
            out.extend([high, low, self.subtype(), Family::UNICAST]);
        });
    }

    /// Reads a message; `None` if it is one to ignore: of a subtype or family that we do not know.
    ///
    /// # Errors
    ///
    /// If it has not the length that its subtype has (RFC 7313 section 5). A request may be longer:
    /// it carries the filters of RFC 5291, which we do not offer.
    pub fn decode(frame: &Frame<'_>) -> Result<Option<(Self, Family)>, Notification> {
        let malformed = || {
            let mut message = Vec::new();
            write(Kind::RouteRefresh, &mut message, |out| out.extend_from_slice(frame.body));
            message.truncate(Notification::MAX_DATA);
            Notification::new(Error::BadRefreshLength, message)
        };
        let Some((&[high, low, subtype, safi], rest)) = frame.body.split_first_chunk::<4>() else {
            return Err(malformed());
        };
        let refresh = match subtype {
            0 => Self::Request,
            1 => Self::Begin,
            2 => Self::End,
            _ => return Ok(None),
        };
        if refresh != Self::Request && !rest.is_empty() {
            return Err(malformed());
        }
        let family = Family::from_wire(u16::from_be_bytes([high, low]), safi);
        Ok(family.map(|family| (refresh, family)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for refresh in [Refresh::Request, Refresh::Begin, Refresh::End] {
            for family in Family::ALL {
                let mut bytes = Vec::new();
                refresh.encode(family, &mut bytes);
                let frame = super::super::first(&bytes).unwrap().unwrap();
                assert_eq!(Refresh::decode(&frame), Ok(Some((refresh, family))));
            }
        }
    }

    /// A body, and what is read of it; `None` is an error.
    type Body = (&'static str, &'static [u8], Option<Option<(Refresh, Family)>>);

    #[test]
    fn lengths_and_subtypes_are_judged_as_rfc_7313_says() {
        let frame = |body| Frame { kind: Kind::RouteRefresh, body };
        let cases: [Body; 7] = [
            ("request", &[0, 2, 0, 1], Some(Some((Refresh::Request, Family::Ipv6)))),
            (
                "request with filters",
                &[0, 1, 0, 1, 9],
                Some(Some((Refresh::Request, Family::Ipv4))),
            ),
            ("no subtype of ours", &[0, 1, 3, 1], Some(None)),
            ("no family of ours", &[0, 25, 0, 70], Some(None)),
            ("BoRR too long", &[0, 1, 1, 1, 0], None),
            ("EoRR too long", &[0, 1, 2, 1, 0], None),
            ("too short", &[0, 1, 0], None),
        ];
        for (name, body, want) in cases {
            let got = Refresh::decode(&frame(body));
            assert_eq!(got.clone().ok(), want, "{name}");
            if let Err(notification) = got {
                assert_eq!((notification.code, notification.subcode), (7, 1), "{name}");
                assert_eq!(
                    &notification.data[19..],
                    body,
                    "{name}: the whole message is sent back"
                );
            }
        }
    }
}
