//! What must hold for every node and router.

use proptest::prelude::*;

use super::*;
use crate::announce::build::{everything, external, internal};
use crate::announce::{distinct, plan};
use crate::build::{address, facts, pool, service};
use crate::facts::{Endpoint, Node};
use crate::names::ServiceName;

pub(in crate::announce) const NODES: [&str; 3] = ["a", "b", "c"];
pub(in crate::announce) const PEERS: [&str; 3] = ["tor-1", "tor-2", "tor-3"];
const TIERS: [&str; 2] = ["gold", "iron"];

proptest! {
    #[test]
    fn every_address_is_in_a_route_or_silent(facts in any_facts(), node in any_node()) {
        let plan = plan(&facts, &node);
        for (name, service) in &facts.services {
            for address in distinct(&service.addresses) {
                let silences: Vec<_> = plan
                    .silences
                    .iter()
                    .filter(|left| left.service == *name && left.address == Some(address))
                    .collect();
                if silences.iter().any(|left| left.peer.is_none()) {
                    prop_assert_eq!(silences.len(), 1, "{} is for all routers alike", silences[0]);
                    continue;
                }
                for (peer, routes) in &plan.peers {
                    let is_silent = silences.iter().any(|left| left.peer.as_ref() == Some(peer));
                    let is_told = routes.iter().any(|(prefix, route)| {
                        prefix.contains(&address) && route.services.contains(name)
                    });
                    // Both, if another address of the Service is in the same prefix.
                    prop_assert!(is_silent || is_told, "{} {} {}", name, address, peer);
                }
            }
        }
    }

    #[test]
    fn a_route_is_for_services_inside_it(facts in any_facts(), node in any_node()) {
        for (peer, routes) in plan(&facts, &node).peers {
            for (prefix, route) in routes {
                prop_assert_eq!(prefix, prefix.trunc(), "one prefix, written in one way");
                prop_assert!(!route.services.is_empty());
                for name in &route.services {
                    let mut addresses = facts.services[name].addresses.iter();
                    prop_assert!(addresses.any(|address| prefix.contains(address)));
                }
                let is_internal = facts.peers[&peer].remote_asn == RemoteAsn::Internal;
                prop_assert!(route.local_pref.is_none() || is_internal);
            }
        }
    }

    #[test]
    fn a_node_tells_those_peers_that_select_it(facts in any_facts(), node in any_node()) {
        let selecting = facts.peers.iter().filter(|(_, peer)| {
            matches_any(&peer.node_selectors, &facts.nodes[&node].labels)
        });
        let selecting: Vec<_> = selecting.map(|(name, _)| name.clone()).collect();
        let plan = plan(&facts, &node);
        prop_assert_eq!(plan.peers.keys().cloned().collect::<Vec<_>>(), selecting);
        if plan.peers.is_empty() {
            let mut silences = plan.silences.iter();
            prop_assert!(silences.all(|left| left.protocol == Protocol::Bgp));
            prop_assert!(plan.silences.len() >= facts.services.len());
        }
    }

    #[test]
    fn routes_do_not_depend_on_the_order_of_anything(facts in any_facts(), node in any_node()) {
        let mut reversed = facts.clone();
        reversed.services.values_mut().for_each(|service| service.addresses.reverse());
        reversed.endpoints.values_mut().for_each(|endpoints| endpoints.reverse());
        reversed.pools.values_mut().for_each(|pool| pool.ranges.reverse());
        prop_assert_eq!(plan(&reversed, &node), plan(&facts, &node));
    }

    #[test]
    fn a_service_that_goes_away_takes_only_its_own_routes(
        facts in any_facts(),
        node in any_node(),
    ) {
        let before = plan(&facts, &node);
        for name in facts.services.keys() {
            let mut rest = facts.clone();
            rest.services.remove(name);
            let after = plan(&rest, &node);
            for (peer, routes) in &before.peers {
                let mut want: BTreeMap<_, _> = routes
                    .iter()
                    .map(|(prefix, route)| (*prefix, route.services.clone()))
                    .collect();
                want.values_mut().for_each(|services| { services.remove(name); });
                want.retain(|_, services| !services.is_empty());
                let found = after.peers[peer].iter();
                let found: BTreeMap<_, _> =
                    found.map(|(prefix, route)| (*prefix, route.services.clone())).collect();
                prop_assert_eq!(found, want);
            }
        }
    }
}

