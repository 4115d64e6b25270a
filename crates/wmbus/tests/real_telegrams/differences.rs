//! Where we differ on purpose, and why. An entry that is not needed fails the test.

use wmbus::compact::CompactError;
use wmbus::meter::ReadError;
use wmbus::telegram::Unsupported;
use wmbus::transport::Application;

use crate::rows::Rows;

/// How a telegram that gives no reading ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    FrameTruncated,
    NoKey,
    WrongKey,
    Unsupported(Unsupported),
    /// Its CI says that only the manufacturer can read it.
    MakersOwn,
    /// The full-frame CRC of a compact frame.
    FullCrc,
    /// The walk over the records breaks off.
    Records,
}

impl End {
    pub(crate) fn of(error: ReadError) -> Self {
        match error {
            ReadError::NoRecords(Application::Manufacturer(_)) => Self::MakersOwn,
            ReadError::Compact(CompactError::FullCrc(_)) => Self::FullCrc,
            ReadError::Record(_) => Self::Records,
            other => panic!("{other}"),
        }
    }
}

/// Telegrams that must not give a reading although the row does not say so, or that end in another way.
pub(crate) static ENDS: &[(&[Rows], End, &str)] = &[
    (
        &[("kamstrup", &[26, 30]), ("kamstrup_sealed", &[22, 25])],
        End::FullCrc,
        "their data was altered by hand after the full-frame CRC had been made",
    ),
    (&[("water_other", &[1])], End::Unsupported(Unsupported::Mode(2)), "DES"),
    (&[("water_other", &[54])], End::Unsupported(Unsupported::Mode(16)), "a reserved mode, the maker's own"),
    (
        &[("water_other", &[47, 48, 64, 65])],
        End::Records,
        "bytes of the receiver stand behind the records inside the length, or the length cuts a record: when the walk \
         over the records breaks off, none of them is trusted",
    ),
    (
        &[("water_other", &[67, 68])],
        End::Records,
        "the maker's own data without the DIF 0F that would say so; as records it breaks off",
    ),
];

/// Why a value differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// It is in data that only the manufacturer can read, and that we name as such.
    MakersOwn,
    /// Something else.
    Because(&'static str),
}

/// Values that differ.
pub(crate) struct Difference {
    pub(crate) names: &'static [&'static str],
    /// None means all rows.
    pub(crate) rows: &'static [Rows],
    pub(crate) why: Why,
}

use Why::{Because, MakersOwn};

pub(crate) static DIFFERENCES: &[Difference] = &[
    Difference { names: &["meter"], rows: &[], why: Because("which of its drivers that program took") },
    Difference {
        names: &["device", "rssi_dbm"],
        rows: &[("kamstrup", &[29])],
        why: Because("from the receiver, not from the telegram"),
    },
    Difference {
        names: &["t1_temperature_c", "t2_temperature_c"],
        rows: &[("kamstrup", &[19, 20]), ("kamstrup_sealed", &[15, 16])],
        why: Because("0.00 beside an info code that says that the sensor is broken is no temperature"),
    },
    Difference {
        names: &["flow_temperature_c"],
        rows: &[("kamstrup", &[22, 23, 29, 32]), ("kamstrup_sealed", &[18, 19])],
        why: Because("127 as the lowest of a period is the start value: nothing was measured"),
    },
    Difference {
        names: &["flow_temperature"],
        rows: &[("kamstrup", &[43, 44]), ("kamstrup_sealed", &[30, 31])],
        why: Because("127 as the lowest of a period is the start value: nothing was measured"),
    },
    Difference {
        names: &["external_temperature"],
        rows: &[("kamstrup", &[43]), ("kamstrup_sealed", &[30])],
        why: Because("that program did not know the layout and left it 0; the data says 23"),
    },
    Difference {
        names: &["status"],
        rows: &[("kamstrup", &[25]), ("kamstrup_sealed", &[21])],
        why: Because("bit 11 is part of how long the meter was dry, and no condition of now"),
    },
    Difference { names: &["total_m3"], rows: &[("water_other", &[2, 3, 4, 5, 6, 53, 71])], why: MakersOwn },
    Difference {
        names: &["due_date", "due_date_m3", "due_17_date", "due_17_date_m3"],
        rows: &[("water_other", &[53])],
        why: MakersOwn,
    },
    Difference {
        names: &["status"],
        rows: &[("water_other", &[53])],
        why: Because(
            "without a status byte and flags nothing is reported, which is not the same as all well",
        ),
    },
    Difference { names: &["power_mode"], rows: &[("water_other", &[17])], why: MakersOwn },
    Difference { names: &["status"], rows: &[("water_other", &[18])], why: MakersOwn },
    Difference {
        names: &["battery_y"],
        rows: &[("water_other", &[17, 18])],
        why: Because("theirs is from the maker's own data; the record FD74 says 5301 days"),
    },
    Difference { names: &["contents", "voltage_v"], rows: &[("water_other", &[19, 20, 73])], why: MakersOwn },
    Difference { names: &["fraud_date", "fraud_type"], rows: &[("water_other", &[19])], why: MakersOwn },
    Difference { names: &["backflow_m3"], rows: &[("water_other", &[20, 73])], why: MakersOwn },
    Difference { names: &["unknowna", "unknownb"], rows: &[("water_other", &[26])], why: MakersOwn },
    Difference {
        names: &["status"],
        rows: &[("water_other", &[29, 33, 44])],
        why: Because("bits 5 to 7 of the status byte are the maker's own; we give their numbers, no names"),
    },
    Difference {
        names: &["status"],
        rows: &[("water_other", &[57, 70])],
        why: Because(
            "error flags are the maker's own, and so are bits 5 to 7 of the status byte: numbers, no names",
        ),
    },
    Difference {
        names: &["error_flags"],
        rows: &[("water_other", &[77])],
        why: Because("error flags are the maker's own; we give their numbers, no names"),
    },
    Difference {
        names: &["current_status"],
        rows: &[("water_other", &[56])],
        why: Because("that driver looks at the error flags alone; the status byte says abnormal condition"),
    },
    Difference {
        names: &["battery_pct"],
        rows: &[("water_other", &[46])],
        why: Because("FD74 is the remaining time in days by the standard; percent is that maker's use of it"),
    },
    Difference {
        names: &["volume_flow_m3h"],
        rows: &[("water_other", &[50, 51, 52])],
        why: Because("VIFE 56 makes it the hours that a limit was exceeded, no flow"),
    },
    Difference {
        names: &[
            "history_1_date",
            "history_2_date",
            "history_3_date",
            "history_4_date",
            "history_5_date",
            "history_6_date",
            "history_7_date",
            "history_8_date",
            "history_9_date",
            "history_10_date",
            "history_11_date",
            "history_12_date",
        ],
        rows: &[("water_other", &[15, 61, 62])],
        why: Because("computed by that program; the telegram has a single date"),
    },
    Difference {
        names: &["history_13_date", "history_14_date", "history_15_date"],
        rows: &[("water_other", &[61, 62])],
        why: Because("computed by that program; the telegram has a single date"),
    },
];
