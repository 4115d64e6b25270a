//! The outbox against a portal and a broker that lose, repeat and forget.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use messages::batch::{Epoch, Missing, Nonce, Seq, Stream};
use messages::{Ack, Cursor as Position};
use proptest::prelude::*;
use tokio::time::Instant;

use super::{Heard, Next, Outbox, Policy};
use crate::store::Cursor;

const PATIENCE: Duration = Duration::from_secs(60);
const POLICY: Policy = Policy { window: 4, unanswered: 3, bytes: 1000, patience: PATIENCE, broker: false };
const EPOCH: Epoch = Epoch::durable(1);

fn nonce(seq: u64) -> Nonce {
    Nonce::from_random(seq ^ 0x5EED)
}

fn ack(generation: u64, seq: u64) -> Ack {
    let nonce = (seq > 0).then(|| nonce(seq));
    Ack { generation, epochs: vec![Position { epoch: EPOCH, seq: Seq::new(seq), nonce }] }
}

fn known(head: u64) -> Outbox {
    let mut outbox = Outbox::new(Stream::Readings, POLICY);
    outbox.know(EPOCH, Seq::new(head), Seq::NONE, None);
    outbox
}

/// Offers blocks of a store without gaps as long as they are wanted; gives the numbers sent.
fn send(outbox: &mut Outbox, now: Instant) -> Vec<u64> {
    let mut sent = Vec::new();
    while let Some(after) = outbox.wants(now) {
        let seq = after.next();
        let next = Next { seq, nonce: nonce(seq.number()), bytes: 10 };
        sent.extend(outbox.offer(next, now).map(|envelope| envelope.seq.number()));
    }
    sent
}

fn hear(outbox: &mut Outbox, ack: &Ack, now: Instant) -> Heard {
    outbox.hear(ack, |seq| Some(nonce(seq.number())), now)
}

#[test]
fn no_more_than_the_window_is_under_way() {
    let now = Instant::now();
    let mut outbox = known(10);
    assert_eq!(send(&mut outbox, now), [1, 2, 3], "the broker has answered none");
    for seq in 1..=3 {
        outbox.taken(Seq::new(seq), now);
    }
    assert_eq!(send(&mut outbox, now), [4]);
    assert_eq!(hear(&mut outbox, &ack(1, 2), now), Heard::Progress(Seq::new(2)));
    assert_eq!(send(&mut outbox, now), [5, 6]);
}

#[test]
fn one_large_batch_goes_alone() {
    let now = Instant::now();
    let mut outbox = known(2);
    let next = Next { seq: Seq::new(1), nonce: nonce(1), bytes: 5000 };
    assert!(outbox.offer(next, now).is_some());
    assert_eq!(outbox.wants(now), None);
    outbox.taken(Seq::new(1), now);
    assert_eq!(outbox.wants(now), Some(Seq::new(1)));
}

#[test]
fn an_ack_of_another_numbering_is_passed_over() {
    let mut outbox = known(3);
    let mut foreign = ack(9, 3);
    foreign.epochs[0].epoch = Epoch::durable(2);
    assert_eq!(hear(&mut outbox, &foreign, Instant::now()), Heard::Nothing);
    assert_eq!(outbox.acknowledged(), Seq::NONE);
}

#[test]
fn less_counts_only_under_a_higher_generation() {
    let now = Instant::now();
    let mut outbox = known(9);
    assert_eq!(hear(&mut outbox, &ack(5, 8), now), Heard::Progress(Seq::new(8)));
    assert_eq!(hear(&mut outbox, &ack(5, 3), now), Heard::Nothing);
    assert_eq!(hear(&mut outbox, &ack(4, 9), now), Heard::Nothing, "an older store's word");
    assert_eq!(hear(&mut outbox, &ack(6, 3), now), Heard::Back(Seq::new(3)));
    assert_eq!(send(&mut outbox, now), [4, 5, 6]);
}

#[test]
fn a_number_beyond_the_head_or_another_nonce_means_cloned() {
    let now = Instant::now();
    assert_eq!(hear(&mut known(3), &ack(1, 4), now), Heard::Cloned);
    let mut outbox = known(3);
    assert_eq!(outbox.hear(&ack(1, 2), |_| Some(nonce(99)), now), Heard::Cloned);
    assert_eq!(outbox.wants(now), None, "nothing more is sent under this numbering");
    outbox.know(Epoch::durable(2), Seq::new(3), Seq::NONE, None);
    assert_eq!(outbox.wants(now), Some(Seq::NONE));
    let mut outbox = known(3);
    assert_eq!(outbox.hear(&ack(1, 2), |_| None, now), Heard::Progress(Seq::new(2)), "gone: not judged");
}

