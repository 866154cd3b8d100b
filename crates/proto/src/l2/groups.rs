//! Which multicast groups an interface must be in to be asked for its addresses.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use super::ndp::solicited_node;

/// The groups of addresses, each with the number of addresses that need it: addresses that end
/// alike share one.
#[derive(Debug, Default)]
pub(super) struct Groups(BTreeMap<Ipv6Addr, u32>);

impl Groups {
    /// The group that is to be joined because of `address`, if it is IPv6 and the first there.
    pub(super) fn enter(&mut self, address: IpAddr) -> Option<Ipv6Addr> {
        let group = group(address)?;
        let count = self.0.entry(group).or_default();
        *count += 1;
        (*count == 1).then_some(group)
    }

    /// The group that may be left because `address` needs it no more, and no other does.
    pub(super) fn exit(&mut self, address: IpAddr) -> Option<Ipv6Addr> {
        let group = group(address)?;
        let count = self.0.get_mut(&group)?;
        *count -= 1;
        if *count > 0 {
            return None;
        }
        self.0.remove(&group);
        Some(group)
    }
}

fn group(address: IpAddr) -> Option<Ipv6Addr> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(solicited_node(address)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_joined_for_its_first_address_and_left_after_its_last() {
        let [one, like, other] = ["2001:db8::1:2", "fd00::1:2", "fd00::2:3"]
            .map(|address| address.parse::<IpAddr>().unwrap());
        let shared = "ff02::1:ff01:2".parse().ok();
        let mut groups = Groups::default();
        assert_eq!(groups.enter(one), shared);
        assert_eq!(groups.enter(like), None);
        assert_eq!(groups.enter(other), "ff02::1:ff02:3".parse().ok());
        assert_eq!(groups.enter("192.0.2.1".parse().unwrap()), None);
        assert_eq!(groups.exit(one), None);
        assert_eq!(groups.exit(like), shared);
        assert_eq!(groups.exit(like), None, "left once");
        assert_eq!(groups.enter(one), shared, "and joined again");
    }
}
