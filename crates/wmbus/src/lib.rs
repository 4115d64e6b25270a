//! Wireless M-Bus codec.
#![cfg_attr(not(any(test, feature = "std")), no_std)]

pub mod address;
pub mod crc;
pub use address::{AddressError, DeviceType, Manufacturer, Meter, Serial};
