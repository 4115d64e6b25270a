//! A virtual IMST iU891A-XL, byte by byte as captures of real ones and public drivers have it.
//!
//! It is a USB device of its own without a bridge, so the line's speed means nothing to it. Whether a real one answers
//! requests that it does not know could not be found out: this one does not.

use crate::dongle::{Dongle, Mode, NotATelegram, Spoil, check, x25};

const END: u8 = 0xC0;
const ESCAPE: u8 = 0xDB;
const DEVICE_MANAGEMENT: u8 = 1;
const GATEWAY: u8 = 9;

/// Status codes of replies.
const OK: u8 = 0;
const WRONG_PARAMETER: u8 = 3;
const WRONG_LENGTH: u8 = 7;

/// No request is so long; a real one has a buffer of some size, too.
const LONGEST_REQUEST: usize = 1024;

/// A dongle without its port.
#[derive(Clone, Debug)]
pub struct Device {
    module_type: u8,
    serial: u32,
    highest_link_mode: u8,
    active: Config,
    default: Config,
    input: Vec<u8>,
    clock: u32,
}

/// Link mode (0 off, 1 S, 2 T, 3 C and T, 5 C, 6 enhanced T), options, lamp options, flash and recalibration time.
type Config = [u8; 11];

impl Default for Device {
    /// As delivered: it listens for C and T and reports nothing.
    fn default() -> Self {
        let config = [3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        Self {
            module_type: 0x6E,
            serial: 0x0006_2DBE,
            highest_link_mode: 6,
            active: config,
            default: config,
            input: Vec::new(),
            clock: 0x386D_439F,
        }
    }
}

impl Device {
    /// The same with another module type: 0x71 is the iU893A-XL.
    #[must_use]
    pub fn with_module_type(self, module_type: u8) -> Self {
        Self { module_type, ..self }
    }

    /// One whose memory tells it to report what it receives from the moment it has power.
    #[must_use]
    pub fn left_reporting(self) -> Self {
        self.left_reporting_in(3)
    }

    /// The same in this link mode.
    #[must_use]
    pub fn left_reporting_in(self, link_mode: u8) -> Self {
        let config = [link_mode, 0x06, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        Self { active: config, default: config, ..self }
    }

    /// The same with a firmware that knows no link mode beyond this.
    #[must_use]
    pub fn with_link_modes_up_to(self, highest_link_mode: u8) -> Self {
        Self { highest_link_mode, ..self }
    }

    /// The link mode it listens in, as its configuration has it.
    pub fn link_mode(&self) -> u8 {
        let [link_mode, ..] = self.active;
        link_mode
    }

    fn reply(&mut self, content: &[u8]) -> Option<Vec<u8>> {
        let (sap, id, body) = match content {
            [sap, id, body @ .., low, high] => {
                let covered = content.get(..content.len().saturating_sub(2))?;
                (x25(covered) == u16::from_le_bytes([*low, *high])).then_some((*sap, *id, body))?
            }
            _ => return None,
        };
        let body = match (sap, id) {
            (DEVICE_MANAGEMENT, 0x01) => vec![OK],
            (DEVICE_MANAGEMENT, 0x03) => {
                let mut info = vec![OK, self.module_type];
                info.extend_from_slice(&self.serial.to_le_bytes());
                // What follows is not known.
                info.extend_from_slice(&[0; 8]);
                info
            }
            (DEVICE_MANAGEMENT, 0x07) => {
                self.active = self.default;
                vec![OK]
            }
            (GATEWAY, 0x01) => [&[OK][..], &self.active].concat(),
            (GATEWAY, 0x03) => vec![self.set(body)],
            (GATEWAY, 0x81) => vec![OK, 0x25, 0xB3, 0x00, 0x20, 0x20, 0x95, 0x01, 0x00],
            _ => return None,
        };
        Some(frame(sap, id + 1, &body))
    }

    fn set(&mut self, body: &[u8]) -> u8 {
        let Ok(config) = Config::try_from(body) else { return WRONG_LENGTH };
        let [link_mode, ..] = config;
        if !matches!(link_mode, 0..=3 | 5 | 6) || link_mode > self.highest_link_mode {
            return WRONG_PARAMETER;
        }
        self.active = config;
        OK
    }
}

impl Dongle for Device {
    fn input(&mut self, bytes: &[u8], _speed: u32) -> Vec<Vec<u8>> {
        let mut replies = Vec::new();
        for &byte in bytes {
            if byte == END {
                let content = std::mem::take(&mut self.input);
                replies.extend(unescaped(&content).and_then(|content| self.reply(&content)));
            } else if self.input.len() < LONGEST_REQUEST {
                self.input.push(byte);
            }
        }
        replies
    }

