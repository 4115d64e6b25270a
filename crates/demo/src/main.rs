//! Everything together on one machine.
fn main() {}
