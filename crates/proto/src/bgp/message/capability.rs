//! Capabilities of a speaker, RFC 5492.
//!
//! What we do not know is no error; it is kept by its number, to be shown.

use std::collections::BTreeSet;

use super::super::Family;
use crate::wire::{Reader, Truncated, sized};

/// What a speaker says that it can do.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Capabilities {
    /// RFC 4760: the families of its routes. None at all means IPv4 only.
    pub families: BTreeSet<Family>,
    /// RFC 2918: it sends all routes again when asked.
    pub route_refresh: bool,
    /// RFC 8950: families whose routes may have an IPv6 next hop, where that is not usual.
    pub ipv6_next_hop: BTreeSet<Family>,
    /// RFC 8654: it reads messages of up to 65,535 octets.
    pub extended_messages: bool,
    /// RFC 4724: it, or we, may restart.
    pub graceful_restart: Option<GracefulRestart>,
    /// RFC 6793: it reads AS numbers of four octets, and this is its own.
    pub four_octet_as: Option<u32>,
    /// RFC 7313: it marks where a refresh begins and ends.
    pub enhanced_route_refresh: bool,
    /// RFC 9494: how long its stale routes may be kept after the restart time, for each family.
    pub long_lived: Vec<LongLived>,
    /// draft-walton-bgp-hostname-capability: what it calls itself.
    pub host_name: Option<String>,
    /// Numbers of what we do not know, or could not read.
    pub unknown: BTreeSet<u8>,
}

/// What a speaker says about its restarts, RFC 4724 section 3.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct GracefulRestart {
    /// It has restarted, and does not wait for our End-of-RIB (R bit).
    pub has_restarted: bool,
    /// A NOTIFICATION is no reason to drop routes, unless it is a hard reset (N bit, RFC 8538).
    pub covers_notifications: bool,
    /// Seconds that it needs to come back; at most 4095.
    pub restart_time: u16,
    /// The families that are kept.
    pub families: Vec<Restarted>,
}

/// A family that survives a restart of the speaker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Restarted {
    /// The family.
    pub family: Family,
    /// Packets were forwarded all the time (F bit).
    pub is_forwarding_kept: bool,
}

/// How long stale routes of a family may be kept, RFC 9494 section 3.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LongLived {
    /// The family.
    pub family: Family,
    /// Packets were forwarded all the time (F bit).
    pub is_forwarding_kept: bool,
    /// Seconds; 24 bits.
    pub stale_time: u32,
}

const MULTIPROTOCOL: u8 = 1;
const ROUTE_REFRESH: u8 = 2;
const EXTENDED_NEXT_HOP: u8 = 5;
const EXTENDED_MESSAGE: u8 = 6;
const GRACEFUL_RESTART: u8 = 64;
const FOUR_OCTET_AS: u8 = 65;
const ENHANCED_ROUTE_REFRESH: u8 = 70;
const LONG_LIVED: u8 = 71;
const HOST_NAME: u8 = 73;

const RESTARTED: u16 = 0x8000;
const NOTIFICATIONS: u16 = 0x4000;
const RESTART_TIME: u16 = 0x0fff;
const FORWARDING: u8 = 0x80;

/// Octets of a host name that we say and keep.
const MAX_HOST_NAME: usize = 64;

