//! `[detect]`: what is never asked whether it is a receiver.

use std::path::{Path, PathBuf};

use super::section::Section;

/// How receivers are looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Detect {
    /// Devices that are never to be opened.
    pub do_not_touch: Vec<DoNotTouch>,
}

/// A device that is never to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DoNotTouch {
    /// The port that this path leads to.
    Path(PathBuf),
    /// All with these USB numbers.
    Usb(u16, u16),
}

impl Detect {
    pub(super) fn read(section: &Section<'_>) -> Self {
        let instead = "write paths such as \"/dev/serial/by-id/...\" and USB numbers such as \"10c4:ea60\"";
        let do_not_touch = section.list("do_not_touch", 64, instead, |text| {
            DoNotTouch::read(text).ok_or("is neither a path nor USB numbers")
        });
        Self { do_not_touch: do_not_touch.unwrap_or_default() }
    }
}

impl DoNotTouch {
    /// Whether it is this path, as it is written.
    pub(super) fn names(&self, path: &Path) -> bool {
        matches!(self, Self::Path(own) if own == path)
    }

    fn read(text: &str) -> Option<Self> {
        if text.starts_with('/') && text.len() <= 4096 && !text.contains('\0') {
            return Some(Self::Path(PathBuf::from(text)));
        }
        let (vendor, product) = text.split_once(':')?;
        let number = |text: &str| {
            let hexadecimal = text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            u16::from_str_radix(text, 16).ok().filter(|_| hexadecimal)
        };
        Some(Self::Usb(number(vendor)?, number(product)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_usb_numbers_are_told_apart() {
        assert_eq!(DoNotTouch::read("10c4:EA60"), Some(DoNotTouch::Usb(0x10C4, 0xEA60)));
        let path = "/dev/serial/by-path/pci-0:1.2:1.0";
        assert_eq!(DoNotTouch::read(path), Some(DoNotTouch::Path(path.into())));
        for wrong in ["", "ttyUSB0", "10c4", "10c4:", "+0c4:ea60", "10c4:ea600", "/\0"] {
            assert_eq!(DoNotTouch::read(wrong), None, "{wrong:?}");
        }
    }
}
