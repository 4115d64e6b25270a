//! Key files of any kind: Kamstrup's KEM and KEM2, in their ZIP or bare, tables, and lines of `id=` and `key=`. What a file is, its content says,
//! whatever its name.
//!
//! Every byte is taken for hostile: what could blow up is refused by name, nothing is written to disk, and no message
//! repeats what stands in a file. Of a meter only its number, its maker, its key and its overload flow are kept.

mod archive;
mod envelope;
mod lines;
mod meters;
#[cfg(test)]
mod tests;
mod xml;

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use thiserror::Error;
use zeroize::Zeroizing;

pub use archive::ArchiveFault;
pub use envelope::Password;
pub use xml::XmlFault;

use super::csv::{CsvFault, KeyTable};
use super::{KeyError, MAX_KEYS, MeterKey, Selector};
use envelope::Envelope;

/// So many rows are read: one more than a keyring takes, which shows that there are too many.
const MOST_ROWS: usize = MAX_KEYS + 1;

/// The largest file that is read: 96 MB.
pub const MAX_BYTES: usize = 96_000_000;

/// A key file in memory, its kind found out. What may hold keys in the clear is wiped when dropped.
pub struct Loaded {
    content: Content,
    zipped: bool,
}

enum Content {
    Table(KeyTable),
    Lines(Zeroizing<Vec<u8>>),
    Plain(Zeroizing<Vec<u8>>),
    Sealed(Envelope),
}

impl Loaded {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, or is refused.
    pub fn read(path: &Path) -> Result<Self, Fault> {
        let failed = |error: io::Error| Fault::Io(error.kind());
        let file = File::open(path).map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        if about.is_dir() {
            return Err(Fault::Io(io::ErrorKind::IsADirectory));
        }
        // Reserved at once: a buffer that grew would leave copies of keys behind.
        let size = usize::try_from(about.len()).unwrap_or(usize::MAX).min(MAX_BYTES);
        let mut bytes = Zeroizing::new(Vec::with_capacity(size.saturating_add(1)));
        let limit = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
        file.take(limit).read_to_end(&mut bytes).map_err(failed)?;
        Self::from_bytes(bytes)
    }

    /// Takes the bytes of a file.
    ///
    /// # Errors
    /// When it is of no kind that is known, or hostile.
    pub fn from_bytes(bytes: Zeroizing<Vec<u8>>) -> Result<Self, Fault> {
        if bytes.len() > MAX_BYTES {
            return Err(Fault::TooLarge);
        }
        if archive::is_zip(&bytes) {
            let inside = Zeroizing::new(archive::unpack(&bytes)?);
            drop(bytes);
            let content = Self::content(inside)?;
            return match content {
                Content::Table(_) | Content::Lines(_) => Err(Fault::Unknown),
                content => Ok(Self { content, zipped: true }),
            };
        }
        Ok(Self { content: Self::content(bytes)?, zipped: false })
    }

    fn content(bytes: Zeroizing<Vec<u8>>) -> Result<Content, Fault> {
        let start = envelope::without_mark(&bytes);
        if start.is_empty() {
            return Err(Fault::Empty);
        }
        if bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
            return Err(Fault::Utf16);
        }
        if !start.starts_with(b"<") && lines::is_one(&bytes) {
            return Ok(Content::Lines(bytes));
        }
        if !start.starts_with(b"<") {
            let table = KeyTable::from_bytes(bytes);
            return if table.looks_like_one() { Ok(Content::Table(table)) } else { Err(Fault::Unknown) };
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| Fault::Damaged)?;
        match root(text)? {
            Root::Sealed => Envelope::read(text).map(Content::Sealed),
            Root::Plain => Ok(Content::Plain(bytes)),
            Root::Other => Err(Fault::Unknown),
        }
    }

    /// Whether it opens with a password only.
    #[must_use]
    pub const fn needs_password(&self) -> bool {
        matches!(self.content, Content::Sealed(_))
    }

    /// The keys in it.
    ///
    /// # Errors
    /// When the password is wrong, or the file is damaged or hostile.
    pub fn keys(&self, password: Option<&Password>) -> Result<KeyFile, Fault> {
        let sealed = self.needs_password();
        let (kind, found) = match &self.content {
            Content::Table(table) => (Kind::Table, rows(table)),
            Content::Lines(text) => (Kind::Lines, lines::read(text)),
            Content::Plain(text) => meters::read(std::str::from_utf8(text).map_err(|_| Fault::Damaged)?)?,
            Content::Sealed(envelope) => {
                let text = envelope.open(password.ok_or(Fault::NeedsPassword)?)?;
                let text = std::str::from_utf8(&text).map_err(|_| Fault::Damaged)?;
                meters::read(text).map_err(|fault| match fault {
                    Fault::Xml(XmlFault::NotWellFormed) | Fault::Unknown => Fault::Damaged,
                    other => other,
                })?
            }
        };
        KeyFile::of(kind, sealed, self.zipped, found)
    }
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded").field("zipped", &self.zipped).finish_non_exhaustive()
    }
}

