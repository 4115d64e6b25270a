//! Which meters there are: those that are expected, and those that the store or the running half knows.

use std::collections::{BTreeMap, BTreeSet};

use messages::MeterId;
use wmbus::Meter;

use super::common::ask_collect;
use crate::config::{Config, ListedMeter, MeterList};
use crate::halves::questions::{KEYS_AT_ONCE, KeyMark, OfCollect};
use crate::health::heard::{HeardMeter, HeardPage};
use crate::keyring::Selector;

/// So many pages of heard meters are asked for at most.
const PAGES: usize = 1500;

/// The meter list that the configuration names; an empty one if it names none.
pub(super) fn meter_list(config: &Config) -> Result<MeterList, String> {
    let Some(path) = &config.meter_list else { return Ok(MeterList::default()) };
    MeterList::load(path, &config.contacts).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        lines.join("\n")
    })
}

/// Every meter that the running half has heard; `None` if it does not run.
pub(super) fn heard(config: &Config) -> Result<Option<Vec<HeardMeter>>, String> {
    let mut all = Vec::new();
    let mut after = None;
    for _ in 0..PAGES {
        let Some(page) = ask_collect::<HeardPage>(config, &OfCollect::Heard { after })? else {
            return Ok(None);
        };
        all.extend(page.meters);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    Ok(Some(all))
}

/// Whose keys the running half has; none while it does not run: its file is sealed.
pub(super) fn keys(config: &Config) -> Result<Vec<Selector>, String> {
    let mut names: Vec<String> = Vec::new();
    loop {
        let after = names.last().cloned();
        let page: Option<Vec<KeyMark>> = ask_collect(config, &OfCollect::KeysList { after })?;
        let page = page.unwrap_or_default();
        let more = page.len() >= KEYS_AT_ONCE;
        names.extend(page.into_iter().map(|mark| mark.meter));
        if !more {
            return Ok(names.iter().filter_map(|name| name.parse().ok()).collect());
        }
    }
}

/// What people may call a meter by.
#[derive(Debug)]
pub(super) struct Names<'a> {
    list: &'a MeterList,
    known: BTreeSet<MeterId>,
}

impl<'a> Names<'a> {
    pub(super) fn new(list: &'a MeterList, known: impl IntoIterator<Item = MeterId>) -> Self {
        Self { list, known: known.into_iter().collect() }
    }

    /// The list's row for a meter.
    pub(super) fn listed(&self, meter: MeterId) -> Option<&'a ListedMeter> {
        self.list.get(address(meter)?)
    }

    /// `76348799 Aino Kuja 1`: the meter as a person would say it.
    pub(super) fn say(&self, meter: MeterId) -> String {
        match self
            .listed(meter)
            .and_then(|listed| listed.name.as_deref().or(listed.metering_point.as_deref()))
        {
            Some(name) => format!("{} {name}", meter.serial()),
            None => meter.to_string(),
        }
    }

    /// The meter that a text means: its number, address, name or metering point; a part of a name will do where only
    /// one has it.
    pub(super) fn find(&self, text: &str) -> Result<MeterId, String> {
        let wanted = text.trim().to_lowercase();
        let all = || self.known.iter().copied();
        let by_number: Vec<MeterId> = Selector::parse_padded(&text.trim().to_uppercase()).map_or_else(
            |_| Vec::new(),
            |selector| {
                all().filter(|meter| address(*meter).is_some_and(|meter| selector.matches(meter))).collect()
            },
        );
        let fits = |fit: &dyn Fn(&str) -> bool| -> Vec<MeterId> {
            all()
                .filter(|meter| {
                    let texts = self.listed(*meter).map(|listed| [&listed.name, &listed.metering_point]);
                    texts.into_iter().flatten().flatten().any(|text| fit(&text.to_lowercase()))
                })
                .collect()
        };
        let found = [by_number, fits(&|text| text == wanted), fits(&|text| text.contains(&wanted))];
        let found = found.into_iter().find(|found| !found.is_empty()).unwrap_or_default();
        match found.as_slice() {
            [meter] => Ok(*meter),
            [] => Err(self.none(text)),
            several => Err(self.several(text, several)),
        }
    }

    fn none(&self, text: &str) -> String {
        let listed = Selector::parse_padded(text)
            .is_ok_and(|wanted| self.list.iter().any(|(selector, _)| selector.serial() == wanted.serial()));
        if listed {
            return format!(
                "{text} is on the meter list, but nothing of it has been stored yet: see `vesigate meters`"
            );
        }
        format!(
            "no meter with a reading is called {text:?} ({} are known): write its number, its name or its metering \
             point as `vesigate meters` shows it",
            self.known.len()
        )
    }

    fn several(&self, text: &str, several: &[MeterId]) -> String {
        let mut lines = format!("{text:?} may be any of {}; write one of these numbers:", several.len());
        for meter in several.iter().take(20) {
            lines.push_str(&format!("\n  {meter}  {}", self.say(*meter)));
        }
        lines
    }
}

