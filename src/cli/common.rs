//! What the reporting commands share: their arguments, whom they ask, how they print.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use messages::Time;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::exit;
use crate::config::Config;
use crate::halves::control::{AskError, ask};
use crate::halves::questions::{OfCollect, OfDeliver};
use crate::store::StoreError;
use crate::world::Clock;

/// The arguments of every command that reports.
#[derive(Debug, Args)]
pub(super) struct Common {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", global = true, default_value = super::CONFIG)]
    pub(super) config: PathBuf,

    /// One JSON object instead of text
    #[arg(long, global = true)]
    pub(super) json: bool,
}

/// The exit code of a command that gave one, or said why it could not run.
pub(super) fn finish(name: &str, done: Result<u8, String>) -> u8 {
    done.unwrap_or_else(|reason| {
        // A reason may repeat what a file or another machine said.
        let _ = writeln!(io::stderr(), "vesigate {name}: {}", printable_lines(&reason));
        exit::USAGE
    })
}

/// Without what would move a terminal's cursor, or turn the direction of what is written.
pub(super) fn printable(text: &str) -> String {
    let moves = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|letter| if moves(letter) { ' ' } else { letter }).collect()
}

/// The same for a text of several lines.
pub(super) fn printable_lines(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// A new file for its owner only: what is written here may be personal data.
pub(super) fn new_file(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

/// Why a new file cannot be made or written.
pub(super) fn not_made(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            format!("{} is there already: remove it, or write another name", path.display())
        }
        _ => format!("{} cannot be written: {error}", path.display()),
    }
}

/// For what takes long before it writes: refuses a file that is there at once.
pub(super) fn must_be_new(path: Option<&Path>) -> Result<(), String> {
    match path.filter(|path| path.symlink_metadata().is_ok()) {
        Some(path) => Err(not_made(path, &io::ErrorKind::AlreadyExists.into())),
        None => Ok(()),
    }
}

/// Writes a text into a new file.
pub(super) fn write_new(path: &Path, text: &str) -> Result<(), String> {
    let written = new_file(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| not_made(path, &error))
}

/// Asks the receiving half; `None` if it does not run.
pub(super) fn ask_collect<A: DeserializeOwned>(
    config: &Config,
    question: &OfCollect,
) -> Result<Option<A>, String> {
    ask_half(&config.status.collect_sockets(), question)
}

/// Asks the delivering half; `None` if it does not run.
pub(super) fn ask_deliver<A: DeserializeOwned>(
    config: &Config,
    question: &OfDeliver,
) -> Result<Option<A>, String> {
    ask_half(&config.status.deliver_sockets(), question)
}

fn ask_half<A: DeserializeOwned>(sockets: &Path, question: &impl Serialize) -> Result<Option<A>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(|error| error.to_string())?.block_on(ask(&sockets.join("control.sock"), question)) {
        Ok(answer) => Ok(Some(answer)),
        Err(AskError::Io(io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)) => Ok(None),
        Err(AskError::Io(io::ErrorKind::PermissionDenied)) => Err(NOT_ALLOWED.to_owned()),
        Err(error) => Err(format!("the gateway runs, but {error}")),
    }
}

/// What whoever may not ask or read is told.
pub(super) const NOT_ALLOWED: &str =
    "not allowed: run it with sudo, or as a member of the group vesigate (sudo usermod -aG vesigate $USER)";

/// Opens a store's file, or says why that cannot be. `None` where there is none yet.
pub(super) fn open_store<T>(
    file: &Path,
    open: impl FnOnce() -> Result<T, StoreError>,
) -> Result<Option<T>, String> {
    match File::open(file) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(format!("{}: {NOT_ALLOWED}", file.display()));
        }
        Err(error) => return Err(format!("{}: {error}", file.display())),
    }
    match open() {
        Ok(store) => Ok(Some(store)),
        Err(StoreError::Absent) => Err(format!(
            "{} cannot be read by this user while the gateway is stopped: run it with sudo",
            file.display()
        )),
        Err(error) => Err(format!("{}: {error}", file.display())),
    }
}

/// Prints; a reader who has seen enough is no error. Colours stay only where a terminal shows them.
pub(super) fn print(text: &str) -> Result<(), String> {
    match anstream::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.to_string()),
        _ => Ok(()),
    }
}

/// Prints one JSON object on a line.
pub(super) fn print_json(value: &impl Serialize) -> Result<(), String> {
    print(&(serde_json::to_string(value).map_err(|error| error.to_string())? + "\n"))
}

/// The time now, as the machine has it: what runs is asked first where that matters.
pub(super) fn now() -> Time {
    Time::from_unix(Clock::system().kernel()).unwrap_or(Time::MIN)
}

