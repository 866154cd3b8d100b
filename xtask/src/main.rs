//! What a developer does with this repository.

fn main() {}
