//! The bodies of the fuzz targets: any bytes as key files are keys or a typed refusal.

use std::fmt::Write as _;

use aes::Aes128Enc;
use aes::cipher::{BlockModeEncrypt as _, KeyIvInit as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::import::{Loaded, Password};

/// Any bytes as a key file, opened with the first password that comes to mind.
///
/// # Panics
/// When a refusal repeats what stands in the file, or a key shows.
pub fn key_file(bytes: &[u8]) {
    let Ok(password) = Password::new("fuzz") else { return };
    let Ok(loaded) = Loaded::from_bytes(Zeroizing::new(bytes.to_vec())) else { return };
    let Ok(file) = loaded.keys(Some(&password)) else { return };
    let mut shown = String::new();
    // Writing to a string cannot fail.
    let _ = write!(shown, "{file:?}");
    for row in file.rows() {
        let digits: String = row.entry.key.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!shown.contains(&digits), "a key is shown");
    }
}

/// Any bytes as what stands inside of an encrypted key file.
///
/// # Panics
/// As [`key_file`].
pub fn key_file_inside(bytes: &[u8]) {
    key_file(sealed_file(bytes, "fuzz").as_bytes());
}

/// The encrypted form of a key file, as Kamstrup's tools make it.
#[must_use]
pub fn sealed_file(plain: &[u8], password: &str) -> String {
    let mut bytes = plain.to_vec();
    let filling = u8::try_from(16 - plain.len() % 16).unwrap_or(16);
    bytes.extend(std::iter::repeat_n(filling, usize::from(filling)));
    let mut key = [0; 16];
    key.iter_mut().zip(password.bytes()).for_each(|(to, from)| *to = from);
    let mut mode = cbc::Encryptor::<Aes128Enc>::new((&key).into(), (&key).into());
    for block in bytes.as_chunks_mut::<16>().0 {
        mode.encrypt_block(block.into());
    }
    let (ns, value) = ("http://www.w3.org/2001/04/xmlenc#", STANDARD.encode(&bytes));
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><EncryptedData Type=\"{ns}aes128-cbc\" xmlns=\"{ns}\">\
         <EncryptionMethod Algorithm=\"{ns}aes128-cbc\" /><CipherData><CipherValue>{value}</CipherValue></CipherData>\
         </EncryptedData>"
    )
}
