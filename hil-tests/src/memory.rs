//! What lies in a running program's memory.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;

use base64::Engine as _;

/// A secret in every form in which it could lie somewhere: raw, in hexadecimal of both cases, in Base64.
#[must_use]
pub fn forms(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let lower: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let base64 = base64::engine::general_purpose::STANDARD_NO_PAD.encode(secret);
    vec![
        ("raw", secret.to_vec()),
        ("lower case", lower.clone().into_bytes()),
        ("upper case", lower.to_uppercase().into_bytes()),
        ("base64", base64.into_bytes()),
    ]
}

/// How often `needle` lies in `content`.
#[must_use]
pub fn count(content: &[u8], needle: &[u8]) -> usize {
    let Some((first, rest)) = needle.split_first() else { return 0 };
    let starts = content.iter().enumerate().filter(|(_, byte)| *byte == first);
    starts.filter(|(at, _)| content.get(at + 1..).is_some_and(|tail| tail.starts_with(rest))).count()
}

/// All that a process could have written in its memory, map by map.
///
/// # Errors
/// When this user may not look into it.
pub fn of(process: u32) -> io::Result<Vec<(String, Vec<u8>)>> {
    let maps = fs::read_to_string(format!("/proc/{process}/maps"))?;
    let memory = File::open(format!("/proc/{process}/mem"))?;
    let mut all = Vec::new();
    for map in maps.lines() {
        let mut words = map.split_whitespace();
        let (Some(range), Some(mode)) = (words.next(), words.next()) else { continue };
        let Some((from, to)) = range.split_once('-') else { continue };
        let hex = |text| u64::from_str_radix(text, 16).map_err(io::Error::other);
        let (from, to) = (hex(from)?, hex(to)?);
        if !mode.starts_with("rw") {
            continue;
        }
        let mut content = vec![0; usize::try_from(to - from).map_err(io::Error::other)?];
        if memory.read_exact_at(&mut content, from).is_ok() {
            all.push((map.to_owned(), content));
        }
    }
    Ok(all)
}
