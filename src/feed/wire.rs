//! What a feeder and collect say to each other over the feed socket: one JSON object a line, none longer than
//! [`LONGEST`].
//!
//! The feeder begins with [`ToCollect::Hello`]. Collect answers with what this feed has to do, as its configuration says
//! it, so that the feeder needs to read none; or with why not. Then come telegrams, and every few seconds how the source
//! is. Collect takes nothing else from a feeder, and stamps telegrams itself.

use serde::{Deserialize, Serialize};

use super::lines::{Line, Lines};
use crate::config::{Feed, FeedName};
use crate::receiver::{FrameBytes, LinkMode};

/// What is said is never longer, in bytes.
pub const LONGEST: usize = 4096;

/// From the feeder to collect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToCollect {
    /// Here is the feeder of this name.
    Hello(FeedName),
    /// A telegram was heard just now.
    Telegram {
        /// Its bytes in hexadecimal, beginning with the length byte.
        hex: String,
        /// How it was sent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mode: Option<LinkMode>,
    },
    /// How the source is.
    Report(Report),
}

/// From collect to the feeder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToFeeder {
    /// This is what to do.
    Welcome(Feed),
    /// The feeder is not wanted.
    Refused(Refusal),
    /// The connection ends, and why. Coming back is welcome.
    Closed(String),
}

/// Why a feeder is not wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// No feed has this name.
    #[error("the gateway's configuration has no [[feed]] of this name{}", match .0.as_slice() {
        [] => ", nor any other: add one, and reload the gateway".to_owned(),
        known => format!("; it has {}", known.join(", ")),
    })]
    Unknown(Vec<String>),
    /// Another feeder has it.
    #[error("another feeder of this name is connected already: stop that one first")]
    Taken,
    /// It was no [`ToCollect::Hello`].
    #[error("it was not understood: feeder and gateway are of different versions, restart both")]
    NotUnderstood,
}

/// How the source is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Whether it runs, or why not, with what is done about it.
    pub state: SourceState,
    /// How often it was started again.
    pub restarts: u64,
    /// Telegrams that were not handed on: collect was away or too slow.
    pub dropped: u64,
    /// What came from it.
    pub counts: Counts,
}

/// Whether a source runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceState {
    /// It is being started or connected to.
    #[default]
    Starting,
    /// It runs.
    Running,
    /// It does not, and why; it is tried again.
    Failed(String),
}

/// What came from a source since the feeder was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Telegrams taken.
    pub good: u64,
    /// The same again within two seconds, of the other demodulator.
    pub again: u64,
    /// Telegrams with a wrong length or a digit too many, which was put right; they are among the good ones.
    pub mended: u64,
    /// Telegrams whose CRCs were wrong.
    pub bad_crc: u64,
    /// Telegrams with symbols that are none of the "3 out of 6" code.
    pub bad_coding: u64,
    /// Lines that begin like telegrams and are none.
    pub malformed: u64,
    /// Lines of text.
    pub log_lines: u64,
    /// Bytes that belong to nothing.
    pub garbage_bytes: u64,
}

/// What is said, as a line.
///
/// # Errors
/// It would be too long.
pub fn line(said: &impl Serialize) -> Result<Vec<u8>, TooLong> {
    let mut line = serde_json::to_vec(said).map_err(|_| TooLong)?;
    line.push(b'\n');
    if line.len() <= LONGEST { Ok(line) } else { Err(TooLong) }
}

/// A line would be longer than [`LONGEST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too long for the feed socket")]
pub struct TooLong;

/// A telegram as it is said.
#[must_use]
pub fn telegram(bytes: &[u8], mode: Option<LinkMode>) -> ToCollect {
    use std::fmt::Write as _;

    let hex = bytes.iter().fold(String::with_capacity(bytes.len().saturating_mul(2)), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02X}");
        hex
    });
    ToCollect::Telegram { hex, mode }
}

