//! A virtual dongle on a pseudo-terminal, and the port loop at its other end.

use std::{path::PathBuf, time::Duration};

use emulator::{
    dongle::{Dongle as Virtual, Mode},
    plugged::Plugged,
};
use tempfile::TempDir;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time,
};
use tokio_util::sync::CancellationToken;
use vesigate::receiver::{
    Dongle, Fault, LinkCrcs, RawFrame,
    port::{self, Line, Patience, State, Status},
};
use wmbus::Frame;

/// One kind of dongle, and what is different about it.
pub(crate) struct Kind {
    /// The driver, told to listen for C1 and T1.
    pub(crate) driver: fn() -> Box<dyn Dongle>,
    /// The virtual dongle.
    pub(crate) device: fn() -> Box<dyn Virtual>,
    /// In baud.
    pub(crate) speed: u32,
    /// What it listens for once it is set up.
    pub(crate) modes: &'static [Mode],
    /// Whether it can be asked anything.
    pub(crate) asks: bool,
    /// Whether the driver sees that a frame is damaged.
    pub(crate) checksum: bool,
    /// Whether it tells the signal strength.
    pub(crate) rssi: bool,
    /// The greatest length byte of a telegram that it can hand over.
    pub(crate) longest: u8,
    /// Bytes that look like the beginning of its frames.
    pub(crate) noise: &'static [u8],
    /// Longer than the driver waits for an answer while setting it up.
    pub(crate) late: Duration,
}

/// What most dongles listen for.
pub(crate) const C1_AND_T1: &[Mode] = &[Mode::T1, Mode::C1FormatA, Mode::C1FormatB];

/// A telegram whose access number tells it from the others.
pub(crate) fn telegram(number: u8) -> [u8; 14] {
    [13, 0x44, 0x2D, 0x2C, 0x99, 0x87, 0x34, 0x76, 0x1B, 0x16, 0x8C, 0x20, number, 0x79]
}

/// A virtual dongle and the folder its link lies in.
pub(crate) struct Site {
    pub(crate) dongle: Plugged,
    driver: fn() -> Box<dyn Dongle>,
    modes: &'static [Mode],
    checksum: bool,
    folder: TempDir,
}

/// A running port loop.
pub(crate) struct Receiver {
    pub(crate) telegrams: mpsc::Receiver<(u8, RawFrame)>,
    pub(crate) status: watch::Receiver<Status>,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<()>,
    checksum: bool,
}

impl Site {
    pub(crate) fn new(kind: &Kind) -> Self {
        Self::with(kind, (kind.device)())
    }

    pub(crate) fn with(kind: &Kind, device: Box<dyn Virtual>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dongle = Plugged::plug_in(&folder.path().join("usb-dongle"), device).unwrap();
        Self { dongle, driver: kind.driver, modes: kind.modes, checksum: kind.checksum, folder }
    }

    pub(crate) fn link(&self) -> PathBuf {
        self.folder.path().join("usb-dongle")
    }

    pub(crate) fn receiver(&self) -> Receiver {
        self.receiver_with_room_for(64)
    }

    pub(crate) fn receiver_with_room_for(&self, telegrams: usize) -> Receiver {
        let line = Line {
            number: 0,
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
        let dongle = (self.driver)();
        let task = tokio::spawn(port::run(line, dongle, frames, status_out, || 0, stop.clone()));
        Receiver { telegrams, status, stop, task, checksum: self.checksum }
    }

    /// A receiver that is set up, and whose dongle listens for all that is wanted.
    pub(crate) async fn ready_receiver(&self) -> Receiver {
        let mut receiver = self.receiver();
        receiver.ready().await;
        self.listens().await;
        receiver
    }

    pub(crate) async fn hear(&self, numbers: impl IntoIterator<Item = u8>) {
        for number in numbers {
            self.dongle.hear(&telegram(number), -80).await.unwrap();
        }
    }

    /// Until the dongle listens for what is wanted, and the host to it.
    pub(crate) async fn listens(&self) {
        let mut state = self.dongle.state();
        let listens = state.wait_for(|state| {
            state.listening && self.modes.iter().all(|wanted| state.modes.contains(wanted))
        });
        time::timeout(Duration::from_secs(30), listens).await.unwrap().unwrap();
    }
}

impl Receiver {
    pub(crate) async fn status(&mut self, wanted: impl FnMut(&Status) -> bool) -> Status {
        time::timeout(Duration::from_secs(30), self.status.wait_for(wanted)).await.unwrap().unwrap().clone()
    }

    pub(crate) async fn ready(&mut self) -> Status {
        self.status(|status| matches!(status.state, State::Ready(_))).await
    }

    pub(crate) async fn faulty(&mut self) -> Fault {
        match self.status(|status| matches!(status.state, State::Faulty(_))).await.state {
            State::Faulty(fault) => fault,
            state => panic!("{state:?}"),
        }
    }

    pub(crate) async fn frame(&mut self) -> RawFrame {
        time::timeout(Duration::from_secs(30), self.telegrams.recv()).await.unwrap().unwrap().1
    }

    /// The numbers of the next telegrams.
    pub(crate) async fn telegrams(&mut self, count: usize) -> Vec<u8> {
        let mut numbers = Vec::new();
        while numbers.len() < count {
            let frame = self.frame().await;
            let number = bare(&frame).filter(|bare| bare.len() == 14).map(|bare| bare[12]);
            let number = number.filter(|number| bare(&frame) == Some(telegram(*number).to_vec()));
            // Where nothing shows that a frame is damaged, it is for the collector to find out.
            assert!(number.is_some() || !self.checksum, "{frame:?}");
            numbers.extend(number);
        }
        numbers
    }
}

/// A telegram without link-layer CRCs, as the collector takes them out; `None` if it is damaged.
pub(crate) fn bare(frame: &RawFrame) -> Option<Vec<u8>> {
    let checked = match frame.crcs {
        LinkCrcs::Removed => Frame::bare(&frame.bytes),
        LinkCrcs::FormatA => Frame::format_a(&frame.bytes),
        LinkCrcs::FormatB => Frame::format_b(&frame.bytes),
    };
    checked.ok().filter(|frame| frame.trailing() == 0).map(|frame| frame.bytes().to_vec())
}

/// Lets all clocks of the test jump. Only what waits for time notices.
pub(crate) async fn jump(time: Duration) {
    time::pause();
    time::advance(time).await;
    time::resume();
}
