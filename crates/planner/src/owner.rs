//! The order of candidates for an address on the LAN.