    fn hear(
        &mut self,
        mode: Mode,
        telegram: &[u8],
        rssi_dbm: i16,
        _speed: u32,
    ) -> Result<Option<Vec<u8>>, NotATelegram> {
        check(telegram)?;
        if !self.listens_for(mode) {
            return Ok(None);
        }
        self.clock = self.clock.wrapping_add(1);
        let link_mode = match mode {
            Mode::S1 => 1,
            Mode::T1 => 2,
            Mode::C1FormatA | Mode::C1FormatB => 5,
            Mode::N1(_) => return Ok(None),
        };
        let rssi = i8::try_from(rssi_dbm.clamp(i8::MIN.into(), i8::MAX.into())).unwrap_or_default();
        let mut body = self.clock.to_le_bytes().to_vec();
        body.extend_from_slice(&[0, 0, link_mode]);
        body.extend_from_slice(&rssi.to_le_bytes());
        body.extend_from_slice(telegram);
        Ok(Some(frame(GATEWAY, 0x20, &body)))
    }

    fn reboot(&mut self) {
        self.active = self.default;
        self.input.clear();
    }

    fn listens_for(&self, mode: Mode) -> bool {
        let [link_mode, options, ..] = self.active;
        // Its list of meters is empty, and it reports to the host only what it is told to.
        options & 0x03 == 0x02
            && match link_mode {
                1 => mode == Mode::S1,
                2 | 6 => mode == Mode::T1,
                3 => matches!(mode, Mode::T1 | Mode::C1FormatA | Mode::C1FormatB),
                5 => matches!(mode, Mode::C1FormatA | Mode::C1FormatB),
                _ => false,
            }
    }

