//! The table on the screen: order, filter, which meter is chosen, whether it stands still. Knows nothing of terminals.

use std::cmp::Ordering;

use super::row::{Opens, Row, Whose};
use super::verdict::Verdict;

/// What the rows are ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// The meters' numbers: rows keep their places.
    #[default]
    Meter,
    /// Who was heard last.
    Last,
    /// The strongest first.
    Signal,
    /// Who is heard worst.
    Reception,
    /// What keys need work.
    Key,
    /// The greatest register.
    Volume,
}

impl Sort {
    const ALL: [Self; 6] = [Self::Meter, Self::Last, Self::Signal, Self::Reception, Self::Key, Self::Volume];

    /// As a word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Meter => "meter",
            Self::Last => "last heard",
            Self::Signal => "signal",
            Self::Reception => "reception",
            Self::Key => "key",
            Self::Volume => "volume",
        }
    }

    fn compare(self, a: &Row, b: &Row) -> Ordering {
        let by_meter = || a.whose.cmp(&b.whose).then_with(|| a.heard.meter.cmp(&b.heard.meter));
        let volume = |row: &Row| row.heard.reading.as_ref().and_then(|reading| reading.volume);
        let first = match self {
            Self::Meter => Ordering::Equal,
            Self::Last => a.heard.heard_ago.cmp(&b.heard.heard_ago),
            Self::Signal => b.heard.rssi.cmp(&a.heard.rssi),
            Self::Reception => a.verdict().cmp(&b.verdict()).then(a.reception.share.cmp(&b.reception.share)),
            Self::Key => a.key.cmp(&b.key),
            Self::Volume => volume(b).map(|of| of.value).cmp(&volume(a).map(|of| of.value)),
        };
        first.then_with(by_meter)
    }
}

/// What the rows come to, all of them, filtered or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Meters heard.
    pub heard: usize,
    /// In the list.
    pub listed: usize,
    /// With a key, not in the list.
    pub own: usize,
    /// The rest.
    pub foreign: usize,
    /// With installation telegrams.
    pub installing: usize,
    /// Ours that open.
    pub open: usize,
    /// Ours that do not.
    pub shut: usize,
    /// Ours that are heard well.
    pub good: usize,
    /// Not so well.
    pub marginal: usize,
    /// Badly.
    pub poor: usize,
    /// Ours of which it is too early to tell.
    pub early: usize,
}

impl Totals {
    /// Of these rows.
    #[must_use]
    pub fn of(rows: &[Row]) -> Self {
        let mut totals = Self::default();
        for row in rows {
            totals.add(row);
        }
        totals
    }

    fn add(&mut self, row: &Row) {
        let add = |count: &mut usize| *count = count.saturating_add(1);
        add(&mut self.heard);
        if row.is_installing() {
            add(&mut self.installing);
        }
        match row.whose {
            Whose::Listed => add(&mut self.listed),
            Whose::Own => add(&mut self.own),
            Whose::Foreign => return add(&mut self.foreign),
        }
        match row.key {
            Opens::Opens | Opens::Plain => add(&mut self.open),
            _ => add(&mut self.shut),
        }
        match row.verdict() {
            Verdict::Good => add(&mut self.good),
            Verdict::Marginal => add(&mut self.marginal),
            Verdict::Poor => add(&mut self.poor),
            Verdict::Early => add(&mut self.early),
        }
    }
}

/// The table.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Row>,
    /// Rows that came while it stood still.
    waiting: Option<Vec<Row>>,
    sort: Sort,
    reversed: bool,
    filter: String,
    frozen: bool,
    /// The chosen meter, by its address: rows move.
    chosen: Option<String>,
}

impl Table {
    /// Takes what is heard now.
    pub fn update(&mut self, rows: Vec<Row>) {
        if self.frozen {
            self.waiting = Some(rows);
            return;
        }
        self.rows = rows;
        self.order();
    }

    /// What it orders by, and whether backwards.
    #[must_use]
    pub const fn sort(&self) -> (Sort, bool) {
        (self.sort, self.reversed)
    }

