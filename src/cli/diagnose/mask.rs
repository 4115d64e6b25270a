//! What must not leave the gateway in a support bundle: keys, addresses, names, and which meters these are.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::world::random;

/// Makes texts fit to be sent. Meters keep a tag, the same all over one bundle, so that lines about one meter can still be
/// put together; the salt is forgotten with it.
#[derive(Debug)]
pub(super) struct Mask {
    salt: [u8; 16],
    /// Names of people, places and machines that must not show, in lower case, by how they begin; longest first.
    names: HashMap<[char; SHORTEST], Vec<Vec<char>>>,
}

/// Shorter names would hit ordinary words.
const SHORTEST: usize = 4;
/// Names that say nothing, and would hide what is ours.
const COMMON: [&str; 4] = ["vesigate", "localhost", "raspberrypi", "raspberry"];
/// The letters of Base64 in both its forms.
const BASE64: &str = "+/-_=";

impl Mask {
    pub(super) fn new(names: impl IntoIterator<Item = String>) -> Self {
        let mut by_beginning: HashMap<[char; SHORTEST], Vec<Vec<char>>> = HashMap::new();
        for name in names {
            let name = name.trim().to_lowercase();
            let letters: Vec<char> = name.chars().collect();
            if let Some(beginning) = letters.first_chunk::<SHORTEST>()
                && !COMMON.contains(&name.as_str())
            {
                by_beginning.entry(*beginning).or_default().push(letters);
            }
        }
        for names in by_beginning.values_mut() {
            names.sort_by_key(|name| std::cmp::Reverse(name.len()));
            names.dedup();
        }
        Self { salt: random(), names: by_beginning }
    }

