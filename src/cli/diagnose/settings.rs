//! The configuration in a support bundle, and the names that it and the meter list hold. Both may be wrong: that is why
//! somebody asks for help.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::mask::Mask;

/// Sections, as far as their first word.
const SECTIONS: [&str; 13] = [
    "gateway",
    "receiver",
    "feed",
    "detect",
    "keys",
    "meters",
    "collect",
    "uplink",
    "mail",
    "alarm",
    "contact",
    "status",
    "home_assistant",
];

/// Keys whose texts may be shown, and the section they stand in if only there.
const SHOWN: &[(&str, Option<&str>)] = &[
    ("data_dir", None),
    ("language", None),
    ("zone", None),
    ("clock", None),
    ("path", Some("receiver")),
    ("kind", Some("receiver")),
    ("modes", Some("receiver")),
    ("baud", Some("receiver")),
    ("silent_after", Some("receiver")),
    ("silent_after", Some("feed")),
    ("format", Some("feed")),
    ("file", None),
    ("seal_file", None),
    ("block_every", None),
    ("block_rows", None),
    ("default_q4", None),
    ("store_budget", None),
    ("keep_acknowledged", None),
    ("keep_at_most", None),
    ("port", None),
    ("window", None),
    ("acknowledge", None),
    ("keep_alive", None),
    ("progress_timeout", None),
    ("security", None),
    ("timeout", None),
    ("sockets", None),
    ("metrics", None),
    ("prefix", None),
    ("utility", Some("gateway")),
    ("name", Some("gateway")),
    ("name", Some("feed")),
];

/// Keys whose texts are names of people, places and machines.
const NAMES: [&str; 8] = ["name", "email", "host", "connect", "server", "from", "reply_to", "user"];

/// More than a meter list may have.
const MOST_BYTES: u64 = 32 << 20;

/// A configuration file without comments and without anything that is not known to be harmless.
pub(super) fn config(text: &str, mask: &Mask) -> String {
    let mut masked = String::new();
    let mut section = String::new();
    let mut open = Open::default();
    for line in text.lines().map(str::trim) {
        let shown = if open.is_open() {
            open.go_on(line);
            "<masked>".to_owned()
        } else if line.is_empty() || line.starts_with('#') {
            continue;
        } else if let Some(head) = head(line) {
            head.trim_matches(['[', ']']).clone_into(&mut section);
            mask.text(head)
        } else if let Some((key, value)) = line.split_once('=') {
            let (key, value) = (key.trim(), value.trim());
            open.go_on(value);
            format!("{} = {}", mask.text(key), mask.text(&shown(&section, key, value)))
        } else {
            "<masked>".to_owned()
        };
        masked.push_str(&shown);
        masked.push('\n');
    }
    masked
}

/// `[section]` or `[[section]]`, if it is one of ours.
fn head(line: &str) -> Option<&str> {
    let line = line.split('#').next().unwrap_or_default().trim();
    let bare = line.strip_prefix('[')?.strip_suffix(']')?;
    let bare = bare.strip_prefix('[').and_then(|bare| bare.strip_suffix(']')).unwrap_or(bare);
    let mut words = bare.split('.');
    let ours = words.next().is_some_and(|word| SECTIONS.contains(&word));
    let plain =
        |word: &str| word.len() <= 30 && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    (ours && words.all(plain)).then_some(line)
}

fn shown(section: &str, key: &str, value: &str) -> String {
    let bare = value.split('#').next().unwrap_or_default().trim();
    if bare == "true" || bare == "false" {
        return bare.to_owned();
    }
    let known = SHOWN.iter().any(|(name, only)| *name == key && only.is_none_or(|only| only == section));
    let number = !bare.is_empty() && bare.len() <= 10 && bare.bytes().all(|byte| byte.is_ascii_digit());
    if known && number {
        return bare.to_owned();
    }
    let quoted = value.strip_prefix('"').and_then(|value| value.split('"').next());
    match quoted.filter(|text| known && !text.is_empty()) {
        Some(text) => format!("\"{text}\""),
        None => "<masked>".to_owned(),
    }
}

