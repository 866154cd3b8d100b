//! What is written to the API server, and what it asks.

pub mod certs;
pub(crate) mod said;
pub mod webhook;
