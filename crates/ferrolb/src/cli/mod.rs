//! Subcommands for people.

pub mod plan;