enum Root {
    Sealed,
    Plain,
    Other,
}

fn root(text: &str) -> Result<Root, XmlFault> {
    let mut xml = xml::Xml::new(text);
    loop {
        match xml.next()? {
            Some(xml::Piece::Text(_)) => {}
            Some(xml::Piece::Open(element)) => {
                return Ok(match xml::name(&element) {
                    "EncryptedData" => Root::Sealed,
                    "MetersInOrder" | "Devices" => Root::Plain,
                    _ => Root::Other,
                });
            }
            _ => return Ok(Root::Other),
        }
    }
}

fn rows(table: &KeyTable) -> Vec<meters::Found> {
    // Reserved at once: a list that grew would leave copies of keys behind.
    let mut found = Vec::with_capacity(table.most_rows());
    found.extend(table.entries().take(MOST_ROWS).map(|row| {
        row.map(|(line, entry)| (Place::Line(line), entry)).map_err(|problem| Refused {
            place: Place::Line(problem.line),
            meter: None,
            why: RowFault::Table(problem.fault),
        })
    }));
    found
}

/// What a key file gives.
#[derive(Debug)]
pub struct KeyFile {
    /// What it is.
    pub kind: Kind,
    /// Whether it was encrypted.
    pub sealed: bool,
    /// Whether it came in a ZIP.
    pub zipped: bool,
    /// What cannot be used.
    pub refused: Vec<Refused>,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    place: Place,
    entry: MeterKey,
    remark: Option<Remark>,
    /// The same meter comes again further down.
    passed: bool,
}

/// A key of a file.
#[derive(Clone, Copy, Debug)]
pub struct KeyRow<'a> {
    /// Where it stands.
    pub place: Place,
    /// The key.
    pub entry: &'a MeterKey,
    /// What is odd about it.
    pub remark: Option<Remark>,
}

impl KeyFile {
    /// The keys, each meter once.
    pub fn rows(&self) -> impl Iterator<Item = KeyRow<'_>> {
        let rows = self.rows.iter().filter(|row| !row.passed);
        rows.map(|row| KeyRow { place: row.place, entry: &row.entry, remark: row.remark })
    }

    fn of(kind: Kind, sealed: bool, zipped: bool, found: Vec<meters::Found>) -> Result<Self, Fault> {
        if found.len() > MAX_KEYS {
            return Err(Fault::TooManyKeys);
        }
        if found.is_empty() {
            return Err(Fault::NoKeys);
        }
        let mut file =
            Self { kind, sealed, zipped, refused: Vec::new(), rows: Vec::with_capacity(found.len()) };
        let mut known: HashMap<Selector, usize> = HashMap::with_capacity(found.len());
        for one in found {
            match one {
                Ok((place, entry)) => {
                    let mut remark = is_placeholder(&entry).then_some(Remark::Placeholder);
                    let earlier = known.insert(entry.meter, file.rows.len());
                    if let Some(earlier) = earlier.and_then(|at| file.rows.get_mut(at)) {
                        earlier.passed = true;
                        if earlier.entry != entry || earlier.remark == Some(Remark::GivenTwice) {
                            remark = remark.or(Some(Remark::GivenTwice));
                        }
                    }
                    file.rows.push(Row { place, entry, remark, passed: false });
                }
                Err(refused) => file.refused.push(refused),
            }
        }
        Ok(file)
    }
}

fn is_placeholder(entry: &MeterKey) -> bool {
    let [first, rest @ ..] = entry.key.bytes();
    matches!(first, 0 | 0xFF) && rest.iter().all(|byte| byte == first)
}

