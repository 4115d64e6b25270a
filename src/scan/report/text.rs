//! A report for a terminal or a sheet of paper.

use std::fmt::Write as _;

use super::{Kind, Line, Report};

impl Report {
    /// As text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut text);
        text
    }

    pub(super) fn title(&self) -> String {
        let what = match self.kind {
            Kind::Survey => "Site survey",
            Kind::Commissioning => "Commissioning",
        };
        let minutes = if self.minutes == 1 { "minute" } else { "minutes" };
        format!("{what} by {}, {}, {} {minutes}", self.gateway, self.at, self.minutes)
    }

    pub(super) fn sums(&self) -> String {
        let totals = self.totals();
        format!(
            "{} expected: {} heard, {} not heard\nreception: {} good, {} marginal, {} poor, {} too early to tell",
            self.meters.len(),
            self.heard,
            self.meters.len().saturating_sub(self.heard),
            totals.good,
            totals.marginal,
            totals.poor,
            totals.early
        )
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "{}\n", self.title())?;
        for receiver in &self.receivers {
            writeln!(
                text,
                "receiver {}\n  {}: {}, {} frames since its start",
                receiver.name, receiver.protocol, receiver.state, receiver.frames
            )?;
        }
        for trouble in &self.troubles {
            writeln!(text, "! {trouble}")?;
        }
        writeln!(text, "{}\n", self.sums())?;
        if !self.meters.is_empty() {
            writeln!(
                text,
                "    {:<19} {:<12} {:>4} {:>4} {:<6} {:>12} reception",
                "meter", "model", "dBm", "got%", "key", "volume"
            )?;
        }
        for line in &self.meters {
            write_line(text, line)?;
        }
        if !self.installing.is_empty() {
            writeln!(text, "\ninstallation telegrams (SND-IR):")?;
            for row in &self.installing {
                let words = row.installation_words();
                writeln!(text, "    {} ({}): {words}", row.heard.meter, row.whose.as_str())?;
            }
        }
        writeln!(text, "\nmeters that are not expected: {}", self.foreign_count)?;
        for row in self.foreign.iter().take(MOST_FOREIGN) {
            let rssi = row.heard.rssi.map_or_else(String::new, |rssi| format!("{rssi} dBm"));
            writeln!(text, "    {:<19} {:<12} {rssi}", row.heard.meter, cut(row.model(), 12))?;
        }
        if self.foreign.len() > MOST_FOREIGN {
            writeln!(text, "  and {} more", self.foreign.len().saturating_sub(MOST_FOREIGN))?;
        }
        writeln!(text, "\n{}", self.conclusion)?;
        if self.kind == Kind::Commissioning {
            writeln!(text, "\n\nDate ______________  Name and signature ______________________________")?;
        }
        Ok(())
    }
}

/// More of these meters than this say nothing more; CSV and JSON have them all.
const MOST_FOREIGN: usize = 20;

/// At most 80 columns: it is read over SSH.
fn write_line(text: &mut String, line: &Line) -> std::fmt::Result {
    let mark = match (line.green, line.early) {
        (true, _) => "OK ",
        (_, true) => ".. ",
        _ => "NOT",
    };
    match line.meter.as_ref().filter(|_| line.heard) {
        None => writeln!(text, "{mark} {}", line.id)?,
        Some(row) => {
            let rssi = row.heard.rssi.map_or_else(String::new, |rssi| rssi.to_string());
            let share = row.reception.share.map_or_else(String::new, |share| share.to_string());
            writeln!(
                text,
                "{mark} {:<19} {:<12} {rssi:>4} {share:>4} {:<6} {:>12} {}",
                line.id,
                cut(row.model(), 12),
                row.key.short(),
                row.volume(),
                row.verdict().as_str()
            )?;
        }
    }
    let called = [line.metering_point.as_str(), line.name.as_str()];
    let called: Vec<_> = called.into_iter().filter(|word| !word.is_empty()).collect();
    if !called.is_empty() {
        writeln!(text, "      {}", called.join(" "))?;
    }
    for finding in &line.findings {
        writeln!(text, "      ! {finding}")?;
    }
    Ok(())
}

/// The first letters of a text.
fn cut(text: &str, letters: usize) -> String {
    text.chars().take(letters).collect()
}
