//! How an address is answered for on one interface, and where the one with its own Ethernet address
//! is.
//!
//! An address with an Ethernet address of its own is answered for on the macvlan that has it, so that
//! answers and announcements also show switches where it is. A node that is about to lose it must
//! not send from it any more when the next one begins: it answers on its ordinary interfaces, as one
//! who stands in does.

use std::collections::BTreeMap;
use std::net::IpAddr;

use planner::interfaces::Interfaces;
use proto::l2::virtual_mac::virtual_mac;
use proto::l2::{Heard, Mac, Voice};

use super::Scope;
use crate::net::interfaces::Interface;
use crate::speaker::fitness::selected;
use crate::speaker::virtual_mac::Wanted;

/// What this node is to an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Part {
    /// Its holder.
    Holding,
    /// Its holder, until another node has it.
    Leaving,
    /// One who answers for the holder, which has this Ethernet address.
    For(Mac),
    /// Nothing.
    None,
}

/// What an interface is to an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// An ordinary one, on which it is announced.
    Announced,
    /// An ordinary one, on which it is not.
    Elsewhere,
    /// One that was made for this Ethernet address.
    Virtual(Mac),
}

/// How `address` is answered for on an interface; `None` for not at all.
pub(super) fn of(
    address: IpAddr,
    part: Part,
    has_virtual_mac: bool,
    place: Place,
) -> Option<Voice> {
    let own = virtual_mac(address);
    match (place, part) {
        (Place::Elsewhere, _) | (_, Part::None) => None,
        (Place::Announced, _) if has_virtual_mac => match part {
            Part::Leaving | Part::For(_) => Some(Voice::StandingInFor(own)),
            Part::Holding | Part::None => None,
        },
        (Place::Announced, Part::Holding | Part::Leaving) => Some(Voice::Own),
        (Place::Announced, Part::For(mac)) => Some(Voice::StandingInFor(mac)),
        (Place::Virtual(mac), Part::Holding) if has_virtual_mac && mac == own => Some(Voice::Own),
        (Place::Virtual(_), Part::Holding | Part::Leaving | Part::For(_)) => None,
    }
}

/// What was heard, as the mesh knows stations: by the Ethernet addresses of nodes. Who announces from
/// the address's own could be any of them, so that is no news; who answers there is who was asked.
pub(super) fn as_station(heard: Heard, asked: &BTreeMap<IpAddr, Mac>) -> Option<Heard> {
    match heard {
        Heard::Announcement { address, mac } if mac == virtual_mac(address) => None,
        Heard::Answer { address, mac } if mac == virtual_mac(address) => {
            asked.get(&address).map(|station| Heard::Answer { address, mac: *station })
        }
        Heard::Announcement { .. } | Heard::Answer { .. } | Heard::Question { .. } => Some(heard),
    }
}

/// On which interface the macvlan of each of these addresses is to be, as far as they have one: the
/// first with the subnet of the address, or else the first.
pub(super) fn parents<'a>(
    held: impl Iterator<Item = (IpAddr, &'a Scope)>,
    interfaces: &[Interface],
) -> Wanted {
    let own = held.filter(|(_, scope)| scope.announcing.has_virtual_mac);
    let parent = |(address, scope): (IpAddr, &Scope)| {
        Some((address, parent(address, &scope.interfaces, interfaces)?.index))
    };
    own.filter_map(parent).collect()
}

fn parent<'a>(
    address: IpAddr,
    wanted: &Interfaces,
    interfaces: &'a [Interface],
) -> Option<&'a Interface> {
    let has_subnet =
        |one: &&Interface| one.addresses.iter().any(|network| network.contains(&address));
    let mut with_subnet = selected(address, wanted, interfaces).filter(has_subnet);
    with_subnet.next().or_else(|| selected(address, wanted, interfaces).next())
}

#[cfg(test)]
mod tests {
    use planner::facts::lan::Announcing;

    use super::*;

    const HOLDER: Mac = Mac([2, 0, 0, 0, 0, 7]);

    fn address() -> IpAddr {
        "192.0.2.200".parse().unwrap()
    }

    #[test]
    fn who_has_an_ethernet_address_of_its_own_is_answered_for_with_no_other() {
        let (own, stand) = (virtual_mac(address()), Voice::StandingInFor);
        let other = Place::Virtual(virtual_mac("192.0.2.201".parse().unwrap()));
        let at = Place::Announced;
        // What is said without and with an address of its own.
        let rows = [
            (Part::Holding, at, Some(Voice::Own), None),
            (Part::Leaving, at, Some(Voice::Own), Some(stand(own))),
            (Part::For(HOLDER), at, Some(stand(HOLDER)), Some(stand(own))),
            (Part::None, at, None, None),
            (Part::Holding, Place::Virtual(own), None, Some(Voice::Own)),
            (Part::Leaving, Place::Virtual(own), None, None),
            (Part::For(HOLDER), Place::Virtual(own), None, None),
            (Part::Holding, other, None, None),
            (Part::Holding, Place::Elsewhere, None, None),
            (Part::For(HOLDER), Place::Elsewhere, None, None),
        ];
        for (part, place, without, with) in rows {
            let case = format!("{part:?} {place:?}");
            assert_eq!(of(address(), part, false, place), without, "{case}");
            assert_eq!(of(address(), part, true, place), with, "{case}");
        }
    }

    #[test]
    fn the_mesh_hears_of_stations_alone() {
        let (address, own) = (address(), virtual_mac(address()));
        let asked = BTreeMap::from([(address, HOLDER)]);
        let answer = |mac| Heard::Answer { address, mac };
        let announcement = |mac| Heard::Announcement { address, mac };
        assert_eq!(as_station(answer(own), &asked), Some(answer(HOLDER)));
        assert_eq!(as_station(answer(own), &BTreeMap::new()), None, "nobody was asked");
        assert_eq!(as_station(announcement(own), &asked), None);
        assert_eq!(as_station(announcement(HOLDER), &asked), Some(announcement(HOLDER)));
    }

    #[test]
    fn a_macvlan_is_on_the_interface_of_the_subnet() {
        let interface = |index, network: &str| Interface {
            index,
            name: format!("eth{index}"),
            mac: Some(Mac([2, 0, 0, 0, 1, 0])),
            is_running: true,
            can_arp: true,
            addresses: vec![network.parse().unwrap()],
        };
        let table = [interface(2, "198.51.100.1/24"), interface(3, "192.0.2.11/24")];
        let scope = |has_virtual_mac| Scope {
            interfaces: Interfaces::default(),
            announcing: Announcing { has_virtual_mac, ..Announcing::default() },
        };
        let (with, without) = (scope(true), scope(false));
        let other = "203.0.113.1".parse().unwrap();
        let held = [(address(), &with), (other, &with), ("192.0.2.9".parse().unwrap(), &without)];
        let want = Wanted::from([(address(), 3), (other, 2)]);
        assert_eq!(parents(held.into_iter(), &table), want);
    }
}
