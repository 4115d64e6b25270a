//! `vesigate meters`: every expected meter, green or red, and why.

mod stored;

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use messages::event::{MeterStatus, Reception, Refusal};
use messages::reading::{Code, Role};
use messages::{MeterId, Quantity, Time};
use serde::Serialize;
use wmbus::Meter;
use wmbus::meter::profile;

use self::stored::Stored;
use super::common::{
    Colour, Common, Table, Zone, ago, finish, now, open_store, paint, print, print_json, short, span,
};
use super::known::{self, address, by_selector};
use super::{common, exit};
use crate::collector::open::Protected;
use crate::config::{Config, MeterList};
use crate::halves::questions::OfCollect;
use crate::health::heard::HeardMeter;
use crate::health::status::{CollectStatus, Refusing};
use crate::keyring::Selector;
use crate::store::CollectReader;

/// Show every expected meter: heard or not, opened or not, and why
///
/// Expected are the meters of the meter list and those with a key. While the gateway runs it is
/// asked how it hears them; while it does not, the store tells what was last known.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Meters {
    #[command(flatten)]
    common: Common,

    /// Only those with something wrong
    #[arg(long)]
    red: bool,
}

const AFTER_HELP: &str = "\
Examples:
  vesigate meters
  vesigate meters --red
  vesigate meters --json | jq -r '.meters[] | select(.state != \"ok\") | .id'

States: ok, waiting (nothing known yet), silent, no_key, wrong_key, refused

Exit codes: 0 every meter is well, 1 some are not, 2 it could not run";

/// Not heard for so long, a meter is silent.
const SILENT: u64 = 24 * 3600;

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    /// Whether the receiving half was there to be asked.
    running: bool,
    at: Time,
    expected: usize,
    well: usize,
    meters: Vec<Line>,
}

/// One expected meter.
#[derive(Clone, Debug, Serialize)]
struct Line {
    /// Its address; absent if it was never heard and the list gives its number only.
    id: Option<MeterId>,
    /// As it is listed, or its address.
    listed_as: String,
    name: Option<String>,
    metering_point: Option<String>,
    model: Option<String>,
    state: State,
    /// Why, in words, with what to do.
    why: Option<String>,
    /// When it was last heard.
    heard: Option<Time>,
    heard_ago_s: Option<u64>,
    rssi_dbm: Option<i16>,
    /// The boundary of its last row.
    row: Option<Time>,
    /// The newest register that is known: the volume, or else the meter's first.
    register: Option<Quantity>,
    codes: Vec<Code>,
    /// Telegrams refused since the start, by reason.
    refused: BTreeMap<Refusal, u64>,
    /// Readings that wait until others agree.
    quarantined: u64,
    /// Frames that wait for a key.
    sealed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Ok,
    Waiting,
    Silent,
    NoKey,
    WrongKey,
    Refused,
}

impl State {
    const fn mark(self) -> (&'static str, Colour) {
        match self {
            Self::Ok => ("✓", Colour::Green),
            Self::Waiting => ("…", Colour::Yellow),
            Self::Silent | Self::NoKey | Self::WrongKey | Self::Refused => ("✗", Colour::Red),
        }
    }
}

impl Meters {
    pub(super) fn run(self) -> u8 {
        finish("meters", self.try_run())
    }

    fn try_run(self) -> Result<u8, String> {
        let config = super::load(&self.common.config)?;
        let mut report = Sources::read(&config)?.report();
        let zone = Zone::of(&config);
        let code = if report.well == report.expected { exit::OK } else { exit::REFUSED };
        if self.red {
            report.meters.retain(|line| line.state != State::Ok);
        }
        if self.common.json {
            print_json(&report)?;
        } else {
            print(&report.text(&zone))?;
        }
        Ok(code)
    }
}

/// Everything that is known, from wherever.
struct Sources {
    list: MeterList,
    /// Whose keys there are, as far as the running half says.
    keys: Vec<Selector>,
    running: Option<Running>,
    heard: BTreeMap<MeterId, HeardMeter>,
    stored: Stored,
    at: Time,
}

/// What the receiving half says of itself.
struct Running {
    uptime_s: u64,
    refusing: Vec<Refusing>,
}

