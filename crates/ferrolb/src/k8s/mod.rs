//! What is written to the API server, and what it asks.

pub mod announcement;
pub mod certs;
pub mod client;
pub mod configuration_state;
pub mod definitions;
pub mod events;
pub mod lease;
pub mod memberlist_secret;
pub mod own_pod;
pub mod pages;
pub mod pod;
pub mod pool_status;
pub mod reference;
pub mod retry;
pub(crate) mod said;
pub mod service_status;
pub mod webhook;
