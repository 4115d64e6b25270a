//! A virtual CUL, byte by byte as culfw's command reference and sources have it.

use wmbus::{
    Frame,
    encode::{format_a, format_b},
};

use crate::dongle::{Dongle, Mode, NotATelegram, Spoil, check, garbled};

/// As delivered, in baud.
const SPEED: u32 = 38_400;
const END: &[u8] = b"\r\n";
/// What it may be asked for, as it says itself.
const COMMANDS: &str = "B b C e F G K l M R T t V W X x";
/// The firmware's room for a command; what is longer is cut.
const LONGEST_COMMAND: usize = 64;
const REPORT_RSSI: u8 = 0x20;
/// Link quality: what the radio says of a good reception.
const QUALITY: u8 = 0x82;

/// A stick without its port.
#[derive(Clone, Debug)]
pub struct Cul {
    version: &'static str,
    /// The letters of the modes that its firmware knows.
    modes: &'static [u8],
    /// Telling it what to report ends the reception of wM-Bus.
    report_ends_reception: bool,
    /// A line longer than this loses its end.
    output: usize,
    report: u8,
    /// The letter of the mode it receives in.
    mode: Option<u8>,
    input: Vec<u8>,
    transmitted: bool,
}

impl Default for Cul {
    /// A CUL with culfw that knows C mode and has room for every telegram.
    fn default() -> Self {
        Self {
            version: "V 1.67 CUL868",
            modes: b"stc",
            report_ends_reception: false,
            output: usize::MAX,
            report: 0,
            mode: None,
            input: Vec::new(),
            transmitted: false,
        }
    }
}

impl Cul {
    /// A nanoCUL with a-culfw, which stops receiving wM-Bus when it is told what to report.
    #[must_use]
    pub fn a_culfw() -> Self {
        let version = "V 1.26.02 a-culfw Build: private build (unknown) nanoCUL868 (F-Band: 868MHz)";
        Self { version, report_ends_reception: true, ..Self::default() }
    }

    /// A nanoCUL as most are: lines of at most 256 characters, so that telegrams of more than about 110 bytes lose their end.
    #[must_use]
    pub fn nano_cul() -> Self {
        Self { version: "V 1.67 nanoCUL868", ..Self::default() }.with_output_buffer(256)
    }

    /// One whose firmware has no C mode.
    #[must_use]
    pub fn without_c_mode() -> Self {
        Self { version: "V 1.66 CUL868", modes: b"st", ..Self::default() }
    }

    /// One whose firmware has no wM-Bus at all.
    #[must_use]
    pub fn without_wmbus() -> Self {
        Self { version: "V 1.66 CUL433", modes: b"", ..Self::default() }
    }

    /// The same with room for so many characters of a line.
    #[must_use]
    pub fn with_output_buffer(self, output: usize) -> Self {
        Self { output, ..self }
    }

    /// What it was told to report.
    #[must_use]
    pub const fn report(&self) -> u8 {
        self.report
    }

    fn command(&mut self, line: &[u8]) -> Option<Vec<u8>> {
        match line {
            [] => None,
            [b'V', ..] => Some(self.version.into()),
            [b'X'] => Some(format!("{:02X}  900", self.report).into()),
            [b'X', digits @ ..] => {
                let digits = str::from_utf8(digits).ok()?;
                self.report = u8::from_str_radix(digits, 16).ok()?;
                if self.report_ends_reception {
                    self.mode = None;
                }
                None
            }
            [b'b', ..] if self.modes.is_empty() => Some(unknown(line)),
            [b'b', b's', ..] => {
                self.transmitted = true;
                None
            }
            [b'b', b'r', mode, ..] => {
                self.mode = self.modes.contains(mode).then_some(*mode);
                Some(self.mode_name().into())
            }
            [b'b', ..] => Some(self.mode_name().into()),
            _ => Some(unknown(line)),
        }
    }

    fn mode_name(&self) -> &'static str {
        match self.mode {
            Some(b's') => "SMODE",
            Some(b't') => "TMODE",
            Some(b'c') => "CMODE",
            _ => "OFF",
        }
    }
}

