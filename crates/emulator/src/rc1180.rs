//! A virtual Radiocrafts RC1180-MBUS3, byte by byte as the user manual of Radiocrafts' MBUS modules has it.

use wmbus::crc;

use crate::dongle::{Dongle, Mode, NotATelegram, Spoil, check, garbled};

const PROMPT: u8 = b'>';

const MBUS_MODE: u8 = 0x03;
const RSSI_MODE: u8 = 0x05;
const NETWORK_ROLE: u8 = 0x12;
const UART_BAUD_RATE: u8 = 0x30;
const DATA_INTERFACE: u8 = 0x36;
const INSTALL_MODE: u8 = 0x3D;
/// Of the data interface: a CRC behind each telegram.
const WITH_CRC: u8 = 8;

/// As delivered, as far as the manual says; the rest reads FF.
const FACTORY: [(u8, &[u8]); 12] = [
    // Channel, power, data rate, mode T1, sleep, signal strength off.
    (0x00, &[0x01, 0x05, 0x03, 0x01, 0x00, 0x00]),
    (0x0A, &[0x04]),
    (0x0F, &[0xFF, 0x7C]),
    // Master.
    (NETWORK_ROLE, &[0x01]),
    // Manufacturer RAD, id 12345678, version, type.
    (0x19, &[0x24, 0x48, 0x78, 0x56, 0x34, 0x12, 0x01, 0x07]),
    // 19200 baud.
    (UART_BAUD_RATE, &[0x05]),
    (0x35, &[0x00]),
    // Telegrams with header; the CONFIG pin is needed for some commands.
    (DATA_INTERFACE, &[0x00, 0x00]),
    (0x3B, &[0x06, 0x08]),
    // Accept all meters, neither encrypt nor decrypt.
    (INSTALL_MODE, &[0x02]),
    (0x3E, &[0x00, 0x00]),
    (0x61, b"RC1180-MBUS3,1.00,1.00"),
];

/// A module without its port.
#[derive(Clone, Debug)]
pub struct Rc1180 {
    /// Flash memory.
    flash: [u8; 256],
    /// What it was when the module started: what counts until the next start.
    memory: [u8; 256],
    mode: u8,
    state: State,
    strays: u64,
    transmitted: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Hands over telegrams; takes what comes for one to transmit.
    Idle,
    /// So many bytes of one are still to come.
    Transmitting(u8),
    Configuration,
    /// Waits for the argument of this command.
    Argument(u8),
    /// Takes an address, and then its value.
    Writing(Option<u8>),
    Asleep,
}

impl Default for Rc1180 {
    /// One with its factory settings, but for the signal strength, which it attaches.
    fn default() -> Self {
        Self::factory().with(RSSI_MODE, 1)
    }
}

impl Rc1180 {
    /// One with its factory settings: mode T1, no signal strength.
    #[must_use]
    pub fn factory() -> Self {
        let mut flash = [0xFF; 256];
        for (address, bytes) in FACTORY {
            for (slot, byte) in flash.iter_mut().skip(usize::from(address)).zip(bytes) {
                *slot = *byte;
            }
        }
        let mut module =
            Self { flash, memory: flash, mode: 0, state: State::Idle, strays: 0, transmitted: false };
        module.reboot();
        module
    }

    /// The same with another byte in its memory.
    #[must_use]
    pub fn with(mut self, address: u8, value: u8) -> Self {
        self.write(address, value);
        self.reboot();
        self
    }

    /// The same with a CRC behind each telegram.
    #[must_use]
    pub fn with_crc(self) -> Self {
        self.with(DATA_INTERFACE, WITH_CRC)
    }

    /// The mode it listens in.
    #[must_use]
    pub const fn mode(&self) -> u8 {
        self.mode
    }

    /// Whether it is in configuration, and so hears nothing.
    #[must_use]
    pub const fn is_in_configuration(&self) -> bool {
        !matches!(self.state, State::Idle | State::Transmitting(_))
    }

    /// Its flash memory.
    #[must_use]
    pub const fn flash(&self) -> &[u8; 256] {
        &self.flash
    }

    /// Bytes that came while it was idle and did not lead to configuration: what it took for a telegram to transmit.
    #[must_use]
    pub const fn strays(&self) -> u64 {
        self.strays
    }

