//! The head of a data record: data information block and value information block (EN 13757-3, 6.2 to 6.4).

use crate::reader::Reader;
use crate::record::RecordError;

/// At most this many extensions of each block (EN 13757-3, 6.2.2 and 6.3).
const MAX_EXTENSIONS: usize = 10;
const EXTENSION: u8 = 0x80;

/// Bits 5 and 4 of the DIF: which of several values it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Function {
    /// The value now, or at the moment its storage number stands for.
    Instantaneous,
    /// The highest.
    Maximum,
    /// The lowest.
    Minimum,
    /// The value while an error lasted.
    DuringError,
}

impl Function {
    const fn from_dif(dif: u8) -> Self {
        match dif >> 4 & 0b11 {
            0 => Self::Instantaneous,
            1 => Self::Maximum,
            2 => Self::Minimum,
            _ => Self::DuringError,
        }
    }

    /// The word used in output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Instantaneous => "instantaneous",
            Self::Maximum => "maximum",
            Self::Minimum => "minimum",
            Self::DuringError => "during_error",
        }
    }
}

/// How the data behind the head is coded: the low four bits of the DIF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataField {
    /// Nothing, or a selection for readout.
    None,
    /// A binary integer of so many bytes.
    Integer(u8),
    /// A floating-point number of four bytes.
    Real,
    /// Decimal digits, two to a byte, so many bytes.
    Bcd(u8),
    /// Its own first byte says kind and length.
    Variable,
}

impl DataField {
    const fn from_dif(dif: u8) -> Option<Self> {
        Some(match dif & 0x0F {
            0 | 8 => Self::None,
            1 => Self::Integer(1),
            2 => Self::Integer(2),
            3 => Self::Integer(3),
            4 => Self::Integer(4),
            5 => Self::Real,
            6 => Self::Integer(6),
            7 => Self::Integer(8),
            9 => Self::Bcd(1),
            0xA => Self::Bcd(2),
            0xB => Self::Bcd(3),
            0xC => Self::Bcd(4),
            0xD => Self::Variable,
            0xE => Self::Bcd(6),
            _ => return None,
        })
    }

    /// Bytes of data, where the head tells them.
    #[must_use]
    pub const fn length(self) -> Option<usize> {
        match self {
            Self::None => Some(0),
            Self::Integer(n) | Self::Bcd(n) => Some(n as usize),
            Self::Real => Some(4),
            Self::Variable => None,
        }
    }
}

/// In which table the code of a VIF is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// The VIF itself (EN 13757-3, table 10).
    Primary,
    /// The byte behind `FB` (table 14).
    Fb,
    /// The byte behind `FD` (table 12).
    Fd,
    /// `7F` or `FF`: the manufacturer's own; what it means stands in the extensions.
    Manufacturer,
    /// `7C` or `FC`: the unit follows as text.
    PlainText,
    /// A table that no public source describes (`EF`).
    Reserved,
}

/// A record's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// All its bytes: DIF, DIFE, VIF, VIFE, and the text of a plain-text unit.
    pub bytes: &'a [u8],
    /// Where in `bytes` the VIF stands.
    pub(crate) vif_at: usize,
    /// Which of several values.
    pub function: Function,
    /// Storage number: 0 is now; others as the meter defines them.
    pub storage: u64,
    /// Tariff.
    pub tariff: u32,
    /// Subunit of the device.
    pub subunit: u16,
    /// Coding of the data.
    pub field: DataField,
    /// Where the code is looked up.
    pub table: Table,
    /// The code, bit 7 taken off.
    pub code: u8,
    /// The VIFE behind the code, with their extension bits.
    pub extensions: &'a [u8],
    /// A plain-text unit, last character first.
    pub text: &'a [u8],
}

impl<'a> Header<'a> {
    /// The bytes from the VIF on.
    #[must_use]
    pub fn vib(&self) -> &'a [u8] {
        self.bytes.get(self.vif_at..).unwrap_or_default()
    }

    /// Reads one head. The DIF is not one of the special ones.
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, RecordError> {
        let parts = Parts::read(reader)?;
        let Parts { bytes, dif, difes, field, table, code, extensions, text } = parts;
        let (mut storage, mut tariff, mut subunit) = (u64::from(dif >> 6 & 1), 0u32, 0u16);
        for (k, dife) in difes.iter().enumerate() {
            storage |= u64::from(dife & 0x0F) << (1 + 4 * k);
            tariff |= u32::from(dife >> 4 & 0b11) << (2 * k);
            subunit |= u16::from(dife >> 6 & 1) << k;
        }
        let (vif_at, function) = (1 + difes.len(), Function::from_dif(dif));
        Ok(Self { bytes, vif_at, function, storage, tariff, subunit, field, table, code, extensions, text })
    }
}

