//! Border Gateway Protocol: a speaker that announces routes and learns none.
//!
//! | Standard | Covered | Left out |
//! | --- | --- | --- |
//! | RFC 4271 | state machine with both connections, collisions, all timers with jitter, every error | learning routes; the leftmost AS is not compared with the peer's |
//! | RFC 4760 | IPv4 and IPv6 unicast over either transport; disabling a family that cannot be read | other families |
//! | RFC 2545 | global and link-local next hops | |
//! | RFC 8950 | IPv4 routes with IPv6 next hops | VPN families |
//! | RFC 5492, RFC 9072 | capabilities, unknown ones ignored; long OPEN both ways | an OPEN without capabilities for a peer that refuses them |
//! | RFC 6793 | four-octet AS numbers, AS_TRANS and AS4_PATH for peers without | AS4_AGGREGATOR, as we do not aggregate for others |
//! | RFC 6286, RFC 7607, RFC 6608 | identifiers, AS 0, which message was not expected | |
//! | RFC 7606 | every row of section 7, for what is received | typed families |
//! | RFC 8654 | messages of 65,535 octets, both ways | |
//! | RFC 2918, RFC 7313 | a refresh is answered, between its marks | asking for one |
//! | RFC 4724, RFC 8538 | restarting, End-of-RIB when all is known, N bit, hard reset | helping: there are no routes to keep |
//! | RFC 9494 | the capability, NO_LLGR and LLGR_STALE by name | |
//! | RFC 8326 | GRACEFUL_SHUTDOWN and LOCAL_PREF 0, a pause, withdrawal, a pause, Cease | |
//! | RFC 4486, RFC 9003 | Cease and its words, both ways | a limit of prefixes: there is nothing to fill |
//! | RFC 9384 | Cease when BFD is down | |
//! | RFC 9687 | send hold timer | |
//! | RFC 1997, RFC 4360, RFC 8092 | communities of each kind, in order and once; link bandwidth | RFC 5701 |
//!
//! Not yet: a route that goes out with attributes of a confederation (RFC 5065), additional paths
//! (RFC 7911), BMP (RFC 7854).
//!
//! | File | What is in it |
//! | --- | --- |
//! | [`message`] | wire forms, and what each mistake in one is answered with |
//! | [`attributes`] | what a route of ours says, and how that is written for a peer |
//! | `packing` | UPDATEs, as full as they may be |
//! | [`adj_rib_out`] | what a peer was told, what it should know, the fewest messages between |
//! | [`session`] | the state machine |
//! | `sim` | two speakers and the connections between them, in simulated time |
//! | `listener` | a router that learns, for tests |
//!
//! Sockets are the driver's: it connects and accepts, hands in bytes, and sends what it is given.
//! TCP MD5 and TCP-AO, TTLs, VRFs and the source address are between it and the kernel.

pub mod adj_rib_out;
pub mod attributes;
mod community;
mod family;
#[cfg(test)]
mod listener;
pub mod message;
mod packing;
pub mod session;
#[cfg(test)]
mod sim;

pub use adj_rib_out::{AdjRibOut, Routes};
pub use attributes::{Attributes, NextHop, NextHops};
pub use community::{Community, ExtendedCommunity, LargeCommunity, Scope};
pub use family::Family;
pub use session::{Config, Event, Input, Output, Session};

/// How a peer's AS is related to ours, which decides what routes say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Relation {
    /// The same AS: iBGP.
    Internal,
    /// Another AS: eBGP.
    External,
}
