//! The table as lines, for pipes and for terminals that can do no better.

use crate::scan::row::Row;
use crate::scan::table::Totals;

/// The names of the columns.
pub(super) fn head() -> String {
    format!(
        "  {:<19} {:<14} {:>4} {:>5} {:>4} {:<9} {:<2} {:<6} {:>13} {:<12} {}\n",
        "meter", "model", "dBm", "last", "got%", "reception", "md", "key", "volume", "codes", "name"
    )
}

/// One meter.
pub(super) fn line(row: &Row) -> String {
    let or_empty = |value: Option<String>| value.unwrap_or_default();
    let mark = if row.is_installing() { '!' } else { ' ' };
    let line = format!(
        "{}{mark}{:<19} {:<14} {:>4} {:>5} {:>4} {:<9} {:<2} {:<6} {:>13} {:<12} {}",
        row.whose.mark(),
        row.heard.meter,
        row.model().chars().take(14).collect::<String>(),
        or_empty(row.heard.rssi.map(|rssi| rssi.to_string())),
        row.ago(),
        or_empty(row.reception.share.map(|share| share.to_string())),
        row.verdict().as_str(),
        row.mode(),
        row.key.short(),
        row.volume(),
        row.codes().join(","),
        row.name.as_deref().unwrap_or_default(),
    );
    line.trim_end().to_owned() + "\n"
}

/// What all come to.
pub(super) fn totals(totals: &Totals) -> String {
    let Totals { heard, listed, own, foreign, installing, open, shut, good, marginal, poor, early } = totals;
    format!(
        "{heard} heard: {listed} listed, {own} own, {foreign} foreign; {installing} installing; \
         ours: {open} open, {shut} do not; {good} good, {marginal} marginal, {poor} poor, {early} too early\n"
    )
}
