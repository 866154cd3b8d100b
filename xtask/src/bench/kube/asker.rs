//! A client that wants to reach addresses, and so asks for them again and again.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use lab::Host;

/// Where all addresses are, on the LAN of the client.
const NETWORK: &str = "10.20.0.0/16";

/// How often the kernel asks for an address that does not answer; a second if nobody says so.
const EVERY_MILLIS: &str = "50";

/// How often there is something to send.
const PACE: Duration = Duration::from_millis(50);

/// How long `ip` may take.
const LIMIT: Duration = Duration::from_secs(10);

/// The discard port.
const PORT: u16 = 9;

/// A client for which the addresses are on its LAN.
pub(super) struct Asker(UdpSocket);

impl Asker {
    pub(super) fn new(client: &Host) -> Result<Self> {
        let mut command = Command::new("ip");
        command.args(["route", "replace", NETWORK, "dev", "eth0"]);
        let mut route = client.netns.spawn(&command)?;
        ensure!(route.wait(LIMIT)?.success(), "adding a route: {}", route.log());
        client.netns.sysctl("net/ipv4/neigh/eth0/retrans_time_ms", EVERY_MILLIS)?;
        let socket = client.netns.udp((Ipv4Addr::UNSPECIFIED, 0).into())?;
        socket.set_nonblocking(true)?;
        Ok(Self(socket))
    }

    /// Sends to these until it is over.
    pub(super) fn ask(&self, addresses: &BTreeSet<Ipv4Addr>, is_over: &AtomicBool) {
        while !is_over.load(Ordering::Relaxed) {
            for address in addresses {
                // What cannot be sent now is sent in the next round.
                let _ = self.0.send_to(&[], (*address, PORT));
            }
            thread::sleep(PACE);
        }
    }
}
