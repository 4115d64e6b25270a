//! Lines out of a stream of bytes, none longer than so many.

/// Bytes of which no line has been made yet.
#[derive(Debug)]
pub(super) struct Lines {
    buffer: Vec<u8>,
    longest: usize,
    /// The line that is coming in is too long: its rest is passed over.
    passing: bool,
}

/// What came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// A line without its end.
    Whole(&'a [u8]),
    /// One that was too long, told once at its end.
    TooLong,
}

impl Lines {
    pub(super) const fn new(longest: usize) -> Self {
        Self { buffer: Vec::new(), longest, passing: false }
    }

    /// Forgets what has begun.
    pub(super) fn clear(&mut self) {
        self.buffer.clear();
        self.passing = false;
    }

    /// Takes bytes in, split in any way, and tells every line that ends in them.
    pub(super) fn take(&mut self, bytes: &[u8], mut tell: impl FnMut(Line<'_>)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (piece, ends) = piece.strip_suffix(b"\n").map_or((piece, false), |piece| (piece, true));
            if self.buffer.len().saturating_add(piece.len()) > self.longest {
                self.passing = true;
                self.buffer.clear();
            }
            if !self.passing {
                self.buffer.extend_from_slice(piece);
            }
            if ends {
                let line = self.buffer.strip_suffix(b"\r").unwrap_or(&self.buffer);
                tell(if self.passing { Line::TooLong } else { Line::Whole(line) });
                self.clear();
            }
        }
    }
}

/// What a program of others said, as it may stand in a log or a status: printable, short, and without what may be a
/// telegram.
pub(super) fn presentable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut out = String::new();
    for word in text.split_whitespace() {
        if out.len().saturating_add(word.len()) >= MOST_SHOWN {
            out.push_str(" ...");
            break;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        if longest_run(word) >= TELEGRAM_DIGITS {
            out.push_str("(digits)");
        } else {
            out.extend(word.chars().map(|letter| if letter.is_control() { '?' } else { letter }));
        }
    }
    out
}

fn longest_run(word: &str) -> usize {
    let runs = word.split(|letter: char| !letter.is_ascii_hexdigit());
    runs.map(str::len).max().unwrap_or_default()
}

/// As much as fits a line of a terminal or two.
const MOST_SHOWN: usize = 160;
/// A meter's address has sixteen; addresses in memory, which programs show when they fail, fewer.
const TELEGRAM_DIGITS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<Option<Vec<u8>>> {
        let (mut lines, mut told) = (Lines::new(8), Vec::new());
        for piece in pieces {
            lines.take(piece, |line| {
                told.push(match line {
                    Line::Whole(line) => Some(line.to_vec()),
                    Line::TooLong => None,
                });
            });
            assert!(lines.buffer.len() <= 8);
        }
        told
    }

    #[test]
    fn lines_come_out_whole_however_they_were_split() {
        assert_eq!(lines(&[b"ab\r\nc", b"d", b"\n\nef"]), [&b"ab"[..], b"cd", b""].map(|l| Some(l.to_vec())));
    }

    #[test]
    fn one_that_is_too_long_is_told_once_and_the_next_one_is_well() {
        let told = lines(&[b"123456789", b"0123456789", b"\n12345678\n", b"123456789\nx\n"]);
        assert_eq!(told, [None, Some(b"12345678".to_vec()), None, Some(b"x".to_vec())]);
    }

    #[test]
    fn what_programs_say_is_shown_short_and_without_telegrams() {
        assert_eq!(
            presentable(b"usb_open error -3\x1b[31m at 0xffff8000"),
            "usb_open error -3?[31m at 0xffff8000"
        );
        assert_eq!(presentable(b"T1;1;1;x;0x2A442D2C99873476 bad"), "(digits) bad");
        assert!(presentable(&b"word ".repeat(1000)).len() < 200);
        assert!(presentable(&[0xC3; 5000]).len() < 200);
    }
}
