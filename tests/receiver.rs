//! The port loop and the iM871A driver against a virtual iM871A on a pseudo-terminal.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::{path::PathBuf, time::Duration};

use emulator::{
    fault::Fault as Wrong,
    im871a::{Device, Im871a as Dongle},
    player::{Pace, Player},
    replay::{Recording, Speed},
    town::Town,
};
use tempfile::TempDir;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time,
};
use tokio_util::sync::CancellationToken;
use vesigate::receiver::{
    Fault, Im871a, Listen, RawFrame,
    port::{self, Line, Patience, State, Status},
};

/// A telegram whose access number tells it from the others.
fn telegram(number: u8) -> [u8; 14] {
    [13, 0x44, 0x2D, 0x2C, 0x99, 0x87, 0x34, 0x76, 0x1B, 0x16, 0x8C, 0x20, number, 0x79]
}

/// A virtual dongle and the folder its link lies in.
struct Site {
    dongle: Dongle,
    folder: TempDir,
}

/// A running port loop.
struct Receiver {
    telegrams: mpsc::Receiver<RawFrame>,
    status: watch::Receiver<Status>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Site {
    fn new() -> Self {
        Self::with(Device::default())
    }

    fn with(device: Device) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dongle = Dongle::plug_in(&folder.path().join("usb-iM871A"), device).unwrap();
        Self { dongle, folder }
    }

    fn link(&self) -> PathBuf {
        self.folder.path().join("usb-iM871A")
    }

    fn receiver(&self) -> Receiver {
        self.receiver_with_room_for(64)
    }

    fn receiver_with_room_for(&self, telegrams: usize) -> Receiver {
        let line = Line {
            name: "roof".into(),
            path: self.link(),
            patience: Patience {
                look: Duration::from_millis(5),
                full: Duration::from_millis(1),
                ..Patience::default()
            },
        };
        let (frames, telegrams) = mpsc::channel(telegrams);
        let (status_out, status) = watch::channel(Status::new());
        let stop = CancellationToken::new();
        let dongle = Im871a::new(Listen::C1AndT1);
        let task = tokio::spawn(port::run(line, dongle, frames, status_out, || 0, stop.clone()));
        Receiver { telegrams, status, stop, task }
    }

    async fn hear(&self, numbers: impl IntoIterator<Item = u8>) {
        for number in numbers {
            self.dongle.hear(&telegram(number), -80).await.unwrap();
        }
    }

    /// The link mode the dongle is in, once it is this one.
    async fn link_mode_becomes(&self, link_mode: u8) {
        self.dongle.state().wait_for(|state| state.link_mode == link_mode).await.unwrap();
    }
}

impl Receiver {
    async fn status(&mut self, wanted: impl FnMut(&Status) -> bool) -> Status {
        time::timeout(Duration::from_secs(30), self.status.wait_for(wanted)).await.unwrap().unwrap().clone()
    }

    async fn ready(&mut self) -> Status {
        self.status(|status| matches!(status.state, State::Ready(_))).await
    }

    async fn faulty(&mut self) -> Fault {
        match self.status(|status| matches!(status.state, State::Faulty(_))).await.state {
            State::Faulty(fault) => fault,
            state => panic!("{state:?}"),
        }
    }

    /// The numbers of the next telegrams.
    async fn telegrams(&mut self, count: usize) -> Vec<u8> {
        let mut numbers = Vec::new();
        for _ in 0..count {
            let frame = time::timeout(Duration::from_secs(30), self.telegrams.recv()).await.unwrap().unwrap();
            assert_eq!(&*frame.bytes, telegram(frame.bytes[12]));
            numbers.push(frame.bytes[12]);
        }
        numbers
    }
}

/// Lets all clocks of the test jump. Only what waits for time notices.
async fn jump(time: Duration) {
    time::pause();
    time::advance(time).await;
    time::resume();
}

#[tokio::test]
async fn telegrams_arrive_in_order_with_their_signal_strength() {
    let site = Site::new();
    let mut receiver = site.receiver();
    let status = receiver.ready().await;
    assert_eq!(status.device, site.dongle.state().borrow().device);
    let state = site.dongle.state().borrow().clone();
    assert_eq!((state.speed, state.link_mode), (57_600, 0x0A));

    site.hear(0..=99).await;
    assert_eq!(receiver.telegrams(100).await, Vec::from_iter(0..=99));
    site.hear([100]).await;
    assert_eq!(receiver.telegrams.recv().await.unwrap().rssi_dbm, Some(-80));
    assert_eq!(receiver.status(|status| status.counters.frames == 101).await.counters.garbage_bytes, 0);
}