    fn byte(&mut self, byte: u8) -> Option<Vec<u8>> {
        let prompt = Some(vec![PROMPT]);
        match (self.state, byte) {
            (State::Idle, 0x00) => {
                self.state = State::Configuration;
                return prompt;
            }
            // Reserved.
            (State::Idle, 0xF7..) => self.strays += 1,
            (State::Idle, length) => {
                self.strays += 1;
                self.state = State::Transmitting(length);
            }
            (State::Transmitting(left), _) => {
                self.strays += 1;
                self.transmitted |= left == 1;
                self.state = if left == 1 { State::Idle } else { State::Transmitting(left - 1) };
            }
            (State::Configuration, b'0') => return Some([&self.flash[..], &[PROMPT]].concat()),
            (State::Configuration, b'G' | b'Y') => {
                self.state = State::Argument(byte);
                return prompt;
            }
            (State::Configuration, b'M') => {
                self.state = State::Writing(None);
                return prompt;
            }
            (State::Configuration, b'X') => self.state = State::Idle,
            (State::Configuration, b'Z') => self.state = State::Asleep,
            // What it does not know.
            (State::Configuration, _) => return prompt,
            (State::Argument(command), argument) => {
                self.state = State::Configuration;
                if command == b'Y' {
                    return Some(vec![read(&self.flash, argument), PROMPT]);
                }
                self.mode = argument;
                return prompt;
            }
            (State::Writing(None), 0xFF) => {
                self.state = State::Configuration;
                return prompt;
            }
            (State::Writing(None), address) => self.state = State::Writing(Some(address)),
            (State::Writing(Some(address)), value) => {
                self.write(address, value);
                self.state = State::Writing(None);
            }
            (State::Asleep, 0xFF) => self.state = State::Idle,
            (State::Asleep, _) => {}
        }
        None
    }

    fn write(&mut self, address: u8, value: u8) {
        if let Some(slot) = self.flash.get_mut(usize::from(address)) {
            *slot = value;
        }
    }

    /// In baud; 0 if its memory names no speed.
    fn speed(&self) -> u32 {
        const SPEEDS: [u32; 12] =
            [0, 2_400, 4_800, 9_600, 14_400, 19_200, 28_800, 38_400, 57_600, 76_800, 115_200, 230_400];
        SPEEDS.get(usize::from(read(&self.memory, UART_BAUD_RATE))).copied().unwrap_or_default()
    }
}

fn read(memory: &[u8; 256], address: u8) -> u8 {
    memory.get(usize::from(address)).copied().unwrap_or_default()
}

