//! OPEN, RFC 4271 section 4.2, with the long form of its parameters, RFC 9072.

use std::net::Ipv4Addr;

use super::capability::Capabilities;
use super::{Error, Kind, Notification, write};
use crate::wire::{Reader, Truncated, sized};

/// What a speaker says about itself when a connection is made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Open {
    /// Its AS number. That of the capability counts, where there is one (RFC 6793).
    pub asn: u32,
    /// Seconds; 0 turns keepalives off.
    pub hold_time: u16,
    /// BGP Identifier.
    pub identifier: Ipv4Addr,
    /// What it can do.
    pub capabilities: Capabilities,
}

/// Stands in for an AS number that needs four octets, RFC 6793 section 9.
pub const AS_TRANS: u16 = 23456;

const VERSION: u8 = 4;
const CAPABILITIES: u8 = 2;
const LONG_FORM: u8 = 255;

impl Open {
    /// The message.
    pub fn encode(&self) -> Vec<u8> {
        let mut capabilities = Vec::new();
        self.capabilities.encode(&mut capabilities);
        let mut out = Vec::new();
        write(Kind::Open, &mut out, |out| {
            out.push(VERSION);
            out.extend(u16::try_from(self.asn).unwrap_or(AS_TRANS).to_be_bytes());
            out.extend(self.hold_time.to_be_bytes());
            out.extend(self.identifier.octets());
            parameters(&capabilities, out);
        });
        out
    }

    /// Reads a body.
    ///
    /// # Errors
    ///
    /// With what to tell the peer, RFC 4271 section 6.2. What the numbers say is not judged here,
    /// except for the version: who reads them knows what to expect.
    pub fn decode(body: &[u8]) -> Result<Self, Notification> {
        let malformed = |_: Truncated| Notification::from(Error::MalformedOpen);
        let mut reader = Reader(body);
        if reader.u8().map_err(malformed)? != VERSION {
            return Err(Notification::new(Error::UnsupportedVersion, vec![0, VERSION]));
        }
        let asn = reader.u16().map_err(malformed)?;
        let hold_time = reader.u16().map_err(malformed)?;
        let identifier = Ipv4Addr::from(reader.array::<4>().map_err(malformed)?);
        let capabilities = decode_parameters(reader)?;
        let asn = capabilities.four_octet_as.unwrap_or_else(|| asn.into());
        Ok(Self { asn, hold_time, identifier, capabilities })
    }
}

/// Appends the one parameter that we send, in the long form if the short one cannot hold it.
fn parameters(capabilities: &[u8], out: &mut Vec<u8>) {
    match capabilities.len() {
        0 => out.push(0),
        1..=253 => sized(out, |out| {
            out.push(CAPABILITIES);
            sized(out, |out| out.extend_from_slice(capabilities));
        }),
        _ => {
            // What all can do fits in an OPEN many times over, and no length below is cut.
            let length = u16::try_from(capabilities.len()).unwrap_or(u16::MAX);
            out.extend([LONG_FORM, LONG_FORM]);
            out.extend(length.saturating_add(3).to_be_bytes());
            out.push(CAPABILITIES);
            out.extend(length.to_be_bytes());
            out.extend_from_slice(capabilities);
        }
    }
}

/// The parameters have octets for the lengths of one, or of two in the long form.
#[derive(Clone, Copy)]
enum Form {
    Short,
    Long,
}

impl Form {
    fn length(self, reader: &mut Reader<'_>) -> Result<usize, Truncated> {
        match self {
            Self::Short => reader.u8().map(usize::from),
            Self::Long => reader.u16().map(usize::from),
        }
    }
}

