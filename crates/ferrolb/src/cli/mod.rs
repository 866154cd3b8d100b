//! Subcommands for people.

pub mod explain;
#[cfg(test)]
mod fixture;
pub mod given;
mod nearest;
pub mod node_plan;
pub mod outcome;
pub mod plan;
pub mod simulate;
mod table;
pub mod validate;
mod why;
