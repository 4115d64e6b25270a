//! Plays recorded telegrams through a virtual dongle.
//!
//! One telegram per line: the time in milliseconds since the recording began (it may be left out: then it follows at once),
//! the telegram in hexadecimal, beginning with its length byte and without link-layer CRCs, and the signal strength in dBm,
//! if known. Empty lines, and what follows a `#`, are comments.
//!
//! ```text
//! 0     2A442D2C998734761B168D...  -71
//! 16012 2A442D2C998734761B168D...
//! ```

use std::{num::NonZeroU32, str::FromStr, time::Duration};

use tokio::time::{Instant, sleep_until};

use crate::{
    dongle::{NotATelegram, check},
    plugged::Plugged,
};

/// A time has fewer digits than the shortest telegram, so the two cannot be taken for one another.
const LONGEST_TIME: usize = 15;
/// For telegrams whose signal strength was not recorded.
const UNKNOWN_RSSI_DBM: i16 = -75;

/// Recorded telegrams, in the order of their times.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Recording {
    telegrams: Vec<Recorded>,
}

/// One of them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Recorded {
    /// Since the beginning; `None` if it follows the one before at once.
    pub at: Option<Duration>,
    /// The telegram, beginning with its length byte.
    pub telegram: Vec<u8>,
    /// Signal strength in dBm.
    pub rssi_dbm: i16,
}

/// How fast to play.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Speed {
    /// So many times as fast as recorded.
    Times(NonZeroU32),
    /// Without any waiting.
    Unpaced,
}

/// A line that cannot be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line}: {wrong}")]
pub struct BadLine {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub wrong: Wrong,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Wrong {
    /// No telegram, or something after its signal strength.
    #[error(
        "must be a time in milliseconds (or nothing), a telegram and its signal strength in dBm (or nothing)"
    )]
    Fields,
    /// Not hexadecimal.
    #[error("the telegram is not hexadecimal")]
    Hex,
    /// The length byte is wrong.
    #[error("the telegram does not have the length its first byte says")]
    Length,
}

impl Recording {
    /// The telegrams.
    pub fn telegrams(&self) -> &[Recorded] {
        &self.telegrams
    }

    /// Plays all of it.
    ///
    /// # Errors
    /// None in practice: the telegrams were checked when the recording was read.
    pub async fn play(&self, dongle: &Plugged, speed: Speed) -> Result<(), NotATelegram> {
        let start = Instant::now();
        for recorded in &self.telegrams {
            if let (Some(at), Speed::Times(times)) = (recorded.at, speed) {
                sleep_until(start + at / times.get()).await;
            }
            dongle.hear(&recorded.telegram, recorded.rssi_dbm).await?;
        }
        Ok(())
    }
}

impl FromStr for Recording {
    type Err = BadLine;

    fn from_str(text: &str) -> Result<Self, BadLine> {
        let mut telegrams = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.split_once('#').map_or(line, |(before, _)| before).trim();
            if !line.is_empty() {
                telegrams.push(recorded(line).map_err(|wrong| BadLine { line: number + 1, wrong })?);
            }
        }
        Ok(Self { telegrams })
    }
}

fn recorded(line: &str) -> Result<Recorded, Wrong> {
    let mut fields = line.split_whitespace().peekable();
    let time = fields.next_if(|field| field.len() <= LONGEST_TIME);
    let at =
        time.map(|time| time.parse().map(Duration::from_millis)).transpose().map_err(|_| Wrong::Fields)?;
    let telegram = hex(fields.next().ok_or(Wrong::Fields)?).ok_or(Wrong::Hex)?;
    let rssi_dbm = match fields.next() {
        Some(rssi) => rssi.parse().map_err(|_| Wrong::Fields)?,
        None => UNKNOWN_RSSI_DBM,
    };
    if fields.next().is_some() {
        return Err(Wrong::Fields);
    }
    check(&telegram).map_err(|NotATelegram| Wrong::Length)?;
    Ok(Recorded { at, telegram, rssi_dbm })
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = text.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty()
        .then(|| pairs.iter().filter_map(|[high, low]| u8::try_from(high * 16 + low).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_telegrams_and_signal_strengths_are_read() {
        let text = "# a recording\n\n0 09442d2c998734761B16 -71\n  09442D2C998734761B17 # at once\n2500 09442D2C998734761B18";
        let recording: Recording = text.parse().unwrap();
        let read: Vec<_> =
            recording.telegrams().iter().map(|one| (one.at, one.telegram[9], one.rssi_dbm)).collect();
        let ms = Duration::from_millis;
        assert_eq!(read, [(Some(ms(0)), 0x16, -71), (None, 0x17, -75), (Some(ms(2500)), 0x18, -75)]);
    }

    #[test]
    fn a_bad_line_is_named() {
        for (text, wrong) in [
            ("12", Wrong::Fields),
            ("x 09442D2C998734761B16", Wrong::Fields),
            ("09442D2C998734761B16 loud", Wrong::Fields),
            ("09442D2C998734761B16 -7 8", Wrong::Fields),
            ("09442D2C998734761B1", Wrong::Hex),
            ("09442D2C998734761B1G", Wrong::Hex),
            ("0A442D2C998734761B16", Wrong::Length),
        ] {
            assert_eq!(text.parse::<Recording>(), Err(BadLine { line: 1, wrong }), "{text}");
        }
    }
}
