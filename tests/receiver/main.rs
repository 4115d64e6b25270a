//! The port loop and all drivers against virtual dongles on pseudo-terminals.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod amber;
mod bench;
mod cul;
mod im871a;
mod iu891a;
mod rc1180;
mod scenarios;
mod tty;
