//! What a new meter list changes against the one in force.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::config::{ListedMeter, MeterList, Name};
use crate::keyring::Selector;

/// What changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// What is new, different or gone, in the order of the meters.
    pub changes: Vec<Change>,
    /// How many stay as they are.
    pub same: usize,
    #[serde(skip)]
    rows: BTreeMap<Selector, ListedMeter>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Of which meter.
    pub id: String,
    /// What happens to it.
    pub what: What,
    /// In which fields, with what was and what will be.
    pub fields: Vec<String>,
}

/// What happens to a meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It was not expected before.
    New,
    /// Something about it is different.
    Changed,
    /// It is expected no longer.
    Gone,
}

impl What {
    const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Gone => "gone",
        }
    }
}

impl Plan {
    /// From `former` to `fresh`. With `keep`, meters that `fresh` does not name stay expected.
    #[must_use]
    pub fn between(former: &MeterList, fresh: &MeterList, keep: bool) -> Self {
        let sorted = |list: &MeterList| -> BTreeMap<Selector, ListedMeter> {
            list.iter().map(|(selector, meter)| (selector, meter.clone())).collect()
        };
        let (former, mut rows) = (sorted(former), sorted(fresh));
        if keep {
            for (selector, meter) in &former {
                rows.entry(*selector).or_insert_with(|| meter.clone());
            }
        }
        let mut plan = Self::default();
        for (selector, meter) in &rows {
            let (what, fields) = match former.get(selector) {
                None => (What::New, told(meter)),
                Some(before) if before == meter => {
                    plan.same = plan.same.saturating_add(1);
                    continue;
                }
                Some(before) => (What::Changed, differences(before, meter)),
            };
            plan.changes.push(Change { id: selector.to_string(), what, fields });
        }
        for selector in former.keys().filter(|selector| !rows.contains_key(selector)) {
            plan.changes.push(Change { id: selector.to_string(), what: What::Gone, fields: Vec::new() });
        }
        plan.rows = rows;
        plan
    }

    /// How many changes of a kind there are.
    #[must_use]
    pub fn count(&self, what: What) -> usize {
        self.changes.iter().filter(|change| change.what == what).count()
    }

    /// The counts in a sentence.
    #[must_use]
    pub fn sums(&self) -> String {
        format!(
            "{} new, {} changed, {} gone, {} the same",
            self.count(What::New),
            self.count(What::Changed),
            self.count(What::Gone),
            self.same
        )
    }

    /// The changes, a line each; of many only the first.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for change in self.changes.iter().take(MOST_SHOWN) {
            let fields = change.fields.join(", ");
            text += format!("  {:<7} {:<19} {fields}", change.what.as_str(), change.id).trim_end();
            text.push('\n');
        }
        if self.changes.len() > MOST_SHOWN {
            text += &format!("  and {} more\n", self.changes.len().saturating_sub(MOST_SHOWN));
        }
        text + &self.sums() + "\n"
    }

    /// The list that is to be in force, as a file: what the gateway needs, nothing else that stood in the file given.
    ///
    /// # Errors
    /// None that is known: it is written to memory.
    pub fn csv(&self) -> Result<String, String> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let head = ["id", "name", "metering_point", "q4", "contacts"];
        writer.write_record(head).map_err(|error| error.to_string())?;
        for (selector, meter) in &self.rows {
            let row = [
                selector.to_string(),
                meter.name.as_deref().unwrap_or_default().to_owned(),
                meter.metering_point.as_deref().unwrap_or_default().to_owned(),
                q4(meter).unwrap_or_default(),
                contacts(meter),
            ];
            writer.write_record(row).map_err(|error| error.to_string())?;
        }
        let bytes = writer.into_inner().map_err(|error| error.to_string())?;
        String::from_utf8(bytes).map_err(|error| error.to_string())
    }
}

/// More changes than this are counted only.
const MOST_SHOWN: usize = 100;

fn fields(meter: &ListedMeter) -> [(&'static str, String); 4] {
    let text = |text: &Option<Box<str>>| text.as_deref().unwrap_or_default().replace(char::is_control, " ");
    [
        ("name", text(&meter.name)),
        ("metering point", text(&meter.metering_point)),
        ("q4", q4(meter).unwrap_or_default()),
        ("contacts", contacts(meter)),
    ]
}

fn told(meter: &ListedMeter) -> Vec<String> {
    let fields = fields(meter).into_iter().filter(|(_, value)| !value.is_empty());
    fields.map(|(field, value)| format!("{field} {value}")).collect()
}

fn differences(before: &ListedMeter, after: &ListedMeter) -> Vec<String> {
    let or_none = |text: String| if text.is_empty() { "(none)".to_owned() } else { text };
    let both = fields(before).into_iter().zip(fields(after));
    both.filter(|((_, before), (_, after))| before != after)
        .map(|((field, before), (_, after))| format!("{field} {} -> {}", or_none(before), or_none(after)))
        .collect()
}

fn q4(meter: &ListedMeter) -> Option<String> {
    let litres = meter.q4?.as_litres_per_hour();
    let text = format!("{}.{:03}", litres / 1000, litres % 1000);
    Some(text.trim_end_matches('0').trim_end_matches('.').to_owned())
}

fn contacts(meter: &ListedMeter) -> String {
    meter.contacts.iter().map(Name::as_str).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn list(folder: &Path, text: &str) -> MeterList {
        let contact = "[[contact]]\nname = \"on-call\"\nemail = \"a@b.fi\"";
        let contacts = Config::parse(Path::new("x"), contact).unwrap().contacts;
        let file = folder.join("list.csv");
        fs::write(&file, format!("id,name,metering_point,q4,contacts,billing\n{text}")).unwrap();
        MeterList::load(&file, &contacts).unwrap()
    }

    #[test]
    fn a_plan_tells_what_is_new_changed_gone_and_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let former = list(folder.path(), "1,Old name,,,\n2,Same,,2.5,\n3,Gone,,,\n");
        let fresh = list(folder.path(), "1,New name,,4,on-call,x\n2,Same,,2.50,,x\n4,\"Four, five\",MP4,,\n");
        let plan = Plan::between(&former, &fresh, false);
        assert_eq!(
            plan.text(),
            "  changed 00000001            name Old name -> New name, q4 (none) -> 4, contacts (none) -> on-call\n\
             \x20 new     00000004            name Four, five, metering point MP4\n\
             \x20 gone    00000003\n\
             1 new, 1 changed, 1 gone, 1 the same\n"
        );
        assert_eq!(
            plan.csv().unwrap(),
            "id,name,metering_point,q4,contacts\n00000001,New name,,4,on-call\n00000002,Same,,2.5,\n\
             00000004,\"Four, five\",MP4,,\n"
        );
        let kept = Plan::between(&former, &fresh, true);
        assert_eq!((kept.count(What::Gone), kept.same), (0, 2));
    }

    #[test]
    fn a_list_written_and_read_again_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let fresh = list(folder.path(), "1,\"A \"\"b\"\"; c\",MP 1,3.125,on-call\nKAM.00000002.1B.16,,,,\n");
        let plan = Plan::between(&MeterList::default(), &fresh, false);
        let file = folder.path().join("again.csv");
        fs::write(&file, plan.csv().unwrap()).unwrap();
        let contact = "[[contact]]\nname = \"on-call\"\nemail = \"a@b.fi\"";
        let contacts = Config::parse(Path::new("x"), contact).unwrap().contacts;
        let again = MeterList::load(&file, &contacts).unwrap();
        assert_eq!(Plan::between(&fresh, &again, false).sums(), "0 new, 0 changed, 0 gone, 2 the same");
    }
}