impl Dongle for Cul {
    fn input(&mut self, bytes: &[u8], speed: u32) -> Vec<Vec<u8>> {
        if speed != SPEED {
            self.input.clear();
            return Vec::new();
        }
        let mut replies = Vec::new();
        for byte in bytes {
            match byte {
                b'\r' | b'\n' => {
                    let line = std::mem::take(&mut self.input);
                    replies.extend(self.command(&line).map(|reply| [&reply, END].concat()));
                }
                byte if self.input.len() < LONGEST_COMMAND => self.input.push(*byte),
                _ => {}
            }
        }
        replies
    }

    fn hear(
        &mut self,
        mode: Mode,
        telegram: &[u8],
        rssi_dbm: i16,
        speed: u32,
    ) -> Result<Option<Vec<u8>>, NotATelegram> {
        check(telegram)?;
        let frame = Frame::bare(telegram).map_err(|_| NotATelegram)?;
        let coded = if mode == Mode::C1FormatB { format_b(&frame) } else { format_a(&frame) };
        // One that is too long for format B cannot be on the air in it.
        let Some(air) = coded.ok().filter(|_| self.listens_for(mode)) else { return Ok(None) };
        let mut line = String::from(if mode == Mode::C1FormatB { "bY" } else { "b" });
        line.extend(air.iter().map(|byte| format!("{byte:02X}")));
        if self.report & REPORT_RSSI != 0 {
            line.push_str(&format!("{QUALITY:02X}{:02X}", raw_rssi(rssi_dbm)));
        }
        line.truncate(self.output);
        let line = [line.as_bytes(), END].concat();
        Ok(Some(if speed == SPEED { line } else { garbled(&line) }))
    }

    fn reboot(&mut self) {
        (self.report, self.mode) = (0, None);
        self.input.clear();
    }

    fn listens_for(&self, mode: Mode) -> bool {
        match self.mode {
            Some(b's') => mode == Mode::S1,
            Some(b't') => mode == Mode::T1,
            Some(b'c') => matches!(mode, Mode::T1 | Mode::C1FormatA | Mode::C1FormatB),
            _ => false,
        }
    }

    /// The checksum is that of the last block.
    fn spoil(&self, how: Spoil, frame: &mut Vec<u8>) {
        let reception = if self.report & REPORT_RSSI == 0 { 0 } else { 4 };
        let telegram = frame.starts_with(b"b");
        match how {
            Spoil::Checksum => {
                let behind = END.len() + if telegram { reception } else { 0 };
                frame.iter_mut().rev().skip(behind).take(1).for_each(|digit| {
                    *digit = if *digit == b'0' { b'1' } else { b'0' };
                });
            }
            Spoil::Length(length) => {
                let at = if frame.starts_with(b"bY") { 2 } else { 1 };
                for (digit, new) in frame.iter_mut().skip(at).zip(format!("{length:02X}").bytes()) {
                    *digit = new;
                }
            }
        }
    }

    fn has_transmitted(&self) -> bool {
        self.transmitted
    }
}

fn unknown(line: &[u8]) -> Vec<u8> {
    format!("? ({} is unknown) Use one of {COMMANDS}", String::from_utf8_lossy(line)).into()
}

