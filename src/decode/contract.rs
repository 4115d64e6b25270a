//! What `vesigate decode --json` prints: one object for each frame. A contract, kept as JSON Schema in
//! `docs/decode.schema.json`; fields may be added, never changed.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;
use wmbus::frame::Format;
use wmbus::meter::{Amount, Measure, ReadError, Reading};
use wmbus::record::{Item, RecordError, Value};
use wmbus::security::{Scheme, Security};
use wmbus::telegram::Refused;
use wmbus::transport::Mode;
use wmbus::{Frame, Learned, Sealed, Telegram};

use crate::decode::Unreadable;

/// One frame.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Decoded {
    /// `ok`, or why not.
    pub outcome: Outcome,
    /// Whose telegram it is; null if the frame cannot be read that far.
    pub meter: Option<MeterPart>,
    /// How it came; null if it cannot be read at all.
    pub frame: Option<FramePart>,
    /// How it is protected; null if the frame cannot be read that far.
    pub security: Option<SecurityPart>,
    /// Its data records in order; empty if they could not be read.
    pub records: Vec<RecordPart>,
    /// What the meter's family makes of them; null if there is none.
    pub reading: Option<ReadingPart>,
    /// What is wrong, or worth knowing, in sentences for people.
    pub problems: Vec<String>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Read, and everything that can be verified was.
    Ok,
    /// Not hexadecimal.
    NotHex,
    /// Cut short, or a checksum does not fit.
    Damaged,
    /// Enciphered, and there is no key for this meter.
    NoKey,
    /// The key does not open it, or it was damaged after the receiver took the link-layer CRCs out.
    WrongKey,
    /// In the clear although this meter has a key: the gateway would refuse it. Records and reading are shown all the
    /// same.
    NotEncrypted,
    /// Protected or built in a way that this program cannot read.
    Unsupported,
    /// A frame without data by its kind.
    NoData,
    /// One of several fragments.
    Fragment,
    /// A compact frame whose layout is not known yet.
    UnknownLayout,
    /// Only the manufacturer can read its body.
    ManufacturerSpecific,
}

/// A meter.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MeterPart {
    /// Three letters.
    pub manufacturer: String,
    /// Eight digits, as on the dial.
    pub id: String,
    /// Version byte, two hexadecimal digits.
    pub version: String,
    /// Device type, two hexadecimal digits.
    #[serde(rename = "type")]
    pub device_type: String,
    /// What the device type stands for.
    pub medium: String,
    /// What the manufacturer calls it, if it is known.
    pub model: Option<String>,
}

/// The link layer.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FramePart {
    /// `bare`, `a`, `b` or `wired`.
    pub format: &'static str,
    /// Bytes without link-layer CRCs, the L-field counted.
    pub length: usize,
    /// Foreign bytes behind the frame, left out.
    pub trailing: u16,
    /// Kind of frame, such as `SND-NR`; null if it cannot be read that far.
    pub control: Option<&'static str>,
    /// Whether a repeater has passed it on.
    pub relayed: bool,
    /// The frame without link-layer CRCs, as it came.
    pub hex: String,
}

/// Protection.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SecurityPart {
    /// `none`, `ell_aes_ctr`, `tpl_mode_5`, `tpl_mode_7`, `tpl_mode_10`, or `tpl_mode_N` for one that cannot be opened.
    pub mode: String,
    /// What was checked and fits: `payload_crc`, `2f2f`, `mac`, `tag`, `link_crc`.
    pub verified: Vec<&'static str>,
    /// Its header says enciphered and its body was plain: it had been opened before.
    pub already_open: bool,
    /// The number that rises with every telegram, if there is one.
    pub counter: Option<u32>,
}

