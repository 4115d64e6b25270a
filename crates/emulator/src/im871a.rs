//! A virtual IMST iM871A-USB, byte by byte as IMST's WMBus HCI specification and captures of real ones have it.
//!
//! [`Device`] is the dongle itself: bytes in, bytes out, no clock and no port. [`Im871a`] plugs one into a
//! pseudo-terminal.

mod device;
mod plugged;

pub(crate) use device::check;
pub use device::{Device, Mode, NotATelegram};
pub use plugged::{Im871a, State};
