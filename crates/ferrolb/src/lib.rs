//! The world around the decisions: objects in, frames out. The only crate with sockets and tasks.

pub mod api;
pub mod args;
pub mod cli;
pub mod controller;
pub mod http;
pub mod k8s;
pub mod log;
pub mod metrics;
pub mod net;
pub mod parse;
pub mod rivals;
pub mod source;
pub mod speaker;
pub mod standalone;
mod terminated;
pub mod told;