#[tokio::test]
async fn a_recording_is_played_through() {
    let site = Site::new();
    let mut receiver = site.receiver();
    receiver.ready().await;
    let lines = (0..5).map(|number| telegram(number).map(|byte| format!("{byte:02X}")).concat() + " -66\n");
    let recording: Recording = lines.collect::<String>().parse().unwrap();
    recording.play(&site.dongle, Speed::Unpaced).await.unwrap();
    assert_eq!(receiver.telegrams(5).await, [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn a_town_is_heard_telegram_by_telegram() {
    const START: i64 = 1_795_600_800_000;
    let site = Site::new();
    let mut receiver = site.receiver();
    receiver.ready().await;
    // So fast that all of it is overdue at once and nothing is waited for.
    let pace = Pace::new(time::Instant::now(), START, 10_000.try_into().unwrap());
    let mut player = Player::new(Town::new(6, 1, START), pace);
    player.town().jump(START);
    let mut town = player.town().clone();
    let play = player.play(&site.dongle, START + 120_000);
    let (played, _) = tokio::join!(play, async {
        // A machine that is busy elsewhere may make the player leave out telegrams, never change or disorder them.
        let mut heard = 0;
        while heard < 12 {
            let frame = receiver.telegrams.recv().await.unwrap();
            let sent = std::iter::from_fn(|| town.next_telegram().and_then(Result::ok))
                .find(|sent| *sent.telegram == *frame.bytes)
                .unwrap();
            assert!(frame.rssi_dbm.unwrap().abs_diff(sent.rssi_dbm) <= 1, "{frame:?} {sent:?}");
            heard += 1;
        }
    });
    assert!(played.unwrap().sent >= 12);
}

#[tokio::test]
async fn a_dongle_pulled_out_is_found_again_under_another_node() {
    let site = Site::new();
    let mut receiver = site.receiver();
    for round in 0..10 {
        let before = receiver.ready().await.device;
        site.hear([round]).await;
        assert_eq!(receiver.telegrams(1).await, [round]);

        site.dongle.unplug().await;
        assert!(matches!(receiver.faulty().await, Fault::Gone | Fault::NotFound { .. }));
        site.dongle.replug().await.unwrap();
        assert_ne!(receiver.ready().await.device, before);
        site.link_mode_becomes(0x0A).await;
    }
    assert_eq!(receiver.status.borrow().counters.restarts, 10);
}

#[tokio::test]
async fn a_dongle_that_is_not_there_yet_is_found_when_it_comes() {
    let site = Site::new();
    site.dongle.unplug().await;
    let mut receiver = site.receiver();
    assert_eq!(receiver.faulty().await, Fault::NotFound { path: site.link() });
    site.dongle.replug().await.unwrap();
    receiver.ready().await;
}

#[tokio::test]
async fn a_second_program_is_told_that_the_port_is_in_use_and_gets_it_afterwards() {
    let site = Site::new();
    let mut first = site.receiver();
    first.ready().await;
    let mut second = site.receiver();
    assert_eq!(second.faulty().await, Fault::Busy { path: site.link() });
    site.hear([1, 2]).await;
    assert_eq!(first.telegrams(2).await, [1, 2], "and the first is not disturbed");

    first.stop.cancel();
    first.task.await.unwrap();
    second.ready().await;
}

#[tokio::test]
async fn garbage_split_joined_and_damaged_frames_cost_only_the_damaged_ones() {
    let site = Site::new();
    let mut receiver = site.receiver();
    receiver.ready().await;

    site.dongle.fault(Wrong::Noise(vec![0xFE, 0xD5, 0x00, 0xA5, 0xA5, 0xC2, 0x03])).await;
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
        assert_eq!(receiver.telegrams(1).await, [number + 1]);
    }
    let counters = receiver.status(|status| status.counters.bad_checksums >= 2).await.counters;
    assert_eq!((counters.frames, counters.restarts), (7, 0));
}

#[tokio::test]
async fn a_frame_cut_off_and_one_that_claims_255_bytes_do_not_hold_back_the_next() {
    let site = Site::new();
    let mut receiver = site.receiver();
    receiver.ready().await;
    for (wrong, number) in [(Wrong::Truncated(9), 1), (Wrong::LengthByte(255), 3)] {
        site.dongle.fault(wrong).await;
        site.hear([number, number + 1]).await;
        assert_eq!(receiver.telegrams(1).await, [number + 1]);
    }
    // The cut one was filled up by the next, the other never.
    receiver.status(|status| status.counters.partial_frames == 1 && status.counters.bad_checksums == 1).await;
}

#[tokio::test]
async fn a_lost_and_a_damaged_answer_are_asked_for_again() {
    let site = Site::new();
    site.dongle.fault(Wrong::NoReply).await;
    site.dongle.fault(Wrong::BadChecksum).await;
    let mut receiver = site.receiver();
    receiver.ready().await;
    assert_eq!(site.dongle.state().borrow().inputs, 7, "five requests, two of them twice");
}

#[tokio::test]
async fn a_late_answer_does_no_harm() {
    let site = Site::new();
    site.dongle.fault(Wrong::LateReply(Duration::from_millis(700))).await;
    let mut receiver = site.receiver();
    receiver.ready().await;
    site.hear([1]).await;
    assert_eq!(receiver.telegrams(1).await, [1]);
}

#[tokio::test]
async fn a_telegram_between_question_and_answer_is_heard() {
    let site = Site::new();
    let mut receiver = site.receiver();
    receiver.ready().await;
    let asked = site.dongle.state().borrow().inputs;
    site.dongle.interject(&telegram(1), -80).await.unwrap();
    jump(Duration::from_secs(61)).await;
    assert_eq!(receiver.telegrams(1).await, [1]);
    site.dongle.state().wait_for(|state| state.inputs > asked).await.unwrap();
    assert!(matches!(receiver.status.borrow().state, State::Ready(_)));
}

#[tokio::test]
async fn a_rebooted_dongle_is_set_up_again_over_the_open_port() {
    let site = Site::new();
    let mut receiver = site.receiver();
    receiver.ready().await;
    site.dongle.reboot().await;
    site.hear([1]).await;
    site.dongle.state().wait_for(|state| state.missed == 1).await.unwrap();

    jump(Duration::from_secs(61)).await;
    site.link_mode_becomes(0x0A).await;
    site.hear([2]).await;
    assert_eq!(receiver.telegrams(1).await, [2]);
    let status = receiver.status(|status| status.counters.restarts == 1).await;
    assert_eq!(status.openings, 1);
}

#[tokio::test]
async fn a_mute_dongle_is_noticed_and_found_again() {
    let site = Site::new();
    let mut receiver = site.receiver();
    receiver.ready().await;
    site.dongle.mute(true).await;
    let asked = site.dongle.state().borrow().inputs;
    jump(Duration::from_secs(61)).await;
    for question in 1..=2 {
        site.dongle.state().wait_for(|state| state.inputs == asked + question).await.unwrap();
        jump(Duration::from_secs(3)).await;
    }
    assert_eq!(receiver.faulty().await, Fault::StoppedAnswering);
    site.dongle.mute(false).await;
    receiver.ready().await;
}

#[tokio::test]
async fn old_firmware_is_a_fault_that_says_what_to_do() {
    let site = Site::with(Device::default().with_firmware(0x13));
    let mut receiver = site.receiver();
    let fault = receiver.faulty().await;
    assert_eq!(fault, Fault::FirmwareTooOld { firmware: (1, 3) });
    assert!(fault.to_string().contains("configure one link mode"), "{fault}");
}

#[tokio::test]
async fn a_full_channel_drops_the_newest_and_counts_them() {
    let site = Site::new();
    let mut receiver = site.receiver_with_room_for(2);
    receiver.ready().await;
    site.hear(0..10).await;
    assert_eq!(receiver.status(|status| status.dropped == 8).await.counters.frames, 10);
    assert_eq!(receiver.telegrams(2).await, [0, 1]);
    site.hear([10]).await;
    assert_eq!(receiver.telegrams(1).await, [10]);
}

#[tokio::test]
async fn it_stops_when_told_and_when_nobody_takes_telegrams() {
    let site = Site::new();
    let mut receiver = site.receiver();
    receiver.ready().await;
    receiver.stop.cancel();
    receiver.task.await.unwrap();

    let mut receiver = site.receiver();
    receiver.ready().await;
    drop(receiver.telegrams);
    site.hear([1]).await;
    receiver.task.await.unwrap();
}
