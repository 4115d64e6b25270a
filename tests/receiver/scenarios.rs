//! What holds for every kind of dongle. `scenarios!(KIND)` makes the tests of one kind.

use std::time::Duration;

use emulator::{
    fault::Fault as Wrong,
    player::{Pace, Player},
    replay::{Recording, Speed},
    town::Town,
};
use tokio::time;
use vesigate::receiver::{Fault, port::State};

use super::bench::{Kind, Site, bare, jump, telegram};

pub(crate) async fn telegrams_arrive_in_order_with_their_signal_strength(kind: &Kind) {
    let site = Site::new(kind);
    let mut receiver = site.ready_receiver().await;
    let device = receiver.status.borrow().device.clone();
    assert_eq!(device, site.dongle.state().borrow().device);
    assert_eq!(site.dongle.state().borrow().speed, kind.speed);

    site.hear(0..=99).await;
    assert_eq!(receiver.telegrams(100).await, Vec::from_iter(0..=99));
    site.hear([100]).await;
    assert_eq!(receiver.frame().await.rssi_dbm, kind.rssi.then_some(-80));
    assert_eq!(receiver.status(|status| status.counters.frames == 101).await.counters.garbage_bytes, 0);
}

pub(crate) async fn the_shortest_and_the_longest_telegram_arrive(kind: &Kind) {
    let site = Site::new(kind);
    let mut receiver = site.ready_receiver().await;
    for length in [9, 10, 25, 26, kind.longest] {
        let mut sent = vec![0x6A; usize::from(length) + 1];
        sent[..10].copy_from_slice(&telegram(0)[..10]);
        sent[0] = length;
        site.dongle.hear(&sent, -80).await.unwrap();
        assert_eq!(bare(&receiver.frame().await), Some(sent), "{length}");
    }
}

pub(crate) async fn a_recording_is_played_through(kind: &Kind) {
    let site = Site::new(kind);
    let mut receiver = site.ready_receiver().await;
    let lines = (0..5).map(|number| telegram(number).map(|byte| format!("{byte:02X}")).concat() + " -66\n");
    let recording: Recording = lines.collect::<String>().parse().unwrap();
    recording.play(&site.dongle, Speed::Unpaced).await.unwrap();
    assert_eq!(receiver.telegrams(5).await, [0, 1, 2, 3, 4]);
}

pub(crate) async fn a_town_is_heard_telegram_by_telegram(kind: &Kind) {
    const START: i64 = 1_795_600_800_000;
    let site = Site::new(kind);
    let mut receiver = site.ready_receiver().await;
    // So fast that all of it is overdue at once and nothing is waited for.
    let pace = Pace::new(time::Instant::now(), START, 10_000.try_into().unwrap());
    let mut player = Player::new(Town::new(6, 1, START), pace);
    player.town().jump(START);
    let mut town = player.town().clone();
    let play = player.play(&site.dongle, START + 120_000);
    let (played, ()) = tokio::join!(play, async {
        // A machine that is busy elsewhere may make the player leave out telegrams, never change or disorder them.
        let mut heard = 0;
        while heard < 12 {
            let (_, frame) = receiver.telegrams.recv().await.unwrap();
            let bytes = bare(&frame).unwrap();
            let sent = std::iter::from_fn(|| town.next_telegram().and_then(Result::ok))
                .find(|sent| *sent.telegram == *bytes)
                .unwrap();
            let differs = frame.rssi_dbm.map(|rssi_dbm| rssi_dbm.abs_diff(sent.rssi_dbm));
            assert!(differs.is_none_or(|differs| differs <= 1), "{frame:?} {sent:?}");
            heard += 1;
        }
    });
    assert!(played.unwrap().sent >= 12);
}

pub(crate) async fn a_dongle_pulled_out_is_found_again_under_another_node(kind: &Kind) {
    let site = Site::new(kind);
    let mut receiver = site.receiver();
    for round in 0..10 {
        let before = receiver.ready().await.device;
        site.listens().await;
        site.hear([round]).await;
        assert_eq!(receiver.telegrams(1).await, [round]);

        site.dongle.unplug().await;
        assert!(matches!(receiver.faulty().await, Fault::Gone | Fault::NotFound { .. }));
        site.dongle.replug().await.unwrap();
        assert_ne!(receiver.ready().await.device, before);
    }
    assert_eq!(receiver.status.borrow().counters.restarts, 10);
}

