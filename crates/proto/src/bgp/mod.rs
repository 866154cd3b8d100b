//! Border Gateway Protocol.

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

pub use attributes::{Attributes, NextHop, NextHops};
pub use community::{Community, ExtendedCommunity, LargeCommunity, Scope};
pub use family::Family;

/// How a peer's AS is related to ours, which decides what routes say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Relation {
    /// The same AS: iBGP.
    Internal,
    /// Another AS: eBGP.
    External,
}
