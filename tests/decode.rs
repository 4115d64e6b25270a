//! `vesigate decode` as typed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::io::Write as _;

use assert_cmd::Command;
use serde_json::Value;

const FRAME: &str = "2A442D2C998734761B168D2091D37CAC21E1D68CDAFFCD3DC452BD802913FF7B1706CA9E355D6C2701CC24";
const KEY: &str = "28F64A24988064A079AA2C807D6102AE";

fn vesigate() -> Command {
    Command::new(env!("CARGO_BIN_EXE_vesigate"))
}

fn json_lines(output: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(output).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn one_object_for_each_line_in_order_and_bad_lines_do_not_stop_it() {
    let input =
        format!("# a log\n{FRAME}\n\nnot hex\n2A442D\n{}\n", FRAME.to_lowercase().replace("44", " 4|4_"));
    let assert = vesigate().args(["decode", "--json", "--key", KEY, "-"]).write_stdin(input).assert().code(1);
    let lines = json_lines(&assert.get_output().stdout);
    let outcomes: Vec<_> = lines.iter().map(|line| line["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["ok", "not_hex", "damaged", "ok"]);
    assert_eq!(lines[0]["reading"]["info_codes"], serde_json::json!(["dry"]));
    assert_eq!(lines[0]["records"][1]["value"], "6.408");
}

#[test]
fn keys_come_from_a_list_and_frames_from_a_file() {
    let mut keys = tempfile::NamedTempFile::new().unwrap();
    writeln!(keys, "id,key\n12,34\n76348799,{KEY}").unwrap();
    let mut frames = tempfile::NamedTempFile::new().unwrap();
    writeln!(frames, "{FRAME}").unwrap();
    let (keys, frames) = (keys.path(), frames.path());
    let assert =
        vesigate().args(["decode", "--json"]).arg("--keys").arg(keys).arg("--file").arg(frames).assert();
    let output = assert.code(0).get_output().clone();
    assert_eq!(json_lines(&output.stdout)[0]["security"]["mode"], "ell_aes_ctr");
    assert!(String::from_utf8_lossy(&output.stderr).contains("line 2:"), "the bad row is named");
}

#[test]
fn a_file_that_is_not_there_is_told() {
    let assert = vesigate().args(["decode", "--keys", "no-such-file.csv", FRAME]).assert().code(2);
    assert!(String::from_utf8_lossy(&assert.get_output().stderr).contains("no-such-file.csv"));
}

#[test]
fn a_wrong_key_argument_is_refused_without_repeating_it() {
    let key = KEY.replace('E', "X");
    let assert = vesigate().args(["decode", FRAME, "--key", &key]).assert().code(2);
    let error = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(error.contains("not hexadecimal") && !error.contains("28F64A"), "{error}");
}

#[test]
fn the_schema_in_the_documents_is_that_of_the_program() {
    let kept = include_str!("../docs/decode.schema.json");
    let made = serde_json::to_string_pretty(&schemars::schema_for!(vesigate::decode::Decoded)).unwrap();
    let again = "run: cargo run --example decode_schema > docs/decode.schema.json";
    assert_eq!(kept.trim_end(), made, "{again}");
}

#[test]
fn people_see_the_reading_without_colours_when_it_is_no_terminal() {
    let assert = vesigate().args(["decode", FRAME, "--key", KEY]).assert().code(0);
    insta::assert_snapshot!(String::from_utf8_lossy(&assert.get_output().stdout));
}