#[test]
fn without_progress_it_starts_again_ever_more_patiently() {
    let start = Instant::now();
    let mut outbox = known(2);
    assert_eq!(send(&mut outbox, start), [1, 2]);
    outbox.taken(Seq::new(1), start);
    outbox.taken(Seq::new(2), start);
    assert!(!outbox.tick(start + PATIENCE / 2));
    let second = start + PATIENCE;
    assert!(outbox.tick(second), "the broker's word is not the portal's");
    assert_eq!(send(&mut outbox, second), [1, 2]);
    assert!(!outbox.tick(second + PATIENCE));
    assert!(outbox.tick(second + 2 * PATIENCE));
}

#[test]
fn nobody_there_holds_the_stream_until_the_portal_is_heard() {
    let now = Instant::now();
    let mut outbox = known(2);
    send(&mut outbox, now);
    outbox.not_taken(Seq::new(1), now);
    outbox.not_taken(Seq::new(2), now);
    assert_eq!(outbox.wants(now), None);
    assert_eq!(hear(&mut outbox, &ack(1, 0), now), Heard::Same);
    assert_eq!(send(&mut outbox, now), [1, 2]);
}

#[test]
fn an_answer_to_a_batch_that_did_not_join_starts_again_once() {
    let now = Instant::now();
    let mut outbox = known(3);
    send(&mut outbox, now);
    for seq in 1..=3 {
        outbox.taken(Seq::new(seq), now);
    }
    hear(&mut outbox, &ack(1, 0), now);
    assert_eq!(send(&mut outbox, now), [1, 2, 3]);
    outbox.taken(Seq::new(1), now);
    hear(&mut outbox, &ack(1, 0), now);
    assert_eq!(send(&mut outbox, now), [0; 0], "the second answer is to the same round");
}

#[test]
fn holes_and_parked_blocks_are_named_as_missing() {
    let now = Instant::now();
    let mut outbox = known(9);
    outbox.park(Seq::new(6), "breaks the line".to_owned());
    let mut offer = |seq| outbox.offer(Next { seq: Seq::new(seq), nonce: nonce(seq), bytes: 1 }, now);
    assert_eq!(offer(4).unwrap().missing.to_string(), "1-3,6");
    assert!(offer(6).is_none());
    assert_eq!(offer(8).unwrap().missing.to_string(), "1-3,5-7");
    assert!(outbox.unpark(Seq::new(6)));
    assert_eq!(outbox.wants(now), Some(Seq::NONE), "it is sent in its turn");
}

#[test]
fn a_parked_block_that_was_passed_is_sent_again_by_hand() {
    let now = Instant::now();
    let mut outbox = known(3);
    outbox.park(Seq::new(1), "too large".to_owned());
    hear(&mut outbox, &ack(1, 3), now);
    assert!(outbox.unpark(Seq::new(1)));
    assert_eq!(outbox.wants_again(now), Some(Seq::new(1)));
    outbox.taken(Seq::new(1), now);
    assert_eq!(outbox.wants_again(now), None);
}

#[test]
fn the_brokers_word_frees_where_it_counts_and_only_without_gaps() {
    let now = Instant::now();
    let mut outbox = Outbox::new(Stream::Readings, Policy { broker: true, ..POLICY });
    outbox.know(EPOCH, Seq::new(3), Seq::NONE, None);
    send(&mut outbox, now);
    assert_eq!(outbox.taken(Seq::new(2), now), None);
    assert_eq!(outbox.taken(Seq::new(1), now), Some(Seq::new(2)));
    outbox.not_taken(Seq::new(3), now);
    assert_eq!(outbox.acknowledged(), Seq::new(2));
}

#[test]
fn what_was_remembered_of_a_restored_portal_counts_more_than_the_store() {
    let mut outbox = Outbox::new(Stream::Readings, POLICY);
    let remembered = Cursor { epoch: EPOCH, seq: Seq::new(3), generation: 7 };
    outbox.know(EPOCH, Seq::new(9), Seq::new(8), Some(remembered));
    assert_eq!(outbox.acknowledged(), Seq::new(3));
    assert_eq!(hear(&mut outbox, &ack(6, 8), Instant::now()), Heard::Nothing);
}

