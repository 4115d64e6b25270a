//! A virtual receiver that only talks: telegrams in bytes or in hexadecimal digits, nothing else.

use wmbus::{Frame, encode::format_a};

use crate::dongle::{Dongle, Mode, NotATelegram, Spoil, check, garbled};

/// A receiver without its port.
#[derive(Clone, Debug)]
pub struct Tty {
    digits: bool,
    crcs: bool,
    speed: u32,
}

impl Tty {
    /// A usual speed of such receivers, in baud.
    pub const SPEED: u32 = 19_200;

    /// One that writes bytes.
    #[must_use]
    pub const fn raw(speed: u32) -> Self {
        Self { digits: false, crcs: false, speed }
    }

    /// One that writes digits, each telegram on a line of its own.
    #[must_use]
    pub const fn hex(speed: u32) -> Self {
        Self { digits: true, crcs: false, speed }
    }

    /// The same with the CRCs of frame format A left in.
    #[must_use]
    pub const fn with_crcs(self) -> Self {
        Self { crcs: true, ..self }
    }
}

impl Dongle for Tty {
    fn input(&mut self, _: &[u8], _: u32) -> Vec<Vec<u8>> {
        Vec::new()
    }

    fn hear(
        &mut self,
        mode: Mode,
        telegram: &[u8],
        _: i16,
        speed: u32,
    ) -> Result<Option<Vec<u8>>, NotATelegram> {
        check(telegram)?;
        if !self.listens_for(mode) {
            return Ok(None);
        }
        let frame = Frame::bare(telegram).map_err(|_| NotATelegram)?;
        let mut line = telegram.to_vec();
        if self.crcs {
            line = format_a(&frame).map_err(|_| NotATelegram)?.to_vec();
        }
        if self.digits {
            let mut digits: String = line.iter().map(|byte| format!("{byte:02X}")).collect();
            digits.push('\n');
            line = digits.into();
        }
        Ok(Some(if speed == self.speed { line } else { garbled(&line) }))
    }

    fn reboot(&mut self) {}

    fn listens_for(&self, mode: Mode) -> bool {
        matches!(mode, Mode::S1 | Mode::T1 | Mode::C1FormatA | Mode::C1FormatB)
    }

    fn spoil(&self, how: Spoil, frame: &mut Vec<u8>) {
        match how {
            Spoil::Checksum => {
                let digit = |byte: &mut u8| *byte = if *byte == b'0' { b'1' } else { b'0' };
                let last = frame.iter_mut().rev().nth(usize::from(self.digits));
                last.map(|byte| if self.digits { digit(byte) } else { *byte ^= 0x01 }).unwrap_or_default();
            }
            Spoil::Length(length) => {
                let bytes = if self.digits { format!("{length:02X}").into_bytes() } else { vec![length] };
                for (byte, new) in frame.iter_mut().zip(bytes) {
                    *byte = new;
                }
            }
        }
    }

    fn only_talks(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TELEGRAM: [u8; 10] = [9, 0x44, 0x2D, 0x2C, 0x99, 0x87, 0x34, 0x76, 0x1B, 0x16];

    fn heard(mut receiver: Tty, speed: u32) -> Vec<u8> {
        receiver.hear(Mode::T1, &TELEGRAM, -70, speed).unwrap().unwrap()
    }

    #[test]
    fn a_telegram_is_written_as_it_is() {
        assert_eq!(heard(Tty::raw(9_600), 9_600), TELEGRAM);
        assert_eq!(heard(Tty::hex(9_600), 9_600), b"09442D2C998734761B16\n");
        assert_eq!(heard(Tty::raw(9_600).with_crcs(), 9_600).len(), 12);
        assert_eq!(heard(Tty::hex(9_600).with_crcs(), 9_600).len(), 25);
        assert_ne!(heard(Tty::raw(9_600), 19_200), TELEGRAM);
    }

    #[test]
    fn faults_change_the_last_byte_and_the_length() {
        let spoiled = |receiver: Tty, how: Spoil| {
            let mut line = heard(receiver.clone(), 9_600);
            receiver.spoil(how, &mut line);
            line
        };
        assert_eq!(spoiled(Tty::raw(9_600), Spoil::Checksum)[9], 0x17);
        assert_eq!(spoiled(Tty::hex(9_600), Spoil::Checksum), b"09442D2C998734761B10\n");
        assert_eq!(spoiled(Tty::raw(9_600), Spoil::Length(255))[..2], [255, 0x44]);
        assert_eq!(spoiled(Tty::hex(9_600), Spoil::Length(255))[..4], *b"FF44");
    }

    #[test]
    fn it_answers_nothing_and_hears_all_modes_at_868_mhz() {
        let mut receiver = Tty::raw(9_600);
        assert!(receiver.input(b"V\r\n", 9_600).is_empty());
        assert!(receiver.listens_for(Mode::S1) && !receiver.listens_for(Mode::N1(0)));
    }
}
