//! Kills at random while broker, portal and mail server come and go: nothing is lost, nothing comes twice.
//!
//! `VESI_KILLS=200` for the long run, `VESI_SEED` to repeat one.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use emulator::event::{Event, Trouble};
use emulator::town::Town;
use hil_tests::chance::Chance;
use hil_tests::clock::START;
use hil_tests::smtp::Received;
use hil_tests::store::Store;
use hil_tests::{Broker, Gateway, Half, Mood, Portal, Site, SmtpServer, until};
use messages::MeterId;
use messages::batch::{Epoch, Seq, Stream};
use messages::mail::{MailKind, MailOutcome};
use tokio::time::sleep;

const SPEED: u32 = 100;
const METERS: usize = 8;
const CONTACTS: [&str; 2] = ["paivystys@example.fi", "jour@example.fi"];
/// How long it may take until everything has arrived once all is well again.
const CALM: Duration = Duration::from_secs(120);

/// One meter after the other says something: which, what, from when on (minutes after the start), for how long.
const TROUBLES: [(usize, Trouble, i64, i64); 4] = [
    (0, Trouble::Leak, 8, i64::MAX),
    (1, Trouble::Burst, 20, 30),
    (4, Trouble::Leak, 30, i64::MAX),
    (2, Trouble::Reverse, 40, 15),
];

/// Everything, with what is out of order at the moment.
struct Scene {
    site: Site,
    broker: Broker,
    portal: Portal,
    post: SmtpServer,
    collect: Option<Gateway>,
    deliver: Option<Gateway>,
    heads: BTreeMap<Stream, (Epoch, Seq)>,
}

#[tokio::test(flavor = "multi_thread")]
async fn random_kills_lose_nothing_and_double_nothing() {
    let kills: usize = std::env::var("VESI_KILLS").map_or(20, |kills| kills.parse().unwrap());
    let mut chance = Chance::from_environment("torture");
    let mut scene = Scene::new().await;
    let mut town = Town::new(METERS, 5, START * 1000);
    for (meter, trouble, after, minutes) in TROUBLES {
        let from = START + after * 60;
        let to = if minutes == i64::MAX { minutes } else { from + minutes * 60 };
        town.add(meter, Event::new(trouble, from, to).told_at_once());
    }
    let meters: Vec<MeterId> =
        town.residents().iter().map(|one| one.meter.address().to_string().parse().unwrap()).collect();
    let air = scene.site.play(town);
    for kill in 0..kills {
        // No event is awaited: the moment of the next kill is what is left to chance.
        sleep(Duration::from_millis(300 + chance.below(1500))).await;
        let what = scene.disturb(&mut chance).await;
        let which = scene.kill(&mut chance).await;
        eprintln!("{kill}: {which} killed, {what}; {}", scene.site.clock().now() - START);
        scene.look_at_heads();
    }
    scene.restore().await;
    // Until the last trouble has been told.
    scene.site.clock().reach(START + 75 * 60).await;
    air.stop().await;
    scene.judge(&meters).await;
}

impl Scene {
    async fn new() -> Self {
        let site = Site::fast(SPEED);
        let (broker, post) = (Broker::start().await, SmtpServer::start());
        let portal = Portal::connect(&broker);
        let contact = |name: &str, email: &str| {
            format!("[[contact]]\nname = \"{name}\"\nemail = \"{email}\"\nlanguage = \"sv\"\n")
        };
        let town = Town::new(METERS, 5, START * 1000);
        let sections = [
            broker.uplink("keep_alive = \"5 s\"\nprogress_timeout = \"10 s\""),
            post.mail_section("timeout = \"5 s\""),
            "[alarm]\nleak = { after = \"5 min\" }".to_owned(),
            contact("on-call", CONTACTS[0]),
            contact("jour", CONTACTS[1]),
        ];
        site.settle(&town, &sections.each_ref().map(String::as_str)).await;
        let collect = Some(Gateway::start(&site, Half::Collect).await);
        let deliver = Some(Gateway::start(&site, Half::Deliver).await);
        Self { site, broker, portal, post, collect, deliver, heads: BTreeMap::new() }
    }

