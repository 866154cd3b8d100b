//! A received UPDATE, RFC 4271 section 4.3: judged, counted and dropped.
//!
//! We announce and learn nothing, but a peer is told of its mistakes as the RFCs want, and no more:
//! RFC 7606 keeps the session wherever it can be known which routes a mistake concerns.

use std::collections::BTreeSet;
use std::fmt;

use super::super::Family;
use super::attribute::{self, Context, EXTENDED_LENGTH, OPTIONAL, TRANSITIVE, Treatment, code};
use super::{Error, Notification, nlri};
use crate::wire::{Reader, Truncated};

/// What an UPDATE says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Update {
    /// Routes that are there.
    pub announced: u64,
    /// Routes that are gone, also because of a mistake.
    pub withdrawn: u64,
    /// All routes of this family were sent (RFC 4724 section 2).
    pub end_of_rib: Option<Family>,
    /// What is wrong with it; the worst, if there is more.
    pub fault: Option<Fault>,
}

/// Something wrong that does not end the session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fault {
    /// What is done about it.
    pub treatment: Treatment,
    /// What is wrong.
    pub what: What,
}

/// What can be wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum What {
    /// An attribute with this type code.
    Attribute(u8),
    /// The last attribute is longer than the room for it.
    Overrun,
    /// A mandatory attribute with this type code is missing.
    Missing(u8),
    /// Routes or next hop of a family.
    Routes(Family),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.what {
            What::Attribute(code) => write!(f, "attribute {code} is malformed")?,
            What::Overrun => f.write_str("the last attribute breaks off")?,
            What::Missing(code) => write!(f, "mandatory attribute {code} is missing")?,
            What::Routes(family) => write!(f, "routes of {family} cannot be read")?,
        }
        f.write_str(match self.treatment {
            Treatment::DiscardAttribute => ", it is ignored",
            Treatment::TreatAsWithdraw => ", the routes count as withdrawn",
            Treatment::DisableFamily => ", no more are heard of them on this session",
        })
    }
}

/// What an UPDATE is read with.
#[derive(Clone, Debug)]
pub struct Reading {
    /// What attributes mean on the session.
    pub context: Context,
    /// The families that the session carries, and whose routes could be read so far.
    pub families: BTreeSet<Family>,
}

/// What was found in the attributes.
#[derive(Default)]
struct Found {
    seen: BTreeSet<u8>,
    announced: u64,
    withdrawn: u64,
    fault: Option<Fault>,
    end_of: Option<Family>,
}

impl Found {
    fn blame(&mut self, what: What, treatment: Treatment) {
        if self.fault.is_none_or(|fault| fault.treatment < treatment) {
            self.fault = Some(Fault { treatment, what });
        }
    }

    fn require(&mut self, codes: &[u8]) {
        for code in codes {
            if !self.seen.contains(code) {
                self.blame(What::Missing(*code), Treatment::TreatAsWithdraw);
            }
        }
    }
}

impl Update {
    /// Reads a body.
    ///
    /// # Errors
    ///
    /// If the session has to be reset, with what to tell the peer.
    pub fn decode(body: &[u8], reading: &Reading) -> Result<Self, Notification> {
        let malformed = |_: Truncated| Notification::from(Error::MalformedAttributeList);
        let invalid = |_: nlri::Invalid| Notification::from(Error::InvalidNetworkField);
        let mut reader = Reader(body);
        let length = reader.u16().map_err(malformed)?;
        let withdrawn = reader.sub(length.into()).map_err(malformed)?;
        let length = reader.u16().map_err(malformed)?;
        let attributes = reader.sub(length.into()).map_err(malformed)?;
        if body.iter().all(|octet| *octet == 0) && body.len() == 4 {
            return Ok(Self { end_of_rib: Some(Family::Ipv4), ..Self::default() });
        }
        let withdrawn = nlri::count(Family::Ipv4, withdrawn.0).map_err(invalid)?;
        let announced = nlri::count(Family::Ipv4, reader.0).map_err(invalid)?;

        let mut found = Found::default();
        read_attributes(attributes, reading, &mut found)?;
        if announced > 0 {
            found.require(&[code::ORIGIN, code::AS_PATH, code::NEXT_HOP]);
        }
        if found.announced > 0 {
            found.require(&[code::ORIGIN, code::AS_PATH]);
        }
        found.announced += announced;
        found.withdrawn += withdrawn;
        conclude(found, withdrawn == 0)
    }
}

