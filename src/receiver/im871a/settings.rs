//! The iM871A's settings, as IMST's WMBus HCI specification gives them: two groups, each a flag byte whose set bits say
//! which fields follow, lowest bit first.

use crate::receiver::{CommandBytes, Listen};

use super::hci;

const SET_CONFIG: u8 = 0x03;
/// Keep the settings in RAM only: the dongle's flash memory is the owner's and wears out.
const RAM_ONLY: u8 = 0;
const DEVICE_MODE_OTHER: u8 = 0;

/// Sizes of the fields of the first group: device mode, link mode, C field, manufacturer, id, version, type, channel.
const GROUP_1: [usize; 8] = [1, 1, 1, 2, 4, 1, 1, 1];
/// And of the second: power, data rate, window, power saving, attach RSSI, attach timestamp, LED, clock.
const GROUP_2: [usize; 8] = [1; 8];

/// The settings that matter here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Settings {
    device_mode: u8,
    link_mode: u8,
    power_saving: bool,
    attach_rssi: bool,
    attach_timestamp: bool,
}

impl Settings {
    /// What a collector needs: no power saving (it would sleep), RSSI on, timestamps off (they are of no use).
    pub(super) fn to_listen(listen: Listen) -> Self {
        let link_mode = match listen {
            Listen::S1 => 0,
            Listen::S1m => 1,
            Listen::T1 => 3,
            Listen::C1FormatA => 6,
            Listen::C1FormatB => 7,
            Listen::C1AndT1 => 0x0A,
        };
        Self {
            device_mode: DEVICE_MODE_OTHER,
            link_mode,
            power_saving: false,
            attach_rssi: true,
            attach_timestamp: false,
        }
    }

    /// The request that sets them.
    pub(super) fn request(self) -> CommandBytes {
        let payload = [
            RAM_ONLY,
            0b0000_0011,
            self.device_mode,
            self.link_mode,
            0b0011_1000,
            u8::from(self.power_saving),
            u8::from(self.attach_rssi),
            u8::from(self.attach_timestamp),
        ];
        hci::request(SET_CONFIG, &payload)
    }

    /// Reads them from the dongle's reply. Bytes after the last announced field are ignored: real dongles send one.
    /// `None` if a field is missing.
    pub(super) fn parse(payload: &[u8]) -> Option<Self> {
        let mut rest = payload;
        let first = group(&mut rest, GROUP_1)?;
        let second = group(&mut rest, GROUP_2)?;
        let [device_mode, link_mode, ..] = first;
        let [_, _, _, power_saving, attach_rssi, attach_timestamp, ..] = second;
        Some(Self {
            device_mode: device_mode?,
            link_mode: link_mode?,
            power_saving: power_saving? != 0,
            attach_rssi: attach_rssi? != 0,
            attach_timestamp: attach_timestamp? != 0,
        })
    }
}

/// The first byte of each field announced. `None` if the payload ends too early.
fn group(rest: &mut &[u8], sizes: [usize; 8]) -> Option<[Option<u8>; 8]> {
    let (flags, mut after) = rest.split_first()?;
    let mut fields = [None; 8];
    for (bit, (field, size)) in fields.iter_mut().zip(sizes).enumerate() {
        if flags & (1 << bit) != 0 {
            let (bytes, tail) = after.split_at_checked(size)?;
            *field = bytes.first().copied();
            after = tail;
        }
    }
    *rest = after;
    Some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A real dongle's reply as delivered, from a public capture.
    const FACTORY: [u8; 23] =
        [0xFF, 0, 1, 0, 0xB3, 0x25, 0x63, 1, 0x10, 0, 1, 0, 1, 0xFF, 7, 2, 0x32, 0, 1, 1, 0, 0, 0];

    #[test]
    fn a_real_reply_reads_as_s1m_with_rssi_and_timestamp() {
        let expected = Settings {
            device_mode: 0,
            link_mode: 1,
            power_saving: false,
            attach_rssi: true,
            attach_timestamp: true,
        };
        assert_eq!(Settings::parse(&FACTORY), Some(expected));
    }

    #[test]
    fn a_reply_that_ends_too_early_is_refused_at_every_length() {
        for length in 0..FACTORY.len() - 1 {
            assert_eq!(Settings::parse(&FACTORY[..length]), None, "{length} bytes");
        }
    }

    #[test]
    fn c_and_t_is_requested_in_ram_with_mode_other_and_power_saving_off() {
        assert_eq!(
            Settings::to_listen(Listen::C1AndT1).request().as_slice(),
            [0xA5, 0x81, 3, 8, 0, 3, 0, 0x0A, 0x38, 0, 1, 0, 0xC9, 0x97]
        );
    }
}
