//! Services: what a Service of type LoadBalancer asks for and holds.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use planner::facts::{Families, Family, MAX_ADDRESS_COUNT, Port, Protocol, Service, TrafficPolicy};
use planner::names::{PoolName, ServiceName};

use super::{Findings, Parsed};
use crate::source::object::ObjectName;

/// Prefixes of annotations, the current one first: where both are present it counts, even empty.
const PREFIXES: [&str; 2] = ["metallb.io", "metallb.universe.tf"];

/// The class of a Service that names none.
const NO_CLASS: &str = "";

pub(super) fn read(services: &[Arc<core::Service>], parsed: &mut Parsed) {
    for service in services {
        match class(service) {
            None => (),
            Some(NO_CLASS) => read_one(service, parsed),
            Some(class) => warn_of_class(service, class, parsed),
        }
    }
}

/// The class of a Service of type LoadBalancer; [`None`] for another type.
fn class(service: &core::Service) -> Option<&str> {
    let spec = service.spec.as_ref()?;
    let is_balanced = spec.type_.as_deref() == Some("LoadBalancer");
    is_balanced.then(|| spec.load_balancer_class.as_deref().unwrap_or(NO_CLASS))
}

/// Whether a Service is of type LoadBalancer and of a class; the empty one is that of Services that
/// name none.
pub(super) fn is_of_class(service: &core::Service, wanted: &str) -> bool {
    class(service) == Some(wanted)
}

fn warn_of_class(service: &core::Service, class: &str, parsed: &mut Parsed) {
    let mut findings = Findings::about(ObjectName::of("Service", &service.metadata));
    let message = format!("class `{class}` is served by another load balancer");
    let help = "remove the field if ferrolb should serve it";
    findings.warning("spec.loadBalancerClass", message, help);
    findings.conclude((), parsed);
}

/// Reads a Service of type LoadBalancer, whatever its class.
pub(super) fn read_one(service: &core::Service, parsed: &mut Parsed) {
    let Some(spec) = &service.spec else { return };
    let mut findings = Findings::about(ObjectName::of("Service", &service.metadata));
    let fact = fact(service, spec, &mut findings);
    if let Some(fact) = findings.conclude(fact, parsed) {
        let metadata = service.metadata.clone();
        let namespace = metadata.namespace.unwrap_or_default();
        let name = ServiceName::new(namespace, metadata.name.unwrap_or_default());
        parsed.facts.services.insert(name, fact);
    }
}

fn fact(service: &core::Service, spec: &core::ServiceSpec, findings: &mut Findings) -> Service {
    let addresses = addresses(service, findings);
    let mut address_count = address_count(service, &addresses, findings);
    let requested_addresses = match requested_addresses(service, spec, address_count) {
        Ok(requested) => requested,
        // Whoever asks for nonsense keeps what they have, but is told.
        Err((field, message)) if !addresses.is_empty() => {
            let help = "it keeps the address that it has";
            findings.warning(field, message, help);
            address_count = address_count.max(held_count(&addresses));
            addresses.clone()
        }
        Err((field, message)) => {
            let help = "correct it, or remove it to get any address";
            findings.problem(field, message, help);
            Vec::new()
        }
    };
    let text = |name| annotation(service, name).map(|(_, value)| value).filter(|v| !v.is_empty());
    Service {
        labels: service.metadata.labels.clone().unwrap_or_default().into(),
        requested_addresses,
        requested_pool: text("address-pool").map(PoolName::from),
        sharing_key: text("allow-shared-ip").map(str::to_owned),
        families: families(spec, findings),
        address_count,
        traffic_policy: traffic_policy(spec, findings),
        ports: ports(spec, findings),
        pod_selector: spec.selector.clone().unwrap_or_default().into(),
        created: service.metadata.creation_timestamp.as_ref().map(|time| time.0.as_second()),
        addresses,
    }
}

