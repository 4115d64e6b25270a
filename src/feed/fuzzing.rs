//! Bodies of fuzz targets: functions that panic when a promise is broken. Tests call them, too.

use std::time::Instant;

use super::decoder::{Decoder, Event};
use super::wire::{self, Ears, ToCollect};
use crate::config::FeedFormat;

/// Any bytes from a chain with `rtl_wmbus`: no panic, bounded output, and the telegrams do not depend on how the bytes
/// were split.
pub fn rtl_wmbus(bytes: &[u8]) {
    let heard = |split: usize| {
        let (mut decoder, now, mut out) = (Decoder::new(FeedFormat::RtlWmbus), Instant::now(), Vec::new());
        decoder.opened(now);
        for piece in bytes.chunks(split) {
            decoder.bytes(now, piece, &mut out);
        }
        out.into_iter()
            .filter_map(|event| match event {
                Event::Heard(heard) => Some(heard.bytes),
                Event::Exiting => None,
            })
            .collect::<Vec<_>>()
    };
    let whole = heard(bytes.len().max(1));
    for split in [1, 7] {
        assert_eq!(whole, heard(split), "splitting the stream changes nothing");
    }
    assert!(whole.len() <= bytes.len() / 36, "a telegram takes at least 36 characters");
    for telegram in whole {
        assert_eq!(telegram.first().map(|length| usize::from(*length) + 1), Some(telegram.len()));
    }
}

/// Bytes as the ingredients of lines: mode, flags and faults, a length, a telegram.
pub fn rtl_wmbus_lines(bytes: &[u8]) {
    let (mut line, mut rest) = (Vec::new(), bytes);
    while let Some(([kind, length], tail)) = rest.split_first_chunk::<2>() {
        let (telegram, tail) = tail.split_at(tail.len().min(usize::from(*length)));
        rest = tail;
        let mode = match kind & 0x03 {
            0 => "T1",
            1 => "C1",
            2 => "S1",
            _ => "rla;C1",
        };
        let flags = if kind & 0x0C == 0x0C { "0;1" } else { "1;1" };
        line.extend(format!("{mode};{flags};2024-01-15 10:20:30.000;1;2;00000000;0x").bytes());
        // The right length, or one that counts one or two CRCs.
        let said = u8::try_from(telegram.len()).unwrap_or(u8::MAX).wrapping_add(kind >> 4 & 0x06);
        line.extend(format!("{said:02x}").bytes());
        line.extend(telegram.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()));
        line.extend((kind & 0x80 != 0).then_some(b'0'));
        line.push(b'\n');
    }
    rtl_wmbus(&line);
}

/// Any bytes from a feeder: no panic, what is heard does not depend on how they were split, and a telegram agrees with
/// its length byte.
pub fn feed_socket(bytes: &[u8]) {
    let heard = |split: usize| {
        let (mut ears, mut told) = (Ears::new(), Vec::new());
        for piece in bytes.chunks(split) {
            ears.take(piece, |said: Option<ToCollect>| told.push(said));
        }
        told
    };
    let whole = heard(bytes.len().max(1));
    for split in [1, 7] {
        assert_eq!(whole, heard(split), "splitting the stream changes nothing");
    }
    for said in whole.into_iter().flatten() {
        if let ToCollect::Telegram { hex, .. } = said
            && let Some(telegram) = wire::frame(&hex)
        {
            assert_eq!(telegram.first().map(|length| usize::from(*length) + 1), Some(telegram.len()));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_keep_the_promises(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            rtl_wmbus(&bytes);
            rtl_wmbus_lines(&bytes);
            feed_socket(&bytes);
        }

        #[test]
        fn any_letters_of_lines_keep_the_promises(text in "([TCS]1;[01];[01];|0x[0-9a-f]{0,40}|;|\n|rla;){0,40}") {
            rtl_wmbus(text.as_bytes());
        }

        #[test]
        fn any_words_of_a_feeder_keep_the_promises(
            text in "(\\{\"telegram\":\\{\"hex\":\"[0-9A-F]{0,40}\"\\}\\}\n|\\{\"hello\":\"[a-z]{0,3}\"\\}\n|[ -~\n]{0,9}){0,9}"
        ) {
            feed_socket(text.as_bytes());
        }
    }
}
