//! BGPPeers: which sessions nodes have with routers.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use planner::facts::bgp::{BfdProfile, Password, Peer, PeerAddress, RemoteAsn};
use planner::facts::{Family, Node};
use planner::names::PeerName;

use super::{Findings, Parsed, Referents, selector};
use crate::api::{self, BGPPeer, BGPPeerSpec, DynamicAsn};
use crate::source::object::{ObjectName, Objects};
use crate::source::secret::{BASIC_AUTH, Content, Secret};

const PORTS: RangeInclusive<u16> = 1..=16_384;

/// How far away a router may be, if it is said at all.
const HOPS: RangeInclusive<u8> = 1..=254;

/// The shortest hold time but for zero, RFC 4271 section 4.2.
const SHORTEST_HOLD_TIME: Duration = Duration::from_secs(3);

/// What a timer of the protocol, or a number of seconds, fits into: 16 bits.
const LONGEST_TIME: Duration = Duration::from_secs(65_535);

/// How much longer a session lives than the time between two keepalives.
const HOLD_PER_KEEPALIVE: u32 = 3;

/// The longest key of TCP MD5 that Linux takes, in bytes.
const LONGEST_PASSWORD: usize = 80;

/// Reads the peers; nodes are facts by now.
pub(super) fn read(objects: &Objects, profiles: &Referents<BfdProfile>, parsed: &mut Parsed) {
    for object in super::oldest_first("BGPPeer", &objects.bgp_peers) {
        let name = PeerName(object.metadata.name.clone().unwrap_or_default());
        let mut findings = Findings::about(ObjectName::of("BGPPeer", &object.metadata));
        let fact = fact(object, objects, profiles, &mut findings);
        if parsed.facts.peers.contains_key(&name) {
            findings.same_name("BGPPeer");
        }
        if let Some(fact) = &fact {
            refuse_same_place(fact, parsed, &mut findings);
            let nodes = parsed.facts.nodes.values();
            let nodes: Vec<_> = nodes.map(|node| node.labels.clone()).collect();
            let (selectors, field) = (&fact.node_selectors, "spec.nodeSelectors");
            selector::warn_of_no_match(selectors, field, "Node", &nodes, &mut findings);
        }
        if let Some(fact) = findings.conclude(fact, parsed).flatten() {
            parsed.facts.peers.insert(name, fact);
        }
    }
}

/// The peer; `None` only if there is a problem.
fn fact(
    object: &BGPPeer,
    objects: &Objects,
    profiles: &Referents<BfdProfile>,
    findings: &mut Findings,
) -> Option<Peer> {
    let spec = &object.spec;
    warn_of_needless(object, findings);
    if !PORTS.contains(&spec.peer_port) {
        findings.out_of_bounds("spec.peerPort", spec.peer_port, &PORTS);
    }
    let my_asn = my_asn(spec, findings);
    let remote_asn = remote_asn(spec, findings);
    let at = place(spec, findings);
    let source = source(spec, at.as_ref(), findings);
    let (hold_time, keepalive_time) = timers(spec, findings);
    let local_asn = spec.local_asn.map(|asn| {
        NonZeroU32::new(asn).or_else(|| {
            findings.out_of_bounds("spec.localASN", asn, &(1..=u32::MAX));
            None
        })
    });
    let peer = Peer {
        node_selectors: selector::read_list(&spec.node_selectors, "spec.nodeSelectors", findings),
        port: spec.peer_port,
        source,
        local_asn: local_asn.flatten(),
        router_id: router_id(spec, findings),
        hold_time,
        keepalive_time,
        connect_time: connect_time(spec, findings),
        is_multihop: spec.ebgp_multi_hop == Some(true),
        ttl_security: ttl_security(spec, findings),
        is_passive: spec.passive == Some(true),
        has_graceful_restart: spec.enable_graceful_restart == Some(true),
        is_dual_stack: spec.dual_stack_address_family,
        vrf: spec.vrf.clone().filter(|vrf| !vrf.is_empty()),
        password: password(object, &objects.secrets, findings),
        bfd: bfd(object, profiles, findings),
        // Last, so that all of the above is looked at first.
        at: at?,
        my_asn: my_asn?,
        remote_asn: remote_asn?,
    };
    Some(peer)
}

fn my_asn(spec: &BGPPeerSpec, findings: &mut Findings) -> Option<NonZeroU32> {
    let asn = NonZeroU32::new(spec.my_asn);
    if asn.is_none() {
        let help = "write the AS number of the nodes, such as 64512";
        findings.problem("spec.myASN", "missing local ASN".to_owned(), help);
    }
    asn
}

