//! vesigate.
fn main() {}