/// What becomes of the routes, given what was found.
fn conclude(found: Found, has_no_withdrawn: bool) -> Result<Update, Notification> {
    let Found { seen, mut announced, mut withdrawn, fault, end_of } = found;
    let treatment = fault.map(|fault| fault.treatment);
    if treatment >= Some(Treatment::TreatAsWithdraw) {
        let has_routes = announced > 0 || seen.contains(&code::MP_REACH_NLRI);
        // RFC 7606 section 5.2: without routes it is not sure that any could be found.
        if treatment == Some(Treatment::TreatAsWithdraw) && !has_routes {
            return Err(Error::MalformedAttributeList.into());
        }
        withdrawn += std::mem::take(&mut announced);
    }
    let is_alone = has_no_withdrawn && announced == 0 && withdrawn == 0 && seen.len() == 1;
    Ok(Update { announced, withdrawn, end_of_rib: end_of.filter(|_| is_alone), fault })
}

fn read_attributes(
    mut attributes: Reader<'_>,
    reading: &Reading,
    found: &mut Found,
) -> Result<(), Notification> {
    while !attributes.is_empty() {
        let whole = attributes.0;
        let Ok((flags, code, value)) = split(&mut attributes) else {
            found.blame(What::Overrun, Treatment::TreatAsWithdraw);
            return Ok(());
        };
        let whole = &whole[..whole.len() - attributes.0.len()];
        let is_first = found.seen.insert(code);
        match code {
            code::MP_REACH_NLRI | code::MP_UNREACH_NLRI if !is_first => {
                return Err(Error::MalformedAttributeList.into());
            }
            // Section 3, item g: all but the first are discarded.
            _ if !is_first => found.blame(What::Attribute(code), Treatment::DiscardAttribute),
            code::MP_REACH_NLRI | code::MP_UNREACH_NLRI => {
                multiprotocol(flags, code, value, reading, found).map_err(|Truncated| {
                    Notification::new(Error::OptionalAttribute, within_limit(whole))
                })?;
            }
            _ if flags & OPTIONAL == 0 && !attribute::is_known(code) => {
                return Err(Notification::new(Error::UnrecognizedWellKnown, within_limit(whole)));
            }
            _ => {
                if let Err(treatment) = attribute::judge(&reading.context, flags, code, value) {
                    found.blame(What::Attribute(code), treatment);
                }
            }
        }
    }
    Ok(())
}

fn within_limit(whole: &[u8]) -> Vec<u8> {
    whole[..whole.len().min(Notification::MAX_DATA)].to_vec()
}

/// Takes one attribute off the front: its flags, its type code and its value.
fn split<'a>(attributes: &mut Reader<'a>) -> Result<(u8, u8, &'a [u8]), Truncated> {
    let [flags, code] = attributes.array()?;
    let length = match flags & EXTENDED_LENGTH {
        0 => usize::from(attributes.u8()?),
        _ => usize::from(attributes.u16()?),
    };
    let Reader(value) = attributes.sub(length)?;
    Ok((flags, code, value))
}

/// MP_REACH_NLRI or MP_UNREACH_NLRI, RFC 4760 sections 3 and 4.
///
/// # Errors
///
/// If it does not even say of which family it is, so that none can be disabled (section 7).
fn multiprotocol(
    flags: u8,
    code: u8,
    value: &[u8],
    reading: &Reading,
    found: &mut Found,
) -> Result<(), Truncated> {
    let mut reader = Reader(value);
    let (afi, safi) = (reader.u16()?, reader.u8()?);
    let family = Family::from_wire(afi, safi).filter(|family| reading.families.contains(family));
    // Routes that nobody agreed to, or that could once not be read: whatever they are.
    let Some(family) = family else { return Ok(()) };
    let has_right_flags = flags & (OPTIONAL | TRANSITIVE) == OPTIONAL;
    let count = match code {
        code::MP_REACH_NLRI => reachable(family, reader),
        _ => nlri::count(family, reader.0).ok(),
    };
    match (count.filter(|_| has_right_flags), code) {
        (None, _) => found.blame(What::Routes(family), Treatment::DisableFamily),
        (Some(count), code::MP_REACH_NLRI) => found.announced += count,
        (Some(0), _) => found.end_of = Some(family),
        (Some(count), _) => found.withdrawn += count,
    }
    Ok(())
}

/// How many routes follow a next hop; `None` if it or they cannot be read.
fn reachable(family: Family, mut reader: Reader<'_>) -> Option<u64> {
    let length = reader.u8().ok()?;
    let is_fitting = match (family, length) {
        // RFC 8950 section 4, RFC 2545 section 3.
        (Family::Ipv4 | Family::Ipv6, 16 | 32) | (Family::Ipv4, 4) => true,
        (Family::Ipv4 | Family::Ipv6, _) => false,
    };
    reader.sub(length.into()).ok().filter(|_| is_fitting)?;
    let _reserved = reader.u8().ok()?;
    nlri::count(family, reader.0).ok()
}

#[cfg(test)]
mod tests;
