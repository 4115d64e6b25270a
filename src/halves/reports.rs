//! What the delivering half tells of alarms and of what is under way: of itself while it runs, out of its file while it
//! does not.

use std::collections::{BTreeMap, BTreeSet};

use messages::batch::{Epoch, Seq, Stream};
use messages::{MeterId, Time};
use serde::{Deserialize, Serialize};

use crate::health::status::UplinkStatus;
use crate::store::{AlarmLists, CollectReader, DeliverView, Gap, Standing, StoreError};

/// At most so many episodes, alarms and mails are told: an answer of half the bytes that one may have.
const MOST: u32 = 2000;

/// Episodes, alarms and mails since a moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AlarmReport {
    /// What the store has.
    #[serde(flatten)]
    pub lists: AlarmLists,
    /// What mail servers replied to these mails, by Message-ID.
    pub replies: BTreeMap<String, u16>,
    /// There are more than are told: these are the newest, and those that go on.
    #[serde(default)]
    pub cut: bool,
}

impl AlarmReport {
    /// Out of the store, of one meter or of all.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn read(view: DeliverView<'_>, since: Time, meter: Option<MeterId>) -> Result<Self, StoreError> {
        let lists = view.alarms(since, meter, MOST)?;
        let listed: BTreeSet<&str> = lists.mails.iter().map(|mail| mail.message.as_str()).collect();
        let replies = view.replies(since, &listed)?;
        let most = usize::try_from(MOST).unwrap_or(usize::MAX);
        let cut = [lists.episodes.len(), lists.alarms.len(), lists.mails.len()].iter().any(|is| *is >= most);
        Ok(Self { replies, cut, lists })
    }
}

/// One stream on its way to the portal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamReport {
    /// Which.
    pub stream: Stream,
    /// Its numbering.
    pub epoch: Epoch,
    /// The newest block; 0 for none.
    pub head: Seq,
    /// How far the portal has it.
    pub acknowledged: Seq,
    /// Batches under way; absent while the delivering half does not run, or its uplink is off.
    pub in_flight: Option<u64>,
    /// Blocks that the portal does not have yet.
    pub waiting: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// When the oldest of them was stored, if the clock could tell.
    pub oldest: Option<Time>,
    /// Blocks kept, acknowledged or not.
    pub kept: u64,
    /// Their bytes.
    pub kept_bytes: u64,
    /// Blocks of this numbering that were given up before the portal had them.
    pub lost: u64,
    /// Numbers that the portal does not have and that can never be sent.
    pub missing: Vec<Gap>,
    /// Blocks that are not sent until somebody asks for it.
    pub parked: Vec<ParkedBlock>,
}

/// A block that is not sent until somebody asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedBlock {
    /// Its number.
    pub seq: Seq,
    /// What the broker or the connection said.
    pub reason: String,
}

/// How all streams stand, as far as each file can be read.
///
/// # Errors
/// See [`StoreError`].
pub fn streams(
    collect: Option<&CollectReader>,
    deliver: Option<DeliverView<'_>>,
    uplink: Option<&UplinkStatus>,
) -> Result<Vec<StreamReport>, StoreError> {
    let mut reports = Vec::new();
    for stream in Stream::ALL {
        let standing = match (stream, collect, deliver) {
            (Stream::Mails, _, Some(view)) => view.standing()?,
            (Stream::Readings | Stream::Events, Some(reader), _) => {
                let known = acknowledged(stream, reader.epoch()?, deliver, uplink)?;
                reader.standing(stream, known)?
            }
            _ => continue,
        };
        reports.push(report(stream, standing, deliver, uplink)?);
    }
    Ok(reports)
}

/// What the uplink, or else what it noted last, has of this numbering.
fn acknowledged(
    stream: Stream,
    epoch: Epoch,
    deliver: Option<DeliverView<'_>>,
    uplink: Option<&UplinkStatus>,
) -> Result<Seq, StoreError> {
    let sending = uplink.and_then(|uplink| uplink.streams.get(&stream));
    let live = sending.filter(|sending| sending.epoch == epoch).map(|sending| sending.acknowledged);
    let noted = deliver.map(|view| view.cursor(stream)).transpose()?.flatten();
    let noted = noted.filter(|noted| noted.epoch == epoch).map(|noted| noted.seq);
    Ok(live.max(noted).unwrap_or(Seq::NONE))
}

