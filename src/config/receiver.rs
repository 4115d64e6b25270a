//! `[[receiver]]`: the dongles.

use std::path::PathBuf;
use std::time::Duration;

use super::detect::Detect;
use super::section::Section;

/// One dongle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// Its device file, best a stable name below `/dev/serial/by-id`.
    pub path: PathBuf,
    /// What it is.
    pub kind: ReceiverKind,
    /// The line's speed in baud; 0 where it is to be found out.
    pub baud: u32,
    /// What it listens for.
    pub modes: Modes,
    /// After how long without any telegram it counts as silent; by what is usual at the site if not given.
    pub silent_after: Option<Duration>,
}

impl Receiver {
    /// More dongles than one small computer feeds.
    const MOST: usize = 8;

    pub(super) fn read_all(root: &Section<'_>, detect: &Detect) -> Vec<Self> {
        let receivers: Vec<Option<Self>> = root.sections("receiver", Self::MOST, Self::read);
        let receivers: Vec<Self> = receivers.into_iter().flatten().collect();
        let twice = |(index, one): (usize, &Self)| {
            receivers.iter().skip(index.saturating_add(1)).any(|other| other.path == one.path)
        };
        if receivers.iter().enumerate().any(twice) {
            root.reject("receiver", "has the same path twice", "give each receiver its own path");
        }
        let exempt = |receiver: &Self| detect.do_not_touch.iter().any(|entry| entry.names(&receiver.path));
        if receivers.iter().any(exempt) {
            root.reject(
                "receiver",
                "has a path that [detect] do_not_touch lists",
                "remove it from do_not_touch, or the receiver",
            );
        }
        receivers
    }

    fn read(section: &Section<'_>) -> Option<Self> {
        section.missing("path", "write path = \"/dev/serial/by-id/...\"");
        let path = section.path("path");
        let kind = section.choice("kind", &ReceiverKind::WORDS).unwrap_or(ReceiverKind::Im871a);
        let baud = Self::baud(section, kind);
        let modes = Self::modes(section, kind);
        let silent_after =
            section.duration("silent_after", Duration::from_secs(60)..=Duration::from_secs(7 * 86_400));
        Some(Self { path: path?, kind, baud: baud?, modes: modes?, silent_after })
    }

    fn baud(section: &Section<'_>, kind: ReceiverKind) -> Option<u32> {
        let given: Option<u32> = section.number("baud", 300..=921_600);
        match kind.speed() {
            Speed::Only(baud) => {
                if given.is_some_and(|given| given != baud) {
                    section.reject("baud", "is not this receiver's speed", "remove it");
                }
                Some(baud)
            }
            Speed::Usual(baud) => Some(given.unwrap_or(baud)),
            Speed::FoundOut => {
                if given.is_some() {
                    section.reject(
                        "baud",
                        "is found out, as the kind is",
                        "remove it, or name the kind, too",
                    );
                }
                Some(0)
            }
            Speed::Any => {
                section.missing("baud", "write its speed as its manual gives it, such as baud = 19200");
                given
            }
        }
    }

    fn modes(section: &Section<'_>, kind: ReceiverKind) -> Option<Modes> {
        let words: Vec<(&str, Modes)> = Modes::WORDS
            .into_iter()
            .filter(|(_, modes)| modes.is_narrowband() == kind.is_narrowband())
            .collect();
        let modes = section.choice("modes", &words);
        if kind.only_talks() && section.has("modes") {
            section.reject("modes", "cannot be set with this kind of receiver", "remove it");
        }
        if modes.is_none() && !section.has("modes") && !kind.is_narrowband() {
            return Some(Modes::CAndT);
        }
        section.missing("modes", "write the channel, such as modes = \"n-a\"");
        modes
    }
}