/// So many seconds earlier.
pub(super) fn before(time: Time, seconds: i64) -> Time {
    Time::from_unix(time.unix().saturating_sub(seconds)).unwrap_or(Time::MIN)
}

/// The gateway's own time zone.
#[derive(Clone, Debug)]
pub(super) struct Zone(TimeZone);

impl Zone {
    /// The configuration's; UTC where the machine does not know that one.
    pub(super) fn of(config: &Config) -> Self {
        Self(TimeZone::get(config.gateway.zone.as_str()).unwrap_or(TimeZone::UTC))
    }

    /// `2026-11-24 14:05`.
    pub(super) fn minute(&self, time: Time) -> String {
        self.format(time, "%Y-%m-%d %H:%M")
    }

    /// `Tue 24 Nov 14:00`.
    pub(super) fn hour(&self, time: Time) -> String {
        self.format(time, "%a %d %b %H:%M")
    }

    fn format(&self, time: Time, form: &str) -> String {
        let moment = Timestamp::from_second(time.unix()).unwrap_or(Timestamp::UNIX_EPOCH);
        self.0.to_datetime(moment).strftime(form).to_string()
    }

    /// Reads a moment: RFC 3339, a date with a time of day, or a date.
    pub(super) fn parse(&self, text: &str) -> Option<Time> {
        let text = text.trim();
        if let Ok(moment) = text.parse::<Timestamp>() {
            return Time::from_unix(moment.as_second());
        }
        let local: Option<jiff::civil::DateTime> = text.parse().ok();
        let local = local.or_else(|| {
            Some(text.parse::<jiff::civil::Date>().ok()?.to_datetime(jiff::civil::Time::midnight()))
        });
        Time::from_unix(self.0.to_timestamp(local?).ok()?.as_second())
    }
}

/// `2 min`, `5 h`, `3 days`.
pub(super) fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// How long ago something was.
pub(super) fn ago(then: Time, now: Time) -> u64 {
    u64::try_from(now.unix().saturating_sub(then.unix())).unwrap_or_default()
}

/// `512 B`, `40 kB`, `12 MB`.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{} kB", bytes / 1000),
        10_000_000..10_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{} GB", bytes / 1_000_000_000),
    }
}

/// At most `most` characters of a text; what is left out is shown as `…`.
pub(super) fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// `text` behind `head`, in lines that fit a terminal of 80 columns; further lines begin below the text.
pub(super) fn wrapped(head: &str, text: &str) -> String {
    let indent = head.chars().count().min(16);
    let mut out = head.to_owned();
    let mut column = head.chars().count();
    for (index, word) in text.split(' ').enumerate() {
        let width = word.chars().count();
        if index > 0 && column.saturating_add(width) >= WIDTH && !word.is_empty() {
            out.truncate(out.trim_end().len());
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if index > 0 {
            out.push(' ');
            column = column.saturating_add(1);
        }
        out.push_str(word);
        column = column.saturating_add(width);
    }
    out
}

const WIDTH: usize = 80;

/// How something is coloured where there are colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    Green,
    Yellow,
    Red,
    Dim,
    Bold,
}

/// A text in a colour.
pub(super) fn paint(colour: Colour, text: &str) -> String {
    let style = match colour {
        Colour::Green => anstyle::AnsiColor::Green.on_default(),
        Colour::Yellow => anstyle::AnsiColor::Yellow.on_default(),
        Colour::Red => anstyle::AnsiColor::Red.on_default().bold(),
        Colour::Dim => anstyle::Style::new().dimmed(),
        Colour::Bold => anstyle::Style::new().bold(),
    };
    format!("{style}{text}{style:#}")
}

