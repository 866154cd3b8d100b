//! Where a node is on the LAN, for the others to ask it there.

use std::net::IpAddr;

use planner::facts::Facts;
use planner::interfaces::Interfaces;
use planner::names::NodeName;
use proto::l2::Mac;
use proto::mesh::ownership::Link;

use super::fitness::is_usable;
use crate::net::interfaces::Interface;

/// The interfaces on which `node` announces. The others are told of a few of them, so the most
/// telling come first: those with the address by which the cluster knows the node, then those with
/// any address.
pub(super) fn of(interfaces: &[Interface], facts: &Facts, node: &NodeName) -> Vec<Link> {
    let wanted = Interfaces::new(facts.l2_advertisements.values().map(|one| &one.interfaces));
    let own = facts.nodes.get(node).map_or(&[][..], |node| &node.internal_ips);
    let usable = interfaces.iter().filter(|one| is_usable(one) && wanted.select_name(&one.name));
    let mut links: Vec<_> = usable.filter_map(|it| Some(link(it, it.mac?))).collect();
    links.sort_by_key(|link| {
        let has = |is_it: &dyn Fn(&IpAddr) -> bool| link.addresses.iter().any(is_it);
        (!has(&|at| own.contains(at)), !has(&|at| !is_link_local(*at)))
    });
    links
}

fn link(interface: &Interface, mac: Mac) -> Link {
    let addresses = interface.addresses.iter().map(|network| network.addr()).collect();
    Link { mac, addresses }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use planner::facts::{L2Advertisement, Node};
    use planner::interfaces::{InterfaceSelector, Subnet};

    use super::*;

    fn interface(index: u8, name: &str, addresses: &[&str]) -> Interface {
        Interface {
            index: index.into(),
            name: name.into(),
            mac: Some(Mac([2, 0, 0, 0, 0, index])),
            is_running: true,
            can_arp: true,
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn interfaces_are_told_in_the_order_of_what_they_say_of_the_node() {
        let interfaces = [
            interface(1, "veth0", &["fe80::1/64"]),
            interface(2, "eth1", &["198.51.100.1/24"]),
            interface(3, "eth0", &["192.0.2.11/24", "fd00::11/64"]),
            Interface { is_running: false, ..interface(4, "eth2", &["203.0.113.1/24"]) },
        ];
        // Interfaces that an advertisement names, and the links that are told of by the last octet.
        let rows: [(&str, &[&str], &[u8]); 3] = [
            ("all", &[], &[3, 2, 1]),
            ("one", &["eth1"], &[2]),
            ("one without carrier", &["eth2"], &[]),
        ];
        for (row, names, want) in rows {
            let advertisement = L2Advertisement {
                interfaces: InterfaceSelector::new(names.iter().copied(), Subnet::Any),
                ..L2Advertisement::default()
            };
            let node =
                Node { internal_ips: vec!["192.0.2.11".parse().unwrap()], ..Node::default() };
            let facts = Facts {
                l2_advertisements: [("all".into(), advertisement)].into(),
                nodes: [("a".into(), node)].into(),
                ..Facts::default()
            };
            let links = of(&interfaces, &facts, &"a".into());
            let got: Vec<_> = links.iter().map(|link| link.mac.0[5]).collect();
            assert_eq!(got, want, "{row}");
        }
    }
}