/// Which protocol a dongle speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiverKind {
    /// Whichever answers at the port.
    Auto,
    /// IMST iM871A-USB.
    Im871a,
    /// IMST iU891A-XL, iU893A-XL.
    Iu891a,
    /// Amber (Wuerth) AMB8465-M, AMB8665-M, Metis-II.
    Amb8465,
    /// Amber (Wuerth) AMB3665.
    Amb3665,
    /// CUL, nanoCUL, everyCUL.
    Cul,
    /// Radiocrafts RC1180-MBUS3.
    Rc1180,
    /// Any that writes telegrams in bytes.
    Raw,
    /// Any that writes them in hexadecimal digits.
    Hex,
}

/// At which speed a kind of dongle speaks, in baud.
#[derive(Clone, Copy, Debug)]
enum Speed {
    /// This one.
    Only(u32),
    /// This one, unless somebody changed it.
    Usual(u32),
    /// That of whoever answers.
    FoundOut,
    /// Whatever its maker chose.
    Any,
}

impl ReceiverKind {
    /// All of them, by the words of the configuration.
    const WORDS: [(&'static str, Self); 9] = [
        ("auto", Self::Auto),
        ("im871a", Self::Im871a),
        ("iu891a", Self::Iu891a),
        ("amb8465", Self::Amb8465),
        ("amb3665", Self::Amb3665),
        ("cul", Self::Cul),
        ("rc1180", Self::Rc1180),
        ("raw", Self::Raw),
        ("hex", Self::Hex),
    ];

    const fn speed(self) -> Speed {
        match self {
            Self::Auto => Speed::FoundOut,
            Self::Im871a => Speed::Only(57_600),
            Self::Iu891a => Speed::Only(115_200),
            Self::Amb8465 | Self::Amb3665 => Speed::Usual(9_600),
            Self::Cul => Speed::Usual(38_400),
            Self::Rc1180 => Speed::Usual(19_200),
            Self::Raw | Self::Hex => Speed::Any,
        }
    }

    /// The kind of this word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(own, _)| *own == word).map(|(_, kind)| *kind)
    }

    /// The speed it is delivered with, in baud.
    #[must_use]
    pub const fn usual_baud(self) -> Option<u32> {
        match self.speed() {
            Speed::Only(baud) | Speed::Usual(baud) => Some(baud),
            Speed::FoundOut | Speed::Any => None,
        }
    }

    /// Whether it is for 169 MHz, not for 868.
    #[must_use]
    pub fn is_narrowband(self) -> bool {
        self == Self::Amb3665
    }

    /// Whether there is nothing to set.
    fn only_talks(self) -> bool {
        matches!(self, Self::Raw | Self::Hex)
    }

    /// Its word in the configuration.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, kind)| *kind == self).map_or("", |(word, _)| word)
    }
}

/// What a receiver listens for (EN 13757-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modes {
    /// C1 in both frame formats and T1 at once.
    CAndT,
    /// T1 only.
    T,
    /// C1 in frame format A only.
    CFormatA,
    /// C1 in frame format B only.
    CFormatB,
    /// S1 only.
    S,
    /// S1-m only.
    SM,
    /// N1a only.
    Na,
    /// N1b only.
    Nb,
    /// N1c only.
    Nc,
    /// N1d only.
    Nd,
    /// N1e only.
    Ne,
    /// N1f only.
    Nf,
}

impl Modes {
    /// All of them, by the words of the configuration.
    const WORDS: [(&'static str, Self); 12] = [
        ("c+t", Self::CAndT),
        ("t", Self::T),
        ("c-a", Self::CFormatA),
        ("c-b", Self::CFormatB),
        ("s", Self::S),
        ("s-m", Self::SM),
        ("n-a", Self::Na),
        ("n-b", Self::Nb),
        ("n-c", Self::Nc),
        ("n-d", Self::Nd),
        ("n-e", Self::Ne),
        ("n-f", Self::Nf),
    ];

    fn is_narrowband(self) -> bool {
        matches!(self, Self::Na | Self::Nb | Self::Nc | Self::Nd | Self::Ne | Self::Nf)
    }
}