fn decode_parameters(mut reader: Reader<'_>) -> Result<Capabilities, Notification> {
    let malformed = |_: Truncated| Notification::from(Error::MalformedOpen);
    let short = reader.u8().map_err(malformed)?;
    // RFC 9072 section 2: a first parameter of type 255 says so; a length of 0 has no first one.
    let form = match reader.0.first() {
        Some(&LONG_FORM) if short != 0 => {
            reader.u8().map_err(malformed)?;
            Form::Long
        }
        _ => Form::Short,
    };
    let length = match form {
        Form::Short => usize::from(short),
        Form::Long => reader.u16().map(usize::from).map_err(malformed)?,
    };
    let mut parameters = reader.sub(length).map_err(malformed)?;
    if !reader.is_empty() {
        return Err(Error::MalformedOpen.into());
    }
    let mut capabilities = Capabilities::default();
    while !parameters.is_empty() {
        let kind = parameters.u8().map_err(malformed)?;
        let length = form.length(&mut parameters).map_err(malformed)?;
        let value = parameters.sub(length).map_err(malformed)?;
        if kind != CAPABILITIES {
            return Err(Error::UnsupportedParameter.into());
        }
        capabilities.decode(value).map_err(malformed)?;
    }
    Ok(capabilities)
}

#[cfg(test)]
mod tests {
    use super::super::super::Family;
    use super::super::first;
    use super::*;

