//! BGPAdvertisements: which pools which nodes announce to which routers.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use planner::announce::{self, Clash, Conflict};
use planner::facts::Family;
use planner::facts::bgp::{BgpAdvertisement, Community};
use planner::names::{AdvertisementName, PeerName, PoolName};

use super::advertisement::warn_of_no_match;
use super::{Findings, Parsed, Referents, community, selector};
use crate::api::{BGPAdvertisement, BGPAdvertisementSpec};
use crate::source::object::{ObjectName, Objects};

const LENGTHS_V4: RangeInclusive<i32> = 1..=32;
const LENGTHS_V6: RangeInclusive<i32> = 1..=128;

/// Reads the advertisements; pools, peers and Services are facts by now.
pub(super) fn read(objects: &Objects, aliases: &Referents<Community>, parsed: &mut Parsed) {
    let mut names = BTreeMap::new();
    for object in super::oldest_first("BGPAdvertisement", &objects.bgp_advertisements) {
        let name = AdvertisementName(object.metadata.name.clone().unwrap_or_default());
        let mut findings = Findings::about(ObjectName::of("BGPAdvertisement", &object.metadata));
        let fact = fact(object, aliases, &mut findings);
        if parsed.facts.bgp_advertisements.contains_key(&name) {
            findings.same_name("BGPAdvertisement");
        }
        warn_of_no_match(fact.selection(), objects, parsed, &mut findings);
        warn_of_peers(&object.spec, objects, &mut findings);
        let object = findings.object.clone();
        if let Some(fact) = findings.conclude(fact, parsed) {
            parsed.facts.bgp_advertisements.insert(name.clone(), fact);
            names.insert(name, object);
        }
    }
    refuse_conflicts(&names, parsed);
}

fn fact(
    object: &BGPAdvertisement,
    aliases: &Referents<Community>,
    findings: &mut Findings,
) -> BgpAdvertisement {
    let spec = &object.spec;
    findings.refuse_duplicates("spec.ipAddressPools", &spec.ip_address_pools);
    findings.refuse_duplicates("spec.communities", &spec.communities);
    findings.refuse_duplicates("spec.peers", &spec.peers);
    refuse_aggregated_selectors(spec, findings);
    let aggregation_v4 =
        length(spec.aggregation_length, Family::V4, "spec.aggregationLength", findings);
    let aggregation_v6 =
        length(spec.aggregation_length_v6, Family::V6, "spec.aggregationLengthV6", findings);
    let communities = communities(&spec.communities, aliases, findings);
    let mut list = |field, list| selector::read_list(list, field, findings);
    BgpAdvertisement {
        pools: spec.ip_address_pools.iter().cloned().map(PoolName).collect(),
        pool_selectors: list("spec.ipAddressPoolSelectors", &spec.ip_address_pool_selectors),
        node_selectors: list("spec.nodeSelectors", &spec.node_selectors),
        service_selectors: list("spec.serviceSelectors", &spec.service_selectors),
        peers: spec.peers.iter().cloned().map(PeerName).collect(),
        aggregation_v4,
        aggregation_v6,
        // Zero has always meant that nothing is said.
        local_pref: spec.local_pref.filter(|preference| *preference != 0),
        communities,
    }
}

/// The rule that the schema states too, for manifests that no API server has seen.
fn refuse_aggregated_selectors(spec: &BGPAdvertisementSpec, findings: &mut Findings) {
    let is_default = spec.aggregation_length.is_none_or(|length| length == 32)
        && spec.aggregation_length_v6.is_none_or(|length| length == 128);
    if !spec.service_selectors.is_empty() && !is_default {
        let message = "serviceSelectors and aggregationLength are mutually exclusive, can only be \
                       used together with default aggregationLength (32) and aggregationLengthV6 \
                       (128)";
        let help = "remove the lengths, or announce the wider prefixes by an advertisement of \
                    their own";
        findings.problem("spec.serviceSelectors", message.to_owned(), help);
    }
}