/// What may happen between a gateway and its portal.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A block is stored; some are found damaged later.
    Commit { damaged: bool },
    /// A message in flight arrives at the portal, or is lost; the broker says yes either way.
    Deliver { index: u8, lost: bool },
    /// The portal's newest acknowledgement arrives; older ones may come again.
    Acknowledge { index: u8 },
    /// The line breaks: what is in flight may still have arrived.
    Break { arrives: bool },
    /// Deliver is started again, with or without what it had written down.
    Restart { saved: bool },
    /// The portal is restored from a backup.
    Restore { back: u8 },
    /// Nobody is subscribed.
    Nobody { index: u8 },
    /// Time passes.
    Wait { seconds: u8 },
    /// The store is set aside: a new numbering.
    Renew,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => any::<bool>().prop_map(|odd| Step::Commit { damaged: odd }),
        10 => (any::<u8>(), prop::bool::weighted(0.2)).prop_map(|(index, lost)| Step::Deliver { index, lost }),
        6 => any::<u8>().prop_map(|index| Step::Acknowledge { index }),
        1 => any::<bool>().prop_map(|arrives| Step::Break { arrives }),
        1 => any::<bool>().prop_map(|saved| Step::Restart { saved }),
        1 => (0..5_u8).prop_map(|back| Step::Restore { back }),
        1 => any::<u8>().prop_map(|index| Step::Nobody { index }),
        3 => any::<u8>().prop_map(|seconds| Step::Wait { seconds }),
        1 => Just(Step::Renew),
    ]
}

/// Both ends and what lies between.
struct World {
    now: Instant,
    outbox: Outbox,
    epoch: u128,
    head: u64,
    damaged: BTreeSet<u64>,
    saved: Option<Cursor>,
    flying: Vec<(Epoch, u64, Missing)>,
    generation: u64,
    stored: BTreeMap<Epoch, (BTreeSet<u64>, Vec<Missing>, u64)>,
    acks: Vec<Ack>,
}

impl World {
    fn new() -> Self {
        let mut outbox = Outbox::new(Stream::Readings, POLICY);
        outbox.know(EPOCH, Seq::NONE, Seq::NONE, None);
        Self {
            now: Instant::now(),
            outbox,
            epoch: 1,
            head: 0,
            damaged: BTreeSet::new(),
            saved: None,
            flying: Vec::new(),
            generation: 1,
            stored: BTreeMap::new(),
            acks: Vec::new(),
        }
    }

    fn own(&self) -> Epoch {
        Epoch::durable(self.epoch)
    }

    fn pump(&mut self) {
        while let Some(after) = self.outbox.wants(self.now) {
            let next = (after.number() + 1..=self.head).find(|seq| !self.damaged.contains(seq));
            let Some(seq) = next else {
                self.outbox.nothing_more();
                continue;
            };
            let next = Next { seq: Seq::new(seq), nonce: nonce(seq), bytes: 100 };
            if let Some(envelope) = self.outbox.offer(next, self.now) {
                assert!(seq > self.outbox.acknowledged().number());
                self.flying.push((envelope.epoch, seq, envelope.missing));
            }
            assert!(self.outbox.in_flight() <= POLICY.window);
        }
    }

    fn store(&mut self, (epoch, seq, missing): (Epoch, u64, Missing)) {
        let (blocks, ranges, cursor) = self.stored.entry(epoch).or_default();
        blocks.insert(seq);
        ranges.push(missing);
        loop {
            let passed = ranges.iter().map(|missing| missing.pass(Seq::new(*cursor)).number()).max();
            if blocks.contains(&(*cursor + 1)) {
                *cursor += 1;
            } else if let Some(passed) = passed.filter(|passed| passed > cursor) {
                *cursor = passed;
            } else {
                break;
            }
        }
        self.publish();
    }

    fn publish(&mut self) {
        let epoch = self.own();
        let seq = self.stored.get(&epoch).map_or(0, |(_, _, cursor)| *cursor);
        let kept = self.stored.get(&epoch).is_some_and(|(blocks, ..)| blocks.contains(&seq));
        let nonce = kept.then(|| nonce(seq));
        let seq = Seq::new(seq);
        self.acks.push(Ack { generation: self.generation, epochs: vec![Position { epoch, seq, nonce }] });
    }

    fn hear(&mut self, index: usize) {
        let Some(ack) = self.acks.get(index).cloned() else { return };
        let heard = self.outbox.hear(&ack, |seq| Some(nonce(seq.number())), self.now);
        assert_ne!(heard, Heard::Cloned, "nobody has cloned anything");
        if let Heard::Progress(seq) = heard {
            let (blocks, ..) = &self.stored[&self.own()];
            let damaged = &self.damaged;
            // Not so for one that a restored portal has forgotten: its older word was true when it was said.
            if ack.generation == self.generation {
                assert!((1..=seq.number()).all(|seq| blocks.contains(&seq) || damaged.contains(&seq)));
            }
        }
    }

