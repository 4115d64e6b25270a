//! `vesigate feed`: telegrams from elsewhere than a dongle, handed to collect by a process of its own, so that collect
//! keeps its Unix sockets only.
//!
//! The way of a telegram: a [`source`] (a chain of programs, a TCP connection, standard input) gives bytes; a
//! [`Decoder`] makes telegrams of them, whose checksums are right; [`link`] hands them to collect, in the words of
//! [`wire`]. A telegram has no signal strength here: what `rtl_wmbus` says is no dBm.

mod chain;
mod decoder;
pub mod fuzzing;
mod lines;
pub mod link;
mod rtl_wmbus;
pub mod source;
pub mod wire;

pub use decoder::{Decoder, Event, Heard};
pub use wire::Counts;
