//! Objects that nothing refers to, which are most often half of a configuration.

use std::collections::BTreeSet;

use planner::facts::L2Advertisement;
use planner::facts::bgp::BgpAdvertisement;
use planner::names::{PeerName, PoolName};

use super::{Findings, Parsed};
use crate::source::object::{ObjectName, Objects};

/// Warns of them, once everything else is read.
pub(super) fn warn(objects: &Objects, parsed: &mut Parsed) {
    pools(objects, parsed);
    peers(objects, parsed);
    profiles(objects, parsed);
    communities(objects, parsed);
}

fn pools(objects: &Objects, parsed: &mut Parsed) {
    for object in &objects.pools {
        let name = PoolName(object.metadata.name.clone().unwrap_or_default());
        let facts = &parsed.facts;
        let Some(pool) = facts.pools.get(&name) else { continue };
        let l2 = facts.l2_advertisements.values().map(L2Advertisement::selection);
        let bgp = facts.bgp_advertisements.values().map(BgpAdvertisement::selection);
        if !l2.chain(bgp).any(|selection| selection.pool(&name, pool)) {
            let mut findings = Findings::about(ObjectName::of("IPAddressPool", &object.metadata));
            let message = "neither an L2Advertisement nor a BGPAdvertisement selects the pool, so \
                           its addresses are not announced";
            let help = "add an L2Advertisement or a BGPAdvertisement that names it";
            findings.warning("", message, help);
            findings.conclude((), parsed);
        }
    }
}

fn peers(objects: &Objects, parsed: &mut Parsed) {
    for object in &objects.bgp_peers {
        let name = PeerName(object.metadata.name.clone().unwrap_or_default());
        if !parsed.facts.peers.contains_key(&name) {
            continue;
        }
        let mut advertisements = parsed.facts.bgp_advertisements.values();
        if !advertisements.any(|fact| fact.peers.is_empty() || fact.peers.contains(&name)) {
            let mut findings = Findings::about(ObjectName::of("BGPPeer", &object.metadata));
            let message = "no BGPAdvertisement is for this peer, so it is told no routes";
            let help = "add a BGPAdvertisement, or name the peer in `spec.peers` of one";
            findings.warning("", message, help);
            findings.conclude((), parsed);
        }
    }
}

fn profiles(objects: &Objects, parsed: &mut Parsed) {
    let peers = objects.bgp_peers.iter();
    let used: BTreeSet<_> = peers.filter_map(|peer| peer.spec.bfd_profile.as_deref()).collect();
    for profile in &objects.bfd_profiles {
        if !used.contains(profile.metadata.name.as_deref().unwrap_or_default()) {
            let mut findings = Findings::about(ObjectName::of("BFDProfile", &profile.metadata));
            let help = "name it in `spec.bfdProfile` of a BGPPeer, or remove it";
            findings.warning("", "no BGPPeer uses the profile", help);
            findings.conclude((), parsed);
        }
    }
}

fn communities(objects: &Objects, parsed: &mut Parsed) {
    let advertisements = objects.bgp_advertisements.iter();
    let used: BTreeSet<_> =
        advertisements.flat_map(|advertisement| &advertisement.spec.communities).collect();
    for community in &objects.communities {
        let mut names = community.spec.communities.iter().filter_map(|alias| alias.name.as_ref());
        if !names.any(|name| used.contains(name)) {
            let mut findings = Findings::about(ObjectName::of("Community", &community.metadata));
            let help = "write one in `spec.communities` of a BGPAdvertisement, or remove them";
            findings.warning("", "no BGPAdvertisement uses any of its names", help);
            findings.conclude((), parsed);
        }
    }
}
