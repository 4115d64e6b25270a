use super::*;
use crate::hex::unhex;
use crate::record::Records;
use std::string::{String, ToString};
use std::vec::Vec;

/// One line for each measure: what, statistic, period, amount, unit.
fn lines(meter: &str, body: &str) -> Vec<String> {
    let body = unhex(body);
    let reading = Reading::of(meter.parse().unwrap(), Records::full(&body)).unwrap();
    let mut lines: Vec<_> = reading.measures.iter().map(line).collect();
    if let Some(info) = reading.info {
        let codes: Vec<_> = info.codes().map(|code| code.to_string()).collect();
        lines.push(std::format!("info {}", codes.join(" ")));
        let long = info.durations().filter(|(_, class)| class.number() > 0);
        lines.extend(long.map(|(code, class)| std::format!("{code} {}", class.words())));
    }
    lines
}

fn line(measure: &Measure) -> String {
    let amount = match measure.amount {
        Amount::Number(number) => number.to_string(),
        Amount::Date(date) => date.to_string(),
        Amount::DateTime(moment) => moment.to_string(),
        Amount::Opaque(bytes) => std::format!("{bytes:02X?}"),
        Amount::Absent => "absent".to_string(),
    };
    let words = [measure.what.word(), measure.statistic.word(), measure.period.word(), &amount, measure.unit];
    words.join(" ").trim_end().to_string()
}

#[test]
fn a_multical_21_that_was_never_wet_has_no_water_temperature() {
    let lines = lines("KAM.76348799.1B.16", "02FF207100 041308190000 441308190000 615B7F 616713");
    assert_eq!(
        lines,
        [
            "volume actual now 6.408 m³",
            "volume actual target 6.408 m³",
            "water_temperature minimum last_month absent °C",
            "ambient_temperature minimum last_month 19 °C",
            "info dry",
            "dry 22-31 days",
        ]
    );
}

#[test]
fn a_flowiq_2200_tells_all_it_has() {
    let body = "04FF2324080000 041339300000 4413E02E0000 426C6135 023B7B00 92013BE803 A2013B0000 \
                06FF1B055000065000 A1015B08 91015B13 A101670F";
    assert_eq!(
        lines("KAW.87654321.3C.16", body),
        [
            "volume actual now 12.345 m³",
            "volume actual target 12.000 m³",
            "clock actual target 2027-05-01",
            "flow actual now 0.123 m³/h",
            "flow maximum last_day 1.000 m³/h",
            "flow minimum last_day 0.000 m³/h",
            "acoustic_noise actual now [05, 50, 00, 06, 50, 00]",
            "water_temperature minimum last_day 8 °C",
            "water_temperature maximum last_day 19 °C",
            "ambient_temperature minimum last_day 15 °C",
            "info leak low_battery",
            "dry 1-8 hours",
        ]
    );
}

#[test]
fn unknown_bits_are_told_by_number() {
    let lines = lines("KAW.53820306.3C.16", "02FF250104 06FF1BFFFFFFFFFFFF");
    assert_eq!(lines, ["acoustic_noise actual now absent", "info dry bit_10"]);
}

#[test]
fn a_heat_meter_with_broken_sensors_has_no_temperatures() {
    let body = "040F00000000 04FF0700000000 04FF0800000000 041400000000 02590000 025D0000 04FF2260000100";
    let lines = lines("KAM.79806477.39.04", body);
    assert!(lines.contains(&"flow_temperature actual now absent °C".to_string()), "{lines:?}");
    assert!(
        lines.contains(&"info t1_below_range t2_below_range v1_communication_error".to_string()),
        "{lines:?}"
    );
}

#[test]
fn a_broken_sensor_has_no_temperature_now_whichever_word_says_so() {
    // Bits 2 and 3 of FD17: t2 and t1 outside range. The highest of last month, and t1 - t2 of then, stay.
    let body = "02FD170C00 02590000 025D4448 0261BCB7 5259102 7".replace(' ', "");
    assert_eq!(
        lines("KAM.12345678.1C.04", &body),
        [
            "flow_temperature actual now absent °C",
            "return_temperature actual now absent °C",
            "temperature_difference actual now absent K",
            "flow_temperature maximum last_month 100.00 °C",
            "info t2_outside_range t1_outside_range",
        ]
    );
    let water = lines("KAM.12345678.33.16", "02FD170800 02590000");
    assert_eq!(water, ["water_temperature actual now absent °C", "info t1_outside_range"]);
    let lines = lines("KAM.12345678.34.04", "02594448 025D102 7".replace(' ', "").as_str());
    assert_eq!(lines, ["flow_temperature actual now absent °C", "return_temperature actual now 100.00 °C"]);
}

