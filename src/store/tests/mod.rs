//! Tests of the store as a whole.

mod writer;

use messages::batch::{Body, ContentType, Stream};

use super::{NewBlock, nonce};

/// A block of a stream with these bytes.
pub(super) fn block(stream: Stream, bytes: &[u8]) -> NewBlock {
    let body = Body { content_type: ContentType::Json, bytes: bytes.to_vec() };
    NewBlock { stream, nonce: nonce(), records: 1, body }
}