/// A data record.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RecordPart {
    /// DIF, DIFE, VIF and VIFE in hexadecimal.
    pub dif_vif: String,
    /// What it tells, in the words of EN 13757-3.
    pub quantity: &'static str,
    /// `instantaneous`, `maximum`, `minimum` or `during_error`.
    pub function: &'static str,
    /// Storage number.
    pub storage: u64,
    /// Tariff.
    pub tariff: u32,
    /// Subunit.
    pub subunit: u16,
    /// An exact decimal number, a date (`2026-11-24`), a moment (`2026-11-24 13:05`), a text, or bytes in hexadecimal;
    /// null if the meter has no value.
    pub value: Option<String>,
    /// The unit of the number; null if it has none.
    pub unit: Option<&'static str>,
    /// Further properties from the extensions: `backward`, `average`, `limit` and so on.
    pub modifiers: Vec<String>,
    /// The data as sent, in hexadecimal.
    pub data: String,
    /// Why there is no value.
    pub absent: Option<&'static str>,
    /// Whether the part of the telegram it stands in is protected by what `security` names.
    pub protected: bool,
}

/// What the telegram says, by the meter's family.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ReadingPart {
    /// The family that read it; `OMS` for meters read by the open standard alone.
    pub family: &'static str,
    /// Everything measured.
    pub measures: Vec<MeasurePart>,
    /// What the meter says is wrong now; empty means that it says all is well, null that it says nothing.
    pub info_codes: Option<Vec<String>>,
    /// How long each condition was active in the last thirty days, for those that were.
    pub durations: Vec<DurationPart>,
    /// Words of the transport layer's status byte; null if there is none.
    pub status: Option<Vec<&'static str>>,
    /// For compact frames, where the layout came from: `learned`, `built_in`, `inferred`.
    pub layout: Option<&'static str>,
}

/// A measure.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MeasurePart {
    /// Such as `volume`, `flow`, `water_temperature`.
    pub what: &'static str,
    /// `actual`, `minimum`, `maximum`, `average` or `during_error`.
    pub statistic: &'static str,
    /// `now`, `target`, `last_month`, `last_day`, `last_year` or `storage`.
    pub period: &'static str,
    /// The storage number for `storage`.
    pub storage: Option<u64>,
    /// Tariff; 0 is all.
    pub tariff: u32,
    /// Subunit; 0 is the meter itself.
    pub subunit: u16,
    /// As in a record; null if the sensor is absent, broken or has nothing yet.
    pub value: Option<String>,
    /// The unit; null if there is none.
    pub unit: Option<&'static str>,
}

/// How long a condition was active.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DurationPart {
    /// The info code.
    pub code: String,
    /// Class 1 to 7.
    pub class: u8,
    /// The range it stands for.
    pub range: &'static str,
}