/// How many addresses of each family the Service asks for.
fn address_count(service: &core::Service, held: &[IpAddr], findings: &mut Findings) -> u8 {
    let Some((key, text)) = annotation(service, "address-count") else { return 1 };
    match text.trim().parse() {
        Ok(count @ 1..=MAX_ADDRESS_COUNT) => count,
        Ok(_) | Err(_) => {
            let message = format!("`{text}` is not a number from 1 to {MAX_ADDRESS_COUNT}");
            match held.is_empty() {
                true => {
                    findings.problem(annotation_field(key), message, "correct it, or remove it");
                }
                false => {
                    let help = "it keeps the addresses that it has";
                    findings.warning(annotation_field(key), message, help);
                }
            }
            held_count(held)
        }
    }
}

/// The larger of the numbers of IPv4 and of IPv6 addresses, but from 1 to [`MAX_ADDRESS_COUNT`].
fn held_count(held: &[IpAddr]) -> u8 {
    let v4 = held.iter().filter(|address| address.is_ipv4()).count();
    let count = v4.max(held.len() - v4);
    u8::try_from(count).unwrap_or(MAX_ADDRESS_COUNT).clamp(1, MAX_ADDRESS_COUNT)
}

/// An annotation under whichever prefix it has, with its key.
fn annotation<'a>(service: &'a core::Service, name: &str) -> Option<(&'a str, &'a str)> {
    let annotations = service.metadata.annotations.as_ref()?;
    PREFIXES.iter().find_map(|prefix| {
        let (key, value) = annotations.get_key_value(&format!("{prefix}/{name}"))?;
        Some((key.as_str(), value.as_str()))
    })
}

fn addresses(service: &core::Service, findings: &mut Findings) -> Vec<IpAddr> {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = balancer.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default();
    let mut addresses = Vec::new();
    for (index, entry) in ingress.iter().enumerate() {
        match entry.ip.as_deref().map(str::parse) {
            Some(Ok(address)) => addresses.push(address),
            Some(Err(_)) => {
                let field = format!("status.loadBalancer.ingress[{index}].ip");
                let message =
                    format!("`{}` is not an IP address", entry.ip.as_deref().unwrap_or(""));
                findings.warning(field, message, "the entry is ignored");
            }
            // A host name is written by others and says nothing to us.
            None => (),
        }
    }
    addresses
}

/// What the Service asks for; or the field that is wrong, and how.
fn requested_addresses(
    service: &core::Service,
    spec: &core::ServiceSpec,
    address_count: u8,
) -> Result<Vec<IpAddr>, (String, String)> {
    let listed = annotation(service, "loadBalancerIPs").filter(|(_, value)| !value.is_empty());
    let single = spec.load_balancer_ip.as_deref().filter(|value| !value.is_empty());
    let (field, text) = match (listed, single) {
        (None, None) => return Ok(Vec::new()),
        (Some((key, _)), Some(_)) => {
            let message = "`spec.loadBalancerIP` is set too; remove one of them".to_owned();
            return Err((annotation_field(key), message));
        }
        (Some((key, text)), None) => (annotation_field(key), text),
        (None, Some(text)) => ("spec.loadBalancerIP".to_owned(), text),
    };
    let parts: Vec<_> = if listed.is_some() { text.split(',').collect() } else { vec![text] };
    let mut addresses = Vec::new();
    for part in parts {
        match part.trim().parse::<IpAddr>() {
            Ok(address) => addresses.push(address),
            Err(_) => return Err((field, format!("`{}` is not an IP address", part.trim()))),
        }
    }
    let allowed = usize::from(address_count);
    let v4 = addresses.iter().filter(|address| address.is_ipv4()).count();
    let is_repeated = |index: usize| addresses[..index].contains(&addresses[index]);
    if let Some(index) = (0..addresses.len()).find(|index| is_repeated(*index)) {
        return Err((field, format!("`{}` is there twice in `{text}`", addresses[index])));
    }
    match v4 <= allowed && addresses.len() - v4 <= allowed {
        true => Ok(addresses),
        false if address_count == 1 => {
            let message = format!(
                "`{text}` is neither one address nor one of each family; \
                 `metallb.io/address-count` allows more"
            );
            Err((field, message))
        }
        false => {
            let message = format!("`{text}` has more than {address_count} addresses of one family");
            Err((field, message))
        }
    }
}