fn remote_asn(spec: &BGPPeerSpec, findings: &mut Findings) -> Option<RemoteAsn> {
    let number = spec.peer_asn.and_then(NonZeroU32::new);
    match (number, spec.dynamic_asn) {
        (Some(number), None) => {
            if number.get() == spec.my_asn && spec.ebgp_multi_hop == Some(true) {
                let message = "invalid ebgp-multihop parameter set for an ibgp peer";
                let help = "remove it: iBGP reaches over several hops anyway";
                findings.problem("spec.ebgpMultiHop", message.to_owned(), help);
            }
            Some(RemoteAsn::Number(number))
        }
        (None, Some(DynamicAsn::Internal)) => Some(RemoteAsn::Internal),
        (None, Some(DynamicAsn::External)) => Some(RemoteAsn::External),
        (Some(_), Some(_)) => {
            let message = "both peer ASN and dynamicASN specified";
            let help = "remove `peerASN` or `dynamicASN`";
            findings.problem("spec.dynamicASN", message.to_owned(), help);
            None
        }
        (None, None) => {
            let message = "missing peer ASN and dynamicASN";
            let help = "write the router's AS number, or `dynamicASN: external`";
            findings.problem("spec.peerASN", message.to_owned(), help);
            None
        }
    }
}

fn place(spec: &BGPPeerSpec, findings: &mut Findings) -> Option<PeerAddress> {
    let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    match (filled(&spec.peer_address), filled(&spec.interface)) {
        (Some(text), None) => {
            let address = text.parse::<IpAddr>().map(|address| address.to_canonical());
            let Ok(address) = address else {
                let message = format!("invalid BGPPeer address \"{text}\"");
                let help = "write an IPv4 or IPv6 address";
                findings.problem("spec.peerAddress", message, help);
                return None;
            };
            if matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local()) {
                let message = "a link-local address does not say which interface it is on";
                findings.warning("spec.peerAddress", message, "use `interface` instead");
            }
            Some(PeerAddress::Ip(address))
        }
        (None, Some(interface)) => Some(PeerAddress::Interface(interface)),
        (Some(_), Some(_)) => {
            let message = "peer has both Address and Interface specified";
            let help = "remove `peerAddress` or `interface`";
            findings.problem("spec.interface", message.to_owned(), help);
            None
        }
        (None, None) => {
            let message = "peer has no Address or Interface specified";
            let help = "write the router's address";
            findings.problem("spec.peerAddress", message.to_owned(), help);
            None
        }
    }
}

fn source(spec: &BGPPeerSpec, at: Option<&PeerAddress>, findings: &mut Findings) -> Option<IpAddr> {
    const FIELD: &str = "spec.sourceAddress";
    let text = spec.source_address.as_ref().filter(|text| !text.is_empty())?;
    let Ok(source) = text.parse::<IpAddr>().map(|address| address.to_canonical()) else {
        let message = format!("invalid source IP \"{text}\"");
        findings.problem(FIELD, message, "write an address of the node");
        return None;
    };
    if let Some(PeerAddress::Ip(peer)) = at
        && Family::of(*peer) != Family::of(source)
    {
        let message = format!("`{source}` cannot reach `{peer}`, which is of the other family");
        let help = format!("write an {} address of the node", Family::of(*peer));
        findings.problem(FIELD, message, &help);
    }
    Some(source)
}

fn router_id(spec: &BGPPeerSpec, findings: &mut Findings) -> Option<Ipv4Addr> {
    let text = spec.router_id.as_ref().filter(|text| !text.is_empty())?;
    let id = text.parse::<Ipv4Addr>().ok().filter(|id| !id.is_unspecified());
    if id.is_none() {
        let help = "write an IPv4 address that no other speaker has, or remove it";
        findings.problem("spec.routerID", format!("invalid router ID \"{text}\""), help);
    }
    id
}