pub(crate) async fn a_dongle_that_is_not_there_yet_is_found_when_it_comes(kind: &Kind) {
    let site = Site::new(kind);
    site.dongle.unplug().await;
    let mut receiver = site.receiver();
    assert_eq!(receiver.faulty().await, Fault::NotFound { path: site.link() });
    site.dongle.replug().await.unwrap();
    receiver.ready().await;
}

pub(crate) async fn a_second_program_is_told_that_the_port_is_in_use_and_gets_it_afterwards(kind: &Kind) {
    let site = Site::new(kind);
    let mut first = site.ready_receiver().await;
    let mut second = site.receiver();
    assert_eq!(second.faulty().await, Fault::Busy { path: site.link() });
    site.hear([1, 2]).await;
    assert_eq!(first.telegrams(2).await, [1, 2], "and the first is not disturbed");

    first.stop.cancel();
    first.task.await.unwrap();
    second.ready().await;
}

pub(crate) async fn garbage_split_joined_and_damaged_frames_cost_only_the_damaged_ones(kind: &Kind) {
    let site = Site::new(kind);
    let mut receiver = site.ready_receiver().await;

    site.dongle.fault(Wrong::Noise(kind.noise.to_vec())).await;
    site.hear([1]).await;
    site.dongle.fault(Wrong::Joined).await;
    site.hear([2, 3]).await;
    assert_eq!(receiver.telegrams(3).await, [1, 2, 3]);

    site.dongle.split(Some(1)).await;
    site.hear([4, 5]).await;
    assert_eq!(receiver.telegrams(2).await, [4, 5]);
    site.dongle.split(None).await;

    for (wrong, number) in [(Wrong::BadChecksum, 6), (Wrong::LengthByte(0), 8)] {
        site.dongle.fault(wrong).await;
        site.hear([number, number + 1]).await;
        while receiver.telegrams(1).await != [number + 1] {
            assert!(!kind.checksum);
        }
    }
    let counters = receiver.status.borrow().counters;
    assert_eq!(counters.restarts, 0);
    if kind.checksum {
        assert_eq!(receiver.status(|status| status.counters.bad_checksums >= 1).await.counters.frames, 7);
    }
}

pub(crate) async fn a_frame_cut_off_and_one_that_claims_255_bytes_do_not_hold_back_the_next(kind: &Kind) {
    let site = Site::new(kind);
    let mut receiver = site.ready_receiver().await;
    for (wrong, number) in [(Wrong::Truncated(9), 1), (Wrong::LengthByte(255), 4)] {
        site.dongle.fault(wrong).await;
        site.hear(number..=number + 2).await;
        let mut heard = receiver.telegrams(1).await;
        // Without checksums the one behind may be lost besides.
        if kind.checksum || heard == [number + 1] {
            heard.extend(receiver.telegrams(1).await);
            assert_eq!(heard, [number + 1, number + 2]);
        } else {
            assert_eq!(heard, [number + 2]);
        }
    }
    assert_eq!(receiver.status.borrow().counters.restarts, 0);
}

pub(crate) async fn a_lost_and_a_damaged_answer_are_asked_for_again(kind: &Kind) {
    if !kind.asks {
        return;
    }
    let site = Site::new(kind);
    site.dongle.fault(Wrong::NoReply).await;
    if kind.checksum {
        site.dongle.fault(Wrong::BadChecksum).await;
    }
    let mut receiver = site.ready_receiver().await;
    assert_eq!(receiver.ready().await.openings, 1);
}

pub(crate) async fn a_late_answer_does_no_harm(kind: &Kind) {
    if !kind.asks {
        return;
    }
    let site = Site::new(kind);
    site.dongle.fault(Wrong::LateReply(kind.late)).await;
    let mut receiver = site.ready_receiver().await;
    site.hear([1]).await;
    assert_eq!(receiver.telegrams(1).await, [1]);
}