    /// Orders by the next thing.
    pub fn sort_next(&mut self) {
        let at = Sort::ALL.iter().position(|sort| *sort == self.sort).unwrap_or_default();
        self.sort = Sort::ALL.get(at.saturating_add(1)).copied().unwrap_or_default();
        self.order();
    }

    /// Orders by this.
    pub fn sort_by(&mut self, sort: Sort) {
        self.sort = sort;
        self.order();
    }

    /// Orders the other way round.
    pub fn reverse(&mut self) {
        self.reversed = !self.reversed;
        self.order();
    }

    /// The words that rows must hold to be shown.
    #[must_use]
    pub fn filter(&self) -> &str {
        &self.filter
    }

    /// Shows the rows only that hold each of these words, wherever.
    pub fn set_filter(&mut self, filter: &str) {
        self.filter = filter.chars().filter(|letter| !letter.is_control()).take(MOST_FILTER).collect();
    }

    /// Whether it stands still.
    #[must_use]
    pub const fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// Stands still, or goes on with what came meanwhile.
    pub fn freeze(&mut self) {
        self.frozen = !self.frozen;
        if let Some(rows) = self.waiting.take() {
            self.update(rows);
        }
    }

    /// The rows to be shown.
    #[must_use]
    pub fn shown(&self) -> Vec<&Row> {
        let words: Vec<String> = self.filter.split_whitespace().map(str::to_lowercase).collect();
        self.rows.iter().filter(|row| words.iter().all(|word| holds(row, word))).collect()
    }

    /// What all rows come to.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals::of(&self.rows)
    }

    /// Where the chosen row is among those shown; the first one as long as none was chosen.
    #[must_use]
    pub fn chosen(&self, shown: &[&Row]) -> usize {
        let chosen = self.chosen.as_ref();
        chosen.and_then(|meter| shown.iter().position(|row| row.heard.meter == *meter)).unwrap_or_default()
    }

    /// Chooses another row, so many further down or up.
    pub fn choose(&mut self, by: isize) {
        let shown = self.shown();
        let last = shown.len().saturating_sub(1);
        let at = self.chosen(&shown).saturating_add_signed(by).min(last);
        self.chosen = shown.get(at).map(|row| row.heard.meter.clone());
    }

    fn order(&mut self) {
        let (sort, reversed) = (self.sort, self.reversed);
        self.rows.sort_by(|a, b| {
            let order = sort.compare(a, b);
            if reversed { order.reverse() } else { order }
        });
    }
}

/// Longer filters find nothing.
const MOST_FILTER: usize = 40;

