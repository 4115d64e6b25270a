//! The MQTT contract between gateway and portal: topics, envelopes, records, documents.
//!
//! Both ends use these types, so that neither can drift. Nothing here does input or output, asks for the time or draws
//! random numbers: bytes, moments and random bits come from the caller. The contract in words, for whoever implements
//! one end in another language, is `docs/mqtt-contract.md`; the JSON Schema of every payload is in `docs/schema/`.
//!
//! ```
//! use messages::batch::{Body, Envelope, Epoch, Missing, Nonce, Record, Seq, Stream};
//! use messages::reading::{Checked, HourRow, Register, Registers, Role};
//! use messages::topic::{Gateway, Leaf};
//!
//! // The gateway stores a row, then sends it.
//! let meter = "KAM.76348799.1B.16".parse()?;
//! let volume = Register { value: "123.456 m3".parse()?, offset: -7 };
//! let row = HourRow {
//!     registers: Registers::from_iter([(Role::Volume, volume)]),
//!     telegrams: 214,
//!     rssi: Some(-71),
//!     ..HourRow::new(meter, "2026-11-24T01:00:00Z".parse()?, Checked::Checksum)
//! };
//! let body = Body::encode(&[Record::Hour(Box::new(row.clone()))])?;
//! let envelope = Envelope {
//!     stream: Stream::Readings,
//!     epoch: Epoch::durable(0x5eed_u128), // random in earnest
//!     seq: Seq::FIRST,
//!     nonce: Nonce::from_random(0xd1ce),
//!     missing: Missing::default(),
//! };
//! let gateway: Gateway = "kylavesi/gw-7".parse()?;
//! let topic = gateway.topic(Leaf::Uplink).to_string();
//! let properties = envelope.to_properties();
//!
//! // The portal receives topic, properties, content type and bytes.
//! assert_eq!(topic, "vesi/1/kylavesi/gw-7/uplink");
//! assert_eq!(Envelope::from_properties(&properties)?.seq, Seq::FIRST);
//! for record in body.decode()? {
//!     assert_eq!(record, Ok(Record::Hour(Box::new(row.clone()))));
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod ack;
pub mod batch;
pub mod config;
pub mod enrol;
pub mod event;
pub mod home_assistant;
pub mod mail;
mod meter;
mod number;
mod other;
mod personal;
pub mod reading;
pub mod schema;
pub mod seal;
pub mod state;
pub mod status;
mod text;
mod time;
pub mod topic;

pub use ack::{Ack, Cursor};
pub use meter::{MeterId, NotAMeter};
pub use number::{Decimal, NotADecimal, NotAQuantity, Quantity, Unit};
pub use other::Other;
pub use personal::{Email, NotAnEmail, Personal};
pub use state::{Presence, State};
pub use status::Status;
pub use text::{Id, NotAWord, NotAnId, Word};
pub use time::{Hour, NotATime, NotAnHour, Span, Time};