    /// What MetalLB sends natively: 49 octets.
    #[rustfmt::skip]
    const METALLB: [u8; 49] = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0, 49, 1,
        4, 0x5b, 0xa0, 0, 90,          // version 4, AS_TRANS, hold time 90 s
        192, 0, 2, 1,                  // identifier
        20, 2, 18,                     // parameters: capabilities
        1, 4, 0, 1, 0, 1,              // IPv4 unicast
        1, 4, 0, 2, 0, 1,              // IPv6 unicast
        65, 4, 0xfc, 0, 0, 1,          // AS 4227858433
    ];

    fn open() -> Open {
        Open {
            asn: 0xfc00_0001,
            hold_time: 90,
            identifier: Ipv4Addr::new(192, 0, 2, 1),
            capabilities: Capabilities {
                families: Family::ALL.into(),
                four_octet_as: Some(0xfc00_0001),
                ..Capabilities::default()
            },
        }
    }

    fn decode(message: &[u8]) -> Result<Open, Notification> {
        Open::decode(first(message).unwrap().unwrap().body)
    }

    #[test]
    fn an_open_is_written_and_read() {
        assert_eq!(open().encode(), METALLB);
        assert_eq!(decode(&METALLB), Ok(open()));
    }

    #[test]
    fn an_as_number_that_fits_in_two_octets_is_there_twice() {
        let mut open = Open { asn: 64512, ..open() };
        open.capabilities.four_octet_as = Some(64512);
        let bytes = open.encode();
        assert_eq!((&bytes[20..22], &bytes[45..]), (&[0xfc, 0][..], &[0, 0, 0xfc, 0][..]));
        assert_eq!(decode(&bytes), Ok(open));
    }

    #[test]
    fn a_speaker_from_before_capabilities_is_understood() {
        let old = Open { asn: 64512, capabilities: Capabilities::default(), ..open() };
        assert_eq!(old.encode().len(), 29);
        assert_eq!(decode(&old.encode()), Ok(old));
    }

    #[test]
    fn many_capabilities_take_the_long_form() {
        let mut out = vec![4, 0x5b, 0xa0, 0, 90, 192, 0, 2, 1];
        let many: Vec<u8> = METALLB[31..].iter().copied().cycle().take(18 * 20).collect();
        parameters(&many, &mut out);
        assert_eq!(out[9..16], [255, 255, 1, 107, 2, 1, 104], "363 octets: one of 360");
        assert_eq!(Open::decode(&out), Ok(open()));
    }

    #[test]
    fn the_long_form_may_be_used_for_few() {
        let short_length = |octet| {
            let head = [4, 0x5b, 0xa0, 0, 90, 192, 0, 2, 1, octet, 255, 0, 21, 2, 0, 18];
            [&head, &METALLB[31..]].concat()
        };
        assert_eq!(Open::decode(&short_length(255)), Ok(open()));
        assert_eq!(Open::decode(&short_length(24)), Ok(open()), "any length but 0 will do");
        let zero = Open::decode(&short_length(0));
        assert_eq!(zero, Err(Error::MalformedOpen.into()), "octets behind no parameters");
    }

    #[test]
    fn what_cannot_be_read_has_the_error_of_section_6_2() {
        let head = [4, 0xfc, 0, 0, 90, 192, 0, 2, 1];
        let cases: [(&str, &[u8], Error); 7] = [
            ("no parameters' length", &[], Error::MalformedOpen),
            ("parameters break off", &[4, 2, 2, 2], Error::MalformedOpen),
            ("octets behind the parameters", &[0, 1], Error::MalformedOpen),
            ("a capability breaks off", &[4, 2, 2, 65, 4], Error::MalformedOpen),
            ("a parameter breaks off", &[2, 2, 1], Error::MalformedOpen),
            ("authentication, now deprecated", &[3, 1, 1, 0], Error::UnsupportedParameter),
            ("the long form breaks off", &[255, 255, 0], Error::MalformedOpen),
        ];
        for (name, tail, error) in cases {
            let body = [&head, tail].concat();
            assert_eq!(Open::decode(&body), Err(error.into()), "{name}");
        }
        let version = Open::decode(&[3, 0xfc, 0, 0, 90, 192, 0, 2, 1, 0]);
        assert_eq!(version, Err(Notification::new(Error::UnsupportedVersion, vec![0, 4])));
    }

    /// Who sent it, its octets behind the marker, and what it says: AS, hold time, restart time,
    /// what we do not know of it.
    type Capture = (&'static str, &'static str, (u32, u16, Option<u16>, &'static [u8]));

    /// What the daemons of Debian 12 send, with as little configured as they need.
    const CAPTURES: [Capture; 5] = [
        (
            "FRR 8.4",
            "00710104fde900b40a0900015402060104000100010206010400020001020280000202020002024600\
             020641040000fde902020600020a450800010101000201010206490402766d0002044002c078021047\
             0e0001018000000000020180000000",
            (65001, 180, Some(120), &[69, 128]),
        ),
        (
            "BIRD 2.0",
            "00530104fdea00f00a09000236023401040001000101040002000102000506000100010002060040020\
             07841040000fdea4600470e00010100000e1000020100000e10",
            (65002, 240, Some(120), &[]),
        ),
        (
            "GoBGP 3.10",
            "00490104fdeb005a0a0900032c022a0200490402766d0001040001000101040002000141040000fdeb40\
             060014000101000506000100010002",
            (65003, 90, Some(20), &[]),
        ),
        (
            "OpenBGPD 7.7",
            "00370104fdec005a0a0900041a021801040001000101040002000102004002800041040000fdec",
            (65004, 90, Some(0), &[]),
        ),
        (
            "ExaBGP 4.2",
            "004f0104fded001e0a090005320206010400010001020601040002000102064104\
             0000fded020c400a803c0001018000020180020202000202460002020600",
            (65005, 30, Some(60), &[]),
        ),
    ];

    #[test]
    fn what_other_daemons_send_is_understood() {
        for (daemon, hex, (asn, hold_time, restart_time, unknown)) in CAPTURES {
            let octet = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            let octets: Vec<u8> = (0..hex.len()).step_by(2).map(octet).collect();
            let open = decode(&[vec![0xff; 16], octets].concat()).expect(daemon);
            assert_eq!((open.asn, open.hold_time), (asn, hold_time), "{daemon}");
            let capabilities = &open.capabilities;
            assert_eq!(capabilities.families, Family::ALL.into(), "{daemon}");
            assert!(capabilities.route_refresh, "{daemon}");
            let restart = capabilities.graceful_restart.as_ref();
            assert_eq!(restart.map(|one| one.restart_time), restart_time, "{daemon}");
            assert!(capabilities.unknown.iter().eq(unknown), "{daemon}");
            assert_eq!(decode(&open.encode()).map(|read| read.asn), Ok(asn), "{daemon}");
        }
    }
}