    fn take(&mut self, step: Step) {
        let pick = |index: u8, len: usize| usize::from(index) % len.max(1);
        match step {
            Step::Commit { damaged } => {
                self.head += 1;
                // A block that is whole when it is sent may still be found damaged later, not the other way round.
                if damaged && self.head.is_multiple_of(5) {
                    self.damaged.insert(self.head);
                }
                let (epoch, head) = (self.own(), Seq::new(self.head));
                self.outbox.know(epoch, head, Seq::NONE, None);
            }
            Step::Deliver { index, lost } if !self.flying.is_empty() => {
                let message = self.flying.remove(pick(index, self.flying.len()));
                self.outbox.taken(Seq::new(message.1), self.now);
                if !lost {
                    self.store(message);
                }
            }
            Step::Acknowledge { index } => {
                let last = self.acks.len().saturating_sub(1);
                self.hear(if index % 3 == 0 { pick(index, self.acks.len()) } else { last });
            }
            Step::Break { arrives } => self.line(arrives),
            Step::Restart { saved } => {
                if saved {
                    self.saved = self.outbox.cursor();
                }
                self.line(true);
                self.outbox = Outbox::new(Stream::Readings, POLICY);
                let (epoch, head) = (self.own(), Seq::new(self.head));
                self.outbox.know(epoch, head, Seq::NONE, self.saved);
            }
            Step::Restore { back } => {
                self.generation += 1;
                if let Some((blocks, ranges, cursor)) = self.stored.get_mut(&Epoch::durable(self.epoch)) {
                    *cursor = cursor.saturating_sub(u64::from(back));
                    let kept = *cursor;
                    blocks.retain(|seq| *seq <= kept);
                    ranges.clear();
                }
                self.publish();
            }
            Step::Nobody { index } if !self.flying.is_empty() => {
                let (_, seq, _) = self.flying.remove(pick(index, self.flying.len()));
                self.outbox.not_taken(Seq::new(seq), self.now);
            }
            Step::Wait { seconds } => self.wait(u64::from(seconds)),
            Step::Renew => {
                self.epoch += 1;
                let (epoch, head) = (self.own(), Seq::new(self.head));
                self.outbox.know(epoch, head, Seq::NONE, None);
            }
            Step::Deliver { .. } | Step::Nobody { .. } => {}
        }
    }

    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.outbox.tick(self.now);
    }

    fn line(&mut self, arrives: bool) {
        for message in std::mem::take(&mut self.flying) {
            if arrives {
                self.store(message);
            }
        }
        self.outbox.line_down();
        self.hear(self.acks.len().saturating_sub(1));
    }

    /// From now on nothing goes wrong: everything must arrive.
    fn calm_down(&mut self) {
        // A last whole block carries what is missing before it.
        self.head += 1;
        let (epoch, head) = (self.own(), Seq::new(self.head));
        self.outbox.know(epoch, head, Seq::NONE, None);
        for _ in 0..10_000 {
            self.pump();
            while !self.flying.is_empty() {
                let message = self.flying.remove(0);
                self.outbox.taken(Seq::new(message.1), self.now);
                self.store(message);
            }
            self.hear(self.acks.len().saturating_sub(1));
            if self.outbox.acknowledged() == head {
                break;
            }
            self.wait(10);
        }
        assert_eq!(self.outbox.acknowledged(), head, "it stalls");
        let (blocks, ..) = &self.stored[&epoch];
        let lost: Vec<u64> =
            (1..=self.head).filter(|seq| !blocks.contains(seq) && !self.damaged.contains(seq)).collect();
        assert!(lost.is_empty(), "never arrived: {lost:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Everything committed arrives, nothing counts as arrived before, nothing stalls: with losses, repeated and old
    /// acknowledgements, broken lines, restarts, a restored portal, new numberings and damaged blocks.
    #[test]
    fn everything_arrives_whatever_happens(steps in prop::collection::vec(step(), 0..200)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
            world.pump();
        }
        world.calm_down();
    }
}

#[test]
fn a_store_that_has_less_than_before_under_its_numbering_is_a_copy() {
    let mut outbox = Outbox::new(Stream::Readings, POLICY);
    let epoch = Epoch::durable(1);
    assert!(!outbox.know(epoch, Seq::new(9), Seq::NONE, None));
    assert!(!outbox.know(epoch, Seq::new(9), Seq::NONE, None));
    assert!(outbox.know(epoch, Seq::new(4), Seq::NONE, None));
    assert!(!outbox.know(epoch, Seq::new(5), Seq::NONE, None), "said once");
    assert_eq!(outbox.wants(Instant::now()), None);
    assert!(!outbox.know(Epoch::durable(2), Seq::new(5), Seq::NONE, None));
    assert_eq!(outbox.wants(Instant::now()), Some(Seq::NONE));
    let remembered = Cursor { epoch: Epoch::durable(3), seq: Seq::new(7), generation: 1 };
    assert!(
        outbox.know(Epoch::durable(3), Seq::new(6), Seq::NONE, Some(remembered)),
        "restored while we were away"
    );
}