fn annotation_field(key: &str) -> String {
    format!("metadata.annotations[{key}]")
}

/// Which families the Service needs, as the API server would fill in what is not written.
fn families(spec: &core::ServiceSpec, findings: &mut Findings) -> Families {
    let cluster_ips = spec.cluster_ips.clone().or_else(|| Some(vec![spec.cluster_ip.clone()?]));
    let held: Vec<Family> = cluster_ips
        .unwrap_or_default()
        .iter()
        .filter_map(|text| text.parse().ok().map(Family::of))
        .collect();
    let named = named_families(spec, findings);
    let primary = named.first().or_else(|| held.first()).copied().unwrap_or(Family::V4);
    let is_dual = named.len() > 1 || held.len() > 1;
    match spec.ip_family_policy.as_deref() {
        None if is_dual => Families::RequireDual,
        None | Some("SingleStack") => Families::Single(primary),
        // It would have two cluster addresses if the cluster had both families.
        Some("PreferDualStack") if held.len() == 1 => Families::Single(primary),
        Some("PreferDualStack") => Families::PreferDual(primary),
        Some("RequireDualStack") => {
            if held.len() == 1 {
                let message = "a dual-stack Service needs a cluster address of each family";
                let help = "set `ipFamilyPolicy` to SingleStack or PreferDualStack";
                findings.problem("spec.clusterIPs", message, help);
            }
            Families::RequireDual
        }
        Some(other) => {
            let message =
                format!("`{other}` is none of SingleStack, PreferDualStack, RequireDualStack");
            findings.problem("spec.ipFamilyPolicy", message, "write one of these");
            Families::Single(primary)
        }
    }
}

fn named_families(spec: &core::ServiceSpec, findings: &mut Findings) -> Vec<Family> {
    let mut families = Vec::new();
    for (index, name) in spec.ip_families.iter().flatten().enumerate() {
        match name.as_str() {
            "IPv4" => families.push(Family::V4),
            "IPv6" => families.push(Family::V6),
            other => findings.problem(
                format!("spec.ipFamilies[{index}]"),
                format!("`{other}` is neither IPv4 nor IPv6"),
                "write one of these",
            ),
        }
    }
    families
}

fn traffic_policy(spec: &core::ServiceSpec, findings: &mut Findings) -> TrafficPolicy {
    match spec.external_traffic_policy.as_deref() {
        None | Some("" | "Cluster") => TrafficPolicy::Cluster,
        Some("Local") => TrafficPolicy::Local,
        Some(other) => {
            let message = format!("`{other}` is neither Cluster nor Local");
            findings.problem("spec.externalTrafficPolicy", message, "write one of these");
            TrafficPolicy::Cluster
        }
    }
}

fn ports(spec: &core::ServiceSpec, findings: &mut Findings) -> BTreeSet<Port> {
    let mut ports = BTreeSet::new();
    for (index, port) in spec.ports.iter().flatten().enumerate() {
        let protocol = match port.protocol.as_deref() {
            None | Some("TCP") => Protocol::Tcp,
            Some("UDP") => Protocol::Udp,
            Some("SCTP") => Protocol::Sctp,
            Some(other) => {
                let message = format!("`{other}` is none of TCP, UDP, SCTP");
                findings.problem(
                    format!("spec.ports[{index}].protocol"),
                    message,
                    "write one of these",
                );
                continue;
            }
        };
        match u16::try_from(port.port) {
            Ok(number) if number > 0 => {
                ports.insert(Port { protocol, number });
            }
            Ok(_) | Err(_) => {
                let message = format!("{} is not from 1 to 65535", port.port);
                let help = "write the port that clients use";
                findings.problem(format!("spec.ports[{index}].port"), message, help);
            }
        }
    }
    ports
}