#[test]
fn info_codes_of_the_log_are_not_those_of_now() {
    assert_eq!(lines("KAW.53820306.3C.16", "12FF250100 02FF250000").last().unwrap(), "info ");
    assert!(lines("KAW.53820306.3C.16", "12FF250100").is_empty());
    assert!(lines("KAW.53820306.3C.16", "0DFF25 C2 0100").is_empty(), "of variable length");
}

#[test]
fn a_generation_that_is_not_listed_is_read_as_its_relatives() {
    for (meter, name) in [
        ("KAM.12345678.22.16", "MULTICAL 21 / flowIQ 2101, 3100"),
        ("KAW.12345678.44.06", "flowIQ 2200"),
        ("KAM.12345678.41.0D", "MULTICAL 302, 303, 402, 403, 602, 603, 803"),
        ("KAM.12345678.41.02", "OMS"),
        ("ELS.12345678.22.16", "OMS"),
    ] {
        assert_eq!(profile(meter.parse().unwrap()).name, name, "{meter}");
    }
    // Bit 15 of the manufacturer: the address is unique only locally.
    let local = Meter::from_link([0x2D, 0xAC, 0x78, 0x56, 0x34, 0x12, 0x33, 0x16]);
    assert_eq!(profile(local).name, "MULTICAL 62");
}

#[test]
fn what_is_to_come_or_is_no_amount_is_no_measure() {
    // The date of the next reading, at phase L1, a name, a time of day.
    let body = "42EC7E 5F38 02FDC8FC01 FD08 0DFD11 02 4241 036D 010203 0413 01000000";
    assert_eq!(lines("ELS.12345678.22.02", body), ["volume actual now 0.001 m³"]);
}

#[test]
fn the_number_of_the_meter_itself_is_not_that_of_an_input() {
    let body = unhex("844013 01000000 0413 02000000");
    let reading = Reading::of("DME.22332233.63.07".parse().unwrap(), Records::full(&body)).unwrap();
    assert_eq!(reading.now(What::Volume), Some(Decimal::new(2, -3)));
}

#[test]
fn families_do_not_claim_each_others_meters() {
    for (at, profile) in PROFILES.iter().enumerate() {
        for model in profile.models {
            for device in model.devices {
                let meter = Meter {
                    manufacturer: model.manufacturer,
                    version: model.version,
                    device: crate::address::DeviceType(*device),
                    serial: crate::address::Serial::from_wire([0; 4]),
                };
                let claims = PROFILES.iter().filter(|other| other.model(meter).is_some()).count();
                assert_eq!(claims, 1, "{} of profile {at}", model.name);
            }
        }
    }
}

#[test]
fn a_meter_of_another_maker_is_read_by_the_standard() {
    let lines = lines(
        "DME.22332233.63.07",
        "0C1383860000 04FD1700000000 0A5A5500 426C3F3C 84046D3B375F318C041374460000",
    );
    assert_eq!(lines[0], "volume actual now 8.683 m³");
    assert!(lines.contains(&"flow_temperature actual now 5.5 °C".to_string()), "{lines:?}");
}

#[test]
fn error_flags_that_follow_a_standard_are_told_too() {
    assert_eq!(lines("SON.12345678.3C.07", "0413E8030000 02FD971D0100").last().unwrap(), "info bit_0");
}

#[test]
fn what_does_not_fit_is_counted() {
    let body = "01130 1".replace(' ', "").repeat(MAX_MEASURES + 3);
    let reading = Reading::of("DME.22332233.63.07".parse().unwrap(), Records::full(&unhex(&body))).unwrap();
    assert_eq!((reading.measures.len(), reading.left_out), (MAX_MEASURES, 3));
}
