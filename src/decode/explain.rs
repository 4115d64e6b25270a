//! A telegram explained byte by byte, for people.

use std::fmt::{self, Display, Write as _};

use anstyle::{AnsiColor, Style};
use wmbus::frame::Format;
use wmbus::record::{Item, Value};
use wmbus::security::Scheme;
use wmbus::transport::{Application, Transport};
use wmbus::{Frame, Learned, Policy, Sealed, Telegram};

use super::contract::{Decoded, hex};
use super::{Decoder, unhex};

const HEAD: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const DIM: Style = Style::new().dimmed();
const FILLER: &str = "filler";
const BYTES: Style = AnsiColor::Cyan.on_default();

/// Explains one frame in hexadecimal: every byte with its offset and meaning, then the reading. Also tells whether the
/// telegram was read. Colours are terminal escapes; the caller takes them out where there is no terminal.
#[must_use]
pub fn telegram(decoder: &mut Decoder, text: &str) -> (String, bool) {
    let learned = decoder.learned.clone();
    let decoded = decoder.decode(text);
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = explain(&mut out, decoder, &learned, text, &decoded);
    (out, decoded.is_ok())
}

fn explain(
    out: &mut String,
    decoder: &Decoder,
    learned: &Learned,
    text: &str,
    decoded: &Decoded,
) -> fmt::Result {
    title(out, decoded)?;
    if let Some(part) = &decoded.frame
        && let Ok(bytes) = unhex(text)
        && let Ok(mut frame) = frame_as(&bytes, part.format)
    {
        for span in spans(&mut frame, decoder, learned) {
            writeln!(out, "  {span}")?;
        }
    }
    summary(out, decoded)?;
    writeln!(out)
}

/// The frame in the format that reading it has settled on.
fn frame_as(bytes: &[u8], format: &str) -> Result<Frame, wmbus::FrameError> {
    if format == "bare" { Frame::bare(bytes) } else { Frame::detect(bytes) }
}

fn title(out: &mut String, decoded: &Decoded) -> fmt::Result {
    let style = if decoded.is_ok() { GOOD } else { BAD };
    let word = serde_json::to_value(decoded.outcome).ok();
    let word = word.as_ref().and_then(|word| word.as_str()).unwrap_or_default().replace('_', " ");
    write!(out, "{style}{word}{style:#}")?;
    if let Some(meter) = &decoded.meter {
        let (maker, id) = (&meter.manufacturer, &meter.id);
        write!(out, "  {HEAD}{maker} {id}{HEAD:#}  version {}, {} ", meter.version, meter.medium)?;
        write!(out, "({})", meter.device_type)?;
        if let Some(model) = &meter.model {
            write!(out, ", {model}")?;
        }
    }
    writeln!(out)
}

/// A run of bytes and what it means.
struct Span {
    at: usize,
    bytes: Vec<u8>,
    meaning: String,
}

impl Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const WIDTH: usize = 12;
        let mut rows = self.bytes.chunks(WIDTH);
        let first = rows.next().unwrap_or_default();
        let pad = 3 * (WIDTH - first.len());
        write!(
            f,
            "{DIM}{:3}{DIM:#}  {BYTES}{}{BYTES:#}{:pad$} {}",
            self.at,
            spaced(first),
            "",
            self.meaning
        )?;
        for (row, bytes) in rows.enumerate() {
            write!(
                f,
                "\n  {DIM}{:3}{DIM:#}  {BYTES}{}{BYTES:#}",
                self.at + (row + 1) * WIDTH,
                spaced(bytes)
            )?;
        }
        Ok(())
    }
}

fn spaced(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02X} ");
        text
    })
}

/// Goes through a frame from its first byte to its last; what is left at the end is shown as such.
struct Walk {
    bytes: Vec<u8>,
    at: usize,
    spans: Vec<Span>,
}

impl Walk {
    fn take(&mut self, length: usize, meaning: impl Into<String>) {
        let end = self.bytes.len().min(self.at + length);
        let bytes = self.bytes.get(self.at..end).unwrap_or_default().to_vec();
        if !bytes.is_empty() {
            self.spans.push(Span { at: self.at, bytes, meaning: meaning.into() });
        }
        self.at = end;
    }

    /// Up to a position.
    fn until(&mut self, at: usize, meaning: impl Into<String>) {
        self.take(at.saturating_sub(self.at), meaning);
    }

