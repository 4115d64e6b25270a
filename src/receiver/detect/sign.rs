//! How each kind of receiver is asked who it is, and how its answer is known. All questions only read.

use std::time::Duration;

use super::{super::CommandBytes, Kind};
use crate::receiver::{Firmware, Info, im871a, iu891a};

/// A family of receivers that answer the same question.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Sign {
    Amber,
    Im871a,
    Rc1180,
    Cul,
    Iu891a,
}

/// What has come since the question means.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Seen {
    /// Nothing yet.
    Nothing,
    /// Perhaps it: this is asked next, and only what comes then counts.
    Ask(CommandBytes),
    /// It.
    Is(Kind, Info),
}

impl Sign {
    /// In the order in which it is safe to ask. Amber first: one with transparent output transmits whatever does not begin
    /// as its commands do. RC1180 and CUL take the others' questions for commands that they do not know.
    pub(super) const ALL: [Self; 5] = [Self::Amber, Self::Im871a, Self::Rc1180, Self::Cul, Self::Iu891a];

    pub(super) fn is_of(self, kind: Kind) -> bool {
        match self {
            Self::Amber => matches!(kind, Kind::Amb8465 | Kind::Amb3665),
            Self::Im871a => kind == Kind::Im871a,
            Self::Rc1180 => kind == Kind::Rc1180,
            Self::Cul => kind == Kind::Cul,
            Self::Iu891a => kind == Kind::Iu891a,
        }
    }

    /// The speeds at which it may be met, and how many milliseconds its answer takes there at most.
    pub(super) fn speeds(self) -> &'static [(u32, u64)] {
        match self {
            // As delivered, as provisioned, and at each speed at which the others are asked: an Amber that understands
            // their bytes must be found before.
            Self::Amber => &[(9_600, 300), (115_200, 120), (57_600, 120), (38_400, 120), (19_200, 150)],
            Self::Im871a => &[(57_600, 300)],
            Self::Rc1180 => &[(19_200, 200)],
            Self::Cul => &[(38_400, 300), (57_600, 300)],
            Self::Iu891a => &[(115_200, 300)],
        }
    }

    pub(super) fn question(self) -> CommandBytes {
        let bytes: &[u8] = match self {
            // Read the memory.
            Self::Amber => &[0xFF, 0x0A, 0x02, 0x00, 0x80, 0x77],
            Self::Im871a => return im871a::who_is_it(),
            // Enter configuration.
            Self::Rc1180 => &[0x00],
            // A line end first: for what earlier questions left unfinished.
            Self::Cul => b"\r\nV\r\n",
            Self::Iu891a => return iu891a::who_is_it(),
        };
        bytes.iter().copied().collect()
    }

    /// How long the answer to a second question takes at most.
    pub(super) const SECOND: Duration = Duration::from_millis(400);

    /// What is to be said in the end, whether it is there or not.
    pub(super) fn farewell(self) -> Option<CommandBytes> {
        // Leave configuration: in it, an RC1180 is deaf.
        (self == Self::Rc1180).then(|| CommandBytes::from_iter([b'X']))
    }

    /// For how long nothing may have been sent before. What is no command to an RC1180 is the beginning of a telegram that
    /// it waits to transmit, for two seconds.
    pub(super) fn quiet_before(self) -> Duration {
        if self == Self::Rc1180 { Duration::from_millis(2_050) } else { Duration::ZERO }
    }

    /// What the bytes mean that came since the question; `second` if it was the second.
    pub(super) fn look(self, bytes: &[u8], second: bool) -> Seen {
        let is = |kind: Kind| move |info: Info| Seen::Is(kind, info);
        let seen = match self {
            Self::Amber => amber(bytes).map(|(kind, info)| Seen::Is(kind, info)),
            Self::Im871a => im871a::who(bytes).map(is(Kind::Im871a)),
            Self::Rc1180 if second => rc1180(bytes).map(is(Kind::Rc1180)),
            Self::Rc1180 => {
                // The prompt. The memory is asked for then.
                bytes.ends_with(b">").then(|| Seen::Ask(CommandBytes::from_iter([b'0'])))
            }
            Self::Cul => cul(bytes).map(is(Kind::Cul)),
            Self::Iu891a => iu891a::who(bytes).map(is(Kind::Iu891a)),
        };
        seen.unwrap_or(Seen::Nothing)
    }
}

/// `FF 8A n`, address 0, count, as many bytes, and the XOR of all. How much memory there is tells 868 from 169 MHz.
fn amber(bytes: &[u8]) -> Option<(Kind, Info)> {
    let answer = |start: usize| {
        let rest = bytes.get(start..)?;
        let &[0xFF, 0x8A, length, 0, count] = rest.first_chunk()? else { return None };
        let (frame, after) = rest.split_at_checked(usize::from(length) + 3)?;
        let xor = frame.iter().fold(0, |xor, byte| xor ^ byte);
        (count.checked_add(2) == Some(length) && after.first() == Some(&xor)).then_some(count)
    };
    let count = (0..bytes.len()).find_map(answer)?;
    let kind = if count < 0x80 { Kind::Amb8465 } else { Kind::Amb3665 };
    Some((kind, Info { model: kind.name(), firmware: None, serial: None }))
}

