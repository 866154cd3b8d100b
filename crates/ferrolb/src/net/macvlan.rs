//! Interfaces that receive for an Ethernet address of their own: macvlans on an interface of the node.
//!
//! What we make is known by its name, which says what Ethernet address it has; so nothing of others
//! is ever deleted, and what a former life of this process left behind is found again.
//!
//! Nothing is written to `/proc/sys`, which containers may only read: `rtnetlink(7)` sets the same.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use futures_util::TryStreamExt as _;
use nix::net::if_::if_nametoindex;
use proto::l2::Mac;
use rtnetlink::packet_route::address::AddressScope;
use rtnetlink::packet_route::link::{
    AfSpecInet, AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InetDevConf, InfoKind, LinkAttribute,
    LinkFlags, LinkInfo, LinkMessage, MacVlanMode,
};
use rtnetlink::{Handle, LinkMacVlan, LinkUnspec};

/// What all names begin with; the Ethernet address in hexadecimal follows. 15 bytes are the most
/// that a name may have.
const PREFIX: &str = "flb";

/// Replies need not leave where packets came in, and they do not: they leave by the interface below.
/// The higher of this and the value for all interfaces counts, so loose (2) wins over strict (1).
const LOOSE: i32 = 2;

/// The kernel checks sources strictly, even if it should do so loosely, on an interface without an
/// address. This one stands for none (RFC 7600 section 4.8), and nobody sends to it.
const DUMMY: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 8);

/// The kernel is to answer ARP for no address on it (`arp_ignore`): it would answer for all of the
/// node's own.
const IGNORE_ALL: i32 = 8;

/// Questions of the kernel name only addresses of the interface that they leave by (`arp_announce`).
const BEST_LOCAL: i32 = 2;

/// A macvlan of ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Macvlan {
    /// Its number.
    pub index: u32,
    /// Its Ethernet address.
    pub mac: Mac,
    /// The interface that it is on.
    pub parent: u32,
    /// Whether it was set up: if not, its maker was killed meanwhile.
    pub is_up: bool,
}

/// The name of a macvlan of ours with this Ethernet address.
pub fn name(mac: Mac) -> String {
    let digits = mac.0.iter().map(|octet| format!("{octet:02x}"));
    digits.fold(PREFIX.to_owned(), |name, octet| name + &octet)
}

/// Makes a macvlan with the Ethernet address `mac` on `parent`, and sets it up. People see from its
/// alias that it is there for `address`.
///
/// # Errors
///
/// `PermissionDenied` without CAP_NET_ADMIN; `Unsupported` if the kernel has no macvlans;
/// `AddrInUse` if another macvlan there has the same address; or what else the kernel says.
pub async fn add(handle: &Handle, mac: Mac, parent: u32, address: IpAddr) -> io::Result<()> {
    let name = name(mac);
    // Those of one interface need not hear each other.
    let new = LinkMacVlan::new(&name, parent, MacVlanMode::Private).address(mac.0.to_vec());
    handle.link().add(new.build()).execute().await.map_err(into_io)?;
    let done = set_up(handle, &name, address).await;
    if done.is_err()
        && let Some(half) = list(handle).await?.into_iter().find(|one| one.mac == mac)
    {
        remove(handle, half.index).await?;
    }
    done
}

async fn set_up(handle: &Handle, name: &str, address: IpAddr) -> io::Result<()> {
    let mut sysctls = InetDevConf::default();
    sysctls.forwarding = 1;
    sysctls.rp_filter = LOOSE;
    sysctls.arp_ignore = IGNORE_ALL;
    sysctls.arp_announce = BEST_LOCAL;
    let settings = vec![
        AfSpecUnspec::Inet(vec![AfSpecInet::DevConfRequest(sysctls)]),
        // Without an address of its own it sends nothing by itself.
        AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)]),
    ];
    let change = LinkUnspec::new_with_name(name)
        .alias(format!("ferrolb: {address}"))
        .append_extra_attribute(LinkAttribute::AfSpecUnspec(settings));
    handle.link().set(change.build()).execute().await.map_err(into_io)?;
    let index = if_nametoindex(name)?;
    let mut dummy = handle.address().add(index, DUMMY.into(), 32);
    // So that the kernel never takes it for a source.
    dummy.message_mut().header.scope = AddressScope::Host;
    dummy.execute().await.map_err(into_io)?;
    // Only now: until then the kernel could answer.
    let up = LinkUnspec::new_with_name(name).up().build();
    handle.link().set(up).execute().await.map_err(into_io)
}

/// Removes a macvlan. One that is not there any more is no error.
///
/// # Errors
///
/// What the kernel says.
pub async fn remove(handle: &Handle, index: u32) -> io::Result<()> {
    match handle.link().del(index).execute().await.map_err(into_io) {
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
        result => result,
    }
}

/// Those of ours that there are.
///
/// # Errors
///
/// What the kernel says.
pub async fn list(handle: &Handle) -> io::Result<Vec<Macvlan>> {
    let links: Vec<_> =
        handle.link().get().execute().try_collect().await.map_err(io::Error::other)?;
    Ok(links.iter().filter_map(ours).collect())
}

fn ours(link: &LinkMessage) -> Option<Macvlan> {
    let (mut found, mut mac, mut parent, mut is_macvlan) = (None, None, None, false);
    for attribute in &link.attributes {
        if let LinkAttribute::IfName(text) = attribute {
            found = Some(text);
        } else if let LinkAttribute::Address(bytes) = attribute {
            mac = <[u8; 6]>::try_from(bytes.as_slice()).ok().map(Mac);
        } else if let LinkAttribute::Link(index) = attribute {
            parent = Some(*index);
        } else if let LinkAttribute::LinkInfo(infos) = attribute {
            is_macvlan = infos.contains(&LinkInfo::Kind(InfoKind::MacVlan));
        }
    }
    let mac = mac?;
    let is_ours = is_macvlan && *found? == name(mac);
    let is_up = link.header.flags.contains(LinkFlags::Up);
    is_ours.then_some(Macvlan { index: link.header.index, mac, parent: parent?, is_up })
}

fn into_io(error: rtnetlink::Error) -> io::Error {
    let rtnetlink::Error::NetlinkError(message) = &error else { return io::Error::other(error) };
    let error = message.to_io();
    match error.raw_os_error() {
        Some(libc::EOPNOTSUPP) => io::ErrorKind::Unsupported.into(),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_the_ethernet_address_and_is_not_too_long() {
        let name = name(Mac([2, 0, 0x5e, 0xab, 0, 0xff]));
        assert_eq!((name.as_str(), name.len()), ("flb02005eab00ff", 15));
    }
}
