//! The table of network interfaces, kept fresh by netlink.

mod changes;

use std::io;
use std::time::Duration;

use futures_util::TryStreamExt;
use ipnet::IpNet;
use proto::l2::Mac;
use rtnetlink::Handle;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage};
use tokio::sync::watch;
use tokio::time;

use super::clock::Clock;
use super::macvlan;
use changes::{Changes, News};

/// What ARP and NDP need to know of one interface.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Interface {
    /// Number of the interface in the kernel.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its Ethernet address.
    pub mac: Option<Mac>,
    /// Up and with carrier.
    pub is_running: bool,
    /// Up, Ethernet, able to broadcast, and no port of a bridge, bond or VRF.
    pub can_arp: bool,
    /// Its addresses that may be used, with the lengths of their prefixes, in order.
    pub addresses: Vec<IpNet>,
}

impl Interface {
    /// Whether we made it, to receive for the Ethernet address of one address alone.
    pub fn is_virtual_mac(&self) -> bool {
        self.mac.is_some_and(|mac| self.name == macvlan::name(mac))
    }
}

/// Changes that come together, such as a link that appears, gets its address and goes up, are read
/// as one.
const SETTLE: Duration = Duration::from_millis(2);

/// Between two readings the task rests for so many times what one took, so that a node where pods
/// come and go all the time spends no more than a fifth of a processor on it ..
const REST: u32 = 4;

/// .. but not for longer than this.
const LONGEST_REST: Duration = Duration::from_millis(50);

/// How long to wait after a failure.
const RETRY: Duration = Duration::from_secs(1);

/// Reads the table of interfaces, and again after each change.
///
/// # Errors
///
/// When netlink cannot be opened or read at all. Later failures are logged, and it is tried again.
pub async fn watch() -> io::Result<watch::Receiver<Vec<Interface>>> {
    // Before the first reading, so that no change falls between them.
    let changes = Changes::open()?;
    let handle = connect()?;
    let (sender, receiver) = watch::channel(list(&handle).await?);
    tokio::spawn(async move {
        let mut end = follow(changes, handle, &sender).await;
        while let Err(error) = end {
            tracing::error!(%error, "following the network interfaces failed; trying again");
            time::sleep(RETRY).await;
            end = follow_anew(&sender).await;
        }
    });
    Ok(receiver)
}

async fn follow_anew(sender: &watch::Sender<Vec<Interface>>) -> io::Result<()> {
    let changes = Changes::open()?;
    let handle = connect()?;
    replace(sender, list(&handle).await?);
    follow(changes, handle, sender).await
}

/// Reads the table after each change until nobody wants to know any more.
///
/// # Errors
///
/// What the kernel says.
async fn follow(
    changes: Changes,
    handle: Handle,
    sender: &watch::Sender<Vec<Interface>>,
) -> io::Result<()> {
    let clock = Clock::start();
    let mut rest = SETTLE;
    loop {
        let news = tokio::select! {
            () = sender.closed() => return Ok(()),
            news = changes.next() => news?,
        };
        time::sleep(rest).await;
        let since = clock.now();
        if [news, changes.clear()?].contains(&News::Overrun) {
            tracing::info!("network interfaces change faster than they are read; reading all anew");
        }
        replace(sender, list(&handle).await?);
        rest = (REST * (clock.now() - since)).clamp(SETTLE, LONGEST_REST);
    }
}

fn replace(sender: &watch::Sender<Vec<Interface>>, table: Vec<Interface>) {
    sender.send_if_modified(|current| {
        let is_new = *current != table;
        *current = table;
        is_new
    });
}

fn connect() -> io::Result<Handle> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    tokio::spawn(connection);
    Ok(handle)
}

async fn list(handle: &Handle) -> io::Result<Vec<Interface>> {
    let links = handle.link().get().execute();
    let mut table: Vec<_> =
        links.map_ok(|link| interface(&link)).try_collect().await.map_err(io::Error::other)?;
    table.sort_by_key(|interface: &Interface| interface.index);
    let mut addresses = handle.address().get().execute();
    while let Some(message) = addresses.try_next().await.map_err(io::Error::other)? {
        let interface = table.iter_mut().find(|one| one.index == message.header.index);
        if let (Some(interface), Some(address)) = (interface, address(&message)) {
            interface.addresses.push(address);
        }
    }
    for interface in &mut table {
        interface.addresses.sort_unstable();
    }
    Ok(table)
}

/// `None` for one that is not usable yet, or not any more.
fn address(message: &AddressMessage) -> Option<IpNet> {
    let unusable = AddressFlags::Tentative | AddressFlags::Dadfailed;
    let (mut local, mut peer) = (None, None);
    for attribute in &message.attributes {
        if let AddressAttribute::Local(address) = attribute {
            local = Some(*address);
        } else if let AddressAttribute::Address(address) = attribute {
            // IPv6 has its own address here, and IPv4 that of the other end.
            peer = Some(*address);
        } else if let AddressAttribute::Flags(flags) = attribute
            && flags.intersects(unusable)
        {
            return None;
        }
    }
    IpNet::new(local.or(peer)?, message.header.prefix_len).ok()
}

fn interface(link: &LinkMessage) -> Interface {
    let flags = link.header.flags;
    let mut name = String::new();
    let mut mac = None;
    let mut is_enslaved = false;
    for attribute in &link.attributes {
        if let LinkAttribute::IfName(text) = attribute {
            name.clone_from(text);
        } else if let LinkAttribute::Address(bytes) = attribute {
            mac = <[u8; 6]>::try_from(bytes.as_slice()).ok().map(Mac);
        } else if let LinkAttribute::Controller(_) = attribute {
            is_enslaved = true;
        }
    }
    let is_ethernet = link.header.link_layer_type == LinkLayerType::Ether;
    let can_broadcast = flags.contains(LinkFlags::Broadcast) && !flags.contains(LinkFlags::Noarp);
    Interface {
        index: link.header.index,
        name,
        mac,
        is_running: flags.contains(LinkFlags::Up) && flags.contains(LinkFlags::LowerUp),
        can_arp: flags.contains(LinkFlags::Up) && is_ethernet && can_broadcast && !is_enslaved,
        addresses: Vec::new(),
    }
}
