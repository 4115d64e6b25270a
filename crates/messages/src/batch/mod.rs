//! A batch: one block of one stream, in one MQTT message on `uplink`.
//!
//! The envelope (which stream, which place in it) travels as user properties, the body holds records only: so a stored
//! body can be sent again under a new epoch without rewriting it.

mod body;
mod envelope;
mod missing;
mod record;
mod table;

pub use body::{
    Body, BodyError, ContentType, EncodeError, MAX_INFLATED, MAX_PAYLOAD, MAX_RECORDS, NotAContentType,
};
pub use envelope::{Envelope, EnvelopeError, Epoch, Nonce, NotANonce, NotAStream, NotAnEpoch, Seq, Stream};
pub use missing::{MAX_RANGES, Missing, NotMissing};
pub use record::{BadRecord, Record, UnknownRecord};
pub use table::MAX_EVERY;