impl Decoded {
    /// Whether the telegram was read.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.outcome == Outcome::Ok
    }

    pub(super) fn unreadable(error: &Unreadable) -> Self {
        let outcome = match error {
            Unreadable::Frame(_) => Outcome::Damaged,
            _ => Outcome::NotHex,
        };
        Self { outcome, problems: vec![error.to_string()], ..Self::empty() }
    }

    pub(super) fn of_frame(frame: &Frame) -> Self {
        let mut problems = Vec::new();
        if frame.trailing() > 0 {
            problems.push(format!("{} foreign byte(s) behind the frame were left out", frame.trailing()));
        }
        let part = FramePart {
            format: format_word(frame.format()),
            length: frame.bytes().len(),
            trailing: frame.trailing(),
            control: None,
            relayed: false,
            hex: hex(frame.bytes()),
        };
        Self { frame: Some(part), problems, ..Self::empty() }
    }

    fn empty() -> Self {
        Self {
            outcome: Outcome::Ok,
            meter: None,
            frame: None,
            security: None,
            records: Vec::new(),
            reading: None,
            problems: Vec::new(),
        }
    }

    /// What the clear headers tell.
    pub(super) fn headers(&mut self, sealed: &Sealed<'_>) {
        self.meter = Some(meter_part(sealed.meter()));
        if let Some(frame) = &mut self.frame {
            frame.control = Some(sealed.link().control.name());
            frame.relayed = sealed.relayed();
        }
        let mode = match (sealed.extended().and_then(|link| link.session), sealed.mode()) {
            (Some(session), _) if session.encryption() != 0 => "ell_aes_ctr".to_owned(),
            (_, Mode::None) => "none".to_owned(),
            (_, mode) => format!("tpl_mode_{}", mode.number()),
        };
        self.security = Some(SecurityPart { mode, verified: Vec::new(), already_open: false, counter: None });
    }

    pub(super) fn opened(&mut self, telegram: &Telegram<'_>, learned: &Learned) {
        self.meter = Some(meter_part(telegram.meter()));
        self.security = Some(security_part(&telegram.security, telegram.link.format));
        if let Some(frame) = &mut self.frame {
            frame.relayed = telegram.relayed();
        }
        if telegram.security.already_open {
            self.problems
                .push("the header says enciphered and the body is plain: it was opened before".to_owned());
        }
        let items = match telegram.items(learned) {
            Ok((items, _)) => items,
            Err(error) => return self.fail(error),
        };
        for item in items {
            match item {
                Ok(item) => self.records.extend(record_part(item, telegram)),
                Err(error) => return self.fail(error.into()),
            }
        }
        if self.records.iter().any(|record| !record.protected) {
            let text = "records behind the enciphered part came in the clear: nothing vouches for them";
            self.problems.push(text.to_owned());
        }
        match telegram.reading(learned) {
            Ok(reading) => self.reading = Some(reading_part(&reading)),
            Err(error) => self.fail(error),
        }
        if self.reading.as_ref().is_some_and(|reading| reading.layout == Some("inferred")) {
            let text = "the compact frame was read through a layout worked out from a single telegram";
            self.problems.push(text.to_owned());
        }
    }

    pub(super) fn refused(mut self, refused: Refused) -> Self {
        self.outcome = super::outcome(refused);
        self.problems.push(refused.to_string());
        self
    }

    fn fail(&mut self, error: ReadError) {
        use wmbus::compact::CompactError;
        use wmbus::transport::Application;
        self.outcome = match error {
            ReadError::Compact(CompactError::UnknownSignature(_)) => Outcome::UnknownLayout,
            ReadError::NoRecords(Application::Manufacturer(_)) => Outcome::ManufacturerSpecific,
            ReadError::NoRecords(Application::TransportOnly) => Outcome::NoData,
            ReadError::NoRecords(_) => Outcome::Unsupported,
            ReadError::Record(RecordError::ReservedDif { .. })
            | ReadError::Compact(_)
            | ReadError::Record(_) => Outcome::Damaged,
            _ => Outcome::Unsupported,
        };
        self.problems.push(error.to_string());
    }
}

fn format_word(format: Format) -> &'static str {
    match format {
        Format::Bare => "bare",
        Format::A => "a",
        Format::B => "b",
        Format::Wired => "wired",
    }
}

fn meter_part(meter: wmbus::Meter) -> MeterPart {
    MeterPart {
        manufacturer: meter.manufacturer.to_string(),
        id: meter.serial.to_string(),
        version: format!("{:02X}", meter.version),
        device_type: format!("{:02X}", meter.device.0),
        medium: meter.device.name().to_owned(),
        model: wmbus::meter::profile(meter).model(meter).map(|model| model.name.to_owned()),
    }
}

fn security_part(security: &Security, format: Format) -> SecurityPart {
    let mode = match security.scheme {
        Scheme::None => "none",
        Scheme::EllCtr => "ell_aes_ctr",
        Scheme::Mode5 => "tpl_mode_5",
        Scheme::Mode7 => "tpl_mode_7",
        Scheme::Mode10 => "tpl_mode_10",
    };
    let link = matches!(format, Format::A | Format::B).then_some("link_crc");
    let verified = security.verified.words().chain(link).collect();
    SecurityPart {
        mode: mode.to_owned(),
        verified,
        already_open: security.already_open,
        counter: security.counter,
    }
}

