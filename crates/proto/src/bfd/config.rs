//! What an operator chooses for a session.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU8;
use std::sync::Arc;

use super::auth::Key;
use super::packet::Interval;

/// Which path a session watches. There is one session for a path.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Path {
    /// The address of the peer.
    pub peer: IpAddr,
    /// Our address; `None` leaves it to the kernel.
    pub local: Option<IpAddr>,
    /// The interface or VRF that the path begins at; `None` leaves it to the kernel.
    pub device: Option<Arc<str>>,
    /// How far the peer is.
    pub hops: Hops,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.peer.fmt(f)?;
        match &self.device {
            Some(device) => write!(f, "%{device}"),
            None => Ok(()),
        }
    }
}

/// How far a peer is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Hops {
    /// On the same link, RFC 5881.
    Single,
    /// Behind routers, RFC 5883.
    Multi,
}

/// What an operator chooses for a session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// Packets in a row that may be lost before the peer declares us down.
    pub detect_multiplier: NonZeroU8,
    /// The fastest we want to send.
    pub desired_min_tx: Interval,
    /// The fastest we can receive.
    pub required_min_rx: Interval,
    /// The fastest we want to send echo packets, and loop those of the peer back. `None` does
    /// neither. Over one hop only.
    pub echo: Option<Interval>,
    /// Who speaks first.
    pub role: Role,
    /// The TTL that packets over several hops must at least have left.
    pub minimum_ttl: u8,
    /// What packets are authenticated with.
    pub key: Option<Key>,
}

impl Default for Config {
    /// Three packets of 300 ms each, as FRR has it.
    fn default() -> Self {
        Self {
            detect_multiplier: NonZeroU8::MIN.saturating_add(2),
            desired_min_tx: Interval::from_millis(300),
            required_min_rx: Interval::from_millis(300),
            echo: None,
            role: Role::Active,
            minimum_ttl: 254,
            key: None,
        }
    }
}

/// Who speaks first, RFC 5880 section 6.1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// We do.
    Active,
    /// We wait for the peer.
    Passive,
}
