//! Layer 2: answering ARP for addresses that no interface owns.
