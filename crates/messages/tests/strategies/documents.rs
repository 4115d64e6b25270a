//! Any value of the retained documents.

use std::num::NonZeroU32;

use messages::batch::{Epoch, Nonce, Seq, Stream};
use messages::config::{
    Contact, ContactKind, Delivery, GatewayConfig, Language, Mailed, Repeat, Request, RequestedWork, Rule,
    Rules, Snooze, UtilitySettings,
};
use messages::mail::MailKind;
use messages::seal::PublicKey;
use messages::status::{
    Applied, Backlog, Clock, ClockTrust, Disk, DiskState, Parked, Receiver, ReceiverState, Versions,
};
use messages::{Ack, Cursor, Personal, Presence, State, Status};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::{code, id, meter, span, time, word_of};

pub(crate) fn ack() -> impl Strategy<Value = Ack> {
    (any::<u64>(), vec((epoch(), seq(), option::of(any::<u64>())), 0..3)).prop_map(|(generation, epochs)| {
        Ack {
            generation,
            epochs: epochs
                .into_iter()
                .map(|(epoch, seq, nonce)| Cursor { epoch, seq, nonce: nonce.map(Nonce::from_random) })
                .collect(),
        }
    })
}

pub(crate) fn state() -> impl Strategy<Value = State> {
    let presence = select(&[Presence::Online, Presence::Stopped, Presence::Lost][..]);
    (presence, option::of(time())).prop_map(|(presence, at)| State { presence, at })
}

pub(crate) fn status() -> impl Strategy<Value = Status> {
    let backlog = (epoch(), seq(), seq(), any::<[u64; 3]>(), option::of(time())).prop_map(
        |(epoch, head, acknowledged, [batches, bytes, lost], oldest)| Backlog {
            epoch,
            head,
            acknowledged,
            batches,
            bytes,
            oldest,
            lost,
        },
    );
    let receiver = (
        text(),
        text(),
        option::of(text()),
        word_of(ReceiverState::KNOWN),
        option::of(time()),
        any::<[u64; 2]>(),
    )
        .prop_map(|(name, protocol, firmware, state, since, [frames, garbage])| Receiver {
            name,
            protocol,
            firmware,
            state,
            since,
            frames,
            garbage,
            heard: since,
        });
    let applied = (any::<u64>(), any::<u64>(), btree_map(meter(), any::<u64>(), 0..3))
        .prop_map(|(version, behind, meters)| Applied { version, behind, meters });
    let parked = (stream(), seq(), text()).prop_map(|(stream, seq, reason)| Parked { stream, seq, reason });
    let clock = (word_of(ClockTrust::KNOWN), option::of(time()), any::<u64>())
        .prop_map(|(trust, synchronised, unplaced)| Clock { trust, synchronised, unplaced });
    let disk = (word_of(DiskState::KNOWN), any::<[u64; 3]>())
        .prop_map(|(state, [used, budget, free])| Disk { state, used, budget, free });
    let versions = (text(), option::of(text()), option::of(text()))
        .prop_map(|(vesigate, system, machine)| Versions { vesigate, system, machine });
    let lists = (btree_map(stream(), backlog, 0..4), vec(receiver, 0..3), applied, vec(parked, 0..3));
    let keys = (any::<[u8; 32]>(), any::<[u8; 32]>(), option::of(text()));
    (option::of(time()), versions, any::<[u64; 2]>(), lists, keys, clock, disk).prop_map(
        |(at, versions, [uptime_s, never_placed], lists, keys, clock, disk)| Status {
            at,
            versions,
            uptime_s,
            backlog: lists.0,
            receivers: lists.1,
            config: lists.2,
            collect_key: PublicKey::from_bytes(keys.0),
            deliver_key: PublicKey::from_bytes(keys.1),
            certificate_request: keys.2,
            certificate_expires: at,
            parked: lists.3,
            clock,
            disk,
            never_placed,
        },
    )
}

pub(crate) fn gateway_config() -> impl Strategy<Value = GatewayConfig> {
    let utility = (text(), text(), language(), option::of(text()), option::of(text())).prop_map(
        |(name, time_zone, language, emergency_phone, portal_url)| UtilitySettings {
            name,
            time_zone,
            language,
            emergency_phone,
            portal_url,
        },
    );
    (any::<u64>(), btree_map(meter(), any::<u64>(), 0..4), rules(), utility, option::of(text())).prop_map(
        |(version, meters, rules, utility, certificate)| GatewayConfig {
            version,
            meters,
            rules,
            utility,
            certificate,
        },
    )
}

pub(crate) fn delivery() -> impl Strategy<Value = Delivery> {
    let snooze = (code(), time()).prop_map(|(code, until)| Snooze { code, until });
    let lists = (
        vec(contact(), 0..=5),
        vec(snooze, 0..3),
        vec(mailed(), 0..3),
        vec(mailed(), 0..3),
        vec(request(), 0..3),
    );
    (meter(), any::<u64>(), any::<bool>(), rules(), option::of(text()), lists).prop_map(
        |(meter, version, alarm_gateway, rules, label, lists)| Delivery {
            meter,
            version,
            alarm_gateway,
            contacts: lists.0,
            rules,
            snoozes: lists.1,
            label: label.map(Personal::from),
            mailed: lists.2,
            claims: lists.3,
            requests: lists.4,
        },
    )
}

fn contact() -> impl Strategy<Value = Contact> {
    let kind = select(&[ContactKind::Utility, ContactKind::Customer][..]);
    let ends = (option::of(time()), option::of(text()));
    (id(), "[a-z]{1,9}@[a-z]{1,9}", language(), btree_set(code(), 0..4), kind, any::<bool>(), ends).prop_map(
        |(id, email, language, codes, kind, confirmed, (valid_until, link))| Contact {
            id,
            email: email.parse().unwrap(),
            language,
            codes,
            kind,
            confirmed,
            valid_until,
            unsubscribe: link.map(Personal::from),
        },
    )
}

fn mailed() -> impl Strategy<Value = Mailed> {
    (code(), span(), id(), word_of(MailKind::KNOWN), any::<u32>())
        .prop_map(|(code, span, contact, kind, repeat)| Mailed { code, span, contact, kind, repeat })
}

fn request() -> impl Strategy<Value = Request> {
    let work = prop_oneof![
        id().prop_map(|contact| RequestedWork::TestMail { contact }),
        (time(), time()).prop_map(|(from, to)| RequestedWork::Erase { from, to }),
    ];
    (id(), time(), work).prop_map(|(id, expires, work)| Request { id, expires, work })
}

fn rules() -> impl Strategy<Value = Rules> {
    let repeat = (1..=u32::MAX, any::<u32>())
        .prop_map(|(hours, times)| Repeat { every_hours: NonZeroU32::new(hours).unwrap(), times });
    let rule =
        (any::<u32>(), option::of(repeat)).prop_map(|(after_minutes, repeat)| Rule { after_minutes, repeat });
    btree_map(code(), rule, 0..3)
}

fn epoch() -> impl Strategy<Value = Epoch> {
    any::<(bool, u128)>()
        .prop_map(|(thrown, id)| if thrown { Epoch::throw_away(id) } else { Epoch::durable(id) })
}

fn seq() -> impl Strategy<Value = Seq> {
    any::<u64>().prop_map(Seq::new)
}

fn stream() -> impl Strategy<Value = Stream> {
    select(&Stream::ALL[..])
}

fn language() -> impl Strategy<Value = Language> {
    select(&[Language::Fi, Language::Sv, Language::En][..])
}

fn text() -> impl Strategy<Value = String> {
    ".{0,12}"
}
