//! Who says ARP what, as the switch sees it.
//!
//! A packet socket in the switch's namespace sees each frame as it comes in at a port, and again
//! as it leaves at others. The first makes an entry; the second marks it as delivered, which it is
//! not when the sender is cut off. The decoder shares nothing with the product.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::net::if_::if_nametoindex;
use nix::sys::socket::sockopt::{RcvBuf, RcvBufForce};
use nix::sys::socket::{
    AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, setsockopt, socket,
};

use crate::mac::Mac;
use crate::stamp;
use crate::topology::Lan;
use crate::worker::{Wanted, Worker};

/// The capture keeps this many frames and then ignores the rest.
pub const MAX_FRAMES: usize = 1_000_000;

/// For frames that wait to be looked at, in bytes.
const BUFFER: usize = 64 << 20;

/// How far back the entry of a frame that leaves may be: a few ports' worth.
const LOOK_BACK: usize = 64;

/// The mark of a frame that leaves, in `linux/if_packet.h`.
const PACKET_OUTGOING: u8 = 4;

/// What an ARP packet is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArpKind {
    /// Sender and target are the same address: "I am here", as a request or as a reply.
    Announcement,
    /// A request without a sender's address: "is anybody this?" (RFC 5227 section 1.1).
    Probe,
    /// A reply.
    Reply,
    /// A request.
    Request,
}

/// An ARP packet that came in at a port of the switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenArp {
    /// When the switch had it.
    pub at: Instant,
    /// The name of the host behind the port.
    pub port: String,
    /// What it is for.
    pub kind: ArpKind,
    /// The Ethernet destination.
    pub destination: Mac,
    /// The Ethernet source. It differs from `sender_mac` when a host answers for another.
    pub source: Mac,
    /// Where frames for `sender_ip` shall go.
    pub sender_mac: Mac,
    /// The address spoken for, or the asker's.
    pub sender_ip: Ipv4Addr,
    /// The asker, in a reply.
    pub target_mac: Mac,
    /// The address asked for, or the asker's in a reply.
    pub target_ip: Ipv4Addr,
    /// Whether the switch passed it on. A frame that came from a crashed host, or that was meant
    /// for one, has gone nowhere.
    pub delivered: bool,
}

/// A running capture. It stops on drop.
#[derive(Debug)]
pub struct Capture {
    seen: Arc<Mutex<Vec<SeenArp>>>,
    _worker: Worker,
}

