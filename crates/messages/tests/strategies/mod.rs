//! Any value of the record types and of what they are made of.
#![allow(clippy::unwrap_used, reason = "tests")]

pub(crate) mod documents;

use std::collections::BTreeMap;

use messages::batch::Record;
use messages::event::{Episode, MeterStatus, Problem, ProblemKind, Reception, Refusal, Standing};
use messages::mail::{Alarm, MailKind, MailOutcome, MailReport, RequestOutcome, RequestReport};
use messages::reading::{Checked, Code, DurationClass, Extremes, HourRow, Minutes, Register, Role};
use messages::{Decimal, Hour, Id, MeterId, Other, Quantity, Span, Time, Unit};
use proptest::collection::{btree_map, btree_set};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

pub(crate) fn record() -> impl Strategy<Value = Record> {
    prop_oneof![
        4 => hour_row(meter(), hour()).prop_map(|row| Record::Hour(Box::new(row))),
        1 => episode(id()).prop_map(Record::Episode),
        1 => meter_status().prop_map(Record::Meter),
        1 => problem().prop_map(Record::Problem),
        1 => alarm().prop_map(Record::Alarm),
        1 => mail().prop_map(Record::Mail),
        1 => request_report().prop_map(Record::Request),
    ]
}

pub(crate) fn hour_row(
    meter: impl Strategy<Value = MeterId>,
    boundary: impl Strategy<Value = Hour>,
) -> impl Strategy<Value = HourRow> {
    let values = (
        btree_map(word_of(Role::KNOWN), register(), 0..3),
        option::of(extremes()),
        option::of(extremes()),
        option::of(extremes()),
    );
    let codes = (
        btree_set(code(), 0..4),
        btree_map(code(), (0..=7_u8).prop_map(|class| DurationClass::try_from(class).unwrap()), 0..3),
        btree_map(code(), (0..=60_u8).prop_map(|minutes| Minutes::try_from(minutes).unwrap()), 0..3),
    );
    let marks = (
        any::<bool>(),
        any::<bool>(),
        select(&[Checked::Plain, Checked::Checksum, Checked::Authenticated][..]),
        other(),
    );
    (meter, boundary, values, codes, any::<u32>(), option::of(any::<i16>()), marks).prop_map(
        |(meter, boundary, values, codes, telegrams, rssi, marks)| HourRow {
            meter,
            boundary,
            registers: values.0.into_iter().collect(),
            flow: values.1,
            water: values.2,
            ambient: values.3,
            codes: codes.0,
            classes: codes.1,
            minutes: codes.2,
            telegrams,
            rssi,
            late: marks.0,
            inferred: marks.1,
            checked: marks.2,
            other: marks.3,
        },
    )
}

pub(crate) fn episode(id: impl Strategy<Value = Id>) -> impl Strategy<Value = Episode> {
    let standing = select(&[Standing::Active, Standing::Unknown, Standing::Ended][..]);
    (id, option::of(time()), option::of(time()), any::<u64>(), standing, any::<bool>(), other()).prop_map(
        |(id, started, seen, lasted, standing, late, other)| Episode {
            id,
            meter: "KAM.76348799.1B.16".parse().unwrap(),
            code: Code::Leak,
            started,
            seen,
            lasted,
            standing,
            late,
            other,
        },
    )
}

fn meter_status() -> impl Strategy<Value = MeterStatus> {
    let refused = btree_map(word_of(Refusal::KNOWN), any::<u64>(), 0..4);
    (meter(), time(), word_of(Reception::KNOWN), option::of(time()), any::<(u64, u64)>(), refused, other())
        .prop_map(|(meter, at, reception, opened, (quarantined, sealed), refused, other)| MeterStatus {
            meter,
            at,
            reception,
            opened,
            quarantined,
            sealed,
            refused,
            other,
        })
}

fn problem() -> impl Strategy<Value = Problem> {
    let kind = word_of(ProblemKind::KNOWN);
    (id(), kind, option::of(".{0,20}"), option::of(time()), option::of(time()), other()).prop_map(
        |(id, problem, place, since, until, other)| Problem { id, problem, place, since, until, other },
    )
}