/// A meter's address on the radio.
pub(super) fn address(meter: MeterId) -> Option<Meter> {
    meter.as_str().parse().ok()
}

/// Expected meters by the selector they are expected by, with the addresses known to fit it.
pub(super) fn by_selector(
    selectors: impl IntoIterator<Item = Selector>,
    known: &BTreeSet<MeterId>,
) -> BTreeMap<Selector, Vec<MeterId>> {
    let mut fitting: BTreeMap<Selector, Vec<MeterId>> =
        selectors.into_iter().map(|selector| (selector, Vec::new())).collect();
    for meter in known {
        // The most specific selector has it.
        let of = address(*meter).map(Selector::candidates).into_iter().flatten();
        if let Some(selector) = of.into_iter().find(|selector| fitting.contains_key(selector))
            && let Some(meters) = fitting.get_mut(&selector)
        {
            meters.push(*meter);
        }
    }
    fitting
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> MeterList {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("meters.csv");
        std::fs::write(
            &path,
            "id,name,metering_point\n76348799,Kuja 1 A,MP-1\nKAM.76348800,Kuja 1 B,MP-11\n99,Rinne,\n",
        )
        .unwrap();
        MeterList::load(&path, &[]).unwrap()
    }

    #[test]
    fn a_meter_is_found_by_number_address_name_and_metering_point() {
        let list = list();
        let (a, b): (MeterId, MeterId) =
            ("KAM.76348799.1B.16".parse().unwrap(), "KAM.76348800.1B.16".parse().unwrap());
        let names = Names::new(&list, [a, b]);
        for text in ["76348799", "KAM.76348799", "kam.76348799.1b.16", "kuja 1 a", "MP-1", "1 a"] {
            assert_eq!(names.find(text), Ok(a), "{text}");
        }
        let several = names.find("kuja").unwrap_err();
        assert!(several.contains("any of 2") && several.contains("76348800 Kuja 1 B"), "{several}");
        assert!(names.find("99").unwrap_err().contains("nothing of it has been stored"));
        assert!(names.find("Koivu").unwrap_err().contains("vesigate meters"));
    }

    #[test]
    fn the_most_specific_selector_has_a_meter() {
        let known: BTreeSet<MeterId> =
            ["KAM.76348799.1B.16", "KAW.76348799.1B.16"].map(|id| id.parse().unwrap()).into();
        let selectors: [Selector; 2] = ["76348799".parse().unwrap(), "KAM.76348799".parse().unwrap()];
        let fitting = by_selector(selectors, &known);
        let of = |text: &str| {
            fitting[&text.parse::<Selector>().unwrap()].iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(of("76348799"), ["KAW.76348799.1B.16"]);
        assert_eq!(of("KAM.76348799"), ["KAM.76348799.1B.16"]);
    }
}
