//! The permanent settings of an RC1180-MBUS3, as its user manual gives them. They are read and never written.

use super::frame::Output;

const RSSI_MODE: usize = 0x05;
const NETWORK_ROLE: usize = 0x12;
const ID: usize = 0x1B;
const DATA_INTERFACE: usize = 0x36;
const INSTALL_MODE: usize = 0x3D;
const DECRYPT_FLAG: usize = 0x3F;

/// Of the data interface: telegrams with all that stands in their first block.
const WITH_HEADER: u8 = 0;
/// The same with a CRC.
const WITH_HEADER_AND_CRC: u8 = 8;

/// What the part number of all these modules begins with.
const MAKER: &[u8] = b"RC1";

/// All of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Memory(pub(super) [u8; 256]);

impl Memory {
    /// How telegrams come.
    ///
    /// # Errors
    /// What keeps it from handing over all telegrams as they are, and how it has to be.
    pub(super) fn output(&self) -> Result<Output, &'static str> {
        let at = |address: usize| self.0.get(address).copied();
        if self.part_number().is_some_and(|part| !part.contains("MBUS3")) {
            return Err("its part number is not that of an MBUS3");
        }
        if at(NETWORK_ROLE) != Some(1) {
            return Err("NETWORK_ROLE (0x12) must be 1, master");
        }
        if at(INSTALL_MODE) != Some(2) {
            return Err("INSTALL_MODE (0x3D) must be 2, accept all meters");
        }
        if at(DECRYPT_FLAG) != Some(0) {
            return Err("DECRYPT_FLAG (0x3F) must be 0, disabled");
        }
        let crc = match at(DATA_INTERFACE) {
            Some(WITH_HEADER) => false,
            Some(WITH_HEADER_AND_CRC) => true,
            _ => return Err("DATA_INTERFACE (0x36) must be 0, telegrams with header"),
        };
        Ok(Output { rssi: at(RSSI_MODE) == Some(1), crc })
    }

    /// The module's own id.
    pub(super) fn id(&self) -> u32 {
        let id = self.0.get(ID..).and_then(|rest| rest.first_chunk());
        u32::from_le_bytes(id.copied().unwrap_or_default())
    }

    /// What it says it is: `RC1180-MBUS3,1.00,1.00`. Where that stands is known of an older module only, so it is looked
    /// for, and may be missing.
    pub(super) fn part_number(&self) -> Option<&str> {
        let at = self.0.windows(MAKER.len()).position(|text| text == MAKER)?;
        let text = self.0.get(at..)?;
        let end = text.iter().position(|byte| !matches!(byte, b' '..=b'~')).unwrap_or(text.len());
        str::from_utf8(text.get(..end)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(set: &[(usize, u8)]) -> Memory {
        let mut memory = [0xFF; 256];
        for &(address, value) in [(0x05, 0), (0x12, 1), (0x36, 0), (0x3D, 2), (0x3F, 0)].iter().chain(set) {
            memory[address] = value;
        }
        Memory(memory)
    }

    #[test]
    fn factory_settings_give_telegrams_without_signal_strength() {
        assert_eq!(memory(&[]).output(), Ok(Output { rssi: false, crc: false }));
        assert_eq!(memory(&[(0x05, 1), (0x36, 8)]).output(), Ok(Output { rssi: true, crc: true }));
    }

    #[test]
    fn settings_that_keep_telegrams_back_are_named() {
        for (address, value) in [(0x12, 0), (0x36, 1), (0x36, 4), (0x36, 12), (0x3D, 0), (0x3D, 1), (0x3F, 1)]
        {
            let setting = memory(&[(address, value)]).output().unwrap_err();
            assert!(setting.contains(&format!("0x{address:02X}")), "{setting}");
        }
    }

    #[test]
    fn another_module_of_the_family_is_told_by_its_part_number() {
        let with = |text: &[u8]| {
            let mut memory = memory(&[]);
            memory.0[0x61..][..text.len()].copy_from_slice(text);
            memory
        };
        assert_eq!(with(b"RC1180-MPC1,2.00,0.18E").part_number(), Some("RC1180-MPC1,2.00,0.18E"));
        assert!(with(b"RC1180-MPC1,2.00,0.18E").output().is_err());
        assert!(with(b"RC1180-MBUS3,1.00,1.00").output().is_ok());
        assert_eq!(memory(&[]).part_number(), None);
    }
}
