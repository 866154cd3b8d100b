//! BFDProfiles: how fast the loss of a router is noticed.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use planner::facts::bgp::BfdProfile;
use proto::bfd::auth::{Key, Method, NotAKey};

use super::{Findings, Parsed, Referents};
use crate::api::{BFDProfileSpec, BfdAuthenticationType};
use crate::source::object::{ObjectName, Objects};
use crate::source::secret::{BASIC_AUTH, Secret};

/// What intervals may be, in milliseconds.
const INTERVAL: RangeInclusive<u32> = 10..=60_000;

/// How many packets in a row may be lost.
const MULTIPLIER: RangeInclusive<u32> = 2..=255;

/// What numbers keys have.
const KEY_ID: RangeInclusive<u32> = 0..=255;

/// The TTL that packets arrive with over several hops.
const TTL: RangeInclusive<u32> = 1..=254;

/// Milliseconds between packets that a profile without intervals asks for.
const DEFAULT_INTERVAL: u32 = 300;

/// Milliseconds between echo packets where the profile does not say.
const DEFAULT_ECHO_INTERVAL: u32 = 50;

/// Packets in a row that may be lost where the profile does not say.
const DEFAULT_MULTIPLIER: u8 = 3;

/// The profiles by name.
pub(super) fn read(objects: &Objects, parsed: &mut Parsed) -> Referents<BfdProfile> {
    let mut profiles: BTreeMap<String, Result<BfdProfile, ObjectName>> = BTreeMap::new();
    for object in super::oldest_first("BFDProfile", &objects.bfd_profiles) {
        let name = ObjectName::of("BFDProfile", &object.metadata);
        let mut findings = Findings::about(name.clone());
        let key = key(&object.spec, &objects.secrets, &mut findings);
        let fact = BfdProfile { key, ..fact(&object.spec, &mut findings) };
        if profiles.contains_key(&name.name) {
            findings.same_name("BFDProfile");
        }
        let fact = findings.conclude(fact, parsed);
        profiles.entry(name.name.clone()).or_insert_with(|| fact.ok_or(name));
    }
    profiles
}

fn fact(spec: &BFDProfileSpec, findings: &mut Findings) -> BfdProfile {
    let mut bounded = |field: &str, value: Option<u32>, bounds: RangeInclusive<u32>| {
        if let Some(value) = value.filter(|value| !bounds.contains(value)) {
            findings.out_of_bounds(&format!("spec.{field}"), value, &bounds);
        }
    };
    bounded("receiveInterval", spec.receive_interval, INTERVAL);
    bounded("transmitInterval", spec.transmit_interval, INTERVAL);
    bounded("echoInterval", spec.echo_interval, INTERVAL);
    bounded("detectMultiplier", spec.detect_multiplier, MULTIPLIER);
    bounded("minimumTtl", spec.minimum_ttl, TTL);
    let has_echo = spec.echo_mode == Some(true);
    if spec.echo_interval.is_some() && !has_echo {
        let help = "set `echoMode: true`, or remove the interval";
        findings.warning("spec.echoInterval", "it counts only with `echoMode`", help);
    }
    let milliseconds =
        |value: Option<u32>, default: u32| Duration::from_millis(value.unwrap_or(default).into());
    // A value that does not fit was named above.
    let small = |value: Option<u32>| value.and_then(|value| u8::try_from(value).ok());
    BfdProfile {
        receive_interval: milliseconds(spec.receive_interval, DEFAULT_INTERVAL),
        transmit_interval: milliseconds(spec.transmit_interval, DEFAULT_INTERVAL),
        detect_multiplier: small(spec.detect_multiplier).unwrap_or(DEFAULT_MULTIPLIER),
        echo_interval: has_echo.then(|| milliseconds(spec.echo_interval, DEFAULT_ECHO_INTERVAL)),
        is_passive: spec.passive_mode == Some(true),
        minimum_ttl: small(spec.minimum_ttl),
        key: None,
    }
}

/// What packets are authenticated with, from the Secret beside the profile.
fn key(spec: &BFDProfileSpec, secrets: &[Arc<Secret>], findings: &mut Findings) -> Option<Key> {
    let authentication = spec.authentication.as_ref()?;
    let Ok(id) = u8::try_from(authentication.key_id) else {
        let value = authentication.key_id;
        findings.out_of_bounds("spec.authentication.keyID", value, &KEY_ID);
        return None;
    };
    let method = match authentication.method {
        BfdAuthenticationType::SimplePassword => Method::SimplePassword,
        BfdAuthenticationType::KeyedMd5 => Method::KeyedMd5,
        BfdAuthenticationType::MeticulousKeyedMd5 => Method::MeticulousKeyedMd5,
        BfdAuthenticationType::KeyedSha1 => Method::KeyedSha1,
        BfdAuthenticationType::MeticulousKeyedSha1 => Method::MeticulousKeyedSha1,
    };
    let (name, entry) = (&authentication.secret.name, &authentication.secret.key);
    let namespace = findings.object.namespace.clone();
    let is_beside = |secret: &&Arc<Secret>| {
        secret.metadata.name.as_ref() == Some(name) && secret.metadata.namespace == namespace
    };
    let place = format!("{}/{name}", namespace.as_deref().unwrap_or_default());
    let Some(secret) = secrets.iter().find(is_beside).filter(|it| it.type_ == BASIC_AUTH) else {
        let message = format!("there is no Secret {place} of type `{BASIC_AUTH}`");
        let help = "add it, or create it anew with that type";
        findings.problem("spec.authentication.secret.name", message, help);
        return None;
    };
    let made = secret.value(entry).map(|value| Key::new(method, id, value));
    let (message, help) = match made {
        Some(Ok(key)) => return Some(key),
        None => (
            format!("the Secret {place} has no key `{entry}`"),
            String::from("write the secret there, or name its key"),
        ),
        Some(Err(error @ (NotAKey::Empty | NotAKey::TooLong))) => (
            format!("what the Secret {place} has under `{entry}` cannot be used: {error}"),
            format!("write from 1 to {} bytes there", method.longest_secret()),
        ),
    };
    findings.problem("spec.authentication.secret.key", message, &help);
    None
}
