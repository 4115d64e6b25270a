//! What all virtual dongles have in common.

use std::fmt;

use clap::ValueEnum;

use crate::{amber::Amber, cul::Cul, im871a, iu891a, rc1180::Rc1180, tty::Tty};

/// A dongle without its port: bytes in, bytes out, no clock. Plugged in by [`Plugged`](crate::plugged::Plugged).
pub trait Dongle: fmt::Debug + Send {
    /// Bytes from the host, sent at `speed` baud. Gives the replies, one element each.
    fn input(&mut self, bytes: &[u8], speed: u32) -> Vec<Vec<u8>>;

    /// A telegram, without link-layer CRCs, is on the air. Gives what the dongle sends to the host at `speed` baud: nothing
    /// if it listens for another mode.
    ///
    /// # Errors
    /// [`NotATelegram`] if the length byte is wrong.
    fn hear(
        &mut self,
        mode: Mode,
        telegram: &[u8],
        rssi_dbm: i16,
        speed: u32,
    ) -> Result<Option<Vec<u8>>, NotATelegram>;

    /// Loses power for a moment: what was set for the time being is forgotten.
    fn reboot(&mut self);

    /// Whether a telegram sent so would be heard.
    fn listens_for(&self, mode: Mode) -> bool;

    /// Spoils a frame that it is about to send.
    fn spoil(&self, how: Spoil, frame: &mut Vec<u8>);

    /// Whether hosts have nothing to say to it, so that one that listens does not show.
    fn only_talks(&self) -> bool {
        false
    }

    /// How the meters in its reach send, if nothing else is said.
    fn usual_mode(&self) -> Mode {
        Mode::C1FormatA
    }

    /// Whether a host has ever made it transmit, which no host of ours may.
    fn has_transmitted(&self) -> bool {
        false
    }
}

impl<D: Dongle + ?Sized> Dongle for Box<D> {
    fn input(&mut self, bytes: &[u8], speed: u32) -> Vec<Vec<u8>> {
        (**self).input(bytes, speed)
    }

    fn hear(
        &mut self,
        mode: Mode,
        telegram: &[u8],
        rssi_dbm: i16,
        speed: u32,
    ) -> Result<Option<Vec<u8>>, NotATelegram> {
        (**self).hear(mode, telegram, rssi_dbm, speed)
    }

    fn reboot(&mut self) {
        (**self).reboot();
    }

    fn listens_for(&self, mode: Mode) -> bool {
        (**self).listens_for(mode)
    }

    fn spoil(&self, how: Spoil, frame: &mut Vec<u8>) {
        (**self).spoil(how, frame);
    }

    fn only_talks(&self) -> bool {
        (**self).only_talks()
    }

    fn usual_mode(&self) -> Mode {
        (**self).usual_mode()
    }

    fn has_transmitted(&self) -> bool {
        (**self).has_transmitted()
    }
}

/// How a telegram is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// Stationary mode.
    S1,
    /// Frequent transmit mode.
    T1,
    /// Compact mode, frame format A.
    C1FormatA,
    /// Compact mode, frame format B.
    C1FormatB,
    /// Narrowband mode on one of its channels, counted from 0 (N1a).
    N1(u8),
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::S1,
        Self::T1,
        Self::C1FormatA,
        Self::C1FormatB,
        Self::N1(0),
        Self::N1(1),
        Self::N1(2),
        Self::N1(3),
        Self::N1(4),
        Self::N1(5),
    ];
}

/// How a frame is spoiled where only the dongle's own protocol knows the place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Spoil {
    /// Its checksum is wrong; in a protocol without checksums, its last byte.
    Checksum,
    /// Its length byte is this; what follows is as it was.
    Length(u8),
}

/// Bytes that no meter sends: the first one must say how many follow, at least 9.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a telegram: its first byte must be the number of bytes after it, at least 9")]
pub struct NotATelegram;

/// Gives a telegram without its length byte.
///
/// # Errors
/// [`NotATelegram`] if the length byte is wrong.
pub(crate) fn check(telegram: &[u8]) -> Result<&[u8], NotATelegram> {
    match telegram.split_first() {
        Some((&length, body)) if usize::from(length) == body.len() && body.len() >= 9 => Ok(body),
        _ => Err(NotATelegram),
    }
}

/// CRC-16/X-25.
pub(crate) fn x25(bytes: &[u8]) -> u16 {
    !bytes.iter().fold(0xFFFF, |crc, &byte| {
        (0..8).fold(crc ^ u16::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x8408 } else { crc >> 1 })
    })
}

/// What a wrong speed makes of bytes.
pub(crate) fn garbled(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| byte.rotate_left(3) ^ 0xE7).collect()
}

/// The dongles there are, by the names that vesigate's configuration has for them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
#[value(rename_all = "lower")]
pub enum Kind {
    /// IMST iM871A-USB.
    #[default]
    Im871a,
    /// IMST iU891A-XL.
    Iu891a,
    /// Amber AMB8465-M, for 868 MHz.
    Amb8465,
    /// Amber AMB3665, for 169 MHz.
    Amb3665,
    /// A CUL with C mode.
    Cul,
    /// Radiocrafts RC1180-MBUS3.
    Rc1180,
    /// One that writes telegrams in bytes.
    Raw,
    /// One that writes them in hexadecimal digits.
    Hex,
}

impl Kind {
    /// All of them.
    #[must_use]
    pub fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// One as it is found in the field.
    #[must_use]
    pub fn dongle(self) -> Box<dyn Dongle> {
        match self {
            Self::Im871a => Box::new(im871a::Device::default()),
            Self::Iu891a => Box::new(iu891a::Device::default()),
            Self::Amb8465 => Box::new(Amber::amb8465()),
            Self::Amb3665 => Box::new(Amber::amb3665()),
            Self::Cul => Box::new(Cul::default()),
            Self::Rc1180 => Box::new(Rc1180::default()),
            Self::Raw => Box::new(Tty::raw(Tty::SPEED)),
            Self::Hex => Box::new(Tty::hex(Tty::SPEED)),
        }
    }

    /// How vesigate's configuration describes it, besides its path: lines of `[[receiver]]`.
    #[must_use]
    pub fn configuration(self) -> String {
        let more = match self {
            Self::Amb3665 => "modes = \"n-a\"\n".to_owned(),
            Self::Raw | Self::Hex => format!("baud = {}\n", Tty::SPEED),
            Self::Amb8465 | Self::Cul | Self::Im871a | Self::Iu891a | Self::Rc1180 => String::new(),
        };
        format!("kind = \"{}\"\n{more}", self.name())
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}
