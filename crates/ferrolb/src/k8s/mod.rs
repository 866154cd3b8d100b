//! What is written to and asked of the API server.
