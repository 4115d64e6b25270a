//! The encryption of Kamstrup's key files: XML-Encryption's words around AES-128-CBC whose key and vector are both the
//! password, filled up with zeros. No salt, no checksum: a wrong password shows only by what comes out.

use std::fmt;

use aes::Aes128Dec;
use aes::cipher::{BlockModeDecrypt as _, KeyIvInit as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::xml::{Piece, Xml, XmlFault, attribute, name};
use super::{Fault, PasswordFault};

/// A password as this encryption takes it: at most 16 bytes.
#[derive(Clone)]
pub struct Password(Zeroizing<[u8; BLOCK]>);

impl Password {
    /// Takes it as it was typed.
    ///
    /// # Errors
    /// Empty, or longer than the encryption can use.
    pub fn new(text: &str) -> Result<Self, PasswordFault> {
        let mut key = Zeroizing::new([0; BLOCK]);
        match (text.len(), key.get_mut(..text.len())) {
            (0, _) => Err(PasswordFault::Empty),
            (bytes, None) => Err(PasswordFault::TooLong { bytes }),
            (_, Some(start)) => {
                start.copy_from_slice(text.as_bytes());
                Ok(Self(key))
            }
        }
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// An encrypted key file.
pub(super) struct Envelope {
    sealed: Vec<u8>,
}

impl Envelope {
    /// Takes the enciphered bytes out of the document.
    pub(super) fn read(text: &str) -> Result<Self, Fault> {
        let mut xml = Xml::new(text);
        let mut path = Vec::new();
        let mut base64 = Vec::new();
        let mut found = false;
        while let Some(piece) = xml.next()? {
            match piece {
                Piece::Open(element) => {
                    let here = Element::of(name(&element));
                    if here == Element::Method && path == [Element::Data] {
                        let method = attribute(&element, "Algorithm").unwrap_or_default();
                        if !method.ends_with("#aes128-cbc") {
                            return Err(Fault::OtherEncryption);
                        }
                    }
                    path.push(here);
                    found |= path == VALUE;
                }
                Piece::Close => drop(path.pop()),
                Piece::Text(text) if path == VALUE => {
                    base64.extend(text.bytes().filter(|byte| !byte.is_ascii_whitespace()));
                }
                // A letter of Base64 may be written as a reference, though nobody does.
                Piece::Letter(letter) if path == VALUE => {
                    base64.push(u8::try_from(letter).unwrap_or(b'!'));
                }
                Piece::Text(_) | Piece::Letter(_) => {}
            }
        }
        if !found {
            return Err(Fault::Unknown);
        }
        let sealed = STANDARD.decode(&base64).map_err(|_| Fault::Damaged)?;
        if sealed.is_empty() || !sealed.len().is_multiple_of(BLOCK) {
            Err(Fault::Damaged)
        } else {
            Ok(Self { sealed })
        }
    }

    /// The plain text, cut off behind its last `>`: the filling behind that is not documented.
    pub(super) fn open(&self, password: &Password) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let mut bytes = Zeroizing::new(self.sealed.clone());
        let mut mode = cbc::Decryptor::<Aes128Dec>::new((&*password.0).into(), (&*password.0).into());
        for block in bytes.as_chunks_mut::<BLOCK>().0 {
            mode.decrypt_block(block.into());
        }
        if !STARTS.iter().any(|start| without_mark(&bytes).starts_with(start)) {
            return Err(if reads_like_text(&bytes) { Fault::Damaged } else { Fault::WrongPassword });
        }
        let end = bytes.iter().rposition(|byte| *byte == b'>').map_or(0, |end| end.saturating_add(1));
        bytes.truncate(end);
        Ok(bytes)
    }
}

/// What the plain text of a key file begins with.
pub(super) const STARTS: [&[u8]; 3] = [b"<MetersInOrder", b"<Devices", b"<?xml"];

/// Without byte order mark and white space.
pub(super) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes).trim_ascii_start()
}

/// With the right password, what is damaged is one block and a bit of the next; with a wrong one nothing is text.
fn reads_like_text(bytes: &[u8]) -> bool {
    let Some(rest) = bytes.get(2 * BLOCK..).filter(|rest| rest.len() >= 4 * BLOCK) else { return false };
    let looked_at = rest.get(..rest.len().saturating_sub(BLOCK).min(1024)).unwrap_or_default();
    let letter = |byte: &&u8| byte.is_ascii_graphic() || b" \t\r\n".contains(byte);
    looked_at.iter().filter(letter).count() >= looked_at.len() / 10 * 8
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Element {
    Data,
    Cipher,
    Value,
    Method,
    Other,
}

impl Element {
    fn of(name: &str) -> Self {
        match name {
            "EncryptedData" => Self::Data,
            "CipherData" => Self::Cipher,
            "CipherValue" => Self::Value,
            "EncryptionMethod" => Self::Method,
            _ => Self::Other,
        }
    }
}

const VALUE: [Element; 3] = [Element::Data, Element::Cipher, Element::Value];
const BLOCK: usize = 16;

impl From<XmlFault> for Fault {
    fn from(fault: XmlFault) -> Self {
        Self::Xml(fault)
    }
}