/// Columns that are as wide as what stands in them.
#[derive(Debug)]
pub(super) struct Table {
    /// The head of each column, and whether it is aligned to the right.
    columns: Vec<(&'static str, bool)>,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    cells: Vec<String>,
    /// The colour of the first cell.
    colour: Option<Colour>,
    below: Vec<String>,
}

impl Table {
    /// A head that begins with `>` belongs to a column of numbers.
    pub(super) fn new(heads: &[&'static str]) -> Self {
        let column = |head: &&'static str| head.strip_prefix('>').map_or((*head, false), |head| (head, true));
        Self { columns: heads.iter().map(column).collect(), rows: Vec::new() }
    }

    /// Names come from lists that anybody may have written: what is no letter does not reach the terminal.
    pub(super) fn row(&mut self, cells: Vec<String>, colour: Option<Colour>) {
        let cells = cells.iter().map(|cell| printable(cell)).collect();
        self.rows.push(Row { cells, colour, below: Vec::new() });
    }

    /// A line below the last row.
    pub(super) fn below(&mut self, line: &str) {
        self.below_in(line, None);
    }

    /// A line below the last row, in a colour.
    pub(super) fn below_in(&mut self, line: &str, colour: Option<Colour>) {
        if let Some(row) = self.rows.last_mut() {
            let line = printable(line);
            row.below.push(colour.map_or_else(|| line.clone(), |colour| paint(colour, &line)));
        }
    }

    pub(super) fn text(&self) -> String {
        let width = |at: usize, head: &str| {
            let cells = self.rows.iter().filter_map(|row| row.cells.get(at));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(head.chars().count())
        };
        let widths: Vec<usize> =
            self.columns.iter().enumerate().map(|(at, (head, _))| width(at, head)).collect();
        let mut text = String::new();
        if self.columns.iter().any(|(head, _)| !head.is_empty()) {
            let heads: Vec<String> = self.columns.iter().map(|(head, _)| (*head).to_owned()).collect();
            let line = self.line(&heads, &widths);
            let _ = writeln!(text, "{}", paint(Colour::Dim, &line));
        }
        for row in &self.rows {
            let line = self.line(&row.cells, &widths);
            let first = row.cells.first().map_or(0, String::len);
            match (row.colour, line.split_at_checked(first)) {
                (Some(colour), Some((first, rest))) => {
                    let _ = writeln!(text, "{}{rest}", paint(colour, first));
                }
                _ => {
                    let _ = writeln!(text, "{line}");
                }
            }
            for below in &row.below {
                let _ = writeln!(text, "{below}");
            }
        }
        text
    }

    fn line(&self, cells: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for ((cell, (_, right)), width) in cells.iter().zip(&self.columns).zip(widths) {
            let _ = if *right { write!(line, "{cell:>width$}  ") } else { write!(line, "{cell:<width$}  ") };
        }
        line.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_numbers_stand_right() {
        let mut table = Table::new(&["Name", ">Litres"]);
        table.row(vec!["Äijälä".to_owned(), "7".to_owned()], None);
        table.row(vec!["B".to_owned(), "1234567".to_owned()], None);
        table.below("  why");
        let lines: Vec<String> = table.text().lines().skip(1).map(str::to_owned).collect();
        assert_eq!(lines, ["Äijälä        7", "B       1234567", "  why"]);
    }

    #[test]
    fn a_name_does_not_move_the_cursor_of_the_terminal_that_shows_it() {
        let bad = "Kuja\u{1b}[2J 1\u{9b}31m\r\u{202e}x\n";
        let mut table = Table::new(&["Name"]);
        table.row(vec![bad.to_owned()], None);
        table.below(bad);
        let shown = table.text();
        let lines: Vec<&str> = shown.lines().skip(1).collect();
        assert_eq!(lines, ["Kuja [2J 1 31m  x", "Kuja [2J 1 31m  x "]);
    }

    #[test]
    fn a_new_file_is_its_owners_and_one_that_is_there_stays() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("export.csv");
        must_be_new(Some(&file)).unwrap();
        write_new(&file, "Aino").unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        for refused in [write_new(&file, "x"), must_be_new(Some(&file))] {
            assert!(refused.unwrap_err().contains("is there already"));
        }
        assert_eq!(std::fs::read(&file).unwrap(), b"Aino");
    }

    #[test]
    fn moments_are_read_in_the_gateways_own_zone() {
        let zone = Zone(TimeZone::get("Europe/Helsinki").unwrap());
        let read = |text: &str| zone.parse(text).map(|time| time.to_string());
        assert_eq!(read("2026-11-24").as_deref(), Some("2026-11-23T22:00:00Z"));
        assert_eq!(read("2026-11-24 14:05").as_deref(), Some("2026-11-24T12:05:00Z"));
        assert_eq!(read("2026-11-24T14:05:00Z").as_deref(), Some("2026-11-24T14:05:00Z"));
        assert_eq!(read("yesterday"), None);
        assert_eq!(zone.minute("2026-07-01T12:00:00Z".parse().unwrap()), "2026-07-01 15:00");
    }

    #[test]
    fn long_texts_fit_a_terminal_of_eighty_columns() {
        let text = wrapped("  refused   ", &"many words ".repeat(30));
        assert!(text.lines().count() > 3);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(
            text.lines()
                .skip(1)
                .all(|line| line.starts_with("            m") || line.starts_with("            w"))
        );
        assert_eq!(wrapped("", "short"), "short");
    }
}
