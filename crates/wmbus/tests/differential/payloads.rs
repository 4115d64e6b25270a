//! Plain bodies of full frames: of the committed vectors and of the real telegrams beside the repository. A compact
//! frame gives the full one it stands for.

use std::path::{Path, PathBuf};

use wmbus::record::Records;
use wmbus::transport::Application;
use wmbus::{Cipher, Frame, Learned, Policy, Sealed};

/// Name and body.
type Payload = (String, Vec<u8>);

/// Of every telegram in `tests/vectors` that can be opened.
pub(crate) fn of_vectors() -> Vec<Payload> {
    let mut payloads = Vec::new();
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")).unwrap() {
        let path = entry.unwrap().path();
        let file: toml::Table = toml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let mut learned = Learned::trusting();
        for vector in file["vector"].as_array().unwrap() {
            let text = |name: &str| vector.get(name).and_then(toml::Value::as_str);
            let body = body(text("hex").unwrap(), text("key"), &mut learned);
            payloads.extend(body.map(|body| (text("name").unwrap().to_owned(), body)));
        }
    }
    payloads
}

/// `None`, and a line that says why, where the files are not.
pub(crate) fn of_real_telegrams() -> Option<Vec<Payload>> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/telegrams");
    let folder = std::env::var_os("VESI_TELEGRAMS").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    if !folder.is_dir() {
        println!("skipped: {} is not there; VESI_TELEGRAMS may name the folder", folder.display());
        return None;
    }
    let mut payloads = Vec::new();
    for file in ["kamstrup", "kamstrup_sealed", "water_other"] {
        let mut learned = Learned::trusting();
        let text = std::fs::read_to_string(folder.join(file).with_extension("jsonl")).unwrap();
        for (at, line) in text.lines().enumerate() {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let key = row.get("key").and_then(serde_json::Value::as_str);
            let body = body(row["telegram"].as_str().unwrap(), key, &mut learned);
            payloads.extend(body.map(|body| (format!("{file}:{}", at + 1), body)));
        }
    }
    Some(payloads)
}

/// The plain full body, if the telegram can be opened.
fn body(hex: &str, key: Option<&str>, learned: &mut Learned) -> Option<Vec<u8>> {
    let cipher = key.and_then(|key| key.parse().ok()).map(Cipher::new);
    let mut frame = Frame::detect(&unhex(hex)).ok()?;
    let telegram = Sealed::read(&mut frame).ok()?.open(cipher.as_ref(), Policy::AlsoOpened).ok()?;
    learned.learn(telegram.meter().into(), telegram.application, telegram.body);
    if telegram.application == Application::Records {
        return Some(telegram.body.to_vec());
    }
    let (items, _) = telegram.items(learned).ok()?;
    let records = Records::from(items).map(|record| record.map(|r| [r.header.bytes, r.data].concat()));
    records.collect::<Result<Vec<_>, _>>().ok().map(|records| records.concat())
}

pub(crate) fn unhex(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}
