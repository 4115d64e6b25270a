//! Which kinds of receivers can be found out, and what USB numbers and names say about them.

use crate::receiver::{Info, amber, cul, im871a, iu891a, rc1180};

/// A kind of receiver that shows itself when asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub enum Kind {
    /// IMST iM871A-USB.
    Im871a,
    /// IMST iU891A-XL, iU893A-XL.
    Iu891a,
    /// Amber AMB8465-M, AMB8665-M, Metis-II.
    Amb8465,
    /// Amber AMB3665, for 169 MHz.
    Amb3665,
    /// CUL, nanoCUL, everyCUL.
    Cul,
    /// Radiocrafts RC1180-MBUS3.
    Rc1180,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Amb8465, Self::Amb3665, Self::Im871a, Self::Rc1180, Self::Cul, Self::Iu891a];

    /// The kind that says this of itself.
    pub fn of(info: &Info) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.models().contains(&info.model))
    }

    /// Its word in the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Im871a => "im871a",
            Self::Iu891a => "iu891a",
            Self::Amb8465 => "amb8465",
            Self::Amb3665 => "amb3665",
            Self::Cul => "cul",
            Self::Rc1180 => "rc1180",
        }
    }

    /// Its name on the box.
    pub fn name(self) -> &'static str {
        self.models().first().copied().unwrap_or_default()
    }

    /// Whatever its driver may say that it is.
    fn models(self) -> Vec<&'static str> {
        match self {
            Self::Im871a => vec![im871a::MODEL],
            Self::Iu891a => iu891a::MODELS.into_iter().map(|(_, model)| model).collect(),
            Self::Amb8465 => vec![amber::MODEL_868],
            Self::Amb3665 => vec![amber::MODEL_169],
            Self::Cul => vec![cul::MODEL],
            Self::Rc1180 => vec![rc1180::MODEL],
        }
    }
}

/// A USB device behind a serial port, as it describes itself.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Usb {
    /// Vendor and product number.
    pub id: (u16, u16),
    /// The maker's name.
    pub manufacturer: Option<String>,
    /// The product's name.
    pub product: Option<String>,
    /// Its serial number.
    pub serial: Option<String>,
}

/// What a port's USB numbers and names say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Guess {
    /// It can be nothing else.
    Surely(Kind),
    /// Its bridge is one that these kinds have, and other devices, too.
    Perhaps(Vec<Kind>),
    /// A receiver that only talks: nothing can be asked.
    OnlyTalks,
    /// Something else.
    Foreign,
    /// Nothing.
    Unknown,
}

/// Words in the names of devices that share bridges with receivers, and that must not be asked anything.
const FOREIGN: [&str; 12] = [
    "zigbee",
    "z-wave",
    "zwave",
    "conbee",
    "raspbee",
    "skyconnect",
    "openthread",
    "bluetooth",
    "modem",
    "u-blox",
    "printer",
    "scanner",
];
/// The same, too short to be looked for inside words.
const FOREIGN_WORDS: [&str; 4] = ["gps", "gnss", "lte", "ups"];

impl Usb {
    /// What its numbers and names say.
    pub fn guess(&self) -> Guess {
        let names = [&self.manufacturer, &self.product].into_iter().flatten();
        let names: Vec<String> = names.map(|name| name.to_ascii_lowercase()).collect();
        let says = |part: &str| names.iter().any(|name| name.contains(part));
        let has = |word: &str| {
            let mut words =
                names.iter().flat_map(|name| name.split(|letter: char| !letter.is_alphanumeric()));
            words.any(|own| own == word)
        };
        if FOREIGN.into_iter().any(says) || FOREIGN_WORDS.into_iter().any(has) {
            return Guess::Foreign;
        }
        match self.id {
            // IMST's rebranded stick.
            (0x10C4, 0x87ED) => Guess::Surely(Kind::Im871a),
            // Silicon Labs' own numbers; IMST writes the name.
            (0x10C4, 0xEA60) if says("im871a") => Guess::Surely(Kind::Im871a),
            (0x10C4, 0xEA60) => Guess::Perhaps(vec![Kind::Im871a]),
            (0x04B4, 0x0003) if says("iu89") || says("imst") => Guess::Surely(Kind::Iu891a),
            (0x04B4, 0x0003) => Guess::Perhaps(vec![Kind::Iu891a]),
            (0x03EB, 0x204B) if says("cul") => Guess::Surely(Kind::Cul),
            // Atmel's example, a CH340, and the Arduino Nano Every.
            (0x03EB, 0x204B) | (0x1A86, 0x7523) | (0x2341, 0x0058) => Guess::Perhaps(vec![Kind::Cul]),
            // FTDI's own numbers.
            (0x0403, 0x6001) => {
                Guess::Perhaps(vec![Kind::Amb8465, Kind::Amb3665, Kind::Im871a, Kind::Rc1180, Kind::Cul])
            }
            // RFM-RX2 and WMB13U send bare telegrams and listen to nobody.
            (0x2047, 0x0863) | (0x067B, 0x2303) => Guess::OnlyTalks,
            _ => Guess::Unknown,
        }
    }

    /// Whether its serial number tells it from others of its kind. Silicon Labs' bridges come with 0001.
    pub(super) fn has_own_serial(&self) -> bool {
        self.serial.as_ref().is_some_and(|serial| !serial.is_empty() && serial.trim_start_matches('0') != "1")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usb(id: (u16, u16), product: &str) -> Usb {
        Usb { id, product: Some(product.to_owned()), ..Usb::default() }
    }

    #[test]
    fn numbers_narrow_and_names_decide() {
        assert_eq!(usb((0x10C4, 0x87ED), "").guess(), Guess::Surely(Kind::Im871a));
        assert_eq!(usb((0x10C4, 0xEA60), "CP2102").guess(), Guess::Perhaps(vec![Kind::Im871a]));
        assert_eq!(usb((0x10C4, 0xEA60), "iM871A-USB").guess(), Guess::Surely(Kind::Im871a));
        assert_eq!(usb((0x04B4, 0x0003), "iU891A").guess(), Guess::Surely(Kind::Iu891a));
        assert_eq!(usb((0x03EB, 0x204B), "CUL868").guess(), Guess::Surely(Kind::Cul));
        assert_eq!(usb((0x067B, 0x2303), "").guess(), Guess::OnlyTalks);
        assert_eq!(usb((0x1234, 0x5678), "Thermometer").guess(), Guess::Unknown);
        let Guess::Perhaps(kinds) = usb((0x0403, 0x6001), "FT232R").guess() else { panic!("several") };
        assert_eq!(kinds.len(), 5);
    }

    #[test]
    fn a_zigbee_stick_on_the_same_bridge_is_foreign() {
        for name in ["Sonoff Zigbee 3.0 USB Dongle Plus", "SkyConnect v1.0", "USB GPS", "ConBee II"] {
            assert_eq!(usb((0x10C4, 0xEA60), name).guess(), Guess::Foreign, "{name}");
        }
    }

    #[test]
    fn a_factory_serial_number_is_nobodys_own() {
        let with = |serial: &str| Usb { serial: Some(serial.to_owned()), ..Usb::default() };
        assert!(with("A50285BI").has_own_serial());
        assert!(
            !with("0001").has_own_serial() && !with("").has_own_serial() && !Usb::default().has_own_serial()
        );
    }
}