impl Capabilities {
    /// Appends each as code, length and value.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for family in &self.families {
            append(out, MULTIPROTOCOL, |out| out.extend(family.triple()));
        }
        if self.route_refresh {
            append(out, ROUTE_REFRESH, |_| ());
        }
        if !self.ipv6_next_hop.is_empty() {
            let [high, low] = Family::Ipv6.afi().to_be_bytes();
            append(out, EXTENDED_NEXT_HOP, |out| {
                for family in &self.ipv6_next_hop {
                    let [a, b, ..] = family.triple();
                    out.extend([a, b, 0, Family::UNICAST, high, low]);
                }
            });
        }
        if self.extended_messages {
            append(out, EXTENDED_MESSAGE, |_| ());
        }
        if let Some(restart) = &self.graceful_restart {
            append(out, GRACEFUL_RESTART, |out| restart.encode(out));
        }
        if let Some(asn) = self.four_octet_as {
            append(out, FOUR_OCTET_AS, |out| out.extend(asn.to_be_bytes()));
        }
        if self.enhanced_route_refresh {
            append(out, ENHANCED_ROUTE_REFRESH, |_| ());
        }
        if !self.long_lived.is_empty() {
            append(out, LONG_LIVED, |out| self.long_lived.iter().for_each(|one| one.encode(out)));
        }
        if let Some(name) = &self.host_name {
            let octets = &name.as_bytes()[..name.len().min(MAX_HOST_NAME)];
            append(out, HOST_NAME, |out| {
                sized(out, |out| out.extend_from_slice(octets));
                sized(out, |_| ());
            });
        }
    }

    /// Adds those of one parameter of an OPEN.
    ///
    /// A later one replaces an earlier one of the same kind, except for families, which add up. One
    /// that cannot be read counts as one that we do not know, unless the session would be another
    /// without it: a family, or the AS number.
    ///
    /// # Errors
    ///
    /// If a length points beyond the parameter, or a family or an AS number cannot be read.
    pub fn decode(&mut self, mut bytes: Reader<'_>) -> Result<(), Truncated> {
        while !bytes.is_empty() {
            let code = bytes.u8()?;
            let length = bytes.u8()?;
            let value = bytes.sub(length.into())?;
            match code {
                MULTIPROTOCOL => self.families.extend(family(value)?),
                FOUR_OCTET_AS => {
                    let &[a, b, c, d] = value.0 else { return Err(Truncated) };
                    self.four_octet_as = Some(u32::from_be_bytes([a, b, c, d]));
                }
                _ if self.decode_lenient(code, value).is_err() => {
                    self.unknown.insert(code);
                }
                _ => (),
            }
        }
        Ok(())
    }

    fn decode_lenient(&mut self, code: u8, value: Reader<'_>) -> Result<(), Truncated> {
        match code {
            ROUTE_REFRESH => self.route_refresh = true,
            EXTENDED_NEXT_HOP => self.ipv6_next_hop = ipv6_next_hop(value)?,
            EXTENDED_MESSAGE => self.extended_messages = true,
            GRACEFUL_RESTART => self.graceful_restart = Some(GracefulRestart::decode(value)?),
            ENHANCED_ROUTE_REFRESH => self.enhanced_route_refresh = true,
            LONG_LIVED => self.long_lived = LongLived::decode_all(value)?,
            HOST_NAME => self.host_name = host_name(value)?,
            _ => {
                self.unknown.insert(code);
            }
        }
        Ok(())
    }
}

fn append(out: &mut Vec<u8>, code: u8, value: impl FnOnce(&mut Vec<u8>)) {
    out.push(code);
    sized(out, value);
}

fn family(value: Reader<'_>) -> Result<Option<Family>, Truncated> {
    let &[high, low, _, safi] = value.0 else { return Err(Truncated) };
    Ok(Family::from_wire(u16::from_be_bytes([high, low]), safi))
}

fn ipv6_next_hop(mut value: Reader<'_>) -> Result<BTreeSet<Family>, Truncated> {
    let mut families = BTreeSet::new();
    while !value.is_empty() {
        let (afi, safi, next_hop) = (value.u16()?, value.u16()?, value.u16()?);
        let safi = u8::try_from(safi).unwrap_or_default();
        if next_hop == Family::Ipv6.afi() {
            families.extend(Family::from_wire(afi, safi));
        }
    }
    Ok(families)
}

/// A name is for people: octets that are no text are shown as such.
fn host_name(mut value: Reader<'_>) -> Result<Option<String>, Truncated> {
    let length = value.u8()?;
    let Reader(name) = value.sub(length.into())?;
    let name = &name[..name.len().min(MAX_HOST_NAME)];
    Ok((!name.is_empty()).then(|| String::from_utf8_lossy(name).into_owned()))
}

impl GracefulRestart {
    fn encode(&self, out: &mut Vec<u8>) {
        let flag = |is_set: bool, bit: u16| if is_set { bit } else { 0 };
        let flags = flag(self.has_restarted, RESTARTED)
            | flag(self.covers_notifications, NOTIFICATIONS)
            | self.restart_time.min(RESTART_TIME);
        out.extend(flags.to_be_bytes());
        for one in &self.families {
            let [high, low, _, safi] = one.family.triple();
            out.extend([high, low, safi, if one.is_forwarding_kept { FORWARDING } else { 0 }]);
        }
    }

    fn decode(mut value: Reader<'_>) -> Result<Self, Truncated> {
        let flags = value.u16()?;
        let mut families = Vec::new();
        while !value.is_empty() {
            let (afi, [safi, flags]) = (value.u16()?, value.array()?);
            let family = Family::from_wire(afi, safi);
            let is_forwarding_kept = flags & FORWARDING != 0;
            families.extend(family.map(|family| Restarted { family, is_forwarding_kept }));
        }
        Ok(Self {
            has_restarted: flags & RESTARTED != 0,
            covers_notifications: flags & NOTIFICATIONS != 0,
            restart_time: flags & RESTART_TIME,
            families,
        })
    }
}

impl LongLived {
    /// The longest time that 24 bits can say, in seconds.
    pub const MAX_STALE_TIME: u32 = 0x00ff_ffff;

