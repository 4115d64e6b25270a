//! Readings that have no place on the calendar yet: how they are kept, and read again.

use messages::reading::{Checked, Code, DurationClass, Role};
use messages::{Decimal, Quantity, Unit};

use super::bytes::{Bytes, put_counted, put_number, put_signed};
use super::guard::Counter;
use super::hour::facts::Facts;
use super::open::Opened;

/// A kept reading, read again.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// What it says.
    pub facts: Facts,
    /// How strong it was, in dBm.
    pub rssi: Option<i16>,
    /// The meter's own minutes, by which a start of the machine can be placed that never had the time.
    pub minutes: Option<u32>,
}

const VERSION: u8 = 1;
const CHECKED: [Checked; 3] = [Checked::Plain, Checked::Checksum, Checked::Authenticated];

/// As it is stored.
#[must_use]
pub fn write(opened: &Opened) -> Vec<u8> {
    let Facts { registers, flow, water, ambient, codes, tells_codes, classes, inferred, checked } =
        &opened.facts;
    let minutes = match opened.counter {
        Some(Counter::Session(number)) => Some(number >> 4),
        _ => None,
    };
    let mut to = vec![VERSION, u8::from(*tells_codes) | u8::from(*inferred) << 1, *checked as u8];
    put_signed(&mut to, opened.reception.rssi.map_or(0, i64::from));
    put_number(&mut to, minutes.map_or(0, |minutes| u64::from(minutes).saturating_add(1)));
    put_list(&mut to, registers, |to, (role, value)| {
        put_counted(to, role.as_str().as_bytes());
        put_quantity(to, value);
    });
    for value in [flow, water, ambient] {
        put_list(&mut to, value.as_slice(), put_quantity);
    }
    put_list(&mut to, codes, |to, code| put_counted(to, code.as_str().as_bytes()));
    put_list(&mut to, classes, |to, (code, class)| {
        put_counted(to, code.as_str().as_bytes());
        to.push(class.number());
    });
    to
}

/// Reads it again; `None` if another version wrote it.
#[must_use]
pub fn read(body: &[u8]) -> Option<Kept> {
    let mut from = Bytes(body);
    let [version, flags, checked] = from.array()?;
    if version != VERSION {
        return None;
    }
    let rssi = i16::try_from(from.signed()?).ok().filter(|rssi| *rssi != 0);
    let minutes = from.number()?.checked_sub(1).and_then(|minutes| u32::try_from(minutes).ok());
    let facts = Facts {
        registers: list(&mut from, |from| Some((word::<Role>(from)?, quantity(from)?)))?,
        flow: list(&mut from, quantity)?.pop(),
        water: list(&mut from, quantity)?.pop(),
        ambient: list(&mut from, quantity)?.pop(),
        codes: list(&mut from, word::<Code>)?,
        tells_codes: flags & 1 != 0,
        classes: list(&mut from, |from| {
            Some((word::<Code>(from)?, DurationClass::try_from(from.byte()?).ok()?))
        })?,
        inferred: flags & 2 != 0,
        checked: *CHECKED.get(usize::from(checked))?,
    };
    Some(Kept { facts, rssi, minutes })
}

fn put_list<T>(to: &mut Vec<u8>, list: &[T], put: impl Fn(&mut Vec<u8>, &T)) {
    put_number(to, u64::try_from(list.len()).unwrap_or_default());
    for item in list {
        put(to, item);
    }
}

fn list<T>(from: &mut Bytes<'_>, read: impl Fn(&mut Bytes<'_>) -> Option<T>) -> Option<Vec<T>> {
    let length = from.number()?;
    // Each has at least a byte.
    (length <= u64::try_from(from.0.len()).ok()?).then_some(())?;
    (0..length).map(|_| read(from)).collect()
}

fn put_quantity(to: &mut Vec<u8>, quantity: &Quantity) {
    let unit = Unit::ALL.into_iter().position(|unit| unit == quantity.unit).unwrap_or_default();
    put_number(to, u64::try_from(unit).unwrap_or_default());
    put_signed(to, i64::from(quantity.value.exponent()));
    put_signed(to, quantity.value.mantissa());
}

fn quantity(from: &mut Bytes<'_>) -> Option<Quantity> {
    let unit = Unit::ALL.into_iter().nth(usize::try_from(from.number()?).ok()?)?;
    let exponent = i8::try_from(from.signed()?).ok()?;
    Some(Quantity { unit, value: Decimal::new(from.signed()?, exponent)? })
}

fn word<T: std::str::FromStr>(from: &mut Bytes<'_>) -> Option<T> {
    std::str::from_utf8(from.counted()?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collector::open::{Reception, Via};
    use crate::world::Uptime;

    fn opened() -> Opened {
        Opened {
            facts: Facts {
                registers: vec![(Role::Volume, "123.456 m3".parse().unwrap())],
                flow: Some("12 l/h".parse().unwrap()),
                water: Some("-4 °C".parse().unwrap()),
                ambient: None,
                codes: vec![Code::Leak, Code::bit(17)],
                tells_codes: true,
                classes: vec![(Code::Leak, DurationClass::try_from(3).unwrap())],
                inferred: true,
                checked: Checked::Authenticated,
            },
            reception: Reception { at: Uptime::default(), rssi: Some(-87), via: Via::default() },
            counter: Some(Counter::Session(1234 << 4)),
            digest: 0,
            full: None,
        }
    }

    #[test]
    fn a_reading_is_read_as_it_was_written() {
        let opened = opened();
        let bytes = write(&opened);
        assert!(bytes.len() < 60, "{}", bytes.len());
        let expected = Kept { facts: opened.facts, rssi: Some(-87), minutes: Some(1234) };
        assert_eq!(read(&bytes), Some(expected));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_reading_or_none(bytes: Vec<u8>) {
            let _ = read(&bytes);
            let _ = read(&[&[1, 1, 1][..], &bytes].concat());
        }
    }
}
