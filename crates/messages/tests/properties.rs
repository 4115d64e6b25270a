//! What holds for every value and every byte: round trips, no panics, and the laws of joining.
#![allow(clippy::unwrap_used, reason = "tests")]

mod strategies;

use std::fmt::Debug;

use messages::batch::{Body, ContentType, Envelope, Epoch, Missing, Nonce, Record, Seq, Stream};
use messages::config::{Delivery, GatewayConfig, MeterConfig};
use messages::enrol::{EnrolAnswer, EnrolRequest};
use messages::event::Episode;
use messages::reading::{HourRow, join};
use messages::seal::SecretKey;
use messages::topic::Topic;
use messages::{Ack, Decimal, Hour, Id, MeterId, State, Status};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde::de::DeserializeOwned;
use strategies::{decimal, documents, episode, hour_row, record};

fn rows() -> impl Strategy<Value = HourRow> {
    let meter: MeterId = "KAM.76348799.1B.16".parse().unwrap();
    let hour: Hour = "2026-11-24T01:00:00Z".parse().unwrap();
    hour_row(Just(meter), Just(hour))
}

/// Reports of one episode; what its id fixes is the same in all.
fn episodes() -> impl Strategy<Value = Episode> {
    episode(Just(Id::from_random(1)))
}

fn envelope() -> impl Strategy<Value = Envelope> {
    let ranges = vec((any::<u64>(), any::<u64>()), 0..5);
    (select(&Stream::ALL[..]), any::<(bool, u128)>(), 1..=u64::MAX, any::<u64>(), ranges).prop_map(
        |(stream, (thrown, id), seq, nonce, ranges)| Envelope {
            stream,
            epoch: if thrown { Epoch::throw_away(id) } else { Epoch::durable(id) },
            seq: Seq::new(seq),
            nonce: Nonce::from_random(nonce),
            missing: Missing::from_ranges(
                ranges.into_iter().map(|(from, to)| (Seq::new(from), Seq::new(to))),
            ),
        },
    )
}

/// The order that a body gives its records.
fn sorted(records: Vec<Record>) -> Vec<Record> {
    let (mut hours, mut all): (Vec<_>, Vec<_>) =
        records.into_iter().partition(|record| matches!(record, Record::Hour(_)));
    hours.sort_by_key(|record| match record {
        Record::Hour(row) => Some((row.boundary, row.meter)),
        _ => None,
    });
    all.append(&mut hours);
    all
}

fn same<T: DeserializeOwned + serde::Serialize + PartialEq + Debug>(value: &T) {
    assert_eq!(&serde_json::from_slice::<T>(&serde_json::to_vec(value).unwrap()).unwrap(), value);
}

fn document<T: DeserializeOwned + serde::Serialize + PartialEq + Debug>(text: &str) {
    if let Ok(value) = serde_json::from_str::<T>(text) {
        same(&value);
    }
}

