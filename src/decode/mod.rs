//! Explains frames typed in or read from logs: to a program as JSON, to a person as annotated bytes.

pub mod contract;
pub mod explain;
mod keys;

pub use contract::Decoded;
pub use keys::Keys;

use wmbus::frame::Format;
use wmbus::security::Scheme;
use wmbus::telegram::Refused;
use wmbus::{Cipher, Frame, FrameError, Learned, Policy, Sealed};

/// The longest hex that is looked at: the longest frame on the air, and a generous trailer.
const MAX_BYTES: usize = 1024;

/// Decodes frames one after the other; layouts learned from one serve those behind it.
pub struct Decoder {
    keys: Keys,
    learned: Learned,
}

impl Decoder {
    /// With these keys and nothing learned.
    #[must_use]
    pub fn new(keys: Keys) -> Self {
        Self { keys, learned: Learned::trusting() }
    }

    /// Decodes one frame in hexadecimal.
    ///
    /// ```
    /// use vesigate::decode::{Decoder, Keys};
    ///
    /// let mut decoder = Decoder::new(Keys::default());
    /// let decoded = decoder.decode("1844AE4C4455223368077A55000000041389E20100023B0000");
    /// assert!(decoded.is_ok());
    /// assert_eq!(decoded.records[0].value.as_deref(), Some("123.529"));
    /// ```
    pub fn decode(&mut self, hex: &str) -> Decoded {
        let mut frame = match unhex(hex).and_then(|bytes| Frame::detect(&bytes).map_err(Unreadable::Frame)) {
            Ok(frame) => frame,
            Err(error) => return Decoded::unreadable(&error),
        };
        let decoded = self.decode_frame(&mut frame);
        match bare_instead(&frame, &decoded, hex) {
            // By chance a bare frame may end as if it had a CRC of format B: then it opens without.
            Some(mut bare) => Some(self.decode_frame(&mut bare)).filter(Decoded::is_ok).unwrap_or(decoded),
            None => decoded,
        }
    }

    fn decode_frame(&mut self, frame: &mut Frame) -> Decoded {
        let mut decoded = Decoded::of_frame(frame);
        let sealed = match Sealed::read(frame) {
            Ok(sealed) => sealed,
            Err(refused) => return decoded.refused(refused),
        };
        decoded.headers(&sealed);
        let cipher = self.cipher(&sealed);
        match sealed.open(cipher.as_ref(), Policy::AlsoOpened) {
            Ok(telegram) => {
                decoded.opened(&telegram, &self.learned);
                if cipher.is_some() && telegram.security.scheme == Scheme::None {
                    decoded = decoded.refused(Refused::NotEncrypted);
                }
                self.learned.learn(telegram.meter().into(), telegram.application, telegram.body);
                decoded
            }
            Err(refused) => decoded.refused(refused),
        }
    }
}

impl Decoder {
    fn cipher(&self, sealed: &Sealed<'_>) -> Option<Cipher> {
        let key = self.keys.get(sealed.meter(), sealed.link().meter)?;
        Some(Cipher::new(key.clone()))
    }
}

fn bare_instead(frame: &Frame, decoded: &Decoded, hex: &str) -> Option<Frame> {
    if frame.format() != Format::B || decoded.is_ok() {
        return None;
    }
    Frame::bare(&unhex(hex).ok()?).ok()
}

/// Why a line is no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A character that is neither a digit nor a separator.
    #[error("character {0} is no hexadecimal digit")]
    Digit(usize),
    /// Half a byte is left.
    #[error("an odd number of hexadecimal digits")]
    Odd,
    /// Longer than any frame.
    #[error("more than {MAX_BYTES} bytes")]
    TooLong,
    /// Not a frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// Bytes from hex as people have it: upper or lower case, with blanks, `|`, `_`, `:`, `-`, and a leading `0x`.
///
/// # Errors
/// If there is anything else, half a byte, or far more than a frame.
pub fn unhex(text: &str) -> Result<Vec<u8>, Unreadable> {
    let text = text.trim();
    let (text, skipped) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(rest) => (rest, 2),
        None => (text, 0),
    };
    let mut bytes = Vec::new();
    let mut half = None;
    for (at, letter) in text.chars().enumerate() {
        if letter.is_whitespace() || matches!(letter, '|' | '_' | ':' | '-') {
            continue;
        }
        let digit = letter.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let digit = digit.ok_or(Unreadable::Digit(at + skipped + 1))?;
        half = match half {
            None => Some(digit << 4),
            Some(_) if bytes.len() == MAX_BYTES => return Err(Unreadable::TooLong),
            Some(high) => {
                bytes.push(high | digit);
                None
            }
        };
    }
    if half.is_some() { Err(Unreadable::Odd) } else { Ok(bytes) }
}

/// The word of the contract for a reason.
fn outcome(refused: Refused) -> contract::Outcome {
    use contract::Outcome;
    match refused {
        Refused::NoKey => Outcome::NoKey,
        Refused::WrongKey(_) => Outcome::WrongKey,
        Refused::NotEncrypted => Outcome::NotEncrypted,
        Refused::Damaged(_) => Outcome::Damaged,
        Refused::NoData(_) => Outcome::NoData,
        Refused::Fragment => Outcome::Fragment,
        _ => Outcome::Unsupported,
    }
}

#[cfg(test)]
mod tests;
