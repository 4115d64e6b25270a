//! A report as a page of its own: nothing is fetched, it prints well, and colours only repeat what words say.

use std::fmt::Write as _;

use super::{Kind, Line, Report};
use crate::scan::row::Row;

const STYLE: &str = "body{font-family:sans-serif;margin:2em;color:#111;background:#fff}\
table{border-collapse:collapse;width:100%;margin:1em 0}caption{text-align:left;font-weight:bold}\
th,td{border-bottom:1px solid #bbb;padding:.3em .5em;text-align:left;vertical-align:top}\
td.n{text-align:right;white-space:nowrap}.ok{background:#d9f2d9}.not{background:#f9d6d5}.early{background:#fbf0c4}\
.sign{margin-top:4em}@media print{body{margin:0}tr{break-inside:avoid}}";

impl Report {
    /// As HTML.
    #[must_use]
    pub fn html(&self) -> String {
        let mut html = String::new();
        // Writing to a string cannot fail.
        let _ = self.write_html(&mut html);
        html
    }

    fn write_html(&self, html: &mut String) -> std::fmt::Result {
        let title = escaped(&self.title());
        writeln!(
            html,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
             <style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>"
        )?;
        writeln!(html, "<p><strong>{}</strong></p>", escaped(&self.conclusion))?;
        for trouble in &self.troubles {
            writeln!(html, "<p>{}</p>", escaped(trouble))?;
        }
        writeln!(html, "<p>{}</p>", escaped(&self.sums()))?;
        self.expected(html)?;
        if !self.installing.is_empty() {
            rows(html, "Installation telegrams (SND-IR)", &self.installing, Row::installation_words)?;
        }
        if self.foreign.is_empty() {
            writeln!(html, "<p>No other meters were heard.</p>")?;
        } else {
            let caption = format!("Meters that are not expected: {}", self.foreign_count);
            rows(html, &caption, &self.foreign, Row::verdict_words)?;
        }
        writeln!(html, "<table>\n<caption>Receivers</caption>")?;
        writeln!(html, "<tr><th>Name<th>Kind<th>State<th>Frames since its start</tr>")?;
        for receiver in &self.receivers {
            writeln!(
                html,
                "<tr><td>{}<td>{}<td>{}<td class=n>{}</tr>",
                escaped(&receiver.name),
                escaped(&receiver.protocol),
                escaped(receiver.state.as_str()),
                receiver.frames
            )?;
        }
        writeln!(html, "</table>")?;
        if self.kind == Kind::Commissioning {
            writeln!(
                html,
                "<p class=sign>Date ______________ &nbsp; Name and signature ______________________________</p>"
            )?;
        }
        writeln!(html, "</body>\n</html>")
    }

    fn expected(&self, html: &mut String) -> std::fmt::Result {
        writeln!(html, "<table>\n<caption>Expected meters</caption>")?;
        writeln!(
            html,
            "<tr><th>In order<th>Meter<th>Metering point<th>Name<th>Model<th>Signal<th>Heard<th>Key<th>Volume\
             <th>Reception<th>Findings</tr>"
        )?;
        for line in &self.meters {
            expected_line(html, line)?;
        }
        writeln!(html, "</table>")
    }
}

fn expected_line(html: &mut String, line: &Line) -> std::fmt::Result {
    let (class, word) = match (line.green, line.early) {
        (true, _) => ("ok", "yes"),
        (_, true) => ("early", "too early to tell"),
        _ => ("not", "NO"),
    };
    write!(
        html,
        "<tr class={class}><td>{word}<td>{}<td>{}<td>{}",
        escaped(&line.id),
        escaped(&line.metering_point),
        escaped(&line.name)
    )?;
    match line.meter.as_ref().filter(|_| line.heard) {
        Some(row) => {
            let share = row.reception.share.map_or_else(String::new, |share| format!("{share} %"));
            write!(
                html,
                "<td>{}<td class=n>{}<td class=n>{share}<td>{}<td class=n>{}<td>{}",
                escaped(row.model()),
                rssi(row),
                row.key.short(),
                row.volume(),
                row.verdict()
            )?;
        }
        None => write!(html, "<td><td><td><td><td><td>")?,
    }
    writeln!(html, "<td>{}</tr>", escaped(&line.findings.join("; ")))
}

fn rows(html: &mut String, caption: &str, rows: &[Row], say: fn(&Row) -> String) -> std::fmt::Result {
    writeln!(html, "<table>\n<caption>{}</caption>", escaped(caption))?;
    writeln!(html, "<tr><th>Meter<th>Model<th>Whose<th>Signal<th>Mode<th></tr>")?;
    for row in rows {
        writeln!(
            html,
            "<tr><td>{}<td>{}<td>{}<td class=n>{}<td>{}<td>{}</tr>",
            escaped(&row.heard.meter),
            escaped(row.model()),
            row.whose.as_str(),
            rssi(row),
            row.mode(),
            escaped(&say(row))
        )?;
    }
    writeln!(html, "</table>")
}

fn rssi(row: &Row) -> String {
    row.heard.rssi.map_or_else(String::new, |rssi| format!("{rssi} dBm"))
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
