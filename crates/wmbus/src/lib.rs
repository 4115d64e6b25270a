//! Wireless M-Bus codec.
#![no_std]

#[cfg(any(test, feature = "std"))]
extern crate std;

pub mod address;
pub mod afl;
pub mod crc;
mod decimal;
pub mod frame;
#[cfg(test)]
mod hex;
pub mod link;
mod reader;
pub mod record;
pub mod security;
pub mod telegram;
pub mod transport;

pub use address::{AddressError, DeviceType, Manufacturer, Meter, Serial};
pub use decimal::Decimal;