    /// A text, word by word.
    pub(super) fn text(&self, text: &str) -> String {
        let named = addresses(&self.without_names(text));
        let mut masked = String::with_capacity(named.len());
        let mut word = String::new();
        for letter in named.chars() {
            if letter.is_alphanumeric() || "@.".contains(letter) || BASE64.contains(letter) {
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

    /// The longest name at each place goes, in whatever case it is written.
    fn without_names(&self, text: &str) -> String {
        if self.names.is_empty() {
            return text.to_owned();
        }
        let letters: Vec<char> = text.chars().collect();
        // A letter may be several in lower case.
        let folded: Vec<(char, usize)> = letters
            .iter()
            .enumerate()
            .flat_map(|(at, letter)| letter.to_lowercase().map(move |lower| (lower, at)))
            .collect();
        let mut masked = String::with_capacity(text.len());
        let (mut at, mut copied) = (0, 0);
        while let Some(rest) = folded.get(at..).filter(|rest| rest.len() >= SHORTEST) {
            let Some(end) = self.name_at(rest) else {
                at += 1;
                continue;
            };
            let first = rest.first().map_or(copied, |(_, letter)| *letter).max(copied);
            masked.extend(letters.get(copied..first).unwrap_or_default());
            masked.push_str("<name>");
            copied = rest.get(end - 1).map_or(first, |(_, letter)| letter + 1);
            at += end;
        }
        masked.extend(letters.get(copied..).unwrap_or_default());
        masked
    }

    /// How long the longest name is that a text begins with.
    fn name_at(&self, text: &[(char, usize)]) -> Option<usize> {
        let mut beginning = ['\0'; SHORTEST];
        for (letter, (lower, _)) in beginning.iter_mut().zip(text) {
            *letter = *lower;
        }
        let begins = |name: &&Vec<char>| {
            text.len() >= name.len() && name.iter().zip(text).all(|(letter, (lower, _))| letter == lower)
        };
        self.names.get(&beginning)?.iter().find(begins).map(Vec::len)
    }

    fn word(&self, word: &str) -> String {
        if word.contains('@') {
            return "<mail address>".to_owned();
        }
        // Base64 has all these letters but the point: it is looked for before a word is taken apart.
        let runs = word.split_inclusive('.').map(|run| {
            let core = run.trim_end_matches('.');
            let rest = run.get(core.len()..).unwrap_or_default();
            let letters = core.trim_matches('=').chars().count();
            if letters >= 22 && !core.split(|letter| BASE64.contains(letter)).all(is_plain) {
                format!("<{letters} letters>{rest}")
            } else {
                // A path or an address of a meter may hold a number between other things.
                let parts = run.split_inclusive(|letter| letter == '.' || BASE64.contains(letter));
                parts.map(|part| self.part(part)).collect()
            }
        });
        runs.collect()
    }

    fn part(&self, part: &str) -> String {
        let core = part.trim_end_matches(|letter| letter == '.' || BASE64.contains(letter));
        let rest = part.get(core.len()..).unwrap_or_default();
        let hex = !core.is_empty() && core.bytes().all(|byte| byte.is_ascii_hexdigit());
        let digits = core.bytes().filter(u8::is_ascii_digit).count();
        match core.len() {
            8 if hex && digits >= 6 => format!("{}{rest}", self.tag(core)),
            16.. if hex => format!("<{} hexadecimal digits>{rest}", core.len()),
            _ => part.to_owned(),
        }
    }

    fn tag(&self, serial: &str) -> String {
        let hash = Sha256::new().chain_update(self.salt).chain_update(serial.to_ascii_uppercase()).finalize();
        let tag = hash.iter().take(3).fold(String::new(), |tag, byte| format!("{tag}{byte:02x}"));
        format!("<meter {tag}>")
    }
}

/// Whether a part of a path or a name with dashes is a word, a number or a short mark, as in `usb-Silicon_Labs_CP2102-if00`.
/// Keys in Base64 consist of such parts once in ten million.
fn is_plain(part: &str) -> bool {
    let letters = part.trim_end_matches(|letter: char| letter.is_ascii_digit());
    let digits = part.len() - letters.len();
    let mut rest = letters.chars();
    let lower = |letter: char| letter.is_lowercase();
    let is_word = rest.next().is_none_or(char::is_alphabetic) && rest.all(lower);
    let is_mark =
        part.len() <= 7 && part.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    is_mark || (is_word && part.len() <= 20 && (digits <= 3 || letters.is_empty()))
}

/// Addresses of machines go, but for those that mean this one.
fn addresses(text: &str) -> String {
    let of_address = |letter: char| letter.is_ascii_hexdigit() || ".:[]".contains(letter);
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    let mut before = ' ';
    while let Some(start) = rest.find(of_address) {
        let (head, tail) = rest.split_at(start);
        masked.push_str(head);
        before = head.chars().next_back().unwrap_or(before);
        let end = tail.find(|letter| !of_address(letter)).unwrap_or(tail.len());
        let (run, after) = tail.split_at(end);
        // `vesigate::collect` has a run of such letters in its middle.
        let in_word = before.is_alphanumeric() || before == '_';
        let goes_on = after.starts_with(|letter: char| letter.is_alphanumeric() || letter == '_');
        let core = run.trim_end_matches(['.', ':']);
        if !in_word && !goes_on && is_address(core) {
            masked.push_str("<address>");
            masked.push_str(run.get(core.len()..).unwrap_or_default());
        } else {
            masked.push_str(run);
        }
        before = run.chars().next_back().unwrap_or(before);
        rest = after;
    }
    masked.push_str(rest);
    masked
}

fn is_address(text: &str) -> bool {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let ip = text.parse::<SocketAddr>().map(|socket| socket.ip()).or_else(|_| bare.parse::<IpAddr>());
    ip.is_ok_and(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};

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
    }

    #[test]
    fn what_helps_stays() {
        let mask = Mask::new(["vesigate".to_owned()]);
        for text in [
            "2026-11-25T10:51:04Z vesigate[812]: frames 12345678901",
            "vesigate::halves::collect::beef: no answer from [::1]:1883 or 127.0.0.1",
            "0700 998:997 4096 B /var/lib/vesigate/keys/collect/store/collect.db-wal",
            "usb-Silicon_Labs_CP2102_USB_to_UART_Bridge_Controller_0001-if00-port0 -> ../../ttyUSB0",
            "Linux 6.12.25+rpt-rpi-v8, vesigate 0.1.0 for aarch64",
        ] {
            assert_eq!(mask.text(text), text);
        }
    }

    #[test]
    fn the_longest_name_goes_in_whatever_case_it_is_written() {
        let names = ["Mäkitie", "Mäkitie 12 Aino", "broker.vesi.example", "Äijä"];
        let mask = Mask::new(names.map(str::to_owned));
        let masked = mask.text("MÄKITIE 12 AINO, mäkitie 3; (Broker.Vesi.Example:8883) äijä\u{307}ÄIJÄ");
        assert_eq!(masked, "<name>, <name> 3; (<name>:8883) <name>\u{307}<name>");
    }

    #[test]
    fn addresses_of_machines_do_not_show() {
        let mask = Mask::new([]);
        let masked = mask.text("to 192.168.1.7:8883, 10.0.0.5. From [2001:db8::7]:1883; fe80::1 at 10:51:04");
        assert_eq!(masked, "to <address>, <address>. From <address>; <address> at 10:51:04");
    }

    /// The samples are the same each time.
    #[test]
    fn no_key_passes_in_hexadecimal_or_base64() {
        let mask = Mask::new([]);
        let mut runner = TestRunner::new_with_rng(
            Config { cases: 2000, failure_persistence: None, ..Config::default() },
            proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
        );
        let keys =
            (any::<[u8; 32]>(), any::<bool>(), "[a-z ]{0,6}[ =:\"'/(.,_+-]", "[ \"').,;/_+-]?[a-z]{0,6}");
        let passed = runner.run(&keys, |(bytes, is_short, before, after)| {
            let bytes = if is_short { &bytes[..16] } else { &bytes[..] };
            let hex = bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
            let mut forms = vec![hex.to_uppercase(), hex];
            forms.extend(
                [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD].map(|form| form.encode(bytes)),
            );
            for form in forms {
                let masked = mask.text(&format!("{before}{form}{after}"));
                let core = form.trim_end_matches('=');
                let left = (0..=core.len() - 8).find(|at| masked.contains(&core[*at..at + 8]));
                prop_assert_eq!(left, None, "{} of {}", masked, form);
            }
            Ok(())
        });
        passed.unwrap();
    }

    #[test]
    fn json_is_masked_in_keys_and_texts_and_numbers_stay() {
        let mask = Mask::new([]);
        let masked =
            mask.json(serde_json::json!({ "KAM.76348799.1B.16": [12345678, "76348799"] })).to_string();
        assert!(masked.contains("12345678") && !masked.contains("76348799"), "{masked}");
    }
}
