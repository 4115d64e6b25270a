//! XML as key files use it: elements, attributes and text. Whatever could make a reader work, wait or fetch without
//! bound is refused by name: document types, entities of one's own, deep nesting.

use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Error, Reader};
use thiserror::Error as ThisError;

/// Elements inside each other; genuine files need six.
const MAX_DEPTH: usize = 32;

/// Walks over a document in memory, without copying it.
pub(super) struct Xml<'a> {
    reader: Reader<&'a [u8]>,
    depth: usize,
    began: bool,
}

/// A piece of a document.
pub(super) enum Piece<'a> {
    /// An element begins.
    Open(BytesStart<'a>),
    /// The innermost element ends.
    Close,
    /// Text between them.
    Text(&'a str),
    /// One letter that was written as a reference.
    Letter(char),
}

impl<'a> Xml<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let mut reader = Reader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        Self { reader, depth: 0, began: false }
    }

    /// The next piece; `None` at the end of a whole document.
    pub(super) fn next(&mut self) -> Result<Option<Piece<'a>>, XmlFault> {
        loop {
            let piece = match self.reader.read_event() {
                Ok(Event::Start(_)) if self.began && self.depth == 0 => return Err(XmlFault::NotWellFormed),
                Ok(Event::Start(_)) if self.depth >= MAX_DEPTH => return Err(XmlFault::TooDeep),
                Ok(Event::Start(element)) => {
                    self.depth = self.depth.saturating_add(1);
                    self.began = true;
                    Piece::Open(element)
                }
                Ok(Event::End(_)) => {
                    self.depth = self.depth.saturating_sub(1);
                    Piece::Close
                }
                Ok(Event::Text(text)) => Piece::Text(borrowed(text.into_inner())?),
                Ok(Event::CData(text)) => Piece::Text(borrowed(text.into_inner())?),
                Ok(Event::GeneralRef(name)) => Piece::Letter(letter(&name)?),
                Ok(Event::DocType(_)) => return Err(XmlFault::DocumentType),
                Ok(Event::Eof) if self.began && self.depth == 0 => return Ok(None),
                Ok(Event::Comment(_) | Event::Decl(_) | Event::PI(_)) => continue,
                Ok(Event::Empty(_) | Event::Eof) => return Err(XmlFault::NotWellFormed),
                Err(Error::Syntax(quick_xml::errors::SyntaxError::UnclosedDoctype)) => {
                    return Err(XmlFault::DocumentType);
                }
                // Its own words could repeat what stands there.
                Err(_) => return Err(XmlFault::NotWellFormed),
            };
            match piece {
                Piece::Text(text) if self.depth == 0 && !is_blank(text) => {
                    return Err(XmlFault::NotWellFormed);
                }
                Piece::Letter(_) if self.depth == 0 => return Err(XmlFault::NotWellFormed),
                piece => return Ok(Some(piece)),
            }
        }
    }
}

/// An element's name without the prefix of its namespace.
pub(super) fn name<'a>(element: &'a BytesStart<'_>) -> &'a str {
    element.local_name().into_inner()
}

/// An attribute, by its name without a prefix, as it is written.
pub(super) fn attribute<'a>(element: &'a BytesStart<'_>, wanted: &str) -> Option<std::borrow::Cow<'a, str>> {
    // Looking for doubled names would take the square of their number.
    let mut attributes = element.attributes();
    let attributes = attributes.with_checks(false).filter_map(Result::ok).take(MAX_ATTRIBUTES);
    let mut named = attributes.filter(|attribute| attribute.key.local_name().into_inner() == wanted);
    named.next().map(|attribute| attribute.value)
}

const MAX_ATTRIBUTES: usize = 64;

/// The reader borrows from the text that it was given.
fn borrowed(text: std::borrow::Cow<'_, str>) -> Result<&str, XmlFault> {
    match text {
        std::borrow::Cow::Borrowed(text) => Ok(text),
        std::borrow::Cow::Owned(_) => Err(XmlFault::NotWellFormed),
    }
}

fn letter(name: &BytesRef<'_>) -> Result<char, XmlFault> {
    if name.is_char_ref() {
        return name.resolve_char_ref().ok().flatten().ok_or(XmlFault::NotWellFormed);
    }
    match &**name {
        "amp" => Ok('&'),
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "quot" => Ok('"'),
        "apos" => Ok('\''),
        _ => Err(XmlFault::Entity),
    }
}

fn is_blank(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_whitespace())
}

/// Why a document is refused. It never repeats what stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
pub enum XmlFault {
    /// `<!DOCTYPE ...>`: it can define entities that blow up, or name other files.
    #[error("it holds a document type (DTD), which no key file has and which could be an attack")]
    DocumentType,
    /// `&name;` that XML does not define itself.
    #[error("it refers to an entity of its own, which no key file does and which could be an attack")]
    Entity,
    /// Elements inside each other without end.
    #[error(
        "its elements are nested deeper than {MAX_DEPTH}, which no key file's are and which could be an attack"
    )]
    TooDeep,
    /// No XML, or cut short.
    #[error("its XML is damaged")]
    NotWellFormed,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(text: &str) -> Result<String, XmlFault> {
        let (mut xml, mut all) = (Xml::new(text), String::new());
        while let Some(piece) = xml.next()? {
            match piece {
                Piece::Open(element) => all += &format!("<{}", name(&element)),
                Piece::Close => all.push('>'),
                Piece::Text(text) => all += text,
                Piece::Letter(letter) => all.push(letter),
            }
        }
        Ok(all)
    }

    #[test]
    fn elements_text_and_letters_come_out() {
        let text =
            "\u{feff}<?xml version=\"1.0\"?>\n<!-- x --><a:b c=\"1\">x&amp;&#65;<d/><![CDATA[<y>]]></a:b>\n";
        assert_eq!(walk(text).unwrap().trim(), "<bx&A<d><y>>");
    }

    #[test]
    fn attacks_are_refused_by_name() {
        let laughs = "<!DOCTYPE a [<!ENTITY b \"x\"><!ENTITY c \"&b;&b;\">]><a>&c;</a>";
        assert_eq!(walk(laughs), Err(XmlFault::DocumentType));
        assert_eq!(walk("<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>"), Err(XmlFault::DocumentType));
        assert_eq!(walk("<!DOCTYPE a ["), Err(XmlFault::DocumentType));
        assert_eq!(walk("<a>&b;</a>"), Err(XmlFault::Entity));
        assert_eq!(walk(&"<a>".repeat(100_000)), Err(XmlFault::TooDeep));
    }

    #[test]
    fn what_is_cut_or_goes_on_is_not_well_formed() {
        for text in [
            "",
            "x",
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "<a/>x",
            "<a/>&amp;",
            "<a",
            "<a>&#0;</a>",
            "<a>&#xD800;</a>",
        ] {
            assert_eq!(walk(text), Err(XmlFault::NotWellFormed), "{text}");
        }
    }
}