    /// One more byte of filler, on the line of the one before.
    fn filler(&mut self) {
        let byte = self.peek();
        match self.spans.last_mut().filter(|span| span.meaning == FILLER) {
            Some(span) => {
                span.bytes.push(byte);
                self.at += 1;
            }
            None => self.take(1, FILLER),
        }
    }

    fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or_default()
    }
}

fn spans(frame: &mut Frame, decoder: &Decoder, learned: &Learned) -> Vec<Span> {
    let sent = frame.bytes().to_vec();
    let wired = frame.format() == Format::Wired;
    let mut walk = Walk { bytes: sent, at: 0, spans: Vec::new() };
    let length = walk.peek();
    walk.take(1, format!("L: {length} bytes follow"));
    let Ok(sealed) = Sealed::read(frame) else {
        walk.take(usize::MAX / 2, "not readable");
        return walk.spans;
    };
    let link = sealed.link();
    walk.take(1, format!("C: {}", link.control.name()));
    if wired {
        let address = walk.peek();
        walk.take(1, format!("A: primary address {address}"));
    } else {
        walk.take(2, format!("M: manufacturer {}", link.meter.manufacturer));
        walk.take(4, format!("A: meter {}", link.meter.serial));
        walk.take(1, "version");
        walk.take(1, format!("device type: {}", link.meter.device.name()));
    }
    extended_link(&mut walk, &sealed);
    let has_session = sealed.extended().is_some_and(|link| link.session.is_some());
    let cipher = decoder.cipher(&sealed);
    match sealed.open(cipher.as_ref(), Policy::AlsoOpened) {
        Ok(telegram) => {
            opened(&mut walk, &telegram, has_session, learned);
            walk.spans
        }
        Err(refused) => {
            walk.take(usize::MAX / 2, format!("not opened: {refused}"));
            walk.spans
        }
    }
}

fn extended_link(walk: &mut Walk, sealed: &Sealed<'_>) {
    let Some(link) = sealed.extended() else { return };
    walk.take(1, format!("CI: extended link layer {:02X}", link.ci));
    let relayed = if link.communication.relayed() { ", passed on by a repeater" } else { "" };
    walk.take(1, format!("CC: communication control{relayed}"));
    walk.take(1, "ACC: access number");
    if let Some(receiver) = link.receiver {
        walk.take(8, format!("meant for {receiver}"));
    }
    if let Some(session) = link.session {
        let cipher = if session.encryption() == 0 { "in the clear" } else { "AES-128-CTR" };
        walk.take(4, format!("SN: session number, {cipher}, minute {}", session.minutes()));
    }
}

fn opened(walk: &mut Walk, telegram: &Telegram<'_>, has_session: bool, learned: &Learned) {
    let tag = if telegram.security.verified.tag { 8 } else { 0 };
    let body_at = walk.bytes.len().saturating_sub(telegram.body.len() + tag);
    // What was deciphered is shown as plain text.
    let message_at = walk.bytes.len().saturating_sub(telegram.message.len());
    walk.bytes.truncate(message_at);
    walk.bytes.extend_from_slice(telegram.message);
    if has_session {
        let sum = wmbus::crc::of(telegram.message).to_le_bytes();
        walk.bytes.splice(message_at - sum.len()..message_at, sum);
        walk.take(sum.len(), "payload CRC: fits");
    }
    if telegram.afl.is_some() {
        walk.take(1, "CI: authentication and fragmentation layer");
        let length = usize::from(walk.peek());
        let code = if telegram.security.verified.mac { ", authentication code: fits" } else { "" };
        walk.take(length + 1, format!("AFL{code}"));
    }
    walk.take(1, format!("CI: {}", telegram.application));
    if let Some(transport) = telegram.transport {
        transport_header(walk, &transport, body_at);
    }
    walk.until(body_at, "2F 2F: deciphered rightly");
    body(walk, telegram, learned, body_at);
    walk.until(body_at + telegram.body.len(), "not readable");
    walk.take(tag, "authentication tag: fits");
    walk.take(usize::MAX / 2, "left over");
}

fn transport_header(walk: &mut Walk, transport: &Transport, body_at: usize) {
    if let Some(meter) = transport.meter {
        walk.take(8, format!("meter {meter}"));
    }
    walk.take(1, "ACC: access number");
    let words: Vec<_> = transport.status.words().collect();
    walk.take(1, format!("STS: {}", if words.is_empty() { "no error".to_owned() } else { words.join(", ") }));
    let mode = transport.configuration.mode().number();
    walk.take(2, format!("CF: security mode {mode}"));
    let marker = if matches!(mode, 5 | 7) && transport.configuration.blocks() > 0 { 2 } else { 0 };
    walk.until(body_at.saturating_sub(marker), "extension and message counter");
}

