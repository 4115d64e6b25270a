//! Telegrams in bytes, one behind the other. Most receivers check and remove the CRCs; where that of the first block fits,
//! all of format A are there.

use crc::{CRC_16_EN_13757, Crc};

use super::Message;
use crate::receiver::{
    FrameBytes, LinkCrcs,
    bare::{self, Bare, Size},
    framing::{Found, Framing},
};

const EN_13757: Crc<u16> = Crc::<u16>::new(&CRC_16_EN_13757);
/// L, C, M and A field with their CRC.
pub(super) const FIRST_BLOCK: usize = 12;

/// The framing, which needs no memory.
#[derive(Debug)]
pub(super) struct Raw;

impl Framing for Raw {
    type Message<'a> = Message;

    fn look(&mut self, bytes: &[u8]) -> Found<Message> {
        bare::look(self, bytes, false).and_then(message)
    }

    fn look_at_rest(&mut self, bytes: &[u8]) -> Found<Message> {
        bare::look(self, bytes, true).and_then(message)
    }
}

impl Bare for Raw {
    fn extra(&self) -> u8 {
        0
    }

    fn size(&self, bytes: &[u8], at_rest: bool) -> Option<Size> {
        let &length = bytes.first()?;
        let crcs = match bytes.first_chunk() {
            Some(block) => crcs(block),
            None if at_rest => LinkCrcs::Removed,
            None => return None,
        };
        Some(Size { length: crcs.size(length)?, proven: crcs == LinkCrcs::FormatA })
    }
}

/// Whether the CRCs of format A are there, as the first block shows.
pub(super) fn crcs(block: &[u8; FIRST_BLOCK]) -> LinkCrcs {
    let [covered @ .., high, low] = block;
    if EN_13757.checksum(covered) == u16::from_be_bytes([*high, *low]) {
        LinkCrcs::FormatA
    } else {
        LinkCrcs::Removed
    }
}

fn message(bytes: &[u8]) -> Found<Message> {
    let crcs = bytes.first_chunk().map_or(LinkCrcs::Removed, crcs);
    telegram(bytes, crcs, bytes.len())
}

/// A telegram that takes so much of the line.
pub(super) fn telegram(bytes: &[u8], crcs: LinkCrcs, length: usize) -> Found<Message> {
    match FrameBytes::try_from(bytes) {
        Ok(bytes) => Found::Whole { message: Message::Telegram(bytes, crcs), length },
        Err(_) => Found::Garbage { length: 1 },
    }
}
