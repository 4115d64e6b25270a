//! English.

use messages::reading::Code;

use super::words::{CodeWords, Words, grouped};

pub(super) const WORDS: Words = Words {
    tag: "en",
    code,
    reminder: "Reminder",
    over: "Over",
    goes_on: "The alarm still goes on.",
    test: (
        "Test of the water alarms",
        "This is a test: nothing is wrong. Alarms of the water meter come to this address.",
    ),
    place: "Place",
    point: "Metering point",
    meter: "Water meter number",
    since: "Since",
    until: "Until",
    flow: "Flow",
    meter_number: |serial| format!("water meter {serial}"),
    at_least: |hour, day| format!("at least {} an hour (at least {} a day)", litres(hour), litres(day)),
    moment: |at| {
        let month = MONTHS.get(usize::from(at.month().unsigned_abs()).saturating_sub(1)).unwrap_or(&"");
        format!("{} {month} {} at {:02}:{:02}", at.day(), at.year(), at.hour(), at.minute())
    },
    what_to_do: "What you can do",
    staff: "Contact the customer at this place, or whoever looks after the building.",
    phone: |phone| format!("Leak emergency, day and night: {phone}"),
    portal: "See your water use hour by hour:",
    unsubscribe: "If you do not want these mails, end them here:",
    automatic: "This mail was sent automatically by the device that reads the water meter.",
};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

fn litres(number: u64) -> String {
    format!("{} {}", grouped(number), if number == 1 { "litre" } else { "litres" })
}

#[expect(clippy::too_many_lines, reason = "a list of words, one entry for each code")]
fn code(code: &Code) -> CodeWords {
    match code {
        Code::Leak => CodeWords {
            name: "leak alarm",
            what: "The water meter reports continuous flow: water runs without a pause. It may be a leak.".to_owned(),
            over: "The water meter no longer reports continuous flow.",
            note: Some(
                "The meter itself waits 24 hours before it says leak: in that time the water has not stood still for \
                 a single hour. So it was already running a day before the time given above.",
            ),
            advice: &[
                "Close all taps and everything that uses water, and see whether the meter still turns.",
                "Check the toilets: one that runs quietly is the most common cause. Hold a piece of paper against \
                 the dry back of the bowl and see whether it gets wet.",
                "Check for dripping taps, outdoor taps, irrigation and the safety valve of the water heater.",
                "If you cannot find the cause, close the main valve and call a plumber or whoever looks after the \
                 building.",
            ],
        },
        Code::Burst => CodeWords {
            name: "burst alarm",
            what: "The water meter reports a burst: a lot of water has been running for at least half an hour without \
                   a pause. A pipe or a hose may be broken."
                .to_owned(),
            over: "The water meter no longer reports a burst.",
            note: None,
            advice: &[
                "Unless the water is used on purpose (to fill a pool or to water a garden, say), close the main valve \
                 at once.",
                "Look for water in the cellar, the bathroom, the kitchen and outdoors.",
                "Call a plumber or whoever looks after the building.",
            ],
        },
        Code::Dry => CodeWords {
            name: "water meter is dry",
            what: "The water meter reports that there is no water in it.".to_owned(),
            over: "There is water in the water meter again.",
            note: None,
            advice: &[
                "If the water was turned off or the pipes were drained, there is nothing to do.",
                "Otherwise contact the water utility.",
            ],
        },
        Code::Reverse => CodeWords {
            name: "reverse flow",
            what: "The water meter reports reverse flow: water runs from the building into the network.".to_owned(),
            over: "The water meter no longer reports reverse flow.",
            note: None,
            advice: &[
                "Water that runs back can foul the drinking water. Close what could press water into the network, \
                 such as pumps and the filling of a heating system.",
                "Contact the water utility.",
            ],
        },
        Code::Tamper => CodeWords {
            name: "water meter tampered with",
            what: "The water meter reports that somebody has tampered with it.".to_owned(),
            over: "The water meter no longer reports tampering.",
            note: None,
            advice: &["Check that the meter is whole and in its place, and contact the water utility."],
        },
        Code::LowBattery => CodeWords {
            name: "battery of the water meter is low",
            what: "The water meter reports that its battery is nearly empty.".to_owned(),
            over: "The water meter no longer reports a low battery.",
            note: None,
            advice: &["There is no hurry. Arrange with the water utility to have the meter replaced."],
        },
        Code::AmbientTemperatureLow => CodeWords {
            name: "danger of frost",
            what: "The water meter reports that it is cold around it. Meter and pipes may freeze.".to_owned(),
            over: "The water meter no longer reports cold.",
            note: None,
            advice: &[
                "Check that the heating near the meter works and that doors and windows are closed.",
                "If no water comes, do not thaw pipes with a flame: call a plumber.",
            ],
        },
        Code::AmbientTemperatureHigh => CodeWords {
            name: "heat around the water meter",
            what: "The water meter reports that it is hot around it.".to_owned(),
            over: "The water meter no longer reports heat.",
            note: None,
            advice: &["Check what heats the room of the meter."],
        },
        Code::FlowAboveQ4 => CodeWords {
            name: "too much flow",
            what: "The water meter reports more flow than it is made for (Q4).".to_owned(),
            over: "The flow through the water meter is no longer too high.",
            note: None,
            advice: &[
                "Unless so much water is used on purpose, close the main valve and look for a leak.",
                "If so much water is needed, ask the water utility for a larger meter.",
            ],
        },
        Code::NoConsumption => CodeWords {
            name: "no water used",
            what: "The water meter reports that no water has been used for a long time.".to_owned(),
            over: "Water is being used again.",
            note: None,
            advice: &[
                "If nobody is there, there is nothing to do.",
                "If somebody lives there alone, make sure that they are well.",
            ],
        },
        other => CodeWords {
            name: "report of the water meter",
            what: format!("The water meter shows the info code {other}."),
            over: "The water meter no longer shows this info code.",
            note: None,
            advice: &["Contact the water utility if need be."],
        },
    }
}