pub(in crate::announce) fn any_node() -> impl Strategy<Value = NodeName> {
    prop::sample::select(NODES.to_vec()).prop_map(NodeName::from)
}

/// Services that share a few prefixes, nodes in any condition, peers and advertisements of some.
pub(in crate::announce) fn any_facts() -> impl Strategy<Value = Facts> {
    let services = prop::collection::vec(any_service(), 1..5);
    let nodes = prop::array::uniform3(prop::array::uniform2(prop::bool::weighted(0.2)));
    let peers = prop::collection::vec(any_peer(), 1..=PEERS.len());
    let ads = prop::collection::vec(any_advertisement(), 0..4);
    (services, nodes, peers, ads).prop_map(|(services, nodes, peers, ads)| {
        let pools = [("main", pool(["192.0.2.0/24", "fc00::/120"])), ("x", pool(["10.0.0.0/24"]))];
        let mut facts = facts([], pools);
        for (index, (service, endpoints)) in services.into_iter().enumerate() {
            let name = ServiceName::new("shop", format!("s{index}"));
            facts.endpoints.insert(name.clone(), endpoints);
            facts.services.insert(name, service);
        }
        for (name, [is_excluded, is_network_unavailable]) in NODES.into_iter().zip(nodes) {
            let labels = [("name".to_owned(), name.to_owned())].into();
            let node = Node { labels, is_excluded, is_network_unavailable, ..Node::default() };
            facts = facts.with_node(name, node);
        }
        for (name, peer) in PEERS.into_iter().zip(peers) {
            facts = facts.peer(name, peer);
        }
        for (index, ad) in ads.into_iter().enumerate() {
            facts = facts.told(&format!("ad{index}"), ad);
        }
        facts
    })
}

pub(in crate::announce) fn any_service() -> impl Strategy<Value = (Service, Vec<Endpoint>)> {
    let known = ["192.0.2.1", "192.0.2.2", "192.0.2.99", "fc00::1", "10.0.0.1", "10.1.0.0"];
    let addresses = prop::sample::subsequence(known.map(address).to_vec(), 0..3);
    let endpoint = (any_node(), prop::bool::weighted(0.8), prop::bool::weighted(0.9));
    let endpoints = prop::collection::vec(endpoint, 0..4);
    let tier = prop::sample::select(TIERS.to_vec());
    (addresses, any::<bool>(), endpoints, tier).prop_map(|(addresses, is_local, ends, tier)| {
        let mut service = service("shop/s").labels([("tier", tier)]).service;
        service.addresses = addresses;
        if is_local {
            service.traffic_policy = TrafficPolicy::Local;
        }
        let endpoint = |(node, is_healthy, has_address)| Endpoint {
            node: Some(node),
            is_healthy,
            has_address,
        };
        (service, ends.into_iter().map(endpoint).collect())
    })
}

pub(in crate::announce) fn any_peer() -> impl Strategy<Value = Peer> {
    let nodes = prop::sample::subsequence(NODES.to_vec(), 0..3);
    (nodes, any::<bool>(), any::<bool>()).prop_map(|(nodes, is_internal, is_dual_stack)| {
        let node_selectors = nodes.into_iter().flat_map(|name| crate::build::on([name])).collect();
        let peer = if is_internal { internal() } else { external() };
        Peer { node_selectors, is_dual_stack, ..peer }
    })
}

pub(in crate::announce) fn any_advertisement() -> impl Strategy<Value = BgpAdvertisement> {
    let nodes = prop::sample::subsequence(NODES.to_vec(), 0..3);
    let peers = prop::sample::subsequence(PEERS.to_vec(), 0..3);
    let lengths = prop::sample::select(vec![(32, 128), (24, 120), (26, 128)]);
    let tier = prop::option::of(prop::sample::select(TIERS.to_vec()));
    let local_pref = prop::option::weighted(0.3, 100..102_u32);
    (nodes, peers, lengths, tier, local_pref, 0..4_u32).prop_map(
        |(nodes, peers, (v4, v6), tier, local_pref, tag)| {
            let ad = everything().aggregated(v4, v6).tagged([(65000, tag)]);
            let ad = tier.map_or_else(|| ad.clone(), |tier| ad.clone().for_tier(tier));
            BgpAdvertisement {
                node_selectors: nodes
                    .into_iter()
                    .flat_map(|name| crate::build::on([name]))
                    .collect(),
                peers: peers.into_iter().map(PeerName::from).collect(),
                local_pref,
                ..ad
            }
        },
    )
}
