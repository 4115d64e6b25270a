//! From opened telegrams to readings that may be stored: who is believed, and when.

pub mod episode;
pub mod guard;
pub mod hour;
