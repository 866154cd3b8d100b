//! What an operator chooses for a session.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::super::Family;

/// What an operator chooses for a session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// Our AS on this session; not 0.
    pub local_as: u32,
    /// Which AS the peer may be in.
    pub remote_as: RemoteAs,
    /// Our BGP Identifier; not 0.0.0.0.
    pub identifier: Ipv4Addr,
    /// Seconds after which a silent peer is given up; 0, or at least 3.
    pub hold_time: u16,
    /// How often we give a sign of life; `None`, or more than a third of the hold time that was
    /// agreed on, is a third of it.
    pub keepalive: Option<Duration>,
    /// The longest time between two attempts to connect, and that one may take.
    pub connect_retry: Duration,
    /// Who connects to whom.
    pub openings: Openings,
    /// How long to wait for the peer's OPEN before we send ours (RFC 4271 section 8.1.1,
    /// DelayOpenTime); `None` does not wait.
    pub delay_open: Option<Duration>,
    /// The families of our routes; at least one.
    pub families: BTreeSet<Family>,
    /// Whether families are negotiated.
    pub multiprotocol: Multiprotocol,
    /// Families whose routes may have IPv6 next hops where that is not usual (RFC 8950): IPv4, or
    /// nothing.
    pub ipv6_next_hop: BTreeSet<Family>,
    /// What the peer is asked to do while we restart; `None` is nothing.
    pub graceful_restart: Option<Restart>,
    /// What we call ourselves, for people who look at the peer.
    pub host_name: Option<String>,
}

impl Config {
    /// Whether a session with the old settings can go on with the new ones: what the OPEN said
    /// is still true.
    pub fn is_same_open(&self, new: &Self) -> bool {
        let untold = |config: &Self| Self {
            keepalive: None,
            connect_retry: Duration::ZERO,
            openings: Openings::Both,
            delay_open: None,
            ..config.clone()
        };
        untold(self) == untold(new)
    }
}

/// Which AS a peer may be in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RemoteAs {
    /// In this one.
    Number(u32),
    /// In ours.
    Internal,
    /// In any but ours.
    External,
}

/// Who connects to whom.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Openings {
    /// Either end.
    Both,
    /// We connect, and take no connection.
    Active,
    /// We wait (RFC 4271 section 8.1.1, PassiveTcpEstablishment).
    Passive,
}

/// Whether families are negotiated, RFC 4760.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Multiprotocol {
    /// Yes.
    Offered,
    /// No, for peers that stumble over it: the session carries IPv4 and nothing else.
    Withheld,
}

/// What a peer is asked to do while we restart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Restart {
    /// Seconds that we need to come back; at most 4095.
    pub restart_time: u16,
    /// What happens to packets meanwhile.
    pub forwarding: Forwarding,
    /// How many seconds more our routes may be kept as a last resort (RFC 9494); `None` is none.
    pub long_lived: Option<u32>,
}

/// What happens to packets while a speaker restarts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Forwarding {
    /// They are forwarded all the time: others than the speaker do it.
    Kept,
    /// Not: routes from before the restart lead nowhere.
    Lost,
}
