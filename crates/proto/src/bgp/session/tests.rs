//! The state machine, sentence by sentence.

use super::*;
use crate::bgp::Family;
use std::net::Ipv4Addr;

/// Speaker 1 has the lowest identifier.
pub(in crate::bgp) fn config(local_as: u32, number: u8) -> Config {
    Config {
        local_as,
        remote_as: RemoteAs::External,
        identifier: Ipv4Addr::new(192, 0, 2, number),
        hold_time: 90,
        keepalive: None,
        connect_retry: Duration::from_secs(60),
        openings: Openings::Both,
        delay_open: None,
        families: Family::ALL.into(),
        multiprotocol: Multiprotocol::Offered,
        ipv6_next_hop: [Family::Ipv4].into(),
        graceful_restart: None,
        host_name: None,
    }
}