/// A value that goes on over several lines: nothing in it is a key or a section, whatever it looks like.
#[derive(Debug, Default)]
struct Open {
    /// Of a text of several lines: what ends it.
    text: Option<&'static str>,
    /// Lists that are open.
    lists: usize,
}

impl Open {
    const fn is_open(&self) -> bool {
        self.text.is_some() || self.lists > 0
    }

    fn go_on(&mut self, mut line: &str) {
        loop {
            if let Some(end) = self.text {
                let Some((_, rest)) = line.split_once(end) else { return };
                (self.text, line) = (None, rest);
            }
            let Some(at) = line.find(['"', '\'', '[', ']', '#']) else { return };
            let rest = line.get(at..).unwrap_or_default();
            if let Some(long) = ["\"\"\"", "'''"].into_iter().find(|long| rest.starts_with(long)) {
                (self.text, line) = (Some(long), rest.get(3..).unwrap_or_default());
                continue;
            }
            let mut letters = rest.chars();
            match letters.next() {
                Some('[') => self.lists = self.lists.saturating_add(1),
                Some(']') => self.lists = self.lists.saturating_sub(1),
                Some('#') => return,
                // A text of one line ends with it.
                Some(quote) => match letters.as_str().split_once(quote) {
                    Some((_, behind)) => letters = behind.chars(),
                    None => return,
                },
                None => return,
            }
            line = letters.as_str();
        }
    }
}

/// The names in a configuration, however wrong the rest of it is. The gateway's own may show.
pub(super) fn names(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut section = String::new();
    for line in text.lines().map(str::trim) {
        if let Some(head) = head(line) {
            head.trim_matches(['[', ']']).clone_into(&mut section);
        }
        // What a gateway or a feed is called is nobody's name.
        let own = |key: &str| section == "gateway" || section == "feed" && key == "name";
        for key in NAMES.into_iter().filter(|key| !own(key)) {
            for text in quoted_after(line, key) {
                // `pump.example.org:4321`
                names.extend(text.rsplit_once(':').map(|(host, _)| host.to_owned()));
                // `Waterworks <alarm@example.org>`
                names.extend(text.split(['<', '>']).map(|part| part.trim().to_owned()));
                names.push(text.to_owned());
            }
        }
    }
    names
}

/// Where the meter list is, as far as that can be read.
pub(super) fn list_file(text: &str) -> Option<PathBuf> {
    let mut section = "";
    for line in text.lines().map(str::trim) {
        if let Some(head) = head(line) {
            section = head.trim_matches(['[', ']']);
        }
        if section == "meters"
            && let Some(path) = quoted_after(line, "file").next()
        {
            return Some(PathBuf::from(path));
        }
    }
    None
}

/// The texts behind a key, wherever it stands in a line.
fn quoted_after<'a>(line: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    line.match_indices(key).filter_map(move |(at, _)| {
        let before = line.get(..at)?.chars().next_back();
        let rest = line.get(at + key.len()..)?.trim_start().strip_prefix('=')?.trim_start();
        let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        let text = rest.trim_start_matches(quote).split(quote).next()?;
        (!before.is_some_and(|before| before.is_alphanumeric() || before == '_')).then_some(text)
    })
}

