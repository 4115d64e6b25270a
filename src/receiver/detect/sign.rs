//! How each kind of receiver is asked who it is, and how its answer is known. All questions only read.

use std::time::Duration;

use super::{super::CommandBytes, Kind};
use crate::receiver::{Info, amber, cul, im871a, iu891a, rc1180};

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
        match self {
            Self::Amber => amber::who_is_it(),
            Self::Im871a => im871a::who_is_it(),
            Self::Rc1180 => rc1180::who_is_it(),
            Self::Cul => cul::who_is_it(),
            Self::Iu891a => iu891a::who_is_it(),
        }
    }

    /// How long the answer to a second question takes at most.
    pub(super) const SECOND: Duration = Duration::from_millis(400);

    /// What is to be said in the end, whether it is there or not.
    pub(super) fn farewell(self) -> Option<CommandBytes> {
        (self == Self::Rc1180).then(rc1180::farewell)
    }

    /// For how long nothing may have been sent before. What is no command to an RC1180 is the beginning of a telegram that
    /// it waits to transmit, for two seconds.
    pub(super) fn quiet_before(self) -> Duration {
        if self == Self::Rc1180 { Duration::from_millis(2_050) } else { Duration::ZERO }
    }

    /// What the bytes mean that came since the question; `second` if it was the second.
    pub(super) fn look(self, bytes: &[u8], second: bool) -> Seen {
        let info = match self {
            Self::Amber => amber::who(bytes),
            Self::Im871a => im871a::who(bytes),
            Self::Rc1180 if second => rc1180::who(bytes),
            Self::Rc1180 if rc1180::prompts(bytes) => return Seen::Ask(rc1180::tell_all()),
            Self::Rc1180 => None,
            Self::Cul => cul::who(bytes),
            Self::Iu891a => iu891a::who(bytes),
        };
        info.and_then(|info| Some(Seen::Is(Kind::of(&info)?, info))).unwrap_or(Seen::Nothing)
    }
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
        dump[0x1B..0x1F].copy_from_slice(&[0x78, 0x56, 0x34, 0x12]);
        dump[0x61..0x71].copy_from_slice(b"RC1180-MBUS3,3.0");
        dump.push(b'>');
        assert_eq!(
            is(Sign::Rc1180, &dump, true),
            Some((Kind::Rc1180, "RC1180-MBUS3 12345678, firmware RC1180-MBUS3,3.0".to_owned()))
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
