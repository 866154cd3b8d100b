//! Who holds an address on the LAN.
