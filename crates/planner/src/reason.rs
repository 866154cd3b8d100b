//! Every "no", by name: the log, the Event, the metric label and `explain` share these.

use std::fmt;

/// Why a node does not announce an address of a Service on the LAN.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Silence {
    /// The Service has no address.
    NoAddress,
}

impl Silence {
    /// The reason as a metric label and as the `reason` of `plan -o json`.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NoAddress => "noIPAllocated",
        }
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAddress => f.write_str("it has no address"),
        }
    }
}
