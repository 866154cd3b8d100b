//! Subcommands for people.

pub mod cluster;
pub mod explain;
#[cfg(test)]
mod fixture;
pub mod given;
pub mod leave;
mod nearest;
pub mod node_plan;
pub mod outcome;
pub mod plan;
pub mod simulate;
pub mod status;
mod table;
pub mod validate;
mod why;