impl Sources {
    fn read(config: &Config) -> Result<Self, String> {
        let list = known::meter_list(config)?;
        let status: Option<CollectStatus> = common::ask_collect(config, &OfCollect::Status)?;
        let heard = known::heard(config)?.unwrap_or_default();
        let heard = heard.into_iter().filter_map(|heard| Some((heard.meter.parse().ok()?, heard))).collect();
        let at = status.as_ref().and_then(|status| status.at).unwrap_or_else(now);
        let directory = config.gateway.collect_dir();
        let reader = open_store(&CollectReader::file(&directory), || CollectReader::open(&directory))?;
        let stored = match reader {
            Some(reader) => Stored::read(&reader, at).map_err(|error| error.to_string())?,
            None => Stored::default(),
        };
        let keys = known::keys(config)?;
        let running = status.map(|status| Running { uptime_s: status.uptime_s, refusing: status.refusing });
        Ok(Self { list, keys, running, heard, stored, at })
    }

    fn report(&self) -> Report {
        let expected_heard = self.heard.iter().filter(|(_, heard)| heard.expected).map(|(id, _)| *id);
        let known: BTreeSet<MeterId> = expected_heard
            .chain(self.stored.rows.keys().copied())
            .chain(self.stored.written.keys().copied())
            .chain(self.stored.told.keys().copied())
            .collect();
        // A key and a row of the list may name one meter in two ways.
        let serials: BTreeSet<_> = self.list.iter().map(|(selector, _)| selector.serial()).collect();
        let keyed = self.keys.iter().copied().filter(|selector| !serials.contains(&selector.serial()));
        let fitting = by_selector(self.list.iter().map(|(selector, _)| selector).chain(keyed), &known);
        let listed: BTreeSet<MeterId> = fitting.values().flatten().copied().collect();
        let mut meters = Vec::new();
        for (selector, ids) in &fitting {
            if ids.is_empty() {
                meters.push(self.never_heard(*selector));
            }
            meters.extend(ids.iter().map(|id| self.line(*id, selector.to_string())));
        }
        // With a key and without a place on the list. A meter that was taken off the list is nobody's business any more.
        let unlisted = known.iter().filter(|id| !listed.contains(*id)).filter(|id| match &self.running {
            Some(_) => self.heard.get(id).is_some_and(|heard| heard.expected),
            None => true,
        });
        meters.extend(unlisted.map(|id| self.line(*id, id.to_string())));
        meters.sort_by(|a, b| (&a.listed_as, a.id).cmp(&(&b.listed_as, b.id)));
        let well = meters.iter().filter(|line| line.state == State::Ok).count();
        Report { running: self.running.is_some(), at: self.at, expected: meters.len(), well, meters }
    }

    fn never_heard(&self, selector: Selector) -> Line {
        let listed = self.list.iter().find(|(listed, _)| *listed == selector).map(|(_, listed)| listed);
        let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
        let id = match selector {
            Selector::Full(meter) => meter.to_string().parse().ok(),
            _ => None,
        };
        Line {
            id,
            listed_as: selector.to_string(),
            name: listed.and_then(|listed| text(&listed.name)),
            metering_point: listed.and_then(|listed| text(&listed.metering_point)),
            model: id.and_then(address).and_then(model),
            state: if self.is_young() { State::Waiting } else { State::Silent },
            why: Some(if self.is_young() {
                "not heard yet".to_owned()
            } else {
                "never heard: is the number right, is the meter in reach? `vesigate scan` shows who is heard"
                    .to_owned()
            }),
            heard: None,
            heard_ago_s: None,
            rssi_dbm: None,
            row: None,
            register: None,
            codes: Vec::new(),
            refused: BTreeMap::new(),
            quarantined: 0,
            sealed: 0,
        }
    }

