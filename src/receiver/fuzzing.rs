//! Bodies of fuzz targets: functions that panic when a promise is broken. Tests call them, too.

use std::time::{Duration, Instant};

use crc::{CRC_16_EN_13757, CRC_16_IBM_SDLC, Crc};

use super::{Action, Amb8465, Cul, Dongle, FrameBytes, HexTty, Im871a, Iu891a, Listen, RawTty, Rc1180};

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

/// Any bytes from an iU891A: no panic, bounded output, and the telegrams do not depend on how the bytes were split.
pub fn iu891a(bytes: &[u8]) {
    let heard = any_bytes(|| opened(Box::new(Iu891a::new(Listen::C1AndT1))), bytes);
    assert!(heard.len() <= bytes.len() / 22, "a telegram takes at least 22 bytes on the line");
}

/// Bytes as the ingredients of a line: a SAP, an id, a length, then a body. They become a frame with a right checksum, which
/// blind bytes hardly ever have; a telegram where the highest bit of the first is set, garbage where all are.
pub fn iu891a_framed(bytes: &[u8]) {
    let (mut line, mut rest) = (Vec::new(), bytes);
    while let Some(([sap, id, length], tail)) = rest.split_first_chunk::<3>() {
        let (body, tail) = tail.split_at(tail.len().min(usize::from(*length)));
        rest = tail;
        if *sap == 0xFF {
            line.extend(body);
            continue;
        }
        let mut content = if sap & 0x80 == 0 { vec![*sap, *id] } else { vec![9, 0x20] };
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

/// Any bytes from a CUL.
pub fn cul(bytes: &[u8]) {
    let heard = any_bytes(|| opened(Box::new(Cul::new(Listen::C1AndT1, 38_400))), bytes);
    assert!(heard.len() <= bytes.len() / 26, "a telegram takes at least 26 characters on the line");
}

/// Bytes as the ingredients of lines: how each begins and what is wrong with it, a length, a telegram. They become lines of
/// digits, which blind bytes hardly ever are.
pub fn cul_lines(bytes: &[u8]) {
    let (mut line, mut rest) = (Vec::new(), bytes);
    while let Some(([kind, length], tail)) = rest.split_first_chunk::<2>() {
        let (telegram, tail) = tail.split_at(tail.len().min(usize::from(*length)));
        rest = tail;
        line.extend(match kind & 0x07 {
            0 => &b"bY"[..],
            1 => b"**b",
            2 => b"",
            3 => b"bb",
            _ => b"b",
        });
        // The length that belongs to so many bytes with a CRC, or with two more of reception.
        let length = length.wrapping_sub(kind >> 3 & 0x03);
        line.extend(format!("{length:02X}").bytes());
        line.extend(telegram.iter().flat_map(|byte| format!("{byte:02X}").into_bytes()));
        if kind & 0x20 != 0 {
            line.pop();
        }
        line.extend(if kind & 0x40 == 0 { &b"\r\n"[..] } else { b"" });
    }
    cul(&line);
}

/// Any bytes from an RC1180.
pub fn rc1180(bytes: &[u8]) {
    let heard = any_bytes(|| rc1180_ready(0), bytes);
    assert!(heard.len() <= bytes.len() / 10, "a telegram takes at least 10 bytes on the line");
}

/// Any bytes from one that puts CRCs behind its telegrams.
pub fn rc1180_with_crc(bytes: &[u8]) {
    let heard = any_bytes(|| rc1180_ready(8), bytes);
    assert!(heard.len() <= bytes.len() / 12, "a telegram takes at least 12 bytes on the line");
}

/// Bytes as the ingredients of telegrams, without CRCs and with such.
pub fn rc1180_telegrams(bytes: &[u8]) {
    let line = telegrams(bytes);
    rc1180(&line);
    let mut with_crcs = Vec::new();
    for piece in line.chunks(40) {
        let Ok(length) = u8::try_from(piece.len() + 1) else { continue };
        with_crcs.extend([length + 2, 0x44]);
        with_crcs.extend(piece);
        let covered = [&[length, 0x44], piece].concat();
        with_crcs.extend(EN_13757.checksum(&covered).to_le_bytes());
    }
    rc1180_with_crc(&with_crcs);
}

/// One that has said what it attaches, and is set up.
fn rc1180_ready(interface: u8) -> Box<dyn Dongle> {
    let mut dongle: Box<dyn Dongle> = Box::new(Rc1180::new(Listen::C1AndT1, 19_200));
    let mut memory = [0xFF; 257];
    for (address, value) in [(0x12, 1), (0x36, interface), (0x3D, 2), (0x3F, 0), (0x100, b'>')] {
        memory.iter_mut().skip(address).take(1).for_each(|byte| *byte = value);
    }
    let (mut out, now) = (Vec::new(), Instant::now());
    dongle.opened(now, &mut out);
    for answer in [b">", &memory[..], b">", b">"] {
        dongle.bytes(now, answer, &mut out);
    }
    assert!(out.iter().any(|action| matches!(action, Action::Ready(_))));
    dongle
}

/// Any bytes from a receiver that writes telegrams in bytes.
pub fn raw_tty(bytes: &[u8]) {
    let heard = any_bytes(|| opened(Box::new(RawTty::new(19_200))), bytes);
    assert!(heard.len() <= bytes.len() / 10, "a telegram takes at least 10 bytes on the line");
}

/// Bytes as the ingredients of telegrams, in bytes and in digits.
pub fn tty_telegrams(bytes: &[u8]) {
    let line = telegrams(bytes);
    raw_tty(&line);
    // Lines end where the ingredients say so, also within a telegram, and some digits are left out.
    let mut digits = Vec::new();
    for (byte, says) in line.iter().zip(bytes.iter().cycle()) {
        digits.extend(format!("{byte:02X}").bytes().take(if *says == 0x55 { 1 } else { 2 }));
        digits.extend(match says {
            0xF0.. => &b"\r\n"[..],
            0xE8.. => b" ",
            0xE6.. => b"x",
            _ => b"",
        });
    }
    hex_tty(&digits);
}

/// Any bytes from a receiver that writes telegrams in hexadecimal digits.
pub fn hex_tty(bytes: &[u8]) {
    let heard = any_bytes(|| opened(Box::new(HexTty::new(19_200))), bytes);
    assert!(heard.len() <= bytes.len() / 20, "a telegram takes at least 20 digits on the line");
}

/// Bytes as the ingredients of a line of telegrams without any frame: what is wrong with each, its length, the telegram.
fn telegrams(bytes: &[u8]) -> Vec<u8> {
    let (mut line, mut rest) = (Vec::new(), bytes);
    while let Some(([kind, length], tail)) = rest.split_first_chunk::<2>() {
        let (body, tail) = tail.split_at(tail.len().min(usize::from(*length)));
        rest = tail;
        let said = u8::try_from(body.len() + 3).unwrap_or(u8::MAX);
        line.push(if kind & 0x03 == 0 { *length } else { said });
        line.push(if kind & 0x0C == 0 { *kind } else { 0x44 });
        line.extend(if kind & 0x30 == 0 { [*kind; 2] } else { [0x2D, 0x2C] });
        line.extend(body);
    }
    line
}

const EN_13757: Crc<u16> = Crc::<u16>::new(&CRC_16_EN_13757);
const X25: Crc<u16> = Crc::<u16>::new(&CRC_16_IBM_SDLC);

/// Longer than any kind waits for the rest of a frame.
const REST: Duration = Duration::from_secs(3);

/// Any bytes from any dongle whose port is open: no panic, bounded output, and the telegrams do not depend on how the bytes
/// were split. Gives the telegrams, also those that only a pause ends.
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
    // What is believed, or given up, only because nothing follows.
    dongle.tick(now + REST, &mut out);
    assert!(out.len() <= 16 + bytes.len(), "and a few more");
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
