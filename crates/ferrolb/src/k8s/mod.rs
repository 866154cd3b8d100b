//! What is written to the API server.

pub mod client;
