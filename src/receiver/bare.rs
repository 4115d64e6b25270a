//! Telegrams that come with nothing around them: a length byte, so many bytes, the next telegram.
//!
//! Nothing marks a beginning, and an end shows only in what follows: another telegram, or a pause. So
//!
//! * a beginning is what could be one: the length, the C field of a meter, the three letters of a manufacturer;
//! * it is a sure one if an id of eight decimal digits follows, as nearly all meters have;
//! * a telegram is believed if a sure beginning or a pause follows. If something else does, and a sure beginning within it
//!   leads to an end of that sort, then the first was cut off, and the other is the right one;
//! * if that does not help either, it is believed all the same: the meter's own checksums will show.

use super::framing::Found;

/// C, M and A field.
const SHORTEST: u8 = 9;

/// Whether a telegram begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Begins {
    Yes,
    No,
    /// So far; more bytes are needed to say.
    Perhaps,
}

/// Whether a telegram begins here. `extra` bytes behind it are counted by its length byte.
pub(super) fn begins(bytes: &[u8], extra: u8) -> Begins {
    let mut head = bytes.iter().copied();
    let (length, control, manufacturer) = (head.next(), head.next(), head.next().zip(head.next()));
    if length.is_some_and(|length| length < SHORTEST + extra)
        || control.is_some_and(|control| !sent_by_meters(control))
        || manufacturer.is_some_and(|(low, high)| !three_letters(u16::from_le_bytes([low, high])))
    {
        return Begins::No;
    }
    if manufacturer.is_some() { Begins::Yes } else { Begins::Perhaps }
}

/// Whether a telegram begins here without much doubt: of random bytes, one in a thousand does.
pub(super) fn surely_begins(bytes: &[u8], extra: u8) -> Begins {
    let id = bytes.iter().skip(4).take(4);
    let (known, decimal) = (id.len(), id.copied().all(|byte| byte >> 4 <= 9 && byte & 0x0F <= 9));
    match begins(bytes, extra) {
        _ if !decimal => Begins::No,
        Begins::Yes if known < 4 => Begins::Perhaps,
        begins => begins,
    }
}

/// C fields of meters that say something (EN 13757-4): SND-NR, SND-IR, ACC-NR, ACC-DMD, RSP-UD.
pub(super) fn sent_by_meters(control: u8) -> bool {
    matches!(control, 0x44 | 0x46 | 0x47 | 0x48 | 0x08 | 0x18 | 0x28 | 0x38)
}

/// A manufacturer is three letters of five bits each; the highest bit may be set for an address that is unique only within
/// an installation.
pub(super) fn three_letters(manufacturer: u16) -> bool {
    [0, 5, 10].into_iter().all(|shift| matches!(manufacturer >> shift & 0x1F, 1..=26))
}

/// How a device hands out telegrams without anything around them.
pub(super) trait Bare {
    /// Bytes behind the telegram that its length byte counts.
    fn extra(&self) -> u8;

    /// Of the telegram that begins here: how long it is, and whether its bytes prove that it is one. `None` if it takes
    /// more bytes to say. `at_rest`: there will be no more.
    fn size(&self, bytes: &[u8], at_rest: bool) -> Option<Size>;
}

/// See [`Bare::size`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Size {
    pub(super) length: usize,
    pub(super) proven: bool,
}

/// What the first bytes are; a telegram comes as it is. `at_rest`: nothing has followed for so long that nothing belongs to
/// them any more.
pub(super) fn look<'a>(device: &impl Bare, bytes: &'a [u8], at_rest: bool) -> Found<&'a [u8]> {
    let from = |at: usize| bytes.get(at..).unwrap_or_default();
    let no = |at: usize| begins(from(at), device.extra()) == Begins::No;
    let noise = (0..bytes.len()).take_while(|&at| no(at)).count();
    if noise > 0 {
        return Found::Garbage { length: noise };
    }
    if begins(bytes, device.extra()) == Begins::Perhaps {
        return Found::Incomplete;
    }
    let size = device.size(bytes, at_rest);
    let Some((Size { length, proven }, message)) =
        size.and_then(|size| Some((size, bytes.get(..size.length)?)))
    else {
        return Found::Incomplete;
    };
    let whole = Found::Whole { message, length };
    match ends(device, bytes, length, at_rest) {
        _ if proven => whole,
        Ends::Surely => whole,
        Ends::Unknown => Found::Incomplete,
        Ends::Oddly => match better_beginning(device, bytes, length, at_rest) {
            Some(Better::At(at)) => Found::CutOff { length: at },
            Some(Better::Unknown) => Found::Incomplete,
            None => whole,
        },
    }
}

fn starts(device: &impl Bare, bytes: &[u8], at: usize) -> Begins {
    surely_begins(bytes.get(at..).unwrap_or_default(), device.extra())
}

/// Whether something ends here, judged by what follows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ends {
    Surely,
    Oddly,
    Unknown,
}

fn ends(device: &impl Bare, bytes: &[u8], at: usize, at_rest: bool) -> Ends {
    match starts(device, bytes, at) {
        Begins::Yes => Ends::Surely,
        Begins::No => Ends::Oddly,
        Begins::Perhaps if !at_rest => Ends::Unknown,
        Begins::Perhaps if at == bytes.len() => Ends::Surely,
        Begins::Perhaps => Ends::Oddly,
    }
}

enum Better {
    At(usize),
    Unknown,
}