impl Capture {
    /// Starts to listen at all ports of the switch.
    pub fn start(lan: &Lan) -> Result<Self> {
        let names: Vec<_> = lan.hosts().map(|host| host.name.clone()).collect();
        let opened = lan.switch.run(move || -> Result<_> {
            // All protocols: a frame at a bridge's port is taken by the bridge before those who
            // ask for one protocol get it.
            let flags = SockFlag::SOCK_CLOEXEC;
            let socket = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)?;
            let port = |name: String| Ok((usize::try_from(if_nametoindex(name.as_str())?)?, name));
            let ports = names.into_iter().map(port).collect::<Result<BTreeMap<_, _>>>()?;
            Ok((socket, ports))
        });
        let (socket, ports) = opened.context("opening a packet socket at the switch")?;
        stamp::prepare(&socket).context("asking for time stamps")?;
        // Thousands of addresses may be announced at once. The kernel gives what it allows.
        setsockopt(&socket, RcvBuf, &BUFFER).context("asking for a large buffer")?;
        // Only the machine's administrator gets all of it.
        let _ = setsockopt(&socket, RcvBufForce, &BUFFER);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&seen);
        let work = move |wanted: Wanted| listen(&socket, &ports, &notes, &wanted);
        Ok(Self { seen, _worker: Worker::start("capture", work)? })
    }

    /// All that was seen so far, in order.
    #[must_use]
    pub fn seen(&self) -> Vec<SeenArp> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All that was seen after the first `count`, in order.
    #[must_use]
    pub fn seen_after(&self, count: usize) -> Vec<SeenArp> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(count..).unwrap_or_default().to_vec()
    }

    /// The Ethernet address in the last delivered reply or announcement for `address`.
    #[must_use]
    pub fn who_answers(&self, address: Ipv4Addr) -> Option<Mac> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let speaks = |arp: &&SeenArp| arp.delivered && arp.sender_ip == address && arp.is_claim();
        seen.iter().rev().find(speaks).map(|arp| arp.sender_mac)
    }

    /// Waits for a packet like that, from the start of the capture on.
    pub fn wait_for(
        &self,
        limit: Duration,
        is_wanted: impl Fn(&SeenArp) -> bool,
    ) -> Result<SeenArp> {
        let until = Instant::now() + limit;
        let mut looked_at = 0;
        loop {
            // There may be very many, and only the last ones can still come to be delivered.
            let found = {
                let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                let new = seen.get(looked_at..).unwrap_or_default();
                looked_at = seen.len().saturating_sub(LOOK_BACK);
                new.iter().find(|arp| is_wanted(arp)).cloned()
            };
            if let Some(found) = found {
                return Ok(found);
            }
            if Instant::now() > until {
                bail!("no such ARP packet within {limit:?}, but {:#?}", self.seen());
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl SeenArp {
    /// Whether it tells others where `sender_ip` is. A request does so too, but only to learn.
    #[must_use]
    pub fn is_claim(&self) -> bool {
        match self.kind {
            ArpKind::Announcement | ArpKind::Reply => true,
            ArpKind::Probe | ArpKind::Request => false,
        }
    }

    /// Whether two entries are one frame, at different ports.
    fn is_same_frame(&self, other: &Self) -> bool {
        let own = |arp: &Self| (arp.kind, arp.destination, arp.source, arp.target_mac);
        own(self) == own(other)
            && (self.sender_mac, self.sender_ip, self.target_ip)
                == (other.sender_mac, other.sender_ip, other.target_ip)
    }
}

fn listen(
    socket: &OwnedFd,
    ports: &BTreeMap<usize, String>,
    seen: &Mutex<Vec<SeenArp>>,
    wanted: &Wanted,
) {
    let mut buffer = [0; ARP_FRAME];
    while wanted.still() {
        let Ok(Some(frame)) = stamp::receive::<LinkAddr>(socket, &mut buffer) else { continue };
        let Some(link) = frame.from else { continue };
        // The bridge's own interface shows broadcasts once more: it is no port.
        let Some(port) = ports.get(&link.ifindex()) else { continue };
        let Some(arp) = decode(&buffer[..frame.length], port, frame.at) else { continue };
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        if link.pkttype() == PACKET_OUTGOING {
            let recent = seen.iter_mut().rev().take(LOOK_BACK);
            if let Some(entry) = recent.into_iter().find(|entry| entry.is_same_frame(&arp)) {
                entry.delivered = true;
            }
        } else if seen.len() < MAX_FRAMES {
            seen.push(arp);
        }
    }
}

/// Ethernet header and ARP packet for IPv4; padding is not looked at.
const ARP_FRAME: usize = 42;

/// Ethernet type ARP, hardware Ethernet, protocol IPv4, and the lengths of their addresses.
const ARP_FOR_IPV4: [u8; 8] = [0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4];

/// `None` for what is not ARP for IPv4 over Ethernet.
fn decode(frame: &[u8], port: &str, at: Instant) -> Option<SeenArp> {
    let (destination, rest) = frame.split_first_chunk()?;
    let (source, rest) = rest.split_first_chunk()?;
    let rest = rest.strip_prefix(&ARP_FOR_IPV4)?;
    let (operation, rest) = rest.split_first_chunk::<2>()?;
    let (sender_mac, rest) = rest.split_first_chunk()?;
    let (sender_ip, rest) = rest.split_first_chunk::<4>()?;
    let (target_mac, rest) = rest.split_first_chunk()?;
    let target_ip = Ipv4Addr::from(*rest.first_chunk::<4>()?);
    let sender_ip = Ipv4Addr::from(*sender_ip);
    let kind = match operation {
        [0, 1 | 2] if sender_ip == target_ip => ArpKind::Announcement,
        [0, 1] if sender_ip.is_unspecified() => ArpKind::Probe,
        [0, 1] => ArpKind::Request,
        [0, 2] => ArpKind::Reply,
        _ => return None,
    };
    Some(SeenArp {
        at,
        port: port.to_owned(),
        kind,
        destination: Mac(*destination),
        source: Mac(*source),
        sender_mac: Mac(*sender_mac),
        sender_ip,
        target_mac: Mac(*target_mac),
        target_ip,
        delivered: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rustfmt::skip]
    const REPLY: [u8; ARP_FRAME] = [
        2, 0, 0, 0, 0, 9,               // to the asker
        2, 0, 0, 0, 0, 1,               // from the one who answers
        0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4,
        0, 2,                           // reply
        2, 0, 0, 0, 0, 1, 192, 0, 2, 200,
        2, 0, 0, 0, 0, 9, 192, 0, 2, 100,
    ];

    #[test]
    fn a_frame_is_decoded_by_what_it_is_for() {
        let kind = |changes: &[(usize, u8)]| {
            let mut frame = REPLY;
            for (at, octet) in changes {
                frame[*at] = *octet;
            }
            decode(&frame, "node-a", Instant::now()).map(|arp| arp.kind)
        };
        let rows = [
            ("a reply", [].as_slice(), Some(ArpKind::Reply)),
            ("a request", &[(21, 1)], Some(ArpKind::Request)),
            ("a reply about oneself", &[(41, 200)], Some(ArpKind::Announcement)),
            ("a request about oneself", &[(21, 1), (41, 200)], Some(ArpKind::Announcement)),
            ("no sender", &[(21, 1), (28, 0), (30, 0), (31, 0)], Some(ArpKind::Probe)),
            ("another operation", &[(21, 3)], None),
            ("IPv4", &[(13, 0)], None),
        ];
        for (name, changes, want) in rows {
            assert_eq!(kind(changes), want, "{name}");
        }
        assert_eq!(decode(&REPLY[..41], "node-a", Instant::now()), None, "too short");
    }

    #[test]
    fn addresses_are_read_from_their_places() {
        let arp = decode(&REPLY, "node-a", Instant::now()).unwrap();
        let (asker, holder) = (Mac([2, 0, 0, 0, 0, 9]), Mac([2, 0, 0, 0, 0, 1]));
        assert_eq!((arp.destination, arp.source), (asker, holder));
        assert_eq!((arp.sender_mac, arp.sender_ip), (holder, Ipv4Addr::new(192, 0, 2, 200)));
        assert_eq!((arp.target_mac, arp.target_ip), (asker, Ipv4Addr::new(192, 0, 2, 100)));
    }
}
