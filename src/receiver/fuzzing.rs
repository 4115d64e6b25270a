//! Bodies of fuzz targets: functions that panic when a promise is broken. Tests call them, too.

use std::time::Instant;

use crc::{CRC_16_IBM_SDLC, Crc};

use super::{Action, Dongle, FrameBytes, Im871a, Iu891a, Listen};

/// Any bytes from an iM871A: no panic, bounded output, and the telegrams do not depend on how the bytes were split.
pub fn im871a(bytes: &[u8]) {
    let heard = any_bytes(|| Box::new(Im871a::new(Listen::C1AndT1)), bytes);
    assert!(heard.len() <= bytes.len() / 13, "a telegram takes at least 13 bytes on the line");
}

/// Bytes as the ingredients of a line: what is attached and the endpoint, an id, a length, then a payload. They become a
/// frame with a right checksum, which blind bytes hardly ever have; where all bits of the first are set, garbage.
pub fn im871a_framed(bytes: &[u8]) {
    let (mut line, mut rest) = (Vec::new(), bytes);
    while let Some(([head, id, length], tail)) = rest.split_first_chunk::<3>() {
        let (payload, tail) = tail.split_at(tail.len().min(usize::from(*length)));
        rest = tail;
        if *head == 0xFF {
            line.extend(payload);
            continue;
        }
        let start = line.len() + 1;
        line.extend([0xA5, head | 0x80, *id, u8::try_from(payload.len()).unwrap_or(u8::MAX)]);
        line.extend(payload);
        // A timestamp and a signal strength where the head says so.
        line.extend([0; 4].iter().take(if head & 0x20 == 0 { 0 } else { 4 }));
        line.extend((head & 0x40 != 0).then_some(0x5E));
        let checksum = X25.checksum(line.get(start..).unwrap_or_default());
        line.extend(checksum.to_le_bytes());
    }
    im871a(&line);
}

/// Any bytes from an iU891A: no panic, bounded output, and the telegrams do not depend on how the bytes were split.
pub fn iu891a(bytes: &[u8]) {
    let heard = any_bytes(|| Box::new(Iu891a::new(Listen::C1AndT1)), bytes);
    assert!(heard.len() <= bytes.len() / 22, "a telegram takes at least 22 bytes on the line");
}

/// Bytes as the ingredients of a line: a SAP, an id, a length, then a body. They become a frame with a right checksum, which
/// blind bytes hardly ever have; where all bits of the first are set, garbage.
pub fn iu891a_framed(bytes: &[u8]) {
    let (mut line, mut rest) = (Vec::new(), bytes);
    while let Some(([sap, id, length], tail)) = rest.split_first_chunk::<3>() {
        let (body, tail) = tail.split_at(tail.len().min(usize::from(*length)));
        rest = tail;
        if *sap == 0xFF {
            line.extend(body);
            continue;
        }
        let mut content = vec![*sap, *id];
        content.extend(body);
        let checksum = X25.checksum(&content);
        content.extend(checksum.to_le_bytes());
        line.push(0xC0);
        for byte in content {
            match byte {
                0xC0 => line.extend([0xDB, 0xDC]),
                0xDB => line.extend([0xDB, 0xDD]),
                byte => line.push(byte),
            }
        }
        line.push(0xC0);
    }
    iu891a(&line);
}

const X25: Crc<u16> = Crc::<u16>::new(&CRC_16_IBM_SDLC);

/// Any bytes from any dongle: no panic, bounded output, and the telegrams do not depend on how the bytes were split. Gives
/// the telegrams.
pub fn any_bytes(driver: impl Fn() -> Box<dyn Dongle>, bytes: &[u8]) -> Vec<FrameBytes> {
    let whole = heard(driver(), bytes, bytes.len().max(1));
    for split in [1, 7] {
        assert_eq!(whole, heard(driver(), bytes, split), "splitting the stream changes nothing");
    }
    whole
}

fn heard(mut dongle: Box<dyn Dongle>, bytes: &[u8], split: usize) -> Vec<FrameBytes> {
    let (mut out, now) = (Vec::new(), Instant::now());
    dongle.opened(now, &mut out);
    for piece in bytes.chunks(split) {
        dongle.bytes(now, piece, &mut out);
        assert!(out.len() <= 8 + bytes.len(), "as many actions as bytes at most");
    }
    out.into_iter()
        .filter_map(|action| match action {
            Action::Heard(frame) => Some(frame.bytes),
            _ => None,
        })
        .collect()
}
