//! How each scheme of EN 13757 protects its bytes: counter blocks, vectors, derived keys.

use crate::address::Meter;
use crate::link::{Communication, Session};
use crate::security::cipher::{Cipher, Key};

/// What modes 5 and 7 start with, so that a wrong key is noticed.
pub(crate) const MARKER: [u8; 2] = [0x2F, 0x2F];

/// The initial counter block of the extended link layer (EN 13757-4, 12.2.6): address, CC without the bits a repeater
/// sets, session number, frame number 0, block counter 0.
pub(crate) fn counter_block(meter: Meter, communication: Communication, session: Session) -> [u8; 16] {
    let [m0, m1, i0, i1, i2, i3, version, device] = meter.to_link();
    let [s0, s1, s2, s3] = session.0.to_le_bytes();
    [m0, m1, i0, i1, i2, i3, version, device, communication.without_repeater(), s0, s1, s2, s3, 0, 0, 0]
}

/// The initial vector of mode 5 (EN 13757-7, 9.2.4): address, then the access number eight times.
pub(crate) fn vector_mode5(meter: Meter, access: u8) -> [u8; 16] {
    let [m0, m1, i0, i1, i2, i3, version, device] = meter.to_link();
    let a = access;
    [m0, m1, i0, i1, i2, i3, version, device, a, a, a, a, a, a, a, a]
}

/// The nonce of mode 10 (OMS Volume 2, security profile D): address, a zero, the counter with its high byte first.
pub(crate) fn nonce_mode10(meter: Meter, counter: u32) -> [u8; 13] {
    let [m0, m1, i0, i1, i2, i3, version, device] = meter.to_link();
    let [c0, c1, c2, c3] = counter.to_be_bytes();
    [m0, m1, i0, i1, i2, i3, version, device, 0, c0, c1, c2, c3]
}

/// What a derived key is for.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    Encipher = 0x00,
    Authenticate = 0x01,
}

/// Key derivation function A (EN 13757-7, 9.6.2): a CMAC with the meter's key over purpose, message counter,
/// identification number and filler.
pub(crate) fn derive(cipher: &Cipher, purpose: Purpose, counter: u32, meter: Meter) -> Key {
    Key::new(cipher.cmac([&[purpose as u8], &counter.to_le_bytes(), &meter.serial.to_wire(), &[7; 7]]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::unhex;

    #[test]
    fn the_counter_block_is_the_same_behind_a_repeater() {
        let meter = Meter::from_link([0x37, 0x2C, 0x21, 0x43, 0x65, 0x87, 0x3C, 0x16]);
        let block = unhex("372C214365873C1620016A1820000000");
        for communication in [0x20, 0x30, 0x22] {
            let made = counter_block(meter, Communication(communication), Session(0x2018_6A01));
            assert_eq!(made.as_slice(), block);
        }
    }

    #[test]
    fn keys_are_derived_as_in_the_technical_report() {
        // CEN/TR 17167, F.3: master key, counter and number as there.
        let cipher = Cipher::new("000102030405060708090A0B0C0D0E0F".parse().unwrap());
        let meter = Meter::from_long_header([0x78, 0x56, 0x34, 0x12, 0x93, 0x15, 0x33, 0x03]);
        let made = derive(&cipher, Purpose::Encipher, 0x0AB3, meter);
        assert_eq!(made.bytes().as_slice(), unhex("ECCF39D475D730B8284FDFDC1995D52F"));
        let made = derive(&cipher, Purpose::Authenticate, 0x0AB3, meter);
        assert_eq!(made.bytes().as_slice(), unhex("C9CD19FF5A9AAD5A6BBDA13BD2C4C7AD"));
    }
}
