//! Wireless M-Bus (EN 13757-3, -4, -7; OMS Volume 2): frames in, typed readings out, and back.
//!
//! No IO, no clock, no allocation between frame bytes and reading, no `unsafe`; without the feature `std` no standard
//! library. Reads all that meters send by the open standards, and what Kamstrup's families add to it ([`meter`]).
//!
//! ```
//! use wmbus::encode::{Protection, RecordWriter, Shape, telegram};
//! use wmbus::transport::Status;
//! use wmbus::{Cipher, Key, Learned, Policy, Refused, Sealed, What};
//!
//! // A meter sends 12.345 m³, enciphered and authenticated (security mode 10).
//! let cipher = Cipher::new(Key::new([7; 16]));
//! let mut records = RecordWriter::default();
//! records.integer(&[0x04, 0x13], 12_345)?;
//! let protection = Protection::Mode10 { cipher: &cipher, access: 1, status: Status(0), counter: 1 };
//! let mut frame = telegram("KAW.87654321.3C.16".parse()?, protection, Shape::Full, records.bytes())?;
//!
//! // Without its key nothing comes out.
//! let mut copy = frame.clone();
//! assert_eq!(Sealed::read(&mut copy)?.open(None, Policy::Strict).unwrap_err(), Refused::NoKey);
//!
//! // With it, a reading does.
//! let telegram = Sealed::read(&mut frame)?.open(Some(&cipher), Policy::Strict)?;
//! assert!(telegram.security.scheme.is_authentic());
//! let reading = telegram.reading(&Learned::default())?;
//! assert_eq!(reading.now(What::Volume).unwrap().to_string(), "12.345");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! AES-CTR in the extended link layer and mode 5 are *not* authentic: whoever hears a telegram can change it and mend
//! its checksums without the key. Callers that act on readings compare them with what came before.
//!
//! | step | type |
//! |---|---|
//! | bytes to a frame without CRCs | [`Frame`] |
//! | clear headers, and whose key is needed | [`Sealed`] |
//! | deciphered and verified | [`Telegram`] |
//! | records | [`record::Items`] |
//! | compact frames' layouts | [`Learned`] |
//! | what the meter's family makes of it | [`Reading`] |
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