    fn encode(&self, out: &mut Vec<u8>) {
        let [high, low, _, safi] = self.family.triple();
        let [_, a, b, c] = self.stale_time.min(Self::MAX_STALE_TIME).to_be_bytes();
        let flags = if self.is_forwarding_kept { FORWARDING } else { 0 };
        out.extend([high, low, safi, flags, a, b, c]);
    }

    fn decode_all(mut value: Reader<'_>) -> Result<Vec<Self>, Truncated> {
        let mut all = Vec::new();
        while !value.is_empty() {
            let (afi, [safi, flags, a, b, c]) = (value.u16()?, value.array()?);
            all.extend(Family::from_wire(afi, safi).map(|family| Self {
                family,
                is_forwarding_kept: flags & FORWARDING != 0,
                stale_time: u32::from_be_bytes([0, a, b, c]),
            }));
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Result<Capabilities, Truncated> {
        let mut capabilities = Capabilities::default();
        capabilities.decode(Reader(bytes)).map(|()| capabilities)
    }

    #[rustfmt::skip]
    const BYTES: [u8; 71] = [
        1, 4, 0, 1, 0, 1,                           // IPv4 unicast
        1, 4, 0, 2, 0, 1,                           // IPv6 unicast
        2, 0,                                       // route refresh
        5, 6, 0, 1, 0, 1, 0, 2,                     // IPv4 unicast with IPv6 next hop
        6, 0,                                       // extended message
        64, 10, 0xc0, 120, 0, 1, 1, 0x80, 0, 2, 1, 0, // R and N, 120 s, IPv4 forwarding, IPv6 not
        65, 4, 0xfc, 0, 0, 1,                       // AS 4227858433
        70, 0,                                      // enhanced route refresh
        71, 14, 0, 1, 1, 0x80, 0, 0x0e, 0x10, 0, 2, 1, 0, 0, 0, 0, // long-lived
        73, 9, 7, b'n', b'o', b'd', b'e', b'-', b'1', b'7', 0,
    ];

    fn capabilities() -> Capabilities {
        let restarted = |(family, is_forwarding_kept)| Restarted { family, is_forwarding_kept };
        let long_lived = |family, is_forwarding_kept, stale_time| LongLived {
            family,
            is_forwarding_kept,
            stale_time,
        };
        Capabilities {
            families: Family::ALL.into(),
            route_refresh: true,
            ipv6_next_hop: [Family::Ipv4].into(),
            extended_messages: true,
            graceful_restart: Some(GracefulRestart {
                has_restarted: true,
                covers_notifications: true,
                restart_time: 120,
                families: [(Family::Ipv4, true), (Family::Ipv6, false)].map(restarted).to_vec(),
            }),
            four_octet_as: Some(0xfc00_0001),
            enhanced_route_refresh: true,
            long_lived: vec![
                long_lived(Family::Ipv4, true, 3600),
                long_lived(Family::Ipv6, false, 0),
            ],
            host_name: Some("node-17".to_owned()),
            unknown: BTreeSet::new(),
        }
    }

    #[test]
    fn capabilities_are_written_and_read_as_their_rfcs_say() {
        let mut out = Vec::new();
        capabilities().encode(&mut out);
        assert_eq!(out, BYTES);
        assert_eq!(decode(&BYTES), Ok(capabilities()));
    }

    #[test]
    fn what_we_do_not_know_is_kept_by_its_number() {
        let read = decode(&[9, 1, 0, 128, 0, 1, 4, 0, 25, 0, 70, 69, 4, 0, 1, 1, 3]).unwrap();
        let want = Capabilities { unknown: [9, 69, 128].into(), ..Capabilities::default() };
        assert_eq!(read, want, "roles, the old route refresh, EVPN, additional paths");
    }

    #[test]
    fn what_the_session_can_do_without_may_be_unreadable() {
        let cases: [(&str, &[u8], u8); 4] = [
            ("graceful restart", &[64, 1, 0], 64),
            ("long-lived", &[71, 6, 0, 1, 1, 0, 0, 0], 71),
            ("next hop", &[5, 5, 0, 1, 0, 1, 0], 5),
            ("host name", &[73, 2, 5, b'a'], 73),
        ];
        for (name, bytes, code) in cases {
            let want = Capabilities { unknown: [code].into(), ..Capabilities::default() };
            assert_eq!(decode(bytes), Ok(want), "{name}");
        }
    }

    #[test]
    fn what_the_session_rests_on_must_be_readable() {
        let cases: [(&str, &[u8]); 5] = [
            ("a length without value", &[2, 1]),
            ("a code without length", &[2]),
            ("half a family", &[1, 2, 0, 1]),
            ("an AS number of two octets", &[65, 2, 0, 1]),
            ("an AS number of five octets", &[65, 5, 0, 0, 0, 0, 1]),
        ];
        for (name, bytes) in cases {
            assert_eq!(decode(bytes), Err(Truncated), "{name}");
        }
    }
}
