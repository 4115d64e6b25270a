//! Records to bytes and back, within bounds.

use std::fmt;
use std::io::{Read, Write};
use std::str::FromStr;

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;

use super::record::{self, BadRecord, Record, Tag};
use super::table;
use crate::reading::HourRow;

/// A payload has at most this many bytes; with topic and properties it fits the packet limit of 1 MiB that brokers,
/// gateway and portal are set to.
pub const MAX_PAYLOAD: usize = 1_000_000;

/// A body has at most this many bytes of JSON once inflated.
pub const MAX_INFLATED: usize = 2 << 20;

/// A body has at most this many records, rows of tables counted each.
pub const MAX_RECORDS: usize = 10_000;

/// Deflating must save at least this many bytes to be worth it.
const WORTH: usize = 64;

/// The payload of a message on `uplink`: `{"records": [...]}` as JSON, deflated when it pays.
///
/// The same bytes are what a gateway keeps in its store; together with the content type they can be sent as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// How to read the bytes; travels as the MQTT property of that name.
    pub content_type: ContentType,
    /// The payload.
    pub bytes: Vec<u8>,
}

impl Body {
    /// Writes records; the same records give the same bytes.
    ///
    /// Hour rows are sorted by boundary and meter and written by column, all others stand before them in their order:
    /// order within a batch means nothing.
    ///
    /// # Errors
    /// They do not fit one batch: halve them.
    pub fn encode(records: &[Record]) -> Result<Self, EncodeError> {
        if records.len() > MAX_RECORDS {
            return Err(EncodeError::TooManyRecords);
        }
        let json = serde_json::to_vec(&Written { records: written(records)? })?;
        if json.len() > MAX_INFLATED {
            return Err(EncodeError::TooLarge);
        }
        let deflated = deflate(&json)?;
        let body = if deflated.len() + WORTH < json.len() {
            Self { content_type: ContentType::Deflated, bytes: deflated }
        } else {
            Self { content_type: ContentType::Json, bytes: json }
        };
        if body.bytes.len() > MAX_PAYLOAD { Err(EncodeError::TooLarge) } else { Ok(body) }
    }

    /// Reads the records. One that cannot be read is bad by itself and the others are good all the same.
    ///
    /// # Errors
    /// There is no list of records, or it is beyond the bounds.
    pub fn decode(&self) -> Result<Vec<Result<Record, BadRecord>>, BodyError> {
        if self.bytes.len() > MAX_PAYLOAD {
            return Err(BodyError::TooLarge);
        }
        match self.content_type {
            ContentType::Json => read(&self.bytes),
            ContentType::Deflated => read(&inflate(&self.bytes)?),
        }
    }

    /// The JSON, for people.
    ///
    /// # Errors
    /// It does not inflate, or beyond the bounds, or is not UTF-8.
    pub fn json(&self) -> Result<String, BodyError> {
        let bytes = match self.content_type {
            ContentType::Json => self.bytes.clone(),
            ContentType::Deflated => inflate(&self.bytes)?,
        };
        String::from_utf8(bytes).map_err(|_| BodyError::Text)
    }
}

/// The MQTT content type of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContentType {
    /// `application/json`.
    Json,
    /// `application/json+deflate`: the same in the zlib format (RFC 1950).
    Deflated,
}

impl ContentType {
    /// The text on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Deflated => "application/json+deflate",
        }
    }
}

impl fmt::Display for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ContentType {
    type Err = NotAContentType;

    fn from_str(text: &str) -> Result<Self, NotAContentType> {
        [Self::Json, Self::Deflated].into_iter().find(|known| known.as_str() == text).ok_or(NotAContentType)
    }
}

/// A content type that no body has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the content type is neither application/json nor application/json+deflate")]
pub struct NotAContentType;

