//! Bidirectional Forwarding Detection: whether the path to a peer works, in milliseconds.
//!
//! | Standard | Covered | Left out |
//! | --- | --- | --- |
//! | RFC 5880 sections 4, 6.7 | packets, all five authentication types | more than one key at a time |
//! | section 6.2, 6.8.6 | all states, all checks on reception | |
//! | section 6.5, 6.8.3 | Poll Sequences; changes wait for the peer's Final where they must | limiting the rate of answers |
//! | section 6.6 | a peer in demand mode is not spoken to | asking for it ourselves |
//! | section 6.8.5, 6.8.9 | echo packets, sent and checked | control packets once a second meanwhile: `receiveInterval` decides |
//! | section 6.8.16 | administrative down, told to the peer | |
//! | section 6.8.15, 6.8.17 | diagnostics of peers are shown | saying them ourselves |
//! | RFC 5881 | single hop: ports, TTL 255, echo over IPv4 | echo over IPv6 |
//! | RFC 5882 section 4.3 | the control plane independent bit is not set | |
//! | RFC 5883 | several hops: port, least TTL | |
//!
//! [`packet`] is the wire format, [`auth`] what authenticates it, [`echo`] our own echo packets.
//! [`session`] is the engine of one session, [`sessions`] that of all sessions of a node: it finds the
//! one that a packet is for. Sockets are the driver's.

pub mod auth;
mod config;
mod dice;
pub mod echo;
mod ignored;
pub mod packet;
pub mod session;
pub mod sessions;
#[cfg(test)]
mod sim;

pub use config::{Config, Hops, Path, Role};
pub use ignored::Ignored;
pub use session::{Counters, Session, Status, Why};
pub use sessions::Sessions;

/// The UDP port of Control packets over one hop, RFC 5881 section 4.
pub const CONTROL_PORT: u16 = 3784;

/// The UDP port of echo packets, RFC 5881 section 4.
pub const ECHO_PORT: u16 = 3785;

/// The UDP port of Control packets over several hops, RFC 5883 section 5.
pub const MULTIHOP_PORT: u16 = 4784;

/// Packets of a session come from one port in this range, RFC 5881 section 4.
pub const SOURCE_PORTS: std::ops::RangeInclusive<u16> = 49_152..=65_535;

/// What every packet is sent with; over one hop it must arrive with it, RFC 5881 section 5.
pub const TTL: u8 = 255;