fn body(walk: &mut Walk, telegram: &Telegram<'_>, learned: &Learned, body_at: usize) {
    let Ok((items, layout)) = telegram.items(learned) else { return };
    let compact = telegram.application == Application::Compact;
    if compact {
        let word = layout.map_or("", wmbus::compact::Source::word).replace('_', " ");
        walk.take(2, format!("format signature, layout {word}"));
        walk.take(2, "CRC of the full frame: fits");
    }
    for item in items.map_while(Result::ok) {
        match item {
            Item::Filler { .. } => walk.filler(),
            Item::Manufacturer { bytes, .. } => {
                walk.take(bytes.len() + 1, "only the manufacturer can read this");
            }
            Item::Record(record) => {
                let heads = if compact { 0 } else { record.header.bytes.len() };
                let clear = !compact
                    && telegram.security.scheme != Scheme::None
                    && walk.at - body_at >= telegram.protected;
                let note = if clear { "  (in the clear: nothing vouches for it)" } else { "" };
                walk.take(heads + record.data.len(), format!("{}{note}", record_words(&record)));
            }
        }
    }
}

fn record_words(record: &wmbus::Record<'_>) -> String {
    let mut words = format!("{HEAD}{}{HEAD:#}", record.quantity.word().replace('_', " "));
    let function = record.header.function.word();
    if function != "instantaneous" {
        words.push_str(&format!(", {}", function.replace('_', " ")));
    }
    for (name, number) in [
        ("storage", record.header.storage),
        ("tariff", record.header.tariff.into()),
        ("subunit", record.header.subunit.into()),
    ] {
        if number != 0 {
            words.push_str(&format!(", {name} {number}"));
        }
    }
    if record.modifiers.backward {
        words.push_str(", backward");
    }
    if let Some(bytes) = record.manufacturer_extensions() {
        words.push_str(&format!(" {}", hex(bytes)));
    }
    let value = match record.value {
        Value::Number(number) => number.to_string(),
        Value::Date(date) => date.to_string(),
        Value::DateTime(moment) => moment.to_string(),
        Value::Time(time) => time.to_string(),
        Value::Text(text) => format!("“{text}”"),
        Value::Bytes(bytes) => hex(bytes),
        Value::Absent(why) => format!("no value ({})", why.words()),
    };
    format!("{words}: {value} {}", record.unit).trim_end().to_owned()
}

fn summary(out: &mut String, decoded: &Decoded) -> fmt::Result {
    if let Some(security) = &decoded.security {
        let verified =
            if security.verified.is_empty() { "nothing".to_owned() } else { security.verified.join(", ") };
        writeln!(out, "  {HEAD}security{HEAD:#}  {}; verified: {verified}", security.mode.replace('_', " "))?;
    }
    if let Some(reading) = &decoded.reading {
        writeln!(out, "  {HEAD}reading{HEAD:#}   {}", reading.family)?;
        for measure in &reading.measures {
            let period = if measure.period == "now" { "" } else { measure.period };
            let statistic = if measure.statistic == "actual" { "" } else { measure.statistic };
            let name = [statistic, measure.what, period].map(|word| word.replace('_', " ")).join(" ");
            let value = measure.value.as_deref().unwrap_or("none");
            let unit = measure.value.as_ref().and(measure.unit).unwrap_or_default();
            writeln!(out, "{}", format!("    {:<40} {value} {unit}", name.trim()).trim_end())?;
        }
        if let Some(codes) = &reading.info_codes {
            let style = if codes.is_empty() { GOOD } else { BAD };
            let text = if codes.is_empty() { "none".to_owned() } else { codes.join(", ").replace('_', " ") };
            writeln!(out, "    {:<40} {style}{text}{style:#}", "info codes")?;
        }
        for duration in &reading.durations {
            let name = format!("{} in the last 30 days", duration.code.replace('_', " "));
            writeln!(out, "    {name:<40} {}", duration.range)?;
        }
    }
    for problem in &decoded.problems {
        writeln!(out, "  {BAD}!{BAD:#} {problem}")?;
    }
    Ok(())
}