fn holds(row: &Row, word: &str) -> bool {
    let has = |text: &str| text.to_lowercase().contains(word);
    has(&row.heard.meter)
        || has(row.model())
        || row.name.as_deref().is_some_and(has)
        || has(row.whose.as_str())
        || has(row.mode())
        || has(row.key.short())
        || has(row.verdict().as_str())
        || (row.is_installing() && has("snd-ir installation"))
        || row.codes().into_iter().any(has)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::watch::Watch;
    use super::*;
    use crate::collector::open::Protected;
    use crate::health::heard::{HeardMeter, HeardReading};
    use crate::receiver::LinkMode;

    /// A listed meter that is heard well, with a number of its own.
    pub(crate) fn meter(number: u32) -> HeardMeter {
        HeardMeter {
            meter: format!("KAM.{number:08}.1B.16"),
            model: Some("flowIQ 2200".to_owned()),
            expected: true,
            listed: true,
            has_key: true,
            heard: None,
            heard_ago: 4000,
            first_ago: 1_600_000,
            telegrams: 99,
            echoes: 0,
            interval: Some(16_000),
            counted: 99,
            counted_ago: Some(4000),
            recent: 99,
            recent_over: 1_600_000,
            rssi: Some(-71),
            best_rssi: Some(-65),
            link_mode: Some(LinkMode::C1),
            protected: Some(Protected::EllCtr),
            opened: 99,
            refusal: None,
            reading: Some(HeardReading {
                ago: 4000,
                volume: Some("123.456 m3".parse().unwrap()),
                codes: Vec::new(),
            }),
            installation: 0,
            installation_ago: None,
            receivers: vec!["/dev/vesigate-dongle".to_owned()],
        }
    }

    /// Meters of all kinds.
    pub(crate) fn street() -> Vec<HeardMeter> {
        let quiet = HeardMeter { telegrams: 40, recent: 40, rssi: Some(-93), ..meter(2) };
        let leaking = HeardReading {
            codes: vec!["leak".parse().unwrap(), "low_battery".parse().unwrap()],
            ..meter(3).reading.unwrap()
        };
        let neighbour = HeardMeter {
            model: None,
            expected: false,
            listed: false,
            has_key: false,
            opened: 0,
            reading: None,
            rssi: Some(-101),
            ..meter(7)
        };
        let wrong = HeardMeter {
            opened: 0,
            reading: None,
            refusal: Some(messages::event::Refusal::WrongKey),
            ..meter(4)
        };
        let fresh = HeardMeter {
            first_ago: 20_000,
            telegrams: 2,
            recent: 2,
            recent_over: 20_000,
            installation: 2,
            installation_ago: Some(3000),
            opened: 0,
            reading: None,
            listed: false,
            ..meter(5)
        };
        vec![
            meter(1),
            quiet,
            HeardMeter { reading: Some(leaking), ..meter(3) },
            wrong,
            fresh,
            HeardMeter { meter: "LUG.00000007.07.04".to_owned(), ..neighbour },
        ]
    }

    pub(crate) fn table() -> Table {
        let mut table = Table::default();
        let mut rows = Watch::default().observe(street(), 0);
        rows[0].name = Some("Kaivokuja 4".to_owned());
        table.update(rows);
        table
    }

    fn numbers(table: &Table) -> Vec<&str> {
        table.shown().into_iter().map(|row| &row.heard.meter[11..12]).collect()
    }

    #[test]
    fn ours_come_first_and_any_order_can_be_reversed() {
        let mut table = table();
        assert_eq!(numbers(&table), ["1", "2", "3", "4", "5", "7"]);
        table.sort_by(Sort::Signal);
        assert_eq!(numbers(&table), ["1", "3", "4", "5", "2", "7"]);
        table.sort_next();
        assert_eq!((table.sort().0, numbers(&table)[0]), (Sort::Reception, "7"));
        table.sort_next();
        assert_eq!((table.sort().0, numbers(&table)[0]), (Sort::Key, "4"));
        table.reverse();
        assert_eq!(numbers(&table)[5], "4");
        table.sort_next();
        table.sort_next();
        assert_eq!(table.sort(), (Sort::Meter, true));
    }

    #[test]
    fn a_filter_finds_words_in_any_column() {
        let mut table = table();
        for (filter, found) in [
            ("lug", vec!["7"]),
            ("LEAK listed", vec!["3"]),
            ("kaivokuja", vec!["1"]),
            ("snd-ir", vec!["5"]),
            ("wrong", vec!["4"]),
            ("00000002", vec!["2"]),
            ("nothing", vec![]),
        ] {
            table.set_filter(filter);
            assert_eq!(numbers(&table), found, "{filter}");
        }
    }

    #[test]
    fn a_table_that_stands_still_goes_on_with_what_came() {
        let mut table = table();
        table.freeze();
        table.update(Vec::new());
        assert_eq!(table.shown().len(), 6);
        table.freeze();
        assert!(table.shown().is_empty());
    }

    #[test]
    fn the_chosen_meter_stays_chosen_when_rows_move() {
        let mut table = table();
        table.choose(1);
        assert_eq!(table.chosen(&table.shown()), 1);
        table.reverse();
        assert_eq!(table.chosen(&table.shown()), 4);
        table.choose(100);
        assert_eq!(table.chosen(&table.shown()), 5);
        table.choose(-100);
        assert_eq!(table.chosen(&table.shown()), 0);
        table.set_filter("nothing");
        table.choose(1);
        assert_eq!(table.chosen(&table.shown()), 0);
    }

    #[test]
    fn totals_count_every_meter() {
        let totals = table().totals();
        assert_eq!(
            totals,
            Totals {
                heard: 6,
                listed: 4,
                own: 1,
                foreign: 1,
                installing: 1,
                open: 3,
                shut: 2,
                good: 3,
                marginal: 1,
                poor: 0,
                early: 1,
            }
        );
    }
}
