//! Subcommands for people.