/// The hold time and the keepalive time, each taken from the other where only one is set.
fn timers(spec: &BGPPeerSpec, findings: &mut Findings) -> (Option<Duration>, Option<Duration>) {
    let hold = positive(spec.hold_time, "spec.holdTime", findings);
    let keepalive = positive(spec.keepalive_time, "spec.keepaliveTime", findings);
    let (hold, keepalive) = match (hold, keepalive) {
        (None, None) => return (None, None),
        (Some(hold), None) => (hold, hold / HOLD_PER_KEEPALIVE),
        (None, Some(keepalive)) => (keepalive.saturating_mul(HOLD_PER_KEEPALIVE), keepalive),
        (Some(hold), Some(keepalive)) => (hold, keepalive),
    };
    let field = if spec.hold_time.is_some() { "spec.holdTime" } else { "spec.keepaliveTime" };
    // On the wire there are only seconds.
    let seconds = Duration::from_secs(hold.as_secs());
    if !seconds.is_zero() && !(SHORTEST_HOLD_TIME..=LONGEST_TIME).contains(&seconds) {
        let message = format!("invalid hold time {hold:?}: must be 0 or from 3 to 65535 seconds");
        let help = "write `90s`; for faster detection use a BFDProfile";
        findings.problem(field, message, help);
    } else if seconds != hold {
        let whole = seconds.as_secs();
        let message = format!("{hold:?} counts as {whole}s, as only whole seconds are agreed on");
        findings.warning(field, message, "write whole seconds, from 3");
    }
    if keepalive > hold {
        let message = format!(
            "invalid keepaliveTime {keepalive:?}: must not be longer than the hold time {hold:?}"
        );
        let help = "write a third of `holdTime`, or leave it out";
        findings.problem("spec.keepaliveTime", message, help);
    }
    (Some(seconds), Some(keepalive))
}

fn ttl_security(spec: &BGPPeerSpec, findings: &mut Findings) -> Option<u8> {
    const FIELD: &str = "spec.ttlSecurity";
    let hops = spec.ttl_security?;
    if spec.ebgp_multi_hop == Some(true) {
        let message = "both ttlSecurity and ebgpMultiHop specified";
        let help = "remove `ebgpMultiHop`: the number of hops in `ttlSecurity` says it";
        findings.problem(FIELD, message.to_owned(), help);
    }
    let fitting = u8::try_from(hops).ok().filter(|hops| HOPS.contains(hops));
    if fitting.is_none() {
        findings.out_of_bounds(FIELD, hops, &(u32::from(*HOPS.start())..=u32::from(*HOPS.end())));
    }
    fitting
}

fn positive(time: Option<api::Duration>, field: &str, findings: &mut Findings) -> Option<Duration> {
    let time = time?;
    let positive = time.to_std();
    if positive.is_none() {
        let message = format!("`{time}` is negative");
        findings.problem(field, message, "write a time such as `30s`");
    }
    positive
}

/// The rules that the schema states too, for manifests that no API server has seen.
fn connect_time(spec: &BGPPeerSpec, findings: &mut Findings) -> Option<Duration> {
    const FIELD: &str = "spec.connectTime";
    let time = spec.connect_time?;
    let positive = time.to_std().unwrap_or_default();
    if !(1..=LONGEST_TIME.as_secs()).contains(&positive.as_secs()) {
        let message = "connect time should be between 1 seconds to 65535";
        findings.problem(FIELD, message.to_owned(), "write a time such as `10s`");
    }
    if positive.as_millis() % 1000 != 0 {
        let message = "connect time should contain a whole number of seconds";
        findings.problem(FIELD, message.to_owned(), "write a time such as `10s`");
    }
    Some(positive)
}

fn password(
    object: &BGPPeer,
    secrets: &[Arc<Secret>],
    findings: &mut Findings,
) -> Option<Password> {
    let clear = object.spec.password.as_ref().filter(|password| !password.0.is_empty());
    let reference = object.spec.password_secret.as_ref();
    let name = reference.and_then(|secret| secret.name.as_ref()).filter(|name| !name.is_empty());
    let id = quoted(&findings.object);
    let (password, field) = match (clear, name) {
        (None, None) => return None,
        (Some(_), Some(_)) => {
            let message =
                format!("can not have both password and secret ref set in peer config {id}");
            let help = "remove `password`: whoever may read the peer can read it";
            findings.problem("spec.passwordSecret", message, help);
            return None;
        }
        (Some(clear), None) => (clear.clone(), "spec.password"),
        (None, Some(name)) => (from_secret(name, secrets, findings)?, "spec.passwordSecret.name"),
    };
    if !(1..=LONGEST_PASSWORD).contains(&password.0.len()) {
        let message = format!("the password has {} bytes", password.0.len());
        let help = format!("a key of TCP MD5 has from 1 to {LONGEST_PASSWORD} bytes");
        findings.problem(field, message, &help);
    }
    Some(Password(password.0))
}

