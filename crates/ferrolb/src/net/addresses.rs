//! Addresses of the interface that a connection leaves by.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;

/// The addresses of one interface.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Addresses(Vec<IpNet>);

impl Addresses {
    /// Those of the interface that has `local`; none if no interface has it.
    ///
    /// # Errors
    ///
    /// When the kernel does not list them.
    pub fn beside(local: IpAddr) -> io::Result<Self> {
        let mut named: Vec<(String, IpNet)> = Vec::new();
        for one in getifaddrs()? {
            let address = one.address.as_ref().and_then(ip);
            let mask = one.netmask.as_ref().and_then(ip);
            if let Some((address, mask)) = address.zip(mask)
                && let Ok(net) = IpNet::with_netmask(address, mask)
            {
                named.push((one.interface_name, net));
            }
        }
        let Some((interface, _)) = named.iter().find(|(_, net)| net.addr() == local) else {
            return Ok(Self::default());
        };
        let same = named.iter().filter(|(name, _)| name == interface);
        Ok(Self(same.map(|(_, net)| *net).collect()))
    }

    /// The first IPv4 address.
    pub fn ipv4(&self) -> Option<Ipv4Addr> {
        self.all().find_map(|address| match address {
            IpAddr::V4(v4) => Some(v4),
            IpAddr::V6(_) => None,
        })
    }

    /// The first IPv6 address that is good beyond the link.
    pub fn ipv6(&self) -> Option<Ipv6Addr> {
        self.v6().find(|v6| !v6.is_unicast_link_local())
    }

    /// The first IPv6 address that is good on the link only.
    pub fn link_local(&self) -> Option<Ipv6Addr> {
        self.v6().find(Ipv6Addr::is_unicast_link_local)
    }

    /// Whether `address` is on the link.
    pub fn reach(&self, address: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(&address))
    }

    fn all(&self) -> impl Iterator<Item = IpAddr> {
        self.0.iter().map(IpNet::addr)
    }

    fn v6(&self) -> impl Iterator<Item = Ipv6Addr> {
        self.all().filter_map(|address| match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(v6) => Some(v6),
        })
    }
}

/// The address in a socket address, if it has one.
pub(super) fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_has_both_families() {
        let addresses = Addresses::beside(Ipv4Addr::LOCALHOST.into()).unwrap();
        assert_eq!(addresses.ipv4(), Some(Ipv4Addr::LOCALHOST));
        assert!(addresses.reach([127, 1, 2, 3].into()));
        assert!(!addresses.reach([192, 0, 2, 1].into()));
        let nowhere = Addresses::beside([192, 0, 2, 77].into()).unwrap();
        assert_eq!(nowhere, Addresses::default());
    }
}
