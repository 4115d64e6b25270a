//! What `vesigate setup` writes: the configuration file with its comments, secrets, and what enrolment brought.

pub mod draft;
pub mod place;
