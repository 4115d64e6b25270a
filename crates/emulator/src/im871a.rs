//! A virtual IMST iM871A-USB, byte by byte as IMST's WMBus HCI specification and captures of real ones have it.

use crate::dongle::{Dongle, Mode, NotATelegram, Spoil, check, garbled, x25};

/// The only speed the dongle understands, in baud.
const SPEED: u32 = 57_600;
const START: u8 = 0xA5;
const DEVICE_MANAGEMENT: u8 = 1;
const RADIO_LINK: u8 = 2;
const TIMESTAMP: u8 = 0x20;
const RSSI: u8 = 0x40;
const CRC: u8 = 0x80;

/// A dongle without its port.
#[derive(Clone, Debug)]
pub struct Device {
    module_type: u8,
    firmware: u8,
    serial: u32,
    ram: Settings,
    flash: Settings,
    input: Vec<u8>,
    clock: u32,
}

/// Its settings: two groups of fields, in the order of the configuration messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Settings {
    first: [u8; 12],
    second: [u8; 8],
}

/// Sizes of the fields: device mode, link mode, C field, manufacturer, id, version, type, channel.
const FIRST: [usize; 8] = [1, 1, 1, 2, 4, 1, 1, 1];
/// Power, data rate, window, power saving, attach RSSI, attach timestamp, LED, clock.
const SECOND: [usize; 8] = [1; 8];
/// As delivered: S1-m, RSSI and timestamp attached.
const FACTORY: Settings = Settings {
    first: [0, 1, 0, 0xB3, 0x25, 0x63, 0x01, 0x10, 0x00, 1, 0, 1],
    second: [7, 2, 0x32, 0, 1, 1, 0, 0],
};

impl Default for Device {
    /// An iM871A with firmware 1.4 and its factory settings.
    fn default() -> Self {
        Self {
            module_type: 0x33,
            firmware: 0x14,
            serial: 0x0010_2863,
            ram: FACTORY,
            flash: FACTORY,
            input: Vec::new(),
            clock: 0x0011_2233,
        }
    }
}

impl Device {
    /// The same with another firmware: 0x13 is 1.3, which cannot hear C1 and T1 at once.
    #[must_use]
    pub fn with_firmware(self, firmware: u8) -> Self {
        Self { firmware, ..self }
    }

    /// The same whose flash memory lets it listen in this link mode and attach what a collector attaches.
    #[must_use]
    pub fn left_listening_in(mut self, link_mode: u8) -> Self {
        self.flash.first[1] = link_mode;
        self.flash.second = [7, 2, 0x32, 0, 1, 0, 0, 0];
        self.ram = self.flash;
        self
    }

    /// The same with another module type: 0x36 is the iM170A.
    #[must_use]
    pub fn with_module_type(self, module_type: u8) -> Self {
        Self { module_type, ..self }
    }

    /// The link mode it listens in, as its configuration has it.
    pub fn link_mode(&self) -> u8 {
        let [_device_mode, link_mode, ..] = self.ram.first;
        link_mode
    }

    /// Takes a whole request out of the input: the endpoint, the id and the payload. Skips what is none.
    fn next_request(&mut self) -> Option<(u8, u8, Vec<u8>)> {
        loop {
            let start = self.input.iter().position(|&byte| byte == START).unwrap_or(self.input.len());
            self.input.drain(..start);
            let [_, control, id, length] = *self.input.first_chunk()?;
            let end = 4 + usize::from(length);
            let checked = control & CRC != 0;
            let whole = self.input.get(..if checked { end + 2 } else { end });
            if !matches!(control & !CRC, DEVICE_MANAGEMENT | RADIO_LINK) {
                self.input.drain(..1);
                continue;
            }
            let (content, crc) = whole?.split_at_checked(end)?;
            if checked && crc != x25(content.get(1..)?).to_le_bytes() {
                self.input.drain(..1);
                continue;
            }
            let payload = content.get(4..)?.to_vec();
            self.input.drain(..if checked { end + 2 } else { end });
            return Some((control & !CRC, id, payload));
        }
    }

    /// Always with CRC, whether the request had one or not. An unknown request is not answered.
    fn reply(&mut self, (endpoint, id, payload): &(u8, u8, Vec<u8>)) -> Option<Vec<u8>> {
        let payload = match (*endpoint, *id) {
            (DEVICE_MANAGEMENT, 0x01) => Vec::new(),
            (DEVICE_MANAGEMENT, 0x03) => {
                self.set(payload)?;
                Vec::new()
            }
            (DEVICE_MANAGEMENT, 0x05) => self.ram.emit(),
            (DEVICE_MANAGEMENT, 0x07) => {
                self.ram = self.flash;
                Vec::new()
            }
            (DEVICE_MANAGEMENT, 0x0F) => {
                let [device_mode, ..] = self.ram.first;
                let mut info =
                    vec![self.module_type, device_mode, self.firmware, self.firmware.saturating_add(3)];
                info.extend_from_slice(&self.serial.to_le_bytes());
                info
            }
            _ => return None,
        };
        Some(frame(*endpoint, id + 1, &payload, None, None))
    }