/// The names in a meter list, of every row that can be read at all.
pub(super) fn names_in_list(path: &Path) -> Vec<String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes));
    if read.is_err() {
        return Vec::new();
    }
    let text = String::from_utf8_lossy(&bytes);
    let first = text.trim_start_matches('\u{feff}').lines().next().unwrap_or_default();
    let delimiter = if first.contains(';') { ';' } else { ',' };
    let columns: Vec<usize> = first
        .split(delimiter)
        .map(|head| head.trim().trim_matches('"').to_lowercase().replace([' ', '-'], "_"))
        .enumerate()
        .filter(|(_, head)| matches!(head.as_str(), "name" | "metering_point"))
        .map(|(at, _)| at)
        .collect();
    // Line by line, since an open quotation mark must not hide what follows.
    let mut names = Vec::new();
    for line in text.lines() {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(u8::try_from(delimiter).unwrap_or(b','))
            .has_headers(false)
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(line.as_bytes());
        for (at, cell) in reader
            .records()
            .flatten()
            .flat_map(|row| row.iter().map(str::to_owned).enumerate().collect::<Vec<_>>())
        {
            // Where no head says what the columns are, any text may be a name.
            if columns.contains(&at) || (columns.is_empty() && cell.chars().any(char::is_alphabetic)) {
                names.push(cell);
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "000102030405060708090A0B0C0D0E0F";

    #[test]
    fn of_the_configuration_only_what_is_known_to_be_harmless_shows() {
        let text = format!(
            "# password: hunter2\n[gateway]\nname = \"gw-7\" # mine\nzone = \"Europe/Helsinki\"\n[uplink]\nport = 8883\nenabled = true\n\
             user = \"me\"\npassword = 12345678\npassword_file = \"{KEY}\"\n[[contact]]\nname = \"aino\"\nemail = \"aino@example.fi\"\ncodes = [\n  \"leak\",\n]\n"
        );
        let masked = config(&text, &Mask::new([]));
        assert_eq!(
            masked,
            "[gateway]\nname = \"gw-7\"\nzone = \"Europe/Helsinki\"\n[uplink]\nport = 8883\nenabled = true\n\
             user = <masked>\npassword = <masked>\npassword_file = <masked>\n[[contact]]\nname = <masked>\nemail = <masked>\ncodes = <masked>\n<masked>\n<masked>\n"
        );
        let feeds = "[[feed]]\nname = \"roof\"\ncommand = \"get -p hunter2\"\n[[feed]]\nconnect = \"pump.vesi.example:1\"\nformat = \"hex\"\n";
        let masked = config(feeds, &Mask::new(names(feeds)));
        assert_eq!(
            masked,
            "[[feed]]\nname = \"roof\"\ncommand = <masked>\n[[feed]]\nconnect = <masked>\nformat = \"hex\"\n"
        );
        let said = Mask::new(names(feeds)).text("feed roof: pump.vesi.example:1 and pump.vesi.example");
        assert_eq!(said, "feed roof: <name> and <name>");
    }

    #[test]
    fn nothing_in_a_value_of_several_lines_and_no_key_in_a_harmless_place_shows() {
        let secrets = ["hunter2", "Kuja", &KEY.to_lowercase(), KEY];
        let lower = KEY.to_lowercase();
        let text = format!(
            "[gateway]\nzone = \"{KEY}\"\nname = \"\"\"\nhunter2 = true\n[gateway]\ndata_dir = \"hunter2\"\n\"\"\"\n\
             [contact]\ncodes = [\n[\"hunter2\"], # ]\n[gateway]\nname = \"Kuja 1\"\n]\n[{lower}]\n{KEY} = true\n[meters]\nfile = \"/etc/x.csv\"\n"
        );
        let masked = config(&text, &Mask::new([]));
        for secret in secrets {
            assert!(!masked.contains(secret), "{secret}: {masked}");
        }
        assert!(masked.ends_with("[meters]\nfile = \"/etc/x.csv\"\n"), "{masked}");
    }

    #[test]
    fn names_are_found_in_files_that_are_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("meters.csv");
        let text = format!(
            "[gateway]\nname = \"gw-7\"\n[uplink]\nhost = 'broker.vesi.example'\nprot = \n[[contact]\n\
             contact = [{{ name = \"virtanen\", email=\"Aino <aino@example.fi>\" }}]\n[meters]\nfile = \"{}\"\n",
            list.display()
        );
        let found = names(&text);
        for name in ["broker.vesi.example", "virtanen", "Aino", "aino@example.fi"] {
            assert!(found.iter().any(|found| found == name), "{name}: {found:?}");
        }
        assert!(!found.iter().any(|found| found == "gw-7"));
        assert_eq!(list_file(&text).as_deref(), Some(list.as_path()));
        std::fs::write(&list, "id;Name\n7634;\"Kuja 1\n76348799x;Polku 2\n76348800;Tie 3;4\n").unwrap();
        let found = names_in_list(&list);
        for name in ["Kuja 1", "Polku 2", "Tie 3"] {
            assert!(found.iter().any(|found| found == name), "{name}: {found:?}");
        }
        std::fs::write(&list, "76348799,Polku 2\n").unwrap();
        assert_eq!(names_in_list(&list), ["Polku 2"]);
        assert!(names_in_list(Path::new("/nowhere")).is_empty());
    }
}
