//! A virtual Amber (Wuerth) AMB8465-M or AMB3665, byte by byte as its manual and captures of real ones have it.

use crate::dongle::{Dongle, Mode, NotATelegram, Spoil, check, garbled};

const START: u8 = 0xFF;
const TELEGRAM: u8 = 0x03;
/// What divides the UART's clock, at 0x02.
const CLOCK: u32 = 6_000_000;

const FRAMED_OUTPUT: u8 = 0x05;
const AUTO_SLEEP: u8 = 0x3F;
const RSSI: u8 = 0x45;
const POWER_UP_MODE: u8 = 0x46;

/// The memory of a real AMB8465-M, from a public capture: framed output, signal strength attached, mode C2/T2. Registers
/// that it does not have read FF.
const CAPTURED: [u8; 0x78] = [
    0x00, 0x80, 0x71, 0x02, 0x00, 0x01, 0x00, 0x00, 0xFF, 0xFF, 0xFA, 0x00, 0xFF, 0xFF, 0xFF, 0xFF, //
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x0C, 0x32, 0x00, 0x02, //
    0x64, 0x00, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01, 0x00, 0x04, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xFF, //
    0x01, 0x44, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0x0B, 0x06, 0x01, 0x00, //
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01, 0x09, 0x00, 0x00, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, //
    0x00, 0x00, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, //
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, //
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
];
/// The parts for 169 MHz have so much.
const SIZE_169_MHZ: usize = 0x80;

/// A module without its port.
#[derive(Clone, Debug)]
pub struct Amber {
    /// Flash memory.
    flash: Vec<u8>,
    /// What it was when the module started: what counts until the next start.
    memory: Vec<u8>,
    mode: u8,
    serial: u32,
    input: Vec<u8>,
    transmitted: bool,
}

impl Amber {
    /// An AMB8465-M as captured: framed output with signal strength.
    #[must_use]
    pub fn amb8465() -> Self {
        Self::with_memory(CAPTURED.to_vec(), 0x5300_5B0E)
    }

    /// An AMB3665 set up in the same way, that starts on channel N2a.
    #[must_use]
    pub fn amb3665() -> Self {
        let mut memory = CAPTURED.to_vec();
        memory.resize(SIZE_169_MHZ, 0xFF);
        let mut module = Self::with_memory(memory, 0x3600_1234);
        module.write(POWER_UP_MODE, 0x02);
        module.reboot();
        module
    }

    /// The same as delivered: transparent output without signal strength, mode S2.
    #[must_use]
    pub fn as_delivered(self) -> Self {
        self.with_register(FRAMED_OUTPUT, 0).with_register(RSSI, 0).with_register(POWER_UP_MODE, 0x03)
    }

    /// The same with transparent output.
    #[must_use]
    pub fn transparent(self) -> Self {
        self.with_register(FRAMED_OUTPUT, 0)
    }

    /// The same without signal strength.
    #[must_use]
    pub fn without_rssi(self) -> Self {
        self.with_register(RSSI, 0)
    }

    /// The same, sleeping between telegrams.
    #[must_use]
    pub fn asleep(self) -> Self {
        self.with_register(AUTO_SLEEP, 1)
    }

    /// The same with its line at about 115200 baud.
    #[must_use]
    pub fn fast(self) -> Self {
        self.with_register(0x02, 52).with_register(0x03, 0)
    }

    /// The mode it listens in.
    #[must_use]
    pub fn mode(&self) -> u8 {
        self.mode
    }

    /// Its flash memory.
    #[must_use]
    pub fn flash(&self) -> &[u8] {
        &self.flash
    }

    fn with_memory(memory: Vec<u8>, serial: u32) -> Self {
        let mut module = Self {
            flash: memory,
            memory: Vec::new(),
            mode: 0,
            serial,
            input: Vec::new(),
            transmitted: false,
        };
        module.reboot();
        module
    }

    fn with_register(mut self, register: u8, value: u8) -> Self {
        self.write(register, value);
        self.reboot();
        self
    }

