//! Sequences of events, a row each.