fn record_part(item: Item<'_>, telegram: &Telegram<'_>) -> Option<RecordPart> {
    let protected =
        |at: u16| usize::from(at) < telegram.protected || telegram.security.scheme == Scheme::None;
    let record = match item {
        Item::Filler { .. } => return None,
        Item::Manufacturer { bytes, at, more_follows } => {
            return Some(RecordPart {
                dif_vif: if more_follows { "1F" } else { "0F" }.to_owned(),
                quantity: "manufacturer_specific",
                function: "instantaneous",
                storage: 0,
                tariff: 0,
                subunit: 0,
                value: None,
                unit: None,
                modifiers: Vec::new(),
                data: hex(bytes),
                absent: Some("only the manufacturer can read it"),
                protected: protected(at),
            });
        }
        Item::Record(record) => record,
    };
    let (value, absent) = match record.value {
        Value::Number(number) => (Some(number.to_string()), None),
        Value::Date(date) => (Some(date.to_string()), None),
        Value::DateTime(moment) => (Some(moment.to_string()), None),
        Value::Time(time) => (Some(time.to_string()), None),
        Value::Text(text) => (Some(text.to_string()), None),
        Value::Bytes(bytes) => (Some(hex(bytes)), None),
        Value::Absent(why) => (None, Some(why.words())),
    };
    let compact = telegram.application == wmbus::transport::Application::Compact;
    Some(RecordPart {
        dif_vif: hex(record.header.bytes),
        quantity: record.quantity.word(),
        function: record.header.function.word(),
        storage: record.header.storage,
        tariff: record.header.tariff,
        subunit: record.header.subunit,
        value,
        unit: some_unit(record.unit),
        modifiers: modifiers(&record),
        data: hex(record.data),
        absent,
        protected: compact || protected(record.at),
    })
}

fn modifiers(record: &wmbus::Record<'_>) -> Vec<String> {
    let found = &record.modifiers;
    let flags = [
        (found.backward, "backward"),
        (found.forward, "forward"),
        (found.average, "average"),
        (found.future, "future"),
        (found.unknown, "unknown_extension"),
    ];
    let mut words: Vec<String> =
        flags.into_iter().filter(|(set, _)| *set).map(|(_, word)| word.to_owned()).collect();
    words.extend(found.aspect.map(|aspect| aspect.word().to_owned()));
    words.extend(found.per.map(str::to_owned));
    words.extend(record.manufacturer_extensions().map(|bytes| format!("manufacturer_{}", hex(bytes))));
    if !record.header.text.is_empty() {
        words.push(format!("unit {}", wmbus::record::Text(record.header.text)));
    }
    words
}

fn reading_part(reading: &Reading) -> ReadingPart {
    let durations = reading.info.into_iter().flat_map(|info| info.durations());
    ReadingPart {
        family: reading.profile.name,
        measures: reading.measures.iter().map(measure_part).collect(),
        info_codes: reading.info.map(|info| info.codes().map(|code| code.to_string()).collect()),
        durations: durations
            .filter(|(_, class)| class.number() > 0)
            .map(|(code, class)| DurationPart {
                code: code.to_string(),
                class: class.number(),
                range: class.words(),
            })
            .collect(),
        status: reading.status.map(|status| status.words().collect()),
        layout: reading.layout.map(wmbus::compact::Source::word),
    }
}

fn measure_part(measure: &Measure) -> MeasurePart {
    MeasurePart {
        what: measure.what.word(),
        statistic: measure.statistic.word(),
        period: measure.period.word(),
        storage: match measure.period {
            wmbus::meter::Period::Storage(number) => Some(number),
            _ => None,
        },
        tariff: measure.tariff,
        subunit: measure.subunit,
        value: match measure.amount {
            Amount::Number(number) => Some(number.to_string()),
            Amount::Date(date) => Some(date.to_string()),
            Amount::DateTime(moment) => Some(moment.to_string()),
            Amount::Opaque(bytes) => Some(hex(&bytes)),
            Amount::Absent => None,
        },
        unit: some_unit(measure.unit),
    }
}

fn some_unit(unit: &'static str) -> Option<&'static str> {
    (!unit.is_empty()).then_some(unit)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02X}");
        text
    })
}