/// Why records cannot be written.
#[derive(Debug, Error)]
pub enum EncodeError {
    /// More than [`MAX_RECORDS`].
    #[error("more than {MAX_RECORDS} records in one batch")]
    TooManyRecords,
    /// More than [`MAX_INFLATED`] bytes of JSON or [`MAX_PAYLOAD`] of payload.
    #[error("a batch of more than {MAX_INFLATED} bytes, or {MAX_PAYLOAD} deflated")]
    TooLarge,
    /// JSON could not be made.
    #[error("cannot write JSON")]
    Json(#[from] serde_json::Error),
    /// Deflating failed.
    #[error("cannot deflate")]
    Deflate(#[from] std::io::Error),
}

/// Why a body is not readable at all.
#[derive(Debug, Error)]
pub enum BodyError {
    /// The payload is too long, or inflates to too much.
    #[error("a body of more than {MAX_PAYLOAD} bytes, or {MAX_INFLATED} inflated")]
    TooLarge,
    /// Not a zlib stream, or cut short.
    #[error("a body that does not inflate")]
    Inflate,
    /// Not UTF-8.
    #[error("a body that is not UTF-8")]
    Text,
    /// Not an object with a list `records`.
    #[error("a body without a list of records: {0}")]
    Json(#[from] serde_json::Error),
    /// More than [`MAX_RECORDS`].
    #[error("more than {MAX_RECORDS} records in one batch")]
    TooManyRecords,
}

#[derive(Serialize)]
struct Written {
    records: Vec<Box<RawValue>>,
}

fn written(records: &[Record]) -> Result<Vec<Box<RawValue>>, serde_json::Error> {
    let mut rows: Vec<&HourRow> = Vec::new();
    let mut list = Vec::new();
    for record in records {
        match record {
            Record::Hour(row) => rows.push(row),
            other => list.push(record::write(other)?),
        }
    }
    rows.sort_by_key(|row| (row.boundary, row.meter));
    for group in rows.chunk_by(|a, b| a.boundary == b.boundary) {
        match group {
            [row] => list.push(record::write_hour(row)?),
            rows => list.push(table::write(rows)?),
        }
    }
    Ok(list)
}

#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    records: Vec<&'a RawValue>,
}

fn read(json: &[u8]) -> Result<Vec<Result<Record, BadRecord>>, BodyError> {
    let text = std::str::from_utf8(json).map_err(|_| BodyError::Text)?;
    let list: List<'_> = serde_json::from_str(text)?;
    let mut records = Vec::new();
    for raw in list.records {
        let room = MAX_RECORDS
            .checked_sub(records.len())
            .filter(|room| *room > 0)
            .ok_or(BodyError::TooManyRecords)?;
        let is_table = serde_json::from_str::<Tag<'_>>(raw.get()).is_ok_and(|tag| tag.kind == table::TABLE);
        if is_table {
            match table::read(raw, room) {
                Ok(rows) => records.extend(rows),
                Err(bad) => records.push(Err(bad)),
            }
        } else {
            records.push(record::read(raw));
        }
    }
    Ok(records)
}

fn deflate(json: &[u8]) -> Result<Vec<u8>, std::io::Error> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(json)?;
    encoder.finish()
}

fn inflate(bytes: &[u8]) -> Result<Vec<u8>, BodyError> {
    let limit = u64::try_from(MAX_INFLATED).unwrap_or(u64::MAX).saturating_add(1);
    let mut json = Vec::new();
    ZlibDecoder::new(bytes).take(limit).read_to_end(&mut json).map_err(|_| BodyError::Inflate)?;
    if json.len() > MAX_INFLATED { Err(BodyError::TooLarge) } else { Ok(json) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(json: &str) -> Result<Vec<Result<Record, BadRecord>>, BodyError> {
        Body { content_type: ContentType::Json, bytes: json.as_bytes().to_vec() }.decode()
    }

    #[test]
    fn a_bomb_is_refused_without_being_held() {
        let bomb = deflate(&vec![b' '; 50 << 20]).unwrap();
        assert!(bomb.len() < 100_000);
        let body = Body { content_type: ContentType::Deflated, bytes: bomb };
        assert!(matches!(body.decode(), Err(BodyError::TooLarge)));
    }

    #[test]
    fn a_body_cut_short_does_not_inflate() {
        let mut bytes = deflate(br#"{"records":[]}"#).unwrap();
        bytes.truncate(bytes.len() - 3);
        let body = Body { content_type: ContentType::Deflated, bytes };
        assert!(matches!(body.decode(), Err(BodyError::Inflate)));
    }

    #[test]
    fn an_unknown_kind_is_kept_byte_for_byte() {
        let raw = r#"{"type":"valve","position":1.50}"#;
        let records = decode(&format!(r#"{{"records":[{raw}],"more":1}}"#)).unwrap();
        let [Ok(record @ Record::Unknown(unknown))] = records.as_slice() else { panic!("{records:?}") };
        assert_eq!(unknown.json(), raw);
        let again = Body::encode(std::slice::from_ref(record)).unwrap();
        assert_eq!(again.json().unwrap(), format!(r#"{{"records":[{raw}]}}"#));
    }

    #[test]
    fn a_bad_row_of_a_table_is_bad_alone() {
        let records = decode(
            r#"{"records":[{"type":"hours","rows":2,"every":{"boundary":"2026-11-24T01:00:00Z","checked":"checksum"},
            "each":{"meter":["KAM.76348799.1B.16","nobody"],"telegrams":[5,null]}}]}"#,
        )
        .unwrap();
        let [Ok(Record::Hour(row)), Err(bad)] = records.as_slice() else { panic!("{records:?}") };
        assert_eq!((row.telegrams, row.late), (5, false));
        assert!(bad.reason.contains("a meter is written"), "{}", bad.reason);
        let alone = decode(&format!(r#"{{"records":[{}]}}"#, bad.json)).unwrap();
        assert_eq!(alone, [Err(bad.clone())], "a dead letter can be read in again");
    }

    #[test]
    fn a_table_without_shape_is_one_bad_record() {
        for table in [
            r#"{"type":"hours","rows":2,"each":{"meter":["KAM.76348799.1B.16"]}}"#,
            r#"{"type":"hours","rows":18446744073709551615,"each":{}}"#,
            r#"{"type":"hours","rows":10001,"each":{}}"#,
            r#"{"type":"hours"}"#,
        ] {
            let records = decode(&format!(r#"{{"records":[{table}]}}"#)).unwrap();
            assert!(matches!(records.as_slice(), [Err(_)]), "{table}");
        }
        let wide =
            format!(r#"{{"records":[{{"type":"hours","rows":9,"every":{{"x":"{}"}}}}]}}"#, "x".repeat(2000));
        assert!(matches!(decode(&wide).unwrap().as_slice(), [Err(_)]));
    }

    #[test]
    fn too_many_records_are_refused_either_way() {
        let many = format!(r#"{{"records":[{}0]}}"#, "0,".repeat(MAX_RECORDS));
        assert!(matches!(decode(&many), Err(BodyError::TooManyRecords)));
        let Ok(records) = decode(r#"{"records":[{"type":"x"}]}"#) else { panic!() };
        let record = records.into_iter().next().unwrap().unwrap();
        assert!(matches!(Body::encode(&vec![record; MAX_RECORDS + 1]), Err(EncodeError::TooManyRecords)));
    }

    #[test]
    fn what_is_no_list_of_records_is_said() {
        for bad in ["", "[]", "{}", "null", r#"{"records":1}"#] {
            assert!(matches!(decode(bad), Err(BodyError::Json(_))), "{bad}");
        }
    }
}
