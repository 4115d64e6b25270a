use super::contract::Outcome;
use super::*;

const MULTICAL_21: &str =
    "2A442D2C998734761B168D2091D37CAC21E1D68CDAFFCD3DC452BD802913FF7B1706CA9E355D6C2701CC24";
const KEY: &str = "28F64A24988064A079AA2C807D6102AE";

fn decoder() -> Decoder {
    Decoder::new(Keys::one(KEY.parse().unwrap()))
}

#[test]
fn hex_is_taken_as_people_have_it() {
    assert_eq!(unhex("0x2a 44|2D_2c:99-87").unwrap(), [0x2A, 0x44, 0x2D, 0x2C, 0x99, 0x87]);
    assert_eq!(unhex("2A4"), Err(Unreadable::Odd));
    assert_eq!(unhex("2A4G"), Err(Unreadable::Digit(4)));
    assert_eq!(unhex(&"00".repeat(2000)), Err(Unreadable::TooLong));
}

#[test]
fn a_telegram_becomes_the_contract() {
    let decoded = decoder().decode(MULTICAL_21);
    assert_eq!(decoded.outcome, Outcome::Ok);
    insta::assert_json_snapshot!(decoded);
}

#[test]
fn a_line_that_is_no_frame_has_its_reason() {
    let mut decoder = decoder();
    assert_eq!(decoder.decode("xyz").outcome, Outcome::NotHex);
    assert_eq!(decoder.decode("2A442D2C").outcome, Outcome::Damaged);
    let wrong =
        Decoder::new(Keys::one("000102030405060708090A0B0C0D0E0F".parse().unwrap())).decode(MULTICAL_21);
    assert_eq!(wrong.outcome, Outcome::WrongKey);
    assert_eq!(wrong.meter.unwrap().id, "76348799");
    assert_eq!(Decoder::new(Keys::default()).decode(MULTICAL_21).outcome, Outcome::NoKey);
}

#[test]
fn a_plain_telegram_of_a_meter_with_a_key_is_shown_and_refused() {
    let decoded = decoder().decode("1844AE4C4455223368077A55000000041389E20100023B0000");
    assert_eq!(decoded.outcome, Outcome::NotEncrypted);
    assert_eq!(decoded.records[0].value.as_deref(), Some("123.529"));
}

#[test]
fn every_byte_of_a_telegram_is_explained_once_and_in_order() {
    for (hex, keys) in [
        (MULTICAL_21, Keys::one(KEY.parse().unwrap())),
        (MULTICAL_21, Keys::default()),
        ("1844AE4C4455223368077A55000000041389E20100023B0000", Keys::default()),
        ("1C44148607A814000411A01D5400000840030000000005FF05D83D0000", Keys::default()),
    ] {
        let (text, _) = explain::telegram(&mut Decoder::new(keys), hex);
        let plain = anstream::adapter::strip_str(&text).to_string();
        let mut next = 0;
        for line in plain.lines() {
            let mut words = line.split_whitespace();
            // A line of the table starts with its offset; the reading's lines start with words.
            let Some(Ok(at)) = words.next().map(str::parse::<usize>) else { continue };
            assert_eq!(at, next, "{plain}");
            next += words.take_while(|w| w.len() == 2 && w.chars().all(|c| c.is_ascii_hexdigit())).count();
        }
        assert_eq!(next, hex.len() / 2, "{plain}");
    }
}

#[test]
fn a_bare_frame_that_ends_like_format_b_is_read_all_the_same() {
    // A payload whose last two bytes happen to be the CRC of all before them.
    let mut found = 0;
    for volume in 0..200_000u32 {
        let mut bytes = unhex("1844AE4C4455223368077A55000000041300000000023B0000").unwrap();
        bytes[17..21].copy_from_slice(&volume.to_le_bytes());
        if Frame::detect(&bytes).unwrap().format() == Format::B {
            let hex = contract::hex(&bytes);
            let decoded = Decoder::new(Keys::default()).decode(&hex);
            assert!(decoded.is_ok(), "{hex}: {:?}", decoded.problems);
            found += 1;
        }
    }
    assert!(found > 0);
}
