//! Small files of lines such as `id=76348799` and `key=...`, one for each meter or several behind one another, as a
//! widespread decoder keeps them. Other lines are passed over.

use super::meters::Found;
use super::{MOST_ROWS, Place, Refused, RowFault};
use crate::keyring::{MeterKey, Selector, parse_key};

/// Whether a file is one: a line of it gives a key.
pub(super) fn is_one(text: &[u8]) -> bool {
    lines(text).any(|(_, name, _)| name.eq_ignore_ascii_case(b"key"))
}

/// Its meters; a key belongs to the number before it.
pub(super) fn read(text: &[u8]) -> Vec<Found> {
    let keys = || lines(text).filter(|(_, name, _)| name.eq_ignore_ascii_case(b"key"));
    // Reserved at once: a list that grew would leave copies of keys behind.
    let mut found = Vec::with_capacity(keys().take(MOST_ROWS).count());
    let mut meter = None;
    for (line, name, value) in lines(text) {
        if found.len() >= MOST_ROWS {
            break;
        }
        if name.eq_ignore_ascii_case(b"id") {
            meter = Some(std::str::from_utf8(value).ok().and_then(|id| Selector::parse_padded(id).ok()));
        } else if name.eq_ignore_ascii_case(b"key") {
            let place = Place::Line(line);
            let refused = |meter, why| Err(Refused { place, meter, why });
            let key = std::str::from_utf8(value).unwrap_or("?");
            found.push(match (meter.take(), parse_key(key)) {
                (None, _) => refused(None, RowFault::NoNumber),
                (Some(None), _) => refused(None, RowFault::Number),
                (Some(meter), Err(fault)) => refused(meter, RowFault::Key(fault)),
                (Some(Some(meter)), Ok(key)) => Ok((place, MeterKey { meter, key, q4: None })),
            });
        }
    }
    found
}

/// Lines with a name and a value, numbered from 1.
fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8], &[u8])> {
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    text.split(|byte| *byte == b'\n').enumerate().filter_map(|(index, line)| {
        let at = line.iter().position(|byte| *byte == b'=')?;
        let (name, value) = line.split_at_checked(at)?;
        Some((index.saturating_add(1), name.trim_ascii(), value.get(1..)?.trim_ascii()))
    })
}