/// What a key file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Kamstrup's older form.
    Kem,
    /// Kamstrup's newer form.
    Kem2,
    /// A CSV table.
    Table,
    /// Lines such as `id=` and `key=`.
    Lines,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kem => "KEM",
            Self::Kem2 => "KEM2",
            Self::Table => "CSV",
            Self::Lines => "id= and key=",
        })
    }
}

/// Where in a file a meter stands, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line of a table.
    Line(usize),
    /// A meter of a document.
    Meter(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Meter(meter) => write!(f, "meter no. {meter}"),
        }
    }
}

/// A row that gives no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Where it stands.
    pub place: Place,
    /// Whose it is, if that can be read.
    pub meter: Option<Selector>,
    /// What is wrong.
    pub why: RowFault,
}

/// What is wrong with a row. It never repeats what stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RowFault {
    /// A table's.
    #[error(transparent)]
    Table(CsvFault),
    /// No serial number.
    #[error("has no serial number")]
    NoNumber,
    /// A serial number that is none.
    #[error("its serial number is not one of up to eight digits")]
    Number,
    /// A text that is cut off would be another.
    #[error("its serial number, maker or key is longer than any is")]
    TooLong,
    /// No DEK.
    #[error("the file gives no data key (DEK) for it: ask the utility for a file with keys")]
    NoKey,
    /// Several DEKs that differ.
    #[error("the file gives several different data keys (DEK) for it")]
    SeveralKeys,
    /// The key cannot be read.
    #[error(transparent)]
    Key(KeyError),
}

/// What is odd about a key that is taken all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Remark {
    /// All zeros or all ones.
    #[error("the key is all zeros or all ones: most likely a placeholder")]
    Placeholder,
    /// The same meter stood further up, with something else.
    #[error("stands there twice with different keys: the last one counts")]
    GivenTwice,
}

/// Why a password cannot be the right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PasswordFault {
    /// Nothing typed.
    #[error("the password is empty")]
    Empty,
    /// Longer than the encryption takes.
    #[error(
        "the password has {bytes} bytes; a key file's has at most 16 (letters such as å or ø count as two): take the one that the file was ordered with"
    )]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
}

/// Why a file gives no keys at all. It never repeats what stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// The file system's reason.
    #[error("{}", match .0 {
        io::ErrorKind::NotFound => "is not there: check its name and folder".to_owned(),
        io::ErrorKind::PermissionDenied => "may not be read by you: use sudo".to_owned(),
        io::ErrorKind::IsADirectory => "is a folder: name the file in it".to_owned(),
        other => format!("cannot be read: {other}"),
    })]
    Io(io::ErrorKind),
    /// Above [`MAX_BYTES`].
    #[error("is larger than {} MB, which no key file is", MAX_BYTES / 1_000_000)]
    TooLarge,
    /// More than a keyring takes.
    #[error("holds more than {MAX_KEYS} meters: split it")]
    TooManyKeys,
    /// Nothing in it.
    #[error("is empty: copy it again")]
    Empty,
    /// Saved as "Unicode text".
    #[error("is UTF-16 text: save it as \"CSV UTF-8\"")]
    Utf16,
    /// Neither a ZIP, nor a KEM or KEM2 file, nor a table.
    #[error(
        "is no key file: neither KEM nor KEM2 (zipped or bare) nor a CSV table with the columns id and key"
    )]
    Unknown,
    /// A key file without meters.
    #[error("is a key file without any meter in it")]
    NoKeys,
    /// The ZIP.
    #[error("is refused: {0}")]
    Archive(#[from] ArchiveFault),
    /// The XML.
    #[error("is refused: {0}")]
    Xml(XmlFault),
    /// Encrypted in another way than key files are.
    #[error("is encrypted in an unknown way: key files use AES-128-CBC")]
    OtherEncryption,
    /// It is encrypted, and no password was given.
    #[error("is encrypted: give its password (it is asked for on a terminal; else --password-file FILE)")]
    NeedsPassword,
    /// Nothing sensible came out.
    #[error(
        "does not open: the password is wrong. It is the one that the file was ordered or downloaded with"
    )]
    WrongPassword,
    /// The password is right, or is not needed, and part of it makes no sense.
    #[error("is damaged: copy it again from where it came from, in binary mode")]
    Damaged,
}
