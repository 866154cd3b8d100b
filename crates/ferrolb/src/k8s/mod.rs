//! What is written to the API server, and what it asks.

pub mod client;
pub mod configuration_state;
pub mod events;
pub mod l2_status;
pub mod reference;
pub mod retry;
