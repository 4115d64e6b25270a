use messages::event::Episode;
use messages::{MeterId, Other};

use super::*;

const RULE: Rule = Rule { after: 36_000, every: 86_400, times: 2 };

fn time(seconds: i64) -> Time {
    Time::from_unix(1_795_000_000 + seconds).unwrap()
}

fn known(id: u128, started: i64, seen: i64, standing: Standing) -> KnownEpisode {
    let meter: MeterId = "KAM.76348799.1B.16".parse().unwrap();
    let episode = Episode {
        id: Id::from_random(id),
        meter,
        code: messages::reading::Code::Leak,
        started: Some(time(started)),
        seen: Some(time(seen)),
        lasted: (seen - started).unsigned_abs(),
        standing,
        late: false,
        other: Other::default(),
    };
    KnownEpisode { episode, alarm: None }
}

fn one(episodes: Vec<KnownEpisode>) -> Merged {
    let [merged] = <[Merged; 1]>::try_from(Merged::of(episodes)).unwrap();
    merged
}

#[test]
fn episodes_less_than_two_hours_apart_are_one_and_bear_the_first_id() {
    let merged = one(vec![known(2, 10_000, 30_000, Standing::Active), known(1, 0, 2_801, Standing::Ended)]);
    assert_eq!((merged.id(), merged.lasted), (Some(Id::from_random(1)), 22_801));
    assert_eq!((merged.started, merged.seen, merged.standing), (time(0), time(30_000), Standing::Active));
    let apart =
        Merged::of(vec![known(1, 0, 2_800, Standing::Active), known(2, 10_000, 30_000, Standing::Active)]);
    let standings: Vec<Standing> = apart.iter().map(|merged| merged.standing).collect();
    assert_eq!(standings, [Standing::Ended, Standing::Active], "one follows another: the older one is over");
}

#[test]
fn an_episode_without_a_place_on_the_calendar_waits() {
    let mut unplaced = known(1, 0, 1, Standing::Active);
    unplaced.episode.started = None;
    assert_eq!(Merged::of(vec![unplaced]), []);
}

#[test]
fn an_alarm_is_raised_when_it_has_lasted_as_long_as_the_rule_says() {
    let now = time(36_001);
    let lasting = |seen| one(vec![known(1, 0, seen, Standing::Active)]).is_alarm(RULE, time(-1), now);
    assert!(!lasting(35_999) && lasting(36_000));
    assert!(!one(vec![known(1, 0, 36_000, Standing::Active)]).is_alarm(RULE, time(36_001), now), "history");
    let over = one(vec![known(1, 0, 36_000, Standing::Ended)]);
    assert!(over.is_alarm(RULE, time(0), time(36_000 + 86_400)));
    assert!(!over.is_alarm(RULE, time(0), time(36_001 + 86_400)));
}

#[test]
fn a_contact_is_told_once_that_it_began_and_once_that_it_is_over() {
    let runs = one(vec![known(1, 0, 36_000, Standing::Active)]);
    let over = one(vec![known(1, 0, 36_000, Standing::Ended)]);
    let quiet = Rule { times: 0, ..RULE };
    let mut told = Told::new();
    assert_eq!(next(&runs, quiet, &told, time(36_000)), Next::Now(Piece::Raised));
    assert_eq!(next(&over, quiet, &told, time(36_000)), Next::Nothing, "who was not told that it began");
    for fate in [Fate::Waiting, Fate::Failed, Fate::Claimed] {
        told.insert(Piece::Raised.written(), fate);
        assert_eq!(next(&runs, quiet, &told, time(36_000)), Next::Nothing);
        assert_eq!(next(&over, quiet, &told, time(36_000)), Next::Nothing);
    }
    told.insert(Piece::Raised.written(), Fate::Sent(time(36_000)));
    assert_eq!(next(&runs, quiet, &told, time(99_000)), Next::Nothing);
    assert_eq!(next(&over, quiet, &told, time(99_000)), Next::Now(Piece::Over));
    assert_eq!(next(&over, quiet, &told, time(36_001 + 5 * 86_400)), Next::Nothing, "no news any more");
    told.insert(Piece::Over.written(), Fate::Sent(time(99_000)));
    assert_eq!(next(&over, quiet, &told, time(99_000)), Next::Nothing);
}

#[test]
fn repeats_follow_the_mail_before_them_up_to_the_rules_number() {
    let runs = one(vec![known(1, 0, 36_000, Standing::Active)]);
    let mut told = Told::from([(Piece::Raised.written(), Fate::Sent(time(0)))]);
    assert_eq!(next(&runs, RULE, &told, time(86_399)), Next::At(time(86_400)));
    assert_eq!(next(&runs, RULE, &told, time(86_400)), Next::Now(Piece::Repeated(1)));
    told.insert(Piece::Repeated(1).written(), Fate::Waiting);
    assert_eq!(next(&runs, RULE, &told, time(900_000)), Next::Nothing);
    told.insert(Piece::Repeated(1).written(), Fate::Sent(time(300_000)));
    assert_eq!(next(&runs, RULE, &told, time(300_000)), Next::At(time(386_400)));
    assert_eq!(
        next(&runs, RULE, &told, time(900_000)),
        Next::Now(Piece::Repeated(2)),
        "no burst to catch up"
    );
    told.insert(Piece::Repeated(2).written(), Fate::Failed);
    assert_eq!(next(&runs, RULE, &told, time(9_000_000)), Next::Nothing);
    let unknown = one(vec![known(1, 0, 36_000, Standing::Unknown)]);
    told.remove(&Piece::Repeated(2).written());
    assert_eq!(next(&unknown, RULE, &told, time(900_000)), Next::Nothing, "nobody knows that it goes on");
}

#[test]
fn thresholds_are_whole_minutes_never_too_early() {
    assert_eq!(RULE.threshold(), 600);
    assert_eq!(Rule { after: 61, ..RULE }.threshold(), 2);
    assert_eq!(Rule { after: 0, ..RULE }.threshold(), 0);
}