/// The bytes of a telegram that was said; `None` if they are none, or its length byte says something else.
#[must_use]
pub fn frame(hex: &str) -> Option<FrameBytes> {
    let digits = hex.as_bytes();
    if !digits.len().is_multiple_of(2) || digits.len() > 2 * 256 {
        return None;
    }
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let bytes = digits.chunks_exact(2).map(|pair| match pair {
        [high, low] => Some(value(*high)? << 4 | value(*low)?),
        _ => None,
    });
    let bytes = bytes.collect::<Option<Vec<u8>>>()?;
    let (length, rest) = bytes.split_first()?;
    let agrees = *length >= 9 && usize::from(*length) == rest.len();
    if agrees { FrameBytes::with_length(*length, rest).ok() } else { None }
}

/// Makes what was said of the bytes that come.
#[derive(Debug)]
pub struct Ears(Lines);

impl Ears {
    /// Nothing heard yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Lines::new(LONGEST))
    }

    /// Takes bytes in and tells everything that is whole: `None` for a line that says nothing we know.
    pub fn take<T: serde::de::DeserializeOwned>(&mut self, bytes: &[u8], mut tell: impl FnMut(Option<T>)) {
        self.0.take(bytes, |line| match line {
            Line::Whole(line) => tell(serde_json::from_slice(line).ok()),
            Line::TooLong => tell(None),
        });
    }
}

impl Default for Ears {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn heard(bytes: &[u8], split: usize) -> Vec<Option<ToCollect>> {
        let (mut ears, mut told) = (Ears::new(), Vec::new());
        for piece in bytes.chunks(split) {
            ears.take(piece, |said| told.push(said));
        }
        told
    }

    #[test]
    fn what_is_said_is_understood_and_anything_else_is_told_apart() {
        let said = [
            ToCollect::Hello("roof".parse().unwrap()),
            telegram(&[9; 10], Some(LinkMode::T1)),
            ToCollect::Report(Report { state: SourceState::Failed("x".to_owned()), ..Report::default() }),
        ];
        let mut bytes = said.iter().flat_map(|said| line(said).unwrap()).collect::<Vec<_>>();
        bytes.extend(b"{\"sing\":1}\n{\"hello\":\"../x\"}\n");
        for split in [1, 13, bytes.len()] {
            let heard = heard(&bytes, split);
            assert_eq!(heard.iter().flatten().cloned().collect::<Vec<_>>(), said);
            assert_eq!(heard[3..], [None, None]);
        }
    }

    #[test]
    fn the_longest_of_everything_fits_a_line() {
        assert!(line(&telegram(&[0xFF; 256], Some(LinkMode::T1))).is_ok());
        let feed = Feed {
            name: "x".repeat(32).parse().unwrap(),
            // Every character escaped.
            source: crate::config::FeedSource::Command("\"".repeat(1000)),
            format: crate::config::FeedFormat::RtlWmbus,
            silent_after: Some(std::time::Duration::from_secs(u64::MAX)),
        };
        assert!(line(&ToFeeder::Welcome(feed)).is_ok());
        let counts = Counts { good: u64::MAX, again: u64::MAX, mended: u64::MAX, ..Counts::default() };
        let state = SourceState::Failed("\"".repeat(400));
        assert!(
            line(&ToCollect::Report(Report { state, restarts: u64::MAX, dropped: u64::MAX, counts })).is_ok()
        );
        let names = vec!["x".repeat(32); Feed::MOST];
        assert!(line(&ToFeeder::Refused(Refusal::Unknown(names))).is_ok());
    }

    #[test]
    fn a_frame_agrees_with_its_length_byte() {
        assert_eq!(frame("09112233445566778899").map(|frame| frame.len()), Some(10));
        for bad in [
            "",
            "0",
            "08",
            "0811223344556677",
            "081122334455667788",
            "0911223344556677889",
            "0A112233445566778899",
            "09112233445566778g99",
        ] {
            assert_eq!(frame(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn telegrams_are_said_and_understood(body in proptest::collection::vec(any::<u8>(), 9..=255)) {
            let mut whole = vec![u8::try_from(body.len()).unwrap()];
            whole.extend(&body);
            let ToCollect::Telegram { hex, .. } = telegram(&whole, None) else { unreachable!() };
            let understood = frame(&hex).unwrap();
            prop_assert_eq!(&understood[..], &whole[..]);
        }

        #[test]
        fn any_bytes_are_heard(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(heard(&bytes, 1), heard(&bytes, 64));
        }
    }
}
