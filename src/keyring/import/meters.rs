//! What stands in a KEM or KEM2 file once it is open: whose key is which. Names, customer numbers and all else are
//! passed over and never leave this file.

use quick_xml::events::BytesStart;
use wmbus::{Key, Manufacturer};
use zeroize::Zeroizing;

use super::xml::{Piece, Xml, attribute, name};
use super::{Fault, Kind, Place, Refused, RowFault};
use crate::keyring::{MAX_KEYS, MeterKey, Selector, parse_key};

/// A meter's row, or why it gives none.
pub(super) type Found = Result<(Place, MeterKey), Refused>;

/// All meters of a document, in its order.
pub(super) fn read(text: &str) -> Result<(Kind, Vec<Found>), Fault> {
    let mut xml = Xml::new(text);
    let kind = match xml.next()? {
        Some(Piece::Open(root)) => Kind::of_root(name(&root)).ok_or(Fault::Unknown)?,
        // White space behind a byte order mark or declaration.
        Some(Piece::Text(_)) => match xml.next()? {
            Some(Piece::Open(root)) => Kind::of_root(name(&root)).ok_or(Fault::Unknown)?,
            _ => return Err(Fault::Unknown),
        },
        _ => return Err(Fault::Unknown),
    };
    let item = if kind == Kind::Kem { "Meter" } else { "Device" };
    // Reserved at once: a list that grew would leave copies of keys behind.
    let mut found = Vec::with_capacity(text.matches(item).count().min(MAX_KEYS.saturating_add(1)));
    let mut reader: Option<(usize, Item)> = None;
    let mut depth = 1usize;
    while let Some(piece) = xml.next()? {
        match piece {
            Piece::Open(element) => {
                depth = depth.saturating_add(1);
                match &mut reader {
                    Some((_, item)) => item.begin(&element),
                    None if name(&element) == item => reader = Some((depth, Item::default())),
                    None => {}
                }
            }
            Piece::Close => {
                if let Some((_, item)) = reader.take_if(|(begun, _)| *begun == depth) {
                    if found.len() >= MAX_KEYS {
                        return Err(Fault::TooManyKeys);
                    }
                    let place = Place::Meter(found.len().saturating_add(1));
                    found.push(item.finish(place));
                } else if let Some((_, item)) = &mut reader {
                    item.end();
                }
                depth = depth.saturating_sub(1);
            }
            Piece::Text(text) => {
                if let Some((_, item)) = &mut reader {
                    text.chars().for_each(|letter| item.letter(letter));
                }
            }
            Piece::Letter(letter) => {
                if let Some((_, item)) = &mut reader {
                    item.letter(letter);
                }
            }
        }
    }
    Ok((kind, found))
}

impl Kind {
    fn of_root(name: &str) -> Option<Self> {
        match name {
            "MetersInOrder" => Some(Self::Kem),
            "Devices" => Some(Self::Kem2),
            _ => None,
        }
    }
}

/// One meter, as far as it has been read.
#[derive(Default)]
struct Item {
    /// Elements that are open, inside of the meter's own.
    path: Vec<Field>,
    serial: Text,
    maker: Text,
    /// The key file's own name for the key at hand, and its value.
    key_name: Text,
    value: Text,
    /// The DEK element at hand.
    dek: Text,
    /// What the DEKs so far come to; however many there are, only this is kept.
    key: Option<Result<Key, RowFault>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Serial,
    Maker,
    Dek,
    /// KEM2's pair of name and value, and whether an attribute already says that it is the one.
    Pair {
        dek: bool,
    },
    Name,
    Value,
    Other,
}