/// A beginning within the first telegram that leads to a better end.
fn better_beginning(device: &impl Bare, bytes: &[u8], length: usize, at_rest: bool) -> Option<Better> {
    for at in 1..length {
        match starts(device, bytes, at) {
            Begins::Yes => {}
            Begins::Perhaps if !at_rest => return Some(Better::Unknown),
            Begins::Perhaps | Begins::No => continue,
        }
        let here = bytes.get(at..).unwrap_or_default();
        let size = device.size(here, at_rest).filter(|size| size.length <= here.len());
        let end = match size {
            Some(Size { proven: true, .. }) => Ends::Surely,
            Some(Size { length, .. }) => ends(device, bytes, at + length, at_rest),
            None if at_rest => Ends::Oddly,
            None => Ends::Unknown,
        };
        match end {
            Ends::Surely => return Some(Better::At(at)),
            Ends::Unknown => return Some(Better::Unknown),
            Ends::Oddly => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Plain;

    impl Bare for Plain {
        fn extra(&self) -> u8 {
            0
        }

        fn size(&self, bytes: &[u8], _: bool) -> Option<Size> {
            bytes.first().map(|&length| Size { length: usize::from(length) + 1, proven: false })
        }
    }

    const T: [u8; 14] = [13, 0x44, 0x2D, 0x2C, 0x99, 0x87, 0x34, 0x76, 0x1B, 0x16, 0x8C, 0x20, 1, 0x79];

    /// How many bytes of which kind come first.
    fn first(parts: &[&[u8]], at_rest: bool) -> (&'static str, usize) {
        match look(&Plain, &parts.concat(), at_rest) {
            Found::Whole { length, .. } => ("whole", length),
            Found::Incomplete => ("incomplete", 0),
            Found::Garbage { length } => ("garbage", length),
            Found::CutOff { length } => ("cut off", length),
            _ => unreachable!(),
        }
    }

    #[test]
    fn a_telegram_is_whole_once_another_begins_or_nothing_follows() {
        assert_eq!(first(&[&T], false), ("incomplete", 0));
        assert_eq!(first(&[&T, &T[..7]], false), ("incomplete", 0));
        assert_eq!(first(&[&T, &T[..8]], false), ("whole", 14));
        assert_eq!(first(&[&T], true), ("whole", 14));
        assert_eq!(first(&[&T[..13]], true), ("incomplete", 0));
    }

    #[test]
    fn noise_in_front_is_skipped_at_once() {
        assert_eq!(first(&[&[0xFE, 0xD5, 0], &T], false), ("garbage", 3));
        assert_eq!(first(&[&[0xFE, 0xD5, 0]], false), ("garbage", 3));
        assert_eq!(first(&[&[0xFE, 13]], false), ("garbage", 1));
    }

    #[test]
    fn one_cut_off_does_not_swallow_the_next() {
        assert_eq!(first(&[&T[..9], &T], false), ("incomplete", 0));
        assert_eq!(first(&[&T[..9], &T], true), ("cut off", 9));
        assert_eq!(first(&[&T[..9], &T, &T[..8]], false), ("cut off", 9));
    }

    #[test]
    fn one_that_claims_255_bytes_is_found_out_once_they_are_there() {
        let mut claims = T;
        claims[0] = 255;
        let others = T.repeat(20);
        assert_eq!(first(&[&claims, &others[..200]], false), ("incomplete", 0));
        assert_eq!(first(&[&claims, &others], false), ("cut off", 14));
    }

    #[test]
    fn noise_behind_a_telegram_does_not_harm_it() {
        for noise in [&[0xFE, 0xD5, 0, 0][..], &[13], &[13, 0x44, 0x2D]] {
            assert_eq!(first(&[&T, noise], true), ("whole", 14));
        }
        assert_eq!(first(&[&T, &[0xFE, 0xD5]], false), ("whole", 14));
    }

    #[test]
    fn a_meter_whose_id_is_not_decimal_is_heard_all_the_same() {
        let mut hexadecimal = T;
        hexadecimal[4] = 0xFA;
        assert_eq!(first(&[&hexadecimal], true), ("whole", 14));
        assert_eq!(first(&[&hexadecimal, &hexadecimal], true), ("whole", 14));
        assert_eq!(first(&[&hexadecimal, &T], false), ("whole", 14));
    }

    #[test]
    fn what_may_become_a_beginning_is_waited_for() {
        let mut ends_so = T;
        ends_so[12..].copy_from_slice(&[13, 0x44]);
        assert_eq!(first(&[&ends_so, &[5]], false), ("incomplete", 0));
        assert_eq!(first(&[&ends_so, &[5]], true), ("whole", 14));
    }

    #[test]
    fn what_begins_a_telegram_shows_in_its_first_four_bytes() {
        assert_eq!(begins(&T, 0), Begins::Yes);
        for (bytes, extra, expected) in [
            (&[][..], 0, Begins::Perhaps),
            (&[9], 0, Begins::Perhaps),
            (&[9], 1, Begins::No),
            (&[9, 0x44, 0x2D], 0, Begins::Perhaps),
            (&[9, 0x53, 0x2D, 0x2C], 0, Begins::No),
            (&[9, 0x44, 0x00, 0x2C], 0, Begins::No),
            (&[9, 0x46, 0x2D, 0xAC], 0, Begins::Yes),
        ] {
            assert_eq!(begins(bytes, extra), expected, "{bytes:02X?}");
        }
        assert_eq!(surely_begins(&T[..8], 0), Begins::Yes);
        assert_eq!(surely_begins(&T[..7], 0), Begins::Perhaps);
        assert_eq!(surely_begins(&[9, 0x44, 0x2D, 0x2C, 0x1A], 0), Begins::No);
    }
}
