//! The default gateways of this host, kept fresh by netlink.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use rtnetlink::{Handle, MulticastGroup, RouteMessageBuilder};
use tokio::sync::watch;
use tokio::time;

/// Routes may change by the thousand, as those to pods do, and all of them are read each time.
const SETTLE: Duration = Duration::from_secs(1);

/// Reads which gateways there are, and again after routes have changed.
///
/// # Errors
///
/// When netlink cannot be opened or read at all. Later failures end the updates, with a log line.
pub async fn watch() -> io::Result<watch::Receiver<BTreeSet<IpAddr>>> {
    let groups = [MulticastGroup::Ipv4Route, MulticastGroup::Ipv6Route];
    let (connection, handle, mut messages) = rtnetlink::new_multicast_connection(&groups)?;
    tokio::spawn(connection);
    let (sender, receiver) = watch::channel(list(&handle).await?);
    tokio::spawn(async move {
        while messages.next().await.is_some() {
            time::sleep(SETTLE).await;
            while let Some(Some(_)) = futures_util::FutureExt::now_or_never(messages.next()) {}
            match list(&handle).await {
                Ok(gateways) => {
                    sender.send_if_modified(|current| {
                        let is_new = *current != gateways;
                        *current = gateways;
                        is_new
                    });
                }
                Err(error) => tracing::error!(%error, "listing routes failed"),
            }
            if sender.is_closed() {
                return;
            }
        }
        tracing::error!("netlink closed: changes of routes are no longer seen");
    });
    Ok(receiver)
}

async fn list(handle: &Handle) -> io::Result<BTreeSet<IpAddr>> {
    let families = [
        RouteMessageBuilder::<Ipv4Addr>::new().build(),
        RouteMessageBuilder::<Ipv6Addr>::new().build(),
    ];
    let mut gateways = BTreeSet::new();
    for family in families {
        let mut routes = handle.route().get(family).execute();
        while let Some(route) = routes.try_next().await.map_err(io::Error::other)? {
            gateways.extend(of(&route));
        }
    }
    Ok(gateways)
}

/// The gateways of a default route; none of any other.
fn of(route: &RouteMessage) -> Vec<IpAddr> {
    if route.header.destination_prefix_length != 0 {
        return Vec::new();
    }
    let mut gateways: Vec<_> = route.attributes.iter().filter_map(gateway).collect();
    for attribute in &route.attributes {
        if let RouteAttribute::MultiPath(hops) = attribute {
            gateways.extend(hops.iter().flat_map(|hop| hop.attributes.iter().filter_map(gateway)));
        }
    }
    gateways
}

fn gateway(attribute: &RouteAttribute) -> Option<IpAddr> {
    let RouteAttribute::Gateway(address) = attribute else { return None };
    if let RouteAddress::Inet(address) = address {
        Some(IpAddr::V4(*address))
    } else if let RouteAddress::Inet6(address) = address {
        Some(IpAddr::V6(*address))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_default_routes_have_gateways_that_count() {
        let near = "192.0.2.1".parse().unwrap();
        let default = RouteMessageBuilder::<Ipv4Addr>::new().gateway(near).build();
        assert_eq!(of(&default), [IpAddr::V4(near)]);
        let network = "198.51.100.0".parse().unwrap();
        let other = RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(network, 24);
        assert_eq!(of(&other.gateway(near).build()), Vec::<IpAddr>::new());
    }
}