    fn write(&mut self, register: u8, value: u8) {
        if let Some(byte) = self.flash.get_mut(usize::from(register)) {
            *byte = value;
        }
    }

    fn register(&self, register: u8) -> u8 {
        self.memory.get(usize::from(register)).copied().unwrap_or(START)
    }

    fn is_at_169_mhz(&self) -> bool {
        self.flash.len() == SIZE_169_MHZ
    }

    /// Whether the line goes at this speed, give or take what a UART forgives.
    fn understands(&self, speed: u32) -> bool {
        let divisor = u32::from(u16::from_le_bytes([self.register(0x02), self.register(0x03)])).max(1);
        (CLOCK / divisor).abs_diff(speed) <= speed / 50
    }

    /// Takes a whole command out of the input. What does not begin with FF is a telegram to transmit.
    fn next_command(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            let start = self.input.iter().position(|&byte| byte == START).unwrap_or(self.input.len());
            self.transmitted |= start > 0;
            self.input.drain(..start);
            let [_, command, length] = *self.input.first_chunk()?;
            let end = 3 + usize::from(length);
            let (&checksum, covered) = self.input.get(..=end)?.split_last()?;
            let right = xor(covered) == checksum;
            let payload = covered.get(3..).unwrap_or_default().to_vec();
            self.input.drain(..=end);
            if right {
                return Some((command, payload));
            }
        }
    }

    fn answer(&mut self, command: u8, payload: &[u8]) -> Option<Vec<u8>> {
        let answer = match (command, payload) {
            (0x00, _) => {
                self.transmitted = true;
                vec![0]
            }
            (0x04, &[mode]) => {
                self.mode = mode;
                vec![0]
            }
            (0x05, []) => {
                self.reboot();
                vec![0]
            }
            (0x09, &[address, count, ref bytes @ ..]) => {
                let fits = usize::from(count) == bytes.len()
                    && usize::from(address) + bytes.len() <= self.flash.len();
                for (register, byte) in (address..).zip(bytes).filter(|_| fits) {
                    self.write(register, *byte);
                }
                vec![if fits { 0 } else { 2 }]
            }
            (0x0A, &[address, count]) => {
                let from = self.flash.get(usize::from(address)..).unwrap_or_default();
                let bytes = from.get(..from.len().min(usize::from(count))).unwrap_or_default();
                let mut answer = vec![address, u8::try_from(bytes.len()).unwrap_or(u8::MAX)];
                answer.extend(bytes);
                answer
            }
            (0x0B, []) => self.serial.to_be_bytes().to_vec(),
            (0x0C, []) => vec![2, 7, 0],
            (0x0D, []) => vec![raw_rssi(-100)],
            (0x10, &[index]) => {
                if index == 7 {
                    self.write(0x02, 52);
                    self.write(0x03, 0);
                }
                vec![if index == 7 { 0 } else { 2 }]
            }
            _ => return None,
        };
        Some(framed(command | 0x80, &answer))
    }
}

impl Dongle for Amber {
    fn input(&mut self, bytes: &[u8], speed: u32) -> Vec<Vec<u8>> {
        if !self.understands(speed) {
            // All it sees is framing errors.
            self.input.clear();
            return Vec::new();
        }
        self.input.extend_from_slice(bytes);
        let mut answers = Vec::new();
        while let Some((command, payload)) = self.next_command() {
            answers.extend(self.answer(command, &payload));
        }
        answers
    }

    fn hear(
        &mut self,
        mode: Mode,
        telegram: &[u8],
        rssi_dbm: i16,
        speed: u32,
    ) -> Result<Option<Vec<u8>>, NotATelegram> {
        let body = check(telegram)?;
        if !self.listens_for(mode) {
            return Ok(None);
        }
        let rssi = (self.register(RSSI) != 0).then_some(raw_rssi(rssi_dbm));
        let payload: Vec<u8> = body.iter().copied().chain(rssi).collect();
        // 255 is no length without a frame, and none with one if the signal strength is counted, too.
        let frame = match (u8::try_from(payload.len()), self.register(FRAMED_OUTPUT)) {
            (Err(_), _) | (Ok(START), 0) => return Ok(None),
            (Ok(length), 0) => [&[length], payload.as_slice()].concat(),
            (Ok(_), _) => framed(TELEGRAM, &payload),
        };
        Ok(Some(if self.understands(speed) { frame } else { garbled(&frame) }))
    }