/// Where the parts of a head are, before anybody asks what they mean.
pub(crate) struct Parts<'a> {
    /// All of it.
    pub(crate) bytes: &'a [u8],
    dif: u8,
    difes: &'a [u8],
    pub(crate) field: DataField,
    table: Table,
    code: u8,
    extensions: &'a [u8],
    text: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Inlined, so that what a caller does not look at costs nothing.
    #[inline(always)]
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, RecordError> {
        let start = *reader;
        let dif = reader.byte()?;
        let field =
            DataField::from_dif(dif).ok_or_else(|| RecordError::ReservedDif { at: start.at(), dif })?;
        let difes = extensions(dif, &start, reader)?;
        let vif = reader.byte()?;
        let (table, code, last) = match vif {
            0xFB => table_byte(Table::Fb, reader)?,
            0xFD => table_byte(Table::Fd, reader)?,
            0xEF => table_byte(Table::Reserved, reader)?,
            0x7F | 0xFF => (Table::Manufacturer, 0x7F, vif),
            0x7C | 0xFC => (Table::PlainText, 0x7C, vif),
            _ => (Table::Primary, vif & !EXTENSION, vif),
        };
        let extensions = extensions(last, &start, reader)?;
        let text = match table {
            Table::PlainText => {
                let length = reader.byte()?;
                reader.take(usize::from(length))?
            }
            _ => &[],
        };
        let length = start.rest().len() - reader.rest().len();
        let bytes = start.rest().get(..length).unwrap_or_default();
        Ok(Self { bytes, dif, difes, field, table, code, extensions, text })
    }
}

/// The extensions behind a byte: each says whether another follows.
#[inline]
fn extensions<'a>(before: u8, start: &Reader<'a>, reader: &mut Reader<'a>) -> Result<&'a [u8], RecordError> {
    if before & EXTENSION == 0 {
        return Ok(&[]);
    }
    let rest = reader.rest();
    let count = rest.iter().take(MAX_EXTENSIONS).position(|byte| byte & EXTENSION == 0);
    match count {
        Some(last) => Ok(reader.take(last + 1)?),
        None if rest.len() < MAX_EXTENSIONS => Ok(reader.take(rest.len() + 1)?),
        None => Err(RecordError::TooManyExtensions { at: start.at() }),
    }
}

fn table_byte(table: Table, reader: &mut Reader<'_>) -> Result<(Table, u8, u8), RecordError> {
    let byte = reader.byte()?;
    Ok((table, byte & !EXTENSION, byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::unhex;

    fn with<T>(hex: &str, see: impl Fn(Header<'_>) -> T) -> T {
        see(Header::read(&mut Reader::new(&unhex(hex))).unwrap())
    }

    #[test]
    fn storage_tariff_and_subunit_are_put_together() {
        assert_eq!(with("92013B", |h| (h.function, h.storage)), (Function::Maximum, 2));
        assert_eq!(with("844014", |h| h.subunit), 1);
        assert_eq!(with("84804014", |h| h.subunit), 2);
        assert_eq!(with("841006", |h| h.tariff), 1);
        assert_eq!(with("842006", |h| h.tariff), 2);
        assert_eq!(with("C44014", |h| (h.storage, h.subunit)), (1, 1));
        let all = "84 FF FF FF FF FF FF FF FF FF 7F 13";
        assert_eq!(
            with(all, |h| (h.storage, h.tariff, h.subunit)),
            ((1 << 41) - 2, (1 << 20) - 1, (1 << 10) - 1)
        );
    }

    #[test]
    fn value_information_is_taken_apart() {
        with("04FB82F53C 01", |h| {
            assert_eq!((h.table, h.code, h.extensions), (Table::Fb, 2, [0xF5, 0x3C].as_slice()));
            assert_eq!(h.vib(), [0xFB, 0x82, 0xF5, 0x3C]);
        });
        with("02FF20 7100", |h| {
            assert_eq!((h.table, h.extensions), (Table::Manufacturer, [0x20].as_slice()));
        });
        with("05FC3C 03 6B6261 00", |h| assert_eq!((h.text, h.bytes.len()), (b"kba".as_slice(), 7)));
    }

    #[test]
    fn too_many_extensions_are_an_error() {
        let many = unhex("84 80808080808080808080 80 13");
        assert_eq!(Header::read(&mut Reader::new(&many)), Err(RecordError::TooManyExtensions { at: 0 }));
        let many = unhex("04 93 80808080808080808080 80 00");
        assert_eq!(Header::read(&mut Reader::new(&many)), Err(RecordError::TooManyExtensions { at: 0 }));
    }
}
