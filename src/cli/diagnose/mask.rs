//! What must not leave the gateway in a support bundle: keys, addresses, names, and which meters these are.

use std::collections::BTreeSet;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::world::random;

/// Makes texts fit to be sent. Meters keep a tag, the same all over one bundle, so that lines about one meter can still be
/// put together; the salt is forgotten with it.
#[derive(Debug)]
pub(super) struct Mask {
    salt: [u8; 16],
    /// Names of people and places that must not show.
    names: BTreeSet<String>,
}

impl Mask {
    pub(super) fn new(names: impl IntoIterator<Item = String>) -> Self {
        // Shorter ones would hit ordinary words.
        Self { salt: random(), names: names.into_iter().filter(|name| name.chars().count() >= 4).collect() }
    }

    /// A text, word by word.
    pub(super) fn text(&self, text: &str) -> String {
        let mut named = text.to_owned();
        for name in &self.names {
            if named.contains(name.as_str()) {
                named = named.replace(name.as_str(), "<name>");
            }
        }
        let mut masked = String::with_capacity(named.len());
        let mut word = String::new();
        for letter in named.chars() {
            if letter.is_alphanumeric() || "@._+-=/".contains(letter) {
                word.push(letter);
            } else {
                masked.push_str(&self.word(&std::mem::take(&mut word)));
                masked.push(letter);
            }
        }
        masked.push_str(&self.word(&word));
        masked
    }

    /// Every text of a JSON document, keys of objects as well. Numbers stay.
    pub(super) fn json(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(list) => Value::Array(list.into_iter().map(|value| self.json(value)).collect()),
            Value::Object(fields) => {
                fields.into_iter().map(|(key, value)| (self.text(&key), self.json(value))).collect()
            }
            other => other,
        }
    }

    fn word(&self, word: &str) -> String {
        if word.contains('@') {
            return "<mail address>".to_owned();
        }
        // A path or an address of a meter may hold a number between other things.
        let parts = word.split_inclusive(['.', '/', '_', '-', '=', '+']);
        parts.map(|part| self.part(part)).collect()
    }

    fn part(&self, part: &str) -> String {
        let core = part.trim_end_matches(['.', '/', '_', '-', '=', '+']);
        let rest = part.get(core.len()..).unwrap_or_default();
        let hex = !core.is_empty() && core.bytes().all(|byte| byte.is_ascii_hexdigit());
        let digits = core.bytes().filter(u8::is_ascii_digit).count();
        match core.len() {
            8 if hex && digits >= 6 => format!("{}{rest}", self.tag(core)),
            16.. if hex => format!("<{} hexadecimal digits>{rest}", core.len()),
            // Base64 of a key has 22 letters or more, mixed as no word is.
            22.. if looks_random(core) => format!("<{} letters>{rest}", core.len()),
            _ => part.to_owned(),
        }
    }

    fn tag(&self, serial: &str) -> String {
        let hash = Sha256::new().chain_update(self.salt).chain_update(serial.to_ascii_uppercase()).finalize();
        let tag = hash.iter().take(3).fold(String::new(), |tag, byte| format!("{tag}{byte:02x}"));
        format!("<meter {tag}>")
    }
}

fn looks_random(word: &str) -> bool {
    let has = |kind: fn(&u8) -> bool| word.bytes().any(|byte| kind(&byte));
    has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit)
}

/// Keys of the configuration whose texts may be shown, and the section they stand in if only there.
const SHOWN: &[(&str, Option<&str>)] = &[
    ("data_dir", None),
    ("language", None),
    ("zone", None),
    ("clock", None),
    ("path", Some("receiver")),
    ("kind", Some("receiver")),
    ("modes", Some("receiver")),
    ("silent_after", Some("receiver")),
    ("file", None),
    ("seal_file", None),
    ("block_every", None),
    ("default_q4", None),
    ("store_budget", None),
    ("keep_acknowledged", None),
    ("keep_at_most", None),
    ("acknowledge", None),
    ("keep_alive", None),
    ("progress_timeout", None),
    ("security", None),
    ("timeout", None),
    ("sockets", None),
    ("metrics", None),
    ("prefix", None),
    ("utility", Some("gateway")),
    ("name", Some("gateway")),
];

