//! The iU891A's active configuration, eleven bytes:
//!
//! ```text
//! mm | oooo | uuuu | llll | rrrrrrrr
//! ```
//!
//! * `m`: link mode, 0 off, 1 S, 2 T, 3 C and T, 5 C - `o`: options: bit 0 only listed meters, bit 1 report what is
//!   received, bit 2 report what is sent, bit 3 recalibrate the radio from time to time
//! * `u`: options of its lamp: bit 0 a flash for each telegram received, bit 2 for each sent - `l`: length of a flash in ms
//! * `r`: time between two recalibrations in ms
//!
//! All numbers little endian.

use crate::receiver::{CommandBytes, LinkMode, Listen};

use super::{GATEWAY, slip};

const SET_ACTIVE_CONFIG: u8 = 0x03;

const ONLY_LISTED: u16 = 1 << 0;
const REPORT_RECEIVED: u16 = 1 << 1;
const REPORT_SENT: u16 = 1 << 2;
const RECALIBRATE: u16 = 1 << 3;
const FLASH_RECEIVED: u16 = 1 << 0;
const FLASH_SENT: u16 = 1 << 2;
const FLASH_MS: u16 = 50;
/// Without recalibration there are reports of dongles that receive only for a while after each configuration.
const RECALIBRATION_MS: u32 = 10 * 60 * 1000;

/// The settings that matter here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Settings {
    link_mode: u8,
    only_listed: bool,
    report_received: bool,
    recalibrate: bool,
}

impl Settings {
    /// What a collector needs.
    pub(super) fn to_listen(listen: Listen) -> Self {
        let link_mode = match listen {
            Listen::S1 | Listen::S1m => 1,
            Listen::T1 => 2,
            Listen::C1FormatA | Listen::C1FormatB => 5,
            Listen::C1AndT1 => 3,
        };
        Self { link_mode, only_listed: false, report_received: true, recalibrate: true }
    }

    /// The request that sets them, in RAM only: the dongle's flash memory is the owner's and wears out.
    pub(super) fn request(self) -> CommandBytes {
        let options = [
            (ONLY_LISTED, self.only_listed),
            (REPORT_RECEIVED, self.report_received),
            (REPORT_SENT, true),
            (RECALIBRATE, self.recalibrate),
        ];
        let options = options.into_iter().filter(|(_, set)| *set).fold(0, |all, (option, _)| all | option);
        let [options, more_options] = u16::to_le_bytes(options);
        let [lamp, more_lamp] = u16::to_le_bytes(FLASH_SENT | FLASH_RECEIVED);
        let [flash, longer_flash] = FLASH_MS.to_le_bytes();
        let [r0, r1, r2, r3] = RECALIBRATION_MS.to_le_bytes();
        let body =
            [self.link_mode, options, more_options, lamp, more_lamp, flash, longer_flash, r0, r1, r2, r3];
        slip::request(GATEWAY, SET_ACTIVE_CONFIG, &body)
    }

    /// Reads them from the dongle's reply, its status taken off. `None` if a field is missing.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let [link_mode, options, more_options, ..] = *body.first_chunk::<11>()?;
        let options = u16::from_le_bytes([options, more_options]);
        Some(Self {
            link_mode,
            only_listed: options & ONLY_LISTED != 0,
            report_received: options & REPORT_RECEIVED != 0,
            recalibrate: options & RECALIBRATE != 0,
        })
    }
}

/// How a telegram was sent, by the byte that comes with it: telegrams of known meters show that it is the code of the link
/// mode.
pub(super) fn link_mode(code: u8) -> Option<LinkMode> {
    match code {
        1 => Some(LinkMode::S1),
        2 => Some(LinkMode::T1),
        5 => Some(LinkMode::C1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c_and_t_is_requested_with_recalibration_and_lamp_as_another_public_client_does() {
        assert_eq!(
            Settings::to_listen(Listen::C1AndT1).request().as_slice(),
            [0xC0, 9, 3, 3, 0x0E, 0, 5, 0, 0x32, 0, 0xDB, 0xDC, 0x27, 9, 0, 0x90, 0x24, 0xC0]
        );
    }

    #[test]
    fn a_reply_reads_as_what_was_requested_whatever_else_it_holds() {
        let wanted = Settings::to_listen(Listen::T1);
        assert_eq!(Settings::parse(&[2, 0x0E, 0, 5, 0, 0x32, 0, 0xC0, 0x27, 9, 0]), Some(wanted));
        assert_eq!(Settings::parse(&[2, 0x0A, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]), Some(wanted));
        for unlike in [[3, 0x0A], [2, 0x08], [2, 0x0B], [2, 0x02]] {
            let [mode, options] = unlike;
            assert_ne!(Settings::parse(&[mode, options, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Some(wanted));
        }
        assert_eq!(Settings::parse(&[2, 0x0E, 0, 5, 0, 0x32, 0, 0xC0, 0x27, 9]), None, "cut off");
    }
}