    /// Something else goes wrong, or comes right.
    async fn disturb(&mut self, chance: &mut Chance) -> &'static str {
        match chance.below(12) {
            0 => {
                self.broker.kill().await;
                "broker killed"
            }
            1 => {
                self.broker.restart().await;
                "broker restarted"
            }
            2 => {
                self.broker.freeze();
                "broker wedged"
            }
            3 | 4 => {
                self.broker.thaw();
                "broker thawed"
            }
            5 => {
                self.portal.away().await;
                "portal away"
            }
            6 => {
                self.portal.back();
                "portal back"
            }
            7 => {
                self.portal.silent(chance.below(2) == 0);
                "portal silent or not"
            }
            8 | 9 => {
                let moods = [
                    Mood::Gone,
                    Mood::Wedged,
                    Mood::Greets(421),
                    Mood::Recipients(451),
                    Mood::Content(452),
                    Mood::CutsAfterData,
                    Mood::HangsAfterData,
                ];
                self.post.mood(*chance.pick(&moods));
                "mail server in another mood"
            }
            10 => {
                self.post.mood(Mood::Good);
                "mail server well"
            }
            _ => "nothing else",
        }
    }

    async fn kill(&mut self, chance: &mut Chance) -> &'static str {
        let half = *chance.pick(&[Half::Collect, Half::Deliver]);
        let slot = if half == Half::Collect { &mut self.collect } else { &mut self.deliver };
        let mut gateway = slot.take().unwrap();
        assert!(gateway.is_running(), "{half:?} ended by itself:\n{}", gateway.log());
        gateway.kill().await;
        if half == Half::Deliver {
            self.post.new_era();
        }
        *slot = Some(Gateway::spawn(&self.site, half));
        if half == Half::Collect { "collect" } else { "deliver" }
    }

    /// Numbers only rise, in one numbering.
    fn look_at_heads(&mut self) {
        let files = [
            (self.site.collect_db(), vec![Stream::Readings, Stream::Events]),
            (self.site.deliver_db(), vec![Stream::Mails]),
        ];
        for (file, streams) in files {
            let Some(store) = Store::open(&file) else { continue };
            for stream in streams {
                let now = (store.epoch().unwrap(), store.head(stream));
                if let Some(before) = self.heads.insert(stream, now) {
                    assert_eq!(now.0, before.0, "{stream} has another numbering");
                    assert!(now.1 >= before.1, "{stream} went back from {} to {}", before.1, now.1);
                }
            }
        }
    }

    /// All is well again.
    async fn restore(&mut self) {
        self.broker.restart().await;
        self.portal.back();
        self.portal.silent(false);
        self.post.mood(Mood::Good);
    }

    async fn judge(self, meters: &[MeterId]) {
        let Self { site, broker, portal, post, collect, deliver, .. } = self;
        let (collect, deliver) = (collect.unwrap(), deliver.unwrap());
        assert!(collect.stop().await.success());
        let store = Store::open(&site.collect_db()).unwrap();
        for stream in [Stream::Readings, Stream::Events] {
            compare(&portal, &store, stream).await;
        }
        portal.has_within(CALM, "all rows", |records| (*records.rows() == store.rows()).then_some(())).await;
        until("an empty mail queue", CALM, async || {
            (deliver.status().await?["mail"]["queued"] == 0).then_some(())
        })
        .await;
        let mails = Store::open(&site.deliver_db()).unwrap();
        compare(&portal, &mails, Stream::Mails).await;
        assert!(deliver.stop().await.success());
        judge_mails(&portal, &post.received(), meters);
        drop(broker);
    }
}

/// The portal has every block of a stream, each with its own content.
async fn compare(portal: &Portal, store: &Store, stream: Stream) {
    let (epoch, head) = (store.epoch().unwrap(), store.head(stream));
    let what = format!("{stream} up to {head}");
    let caught_up =
        |records: &hil_tests::portal::Records| (records.cursor(stream, epoch) == head).then_some(());
    portal.has_within(CALM, &what, caught_up).await;
    let records = portal.records();
    let theirs = records.batches_of(stream, epoch);
    let ours: BTreeMap<_, _> =
        store.blocks(stream).into_iter().map(|block| (block.seq, (block.nonce, block.body))).collect();
    assert_eq!(theirs.len(), ours.len(), "{stream}");
    assert!(theirs == ours, "{stream}: other contents");
    if !ours.is_empty() {
        assert_eq!(records.epochs(stream), [epoch], "{stream}");
    }
    assert!(records.missing(stream, epoch).is_empty(), "{stream}");
}

fn judge_mails(portal: &Portal, received: &[Received], meters: &[MeterId]) {
    let records = portal.records();
    assert!(records.breaches.is_empty(), "{:?}", records.breaches);
    assert!(!records.rows().is_empty());
    // Each trouble is one alarm, and one raised mail to each contact.
    let alarms: Vec<_> = records.alarms().iter().map(|alarm| (alarm.meter, alarm.code.to_string())).collect();
    for (meter, trouble, ..) in TROUBLES {
        let wanted = (meters[meter], format!("{trouble:?}").to_lowercase());
        assert_eq!(alarms.iter().filter(|alarm| **alarm == wanted).count(), 1, "{wanted:?} in {alarms:?}");
    }
    assert_eq!(alarms.len(), TROUBLES.len(), "{alarms:?}");
    let raised: BTreeSet<_> = records
        .mails()
        .iter()
        .filter(|mail| mail.kind == MailKind::Raised && mail.outcome == MailOutcome::Sent)
        .map(|mail| (mail.meter, mail.code.clone(), mail.contact))
        .collect();
    assert_eq!(raised.len(), TROUBLES.len() * CONTACTS.len(), "{:?}", records.mails());

    // One name for each mail, told once.
    let mut told = BTreeMap::new();
    for mail in records.mails() {
        let about = (mail.meter, mail.code.clone(), mail.kind.to_string(), mail.repeat, mail.contact);
        let other = told.insert(about.clone(), mail.message.clone());
        assert_eq!(other, None, "{about:?} is reported twice");
    }
    let told: BTreeSet<String> = told.into_values().collect();
    let came: BTreeSet<String> =
        received.iter().map(|one| one.mail.message_id().trim_matches(['<', '>']).to_owned()).collect();
    assert_eq!(came, told, "the mails that came are those that are reported");

    // Twice only where its sender was killed in between.
    let mut answered: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    let mut doubles = 0;
    for one in received.iter().filter(|one| one.answered) {
        let eras = answered.entry(one.mail.message_id()).or_default();
        doubles += usize::from(!eras.is_empty());
        assert!(eras.insert(one.era), "{} came twice although nobody was killed", one.mail.message_id());
    }
    eprintln!("{} mails, {doubles} of them twice", told.len());
}