    fn spoil(&self, how: Spoil, frame: &mut Vec<u8>) {
        let inner = frame.get(1..frame.len().saturating_sub(1)).and_then(unescaped);
        let Some(mut content) = inner else { return };
        match how {
            Spoil::Checksum => content.iter_mut().rev().take(1).for_each(|byte| *byte ^= 0x01),
            // Only a telegram has a length byte: behind SAP, id and eight bytes about its reception.
            Spoil::Length(length) => content.iter_mut().skip(10).take(1).for_each(|byte| *byte = length),
        }
        *frame = escaped(&content);
    }
}

fn frame(sap: u8, id: u8, body: &[u8]) -> Vec<u8> {
    let mut content = vec![sap, id];
    content.extend_from_slice(body);
    let crc = x25(&content);
    content.extend_from_slice(&crc.to_le_bytes());
    escaped(&content)
}

fn escaped(content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![END];
    for &byte in content {
        match byte {
            END => bytes.extend([ESCAPE, 0xDC]),
            ESCAPE => bytes.extend([ESCAPE, 0xDD]),
            byte => bytes.push(byte),
        }
    }
    bytes.push(END);
    bytes
}

fn unescaped(bytes: &[u8]) -> Option<Vec<u8>> {
    let (mut content, mut bytes) = (Vec::new(), bytes.iter());
    while let Some(&byte) = bytes.next() {
        content.push(match byte {
            ESCAPE => match *bytes.next()? {
                0xDC => END,
                0xDD => ESCAPE,
                _ => return None,
            },
            byte => byte,
        });
    }
    Some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAUD: u32 = 115_200;

    fn hex(text: &str) -> Vec<u8> {
        text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
    }

    fn ask(device: &mut Device, request: &str) -> Vec<Vec<u8>> {
        device.input(&hex(request), BAUD)
    }

    const TELEGRAM: &str = "2A 44 2D 2C 99 87 34 76 1B 16 8D 20 91 D3 7C AC 21 57 6C 78 02 FF 20 71 00 04 13 08 19 00 \
        00 44 13 08 19 00 00 61 5B 7F 61 67 13";

    #[test]
    fn the_worked_conversation_goes_as_written_down() {
        let mut device = Device::default();
        for (request, reply) in [
            ("C0 C0 C0 C0 C0 C0 C0 C0 C0 C0 C0 01 01 16 07 C0", "C0 01 02 00 A0 AF C0"),
            ("C0 01 03 04 24 C0", "C0 01 04 00 6E BE 2D 06 00 00 00 00 00 00 00 00 00 C8 CF C0"),
            ("C0 09 81 DE 4D C0", "C0 09 82 00 25 B3 00 20 20 95 01 00 21 83 C0"),
            ("C0 09 01 D6 C9 C0", "C0 09 02 00 03 00 00 00 00 00 00 00 00 00 00 0A CD C0"),
            ("C0 09 03 03 06 00 00 00 00 00 00 00 00 00 A1 76 C0", "C0 09 04 00 B2 3D C0"),
            ("C0 09 03 03 0E 00 05 00 32 00 DB DC 27 09 00 90 24 C0", "C0 09 04 00 B2 3D C0"),
        ] {
            assert_eq!(ask(&mut device, request), [hex(reply)], "{request}");
        }
        assert_eq!(device.active, [3, 0x0E, 0, 5, 0, 0x32, 0, 0xC0, 0x27, 9, 0]);
        for (request, link_mode) in [
            ("C0 09 03 02 06 00 00 00 00 00 00 00 00 00 30 23 C0", 2),
            ("C0 09 03 05 06 00 00 00 00 00 00 00 00 00 D6 83 C0", 5),
            ("C0 09 03 01 06 00 00 00 00 00 00 00 00 00 83 DD C0", 1),
        ] {
            assert_eq!(ask(&mut device, request), [hex("C0 09 04 00 B2 3D C0")]);
            assert_eq!(device.link_mode(), link_mode);
        }
    }

    #[test]
    fn an_unknown_link_mode_is_a_wrong_parameter() {
        let mut device = Device::default().with_link_modes_up_to(2);
        let reply = ask(&mut device, "C0 09 03 03 06 00 00 00 00 00 00 00 00 00 A1 76 C0");
        assert_eq!(reply, [hex("C0 09 04 03 29 0F C0")]);
    }

    #[test]
    fn a_telegram_is_sent_with_its_escapes() {
        let mut device = Device::default().left_reporting();
        device.clock = 0x386D_439E;
        let heard = device.hear(Mode::T1, &hex(TELEGRAM), -75, BAUD).unwrap().unwrap();
        assert_eq!(heard, hex(&format!("C0 09 20 9F 43 6D 38 00 00 02 B5 {TELEGRAM} 7F DB DD C0")));
        device.clock = 0x386D_C0DA;
        let heard = device.hear(Mode::T1, &hex(TELEGRAM), -64, BAUD).unwrap().unwrap();
        let expected = format!("C0 09 20 DB DD DB DC 6D 38 00 00 02 DB DC {TELEGRAM} B8 37 C0");
        assert_eq!(heard, hex(&expected));
    }

    #[test]
    fn it_reports_nothing_unless_told_to_and_forgets_that_in_a_reboot() {
        let mut device = Device::default();
        assert_eq!(device.hear(Mode::T1, &hex(TELEGRAM), -75, BAUD), Ok(None));
        ask(&mut device, "C0 09 03 03 06 00 00 00 00 00 00 00 00 00 A1 76 C0");
        assert!(device.hear(Mode::C1FormatB, &hex(TELEGRAM), -75, BAUD).unwrap().is_some());
        device.reboot();
        assert_eq!(device.hear(Mode::T1, &hex(TELEGRAM), -75, BAUD), Ok(None));
    }

    #[test]
    fn unknown_and_damaged_requests_are_not_answered_and_a_half_one_is_flushed() {
        let mut device = Device::default();
        for request in ["C0 01 01 16 06 C0", "C0 01 DB 01 16 07 C0", "C0 01 C0", "C0 01 01 16 07"] {
            assert_eq!(ask(&mut device, request), Vec::<Vec<u8>>::new());
        }
        assert_eq!(ask(&mut device, "FF C0 C0 C0"), Vec::<Vec<u8>>::new());
        let pings = hex("C0 01 01 16 07 C0");
        let replies: Vec<_> = pings.chunks(1).flat_map(|byte| device.input(byte, 9600)).collect();
        assert_eq!(replies, [hex("C0 01 02 00 A0 AF C0")], "at any speed");
    }

    #[test]
    fn a_spoiled_frame_keeps_its_escapes() {
        let device = Device::default();
        let mut bytes = frame(GATEWAY, 0x20, &[END; 60]);
        device.spoil(Spoil::Checksum, &mut bytes);
        let content = unescaped(&bytes[1..bytes.len() - 1]).unwrap();
        assert_eq!(content.len(), 64);
        assert_ne!(x25(&content[..62]).to_le_bytes(), content[62..]);
        device.spoil(Spoil::Length(255), &mut bytes);
        assert_eq!(unescaped(&bytes[1..bytes.len() - 1]).unwrap()[10], 255);
    }
}
