//! Wireless M-Bus codec.
#![no_std]

#[cfg(any(test, feature = "std"))]
extern crate std;

pub mod address;
pub mod afl;
pub mod compact;
pub mod crc;
mod decimal;
pub mod encode;
pub mod frame;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(test)]
mod hex;
pub mod link;
pub mod meter;
mod reader;
pub mod record;
pub mod security;
pub mod telegram;
pub mod transport;

pub use address::{AddressError, DeviceType, Manufacturer, Meter, Serial};
pub use compact::Learned;
pub use decimal::Decimal;
pub use frame::{Frame, FrameError};
pub use meter::{Reading, What};
pub use record::{Record, Records};
pub use security::{Cipher, Key, KeyError};
pub use telegram::{Policy, Refused, Sealed, Telegram};
