//! Dongles pulled out and plugged in again, over and over: noticed and found each time, and nothing grows. A process of its own,
//! since it counts the process's memory and files. `VESI_CYCLES=10000` for as many as are promised.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::time::Duration;

use emulator::{dongle::Kind, plugged::Plugged};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use vesigate::receiver::{
    Amb3665, Amb8465, Channel, Cul, Dongle, HexTty, Im871a, Iu891a, LinkCrcs, Listen, RawFrame, RawTty,
    Rc1180,
    detect::{self, Auto, Candidates},
    port::{self, Line, Patience, State, Status},
};

const SOON: Duration = Duration::from_secs(60);
const WARM_UP: u32 = 30;
const TELEGRAM: [u8; 14] = [13, 0x44, 0x2D, 0x2C, 0x99, 0x87, 0x34, 0x76, 0x1B, 0x16, 0x8C, 0x20, 0x01, 0x79];

struct Receiver {
    /// Those that take half a second or more to be set up or heard take part in one cycle out of so many.
    every: u32,
    /// What it listens for at least once it is set up.
    modes: usize,
    dongle: Plugged,
    telegrams: mpsc::Receiver<(u8, RawFrame)>,
    status: watch::Receiver<Status>,
}

impl Receiver {
    fn new(
        folder: &std::path::Path,
        (name, kind, every, driver): (&str, Kind, u32, Box<dyn Dongle>),
    ) -> Self {
        let path = folder.join(name);
        let dongle = Plugged::plug_in(&path, kind.dongle()).unwrap();
        let patience = Patience { look: Duration::from_millis(2), ..Patience::default() };
        let line = Line { number: 0, name: name.into(), path, patience };
        let (frames, telegrams) = mpsc::channel(16);
        let (status_out, status) = watch::channel(Status::new());
        tokio::spawn(port::run(line, driver, frames, status_out, || 0, CancellationToken::new()));
        let modes = if matches!(kind, Kind::Amb3665) { 1 } else { 2 };
        Self { every, modes, dongle, telegrams, status }
    }

    async fn is(&mut self, what: &str, wanted: impl Fn(&State) -> bool) {
        let came = timeout(SOON, self.status.wait_for(|status| wanted(&status.state))).await.is_ok();
        assert!(came, "not {what}: {:?}", *self.status.borrow());
    }

    async fn cycle(&mut self) {
        self.is("ready", |state| matches!(state, State::Ready(_))).await;
        let mut state = self.dongle.state();
        timeout(SOON, state.wait_for(|state| state.listening && state.modes.len() >= self.modes))
            .await
            .unwrap()
            .unwrap();
        self.dongle.hear(&TELEGRAM, -80).await.unwrap();
        let (_, frame) = timeout(SOON, self.telegrams.recv()).await.unwrap().unwrap();
        assert_eq!(frame.bytes.len(), if matches!(frame.crcs, LinkCrcs::Removed) { 14 } else { 18 });
        // In the middle of a frame, too.
        self.dongle.send_raw(&[0xA5, 0xC2, 3]).await;
        self.dongle.unplug().await;
        self.is("gone", |state| matches!(state, State::Faulty(_))).await;
        self.dongle.replug().await.unwrap();
    }
}

fn files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// In kilobytes.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn dongles_come_and_go_without_growth_of_memory_or_files() {
    let cycles = std::env::var("VESI_CYCLES").map_or(200, |cycles| cycles.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let auto = Auto::new(
        Box::new(|| Ok(Candidates { kinds: detect::Kind::ALL.to_vec(), device: None })),
        Box::new(|_| Some(Box::new(Im871a::new(Listen::C1AndT1)))),
    );
    let listen = Listen::C1AndT1;
    let drivers: [(&str, Kind, u32, Box<dyn Dongle>); 9] = [
        ("im871a", Kind::Im871a, 1, Box::new(Im871a::new(listen))),
        ("iu891a", Kind::Iu891a, 1, Box::new(Iu891a::new(listen))),
        ("amb8465", Kind::Amb8465, 1, Box::new(Amb8465::new(listen, 9_600))),
        ("amb3665", Kind::Amb3665, 1, Box::new(Amb3665::new(Channel::A, 9_600))),
        ("cul", Kind::Cul, 1, Box::new(Cul::new(listen, 38_400))),
        ("rc1180", Kind::Rc1180, 20, Box::new(Rc1180::new(listen, 19_200))),
        ("raw", Kind::Raw, 20, Box::new(RawTty::new(19_200))),
        ("hex", Kind::Hex, 20, Box::new(HexTty::new(19_200))),
        ("auto", Kind::Im871a, 20, Box::new(auto)),
    ];
    assert!(Kind::all().iter().all(|kind| drivers.iter().any(|(_, driven, ..)| driven == kind)));
    let mut receivers: Vec<Receiver> =
        drivers.into_iter().map(|driver| Receiver::new(folder.path(), driver)).collect();
    let mut before = (0, 0);
    for cycle in 0..WARM_UP + cycles {
        if cycle == WARM_UP {
            before = (files(), memory());
        }
        for receiver in &mut receivers {
            if cycle % receiver.every == 0 {
                receiver.cycle().await;
            }
        }
    }
    for receiver in &mut receivers {
        receiver.is("ready", |state| matches!(state, State::Ready(_))).await;
    }
    let after = (files(), memory());
    eprintln!("{cycles} cycles of {} dongles: {before:?} before, {after:?} after", receivers.len());
    assert!(after.0 <= before.0 + 5, "open files: {} and then {}", before.0, after.0);
    assert!(after.1 <= before.1 + 2048, "kilobytes: {} and then {}", before.1, after.1);
    for receiver in receivers {
        let status = receiver.status.borrow();
        let plugged_in = u64::from((WARM_UP + cycles).div_ceil(receiver.every)) + 1;
        assert_eq!((status.counters.frames, status.dropped), (plugged_in - 1, 0));
        assert!(status.openings >= plugged_in);
    }
}
