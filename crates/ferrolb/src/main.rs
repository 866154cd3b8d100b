//! `ferrolb`: addresses for Services, announced on the network.

fn main() {}
