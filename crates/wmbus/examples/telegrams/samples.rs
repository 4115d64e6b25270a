//! Telegrams to measure with: what a MULTICAL 21, a flowIQ 2200 and a MULTICAL 603 send, made with this crate's encoder.

use std::hint::black_box;

use wmbus::encode::{EncodeError, Protection, RecordWriter, Shape, telegram};
use wmbus::link::{Communication, Session};
use wmbus::transport::Status;
use wmbus::{Cipher, Frame, Key, Learned, Meter, Policy, Sealed};

/// Telegrams of one kind, each with other values, and what opens them.
pub(crate) struct Samples {
    frames: Vec<Vec<u8>>,
    cipher: Cipher,
    learned: Learned,
}

/// The kinds: the four that the targets speak of, and the first as it is on the air, with its CRCs.
pub(crate) const KINDS: [&str; 5] = ["compact", "full", "mode10", "mode5", "compact-frame-a"];

/// As many telegrams go round.
const DIFFERENT: u32 = 16;

impl Samples {
    /// # Errors
    /// If there is no such kind.
    pub(crate) fn new(kind: &str) -> Result<Self, Box<dyn std::error::Error>> {
        // The key schedule is made once for a meter, as a gateway does.
        let cipher = Cipher::new(Key::new([0x42; 16]));
        let frames: Result<Vec<_>, _> = (1..=DIFFERENT).map(|count| frame(kind, count, &cipher)).collect();
        Ok(Self { frames: frames?, cipher, learned: Learned::default() })
    }

    /// The bytes of telegram `count`, over and over.
    #[must_use]
    pub(crate) fn bytes(&self, count: usize) -> &[u8] {
        self.frames.get(count % self.frames.len()).map_or(&[], Vec::as_slice)
    }

    /// What is measured: a receiver's bytes to a typed reading; how many measures it has. `None` if they are not what
    /// they should be.
    #[must_use]
    pub(crate) fn read(&self, bytes: &[u8], on_the_air: bool) -> Option<usize> {
        let mut frame = if on_the_air { Frame::format_a(bytes) } else { Frame::bare(bytes) }.ok()?;
        let telegram = Sealed::read(&mut frame).ok()?.open(Some(&self.cipher), Policy::Strict).ok()?;
        let reading = telegram.reading(&self.learned);
        Some(black_box(&reading).as_ref().ok()?.measures.len())
    }
}

fn frame(kind: &str, count: u32, cipher: &Cipher) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let session = Session(count << 4);
    let (access, status, counter) = (7, Status(0), count);
    let communication = Communication(0x20);
    let link = Protection::EllCtr { cipher, communication, access, session };
    let (meter, protection, shape, records) = match kind {
        "compact" | "compact-frame-a" => ("KAM.76348799.1B.16", link, Shape::Compact, multical_21(count)?),
        "full" => ("KAM.76348799.1B.16", link, Shape::Full, multical_21(count)?),
        "mode10" => {
            let protection = Protection::Mode10 { cipher, access, status, counter };
            ("KAW.53820306.3C.16", protection, Shape::Full, flowiq_2200(count)?)
        }
        "mode5" => {
            let protection = Protection::Mode5 { cipher, access, status };
            ("KAM.12345678.35.04", protection, Shape::Full, multical_603(count)?)
        }
        other => return Err(format!("no kind {other}; there are {KINDS:?}").into()),
    };
    let frame = telegram(meter.parse::<Meter>()?, protection, shape, records.bytes())?;
    if kind == "compact-frame-a" {
        return Ok(wmbus::encode::format_a(&frame)?.to_vec());
    }
    Ok(frame.bytes().to_vec())
}

/// Info codes, volume, volume at the target date, lowest temperatures of the month.
fn multical_21(count: u32) -> Result<RecordWriter, EncodeError> {
    let mut records = RecordWriter::default();
    records
        .integer(&[0x02, 0xFF, 0x20], 0)?
        .integer(&[0x04, 0x13], 123_456 + i64::from(count))?
        .integer(&[0x44, 0x13], 120_000)?
        .integer(&[0x61, 0x5B], 8)?
        .integer(&[0x61, 0x67], 17)?;
    Ok(records)
}

/// Date and time, volume, info codes, acoustic noise, target date and volume.
fn flowiq_2200(count: u32) -> Result<RecordWriter, EncodeError> {
    let mut records = RecordWriter::default();
    records
        .raw(&[0x04, 0x6D], &[0x1C, 0x2A, 0x2F, 0x3C])?
        .integer(&[0x04, 0x15], 1234 + i64::from(count))?
        .integer(&[0x02, 0xFF, 0x25], 0)?
        .raw(&[0x06, 0xFF, 0x1B], &[0x05, 0x50, 0x00, 0x06, 0x50, 0x00])?
        .raw(&[0x44, 0x6D], &[0x00, 0x20, 0x21, 0x3C])?
        .integer(&[0x44, 0x15], 1200)?;
    Ok(records)
}

/// Energy, its products, volume, flow, temperatures, info codes, date, energy and volume at the target date.
fn multical_603(count: u32) -> Result<RecordWriter, EncodeError> {
    let mut records = RecordWriter::default();
    records
        .integer(&[0x04, 0x06], 100_002 + i64::from(count))?
        .integer(&[0x04, 0xFF, 0x07], 164_189)?
        .integer(&[0x04, 0xFF, 0x08], 76_405)?
        .integer(&[0x04, 0x14], 205_489)?
        .integer(&[0x02, 0x3B], 80)?
        .integer(&[0x02, 0x59], 7107)?
        .integer(&[0x02, 0x5D], 3628)?
        .integer(&[0x04, 0xFF, 0x22], 0)?
        .raw(&[0x02, 0x6C], &[0x6F, 0x35])?
        .integer(&[0x44, 0x06], 98_404)?
        .integer(&[0x44, 0x14], 199_920)?
        .raw(&[0x42, 0x6C], &[0x61, 0x35])?;
    Ok(records)
}
