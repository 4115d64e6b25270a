//! Personal data: readable only where it is asked for, never printed by `Debug`.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A text that says something about a person, or that opens something: a street address, a link with a token.
///
/// ```
/// let street = messages::Personal::from("Kuusikuja 5");
/// assert_eq!(format!("{street:?}"), "[personal]");
/// assert_eq!(street.reveal(), "Kuusikuja 5");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Personal(String);

impl Personal {
    /// The text.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl<T: Into<String>> From<T> for Personal {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Personal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[personal]")
    }
}

/// A mail address: one `@`, both sides there, no spaces, control characters, commas or angle brackets, at most 254
/// bytes (RFC 5321, 4.5.3.1). Whether it exists is for the mail server to say.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub struct Email(#[schemars(length(max = 254))] String);

impl Email {
    /// The address.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[mail address]")
    }
}

impl FromStr for Email {
    type Err = NotAnEmail;

    fn from_str(text: &str) -> Result<Self, NotAnEmail> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for Email {
    type Error = NotAnEmail;

    fn try_from(text: String) -> Result<Self, NotAnEmail> {
        let odd = |c: char| c.is_whitespace() || c.is_control() || "<>,;:\"()[]\\".contains(c);
        let sides = text.split_once('@');
        let fits = sides.is_some_and(|(local, domain)| {
            (1..=64).contains(&local.len()) && !domain.is_empty() && !domain.contains('@')
        });
        if fits && text.len() <= 254 && !text.contains(odd) { Ok(Self(text)) } else { Err(NotAnEmail) }
    }
}

/// A text is not a mail address. It is not repeated here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a mail address")]
pub struct NotAnEmail;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_could_break_a_header_are_refused() {
        for bad in ["", "@", "a@", "@b", "a@b@c", "a b@c", "a@b\r\nBcc: x", "a@b,c@d", "<a@b>"] {
            assert_eq!(bad.parse::<Email>(), Err(NotAnEmail), "{bad}");
        }
        assert!("matti.meikäläinen@example.fi".parse::<Email>().is_ok());
    }

    #[test]
    fn debug_and_errors_never_show_them() {
        let email: Email = "a@example.fi".parse().unwrap();
        assert_eq!(format!("{email:?} {:?}", Personal::from("Kuusikuja")), "[mail address] [personal]");
        let error = serde_json::from_str::<Email>(r#""Matti <a@example.fi>""#).unwrap_err();
        assert!(!error.to_string().contains("example"), "{error}");
    }
}
