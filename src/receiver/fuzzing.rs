//! Bodies of fuzz targets: functions that panic when a promise is broken. Tests call them, too.

use std::time::Instant;

use super::{Action, Dongle, FrameBytes, Im871a, Listen};

/// Any bytes from an iM871A: no panic, bounded output, and the telegrams do not depend on how the bytes were split.
pub fn im871a(bytes: &[u8]) {
    let whole = heard(bytes, bytes.len().max(1));
    assert!(whole.len() <= bytes.len() / 13, "a telegram takes at least 13 bytes on the line");
    assert_eq!(whole, heard(bytes, 1), "splitting the stream changes nothing");
    assert_eq!(whole, heard(bytes, 7), "splitting the stream changes nothing");
}

fn heard(bytes: &[u8], split: usize) -> Vec<FrameBytes> {
    let (mut dongle, mut out, now) = (Im871a::new(Listen::C1AndT1), Vec::new(), Instant::now());
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