    fn set(&mut self, payload: &[u8]) -> Option<()> {
        let (&store, fields) = payload.split_first()?;
        self.ram = self.ram.updated(fields)?;
        if store == 1 {
            self.flash = self.ram;
        }
        Some(())
    }
}

impl Dongle for Device {
    fn input(&mut self, bytes: &[u8], speed: u32) -> Vec<Vec<u8>> {
        if speed != SPEED {
            // All it sees is framing errors.
            self.input.clear();
            return Vec::new();
        }
        self.input.extend_from_slice(bytes);
        let mut replies = Vec::new();
        while let Some(request) = self.next_request() {
            replies.extend(self.reply(&request));
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
        self.clock = self.clock.wrapping_add(1);
        let [.., attach_rssi, attach_timestamp, _led, _clock] = self.ram.second;
        let timestamp = (attach_timestamp != 0).then_some(self.clock);
        let rssi = (attach_rssi != 0).then_some(raw_rssi(rssi_dbm));
        let frame = frame(RADIO_LINK, 0x03, body, timestamp, rssi);
        Ok(Some(if speed == SPEED { frame } else { garbled(&frame) }))
    }

    fn reboot(&mut self) {
        self.ram = self.flash;
        self.input.clear();
    }

    fn listens_for(&self, mode: Mode) -> bool {
        let [.., power_saving, _, _, _, _] = self.ram.second;
        power_saving == 0
            && match self.link_mode() {
                0..=2 => mode == Mode::S1,
                3 | 4 => mode == Mode::T1,
                6 | 8 => mode == Mode::C1FormatA,
                7 | 9 => mode == Mode::C1FormatB,
                0x0A => matches!(mode, Mode::T1 | Mode::C1FormatA | Mode::C1FormatB),
                _ => false,
            }
    }

    fn spoil(&self, how: Spoil, frame: &mut Vec<u8>) {
        match how {
            Spoil::Checksum => frame.iter_mut().rev().take(1).for_each(|byte| *byte ^= 0x01),
            Spoil::Length(length) => frame.iter_mut().skip(3).take(1).for_each(|byte| *byte = length),
        }
    }
}

impl Settings {
    fn updated(mut self, mut fields: &[u8]) -> Option<Self> {
        update(&mut self.first, FIRST, &mut fields)?;
        update(&mut self.second, SECOND, &mut fields)?;
        Some(self)
    }