    fn reboot(&mut self) {
        self.memory.clone_from(&self.flash);
        self.mode = self.register(POWER_UP_MODE);
        self.input.clear();
    }

    fn listens_for(&self, mode: Mode) -> bool {
        if self.register(AUTO_SLEEP) != 0 {
            return false;
        }
        match (mode, self.mode) {
            (Mode::N1(channel), mode) => self.is_at_169_mhz() && mode == 2 * channel + 2,
            _ if self.is_at_169_mhz() => false,
            (Mode::S1, 0x03) | (Mode::T1, 0x08) => true,
            (Mode::T1 | Mode::C1FormatA | Mode::C1FormatB, 0x09) => true,
            (Mode::C1FormatA | Mode::C1FormatB, 0x0E) => true,
            _ => false,
        }
    }

    fn spoil(&self, how: Spoil, frame: &mut Vec<u8>) {
        let length_at = if frame.first() == Some(&START) { 2 } else { 0 };
        match how {
            Spoil::Checksum => frame.iter_mut().rev().take(1).for_each(|byte| *byte ^= 0x01),
            Spoil::Length(length) => frame.iter_mut().skip(length_at).take(1).for_each(|byte| *byte = length),
        }
    }

    fn usual_mode(&self) -> Mode {
        if self.is_at_169_mhz() { Mode::N1(0) } else { Mode::C1FormatA }
    }

    fn has_transmitted(&self) -> bool {
        self.transmitted
    }
}

fn framed(command: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![START, command, u8::try_from(payload.len()).unwrap_or(u8::MAX)];
    bytes.extend_from_slice(payload);
    bytes.push(xor(&bytes));
    bytes
}

fn xor(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum ^ byte)
}

