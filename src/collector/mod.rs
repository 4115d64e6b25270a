//! From frames to readings that may be stored: who is believed, and when.
//!
//! [`Collector`] takes frames and time, and gives commits; nothing here asks for the time, opens a file or waits.

pub mod bytes;
pub mod checkpoint;
pub mod ciphers;
pub mod codes;
pub mod doubt;
pub mod episode;
pub mod guard;
pub mod heard;
pub mod hour;
pub mod meter;
pub mod open;
pub mod outbox;
pub mod pipeline;
pub mod sealed;
pub mod times;
pub mod unplaced;

pub use pipeline::{Collector, Settings};