    /// All fields, and the one byte behind the last that real dongles send.
    fn emit(self) -> Vec<u8> {
        let mut bytes = vec![0xFF];
        bytes.extend_from_slice(&self.first);
        bytes.push(0xFF);
        bytes.extend_from_slice(&self.second);
        bytes.push(0);
        bytes
    }
}

/// Overwrites the fields that the flag byte announces.
fn update(mut group: &mut [u8], sizes: [usize; 8], fields: &mut &[u8]) -> Option<()> {
    let (flags, mut rest) = fields.split_first()?;
    for (bit, size) in sizes.into_iter().enumerate() {
        let (field, following) = group.split_at_mut_checked(size)?;
        if flags & (1 << bit) != 0 {
            let (value, tail) = rest.split_at_checked(size)?;
            field.copy_from_slice(value);
            rest = tail;
        }
        group = following;
    }
    *fields = rest;
    Some(())
}

fn frame(endpoint: u8, id: u8, payload: &[u8], timestamp: Option<u32>, rssi: Option<u8>) -> Vec<u8> {
    let timestamp_flag = if timestamp.is_some() { TIMESTAMP } else { 0 };
    let rssi_flag = if rssi.is_some() { RSSI } else { 0 };
    let length = u8::try_from(payload.len()).unwrap_or(u8::MAX);
    let mut bytes = vec![START, endpoint | timestamp_flag | rssi_flag | CRC, id, length];
    bytes.extend_from_slice(payload);
    bytes.extend(timestamp.into_iter().flat_map(u32::to_le_bytes));
    bytes.extend(rssi);
    seal(&mut bytes);
    bytes
}

/// Appends the CRC over everything but the start byte.
fn seal(bytes: &mut Vec<u8>) {
    let crc = x25(bytes.get(1..).unwrap_or_default());
    bytes.extend_from_slice(&crc.to_le_bytes());
}

/// The inverse of dBm = raw * 8/15 - 126.67, rounded and kept within a byte.
fn raw_rssi(dbm: i16) -> u8 {
    let raw = ((i32::from(dbm) * 30 + 3800 + 8) / 16).clamp(0, 255);
    u8::try_from(raw).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAUD: u32 = 57_600;

    fn hex(text: &str) -> Vec<u8> {
        text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
    }

    fn ask(device: &mut Device, request: &str) -> Vec<Vec<u8>> {
        device.input(&hex(request), BAUD)
    }

    const TELEGRAM: &str = "2A 44 2D 2C 99 87 34 76 1B 16 8D 20 91 D3 7C AC 21 57 6C 78 02 FF 20 71 00 04 13 08 19 00 \
        00 44 13 08 19 00 00 61 5B 7F 61 67 13";

    #[test]
    fn requests_with_and_without_crc_are_answered_with_crc() {
        let mut device = Device::default();
        for request in ["A5 81 01 00 24 89", "A5 01 01 00"] {
            assert_eq!(ask(&mut device, request), [hex("A5 81 02 00 4C A3")]);
        }
    }

    #[test]
    fn device_info_is_a_1_4_im871a() {
        let reply = ask(&mut Device::default(), "A5 81 0F 00 34 13");
        assert_eq!(reply, [hex("A5 81 10 08 33 00 14 17 63 28 10 00 5F 38")]);
    }

    #[test]
    fn factory_settings_are_those_of_a_captured_dongle() {
        let reply = ask(&mut Device::default(), "A5 81 05 00 44 EE");
        let captured =
            "A5 81 06 17 FF 00 01 00 B3 25 63 01 10 00 01 00 01 FF 07 02 32 00 01 01 00 00 00 F3 8E";
        assert_eq!(reply, [hex(captured)]);
    }

    #[test]
    fn a_c1_telegram_is_heard_once_the_link_mode_is_set() {
        let mut device = Device::default();
        assert_eq!(device.hear(Mode::C1FormatB, &hex(TELEGRAM), -77, BAUD), Ok(None));
        let reply = ask(&mut device, "A5 81 03 06 00 02 0A 30 01 00 80 BF");
        assert_eq!(reply, [hex("A5 81 04 00 9C F7")]);
        let heard = device.hear(Mode::C1FormatB, &hex(TELEGRAM), -77, BAUD).unwrap().unwrap();
        assert_eq!(heard[..4], hex("A5 C2 03 2A"));
        // Raw 0x5D stands for -77.07 dBm.
        assert_eq!(heard[46], 0x5D);
        assert_eq!(x25(&heard[1..]), 0x0F47, "the residue of an intact frame");
    }

    #[test]
    fn ram_settings_are_lost_in_a_reboot_and_flash_settings_are_not() {
        let mut device = Device::default();
        ask(&mut device, "A5 01 03 04 00 02 0A 00");
        assert_eq!(device.link_mode(), 0x0A);
        device.reboot();
        assert_eq!(device.link_mode(), 1);
        ask(&mut device, "A5 01 03 04 01 02 03 00");
        device.reboot();
        assert_eq!(device.link_mode(), 3);
    }

    #[test]
    fn unknown_damaged_and_wrongly_timed_requests_are_not_answered() {
        let mut device = Device::default();
        assert_eq!(ask(&mut device, "A5 01 70 00"), Vec::<Vec<u8>>::new());
        assert_eq!(ask(&mut device, "A5 81 01 00 24 88"), Vec::<Vec<u8>>::new());
        assert_eq!(device.input(&hex("A5 01 01 00"), 9600), Vec::<Vec<u8>>::new());
        assert_eq!(ask(&mut device, "A5 01 01 00").len(), 1, "and it still answers the next one");
    }

    #[test]
    fn at_another_speed_telegrams_are_garbage() {
        let mut device = Device::default();
        let frame =
            |device: &mut Device, speed| device.hear(Mode::S1, &hex(TELEGRAM), -77, speed).unwrap().unwrap();
        let (garbage, intact) = (frame(&mut device, 9600), frame(&mut device, BAUD));
        assert_eq!(garbage.len(), intact.len());
        assert!(!garbage.contains(&START));
    }

    #[test]
    fn a_request_may_come_byte_by_byte() {
        let mut device = Device::default();
        let replies: Vec<_> =
            hex("FF A5 81 01 00 24 89").chunks(1).flat_map(|byte| device.input(byte, BAUD)).collect();
        assert_eq!(replies, [hex("A5 81 02 00 4C A3")]);
    }

    #[test]
    fn what_is_no_telegram_is_refused() {
        let mut device = Device::default();
        for bytes in [&[][..], &[3, 0x44, 0x2D, 0x2C], &[0x2A, 0x44]] {
            assert_eq!(device.hear(Mode::T1, bytes, -60, BAUD), Err(NotATelegram));
        }
    }
}
