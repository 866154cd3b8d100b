//! Decisions: who gets which address, and which node announces it.
//!
//! Facts in, decisions out: [`assign`] gives addresses, [`converge`] says what that means for one
//! Service, [`announce`] says what one node announces,
//! and whatever is refused or left out is a named variant of [`reason`]. Nothing here knows a
//! Kubernetes type, reads a clock or does IO, so every decision can be replayed from its facts.
#![forbid(unsafe_code)]

pub mod announce;
pub mod assign;
#[cfg(test)]
mod build;
pub mod converge;
pub mod facts;
pub mod interfaces;
pub mod ledger;
pub mod names;
pub mod owner;
pub mod plan;
pub mod range;
pub mod reason;
pub mod selector;
pub mod usage;