/// The length, or the longest one if it cannot be used.
fn length(length: Option<i32>, family: Family, field: &str, findings: &mut Findings) -> u8 {
    let (bounds, longest) = match family {
        Family::V4 => (LENGTHS_V4, 32),
        Family::V6 => (LENGTHS_V6, 128),
    };
    let Some(length) = length else { return longest };
    match u8::try_from(length) {
        Ok(small) if bounds.contains(&length) => small,
        Ok(_) | Err(_) => {
            let message = format!("invalid aggregation length {length} for {family}");
            let help = format!("write a number from 1 to {longest}");
            findings.problem(field, message, &help);
            longest
        }
    }
}

fn communities(
    texts: &[String],
    aliases: &Referents<Community>,
    findings: &mut Findings,
) -> BTreeSet<Community> {
    let mut communities = BTreeSet::new();
    for (index, text) in texts.iter().enumerate() {
        match community::meaning(text, aliases) {
            Ok(community) => {
                communities.insert(community);
            }
            Err(cause) => {
                let message = format!("{cause}\ninvalid community \"{text}\" in BGP advertisement");
                let help = match aliases.get(text) {
                    Some(Err(refused)) => format!("mend {refused}, which defines it"),
                    Some(Ok(_)) | None => {
                        format!("define the name in a Community, or {}", community::FORMS)
                    }
                };
                findings.problem(format!("spec.communities[{index}]"), message, &help);
            }
        }
    }
    communities
}

/// Takes out advertisements that cannot be followed for a pool, or that contradict another one.
///
/// One at a time, as one that is out contradicts nobody any more; those that are wrong by themselves
/// go first.
fn refuse_conflicts(names: &BTreeMap<AdvertisementName, ObjectName>, parsed: &mut Parsed) {
    loop {
        let conflicts = announce::conflicts(&parsed.facts);
        let is_its_own = |conflict: &&Conflict| match conflict.clash {
            Clash::Aggregation { .. } | Clash::Echo { .. } => true,
            Clash::LocalPref { .. } => false,
        };
        let worst = conflicts
            .iter()
            .find(is_its_own)
            .or_else(|| conflicts.iter().min_by_key(|conflict| &conflict.advertisement));
        let Some(Conflict { advertisement, .. }) = worst else { return };
        parsed.facts.bgp_advertisements.remove(advertisement);
        let Some(object) = names.get(advertisement) else { return };
        let mut findings = Findings::about(object.clone());
        for conflict in conflicts.iter().filter(|other| other.advertisement == *advertisement) {
            add_conflict(conflict, &mut findings);
        }
        findings.conclude((), parsed);
    }
}

fn add_conflict(conflict: &Conflict, findings: &mut Findings) {
    let field = match &conflict.clash {
        Clash::Aggregation { family: Family::V4, .. } => "spec.aggregationLength",
        Clash::Aggregation { family: Family::V6, .. } => "spec.aggregationLengthV6",
        Clash::Echo { .. } => "spec.peers",
        Clash::LocalPref { .. } => "spec.localPref",
    };
    // What is wrong and how to mend it are one sentence there.
    let sentence = conflict.clash.to_string();
    let (message, mend) = sentence.split_once("; ").unwrap_or((&sentence, "leave out the pool"));
    let help = format!("for pool `{}`: {mend}", conflict.pool);
    findings.problem(field, message.to_owned(), &help);
}

fn warn_of_peers(spec: &BGPAdvertisementSpec, objects: &Objects, findings: &mut Findings) {
    // Also peers that were refused: their own problem says enough.
    let peers = objects.bgp_peers.iter();
    let names: BTreeSet<_> = peers.filter_map(|peer| peer.metadata.name.as_ref()).collect();
    for (index, name) in spec.peers.iter().enumerate().filter(|(_, name)| !names.contains(name)) {
        let message = format!("there is no BGPPeer `{name}`");
        findings.warning(format!("spec.peers[{index}]"), message, "check the name");
    }
}