/// 256 bytes of memory and the prompt. The part number stands at 61.
fn rc1180(bytes: &[u8]) -> Option<Info> {
    let (memory, b">") = bytes.split_first_chunk::<256>()? else { return None };
    let part: String = memory
        .iter()
        .skip(0x61)
        .take_while(|byte| byte.is_ascii_graphic())
        .map(|&byte| char::from(byte))
        .collect();
    let firmware = (!part.is_empty()).then(|| Firmware::new(part));
    Some(Info { model: Kind::Rc1180.name(), firmware, serial: None })
}

/// A line such as `V 1.67 nanoCUL868`.
fn cul(bytes: &[u8]) -> Option<Info> {
    let (lines, _unfinished) = bytes.split_at(bytes.iter().rposition(|&byte| byte == b'\n')?);
    let version = lines.split(|&byte| byte == b'\n').map(|line| line.trim_ascii()).find(|line| {
        line.starts_with(b"V ") && line.to_ascii_uppercase().windows(3).any(|part| part == b"CUL")
    })?;
    let firmware = Firmware::new(String::from_utf8_lossy(version));
    Some(Info { model: Kind::Cul.name(), firmware: Some(firmware), serial: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(sign: Sign, bytes: &[u8], second: bool) -> Option<(Kind, String)> {
        match sign.look(bytes, second) {
            Seen::Is(kind, info) => Some((kind, info.to_string())),
            _ => None,
        }
    }

    /// A memory of `count` bytes as an Amber sends it, behind the noise that speed changes leave.
    fn memory(count: u8) -> Vec<u8> {
        let mut bytes = vec![0xFF, 0x8A, count + 2, 0, count];
        bytes.extend((0..count).map(|at| at.wrapping_mul(3)));
        bytes.push(bytes.iter().fold(0, |xor, byte| xor ^ byte));
        [vec![0xFE, 0xFF], bytes].concat()
    }

    #[test]
    fn ambers_are_told_apart_by_their_memory_and_a_damaged_answer_is_none() {
        assert_eq!(is(Sign::Amber, &memory(0x78), false), Some((Kind::Amb8465, "AMB8465".to_owned())));
        assert_eq!(is(Sign::Amber, &memory(0x80), false), Some((Kind::Amb3665, "AMB3665".to_owned())));
        let whole = memory(0x78);
        for at in 2..whole.len() {
            assert_eq!(is(Sign::Amber, &whole[..at], false), None);
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            assert_eq!(is(Sign::Amber, &damaged, false), None, "{at}");
        }
    }

    #[test]
    fn an_rc1180_prompts_and_then_shows_just_256_bytes() {
        assert_eq!(Sign::Rc1180.look(b"?>", false), Seen::Ask(CommandBytes::from_iter([b'0'])));
        assert_eq!(Sign::Rc1180.look(b"> ", false), Seen::Nothing);
        let mut dump = vec![0; 256];
        dump[0x61..0x71].copy_from_slice(b"RC1180-MBUS3,3.0");
        dump.push(b'>');
        assert_eq!(
            is(Sign::Rc1180, &dump, true),
            Some((Kind::Rc1180, "RC1180-MBUS3, firmware RC1180-MBUS3,3.0".to_owned()))
        );
        assert_eq!(is(Sign::Rc1180, &dump[1..], true), None);
        assert_eq!(is(Sign::Rc1180, &[&dump[..], b"x"].concat(), true), None);
    }

    #[test]
    fn a_cul_says_its_version_whatever_stands_around_it() {
        let said = b"? (\xFFz is unknown) Use one of B b C\r\nb2A44\r\nV 1.67 nanoCUL868_r571\r\n";
        assert_eq!(
            is(Sign::Cul, said, false),
            Some((Kind::Cul, "CUL, firmware V 1.67 nanoCUL868_r571".to_owned()))
        );
        assert_eq!(is(Sign::Cul, b"V 1.67 nanoCUL868", false), None, "not at its end yet");
        assert_eq!(is(Sign::Cul, b"Version 1 of a printer\r\nOK\r\n", false), None);
    }

    #[test]
    fn imst_dongles_answer_with_who_they_are() {
        let noise_and_reply = [
            0xA5, 0xC2, 0x03, 0xFF, 0xA5, 0x81, 0x10, 0x08, 0x33, 0x00, 0x14, 0x17, 0x63, 0x28, 0x10, 0x00,
            0x5F, 0x38,
        ];
        assert_eq!(
            is(Sign::Im871a, &noise_and_reply, false),
            Some((Kind::Im871a, "iM871A 00102863, firmware 1.4".to_owned()))
        );
        let reply = [0xC0, 1, 4, 0, 0x6E, 0xBE, 0x2D, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xC8, 0xCF, 0xC0];
        assert_eq!(is(Sign::Iu891a, &reply, false), Some((Kind::Iu891a, "iU891A-XL 00062DBE".to_owned())));
        assert_eq!(is(Sign::Iu891a, &reply[..19], false), None);
    }
}
