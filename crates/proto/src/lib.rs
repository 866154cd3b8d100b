//! Protocol engines that do no IO: bytes and time go in, bytes and events come out.
//!
//! Every engine has the same three calls:
//!
//! 1. `handle(now, Input)` takes in one event. It returns nothing and never fails: what a peer does
//!    wrong is an output or a counted cause, not an error.
//! 2. `poll() -> Option<Output>` hands out what is to be done, until `None`.
//! 3. `deadline() -> Option<Instant>` says when to call `handle(now, Input::Timeout)` at the
//!    latest. Calling it early or twice is harmless.
//!
//! Nothing here reads a clock, opens a socket, spawns a task, logs or locks, and nothing here knows
//! a Kubernetes object. Names of stations are opaque strings, addresses are addresses.
#![forbid(unsafe_code)]

pub mod bfd;
pub mod bgp;
pub mod l2;
pub mod mesh;
pub mod time;
pub mod wire;
