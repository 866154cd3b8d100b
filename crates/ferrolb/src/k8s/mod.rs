//! What is written to the API server, and what it asks.

pub mod certs;
pub mod client;
pub mod events;
pub mod lease;
pub mod memberlist_secret;
pub mod pool_status;
pub mod reference;
pub mod retry;
pub mod service_status;
pub mod webhook;