pub(crate) async fn a_telegram_between_question_and_answer_is_heard(kind: &Kind) {
    if !kind.asks {
        return;
    }
    let site = Site::new(kind);
    let mut receiver = site.ready_receiver().await;
    let asked = site.dongle.state().borrow().inputs;
    site.dongle.interject(&telegram(1), -80).await.unwrap();
    jump(Duration::from_secs(61)).await;
    assert_eq!(receiver.telegrams(1).await, [1]);
    site.dongle.state().wait_for(|state| state.inputs > asked).await.unwrap();
    assert!(matches!(receiver.status.borrow().state, State::Ready(_)));
}

pub(crate) async fn a_rebooted_dongle_is_set_up_again_over_the_open_port(kind: &Kind) {
    if !kind.asks {
        return;
    }
    let site = Site::new(kind);
    let mut receiver = site.ready_receiver().await;
    site.dongle.reboot().await;
    site.hear([1]).await;
    site.dongle.state().wait_for(|state| state.missed + state.passed_on == 1).await.unwrap();
    if site.dongle.state().borrow().missed == 1 {
        jump(Duration::from_secs(61)).await;
        site.listens().await;
    }
    site.hear([2]).await;
    while receiver.telegrams(1).await != [2] {}
    assert_eq!(receiver.status.borrow().openings, 1);
}

pub(crate) async fn a_mute_dongle_is_noticed_and_found_again(kind: &Kind) {
    if !kind.asks {
        return;
    }
    let site = Site::new(kind);
    let mut receiver = site.ready_receiver().await;
    site.dongle.mute(true).await;
    let mut state = site.dongle.state();
    jump(Duration::from_secs(58)).await;
    let fault = loop {
        state.mark_unchanged();
        jump(Duration::from_secs(3)).await;
        // Either another question comes, or the driver has given up.
        tokio::select! {
            fault = receiver.faulty() => break fault,
            changed = state.changed() => changed.unwrap(),
        }
    };
    assert_eq!(fault, Fault::StoppedAnswering);
    site.dongle.mute(false).await;
    receiver.ready().await;
}

pub(crate) async fn a_full_channel_drops_the_newest_and_counts_them(kind: &Kind) {
    let site = Site::new(kind);
    let mut receiver = site.receiver_with_room_for(2);
    receiver.ready().await;
    site.listens().await;
    site.hear(0..10).await;
    assert_eq!(receiver.status(|status| status.dropped == 8).await.counters.frames, 10);
    assert_eq!(receiver.telegrams(2).await, [0, 1]);
    site.hear([10]).await;
    assert_eq!(receiver.telegrams(1).await, [10]);
}

pub(crate) async fn it_stops_when_told_and_when_nobody_takes_telegrams(kind: &Kind) {
    let site = Site::new(kind);
    let receiver = site.ready_receiver().await;
    receiver.stop.cancel();
    receiver.task.await.unwrap();

    let mut receiver = site.receiver();
    receiver.ready().await;
    drop(receiver.telegrams);
    site.hear([1]).await;
    receiver.task.await.unwrap();
}

/// The tests of one [`Kind`].
macro_rules! scenarios {
    ($kind:expr) => {
        $crate::scenarios::scenarios! {
            $kind;
            telegrams_arrive_in_order_with_their_signal_strength
            the_shortest_and_the_longest_telegram_arrive
            a_recording_is_played_through
            a_town_is_heard_telegram_by_telegram
            a_dongle_pulled_out_is_found_again_under_another_node
            a_dongle_that_is_not_there_yet_is_found_when_it_comes
            a_second_program_is_told_that_the_port_is_in_use_and_gets_it_afterwards
            garbage_split_joined_and_damaged_frames_cost_only_the_damaged_ones
            a_frame_cut_off_and_one_that_claims_255_bytes_do_not_hold_back_the_next
            a_lost_and_a_damaged_answer_are_asked_for_again
            a_late_answer_does_no_harm
            a_telegram_between_question_and_answer_is_heard
            a_rebooted_dongle_is_set_up_again_over_the_open_port
            a_mute_dongle_is_noticed_and_found_again
            a_full_channel_drops_the_newest_and_counts_them
            it_stops_when_told_and_when_nobody_takes_telegrams
        }
    };
    ($kind:expr; $($name:ident)+) => {
        $(
            #[tokio::test]
            async fn $name() {
                $crate::scenarios::$name(&$kind).await;
            }
        )+
    };
}
pub(crate) use scenarios;