/// A configuration file without comments and without any text that is not known to be harmless.
pub(super) fn config(text: &str) -> String {
    let mut masked = String::new();
    let mut section = String::new();
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let shown = if let Some(head) = line.strip_prefix('[') {
            section = head.trim_matches(['[', ']', ' ']).split(']').next().unwrap_or_default().to_owned();
            line.split('#').next().unwrap_or_default().trim().to_owned()
        } else if let Some((key, value)) = line.split_once('=') {
            let (key, value) = (key.trim(), value.trim());
            format!("{key} = {}", shown(&section, key, value))
        } else {
            "<masked>".to_owned()
        };
        masked.push_str(&shown);
        masked.push('\n');
    }
    masked
}

fn shown(section: &str, key: &str, value: &str) -> String {
    let bare = value.split('#').next().unwrap_or_default().trim();
    if bare == "true"
        || bare == "false"
        || (!bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_digit()))
    {
        return bare.to_owned();
    }
    let known = SHOWN.iter().any(|(name, only)| *name == key && only.is_none_or(|only| only == section));
    let quoted = value.strip_prefix('"').and_then(|value| value.split('"').next());
    match quoted.filter(|_| known) {
        Some(text) => format!("\"{text}\""),
        None => "<masked>".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "000102030405060708090A0B0C0D0E0F";

    #[test]
    fn keys_addresses_names_and_meter_numbers_do_not_show() {
        let mask = Mask::new(["Kuja 1 A".to_owned()]);
        let text = format!(
            "KAM.76348799.1B.16 at Kuja 1 A, key {KEY}, AAECAwQFBgcICQoLDA0ODw==, mail to aino.v+x@example.fi: 76348799 again"
        );
        let masked = mask.text(&text);
        for secret in ["76348799", "Kuja", KEY, "AAECAwQF", "aino", "example.fi"] {
            assert!(!masked.contains(secret), "{secret}: {masked}");
        }
        let tag = mask.tag("76348799");
        assert_eq!(masked.matches(&tag).count(), 2, "{masked}");
        assert_ne!(Mask::new([]).tag("76348799"), tag, "the salt is another each time");
        assert_eq!(
            mask.text("2026-11-25T10:51:04Z vesigate[812]: frames 12345678901"),
            "2026-11-25T10:51:04Z vesigate[812]: frames 12345678901"
        );
    }

    #[test]
    fn json_is_masked_in_keys_and_texts_and_numbers_stay() {
        let mask = Mask::new([]);
        let masked =
            mask.json(serde_json::json!({ "KAM.76348799.1B.16": [12345678, "76348799"] })).to_string();
        assert!(masked.contains("12345678") && !masked.contains("76348799"), "{masked}");
    }

    #[test]
    fn of_the_configuration_only_what_is_known_to_be_harmless_shows() {
        let text = format!(
            "# password: hunter2\n[gateway]\nname = \"gw-7\" # mine\nzone = \"Europe/Helsinki\"\n[uplink]\nport = 8883\nenabled = true\n\
             user = \"me\"\npassword_file = \"{KEY}\"\n[[contact]]\nname = \"aino\"\nemail = \"aino@example.fi\"\ncodes = [\n  \"leak\",\n]\n"
        );
        let masked = config(&text);
        assert_eq!(
            masked,
            "[gateway]\nname = \"gw-7\"\nzone = \"Europe/Helsinki\"\n[uplink]\nport = 8883\nenabled = true\n\
             user = <masked>\npassword_file = <masked>\n[[contact]]\nname = <masked>\nemail = <masked>\ncodes = <masked>\n<masked>\n<masked>\n"
        );
    }
}