fn alarm() -> impl Strategy<Value = Alarm> {
    (id(), meter(), code(), time(), span(), any::<u32>(), other()).prop_map(
        |(episode, meter, code, at, span, contacts, other)| Alarm {
            episode,
            meter,
            code,
            at,
            span,
            contacts,
            other,
        },
    )
}

fn mail() -> impl Strategy<Value = MailReport> {
    let what = (word_of(MailKind::KNOWN), any::<u32>(), option::of(code()), option::of(span()));
    let outcome = (word_of(MailOutcome::KNOWN), option::of(any::<u16>()));
    ("[a-z0-9]{1,20}@x", meter(), what, id(), time(), outcome, other()).prop_map(
        |(message, meter, (kind, repeat, code, span), contact, at, (outcome, reply), other)| MailReport {
            message,
            meter,
            kind,
            repeat,
            code,
            span,
            contact,
            at,
            outcome,
            reply,
            other,
        },
    )
}

fn request_report() -> impl Strategy<Value = RequestReport> {
    (id(), meter(), time(), word_of(RequestOutcome::KNOWN), other())
        .prop_map(|(id, meter, at, outcome, other)| RequestReport { id, meter, at, outcome, other })
}

fn id() -> impl Strategy<Value = Id> {
    any::<u128>().prop_map(Id::from_random)
}

fn meter() -> impl Strategy<Value = MeterId> {
    "[A-Z]{3}\\.[0-9A-F]{8}\\.[0-9A-F]{2}\\.[0-9A-F]{2}".prop_map(|text| text.parse().unwrap())
}

fn time() -> impl Strategy<Value = Time> {
    (Time::MIN.unix()..=Time::MAX.unix()).prop_map(|seconds| Time::from_unix(seconds).unwrap())
}

fn hour() -> impl Strategy<Value = Hour> {
    prop_oneof![Just("2026-11-24T01:00:00Z".parse().unwrap()), time().prop_map(Hour::at_or_before)]
}

fn span() -> impl Strategy<Value = Span> {
    (time(), option::of(time())).prop_map(|(from, to)| Span { from, to })
}

fn code() -> impl Strategy<Value = Code> {
    prop_oneof![3 => select(Code::KNOWN), 1 => (0..64_u8).prop_map(Code::bit)]
}

pub(crate) fn decimal() -> impl Strategy<Value = Decimal> {
    (prop_oneof![any::<i64>(), -50..50_i64], -9..=9_i8)
        .prop_map(|(mantissa, exponent)| Decimal::new(mantissa, exponent).unwrap())
}

fn quantity() -> impl Strategy<Value = Quantity> {
    (select(&Unit::ALL[..]), decimal()).prop_map(|(unit, value)| Quantity { unit, value })
}

fn register() -> impl Strategy<Value = Register> {
    let offset = prop_oneof![-65..65_i32, -3700..3700_i32, any::<i32>()];
    (quantity(), offset).prop_map(|(value, offset)| Register { value, offset })
}

fn extremes() -> impl Strategy<Value = Extremes> {
    (quantity(), quantity()).prop_map(Extremes::from)
}

fn word_of<T: Clone + std::fmt::Debug + std::str::FromStr<Err: std::fmt::Debug> + 'static>(
    known: &'static [T],
) -> impl Strategy<Value = T> {
    prop_oneof![5 => select(known), 1 => "later_[a-z0-9_]{0,20}".prop_map(|word| word.parse().unwrap())]
}

/// Fields whose names no version knows. Never null: in a table that is the same as absent.
fn other() -> impl Strategy<Value = Other> {
    let value = prop_oneof![any::<i64>().prop_map(Into::into), ".{0,9}".prop_map(serde_json::Value::String)];
    let fields: BoxedStrategy<BTreeMap<String, serde_json::Value>> =
        prop_oneof![4 => Just(BTreeMap::new()), 1 => btree_map("later_[a-z]{1,3}", value, 1..3)].boxed();
    fields.prop_map(|fields| fields.into_iter().collect())
}
