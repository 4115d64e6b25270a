//! What an Amber module's memory says. Only read here: writing it wears it out, and a power cut meanwhile can destroy the
//! module.

use super::frame::Output;

const FRAMED_OUTPUT: usize = 0x05;
const AUTO_SLEEP: usize = 0x3F;
const RSSI: usize = 0x45;
/// The parts for 868 MHz have less.
const SIZE_169_MHZ: usize = 0x80;

/// The registers that matter here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Memory {
    pub(super) band: Band,
    pub(super) output: Output,
    /// It sleeps between telegrams, and hears nothing meanwhile.
    pub(super) sleeps: bool,
}

/// Which of the two families a module belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Band {
    /// 868 MHz: AMB8465-M, AMB8665-M, Metis-II.
    Mhz868,
    /// 169 MHz: AMB3665.
    Mhz169,
}

impl Memory {
    /// Reads the answer to the command that reads all of it: address, size, as many bytes. `None` if it is not all of the memory.
    pub(super) fn parse(payload: &[u8]) -> Option<Self> {
        let (&[0, size], bytes) = payload.split_first_chunk()? else { return None };
        if bytes.len() != usize::from(size) {
            return None;
        }
        let is_set = |register: usize| bytes.get(register).map(|value| *value != 0);
        Some(Self {
            band: if bytes.len() < SIZE_169_MHZ { Band::Mhz868 } else { Band::Mhz169 },
            output: Output { framed: is_set(FRAMED_OUTPUT)?, rssi: is_set(RSSI)? },
            sleeps: is_set(AUTO_SLEEP)?,
        })
    }
}