fn report(
    stream: Stream,
    standing: Standing,
    deliver: Option<DeliverView<'_>>,
    uplink: Option<&UplinkStatus>,
) -> Result<StreamReport, StoreError> {
    let parked = match (uplink, deliver) {
        (Some(uplink), _) => {
            let ours = uplink.parked.iter().filter(|parked| parked.stream == stream);
            ours.map(|parked| ParkedBlock { seq: parked.seq, reason: parked.reason.clone() }).collect()
        }
        (None, Some(view)) => view
            .parked(stream, standing.epoch)?
            .into_iter()
            .map(|(seq, reason)| ParkedBlock { seq, reason })
            .collect(),
        (None, None) => Vec::new(),
    };
    Ok(StreamReport {
        stream,
        epoch: standing.epoch,
        head: standing.head,
        acknowledged: standing.acknowledged,
        in_flight: uplink.and_then(|uplink| uplink.streams.get(&stream)).map(|sending| sending.in_flight),
        waiting: standing.waiting,
        waiting_bytes: standing.waiting_bytes,
        oldest: standing.oldest,
        kept: standing.kept,
        kept_bytes: standing.kept_bytes,
        lost: standing.lost,
        missing: standing.gaps,
        parked,
    })
}

#[cfg(test)]
mod tests {
    use messages::Id;
    use messages::batch::Record;
    use messages::mail::{MailKind, MailOutcome, MailReport};
    use messages::reading::Code;

    use super::*;
    use crate::store::{DeliverStore, MailState, QueuedMail};

    fn mail(meter: &str, number: u128) -> (QueuedMail, Record) {
        let at = Time::from_unix(1_795_603_800).unwrap();
        let mail = QueuedMail {
            message: format!("{number:060}@gateway.example"),
            about: Id::from_random(number),
            meter: meter.parse().unwrap(),
            code: Some(Code::Leak),
            kind: MailKind::Raised,
            repeat: 0,
            contact: Id::from_random(number),
            span: None,
            queued: at,
            until: at,
            due: at,
            attempts: 1,
            server: false,
            state: MailState::Refused,
            at,
        };
        let report = MailReport {
            message: mail.message.clone(),
            meter: mail.meter,
            kind: mail.kind.clone(),
            repeat: 0,
            code: None,
            span: None,
            contact: mail.contact,
            at,
            outcome: MailOutcome::Refused,
            reply: Some(550),
            other: messages::Other::default(),
        };
        (mail, Record::Mail(report))
    }

    #[test]
    fn an_answer_is_short_enough_however_many_mails_there_were_and_says_that_it_was_cut() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = DeliverStore::open(folder.path()).unwrap();
        let one = "KAM.11111111.1B.16";
        store
            .desk(Time::from_unix(1_795_603_800), |desk| {
                for number in 0..6000u128 {
                    let meter = if number == 17 { one } else { "KAM.76348799.1B.16" };
                    let (mail, report) = mail(meter, number);
                    desk.put_mail(&mail)?;
                    desk.report(report);
                }
                Ok(())
            })
            .unwrap();
        let all = AlarmReport::read(store.view(), Time::MIN, None).unwrap();
        assert!(all.cut);
        let listed: BTreeSet<&String> = all.lists.mails.iter().map(|mail| &mail.message).collect();
        assert_eq!((listed.len(), all.replies.len()), (2000, 2000));
        assert!(all.replies.keys().all(|message| listed.contains(message)));
        assert!(serde_json::to_vec(&all).unwrap().len() < 2 << 20);
        let of_one = AlarmReport::read(store.view(), Time::MIN, Some(one.parse().unwrap())).unwrap();
        assert_eq!((of_one.cut, of_one.lists.mails.len(), of_one.replies.len()), (false, 1, 1));
    }
}