fn from_secret(
    name: &str,
    secrets: &[Arc<Secret>],
    findings: &mut Findings,
) -> Option<api::Password> {
    let peer = findings.object.clone();
    let secret = secrets.iter().find(|secret| {
        secret.metadata.name.as_deref() == Some(name) && secret.metadata.namespace == peer.namespace
    });
    let namespace = peer.namespace.as_deref().unwrap_or_default();
    let id = format!("\"{namespace}\"/\"{name}\"");
    let (cause, help) = match secret {
        None => (
            format!("secret ref not found for peer config {}", quoted(&peer)),
            format!("add the Secret {namespace}/{name} of type `{BASIC_AUTH}`"),
        ),
        Some(secret) if secret.type_ != BASIC_AUTH => (
            // The blank at the end is in the words that others look for.
            format!("secret type mismatch on {id}, type \"{BASIC_AUTH}\" is expected "),
            format!("create the Secret {namespace}/{name} anew with that type"),
        ),
        Some(secret) => match secret.password() {
            Content::Text(password) => return Some(password),
            Content::Absent => (
                format!("password not specified in the secret {id}"),
                "write it under the key `password`".to_owned(),
            ),
            Content::NotText => (
                format!("the password in the secret {id} is not UTF-8"),
                "write it as text".to_owned(),
            ),
        },
    };
    let peer = &peer.name;
    let message =
        format!("parsing peer {peer} {cause}\nfailed to parse peer {peer} password secret");
    findings.problem("spec.passwordSecret.name", message, &help);
    None
}

/// `"namespace"/"name"`.
fn quoted(object: &ObjectName) -> String {
    format!("\"{}\"/\"{}\"", object.namespace.as_deref().unwrap_or_default(), object.name)
}

fn bfd(
    object: &BGPPeer,
    profiles: &Referents<BfdProfile>,
    findings: &mut Findings,
) -> Option<BfdProfile> {
    let name = object.spec.bfd_profile.as_ref().filter(|name| !name.is_empty())?;
    let peer = &findings.object.name;
    let (message, help) = match profiles.get(name) {
        Some(Ok(profile)) => return Some(profile.clone()),
        Some(Err(refused)) => (
            format!("peer {peer} referencing bfd profile {name}, which has problems"),
            format!("mend {refused}"),
        ),
        None => (
            format!("peer {peer} referencing non existing bfd profile {name}"),
            format!("add a BFDProfile `{name}`, or check the name"),
        ),
    };
    findings.problem("spec.bfdProfile", message, &help);
    None
}

/// A node can have one session with a router, so of two peers there the older one counts.
fn refuse_same_place(fact: &Peer, parsed: &Parsed, findings: &mut Findings) {
    for (name, other) in &parsed.facts.peers {
        let is_same = (&fact.at, fact.port, &fact.vrf) == (&other.at, other.port, &other.vrf);
        if !is_same || !share_a_node(fact, other, parsed.facts.nodes.values()) {
            continue;
        }
        let (at, field) = match &fact.at {
            PeerAddress::Ip(address) => (address.to_string(), "spec.peerAddress"),
            PeerAddress::Interface(interface) => (interface.clone(), "spec.interface"),
        };
        let vrf = fact.vrf.as_ref().map(|vrf| format!("-{vrf}")).unwrap_or_default();
        let message = format!(
            "peer {at}{vrf} already exists, FRR mode doesn't support duplicate BGPPeers selecting \
             the same node"
        );
        let help = format!(
            "a node can have only one session with a router: remove this one or BGPPeer `{name}`, \
             or give them different `nodeSelectors`"
        );
        findings.problem(field, message, &help);
    }
}

/// Whether a node has both; without any node, as if there were one.
fn share_a_node<'a>(one: &Peer, other: &Peer, nodes: impl Iterator<Item = &'a Node>) -> bool {
    let has = |peer: &Peer, node: &Node| {
        let selectors = &peer.node_selectors;
        selectors.is_empty() || selectors.iter().any(|selector| selector.matches(&node.labels))
    };
    let mut nodes = nodes.peekable();
    nodes.peek().is_none() || nodes.any(|node| has(one, node) && has(other, node))
}

fn warn_of_needless(object: &BGPPeer, findings: &mut Findings) {
    let spec = &object.spec;
    if spec.disable_mp {
        let message =
            "disable mp is deprecated and has no effect since it's the default behavior now";
        findings.warning("spec.disableMP", message, "remove it");
    }
    let Some(secret) = &spec.password_secret else { return };
    if secret.name.as_ref().is_none_or(String::is_empty) {
        findings.warning("spec.passwordSecret", "it names no Secret", "write its `name`");
    }
    let named = secret.namespace.as_ref().filter(|namespace| !namespace.is_empty());
    if let Some(named) = named.filter(|named| Some(*named) != object.metadata.namespace.as_ref()) {
        let message = format!("`{named}` does not count: Secrets are looked up beside the peer");
        findings.warning("spec.passwordSecret.namespace", message, "put the Secret there");
    }
}
