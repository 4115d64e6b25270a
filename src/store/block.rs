//! A block: records that are committed, published and acknowledged together.

use messages::Time;
use messages::batch::{Body, ContentType, Nonce, Seq, Stream};
use rusqlite::Row;

use super::StoreError;

/// SQLite does not notice a flipped bit, so every block carries its own checksum (Castagnoli's polynomial).
const CRC: crc::Crc<u32, crc::Table<1>> = crc::Crc::<u32, crc::Table<1>>::new(&crc::CRC_32_ISCSI);

/// A block as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Its number in its stream.
    pub seq: Seq,
    /// Drawn when it was made.
    pub nonce: Nonce,
    /// How many records are in it.
    pub records: u32,
    /// When it was stored, if the clock was trusted then.
    pub stored: Option<Time>,
    /// What is published.
    pub body: Body,
}

/// A block that has no number yet.
#[derive(Clone, Debug, PartialEq)]
pub struct NewBlock {
    /// The stream that will number it.
    pub stream: Stream,
    /// Drawn when it is made, and kept over every attempt to store it.
    pub nonce: Nonce,
    /// How many records are in it.
    pub records: u32,
    /// What is published.
    pub body: Body,
}

/// The columns that [`Block::read`] takes, in its order.
pub(super) const COLUMNS: &str = "seq, nonce, records, stored, deflated, crc, body";

impl Block {
    /// Reads a row of [`COLUMNS`]; `None` if its checksum is wrong.
    pub(super) fn read(row: &Row<'_>) -> Result<Option<Self>, StoreError> {
        let deflated: bool = row.get(4)?;
        let content_type = if deflated { ContentType::Deflated } else { ContentType::Json };
        let block = Self {
            seq: Seq::new(row.get::<_, i64>(0)?.cast_unsigned()),
            nonce: Nonce::from_random(row.get::<_, i64>(1)?.cast_unsigned()),
            records: row.get(2)?,
            stored: row.get::<_, Option<i64>>(3)?.and_then(Time::from_unix),
            body: Body { content_type, bytes: row.get(6)? },
        };
        let sum = checksum(block.seq, block.nonce, &block.body);
        Ok((sum == row.get::<_, u32>(5)?).then_some(block))
    }
}

impl Block {
    /// The same block before it had a number: it gets one in another numbering.
    pub(super) fn anew(self, stream: Stream) -> NewBlock {
        NewBlock { stream, nonce: self.nonce, records: self.records, body: self.body }
    }
}

/// The checksum of a block.
pub(super) fn checksum(seq: Seq, nonce: Nonce, body: &Body) -> u32 {
    let mut digest = CRC.digest();
    digest.update(&seq.number().to_le_bytes());
    digest.update(&nonce.bits().to_le_bytes());
    digest.update(&[u8::from(body.content_type == ContentType::Deflated)]);
    digest.update(&body.bytes);
    digest.finalize()
}

/// The checksum of anything else that is stored as bytes.
pub(super) fn checksum_of(bytes: &[u8]) -> u32 {
    CRC.checksum(bytes)
}
