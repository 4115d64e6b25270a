use super::*;
use proptest::prelude::*;

const ID: EpisodeId = EpisodeId([7; 16]);

fn hear(tracker: &mut Tracker, present: bool, at: u64) -> Option<Change> {
    tracker.hear(present, at, || ID)
}

fn running(until: u64) -> Tracker {
    let mut tracker = Tracker::default();
    for at in (0..=until).step_by(16) {
        hear(&mut tracker, true, at);
    }
    tracker
}

#[test]
fn one_telegram_alone_is_no_episode() {
    let mut tracker = Tracker::default();
    assert_eq!(hear(&mut tracker, true, 0), None);
    assert_eq!(hear(&mut tracker, false, 16), None);
    assert_eq!(hear(&mut tracker, true, 32), None);
    assert_eq!(tracker.episode(), None);
}

#[test]
fn it_begins_with_the_first_of_two() {
    let mut tracker = Tracker::default();
    hear(&mut tracker, true, 100);
    let Some(Change::Began(episode)) = hear(&mut tracker, true, 116) else { panic!("not begun") };
    assert_eq!((episode.started, episode.last_seen, episode.lasted, episode.id), (100, 116, 16, ID));
}

#[test]
fn it_ends_after_two_hours_of_telegrams_without_the_code() {
    let mut tracker = running(HOUR);
    let last = tracker.episode().unwrap().last_seen;
    let changes: Vec<_> = (1..500).filter_map(|n| hear(&mut tracker, false, last + n * 16)).collect();
    let [Change::Ended(episode)] = changes.as_slice() else { panic!("{changes:?}") };
    assert_eq!((episode.last_seen, episode.lasted), (last, last));
    assert_eq!(tracker.episode(), None);
}

#[test]
fn a_pause_shorter_than_that_changes_nothing() {
    let mut tracker = running(HOUR);
    for n in 1..400 {
        assert_eq!(hear(&mut tracker, false, HOUR + n * 16), None);
    }
    assert_eq!(hear(&mut tracker, true, HOUR + 400 * 16), None);
    assert_eq!(tracker.episode().unwrap().without, 0);
}

#[test]
fn silence_neither_ends_it_nor_makes_it_older() {
    let mut tracker = running(HOUR);
    let before = tracker.episode().unwrap().lasted;
    assert_eq!(tracker.tick(HOUR + 23 * HOUR), None);
    assert!(matches!(tracker.tick(HOUR + 25 * HOUR), Some(Change::Unknown(_))));
    assert_eq!(tracker.tick(HOUR + 26 * HOUR), None, "told once");
    let back = hear(&mut tracker, true, 100 * HOUR);
    let Some(Change::Resumed(episode)) = back else { panic!("{back:?}") };
    assert_eq!(episode.lasted, before + HOUR, "a gap counts for an hour at most");
    assert!(!episode.unknown);
}

#[test]
fn a_meter_that_returns_without_the_code_ends_it_only_after_two_hours_heard() {
    let mut tracker = running(HOUR);
    tracker.tick(30 * HOUR);
    assert_eq!(hear(&mut tracker, false, 100 * HOUR), None, "the silence counts for an hour");
    assert_eq!(hear(&mut tracker, false, 100 * HOUR + 1800), None);
    assert!(matches!(hear(&mut tracker, false, 101 * HOUR), Some(Change::Ended(_))));
}

#[test]
fn a_stored_episode_goes_on_under_its_name() {
    let stored = running(HOUR).episode().unwrap();
    let mut tracker = Tracker::restore(stored);
    assert_eq!(hear(&mut tracker, true, 2 * HOUR), None);
    assert_eq!(tracker.episode().unwrap().id, stored.id);
}

proptest! {
    #[test]
    fn an_episode_never_lasts_longer_than_its_span(steps in prop::collection::vec((any::<bool>(), 0..200_000u64), 0..100)) {
        let mut tracker = Tracker::default();
        let (mut at, mut open) = (0, false);
        for (present, step) in steps {
            at += step;
            match hear(&mut tracker, present, at) {
                Some(Change::Began(_)) => prop_assert!(!std::mem::replace(&mut open, true)),
                Some(Change::Ended(_)) => prop_assert!(std::mem::replace(&mut open, false)),
                _ => {}
            }
            tracker.tick(at);
            if let Some(episode) = tracker.episode() {
                prop_assert!(episode.lasted <= at - episode.started);
                prop_assert!(episode.started <= episode.last_seen && episode.last_seen <= at);
            }
        }
    }
}