proptest! {
    #[test]
    fn records_survive_a_batch(records in vec(record(), 0..12)) {
        let body = Body::encode(&records).unwrap();
        let decoded: Result<Vec<Record>, _> = body.decode().unwrap().into_iter().collect();
        prop_assert_eq!(decoded.unwrap(), sorted(records));
    }

    #[test]
    fn many_rows_of_one_boundary_survive_their_table(rows in vec(rows(), 2..9)) {
        let records: Vec<Record> = rows.into_iter().map(|row| Record::Hour(Box::new(row))).collect();
        let decoded: Result<Vec<Record>, _> = Body::encode(&records).unwrap().decode().unwrap().into_iter().collect();
        prop_assert_eq!(decoded.unwrap(), records, "rows of one key keep their order");
    }

    #[test]
    fn an_envelope_survives_its_properties(envelope in envelope()) {
        prop_assert_eq!(Envelope::from_properties(&envelope.to_properties()), Ok(envelope));
    }

    #[test]
    fn a_decimal_survives_its_text_and_orders_like_a_number(a in decimal(), b in decimal()) {
        prop_assert_eq!(a.to_string().parse::<Decimal>(), Ok(a));
        let wide = |d: Decimal| i128::from(d.mantissa()) * 10_i128.pow(u32::try_from(d.exponent() + 9).unwrap());
        if wide(a) != wide(b) {
            prop_assert_eq!(a < b, wide(a) < wide(b));
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in vec(any::<u8>(), 0..300)) {
        for content_type in [ContentType::Json, ContentType::Deflated] {
            let _ = Body { content_type, bytes: bytes.clone() }.decode();
        }
    }

    #[test]
    fn any_text_is_read_without_a_panic(text in ".{0,60}", key in "stream|epoch|seq|nonce|missing") {
        let _ = text.parse::<Topic>();
        let _ = text.parse::<MeterId>();
        let _ = text.parse::<Decimal>();
        let _ = text.parse::<Missing>();
        let _ = Envelope::from_properties(&[(key, text)]);
    }

    #[test]
    fn a_batch_with_a_flipped_byte_is_read_without_a_panic(
        records in vec(record(), 1..6), at in any::<prop::sample::Index>(), flip in 1..=255_u8,
    ) {
        let json = Body::encode(&records).unwrap().json().unwrap();
        let mut bytes = json.into_bytes();
        *at.get_mut(&mut bytes) ^= flip;
        let _ = Body { content_type: ContentType::Json, bytes }.decode();
    }

    #[test]
    fn documents_survive_their_json(
        ack in documents::ack(), state in documents::state(), status in documents::status(),
        config in documents::gateway_config(),
    ) {
        same(&ack);
        same(&state);
        same(&status);
        same(&config);
    }

    #[test]
    fn what_is_sealed_is_opened_alike(delivery in documents::delivery(), keys in any::<[[u8; 32]; 2]>()) {
        let [secret, random] = keys;
        let secret = SecretKey::from_bytes(secret);
        let config = MeterConfig::seal(&delivery, &secret.public(), random, None).unwrap();
        same(&config);
        prop_assert_eq!(config.open(delivery.meter, &secret), Ok(Some(delivery)));
    }

    #[test]
    fn any_document_that_is_read_is_written_alike(text in document_like()) {
        document::<Ack>(&text);
        document::<State>(&text);
        document::<Status>(&text);
        document::<GatewayConfig>(&text);
        document::<MeterConfig>(&text);
        document::<Delivery>(&text);
        document::<EnrolRequest>(&text);
        document::<EnrolAnswer>(&text);
    }

    #[test]
    fn joining_rows_is_commutative(a in rows(), b in rows()) {
        prop_assert_eq!(join(&a, &b).unwrap(), join(&b, &a).unwrap());
    }

    #[test]
    fn joining_rows_is_associative(a in rows(), b in rows(), c in rows()) {
        let left = join(&join(&a, &b).unwrap(), &c).unwrap();
        prop_assert_eq!(left, join(&a, &join(&b, &c).unwrap()).unwrap());
    }

    #[test]
    fn joining_rows_is_idempotent(a in rows(), b in rows()) {
        let joined = join(&a, &b).unwrap();
        prop_assert_eq!(&join(&joined, &a).unwrap(), &joined);
        prop_assert_eq!(&join(&joined, &joined).unwrap(), &joined);
    }

    #[test]
    fn joining_keeps_the_register_nearest_to_the_boundary(a in rows(), b in rows()) {
        let joined = join(&a, &b).unwrap();
        for (role, kept) in &joined.registers {
            for candidate in [&a, &b].into_iter().filter_map(|row| row.registers.get(role)) {
                prop_assert!(*kept <= candidate.snapped());
            }
        }
    }

    #[test]
    fn reports_of_an_episode_join_in_any_order(a in episodes(), b in episodes(), c in episodes()) {
        prop_assert_eq!(a.joined(&b), b.joined(&a));
        prop_assert_eq!(a.joined(&b).joined(&c), a.joined(&b.joined(&c)));
        prop_assert_eq!(a.joined(&a), a.clone());
    }
}

/// Pieces of documents put together at random: now and then one is readable.
fn document_like() -> impl Strategy<Value = String> {
    let fields = vec![
        r#""version":3"#,
        r#""tombstone":true"#,
        r#""meters":{"KAM.76348799.1B.16":2}"#,
        r#""utility":{"name":"X","time_zone":"Europe/Helsinki","language":"fi"}"#,
        r#""generation":1"#,
        r#""epochs":[]"#,
        r#""presence":"online""#,
        r#""meter":"KAM.76348799.1B.16""#,
        r#""alarm_gateway":true"#,
        r#""deliver":"AAAA""#,
        r#""later":{"a":[1.5]}"#,
        r#""at":"2026-11-24T01:00:07Z""#,
    ];
    let count = fields.len();
    prop::sample::subsequence(fields, 0..=count).prop_map(|fields| format!("{{{}}}", fields.join(",")))
}