/// The inverse of dBm = signed raw / 2 - 74, kept within a byte.
fn raw_rssi(dbm: i16) -> u8 {
    let raw = (i32::from(dbm) + 74).saturating_mul(2).clamp(-128, 127);
    i8::try_from(raw).unwrap_or(i8::MAX).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A public MULTICAL 21 test telegram.
    const TELEGRAM: &str =
        "2A442D2C998734761B168D2091D37CAC21576C7802FF207100041308190000441308190000615B7F616713";

    fn telegram() -> Vec<u8> {
        let digit = |digits: &[u8]| u8::from_str_radix(str::from_utf8(digits).unwrap(), 16).unwrap();
        TELEGRAM.as_bytes().chunks(2).map(digit).collect()
    }

    fn ask(stick: &mut Cul, command: &str) -> String {
        String::from_utf8(stick.input(command.as_bytes(), SPEED).concat()).unwrap()
    }

    fn heard(stick: &mut Cul, mode: Mode) -> Option<String> {
        let line = stick.hear(mode, &telegram(), -66, SPEED).unwrap();
        line.map(|line| String::from_utf8(line).unwrap())
    }

    fn receiving() -> Cul {
        let mut stick = Cul::default();
        ask(&mut stick, "X21\r\nbrc\r\n");
        stick
    }

    #[test]
    fn it_is_set_up_by_three_commands() {
        let mut stick = Cul::default();
        assert_eq!(ask(&mut stick, "\r\nV\r\n"), "V 1.67 CUL868\r\n");
        assert_eq!(ask(&mut stick, "X21\n"), "");
        assert_eq!(ask(&mut stick, "X\r"), "21  900\r\n");
        assert_eq!(ask(&mut stick, "brc\r\n"), "CMODE\r\n");
        assert_eq!(ask(&mut stick, "brs\rbrt\r"), "SMODE\r\nTMODE\r\n");
        assert_eq!(ask(&mut stick, "br\r"), "TMODE\r\n", "without a letter, nothing changes");
        assert_eq!(ask(&mut stick, "brx\r"), "OFF\r\n");
    }

    #[test]
    fn lines_are_those_of_the_reference_in_both_formats() {
        let mut stick = receiving();
        let a = "b2A442D2C998734761B16F1488D2091D37CAC21576C7802FF2071000410E91308190000441308190000615B7F616779691329AF8210\r\n";
        let b = "bY2C442D2C998734761B168D2091D37CAC21576C7802FF207100041308190000441308190000615B7F616713FD658210\r\n";
        assert_eq!(heard(&mut stick, Mode::T1).as_deref(), Some(a));
        assert_eq!(heard(&mut stick, Mode::C1FormatA).as_deref(), Some(a));
        assert_eq!(heard(&mut stick, Mode::C1FormatB).as_deref(), Some(b));
        assert_eq!(heard(&mut stick, Mode::S1), None);
        ask(&mut stick, "X01\r");
        assert_eq!(heard(&mut stick, Mode::C1FormatB), Some(b.replace("8210\r", "\r")));
    }

    #[test]
    fn what_its_firmware_was_built_without_it_does_not_know() {
        assert_eq!(ask(&mut Cul::without_c_mode(), "brc\r"), "OFF\r\n");
        let unknown = "? (brc is unknown) Use one of B b C e F G K l M R T t V W X x\r\n";
        assert_eq!(ask(&mut Cul::without_wmbus(), "brc\r"), unknown);
        assert_eq!(ask(&mut Cul::default(), "xyz\r"), unknown.replace("brc", "xyz"));
    }

    #[test]
    fn what_to_report_ends_reception_in_a_culfw_only() {
        for (mut stick, then) in [(Cul::default(), "CMODE\r\n"), (Cul::a_culfw(), "OFF\r\n")] {
            ask(&mut stick, "brc\rX21\r");
            assert_eq!(ask(&mut stick, "br\r"), then);
        }
    }

    #[test]
    fn a_small_output_buffer_cuts_long_lines_also_in_the_middle_of_a_byte() {
        let mut stick = receiving().with_output_buffer(50);
        assert_eq!(heard(&mut stick, Mode::T1).map(|line| line.len()), Some(52));
        let mut long = vec![0x44; 121];
        long[0] = 120;
        let mut nano = Cul::nano_cul();
        ask(&mut nano, "X21\rbrc\r");
        assert_eq!(nano.hear(Mode::T1, &long, -66, SPEED).unwrap().unwrap().len(), 258);
    }

    #[test]
    fn a_reboot_forgets_everything_that_was_set() {
        let mut stick = receiving();
        stick.reboot();
        assert_eq!((ask(&mut stick, "br\r"), stick.report()), ("OFF\r\n".into(), 0));
    }

    #[test]
    fn at_another_speed_nothing_is_understood() {
        let mut stick = receiving();
        assert!(stick.input(b"V\r\n", 9_600).is_empty());
        let line = stick.hear(Mode::T1, &telegram(), -66, 9_600).unwrap().unwrap();
        assert!(!line.contains(&b'b'));
    }

    #[test]
    fn a_telegram_to_transmit_is_noticed() {
        let mut stick = Cul::default();
        ask(&mut stick, "bst0F44AE0C\r");
        assert!(stick.has_transmitted());
    }

    #[test]
    fn faults_change_one_digit_and_the_length() {
        let stick = receiving();
        let mut line = b"b2A44F18210\r\n".to_vec();
        stick.spoil(Spoil::Checksum, &mut line);
        assert_eq!(line, b"b2A44F08210\r\n");
        stick.spoil(Spoil::Length(255), &mut line);
        assert_eq!(line, b"bFF44F08210\r\n");
        let mut reply = b"CMODE\r\n".to_vec();
        stick.spoil(Spoil::Checksum, &mut reply);
        assert_eq!(reply, b"CMOD0\r\n");
    }
}
