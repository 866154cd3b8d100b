//! The world around the decisions: objects in, frames out. The only crate with sockets and tasks.

pub mod api;
pub mod args;
pub mod cli;
pub mod k8s;
pub mod log;
pub mod net;
pub mod parse;
pub mod source;
pub mod speaker;
pub mod standalone;
pub mod told;
