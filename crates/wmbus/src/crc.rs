//! CRC-16/EN-13757: polynomial 0x3D65, start value 0, not reflected, inverted at the end (EN 13757-4, 11.4).
//!
//! The same sum guards link-layer blocks (sent high byte first), the payload of the extended link layer, format
//! signatures and the full-frame check of compact frames (all three sent low byte first).

use crc::{CRC_16_EN_13757, Crc, Digest, Table};

static CRC: Crc<u16, Table<16>> = Crc::<u16, Table<16>>::new(&CRC_16_EN_13757);

/// The CRC of one run of bytes.
///
/// ```
/// assert_eq!(wmbus::crc::of(b"123456789"), 0xC2B7);
/// ```
#[must_use]
pub fn of(bytes: &[u8]) -> u16 {
    CRC.checksum(bytes)
}

/// A CRC over bytes that do not lie side by side.
pub struct Running(Digest<'static, u16, Table<16>>);

impl Running {
    /// Starts over nothing.
    #[must_use]
    pub fn new() -> Self {
        Self(CRC.digest())
    }

    /// Adds bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The CRC of all that was added.
    #[must_use]
    pub fn value(self) -> u16 {
        self.0.finalize()
    }
}

impl Default for Running {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_check_values_of_the_catalogue() {
        assert_eq!(of(b""), 0xFFFF);
        assert_eq!(of(&[0]), 0xFFFF, "a leading zero does not show, since the start value is zero");
        assert_eq!(of(b"123456789"), 0xC2B7);
    }

    #[test]
    fn a_running_crc_equals_the_crc_of_the_whole() {
        let mut running = Running::new();
        running.add(b"1234");
        running.add(b"");
        running.add(b"56789");
        assert_eq!(running.value(), of(b"123456789"));
    }
}