impl Item {
    fn begin(&mut self, element: &BytesStart<'_>) {
        let pair = self.path.iter().any(|field| matches!(field, Field::Pair { .. }));
        let field = match name(element) {
            "SerialNo" | "SerialNumber" if self.serial.is_empty() => Field::Serial,
            "VendorId" | "ManufacturerId" if self.maker.is_empty() => Field::Maker,
            "DEK" => {
                self.dek = Text::default();
                Field::Dek
            }
            "Key" => {
                (self.key_name, self.value) = (Text::default(), Text::default());
                let said = attribute(element, "Type").or_else(|| attribute(element, "Name"));
                Field::Pair { dek: said.is_some_and(|said| is_dek(&said)) }
            }
            "Name" if pair => {
                self.key_name = Text::default();
                Field::Name
            }
            "Value" if pair => {
                self.value = Text::default();
                Field::Value
            }
            _ => Field::Other,
        };
        self.path.push(field);
    }

    fn end(&mut self) {
        match self.path.pop() {
            Some(Field::Dek) => {
                let dek = std::mem::take(&mut self.dek);
                self.take_key(&dek);
            }
            Some(Field::Pair { dek }) if dek || self.key_name.get().is_ok_and(is_dek) => {
                let value = std::mem::take(&mut self.value);
                self.take_key(&value);
            }
            _ => {}
        }
    }

    fn take_key(&mut self, text: &Text) {
        if text.is_empty() {
            return;
        }
        let read = text.get().and_then(|text| parse_key(text).map_err(RowFault::Key));
        self.key = Some(match (self.key.take(), read) {
            (Some(Ok(first)), Ok(other)) if first != other => Err(RowFault::SeveralKeys),
            (Some(Ok(_)) | None, read) => read,
            (Some(Err(fault)), _) => Err(fault),
        });
    }

    fn letter(&mut self, letter: char) {
        let text = match self.path.last() {
            Some(Field::Serial) => &mut self.serial,
            Some(Field::Maker) => &mut self.maker,
            Some(Field::Dek) => &mut self.dek,
            Some(Field::Name) => &mut self.key_name,
            Some(Field::Value) => &mut self.value,
            _ => return,
        };
        text.push(letter);
    }

    fn finish(self, place: Place) -> Found {
        let refused = |meter, why| Refused { place, meter, why };
        let serial = self.serial.get().map_err(|why| refused(None, why))?;
        if serial.is_empty() {
            return Err(refused(None, RowFault::NoNumber));
        }
        let number = Selector::parse_padded(serial).ok();
        let Some(Selector::Number(serial)) = number else {
            return Err(refused(None, RowFault::Number));
        };
        // A name that is no manufacturer's code says nothing: the number alone does then.
        let maker = self.maker.get().map_err(|why| refused(None, why))?;
        let maker: Option<Manufacturer> = maker.parse().ok();
        let meter = maker.map_or(Selector::Number(serial), |maker| Selector::Maker(maker, serial));
        let key = self.key.ok_or_else(|| refused(Some(meter), RowFault::NoKey))?;
        let key = key.map_err(|why| refused(Some(meter), why))?;
        Ok((place, MeterKey { meter, key, q4: None }))
    }
}

fn is_dek(name: &str) -> bool {
    name.trim().eq_ignore_ascii_case("DEK")
}

/// A short text that may be a key: it never grows, and is wiped.
#[derive(Default)]
struct Text {
    text: Option<Zeroizing<String>>,
    /// More came than it holds.
    overflowed: bool,
}

impl Text {
    fn push(&mut self, letter: char) {
        let text = self.text.get_or_insert_with(|| Zeroizing::new(String::with_capacity(LONGEST)));
        if self.overflowed || text.len().saturating_add(letter.len_utf8()) > LONGEST {
            self.overflowed = true;
        } else {
            text.push(letter);
        }
    }

    /// Without the blanks around it. Of one that is too long the beginning says nothing: it could be another's number.
    fn get(&self) -> Result<&str, RowFault> {
        if self.overflowed {
            return Err(RowFault::TooLong);
        }
        Ok(self.text.as_ref().map_or("", |text| text.trim()))
    }

    fn is_empty(&self) -> bool {
        self.get().is_ok_and(str::is_empty)
    }
}

const LONGEST: usize = 128;
