//! Receivers: from the bytes of a wM-Bus dongle to telegrams.
//!
//! Each kind of dongle is one state machine ([`Dongle`]) without a clock and without a port: bytes and time go in, actions
//! come out. One loop ([`port::run`]) drives any of them over a serial line. Every byte of that line is hostile: it is
//! counted and skipped, never trusted, and nothing here logs above `debug` because of it.

pub mod amber;
mod bare;
mod conversation;
pub mod cul;
pub mod detect;
mod dongle;
mod fault;
mod frame;
mod framing;
pub mod fuzzing;
pub mod im871a;
pub mod iu891a;
mod machine;
pub mod port;
mod protocol;
pub(crate) mod quiet;
pub mod rc1180;
#[cfg(test)]
mod simulation;
pub mod tty;

pub use amber::{Amb3665, Amb8465, Channel};
pub use cul::Cul;
pub use dongle::{Action, CommandBytes, Counters, Dongle, Firmware, Info};
pub use fault::Fault;
pub use frame::{FrameBytes, FrameTooLong, LinkCrcs, LinkMode, Listen, RawFrame};
pub use im871a::Im871a;
pub use iu891a::Iu891a;
pub use rc1180::Rc1180;
pub use tty::{HexTty, RawTty};