    /// Too early to call a meter silent.
    fn is_young(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.uptime_s < SILENT)
    }

    fn line(&self, id: MeterId, listed_as: String) -> Line {
        let heard = self.heard.get(&id);
        let row = self.stored.rows.get(&id);
        let told = self.stored.told.get(&id);
        let refusing = self.running.iter().flat_map(|running| &running.refusing).find(|one| one.meter == id);
        let listed = address(id).and_then(|meter| self.list.get(meter));
        let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
        let reading = heard.and_then(|heard| heard.reading.as_ref());
        let row_register = row.and_then(|row| {
            row.registers.get(&Role::Volume).or_else(|| row.registers.values().next()).map(|one| one.value)
        });
        let last_row = row.map(|row| row.boundary.time());
        let last_row = last_row.or_else(|| self.stored.written.get(&id).copied().flatten());
        let stored_sealed = self.stored.sealed.get(&id).copied().unwrap_or_default();
        let last_heard = match heard {
            Some(heard) => heard.heard,
            None => last_row.map(|row| row.min(self.at)),
        };
        let (state, why) = self.judge(id, heard, told, last_heard);
        Line {
            id: Some(id),
            listed_as,
            name: listed.and_then(|listed| text(&listed.name)),
            metering_point: listed.and_then(|listed| text(&listed.metering_point)),
            model: heard.and_then(|heard| heard.model.clone()).or_else(|| address(id).and_then(model)),
            state,
            why,
            heard: last_heard,
            heard_ago_s: heard
                .map(|heard| heard.heard_ago / 1000)
                .or_else(|| last_heard.map(|then| ago(then, self.at))),
            rssi_dbm: heard.and_then(|heard| heard.rssi).or_else(|| row.and_then(|row| row.rssi)),
            row: last_row,
            register: reading.and_then(|reading| reading.volume).or(row_register),
            codes: match reading {
                Some(reading) => reading.codes.clone(),
                None => row.into_iter().flat_map(|row| &row.codes).cloned().collect(),
            },
            refused: refusing
                .map(|one| one.refused.clone())
                .or_else(|| told.map(|told| told.refused.clone()))
                .unwrap_or_default(),
            quarantined: refusing.map_or(0, |one| one.quarantined),
            sealed: refusing.map_or(stored_sealed, |one| one.sealed.max(stored_sealed)),
        }
    }

    fn judge(
        &self,
        id: MeterId,
        heard: Option<&HeardMeter>,
        told: Option<&MeterStatus>,
        last_heard: Option<Time>,
    ) -> (State, Option<String>) {
        let why = |state, text: String| (state, Some(text));
        let Some(heard) = heard else {
            let standing = told.map(|told| &told.reception);
            return match (last_heard.map(|then| ago(then, self.at)), standing) {
                (_, Some(Reception::NoKey)) => why(State::NoKey, no_key(id)),
                (_, Some(Reception::WrongKey)) => why(State::WrongKey, wrong_key(id)),
                (Some(past), _) if past < SILENT && self.running.is_none() => (State::Ok, None),
                (Some(_), _) if self.is_young() => {
                    why(State::Waiting, "not heard since the start".to_owned())
                }
                (Some(past), _) => why(State::Silent, format!("silent for {}", span(past))),
                (None, _) if self.is_young() => why(State::Waiting, "not heard yet".to_owned()),
                (None, _) => why(State::Silent, "nothing of it has been read yet".to_owned()),
            };
        };
        let past = heard.heard_ago / 1000;
        let fresh = heard.reading.as_ref().is_some_and(|reading| reading.ago < 3_600_000);
        let sealed = !matches!(heard.protected, Some(Protected::Plain) | None);
        if past >= SILENT {
            return why(State::Silent, format!("silent for {}", span(past)));
        }
        if fresh {
            return (State::Ok, None);
        }
        match &heard.refusal {
            _ if sealed && !heard.has_key => why(State::NoKey, no_key(id)),
            Some(Refusal::NoKey) => why(State::NoKey, no_key(id)),
            Some(Refusal::WrongKey) => why(State::WrongKey, wrong_key(id)),
            Some(refusal) => why(State::Refused, refused(refusal)),
            None if heard.opened > 0 => (State::Ok, None),
            None if heard.installation > 0 && heard.installation == heard.telegrams => {
                why(State::Waiting, "has only sent installation telegrams".to_owned())
            }
            None => why(State::Waiting, "heard; the first reading waits for a second that agrees".to_owned()),
        }
    }
}

fn no_key(id: MeterId) -> String {
    format!("has no key: vesigate keys add {}", id.serial())
}