/// The inverse of dBm = raw / 2 - 74, where raw has a sign; kept within a byte.
fn raw_rssi(dbm: i16) -> u8 {
    let raw = (i32::from(dbm) + 74) * 2;
    i8::try_from(raw.clamp(-128, 127)).unwrap_or(i8::MIN).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAUD: u32 = 9_600;
    const TELEGRAM: &str = "2A 44 2D 2C 99 87 34 76 1B 16 8D 20 91 D3 7C AC 21 57 6C 78 02 FF 20 71 00 04 13 08 19 00 \
        00 44 13 08 19 00 00 61 5B 7F 61 67 13";

    fn hex(text: &str) -> Vec<u8> {
        text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
    }

    fn ask(module: &mut Amber, request: &str) -> Vec<Vec<u8>> {
        module.input(&hex(request), BAUD)
    }

    #[test]
    fn the_memory_is_that_of_a_captured_module() {
        let [dump] = ask(&mut Amber::amb8465(), "FF 0A 02 00 80 77").try_into().unwrap();
        assert_eq!((dump.len(), &dump[..5], dump[125]), (126, &hex("FF 8A 7A 00 78")[..], 0x63));
        assert_eq!(dump[5..125], CAPTURED);
    }

    #[test]
    fn questions_are_answered_as_a_real_module_answers() {
        let mut module = Amber::amb8465();
        for (question, answer) in [
            ("FF 0C 00 F3", "FF 8C 03 02 07 00 75"),
            ("FF 0B 00 F4", "FF 8B 04 53 00 5B 0E 76"),
            ("FF 04 01 09 F3", "FF 84 01 00 7A"),
            ("FF 0A 02 05 01 F3", "FF 8A 03 05 01 01 73"),
            ("FF 0A 02 45 01 B3", "FF 8A 03 45 01 01 33"),
            ("FF 0A 02 3F 01 C9", "FF 8A 03 3F 01 00 48"),
            ("FF 09 03 05 01 01 F0", "FF 89 01 00 77"),
            ("FF 05 00 FA", "FF 85 01 00 7B"),
        ] {
            assert_eq!(ask(&mut module, question), [hex(answer)], "{question}");
        }
        assert_eq!(ask(&mut module, "FF 0C 00 F4"), Vec::<Vec<u8>>::new(), "a wrong checksum");
        assert!(!module.has_transmitted());
    }

    #[test]
    fn a_telegram_comes_framed_or_transparent_with_and_without_signal_strength() {
        let telegram = hex(TELEGRAM);
        let hear = |module: Amber| module.clone().hear(Mode::T1, &telegram, -66, BAUD).unwrap().unwrap();
        let body = &telegram[1..];
        assert_eq!(hear(Amber::amb8465()), [&hex("FF 03 2B"), body, &hex("10 32")].concat());
        assert_eq!(hear(Amber::amb8465().without_rssi()), [&hex("FF 03 2A"), body, &hex("23")].concat());
        assert_eq!(hear(Amber::amb8465().transparent()), [&[0x2B], body, &[0x10]].concat());
        assert_eq!(hear(Amber::amb8465().transparent().without_rssi()), telegram);
    }

    #[test]
    fn settings_in_memory_count_from_the_next_start_and_the_mode_is_forgotten_then() {
        let mut module = Amber::amb8465().as_delivered();
        assert!(module.listens_for(Mode::S1) && !module.listens_for(Mode::T1));
        ask(&mut module, "FF 04 01 09 F3");
        assert!(module.listens_for(Mode::T1) && module.listens_for(Mode::C1FormatB));
        for request in ["FF 09 03 05 01 01 F0", "FF 09 03 45 01 01 B0", "FF 09 03 46 01 09 BB"] {
            assert_eq!(ask(&mut module, request), [hex("FF 89 01 00 77")]);
        }
        assert_eq!(module.register(FRAMED_OUTPUT), 0);
        module.reboot();
        assert_eq!((module.register(FRAMED_OUTPUT), module.mode()), (1, 9));
        assert_eq!(module.flash, CAPTURED);
    }

    #[test]
    fn anything_without_a_start_is_a_telegram_to_transmit() {
        let mut module = Amber::amb8465();
        ask(&mut module, "FF 0C 00 F3");
        assert!(!module.has_transmitted());
        ask(&mut module, "0D 0A");
        assert!(module.has_transmitted());
    }

    #[test]
    fn a_telegram_too_long_for_its_output_does_not_come() {
        let longest = |length: u8| [&[length], vec![0x44; usize::from(length)].as_slice()].concat();
        let comes =
            |mut module: Amber, length| module.hear(Mode::T1, &longest(length), -70, BAUD).unwrap().is_some();
        assert!(comes(Amber::amb8465(), 254) && !comes(Amber::amb8465(), 255));
        assert!(comes(Amber::amb8465().without_rssi(), 255));
        assert!(comes(Amber::amb8465().transparent(), 253) && !comes(Amber::amb8465().transparent(), 254));
    }

    #[test]
    fn the_other_part_has_more_memory_and_six_channels() {
        let mut module = Amber::amb3665();
        assert_eq!(ask(&mut module, "FF 0A 02 00 80 77")[0][..5], hex("FF 8A 82 00 80"));
        assert!(module.listens_for(Mode::N1(0)) && !module.listens_for(Mode::T1));
        ask(&mut module, "FF 04 01 0C F6");
        assert!(module.listens_for(Mode::N1(5)) && !module.listens_for(Mode::N1(0)));
    }

    #[test]
    fn it_understands_its_own_speed_only() {
        let mut module = Amber::amb8465().fast();
        assert_eq!(ask(&mut module, "FF 0C 00 F3"), Vec::<Vec<u8>>::new());
        assert_eq!(module.input(&hex("FF 0C 00 F3"), 115_200).len(), 1);
    }
}
