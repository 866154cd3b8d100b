//! What a host's kernel believes about its neighbours: the ARP and NDP cache.

use std::net::IpAddr;

use anyhow::{Context as _, Result};
use futures_util::TryStreamExt as _;
use rtnetlink::Handle;
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};

use crate::mac::Mac;
use crate::topology::Host;

impl Host {
    /// Where the host's kernel sends frames for `address`, and how sure it is. `None` when it
    /// knows no Ethernet address.
    pub fn neighbour(&self, address: IpAddr) -> Result<Option<(Mac, NeighbourState)>> {
        let entries = self.entries(address)?;
        Ok(entries.iter().find_map(|entry| Some((mac(entry)?, entry.header.state))))
    }

    /// Makes the host's kernel forget `address`, so that it asks again.
    pub fn forget_neighbour(&self, address: IpAddr) -> Result<()> {
        let entries = self.entries(address)?;
        self.netns.netlink(async move |handle: Handle| {
            for entry in entries {
                let deleted = handle.neighbours().del(entry).execute().await;
                deleted.with_context(|| format!("deleting neighbour `{address}`"))?;
            }
            Ok(())
        })
    }

    fn entries(&self, address: IpAddr) -> Result<Vec<NeighbourMessage>> {
        let all: Vec<NeighbourMessage> = self.netns.netlink(async |handle: Handle| {
            let entries = handle.neighbours().get().execute();
            entries.try_collect().await.context("listing neighbours")
        })?;
        let address = NeighbourAttribute::Destination(match address {
            IpAddr::V4(address) => NeighbourAddress::Inet(address),
            IpAddr::V6(address) => NeighbourAddress::Inet6(address),
        });
        Ok(all.into_iter().filter(|entry| entry.attributes.contains(&address)).collect())
    }
}

fn mac(entry: &NeighbourMessage) -> Option<Mac> {
    entry.attributes.iter().find_map(|attribute| {
        let NeighbourAttribute::LinkLayerAddress(bytes) = attribute else { return None };
        bytes.as_slice().try_into().ok().map(Mac)
    })
}
