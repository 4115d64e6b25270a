//! What reports say of a street with every kind of meter.

use super::*;
use crate::config::Config;
use crate::scan::table::tests::street;
use crate::scan::watch::Watch;

const LIST: &str = "id,name,metering_point\n\
    00000001,\"<Kaivokuja> 4\",MP1\n\
    KAM.00000002,=1+1,MP2\n\
    KAM.00000003.1B.16,,\n\
    00000004,,\n\
    00000005,,\n\
    00000099,Somewhere,MP99\n";

fn report(kind: Kind, list: Option<&str>) -> Report {
    report_after(60, kind, list)
}

fn report_after(minutes: u64, kind: Kind, list: Option<&str>) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("list.csv");
    let list = list.map(|text| {
        std::fs::write(&file, text).unwrap();
        MeterList::load(&file, &Config::default().contacts).unwrap()
    });
    let rows = Watch::default().observe(street(), 0);
    let rows = rows.into_iter().map(|row| (row.clone(), row.heard.telegrams)).collect();
    let found = Found {
        kind,
        gateway: "kylavesi/gw-7".to_owned(),
        at: "2026-11-25 12:50".to_owned(),
        minutes,
        expected: list.as_ref(),
        rows,
        receivers: Vec::new(),
        troubles: Vec::new(),
    };
    Report::new(found)
}

#[test]
fn a_survey_tells_heard_missing_and_foreign() {
    let report = report(Kind::Survey, Some(LIST));
    assert!(!report.all_heard);
    insta::assert_snapshot!(report.text());
}

#[test]
fn commissioning_ends_with_a_list_to_sign() {
    let report = report(Kind::Commissioning, Some(LIST));
    insta::assert_snapshot!(report.text());
}

#[test]
fn without_a_list_ours_are_those_with_a_key() {
    let report = report(Kind::Survey, None);
    assert_eq!((report.meters.len(), report.heard, report.foreign_count), (5, 5, 1));
    assert!(report.all_heard);
}

#[test]
fn html_is_whole_and_takes_no_name_for_a_tag() {
    let report = report(Kind::Commissioning, Some(LIST));
    let html = report.html();
    assert!(html.contains("&lt;Kaivokuja&gt; 4") && !html.contains("<Kaivokuja>"));
    insta::assert_snapshot!(html);
}

#[test]
fn csv_has_a_line_for_each_meter_and_no_formulas() {
    let report = report(Kind::Survey, Some(LIST));
    let csv = report.csv().unwrap();
    assert_eq!(csv.lines().count(), 1 + 6 + 1);
    assert!(csv.contains("'=1+1") && !csv.contains(",=1+1"));
}

#[test]
fn the_name_of_a_file_says_its_format() {
    let report = report(Kind::Survey, Some(LIST));
    for (name, part) in
        [("r.txt", "Site survey by"), ("r.csv", "expected,"), ("r.html", "<!DOCTYPE"), ("r.json", "\"kind\"")]
    {
        assert!(report.written_for(Path::new(name)).unwrap().contains(part), "{name}");
    }
    assert_eq!(
        check_name(Path::new("r.pdf")).unwrap_err(),
        "r.pdf: name a file that ends with .html, .csv, .txt or .json"
    );
}

#[test]
fn conclusions_are_sentences() {
    let all = report(Kind::Survey, Some("id\n00000001\n00000003\n"));
    assert_eq!(all.conclusion, "All 2 expected meters were heard; this place will do.");
    let none = report(Kind::Survey, Some("id\n"));
    assert_eq!(none.conclusion, "No meter was expected: give a list, or add keys.");
    let one = report(Kind::Commissioning, Some("id\n00000003\n"));
    assert!(one.all_green);
    assert_eq!(one.conclusion, "The one expected meter was heard, opened and read: all is in order.");
    let red = report(Kind::Commissioning, Some("id\n00000001\n00000004\n"));
    assert_eq!(red.conclusion, "All 2 expected meters were heard; 1 of 2 need work.");
}

#[test]
fn what_a_short_time_cannot_show_needs_no_work_yet() {
    // 00000005 sends every 16 s and was not opened so far; 00000099 was not heard.
    let list = Some("id\n00000001\n00000004\n00000005\n00000099\n");
    let marks = |report: &Report| -> Vec<String> {
        report
            .text()
            .lines()
            .filter(|line| line.contains("0000000") || line.contains("00000099"))
            .take(4)
            .map(|line| line[..12].to_owned())
            .collect()
    };
    let soon = report_after(10, Kind::Commissioning, list);
    assert_eq!(marks(&soon), ["NOT 00000004", "NOT 00000005", "..  00000099", "OK  00000001"]);
    assert!(!soon.all_green);
    let at_once = report_after(0, Kind::Commissioning, list);
    assert_eq!(marks(&at_once), ["NOT 00000004", "..  00000099", "..  00000005", "OK  00000001"]);
    assert!(soon.text().contains("! not heard: it may send every 15 min only"), "{}", soon.text());
    assert!(
        soon.conclusion.ends_with("2 of 4 need work, of 1 more time may show that they are in order."),
        "{}",
        soon.conclusion
    );
    assert!(soon.html().contains("too early to tell") && soon.csv().unwrap().contains(",too early,"));
    let later = report_after(30, Kind::Commissioning, list);
    assert_eq!(later.meters.iter().filter(|line| !line.green && !line.early).count(), 3);
    let survey = report_after(10, Kind::Survey, list);
    assert!(survey.meters.iter().all(|line| !line.early), "a survey says what was heard");
}
