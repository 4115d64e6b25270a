//! Any history of episodes, outcomes and kills: everybody is told once.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// What can happen.
#[derive(Clone, Debug)]
enum Event {
    /// So many minutes pass; the running episodes are heard again.
    Pass(i64),
    /// A code comes or goes.
    Flip(usize),
    /// The process is killed.
    Kill,
    /// A mail is tried, and this comes of it; killed before that is stored?
    Try { outcome: u8, killed: bool },
    /// All of collect's records come again.
    Again,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1_i64..400).prop_map(Event::Pass),
        2 => (0_usize..2).prop_map(Event::Flip),
        1 => Just(Event::Kill),
        4 => (0_u8..6, prop::bool::weighted(0.2)).prop_map(|(outcome, killed)| Event::Try { outcome, killed }),
        1 => Just(Event::Again),
    ]
}

/// What the mail server has taken: how often each Message-ID, and whether a kill fell before its commit.
type Taken = BTreeMap<String, (u32, u32)>;

struct World {
    half: Half,
    minute: i64,
    next_id: u128,
    running: [Option<Episode>; 2],
    all: BTreeMap<Id, Episode>,
    taken: Taken,
}

const CODES: [Code; 2] = [Code::Leak, Code::Burst];

impl World {
    fn now(&self) -> Time {
        at(self.minute * 60)
    }

    fn tell(&mut self, episode: &Episode) {
        self.all.insert(episode.id, episode.clone());
        let now = self.now();
        self.half.hear(std::slice::from_ref(episode), now);
    }

    fn play(&mut self, event: &Event) {
        match event {
            Event::Pass(minutes) => {
                self.minute += minutes;
                let now = self.now();
                for episode in self.running.clone().into_iter().flatten() {
                    let lasted = u64::try_from(now.unix() - episode.started.unwrap().unix()).unwrap();
                    let episode = Episode { seen: Some(now), lasted, ..episode };
                    let slot = CODES.iter().position(|code| *code == episode.code).unwrap();
                    self.running[slot] = Some(episode.clone());
                    self.tell(&episode);
                }
                self.half.tick(now);
            }
            Event::Flip(slot) => match self.running[*slot].take() {
                Some(episode) => {
                    // Two hours without the code have been heard.
                    self.minute += 121;
                    self.tell(&Episode { standing: Standing::Ended, ..episode });
                }
                None => {
                    self.next_id += 1;
                    let seconds = self.minute * 60;
                    let episode =
                        episode(self.next_id, CODES[*slot].clone(), seconds, seconds, Standing::Active);
                    self.running[*slot] = Some(episode.clone());
                    self.tell(&episode);
                }
            },
            Event::Kill => self.half.restart(),
            Event::Try { outcome, killed } => self.attempt(*outcome, *killed),
            Event::Again => {
                let all: Vec<Episode> = self.all.values().cloned().collect();
                let now = self.now();
                self.half.hear(&all, now);
            }
        }
    }

    fn attempt(&mut self, outcome: u8, killed: bool) {
        let now = self.now();
        let Some(outgoing) = self.half.next(now) else { return };
        let outcome = match outcome {
            0 => later(451),
            1 => down(),
            2 => Outcome::Later(Trouble { kind: TroubleKind::Uncertain, reply: None }),
            _ => SENT,
        };
        if outcome == SENT {
            let (times, unsure) = self.taken.entry(outgoing.message.clone()).or_default();
            *times += 1;
            *unsure += u32::from(killed);
        }
        if killed {
            self.half.restart();
        } else {
            self.half.done(&outgoing, &outcome, now);
        }
    }

    /// The mail server is well, and time passes until nothing is due.
    fn settle(&mut self) {
        for _ in 0..200 {
            self.minute += 1;
            while self.half.alarms.next_due().is_some_and(|due| due <= self.now()) {
                self.attempt(5, false);
            }
            let now = self.now();
            self.half.tick(now);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn every_contact_gets_each_mail_once_whatever_happens(events in prop::collection::vec(event(), 1..60)) {
        let second = "[[contact]]\nname = \"boss\"\nemail = \"boss@example.org\"\n[alarm]\nleak = { after = \"3 h\" }";
        let mut world = World {
            half: Half::new(config(second)),
            minute: 0,
            next_id: 0,
            running: [None, None],
            all: BTreeMap::new(),
            taken: Taken::new(),
        };
        world.half.tick(at(0));
        for event in &events {
            world.play(event);
        }
        world.settle();

        // Never twice, except where a kill fell between the server's yes and the commit.
        for (message, (times, unsure)) in &world.taken {
            prop_assert!(*times <= 1 + unsure, "{message} was sent {times} times");
        }
        // Never zero: who is concerned by an alarm that runs has been told.
        let contacts = ["on-call", "boss"].len();
        for episode in world.running.iter().flatten() {
            let due = episode.code == Code::Burst || episode.lasted >= 3 * 3600;
            let known = world.half.store.desk(None, |desk| desk.episode(episode.id)).unwrap().unwrap();
            prop_assert_eq!(known.alarm.is_some(), due);
            let Some(alarm) = known.alarm else { continue };
            let mails = world.half.store.desk(None, |desk| desk.mails_about(alarm)).unwrap();
            let raised: Vec<_> = mails.iter().filter(|mail| mail.kind == MailKind::Raised).collect();
            prop_assert_eq!(raised.len(), contacts);
            for mail in raised {
                prop_assert!(world.taken.contains_key(&mail.message), "{:?}", mail);
            }
        }
        // Every mail that was taken is reported as sent, once; every alarm once.
        let (mut sent, mut alarms) = (BTreeMap::<String, u32>::new(), BTreeMap::<Id, u32>::new());
        for record in world.half.records() {
            match record {
                Record::Mail(mail) if mail.outcome == MailOutcome::Sent => *sent.entry(mail.message).or_default() += 1,
                Record::Alarm(alarm) => *alarms.entry(alarm.episode).or_default() += 1,
                _ => {}
            }
        }
        prop_assert!(sent.values().chain(alarms.values()).all(|times| *times == 1));
        prop_assert!(sent.keys().all(|message| world.taken.contains_key(message)));
        // Who was told that it is over was told that it began.
        for mail in sent.keys().filter(|message| message.contains(".over@")) {
            let mail = world.half.store.desk(None, |desk| desk.mail(mail)).unwrap().unwrap();
            let domain = "gw-7.kylavesi";
            let raised = message_id(mail.about, mail.contact, &MailKind::Raised, 0, domain);
            prop_assert!(sent.contains_key(&raised));
        }
        prop_assert_eq!(world.half.alarms.status(&mut world.half.store).unwrap().queued, 0);
    }
}
