//! vesigate.