impl Dongle for Rc1180 {
    /// Whoever transmits hands over the telegram at once. What is left unfinished is forgotten after two seconds, and nothing
    /// that matters happens sooner.
    fn input(&mut self, bytes: &[u8], speed: u32) -> Vec<Vec<u8>> {
        if speed != self.speed() {
            return Vec::new();
        }
        let replies = bytes.iter().filter_map(|byte| self.byte(*byte)).collect();
        if matches!(self.state, State::Transmitting(_)) {
            self.state = State::Idle;
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
        let body = check(telegram)?;
        if !self.listens_for(mode) {
            return Ok(None);
        }
        let rssi = read(&self.memory, RSSI_MODE) == 1;
        let crc = read(&self.memory, DATA_INTERFACE) & WITH_CRC != 0;
        // One that is too long to count what is attached, it cannot hand over.
        let Ok(length) = u8::try_from(body.len() + usize::from(rssi)) else { return Ok(None) };
        let mut frame = [&[length], body].concat();
        frame.extend(rssi.then(|| raw_rssi(rssi_dbm)));
        if crc {
            let Some(length) = length.checked_add(2) else { return Ok(None) };
            frame.extend(crc::of(&frame).to_le_bytes());
            frame.iter_mut().take(1).for_each(|first| *first = length);
        }
        Ok(Some(if speed == self.speed() { frame } else { garbled(&frame) }))
    }

    fn reboot(&mut self) {
        self.memory = self.flash;
        self.mode = read(&self.memory, MBUS_MODE);
        self.state = State::Idle;
    }

    fn listens_for(&self, mode: Mode) -> bool {
        let receiver = read(&self.memory, NETWORK_ROLE) == 1 && read(&self.memory, INSTALL_MODE) == 2;
        receiver
            && !self.is_in_configuration()
            && match self.mode {
                0 | 3 => mode == Mode::S1,
                1 | 2 => mode == Mode::T1,
                8 | 9 => matches!(mode, Mode::C1FormatA | Mode::C1FormatB),
                10 | 11 => matches!(mode, Mode::T1 | Mode::C1FormatA | Mode::C1FormatB),
                _ => false,
            }
    }

    fn spoil(&self, how: Spoil, frame: &mut Vec<u8>) {
        match how {
            Spoil::Checksum => frame.iter_mut().rev().take(1).for_each(|byte| *byte ^= 0x01),
            Spoil::Length(length) => frame.iter_mut().take(1).for_each(|byte| *byte = length),
        }
    }

    fn has_transmitted(&self) -> bool {
        self.transmitted
    }
}

/// The inverse of dBm = -raw / 2, kept within a byte.
fn raw_rssi(dbm: i16) -> u8 {
    u8::try_from(i32::from(dbm).saturating_mul(-2).clamp(0, 255)).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAUD: u32 = 19_200;
    /// A public MULTICAL 21 test telegram.
    const TELEGRAM: &str = "2A 44 2D 2C 99 87 34 76 1B 16 8D 20 91 D3 7C AC 21 57 6C 78 02 FF 20 71 00 04 13 08 19 00 \
        00 44 13 08 19 00 00 61 5B 7F 61 67 13";

    fn hex(text: &str) -> Vec<u8> {
        text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
    }

    fn ask(module: &mut Rc1180, request: &str) -> Vec<u8> {
        module.input(&hex(request), BAUD).concat()
    }

    #[test]
    fn it_is_set_up_as_the_reference_has_it() {
        let mut module = Rc1180::default();
        assert_eq!(ask(&mut module, "00"), [PROMPT]);
        let dump = ask(&mut module, "30");
        assert_eq!((dump.len(), dump[256], dump[0x12], dump[0x3D]), (257, PROMPT, 1, 2));
        assert_eq!(ask(&mut module, "47"), [PROMPT]);
        assert!(module.is_in_configuration() && !module.listens_for(Mode::T1));
        assert_eq!(ask(&mut module, "0A"), [PROMPT]);
        assert_eq!(ask(&mut module, "58"), []);
        assert!(!module.is_in_configuration() && module.listens_for(Mode::C1FormatB));
        assert_eq!((module.mode(), module.strays()), (10, 0));
        module.reboot();
        assert_eq!(module.mode(), 1, "it was set in RAM only");
    }

    #[test]
    fn telegrams_are_those_of_the_reference_with_what_is_attached() {
        let body = TELEGRAM.strip_prefix("2A").unwrap();
        for (module, expected) in [
            (Rc1180::factory(), TELEGRAM.to_owned()),
            (Rc1180::default(), format!("2B {body} 96")),
            (Rc1180::default().with_crc(), format!("2D {body} 96 30 82")),
        ] {
            let mut module = module;
            let heard = module.hear(Mode::T1, &hex(TELEGRAM), -75, BAUD).unwrap().unwrap();
            assert_eq!(heard, hex(&expected));
        }
    }

    #[test]
    fn memory_is_written_and_counts_after_the_next_start() {
        let mut module = Rc1180::factory();
        assert_eq!(ask(&mut module, "00 4D"), [PROMPT, PROMPT]);
        assert_eq!(ask(&mut module, "05 01"), []);
        assert_eq!(ask(&mut module, "FF 59 05"), [PROMPT, PROMPT, 1, PROMPT]);
        ask(&mut module, "58");
        let length =
            |module: &mut Rc1180| module.hear(Mode::T1, &hex(TELEGRAM), -75, BAUD).unwrap().unwrap().len();
        assert_eq!(length(&mut module), 43);
        module.reboot();
        assert_eq!(length(&mut module), 44);
    }

    #[test]
    fn idle_it_takes_all_but_a_0_for_a_telegram_to_transmit() {
        let mut module = Rc1180::default();
        ask(&mut module, "0A 01 02");
        assert_eq!((module.strays(), module.has_transmitted()), (3, false));
        assert_eq!(ask(&mut module, "00"), [PROMPT], "what was unfinished is forgotten");
        ask(&mut module, "58");
        ask(&mut module, "02 AA BB");
        assert!(module.has_transmitted());
    }

    #[test]
    fn a_command_it_does_not_know_is_answered_with_a_prompt() {
        let mut module = Rc1180::default();
        assert_eq!(ask(&mut module, "00 00 7E"), [PROMPT; 3]);
    }

    #[test]
    fn it_keeps_to_the_speed_in_its_memory() {
        let mut module = Rc1180::default().with(0x30, 0x0A);
        assert!(module.input(&[0], BAUD).is_empty());
        assert_eq!(module.input(&[0], 115_200), [[PROMPT]]);
    }

    #[test]
    fn a_slave_and_one_that_filters_hear_nothing() {
        for module in [Rc1180::default().with(0x12, 0), Rc1180::default().with(0x3D, 0)] {
            assert!(Mode::ALL.iter().all(|mode| !module.listens_for(*mode)));
        }
    }
}
