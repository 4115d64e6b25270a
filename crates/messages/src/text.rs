//! What all text types of the contract share: one parser, one printer, JSON through them, a pattern in the schema.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Gives a type with `FromStr` and `Display` its JSON form (a string) and its JSON Schema.
macro_rules! json_text {
    ($type:ty, $pattern:expr, $about:expr) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": $pattern, "description": $about })
            }
        }
    };
}
pub(crate) use json_text;

/// An enumeration of words that may grow: a word this version does not know is kept as `Other`, never refused.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$doc])* #[doc = concat!("`", $word, "` on the wire.")] $variant,)+
            /// A word of a later version, kept as it is.
            Other($crate::Word),
        }

        impl $name {
            /// The words this version knows.
            pub const KNOWN: &'static [Self] = &[$(Self::$variant),+];

            /// The word on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)+
                    Self::Other(word) => word.as_str(),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::NotAWord;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => text.parse().map(Self::Other),
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "pattern": "^[a-z][a-z0-9_]{0,39}$",
                    "description": concat!("One of these words, or a word of a later version", $(": ", $word),+),
                    "examples": [$($word),+],
                })
            }
        }
    };
}
pub(crate) use words;

/// A word as the contract spells codes, roles and reasons: `[a-z][a-z0-9_]*`, at most 40 characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Word(Box<str>);

impl Word {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A word that ends in a number; `stem` must itself be a short word.
    pub(crate) fn numbered(stem: &'static str, number: u8) -> Self {
        Self(format!("{stem}{number}").into())
    }
}

impl FromStr for Word {
    type Err = NotAWord;

    fn from_str(text: &str) -> Result<Self, NotAWord> {
        let starts = text.starts_with(|c: char| c.is_ascii_lowercase());
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if starts && text.len() <= 40 && text.bytes().all(fits) {
            Ok(Self(text.into()))
        } else {
            Err(NotAWord)
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

json_text!(Word, "^[a-z][a-z0-9_]{0,39}$", "A word of the contract.");

/// A text is not a word of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a word has 1 to 40 characters of a-z, 0-9 and _ and starts with a letter")]
pub struct NotAWord;

/// Reads exactly `digits` lower-case hexadecimal digits.
pub(crate) fn lower_hex(text: &str, digits: usize) -> Option<u128> {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != digits || !text.bytes().all(hex) {
        return None;
    }
    u128::from_str_radix(text, 16).ok()
}

/// A random 128-bit identifier, written as 32 lower-case hexadecimal digits.
///
/// Whoever makes one brings the random number: this crate draws none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(u128);

impl Id {
    /// An identifier from 128 random bits.
    #[must_use]
    pub const fn from_random(random: u128) -> Self {
        Self(random)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Id {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        lower_hex(text, 32).map(Self).ok_or(NotAnId)
    }
}

json_text!(Id, "^[0-9a-f]{32}$", "A random 128-bit identifier.");

/// A text is not an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an identifier has 32 lower-case hexadecimal digits")]
pub struct NotAnId;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_short_lower_case_and_safe() {
        assert_eq!("bit_17".parse::<Word>().map(|word| word.as_str().to_owned()), Ok("bit_17".to_owned()));
        for bad in ["", "Leak", "1st", "a b", "ä", &"a".repeat(41)] {
            assert_eq!(bad.parse::<Word>(), Err(NotAWord), "{bad}");
        }
    }

    #[test]
    fn identifiers_have_one_spelling() {
        let text = "00000000000000000000000000000a0f";
        assert_eq!(text.parse(), Ok(Id::from_random(0xA0F)));
        assert_eq!(Id::from_random(0xA0F).to_string(), text);
        assert_eq!(text.to_uppercase().parse::<Id>(), Err(NotAnId));
        assert_eq!("+0000000000000000000000000000a0f".parse::<Id>(), Err(NotAnId));
    }
}