fn wrong_key(id: MeterId) -> String {
    format!("its key does not open it: was the meter exchanged? vesigate keys add {}", id.serial())
}

fn refused(refusal: &Refusal) -> String {
    match refusal {
        Refusal::NotEncrypted => {
            "comes in the clear although it has a key: somebody may be sending in its name".to_owned()
        }
        Refusal::Replayed => "sends what it has sent before: somebody may be replaying it".to_owned(),
        Refusal::Implausible => {
            "its register jumps: it is believed again once three telegrams agree".to_owned()
        }
        Refusal::Damaged => "its telegrams arrive damaged: bring the antenna nearer".to_owned(),
        Refusal::Unsupported => {
            "sends in a form that is not supported: send a `vesigate record` of it to the maintainers"
                .to_owned()
        }
        other => format!("its telegrams are refused ({other})"),
    }
}

fn model(meter: Meter) -> Option<String> {
    profile(meter).model(meter).map(|model| model.name.to_owned())
}

impl Report {
    fn text(&self, zone: &Zone) -> String {
        let mut table = Table::new(&["", "Meter", "Name", "Heard", ">Register", "Codes"]);
        for line in &self.meters {
            let (mark, colour) = line.state.mark();
            let name = line.name.as_deref().or(line.metering_point.as_deref()).unwrap_or_default();
            table.row(
                vec![
                    mark.to_owned(),
                    line.id.map_or_else(
                        || line.listed_as.clone(),
                        |id| format!("{}.{}", id.manufacturer(), id.serial()),
                    ),
                    short(name, 20),
                    line.heard_ago_s.map_or_else(|| "never".to_owned(), |past| format!("{} ago", span(past))),
                    line.register.map_or_else(String::new, |register| register.to_string()),
                    short(&line.codes.iter().map(Code::as_str).collect::<Vec<_>>().join(" "), 14),
                ],
                Some(colour),
            );
            if let Some(why) = &line.why {
                table.below(&format!("   {why}"));
            }
            if line.sealed > 0 {
                table.below(&format!("   {} frames wait for a key", line.sealed));
            }
            if line.quarantined > 0 {
                table.below(&format!("   {} readings wait until others agree", line.quarantined));
            }
        }
        let mut text = if self.meters.is_empty() { String::new() } else { table.text() };
        let total = format!("{} of {} meters are well", self.well, self.expected);
        text.push_str(&match (self.expected, self.well == self.expected) {
            (0, _) => "No meter is expected: list some (`vesigate commission`), or add keys\n".to_owned(),
            (_, true) => paint(Colour::Green, &total) + "\n",
            (_, false) => paint(Colour::Yellow, &total) + "\n",
        });
        if !self.running {
            let at = zone.minute(self.at);
            text.push_str(&format!("The gateway does not run: this is what the store knows at {at}\n"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(uptime_s: Option<u64>, row_ago: Option<i64>) -> State {
        let meter: MeterId = "KAM.76348799.1B.16".parse().unwrap();
        let at: Time = "2026-11-25T10:00:00Z".parse().unwrap();
        let mut stored = Stored::default();
        if let Some(row_ago) = row_ago {
            stored.written.insert(meter, Some(common::before(at, row_ago)));
        }
        let sources = Sources {
            list: MeterList::default(),
            keys: vec!["76348799".parse().unwrap()],
            running: uptime_s.map(|uptime_s| Running { uptime_s, refusing: Vec::new() }),
            heard: BTreeMap::new(),
            stored,
            at,
        };
        sources.report().meters.first().unwrap().state
    }

    #[test]
    fn a_meter_is_called_silent_only_once_it_was_listened_for_a_day() {
        for row_ago in [None, Some(5 * 3600), Some(50 * 3600)] {
            assert_eq!(judged(Some(2 * 3600), row_ago), State::Waiting, "{row_ago:?}");
            assert_eq!(judged(Some(SILENT - 1), row_ago), State::Waiting, "{row_ago:?}");
            assert_eq!(judged(Some(SILENT), row_ago), State::Silent, "{row_ago:?}");
        }
        assert_eq!(judged(None, Some(5 * 3600)), State::Ok);
        assert_eq!(judged(None, Some(50 * 3600)), State::Silent);
    }
}
