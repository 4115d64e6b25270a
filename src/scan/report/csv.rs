//! A report for a spreadsheet: a line for each meter, expected or not.

use super::Report;
use crate::scan::row::Row;

impl Report {
    /// As CSV.
    ///
    /// # Errors
    /// None that is known: it is written to memory.
    pub fn csv(&self) -> Result<String, String> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let wrong = |error: csv::Error| error.to_string();
        let head = ["expected", "in_order", "heard", "findings", "list_id", "list_name", "metering_point"];
        writer.write_record(head.into_iter().chain(Row::CSV_HEAD)).map_err(wrong)?;
        let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
        for line in &self.meters {
            let first = [
                "yes".to_owned(),
                if line.early { "too early".to_owned() } else { yes(line.green) },
                yes(line.heard),
                line.findings.join("; "),
                line.id.clone(),
                harmless(&line.name),
                harmless(&line.metering_point),
            ];
            let row = line.meter.as_ref().map_or_else(|| vec![String::new(); Row::CSV_HEAD.len()], Row::csv);
            writer.write_record(first.into_iter().chain(row)).map_err(wrong)?;
        }
        for row in &self.foreign {
            let mut first = vec![String::new(); head.len()];
            first.splice(..3, ["no".to_owned(), String::new(), "yes".to_owned()]);
            writer.write_record(first.into_iter().chain(row.csv())).map_err(wrong)?;
        }
        let bytes = writer.into_inner().map_err(|error| error.to_string())?;
        String::from_utf8(bytes).map_err(|error| error.to_string())
    }
}

/// Rows as a CSV file.
///
/// # Errors
/// None that is known: it is written to memory.
pub fn rows<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Result<String, String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(Row::CSV_HEAD).map_err(|error| error.to_string())?;
    for row in rows {
        writer.write_record(row.csv()).map_err(|error| error.to_string())?;
    }
    let bytes = writer.into_inner().map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|error| error.to_string())
}

/// Spreadsheets take some beginnings for formulas.
pub(crate) fn harmless(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
}
