//! vesigate.

pub mod receiver;
