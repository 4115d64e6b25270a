//! Telegrams in hexadecimal digits. Usually each has a line of its own; but they may follow one another without any, and a
//! long one may be broken over lines. Whatever is no digit separates nothing but lines.
//!
//! A telegram is believed if its line ends with it, or if another surely begins behind it. Otherwise it may be the rest of one that
//! was cut off, even in the middle of a byte: then some line ends exactly with a telegram that begins later, and that is the
//! right one. If there is none within so many characters or before a pause, it is believed all the same.

use std::ops::Range;

use arrayvec::ArrayVec;

use super::{
    Message,
    raw::{self, FIRST_BLOCK},
};
use crate::receiver::{
    FrameBytes, LinkCrcs,
    bare::{self, Begins},
    framing::{Found, Framing},
};

/// So many characters are looked at: more than the longest telegram takes with a space behind each byte, less than the deframer's room.
const HORIZON: usize = 960;
/// Bytes that show whether a telegram begins, and whether it surely does.
const HEAD: usize = 4;
const SURE_HEAD: usize = 8;

/// The framing, which needs no memory.
#[derive(Debug)]
pub(super) struct Hex;

impl Framing for Hex {
    type Message<'a> = Message;

    fn look(&mut self, bytes: &[u8]) -> Found<Message> {
        let enough = bytes.len() >= HORIZON;
        match look(bytes, enough) {
            Found::Incomplete if enough => Found::Garbage { length: 1 },
            found => found,
        }
    }

    fn look_at_rest(&mut self, bytes: &[u8]) -> Found<Message> {
        look(bytes, true)
    }
}

/// `all`: there will be no more to look at.
fn look(bytes: &[u8], all: bool) -> Found<Message> {
    let space = bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    if space > 0 {
        return Found::Whole { message: Message::Nothing, length: space };
    }
    let noise =
        bytes.iter().take_while(|byte| !byte.is_ascii_hexdigit() && !byte.is_ascii_whitespace()).count();
    if noise > 0 {
        return Found::Garbage { length: noise };
    }
    let digits = Digits::of(bytes.get(..HORIZON).unwrap_or(bytes));
    let start = (0..digits.len()).find(|&at| digits.begins(at) != Begins::No).unwrap_or(digits.len());
    if start > 0 {
        return Found::Garbage { length: digits.place(start) };
    }
    if digits.begins(0) == Begins::Perhaps {
        return Found::Incomplete;
    }
    let Some((size, crcs)) = digits.size(0, all) else { return Found::Incomplete };
    let whole = || digits.telegram(0..size, crcs);
    match digits.ends(size, all) {
        Ends::Surely => whole(),
        Ends::Unknown => Found::Incomplete,
        Ends::Oddly => match digits.better_beginning(size, all) {
            Some(at) => Found::CutOff { length: digits.place(at) },
            None if !all || digits.len() < size => Found::Incomplete,
            None => whole(),
        },
    }
}

/// The digits of the bytes looked at.
struct Digits(ArrayVec<Digit, HORIZON>);

#[derive(Clone, Copy)]
struct Digit {
    value: u8,
    /// Where among the bytes.
    place: usize,
    ends_line: bool,
}

/// Whether something ends here.
enum Ends {
    Surely,
    Oddly,
    Unknown,
}

impl Digits {
    fn of(bytes: &[u8]) -> Self {
        let mut digits: ArrayVec<Digit, HORIZON> = ArrayVec::new();
        for (place, byte) in bytes.iter().enumerate().take(HORIZON) {
            let value = char::from(*byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
            match (value, digits.last_mut()) {
                (Some(value), _) => digits.push(Digit { value, place, ends_line: false }),
                (None, Some(last)) if matches!(byte, b'\r' | b'\n') => last.ends_line = true,
                _ => {}
            }
        }
        Self(digits)
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    /// Where a digit stands; behind the last one, where that ends.
    fn place(&self, at: usize) -> usize {
        match (self.0.get(at), self.0.last()) {
            (Some(digit), _) => digit.place,
            (None, Some(last)) => last.place + 1,
            (None, None) => 0,
        }
    }

    /// As many of the bytes from here on as are there.
    fn bytes<const N: usize>(&self, at: usize) -> ArrayVec<u8, N> {
        let pairs = self.0.get(at..).unwrap_or_default().chunks_exact(2);
        pairs.map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit.value)).take(N).collect()
    }

    /// Whether a line ends within these digits, not with them.
    fn is_broken(&self, range: Range<usize>) -> bool {
        let inside = range.start..range.end.saturating_sub(1).min(self.len());
        self.0.get(inside).unwrap_or_default().iter().any(|digit| digit.ends_line)
    }

    fn begins(&self, at: usize) -> Begins {
        let begins = bare::begins(&self.bytes::<HEAD>(at), 0);
        if self.is_broken(at..at + 2 * HEAD) { Begins::No } else { begins }
    }

    fn surely_begins(&self, at: usize) -> Begins {
        let begins = bare::surely_begins(&self.bytes::<SURE_HEAD>(at), 0);
        if self.is_broken(at..at + 2 * SURE_HEAD) { Begins::No } else { begins }
    }

    /// How many digits the telegram that begins here has, and its CRCs. `None` if it takes more digits to say.
    fn size(&self, at: usize, all: bool) -> Option<(usize, LinkCrcs)> {
        let block = self.bytes::<FIRST_BLOCK>(at);
        let crcs = match block.first_chunk() {
            _ if self.is_broken(at..at + 2 * FIRST_BLOCK) => LinkCrcs::Removed,
            Some(block) => raw::crcs(block),
            None if all => LinkCrcs::Removed,
            None => return None,
        };
        Some((2 * crcs.size(*block.first()?)?, crcs))
    }

    /// Whether the telegram that begins with the first digit ends here.
    fn ends(&self, at: usize, all: bool) -> Ends {
        if self.is_broken(0..at) {
            return Ends::Oddly;
        }
        match self.0.get(at.saturating_sub(1)) {
            None if all => Ends::Oddly,
            None => Ends::Unknown,
            Some(last) if last.ends_line => Ends::Surely,
            Some(_) => match self.surely_begins(at) {
                Begins::Yes => Ends::Surely,
                Begins::Perhaps if !all => Ends::Unknown,
                Begins::Perhaps if at == self.len() => Ends::Surely,
                Begins::Perhaps | Begins::No => Ends::Oddly,
            },
        }
    }

    /// A later beginning with which its line ends exactly; that of the first line that has one.
    fn better_beginning(&self, size: usize, all: bool) -> Option<usize> {
        let fits = |at: usize, end: usize| {
            self.begins(at) == Begins::Yes && self.size(at, all).is_some_and(|(size, _)| at + size == end)
        };
        let mut line = 0;
        for end in self.0.iter().enumerate().filter(|(_, digit)| digit.ends_line).map(|(at, _)| at + 1) {
            let better = (line.max(1)..end.min(size)).find(|&at| fits(at, end));
            if better.is_some() {
                return better;
            }
            line = end;
        }
        None
    }

    fn telegram(&self, range: Range<usize>, crcs: LinkCrcs) -> Found<Message> {
        let mut bytes = self.bytes::<{ FrameBytes::CAPACITY }>(range.start);
        bytes.truncate(range.len() / 2);
        let end = range.end.checked_sub(1).map_or(0, |last| self.place(last) + 1);
        raw::telegram(&bytes, crcs, end)
    }
}
