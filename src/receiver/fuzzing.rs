//! Bodies of fuzz targets: functions that panic when a promise is broken. Tests call them, too.

use std::time::Instant;

use crc::{CRC_16_IBM_SDLC, Crc};

use super::{Action, Amb8465, Dongle, FrameBytes, Im871a, Listen};

/// Any bytes from an iM871A: no panic, bounded output, and the telegrams do not depend on how the bytes were split.
pub fn im871a(bytes: &[u8]) {
    let heard = any_bytes(|| opened(Box::new(Im871a::new(Listen::C1AndT1))), bytes);
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

/// Any bytes from an Amber module with framed output.
pub fn amber(bytes: &[u8]) {
    let heard = any_bytes(|| amber_ready(true), bytes);
    assert!(heard.len() <= bytes.len() / 13, "a telegram takes at least 13 bytes on the line");
}

/// Any bytes from one with transparent output.
pub fn amber_transparent(bytes: &[u8]) {
    let heard = any_bytes(|| amber_ready(false), bytes);
    assert!(heard.len() <= bytes.len() / 10, "a telegram takes at least 10 bytes on the line");
}

/// Bytes as the ingredients of a line: command, length, payload. They become a frame with a right checksum; where the command
/// is FF, garbage.
pub fn amber_framed(bytes: &[u8]) {
    let (mut line, mut rest) = (Vec::new(), bytes);
    while let Some(([command, length], tail)) = rest.split_first_chunk::<2>() {
        let (payload, tail) = tail.split_at(tail.len().min(usize::from(*length)));
        rest = tail;
        if *command == 0xFF {
            line.extend(payload);
        } else {
            line.extend(amber_frame(*command, payload));
        }
    }
    amber(&line);
}

/// One that has said how it puts telegrams out, and is set up.
fn amber_ready(framed: bool) -> Box<dyn Dongle> {
    let mut dongle: Box<dyn Dongle> = Box::new(Amb8465::new(Listen::C1AndT1, 9_600));
    let mut memory = [0; 0x7A];
    let [_, size, _, _, _, _, _, output, ..] = &mut memory;
    (*size, *output) = (0x78, u8::from(framed));
    let (mut out, now) = (Vec::new(), Instant::now());
    dongle.opened(now, &mut out);
    for (command, payload) in
        [(0x8A, &memory[..]), (0x8C, &[2, 7, 0]), (0x8B, &[0x53, 0, 0x5B, 0x0E]), (0x84, &[0])]
    {
        dongle.bytes(now, &amber_frame(command, payload), &mut out);
    }
    assert!(out.iter().any(|action| matches!(action, Action::Ready(_))));
    dongle
}

fn amber_frame(command: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xFF, command, u8::try_from(payload.len()).unwrap_or(u8::MAX)];
    frame.extend(payload);
    frame.push(frame.iter().fold(0, |sum, byte| sum ^ byte));
    frame
}

const X25: Crc<u16> = Crc::<u16>::new(&CRC_16_IBM_SDLC);

/// Any bytes from any dongle whose port is open: no panic, bounded output, and the telegrams do not depend on how the bytes
/// were split. Gives the telegrams.
pub fn any_bytes(driver: impl Fn() -> Box<dyn Dongle>, bytes: &[u8]) -> Vec<FrameBytes> {
    let whole = heard(driver(), bytes, bytes.len().max(1));
    for split in [1, 7] {
        assert_eq!(whole, heard(driver(), bytes, split), "splitting the stream changes nothing");
    }
    whole
}

fn heard(mut dongle: Box<dyn Dongle>, bytes: &[u8], split: usize) -> Vec<FrameBytes> {
    let (mut out, now) = (Vec::new(), Instant::now());
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

/// With its port open.
pub fn opened(mut dongle: Box<dyn Dongle>) -> Box<dyn Dongle> {
    dongle.opened(Instant::now(), &mut Vec::new());
    dongle
}
